//! `platform_incident`: many merchants whose volume goes wrong at the same time. The second stage looks for it.

use crate::alert::Kind;
use crate::engine::detect::{Detector, DetectorSpec, Fires};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::PlatformIncident,
    doc: "Many merchants of whom calls are refused or stay away (`error_burst` and `drop`), or who call far more (`spike`), all \
          beginning within the same minutes; or one of them while far fewer merchants than usual call, or the calls of far more are \
          refused. One alert for operations, which takes the alerts of those keys over: their \
          merchants are not told. Goes on while half as many are still affected; what is left then is told to its merchant.",
    fires: Fires::Together,
    params: &[
        ParamSpec {
            name: "min_merchants",
            ty: ParamType::Count { min: 2, max: 1_000_000, default: 5 },
            doc: "Merchants that it takes at least.",
        },
        ParamSpec {
            name: "min_share",
            ty: ParamType::Number { min: 0.0, max: 1.0, default: 0.05 },
            doc: "The share of all merchants active in the last hour that it takes at least.",
        },
        ParamSpec {
            name: "within",
            ty: ParamType::Duration { min: MINUTE, max: HOUR, default: 30 * MINUTE },
            doc: "Within how long it must have begun at all of them.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: 10 * MINUTE, max: DAY, default: 30 * MINUTE },
            doc: "For how long no key must have joined or come back before it can end.",
        },
    ],
    build: |p| Box::new(PlatformIncident(Ask::new(p))),
};

/// What a rule asks of all shards together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Merchants that it takes at least.
    pub min_merchants: u64,
    /// The share of active merchants that it takes at least.
    pub min_share: f64,
    /// Within how long it must have begun.
    pub within: Millis,
    /// For how long no key must have joined or come back before it can end.
    pub quiet: Millis,
}

impl Ask {
    fn new(p: &Params) -> Self {
        Ask {
            min_merchants: p.count("min_merchants"),
            min_share: p.number("min_share"),
            within: p.duration("within"),
            quiet: p.duration("quiet"),
        }
    }

    /// Merchants that it takes where so many are active.
    pub fn merchants(&self, active: u64) -> u64 {
        self.min_merchants.max((self.min_share * active as f64).ceil() as u64)
    }
}

#[derive(Debug)]
struct PlatformIncident(Ask);

impl Detector for PlatformIncident {
    fn asks_of_all(&self) -> Option<Ask> {
        Some(self.0)
    }
}
