//! `revoked_key_use`: somebody still has a key that was revoked.

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::Refusal;
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::RevokedKeyUse,
    doc: "Use of a revoked key, by the facts or by the gateway's own refusal. `critical` where such a call was accepted: \
          the gateway does not enforce the revocation.",
    fires: Fires::OnEvents,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long without another such call ends the alert.",
    }],
    build: |p| Box::new(RevokedKeyUse { quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct RevokedKeyUse {
    quiet: Millis,
}

impl Detector for RevokedKeyUse {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let ts = sight.event.ts;
        let by_facts = sight.facts.is_some_and(|f| f.is_revoked(ts));
        if !by_facts && sight.event.reason != Some(Refusal::RevokedKey) {
            return Verdict::Nothing;
        }
        let accepted = sight.accepted();
        let mut evidence = Vec::new();
        if let Some(facts) = sight.facts.filter(|_| by_facts) {
            evidence.extend(facts.revoked_at.map(|at| ("revoked_at", rfc3339(at).into())));
            evidence.extend(facts.revoked_reason.clone().map(|reason| ("revoked_reason", reason.into())));
        }
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: if accepted { Weight::AtLeast(Severity::Critical) } else { Weight::AsTheRule },
            score: if accepted { 1.0 } else { 0.85 },
            summary: "A revoked key was used.".into(),
            reason: if accepted {
                "A call with the revoked key was accepted.".into()
            } else {
                "A call with the revoked key was refused.".into()
            },
            source: sight.source(),
            evidence,
        }))
    }
}
