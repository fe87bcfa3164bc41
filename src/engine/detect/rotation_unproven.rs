//! `rotation_unproven`: the grace of a replaced key runs out, and its successor does not do the work yet.

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Replaced, Sight, Sign, Still, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::Env;
use crate::event::facts::KeyFacts;
use crate::time::{DAY, HOUR, MINUTE, Millis, day_of, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::RotationUnproven,
    doc: "About the new key of a replacement: `notice` before the old one stops, the new one has no accepted call yet (at \
          least `high` for a live key), or the old one still does most of the work. Silent where the old key was not in \
          use either. A short grace is asked about at its half. Ends when the new key is proven, or the grace is over.",
    fires: Fires::ByTime,
    params: &[
        ParamSpec {
            name: "notice",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long before the grace ends it looks.",
        },
        ParamSpec {
            name: "used_within",
            ty: ParamType::Duration { min: DAY, max: 365 * DAY, default: 30 * DAY },
            doc: "An old key without accepted use for so long does no work that could fail.",
        },
    ],
    build: |p| Box::new(RotationUnproven { notice: p.duration("notice"), used_within: p.duration("used_within") }),
};

/// A grace that is over so soon is none.
const SHORTEST: Millis = 10 * MINUTE;

#[derive(Debug)]
struct RotationUnproven {
    notice: Millis,
    used_within: Millis,
}

/// When the old key was replaced by this one, and when it stops.
fn grace(facts: Option<&KeyFacts>, replaced: Option<&Replaced<'_>>, new: &str) -> Option<(Millis, Millis)> {
    let old = replaced?.facts;
    // A third key may have replaced it since.
    let from = old.replaced_at.filter(|_| old.replaced_by.as_deref() == Some(new))?;
    let until = old.grace_until.filter(|until| from + SHORTEST <= *until)?;
    let ended = [old.revoked_at, facts.and_then(KeyFacts::seen_to_at)].into_iter().flatten().min();
    Some((from, ended.map_or(until, |at| at.min(until))))
}

impl Detector for RotationUnproven {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (Some(replaced), true) = (&sight.replaced, sight.open && sight.accepted()) else { return Verdict::Nothing };
        let ts = sight.event.ts;
        // The first call proves a key that had none; one whose predecessor went on is proven by the day's work.
        let today = |days: &mut dyn Iterator<Item = (i32, u64)>| {
            days.filter(|(day, _)| *day == day_of(ts)).map(|(_, calls)| calls).sum::<u64>()
        };
        let new = today(&mut sight.key.days.iter().map(|d| (d.day, d.accepted))) + u64::from(sight.event.count);
        let old = today(&mut replaced.days.into_iter());
        if sight.key.last_accepted.is_none() || old <= new { Verdict::End(ts) } else { Verdict::Nothing }
    }

    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let (from, until) = grace(still.facts, still.replaced.as_ref(), &still.key.key_id)?;
        if open {
            return Some(until);
        }
        let looks = until - self.notice.min((until - from) / 2);
        (looks < until).then_some(looks)
    }

    fn is_settled(&self, _: Millis, _: &Still<'_>, open: bool) -> bool {
        open
    }

    fn on_timer(&self, at: Millis, still: &Still<'_>, open: bool) -> Verdict {
        if open {
            return Verdict::End(at);
        }
        let Some(replaced) = &still.replaced else { return Verdict::Nothing };
        let Some((from, until)) = grace(still.facts, Some(replaced), &still.key.key_id) else {
            return Verdict::Nothing;
        };
        if replaced.last_accepted.is_none_or(|last| last < at - self.used_within) {
            return Verdict::Nothing;
        }
        // On the day of the replacement the old key had worked alone for a while.
        let since = (day_of(at) - 1).max(day_of(from) + 1);
        let lately = |(day, calls): (i32, u64)| if since <= day { calls } else { 0 };
        let new: u64 = still.key.days.iter().map(|d| lately((d.day, d.accepted))).sum();
        let old: u64 = replaced.days.into_iter().map(lately).sum();
        let never = still.key.last_accepted.is_none();
        if !never && old <= new {
            return Verdict::Nothing;
        }
        let is_worst = never && still.key_env == Some(Env::Live);
        let mut evidence: Vec<(&'static str, serde_json::Value)> = vec![
            ("grace_until", rfc3339(until).into()),
            ("never_used", never.into()),
            ("calls_of_old_key", old.into()),
            ("calls_of_new_key", new.into()),
        ];
        evidence.extend(still.facts.and_then(|facts| facts.replaces.clone()).map(|old| ("replaces", old.into())));
        evidence.extend(replaced.facts.hint.clone().map(|hint| ("replaces_hint", hint.into())));
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: None,
            severity: if is_worst { Weight::AtLeast(Severity::High) } else { Weight::AsTheRule },
            score: if never { 0.85 } else { 0.6 },
            summary: if never {
                "The old key stops soon, and the new one has made no call yet.".into()
            } else {
                "The old key stops soon, and still does most of the work.".into()
            },
            reason: if never {
                format!("The old key stops at {}; the new one has made no accepted call.", rfc3339(until))
            } else {
                format!("The old key stops at {}; it made {old} calls lately, the new one {new}.", rfc3339(until))
            },
            source: None,
            evidence,
        }))
    }
}
