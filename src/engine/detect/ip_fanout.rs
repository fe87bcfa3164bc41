//! `ip_fanout`: one key from many new networks within an hour: it has been published, or sits in programs of customers.

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::Known;
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::Env;
use crate::time::{DAY, HOUR, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::IpFanout,
    doc: "Accepted calls of one key from many networks within an hour that are new to it and to its merchant. Further \
          networks of a provider that the key uses several networks of do not count, nor do any of a test key's provider, and keys that change networks by \
          habit are spared.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "networks",
            ty: ParamType::Count { min: 2, max: 24, default: 5 },
            doc: "New networks within an hour that it takes.",
        },
        ParamSpec {
            name: "max_new_per_week",
            ty: ParamType::Count { min: 0, max: 32, default: 4 },
            doc: "A key that showed more new networks than this in the week before changes networks by habit: no alert.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long without a call from a new network ends the alert.",
        },
    ],
    build: |p| Box::new(IpFanout::new(p)),
};

/// It begins with less than so many times the networks that it takes.
const BEGINNING: usize = 3;

#[derive(Debug)]
struct IpFanout {
    networks: usize,
    max_new_per_week: usize,
    quiet: Millis,
}

impl IpFanout {
    fn new(p: &Params) -> Self {
        IpFanout {
            networks: p.count("networks") as usize,
            max_new_per_week: p.count("max_new_per_week") as usize,
            quiet: p.duration("quiet"),
        }
    }
}

impl Detector for IpFanout {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(novelty) = &sight.novelty else { return Verdict::Nothing };
        if !novelty.network.is_novel() || novelty.is_roaming {
            return Verdict::Nothing;
        }
        // Machines that build run wherever their provider has room.
        if sight.key_env == Some(Env::Test) && novelty.provider == Known::Yes {
            return Verdict::Nothing;
        }
        let (key, ts) = (sight.key, sight.event.ts);
        let is_new = novelty.network == crate::engine::baseline::values::Newness::New;
        let many = key.networks.suspects_since(ts - HOUR) + usize::from(is_new);
        let learned_at = key.baseline_since().unwrap_or(ts) + 3 * DAY;
        let before =
            key.networks.new_since((ts - 7 * DAY).max(learned_at)).saturating_sub(key.networks.new_since(ts - HOUR));
        // With so many at once the week before is forgotten already: it was judged when it began.
        if !sight.open && BEGINNING * self.networks <= many {
            return Verdict::Nothing;
        }
        if many < self.networks || self.max_new_per_week < before || !key.knows_its_networks(ts - HOUR) {
            return Verdict::Nothing;
        }
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AtLeast(Severity::High),
            score: 0.95,
            summary: format!("The key was used from {many} new networks within an hour."),
            reason: format!("Calls came from {many} new networks within an hour; in the week before it was {before}."),
            source: sight.source(),
            evidence: vec![
                ("observed", many.into()),
                ("expected", before.into()),
                ("window", "1h".into()),
                ("known_networks", (key.networks.entries().len() - key.networks.suspects_since(0)).into()),
            ],
        }))
    }
}
