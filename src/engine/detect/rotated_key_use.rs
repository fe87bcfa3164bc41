//! `rotated_key_use`: an integration still sends a key that was replaced and whose grace is over.

use crate::alert::{Kind, Severity};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::Refusal;
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::RotatedKeyUse,
    doc: "Use of a key that a newer one has replaced, after its grace. The evidence names the networks and user agents \
          that still send it, since that is what the merchant must change. At least `high` where such a call was accepted.",
    fires: Fires::OnEvents,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long without another such call ends the alert.",
    }],
    build: |p| Box::new(RotatedKeyUse { quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct RotatedKeyUse {
    quiet: Millis,
}

impl Detector for RotatedKeyUse {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let ts = sight.event.ts;
        let by_facts = sight.facts.is_some_and(|f| f.is_rotated_out(ts) && !f.is_revoked(ts));
        if !by_facts && sight.event.reason != Some(Refusal::RotatedKey) {
            return Verdict::Nothing;
        }
        let mut evidence = Vec::new();
        if let Some(facts) = sight.facts.filter(|f| f.replaced_at.is_some_and(|at| at <= ts)) {
            evidence.extend(facts.replaced_at.map(|at| ("replaced_at", rfc3339(at).into())));
            evidence.extend(facts.grace_until.map(|at| ("grace_until", rfc3339(at).into())));
            evidence.extend(facts.replaced_by.clone().map(|key| ("replaced_by", key.into())));
        }
        let accepted = sight.accepted();
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: if accepted { Weight::AtLeast(Severity::High) } else { Weight::AsTheRule },
            score: if accepted { 0.95 } else { 0.85 },
            summary: "A key that has been replaced is still in use.".into(),
            reason: if accepted {
                "A call with the replaced key was accepted after its grace had ended.".into()
            } else {
                "A call with the replaced key was refused.".into()
            },
            source: sight.source(),
            evidence,
        }))
    }
}
