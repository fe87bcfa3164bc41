//! `drop`: a key that always calls falls silent, or nearly so.

use serde_json::json;

use crate::alert::{Kind, plural};
use crate::engine::baseline::networks::NetworkBook;
use crate::engine::baseline::rates::Ask;
use crate::engine::detect::volume::{self, odds_in_words, odds_sentence, surprise_of};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Still, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::Env;
use crate::event::facts::MerchantFacts;
use crate::event::holidays::Holidays;
use crate::time::{DAY, HOUR, MINUTE, Millis, duration_text, rfc3339};

/// Silences of a day that are told apart.
const TESTS_A_DAY: f64 = 24.0;
/// Times of few calls that are told apart: several lengths are looked at in each hour, and mostly say the same.
const FEW_TESTS_A_DAY: f64 = 48.0;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::Drop,
    doc: "No accepted call of a key for so long, or so few in 1 to 12 hours, that its own hours of the week and its scatter \
          make it unlikely; or a daily job that did not run in its hours. Only for live keys with a rhythm: other bursts are spared. A working day whose work has not begun may be a day off \
          for a key that rests at weekends, and so may the public holidays of the merchant's country for one that is shut at night. Time of which nothing was seen (messages \
          lost, the whole stream silent) is not silence, and neither is a key that was replaced or revoked.",
    fires: Fires::ByTime,
    params: &[
        ParamSpec {
            name: "budget",
            ty: ParamType::Number { min: 1e-6, max: 1000.0, default: 0.2 },
            doc: "False alerts accepted in 1,000 key-days.",
        },
        ParamSpec {
            name: "min_expected",
            ty: ParamType::Count { min: 3, max: 1_000_000_000, default: 15 },
            doc: "Calls that must have been expected.",
        },
        ParamSpec {
            name: "learning_days",
            ty: ParamType::Count { min: 2, max: 60, default: 8 },
            doc: "Days that the usual calls must have been learned from.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: 10 * MINUTE, max: 7 * DAY, default: 60 * MINUTE },
            doc: "How long calls must be back before the alert of a partial drop ends.",
        },
    ],
    build: |p| Box::new(Fall::new(p)),
};

#[derive(Debug)]
struct Fall {
    ask: Ask,
    ask_of_few: Ask,
    learning_days: u8,
    quiet: Millis,
}

impl Fall {
    fn new(p: &Params) -> Self {
        let ask = |tests| Ask::new(surprise_of(p.number("budget"), tests), p.count("min_expected") as f64);
        Fall {
            ask: ask(TESTS_A_DAY),
            ask_of_few: ask(FEW_TESTS_A_DAY),
            learning_days: p.count("learning_days") as u8,
            quiet: p.duration("quiet"),
        }
    }
}

/// Since when a key is silent: since then neither it nor the one that it replaces was used, and the stream was seen.
fn silent_from(still: &Still<'_>) -> Option<Millis> {
    let last = still.key.last_accepted?;
    let before = still.replaced.as_ref().and_then(|old| old.last_accepted);
    Some(last.max(before.unwrap_or(last)).max(still.watch.seen_again_at().unwrap_or(last)))
}

/// Since when its calls are missing, and how many came all the same.
fn missing_since(still: &Still<'_>) -> Option<(Millis, u64)> {
    Some(still.key.rates.missing_since(silent_from(still)?, still.watch.seen_again_at()))
}

/// The public holidays on which a key may rest.
fn holidays_while(still: &Still<'_>) -> Holidays {
    holidays_of(still.merchant_id.and_then(|id| still.book.merchant(id)), &still.key.networks)
}

/// The public holidays of a merchant's country: that of its time zone, else the only one that the key's networks are in.
fn holidays_of(merchant: Option<&MerchantFacts>, networks: &NetworkBook) -> Holidays {
    let country = merchant.and_then(MerchantFacts::country).or_else(|| networks.only_country());
    country.map_or(Holidays::NONE, Holidays::of)
}

impl Detector for Fall {
    fn needs_window(&self) -> bool {
        true
    }

    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (rates, ts) = (&sight.key.rates, sight.event.ts);
        if !sight.accepted() || sight.novelty.is_none() || sight.key_env == Some(Env::Test) {
            return Verdict::Nothing;
        }
        if sight.open && rates.is_back_to_stay(ts) {
            return Verdict::End(ts);
        }
        // What is being replaced gets fewer calls.
        let is_ending = sight.facts.is_some_and(|f| f.replaced_at.is_some_and(|at| at <= ts))
            || sight.merchant_facts.is_some_and(|merchant| merchant.suspended_since(ts).is_some());
        // What replaces another shares its work until that has stopped.
        let is_shared =
            sight.replaced.as_ref().is_some_and(|old| old.last_accepted.is_some_and(|last| ts - HOUR <= last));
        if rates.days_learned() < self.learning_days || is_ending || is_shared {
            return Verdict::Nothing;
        }
        let Some(few) = rates.too_few(ts, &self.ask_of_few) else { return Verdict::Nothing };
        let window = few.window;
        if rates.may_be_holiday(few.since, ts, holidays_of(sight.merchant_facts, &sight.key.networks)) {
            return Verdict::Nothing;
        }
        // A window of which nothing is known in part says nothing.
        let is_seen = sight.watch.seen_again_at().is_none_or(|since| since + 15 * MINUTE <= window.starts_at);
        if rates.is_back(ts) || !is_seen {
            return Verdict::Nothing;
        }
        let length = match window.length {
            HOUR => "an hour".to_owned(),
            length => duration_text(length),
        };
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: few.since,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.6,
            summary: format!("{} calls in {length}; about {:.0} are usual.", window.observed, window.expected),
            reason: format!(
                "{} calls in {length}; about {:.0} are usual at this time. {}",
                window.observed,
                window.expected,
                volume::least(&few).unwrap_or_else(|| odds_sentence(few.surprise, FEW_TESTS_A_DAY))
            ),
            source: None,
            evidence: volume::evidence(&few, FEW_TESTS_A_DAY, rates, ts),
        }))
    }

    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let rates = &still.key.rates;
        // Developers work when they like.
        let is_of_developers = still.key_env == Some(Env::Test);
        if open || is_of_developers || rates.days_learned() < self.learning_days || still.watch.in_gap {
            return None;
        }
        let (from, _) = missing_since(still)?;
        let merchant = still.merchant_id.and_then(|id| still.book.merchant(id));
        let due = rates.silence_due(from, &Ask { holidays: holidays_while(still), ..self.ask })?;
        // What has ended falls silent, and so do the keys of an account that was suspended.
        let ended = still
            .facts
            .is_some_and(|f| [f.revoked_at, f.replaced_at, f.expires_at].into_iter().flatten().any(|at| at <= due));
        let suspended = merchant.is_some_and(|merchant| merchant.suspended_since(due).is_some());
        (!ended && !suspended).then_some(due)
    }

    fn on_timer(&self, at: Millis, still: &Still<'_>, open: bool) -> Verdict {
        let (rates, Some((from, observed))) = (&still.key.rates, missing_since(still)) else { return Verdict::Nothing };
        if open {
            return Verdict::Nothing;
        }
        let expected = rates.expected_in_silence(from, at, holidays_while(still));
        let silent_for = duration_text((at - from) / MINUTE * MINUTE);
        let [came, accepted] = match observed {
            0 => ["No calls for", "No accepted call for"].map(str::to_owned),
            n => [
                format!("{} in", plural(n as usize, "call")),
                format!("Only {} in", plural(n as usize, "accepted call")),
            ],
        };
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: from,
            last_at: at,
            quiet: None,
            severity: Weight::AsTheRule,
            score: 0.65,
            summary: format!("{came} {silent_for}; about {expected:.0} are usual."),
            reason: format!(
                "{accepted} {silent_for}; about {expected:.0} were to be expected. {}",
                odds_sentence(self.ask.surprise, TESTS_A_DAY)
            ),
            source: None,
            evidence: vec![
                ("observed", observed.into()),
                ("expected", json!((expected * 10.0).round() / 10.0)),
                ("window", silent_for.into()),
                ("odds", odds_in_words(self.ask.surprise, TESTS_A_DAY).into()),
                ("last_used_at", still.key.last_accepted.map(rfc3339).into()),
                ("learned_days", rates.days_learned().into()),
                ("series", volume::series(rates, at)),
            ],
        }))
    }
}
