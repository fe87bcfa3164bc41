//! `custom` and `threshold`: what no detector covers, said by the rule's own condition.

use crate::alert::Kind;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::time::{DAY, HOUR, MINUTE, Millis, duration_text};

const QUIET: ParamSpec = ParamSpec {
    name: "quiet",
    ty: ParamType::Duration { min: MINUTE, max: 30 * DAY, default: HOUR },
    doc: "How long without another such call ends the alert.",
};

/// `custom`: one call is enough.
pub const CUSTOM: DetectorSpec = DetectorSpec {
    kind: Kind::Custom,
    doc: "A call that the rule's `condition` is true of. One alert for each group of `group_by`.",
    fires: Fires::OnCondition,
    params: &[QUIET],
    build: |p: &Params| Box::new(OnCondition { count: 1, window: 0, quiet: p.duration("quiet") }),
};

/// `threshold`: so many in a window.
pub const THRESHOLD: DetectorSpec = DetectorSpec {
    kind: Kind::Threshold,
    doc: "As many calls in a sliding window as the rule says, of those that its `condition` is true of. Counted for each key \
          and group of `group_by`, in twelfths of the window. Late calls are not counted.",
    fires: Fires::OnCondition,
    params: &[
        ParamSpec {
            name: "count",
            ty: ParamType::Count { min: 2, max: 1_000_000_000, default: 20 },
            doc: "Calls that it takes.",
        },
        ParamSpec {
            name: "window",
            ty: ParamType::Duration { min: MINUTE, max: 7 * DAY, default: 10 * MINUTE },
            doc: "The time in which they must come.",
        },
        QUIET,
    ],
    build: |p: &Params| {
        Box::new(OnCondition { count: p.count("count"), window: p.duration("window"), quiet: p.duration("quiet") })
    },
};

#[derive(Debug)]
struct OnCondition {
    count: u64,
    window: Millis,
    quiet: Millis,
}

impl Detector for OnCondition {
    fn counts_in(&self) -> Option<Millis> {
        Some(self.window)
    }

    fn needs_window(&self) -> bool {
        self.window > 0
    }

    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(counted) = &sight.counted else { return Verdict::Nothing };
        let ts = sight.event.ts;
        let mut evidence = Vec::new();
        let reason = match self.window {
            0 => "A call was such as the rule describes.".to_owned(),
            window => {
                evidence.push(("observed", counted.calls.into()));
                evidence.push(("limit", self.count.into()));
                evidence.push(("window", duration_text(window).into()));
                format!(
                    "{} such calls in {}; the rule tells from {} on.",
                    counted.calls,
                    duration_text(window),
                    self.count
                )
            }
        };
        Verdict::Sign(Box::new(Sign {
            opens: self.count <= counted.calls,
            part: counted.group.clone(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.5,
            // The rule's title says it.
            summary: String::new(),
            reason,
            source: sight.source(),
            evidence,
        }))
    }
}
