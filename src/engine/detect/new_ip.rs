//! `new_ip`: accepted use of a key from a network that neither it nor its merchant's other keys have used.

use serde_json::json;

use crate::alert::Kind;
use crate::engine::detect::{Detector, DetectorSpec, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::NewIp,
    doc: "First accepted use of a key from a network (/24, /48) that neither the key nor its merchant's other keys have \
          used. Quiet while the key is being learned, and for keys that often show new networks.",
    params: &[
        ParamSpec {
            name: "learning",
            ty: ParamType::Duration { min: 0, max: 90 * DAY, default: 3 * DAY },
            doc: "How long a key is watched before a network can be new to it.",
        },
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 1, max: 1_000_000, default: 20 },
            doc: "Accepted calls that must have been seen before a network can be new.",
        },
        ParamSpec {
            name: "max_new_per_week",
            ty: ParamType::Count { min: 0, max: 32, default: 2 },
            doc: "A key that showed more new networks than this in the last seven days changes networks by habit: no alert.",
        },
        ParamSpec {
            name: "max_novelty",
            ty: ParamType::Number { min: 0.0, max: 1.0, default: 0.02 },
            doc: "The largest chance (Good-Turing) of a new network at each call for which one is still remarkable.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long after its first use the alert ends by itself.",
        },
    ],
    build: |p| Box::new(NewIp::new(p)),
};

#[derive(Debug)]
struct NewIp {
    learning: Millis,
    min_calls: u64,
    max_new_per_week: usize,
    max_novelty: f64,
    quiet: Millis,
}

impl NewIp {
    fn new(p: &Params) -> Self {
        NewIp {
            learning: p.duration("learning"),
            min_calls: p.count("min_calls"),
            max_new_per_week: p.count("max_new_per_week") as usize,
            max_novelty: p.number("max_novelty"),
            quiet: p.duration("quiet"),
        }
    }
}

impl Detector for NewIp {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(network) = sight.network else { return Verdict::Nothing };
        let (key, ts) = (sight.key, sight.event.ts);
        if !sight.accepted() || key.networks.get(network).is_some() || sight.merchant.networks.trusts(network) {
            return Verdict::Nothing;
        }
        let Some(first_seen) = key.first_seen else { return Verdict::Nothing };
        let learned =
            ts - first_seen >= self.learning && key.accepted >= self.min_calls && !key.networks.entries().is_empty();
        let settled = key.networks.new_since((ts - 7 * DAY).max(first_seen + self.learning)) <= self.max_new_per_week
            && key.networks.novelty() <= self.max_novelty;
        if !learned || !settled {
            return Verdict::Nothing;
        }
        let mut known: Vec<_> = key.networks.entries().iter().filter(|s| !s.suspect).collect();
        known.sort_by_key(|s| (std::cmp::Reverse(s.calls), s.network));
        let known: Vec<_> =
            known.iter().take(3).map(|s| json!({"network": s.network.to_string(), "calls": s.calls})).collect();
        Verdict::Sign(Box::new(Sign {
            part: format!("network {network}"),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.8,
            summary: format!("The key was used from a network not seen before: {network}."),
            reason: format!(
                "First accepted call from {network}; {} networks were known from {} calls since {}.",
                key.networks.entries().len(),
                key.accepted,
                rfc3339(first_seen)
            ),
            source: sight.source(),
            evidence: vec![
                ("known", known.into()),
                ("known_networks", key.networks.entries().len().into()),
                ("known_calls", key.accepted.into()),
                ("watched_since", rfc3339(first_seen).into()),
                ("novelty", key.networks.novelty().into()),
            ],
        }))
    }
}
