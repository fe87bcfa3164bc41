//! `new_ip`: accepted use of a key from a network that neither it nor its merchant's other keys have used.

use serde_json::json;

use crate::alert::Kind;
use crate::engine::baseline::networks::Network;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::NewIp,
    doc: "First accepted use of a key from a network (/24, /48) that neither the key nor its merchant's other keys have \
          used. Quiet while the key is being learned, and for keys that often show new networks.",
    fires: Fires::OnAccepted,
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
        if !sight.accepted() || sight.merchant.networks.trusts(network) {
            return Verdict::Nothing;
        }
        if let Some(seen) = key.networks.get(network) {
            // Further calls are counted in the open case, if there is one; they do not make it last.
            return if seen.suspect { self.sign(sight, network, seen.first_at, false) } else { Verdict::Nothing };
        }
        let Some(first_seen) = key.first_seen else { return Verdict::Nothing };
        let learned =
            ts - first_seen >= self.learning && key.accepted >= self.min_calls && !key.networks.entries().is_empty();
        let settled = key.networks.new_since((ts - 7 * DAY).max(first_seen + self.learning)) <= self.max_new_per_week
            && key.networks.novelty() <= self.max_novelty;
        if !learned || !settled {
            return Verdict::Nothing;
        }
        self.sign(sight, network, ts, true)
    }
}

impl NewIp {
    fn sign(&self, sight: &Sight<'_>, network: Network, first_at: Millis, opens: bool) -> Verdict {
        let key = sight.key;
        if !opens {
            // Only counted: nothing of the first sign's words changes.
            return Verdict::Sign(Box::new(Sign {
                opens,
                part: part(network),
                starts_at: first_at,
                last_at: first_at,
                quiet: Some(self.quiet),
                severity: Weight::AsTheRule,
                score: 0.0,
                summary: String::new(),
                reason: String::new(),
                source: sight.source(),
                evidence: Vec::new(),
            }));
        }
        let mut known: Vec<_> = key.networks.entries().iter().filter(|s| !s.suspect).collect();
        known.sort_by_key(|s| (std::cmp::Reverse(s.calls), s.network));
        let known: Vec<_> =
            known.iter().take(3).map(|s| json!({"network": s.network.to_string(), "calls": s.calls})).collect();
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: part(network),
            starts_at: first_at,
            last_at: first_at,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.8,
            summary: format!("The key was used from a network not seen before: {network}."),
            reason: format!(
                "First accepted call from {network}. Until then {} from {}.",
                count(key.accepted, "call came", "calls came"),
                count(key.networks.entries().len() as u64, "network", "networks")
            ),
            source: sight.source(),
            evidence: vec![
                ("known", known.into()),
                ("known_networks", key.networks.entries().len().into()),
                ("known_calls", key.accepted.into()),
                ("watched_since", key.first_seen.map(rfc3339).into()),
                ("novelty", key.networks.novelty().into()),
            ],
        }))
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn part(network: Network) -> String {
    format!("network {network}")
}
