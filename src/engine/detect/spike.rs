//! `spike`: far more accepted calls than the key makes at this hour, in windows from four minutes to a day.

use crate::alert::{Kind, Severity};
use crate::engine::baseline::rates::Ask;
use crate::engine::detect::volume::{self, odds_sentence, surprise_of};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::Env;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// Windows of a day that are told apart: of 4, 10, 30 and 60 minutes, of 3, 6 and 24 hours. They overlap, so all of them
/// count as the hours do.
const TESTS_A_DAY: f64 = 12.0;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::Spike,
    doc: "Accepted calls in the last 4, 10, 30 or 60 minutes, 3 or 6 hours, or day beyond what the key's own hours of the week and \
          its scatter make likely (negative binomial, with a tail fitted to the key). Fires as soon as the count passes \
          the limit, before the window ends. A burst of a few minutes is no spike unless it is large, since everybody tries \
          again when a gateway is slow; a key that works in bursts must make a larger one than ever, and what came at this \
          time of day before is usual there. What is far more than ever in two weeks, spread over its window, takes less. On days on which bills are made much is allowed, unless most of it is declined payments. Test keys are spared: load is tested with them.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "budget",
            ty: ParamType::Number { min: 1e-6, max: 1000.0, default: 0.4 },
            doc: "False alerts accepted in 1,000 key-days.",
        },
        ParamSpec {
            name: "min_extra",
            ty: ParamType::Count { min: 1, max: 1_000_000_000, default: 20 },
            doc: "Calls above the expected ones that it takes at least.",
        },
        ParamSpec {
            name: "learning_days",
            ty: ParamType::Count { min: 1, max: 60, default: 5 },
            doc: "Days that the usual calls must have been learned from.",
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
    ask: Ask,
    learning_days: u8,
    quiet: Millis,
}

impl Spike {
    fn new(p: &Params) -> Self {
        Spike {
            ask: Ask::new(surprise_of(p.number("budget"), TESTS_A_DAY), p.count("min_extra") as f64),
            learning_days: p.count("learning_days") as u8,
            quiet: p.duration("quiet"),
        }
    }
}

impl Detector for Spike {
    fn needs_window(&self) -> bool {
        true
    }

    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        if !sight.accepted() || !sight.key.rates.is_learned(self.learning_days) {
            return Verdict::Nothing;
        }
        // Load is tested with test keys: that is what they are for.
        if sight.key_env == Some(Env::Test) {
            return Verdict::Nothing;
        }
        // Nobody's bills are declined for the most part: who has that tries out cards.
        let declined = sight.key.declines.most();
        let ask = Ask { is_no_job: declined.is_some(), ..self.ask };
        let Some(excess) = sight.key.rates.too_many(sight.event.ts, &ask) else {
            return Verdict::Nothing;
        };
        let window = excess.window;
        let made = format!("{} in {}", volume::calls(window.observed), volume::length(window.length));
        let mut evidence = volume::evidence(&excess, TESTS_A_DAY, &sight.key.rates, sight.event.ts);
        if let Some([declined, calls]) = declined {
            evidence.extend([("declined_payments", declined.into()), ("of_calls", calls.into())]);
        }
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: excess.since,
            last_at: sight.event.ts,
            quiet: Some(self.quiet),
            severity: declined.map_or(Weight::AsTheRule, |_| Weight::AtLeast(Severity::High)),
            score: (0.5 + excess.surprise / 200.0).min(0.8),
            summary: format!("{made}; {}.", volume::usual(window.expected, window.length)),
            reason: format!(
                "{made}; up to {} are usual for this key {}. {}{}{}",
                volume::number(excess.usual_up_to.unwrap_or(window.observed)),
                if window.length <= HOUR { "at this hour" } else { "in such a time" },
                volume::record(&excess),
                declined.map_or_else(String::new, |[declined, calls]| format!(
                    "{} of the last {} were declined payments, as where stolen cards are tried out. ",
                    volume::number(declined.into()),
                    volume::calls(calls.into())
                )),
                odds_sentence(excess.surprise, TESTS_A_DAY)
            ),
            source: None,
            evidence,
        }))
    }
}
