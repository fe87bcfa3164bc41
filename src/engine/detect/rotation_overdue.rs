//! `rotation_overdue`: a key in use that has not been replaced for long.

use crate::alert::{Kind, Source};
use crate::engine::detect::use_of_key::{is_back_in_use, is_in_use};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Still, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::facts::KeyFacts;
use crate::time::{DAY, Millis, duration_text, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::RotationOverdue,
    doc: "A key that is in use and was made more than `max_age` ago, by the facts. One alert for each key, which ends when \
          the key is replaced or revoked. A key that was too old before it was watched is stored and shown, not mailed.",
    fires: Fires::ByTime,
    params: &[
        ParamSpec {
            name: "max_age",
            ty: ParamType::Duration { min: DAY, max: 3650 * DAY, default: 365 * DAY },
            doc: "How old a key may grow.",
        },
        ParamSpec {
            name: "used_within",
            ty: ParamType::Duration { min: DAY, max: 365 * DAY, default: 30 * DAY },
            doc: "A key without accepted use for so long is not in use: `stale_key` looks after it.",
        },
    ],
    build: |p| Box::new(RotationOverdue { max_age: p.duration("max_age"), used_within: p.duration("used_within") }),
};

#[derive(Debug)]
struct RotationOverdue {
    max_age: Millis,
    used_within: Millis,
}

impl RotationOverdue {
    fn sign(&self, at: Millis, facts: &KeyFacts, source: Option<Source>) -> Verdict {
        let Some(created_at) = facts.created_at else { return Verdict::Nothing };
        let evidence = vec![("created_at", rfc3339(created_at).into()), ("age_days", ((at - created_at) / DAY).into())];
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: None,
            severity: Weight::AsTheRule,
            score: 0.4,
            summary: "The key is old and has not been replaced.".into(),
            reason: format!("The key has not been replaced for {}.", duration_text(self.max_age)),
            source,
            evidence,
        }))
    }
}

impl Detector for RotationOverdue {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(facts) = sight.facts else { return Verdict::Nothing };
        let (Some(created_at), ts) = (facts.created_at, sight.event.ts) else { return Verdict::Nothing };
        let seen_to = facts.seen_to_at().is_some_and(|at| at <= ts);
        if created_at + self.max_age < ts && !seen_to && is_back_in_use(sight, self.used_within) {
            return self.sign(ts, facts, sight.source());
        }
        Verdict::Nothing
    }

    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let facts = still.facts?;
        if open {
            return facts.seen_to_at();
        }
        // Until it is used for the first time there is nothing to look at.
        still.key.last_accepted?;
        let limit = facts.created_at? + self.max_age;
        facts.seen_to_at().is_none_or(|at| limit < at).then_some(limit)
    }

    fn is_settled(&self, due: Millis, still: &Still<'_>, open: bool) -> bool {
        // A late call can only show once more that the key is in use.
        open || is_in_use(still.key, due, self.used_within)
    }

    fn on_timer(&self, at: Millis, still: &Still<'_>, open: bool) -> Verdict {
        if open {
            return Verdict::End(at);
        }
        match still.facts {
            Some(facts) if is_in_use(still.key, at, self.used_within) => self.sign(at, facts, None),
            _ => Verdict::Nothing,
        }
    }
}
