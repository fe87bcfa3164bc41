//! `suspended_use`: a key of a merchant whose account is suspended is still sent.

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::Refusal;
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::SuspendedUse,
    doc: "Use of any key of a merchant whose account is suspended at that time, by the facts or by the gateway's own \
          refusal. `critical` where such a call was accepted: the gateway does not enforce the suspension.",
    fires: Fires::OnEvents,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long without another such call ends the alert.",
    }],
    build: |p| Box::new(SuspendedUse { quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct SuspendedUse {
    quiet: Millis,
}

impl Detector for SuspendedUse {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let ts = sight.event.ts;
        let since = sight.merchant_facts.and_then(|facts| facts.suspended_since(ts));
        if since.is_none() && sight.event.reason != Some(Refusal::AccountSuspended) {
            return Verdict::Nothing;
        }
        let accepted = sight.accepted();
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: if accepted { Weight::AtLeast(Severity::Critical) } else { Weight::AsTheRule },
            score: if accepted { 1.0 } else { 0.7 },
            summary: if accepted {
                "A call was accepted although the account is suspended.".into()
            } else {
                "A key of a suspended account is still sent.".into()
            },
            reason: if accepted {
                "A call with a key of the suspended account was accepted.".into()
            } else {
                "A call with a key of the suspended account was refused.".into()
            },
            source: sight.source(),
            evidence: since.map(|at| ("suspended_at", rfc3339(at).into())).into_iter().collect(),
        }))
    }
}
