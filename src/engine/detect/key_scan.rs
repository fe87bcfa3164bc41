//! `key_scan`: one source that tries many keys.

use crate::alert::Kind;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sign, Verdict, Weight, source_of};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::engine::source::SourceSight;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::KeyScan,
    doc: "One network (/24, /48) that within an hour tries many keys that nobody has, or comes with keys of several merchants \
          none of which knows it, and not with their usual program. One alert for each network.",
    fires: Fires::OnSource,
    params: &[
        ParamSpec {
            name: "min_keys",
            ty: ParamType::Count { min: 2, max: 1_000_000_000, default: 8 },
            doc: "Calls with keys that nobody has, within an hour, that it takes.",
        },
        ParamSpec {
            name: "min_merchants",
            ty: ParamType::Count { min: 2, max: 256, default: 3 },
            doc: "Merchants whose keys it uses or tries, within an hour, that it takes instead.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: 10 * MINUTE, max: 7 * DAY, default: HOUR },
            doc: "How long without a further try ends the alert.",
        },
    ],
    build: |p| Box::new(KeyScan::new(p)),
};

/// What the rule asks of a network at the doors of several merchants.
#[derive(Clone, Copy, Debug)]
pub struct AskOfDoors {
    /// Merchants that it takes.
    pub min_merchants: u64,
    /// How long without a further knock ends it.
    pub quiet: Millis,
}

#[derive(Debug)]
struct KeyScan {
    min_keys: u64,
    min_merchants: u64,
    quiet: Millis,
}

impl KeyScan {
    fn new(p: &Params) -> Self {
        KeyScan { min_keys: p.count("min_keys"), min_merchants: p.count("min_merchants"), quiet: p.duration("quiet") }
    }
}

impl Detector for KeyScan {
    fn asks_of_doors(&self) -> Option<AskOfDoors> {
        Some(AskOfDoors { min_merchants: self.min_merchants, quiet: self.quiet })
    }

    fn on_source(&self, sight: &SourceSight<'_>) -> Verdict {
        if sight.unknown < self.min_keys || sight.unknown < sight.malformed {
            return Verdict::Nothing;
        }
        let ts = sight.event.ts;
        let what = format!("{} calls within an hour with keys that nobody has", sight.unknown);
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: sight.since,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.8,
            summary: format!("{} tries keys: {what}.", sight.network),
            reason: format!("From {} came {what}.", sight.network),
            source: source_of(sight.event),
            evidence: vec![
                ("observed", sight.unknown.into()),
                ("window", "1h".into()),
                ("different_keys", sight.n_keys.into()),
            ],
        }))
    }
}
