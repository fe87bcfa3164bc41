//! `env_mismatch`: a test key at the live endpoint (a broken go-live), or a live key at the sandbox (a leaked secret).

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::{Env, Refusal};
use crate::time::{DAY, HOUR, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::EnvMismatch,
    doc: "A key used at the endpoint of the other environment, accepted or refused. One alert for each direction. A live \
          key at the sandbox is at least `high`: the secret now lies in a system with weaker guards.",
    fires: Fires::OnEvents,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long without another such call ends the alert.",
    }],
    build: |p: &Params| Box::new(EnvMismatch { quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct EnvMismatch {
    quiet: Millis,
}

impl Detector for EnvMismatch {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(key_env) = sight.key_env else { return Verdict::Nothing };
        let told = sight.event.reason == Some(Refusal::EnvMismatch);
        if sight.event.endpoint_env.map_or(!told, |endpoint| endpoint == key_env) {
            return Verdict::Nothing;
        }
        let (direction, severity, summary) = match key_env {
            Env::Test => ("test_key_at_live", Weight::AsTheRule, "A test key was used at the live endpoint."),
            Env::Live => ("live_key_at_test", Weight::AtLeast(Severity::High), "A live key was used at the sandbox."),
        };
        let ts = sight.event.ts;
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: direction.into(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity,
            score: 0.9,
            summary: summary.into(),
            reason: summary.into(),
            source: sight.source(),
            evidence: vec![("direction", direction.into())],
        }))
    }
}
