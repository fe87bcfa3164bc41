//! `key_exposed`: a key was found where anybody can read it.

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sign, Still, Verdict, Weight};
use crate::event::Env;
use crate::event::facts::KeyFacts;
use crate::time::{Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::KeyExposed,
    doc: "A key that the facts call exposed: somebody found it in a public repository, a log, a page. `critical` for a \
          live key. Ends when the key is revoked, or replaced and its grace is over.",
    fires: Fires::ByTime,
    params: &[],
    build: |_| Box::new(KeyExposed),
};

#[derive(Debug)]
struct KeyExposed;

impl Detector for KeyExposed {
    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let facts = still.facts?;
        let ended_at = facts.ended_at();
        if open {
            return ended_at;
        }
        facts.exposed_at.filter(|at| ended_at.is_none_or(|ended| *at < ended))
    }

    fn is_settled(&self, _: Millis, _: &Still<'_>, _: bool) -> bool {
        true
    }

    fn on_timer(&self, at: Millis, still: &Still<'_>, open: bool) -> Verdict {
        if open {
            return Verdict::End(at);
        }
        let reason = still.facts.and_then(|facts: &KeyFacts| facts.exposed_reason.clone());
        let mut evidence: Vec<(&'static str, serde_json::Value)> = vec![("exposed_at", rfc3339(at).into())];
        evidence.extend(reason.map(|reason| ("exposed_reason", reason.into())));
        let is_live = still.key_env == Some(Env::Live);
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: None,
            severity: if is_live { Weight::AtLeast(Severity::Critical) } else { Weight::AsTheRule },
            score: if is_live { 1.0 } else { 0.8 },
            summary: "The key was found where others can read it.".into(),
            reason: "The gateway's records say that the key was found where others can read it.".into(),
            source: None,
            evidence,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::subject::KeyFeatures;

    /// When it looks at a key (exposed, revoked, replaced, grace), before and after it has opened.
    #[test]
    fn it_opens_once_and_ends_with_the_key() {
        for (exposed_at, revoked_at, replaced_at, grace_until, opens, ends) in [
            (None, None, None, None, None, None),
            (Some(5), None, None, None, Some(5), None),
            (Some(5), Some(9), None, None, Some(5), Some(9)),
            (Some(5), Some(5), None, None, None, Some(5)),
            (Some(5), None, Some(3), Some(8), Some(5), Some(8)),
            (Some(5), None, Some(3), Some(3), None, Some(3)),
        ] {
            let facts = KeyFacts { exposed_at, revoked_at, replaced_at, grace_until, ..KeyFacts::default() };
            let key = KeyFeatures::new("k");
            let still = Still::of(&facts, &key);
            assert_eq!((KeyExposed.due(&still, false), KeyExposed.due(&still, true)), (opens, ends), "{facts:?}");
        }
    }
}
