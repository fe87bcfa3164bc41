//! `error_burst`: a key's calls are refused in numbers: its integration broke, or somebody tries it out.

use serde_json::json;

use crate::alert::Kind;
use crate::engine::baseline::networks::Network;
use crate::engine::baseline::refusals::{Beside, Refusals};
use crate::engine::detect::volume::{length, odds_in_words, surprise_of};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::agent_of;
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::engine::subject::KeyFeatures;
use crate::event::{Outcome, Refusal};
use crate::time::{DAY, HOUR, MINUTE, Millis, duration_text};

/// Half hours and hours of a day in which a key has refusals at all: most have none in nearly all of them.
const TESTS_A_DAY: f64 = 8.0;
const WINDOWS: [Millis; 3] = [30 * MINUTE, HOUR, 3 * HOUR];
/// What others send is looked for in the first of them.
const WINDOWS_OF_OTHERS: usize = 2;
/// In the longer ones so many times `min_share` must be refused.
const LONG_SHARE_TIMES: f64 = 1.6;
/// Where a part of the platform fails, refusals of half an hour are no more than this part of the calls that are usual in it: by then they are
/// told. Of one call that is tried again they are more.
const OF_FLOW: f64 = 0.5;
/// How often a key must have been tried where no call is accepted any more, and for how long.
const TRIES: u32 = 4;
const TRIES_FOR: Millis = 30 * MINUTE;

/// Fewer refusals than so many times `min_calls` from the key's own networks within three hours may be of one call that was tried again and
/// again, unless they came in so many stretches of five minutes.
const ONE_CALL: [(u64, usize); 2] = [(2, 3), (3, 2)];
/// The same where fewer than `min_calls` of them did not come within ten minutes.
const ONE_CALL_TIMES: u64 = 3;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::ErrorBurst,
    doc: "Refused calls of a key in half an hour, an hour or three hours beyond what is usual for it, where they are a good part of all its calls. \
          From networks that the key has used it is an integration that broke, from others somebody who tries the key out; the \
          alert says which. A few from its own, most of them within ten minutes, may be one call that is tried again, and clumps that its program is often refused in are counted as one. Refusals that have a kind of their own (revoked, replaced, suspended, wrong environment) do not \
          count.",
    fires: Fires::OnEvents,
    params: &[
        ParamSpec {
            name: "budget",
            ty: ParamType::Number { min: 1e-6, max: 1000.0, default: 0.2 },
            doc: "False alerts accepted in 1,000 key-days.",
        },
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 2, max: 1_000_000_000, default: 5 },
            doc: "Refused calls that it takes at least.",
        },
        ParamSpec {
            name: "min_share",
            ty: ParamType::Number { min: 0.0, max: 1.0, default: 0.25 },
            doc: "The share of all calls that must be refused.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: 10 * MINUTE, max: 7 * DAY, default: HOUR },
            doc: "How long refusals must be back to usual before the alert ends.",
        },
    ],
    build: |p| Box::new(ErrorBurst::new(p)),
};

#[derive(Debug)]
struct ErrorBurst {
    surprise: f64,
    min_calls: u64,
    min_share: f64,
    quiet: Millis,
}

impl ErrorBurst {
    fn new(p: &Params) -> Self {
        ErrorBurst {
            surprise: surprise_of(p.number("budget"), TESTS_A_DAY),
            min_calls: p.count("min_calls"),
            min_share: p.number("min_share"),
            quiet: p.duration("quiet"),
        }
    }
}

/// Whether a refusal counts here, and not in a kind of its own.
pub fn counts(reason: Option<Refusal>) -> bool {
    use Refusal::{AccountSuspended, EnvMismatch, RevokedKey, RotatedKey};
    !matches!(reason, Some(AccountSuspended | EnvMismatch | RevokedKey | RotatedKey))
}

/// What a refusal means for the key's own program.
fn meaning(reason: Option<Refusal>, status: Option<u16>) -> String {
    match (reason, status) {
        (Some(Refusal::MalformedHeader | Refusal::MissingKey), _) => "the key's header is missing or broken".to_owned(),
        (Some(Refusal::MalformedKey | Refusal::UnknownKey), _) => "what is sent as a key is none".to_owned(),
        (Some(Refusal::ExpiredKey), _) => "the key has expired".to_owned(),
        (Some(Refusal::RateLimited), _) => "it calls more often than it may".to_owned(),
        (Some(_), _) => "the gateway refuses them".to_owned(),
        (None, Some(status)) => format!("no reason is given, status {status}"),
        (None, None) => "no reason is given".to_owned(),
    }
}

impl ErrorBurst {
    /// A key of few calls, of which for a while each was refused. Where one try in so many is refused, several tries one after the
    /// other, apart in time, are that many times as rare; the first may have any cause.
    fn only_refused(&self, key: &KeyFeatures, refusals: &Refusals, at: Millis) -> Option<(Millis, u64, u64, f64)> {
        let only = refusals.only_refused(key.last_accepted?, at);
        if only.calls < self.min_calls || only.buckets < TRIES || at - only.since < TRIES_FOR {
            return None;
        }
        let surprise = -f64::from(only.buckets - 1) * refusals.share(usual_hour(key)).ln();
        (self.surprise <= surprise).then_some(((at - only.since) / MINUTE * MINUTE, only.calls, only.calls, surprise))
    }

    /// Whether refusals from the key's own networks may be of one call that was tried again and again.
    fn may_be_one_call(&self, sight: &Sight<'_>, refusals: &Refusals) -> bool {
        let (event, key) = (sight.event, sight.key);
        let [tries, later] = refusals.beside_onset(event.ts);
        let stretches = refusals.stretches(event.ts);
        let is_few = |(times, of): (u64, usize)| tries < times * self.min_calls && stretches < of;
        // Where the gateway itself fails, single keys are what shows it.
        if event.status.is_none_or(|status| status < 500) && ONE_CALL.into_iter().any(is_few) {
            return true;
        }
        // Tried again after longer and longer waits, beside the usual calls. Where a part of the platform fails, whatever it says, it is the
        // usual calls that are refused.
        let flow = key.rates.expected_between(event.ts - WINDOWS[0], event.ts);
        tries < ONE_CALL_TIMES * self.min_calls
            && later < self.min_calls
            && refusals.are_of_one_endpoint(event.ts)
            && OF_FLOW * flow <= refusals.since(event.ts, WINDOWS[0]) as f64
    }
}

/// Calls of a key that are accepted in an average hour.
fn usual_hour(key: &KeyFeatures) -> f64 {
    key.rates.usual_day() / (DAY / HOUR) as f64
}

/// Whether a network is the key's own, or one of its provider's, as far as that can be told, from which its usual program calls.
fn is_home(sight: &Sight<'_>, network: Network) -> bool {
    let (event, key) = (sight.event, sight.key);
    let is_usual_program = || agent_of(event).is_some_and(|agent| key.agents.trusts(agent));
    key.networks.trusts(network) || (key.networks.is_akin(network, event.asn) && is_usual_program())
}

/// The same of calls that others send: what the key may do is not their fault.
fn word(reason: Option<Refusal>, status: Option<u16>) -> String {
    reason.map_or_else(|| meaning(None, status), |reason| reason.as_str().replace('_', " "))
}

impl Detector for ErrorBurst {
    fn needs_window(&self) -> bool {
        true
    }

    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (event, key) = (sight.event, sight.key);
        if event.outcome == Outcome::Ok || !counts(event.reason) {
            return Verdict::Nothing;
        }
        let Some(refusals) = &key.refusals else { return Verdict::Nothing };
        if key.accepted == 0 {
            return Verdict::Nothing;
        }
        let is_from_home = sight.network.is_none_or(|network| is_home(sight, network));
        // Others do not fail as the key's own program does.
        let clump = if is_from_home { refusals.clump() } else { 1.0 };
        let beside = |all: u64, refused: u64| Beside { accepted: all - refused, usual_hour: usual_hour(key) };
        let windows = if is_from_home { WINDOWS.len() } else { WINDOWS_OF_OTHERS };
        let found = WINDOWS.into_iter().take(windows).find_map(|window| {
            let refused = refusals.since(event.ts, window);
            if refused < self.min_calls {
                return None;
            }
            let all = refused + key.rates.calls_since(event.ts, window);
            let surprise = refusals.surprise(event.ts, window, beside(all, refused), clump);
            let min_share = if window <= HOUR { self.min_share } else { LONG_SHARE_TIMES * self.min_share };
            let is_much = min_share <= refused as f64 / all as f64 && self.surprise <= surprise;
            is_much.then_some((window, refused, all, surprise))
        });
        let found = found.or_else(|| self.only_refused(key, refusals, event.ts));
        let Some((window, refused, all, surprise)) = found else { return Verdict::Nothing };
        if is_from_home && self.may_be_one_call(sight, refusals) {
            return Verdict::Nothing;
        }
        let share = refused as f64 / all as f64;
        let expected = refusals.expected_beside(window, beside(all, refused));
        let percent = share * 100.0;
        let (part, summary) = if is_from_home {
            ("", format!("{percent:.0} % of the key's calls are refused: {}.", meaning(event.reason, event.status)))
        } else {
            let why = word(event.reason, event.status);
            ("strangers", format!("Others try the key: {refused} calls from networks not its own are refused ({why})."))
        };
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: part.into(),
            starts_at: event.ts,
            last_at: event.ts,
            // What has expired stays so: that nobody calls at night is no end of it.
            quiet: Some(if event.reason == Some(Refusal::ExpiredKey) { self.quiet.max(DAY) } else { self.quiet }),
            severity: Weight::AsTheRule,
            score: 0.6,
            summary,
            reason: format!(
                "{refused} of {all} calls in {} were refused; about {expected:.1} refusals are usual.",
                length(window)
            ),
            source: sight.source(),
            evidence: vec![
                ("observed", refused.into()),
                ("expected", json!((expected * 10.0).round() / 10.0)),
                ("window", duration_text(window).into()),
                ("share", json!((share * 100.0).round() / 100.0)),
                ("reason", event.reason.map(Refusal::as_str).into()),
                ("status", event.status.into()),
                ("from_known_network", is_from_home.into()),
                ("odds", odds_in_words(surprise, TESTS_A_DAY).into()),
            ],
        }))
    }
}
