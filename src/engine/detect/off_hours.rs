//! `off_hours`: calls at an hour at which this key is always still.

use crate::alert::Kind;
use crate::engine::baseline::rates::Ask;
use crate::engine::detect::volume::{self, odds_sentence, surprise_of};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::Env;
use crate::time::{DAY, HOUR, Millis};

/// Hours of a day that are told apart.
const TESTS_A_DAY: f64 = 12.0;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::OffHours,
    doc: "Accepted calls at an hour of the week at which the key is always still, and so are the hours beside it. Only for \
          keys with a rhythm; keys that work in bursts are spared, and so are test keys, and what a key may bill around the beginning of a \
          month.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "budget",
            ty: ParamType::Number { min: 1e-6, max: 1000.0, default: 0.2 },
            doc: "False alerts accepted in 1,000 key-days.",
        },
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 2, max: 1_000_000, default: 6 },
            doc: "Calls within an hour that it takes at least.",
        },
        ParamSpec {
            name: "learning_days",
            ty: ParamType::Count { min: 7, max: 90, default: 14 },
            doc: "Days that the still hours must have been learned from: each day of the week twice.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long without such a call ends the alert.",
        },
    ],
    build: |p| Box::new(OffHours::new(p)),
};

#[derive(Debug)]
struct OffHours {
    ask: Ask,
    learning_days: u8,
    quiet: Millis,
}

impl OffHours {
    fn new(p: &Params) -> Self {
        OffHours {
            ask: Ask::new(surprise_of(p.number("budget"), TESTS_A_DAY), p.count("min_calls") as f64),
            learning_days: p.count("learning_days") as u8,
            quiet: p.duration("quiet"),
        }
    }
}

impl Detector for OffHours {
    fn needs_window(&self) -> bool {
        true
    }

    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        // Developers work when they like.
        let is_of_developers = sight.key_env == Some(Env::Test);
        if !sight.accepted() || is_of_developers || sight.key.rates.days_learned() < self.learning_days {
            return Verdict::Nothing;
        }
        let Some(excess) = sight.key.rates.off_hours(sight.event.ts, &self.ask) else { return Verdict::Nothing };
        let window = excess.window;
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: excess.since,
            last_at: sight.event.ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.5,
            summary: format!("{} calls at an hour at which the key is always still.", window.observed),
            reason: format!(
                "{} calls within an hour at which this key made hardly any in {} days. {}",
                window.observed,
                sight.key.rates.days_learned(),
                odds_sentence(excess.surprise, TESTS_A_DAY)
            ),
            source: sight.source(),
            evidence: volume::evidence(&excess, TESTS_A_DAY, &sight.key.rates, sight.event.ts),
        }))
    }
}
