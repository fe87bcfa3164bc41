//! `stale_key`: a key that nobody has used for long. Unused keys are secrets without a purpose.

use crate::alert::Kind;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Still, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::facts::KeyFacts;
use crate::time::{DAY, Millis, duration_text, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::StaleKey,
    doc: "A key without accepted use for `unused_for`, or never used since it was created. Time before our own records \
          does not count as unused. Ends when the key is used or revoked.",
    fires: Fires::ByTime,
    params: &[ParamSpec {
        name: "unused_for",
        ty: ParamType::Duration { min: DAY, max: 3650 * DAY, default: 90 * DAY },
        doc: "How long without accepted use makes a key stale.",
    }],
    build: |p| Box::new(StaleKey { unused_for: p.duration("unused_for") }),
};

#[derive(Debug)]
struct StaleKey {
    unused_for: Millis,
}

impl StaleKey {
    /// From when the key counts as unused: its last use, or its creation, as far as we have watched since.
    fn unused_since(&self, still: &Still<'_>) -> Option<Millis> {
        let seen = still.key.last_accepted.or_else(|| {
            let created = still.facts.and_then(|f| f.created_at)?;
            Some(created.max(still.watch.steady_since?))
        });
        // It may have been used while messages were missing.
        seen.map(|at| still.watch.resumed_at.map_or(at, |resumed| at.max(resumed)))
    }
}

impl Detector for StaleKey {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        // Any accepted use ends it; without an open case the answer is ignored.
        if sight.accepted() { Verdict::End(sight.event.ts) } else { Verdict::Nothing }
    }

    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let ended_at = still.facts.and_then(KeyFacts::ended_at);
        if open {
            return ended_at;
        }
        let stale_at = self.unused_since(still)? + self.unused_for;
        ended_at.is_none_or(|ended| stale_at < ended).then_some(stale_at)
    }

    fn on_timer(&self, at: Millis, still: &Still<'_>, open: bool) -> Verdict {
        if open {
            return Verdict::End(at);
        }
        let never = still.key.last_accepted.is_none();
        let mut evidence: Vec<(&'static str, serde_json::Value)> =
            vec![("unused_days", (self.unused_for / DAY).into()), ("never_used", never.into())];
        evidence.extend(still.key.last_accepted.map(|last| ("last_used_at", rfc3339(last).into())));
        evidence.extend(still.facts.and_then(|f| f.created_at).map(|created| ("created_at", rfc3339(created).into())));
        evidence.extend(still.watch.steady_since.map(|since| ("watched_since", rfc3339(since).into())));
        let since = if never { "since it was created" } else { "since its last accepted call" };
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: None,
            severity: Weight::AsTheRule,
            score: 0.5,
            summary: format!("The key has not been used for {} days.", self.unused_for / DAY),
            reason: format!("No accepted call for {} {since}.", duration_text(self.unused_for)),
            source: None,
            evidence,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::Watch;
    use crate::engine::subject::KeyFeatures;

    const D: Millis = DAY;

    /// When a key (last used, created, revoked) turns stale after ten days, watched since day 5, with a gap's end.
    #[test]
    fn time_that_was_not_seen_is_not_unused() {
        for (last_accepted, created_at, revoked_at, resumed_at, want) in [
            (Some(20 * D), None, None, None, Some(30 * D)),
            (None, Some(20 * D), None, None, Some(30 * D)),
            (None, Some(D), None, None, Some(15 * D)),
            (None, None, None, None, None),
            (Some(20 * D), None, Some(25 * D), None, None),
            (Some(20 * D), None, Some(35 * D), None, Some(30 * D)),
            (Some(20 * D), None, None, Some(27 * D), Some(37 * D)),
            (Some(20 * D), None, None, Some(12 * D), Some(30 * D)),
        ] {
            let key = KeyFeatures { last_accepted, ..KeyFeatures::new("k") };
            let facts = KeyFacts { created_at, revoked_at, ..KeyFacts::default() };
            let watch = Watch { since: Some(D), steady_since: Some(5 * D), resumed_at, ..Watch::default() };
            let still = Still { watch, ..Still::of(&facts, &key) };
            let due = StaleKey { unused_for: 10 * D }.due(&still, false);
            assert_eq!(
                due, want,
                "used {last_accepted:?}, created {created_at:?}, revoked {revoked_at:?}, gap {resumed_at:?}"
            );
        }
    }
}
