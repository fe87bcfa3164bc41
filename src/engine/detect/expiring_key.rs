//! `expiring_key`: a key that will stop soon, and is still in use.

use crate::alert::{Kind, Source};
use crate::engine::detect::use_of_key::{is_back_in_use, is_in_use};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Still, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::facts::KeyFacts;
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::ExpiringKey,
    doc: "A key that is in use and stops within `notice`, by the facts. Ends when it is replaced or revoked, or has \
          expired.",
    fires: Fires::ByTime,
    params: &[
        ParamSpec {
            name: "notice",
            ty: ParamType::Duration { min: HOUR, max: 365 * DAY, default: 7 * DAY },
            doc: "How long before its end it is told.",
        },
        ParamSpec {
            name: "used_within",
            ty: ParamType::Duration { min: DAY, max: 365 * DAY, default: 30 * DAY },
            doc: "A key without accepted use for so long is not in use: nothing stops when it does.",
        },
    ],
    build: |p| Box::new(ExpiringKey { notice: p.duration("notice"), used_within: p.duration("used_within") }),
};

#[derive(Debug)]
struct ExpiringKey {
    notice: Millis,
    used_within: Millis,
}

impl ExpiringKey {
    /// When the key stops being a worry: it has expired, or somebody saw to it.
    fn over_at(facts: &KeyFacts) -> Option<Millis> {
        let expires_at = facts.expires_at?;
        Some(facts.seen_to_at().map_or(expires_at, |at| at.min(expires_at)))
    }

    fn sign(&self, at: Millis, facts: &KeyFacts, source: Option<Source>) -> Verdict {
        let Some(expires_at) = facts.expires_at else { return Verdict::Nothing };
        let days = ((expires_at - at) / DAY).max(0);
        let evidence = vec![("expires_at", rfc3339(expires_at).into()), ("days_left", days.into())];
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: None,
            severity: Weight::AsTheRule,
            score: 0.6,
            summary: "The key will stop soon, and is still in use.".into(),
            reason: format!("The key stops at {} and is still in use.", rfc3339(expires_at)),
            source,
            evidence,
        }))
    }
}

impl Detector for ExpiringKey {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(facts) = sight.facts else { return Verdict::Nothing };
        let (Some(expires_at), Some(over_at)) = (facts.expires_at, Self::over_at(facts)) else {
            return Verdict::Nothing;
        };
        let (ts, limit) = (sight.event.ts, expires_at - self.notice);
        // Its end was put off since. A day apart: an event that came late is no reason to end what has just begun.
        if sight.open && sight.accepted() && ts < limit - DAY {
            return Verdict::End(ts);
        }
        if limit < ts && ts < over_at && is_back_in_use(sight, self.used_within) {
            return self.sign(ts, facts, sight.source());
        }
        Verdict::Nothing
    }

    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let facts = still.facts?;
        let over_at = Self::over_at(facts)?;
        if open {
            return Some(over_at);
        }
        // What is said late is told when it is said, and of a key that is used late when its use begins.
        let begun = still.key.first_seen.min(still.key.last_accepted)?;
        let limit = (facts.expires_at? - self.notice).max(facts.expires_said_at.unwrap_or(begun)).max(begun);
        (limit < over_at).then_some(limit)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::subject::KeyFeatures;

    const D: Millis = DAY;

    /// When it looks at a key that expires on day 40 (said, first seen, revoked), and whether it then opens.
    #[test]
    fn it_is_told_when_it_is_known_and_in_use() {
        for (said, first_seen, last_accepted, revoked_at, want) in [
            (Some(0), Some(0), Some(20 * D), None, Some((26 * D, true))),
            (Some(0), Some(0), Some(20 * D), Some(30 * D), Some((26 * D, true))),
            (Some(0), Some(0), Some(20 * D), Some(26 * D), None),
            (Some(30 * D), Some(0), Some(29 * D), None, Some((30 * D, true))),
            (Some(0), Some(33 * D), Some(34 * D), None, Some((33 * D, true))),
            (Some(0), Some(0), None, None, None),
            (Some(30 * D), Some(0), Some(D / 2), None, Some((30 * D, true))),
            (Some(31 * D), Some(0), Some(D / 2), None, Some((31 * D, false))),
        ] {
            let facts = KeyFacts { expires_at: Some(40 * D), expires_said_at: said, revoked_at, ..KeyFacts::default() };
            let key = KeyFeatures { first_seen, last_accepted, ..KeyFeatures::new("k") };
            let still = Still::of(&facts, &key);
            let detector = ExpiringKey { notice: 14 * D, used_within: 30 * D };
            let looks = detector.due(&still, false);
            let opens = |at| matches!(detector.on_timer(at, &still, false), Verdict::Sign(_));
            assert_eq!(looks.map(|at| (at, opens(at))), want, "said {said:?}, seen {first_seen:?}, {last_accepted:?}");
        }
    }
}
