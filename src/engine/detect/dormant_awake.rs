//! `dormant_awake`: a key that nobody has used for long is used again.

use serde_json::{Value, json};

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::DormantAwake,
    doc: "Accepted use of a key after `unused_for` without any. At least `high` where it comes from a network that neither \
          the key nor its merchant's other keys have used. Only time that was watched counts. The first use of a key \
          that was made while we watched is no awakening.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "unused_for",
            ty: ParamType::Duration { min: DAY, max: 3650 * DAY, default: 60 * DAY },
            doc: "How long without accepted use makes the next one remarkable.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long after its first use the alert ends by itself.",
        },
    ],
    build: |p| Box::new(DormantAwake { unused_for: p.duration("unused_for"), quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct DormantAwake {
    unused_for: Millis,
    quiet: Millis,
}

impl Detector for DormantAwake {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let ts = sight.event.ts;
        let Some(unused_since) = unused_since(sight).filter(|_| sight.accepted()) else { return Verdict::Nothing };
        let awakes = self.unused_for <= ts - unused_since;
        // Further calls are counted in the open case, and do not make it last.
        if !awakes && !sight.open {
            return Verdict::Nothing;
        }
        let is_new = sight
            .network
            .is_some_and(|network| !sight.key.networks.trusts(network) && !sight.merchant.networks.trusts(network));
        let days = (ts - unused_since) / DAY;
        Verdict::Sign(Box::new(Sign {
            opens: awakes,
            part: String::new(),
            starts_at: ts,
            last_at: if awakes { ts } else { Millis::MIN },
            quiet: Some(self.quiet),
            severity: if is_new { Weight::AtLeast(Severity::High) } else { Weight::AsTheRule },
            score: if is_new { 0.85 } else { 0.5 },
            summary: if is_new {
                "A key that was long unused is used again, from a network not seen before.".into()
            } else {
                "A key that was long unused is used again.".into()
            },
            reason: match (awakes, is_new) {
                (true, true) => format!("First accepted call after {days} days, and from a new network."),
                (true, false) => format!("First accepted call after {days} days."),
                (false, _) => "A further call came from a new network.".into(),
            },
            source: sight.source(),
            evidence: if awakes { evidence(sight, days, is_new) } else { Vec::new() },
        }))
    }
}

/// Since when the key is known not to have been used. One that is older than our records may have been used before them;
/// one that was made since has begun, not awoken.
fn unused_since(sight: &Sight<'_>) -> Option<Millis> {
    let since = sight.key.last_accepted.or_else(|| {
        let watch = sight.watch;
        let (watched, made) = (watch.steady_since?, sight.facts?.created_at?);
        (made < watched).then_some(watched)
    })?;
    // It may have been used while messages were missing.
    Some(sight.watch.resumed_at.map_or(since, |resumed| since.max(resumed)))
}

fn evidence(sight: &Sight<'_>, days: i64, is_new: bool) -> Vec<(&'static str, Value)> {
    let mut known: Vec<_> = sight.key.networks.entries().iter().filter(|s| !s.suspect).collect();
    known.sort_by_key(|s| (std::cmp::Reverse(s.calls), s.network));
    let known: Vec<_> =
        known.iter().take(3).map(|s| json!({"network": s.network.to_string(), "calls": s.calls})).collect();
    vec![
        ("last_used_at", sight.key.last_accepted.map(rfc3339).into()),
        ("unused_days", days.into()),
        ("is_new_network", is_new.into()),
        ("known", known.into()),
    ]
}
