//! `malformed_key`: one source that keeps sending what is no key of ours.

use crate::alert::Kind;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sign, Verdict, Weight, source_of};
use crate::engine::params::{ParamSpec, ParamType};
use crate::engine::source::SourceSight;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::MalformedKey,
    doc: "Many calls without a key, or with what is none, from one network (/24, /48) within an hour. Nobody knows whose they \
          are: it is a program with the wrong setting, or somebody who tries something out. One alert for each network.",
    fires: Fires::OnSource,
    params: &[
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 2, max: 1_000_000_000, default: 12 },
            doc: "Such calls within an hour that it takes.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: 10 * MINUTE, max: 7 * DAY, default: HOUR },
            doc: "How long without such a call ends the alert.",
        },
    ],
    build: |p| Box::new(MalformedKey { min_calls: p.count("min_calls"), quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct MalformedKey {
    min_calls: u64,
    quiet: Millis,
}

impl Detector for MalformedKey {
    fn on_source(&self, sight: &SourceSight<'_>) -> Verdict {
        if sight.malformed < self.min_calls || sight.malformed < sight.unknown {
            return Verdict::Nothing;
        }
        let ts = sight.event.ts;
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: sight.since,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.5,
            summary: format!("{} calls from {} carry no key of ours.", sight.malformed, sight.network),
            reason: format!("{} calls within an hour had no key, or a malformed one.", sight.malformed),
            source: source_of(sight.event),
            evidence: vec![("observed", sight.malformed.into()), ("window", "1h".into())],
        }))
    }
}
