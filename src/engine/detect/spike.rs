//! `spike`: far more accepted calls than the key makes at this hour. The plain form: ten minutes and one hour.

use serde_json::json;

use crate::alert::Kind;
use crate::engine::baseline::rates::Window;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::engine::subject::KeyFeatures;
use crate::time::{DAY, HOUR, MINUTE, Millis, duration_text};

/// Windows that end in a day: 144 of ten minutes and 24 of an hour share the budget.
const TESTS_A_DAY: f64 = 144.0 + 24.0;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::Spike,
    doc: "Accepted calls in ten minutes or an hour beyond what the key's own hour-of-day profile and scatter make likely \
          (negative binomial). Fires as soon as the count passes the limit, before the window ends.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "budget",
            ty: ParamType::Number { min: 1e-6, max: 1000.0, default: 0.3 },
            doc: "False alerts accepted in 1,000 key-days.",
        },
        ParamSpec {
            name: "min_extra",
            ty: ParamType::Count { min: 1, max: 1_000_000_000, default: 30 },
            doc: "Calls above the expected ones that it takes at least.",
        },
        ParamSpec {
            name: "learning_days",
            ty: ParamType::Count { min: 2, max: 60, default: 7 },
            doc: "Days that the profile must have been learned from.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: 10 * MINUTE, max: 7 * DAY, default: HOUR },
            doc: "How long the counts must be back in the band before the alert ends.",
        },
    ],
    build: |p| Box::new(Spike::new(p)),
};

#[derive(Debug)]
struct Spike {
    odds: f64,
    min_extra: f64,
    learning_days: u8,
    quiet: Millis,
}

impl Spike {
    fn new(p: &Params) -> Self {
        Spike {
            odds: (p.number("budget") / 1000.0 / TESTS_A_DAY).min(0.5),
            min_extra: p.count("min_extra") as f64,
            learning_days: p.count("learning_days") as u8,
            quiet: p.duration("quiet"),
        }
    }
}

impl Spike {
    fn is_much(&self, window: &Window) -> bool {
        window.observed as f64 - window.expected >= self.min_extra
    }
}

impl Detector for Spike {
    fn needs_window(&self) -> bool {
        true
    }

    fn limit_odds(&self, windows: &[Window; 2], key: &KeyFeatures) -> Option<f64> {
        let could_be = windows.iter().any(|window| self.is_much(window));
        (could_be && key.rates.days_learned() >= self.learning_days).then_some(self.odds)
    }

    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(windows) = &sight.windows else { return Verdict::Nothing };
        let over = |(window, limit): &&(Window, u64)| window.observed >= *limit && self.is_much(window);
        let Some((window, limit)) = windows.iter().find(over) else { return Verdict::Nothing };
        let length = duration_text(window.length);
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: window.starts_at,
            last_at: window.starts_at + window.length,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.7,
            summary: format!(
                "{} calls in {length}; about {:.0} are usual at this hour.",
                window.observed, window.expected
            ),
            reason: format!(
                "{} calls since the {length} began; up to {} are usual for this key at this hour.",
                window.observed,
                limit - 1
            ),
            source: None,
            evidence: vec![
                ("observed", window.observed.into()),
                ("expected", json!((window.expected * 10.0).round() / 10.0)),
                ("usual_up_to", (limit - 1).into()),
                ("window", length.into()),
                ("odds", json!(self.odds)),
                ("learned_days", sight.key.rates.days_learned().into()),
            ],
        }))
    }
}
