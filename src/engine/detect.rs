//! Detectors: what each kind looks at. To add one: a file here, a line in [`SPECS`], a rule, a test.
//!
//! A detector is pure and has no state of its own: it sees an event together with what is remembered of the key, and
//! says whether this is a sign. Opening, joining and ending cases is the shard's business (`engine::case`).

use crate::alert::{Kind, Severity, Source};
use crate::engine::baseline::networks::Network;
use crate::engine::baseline::rates::Window;
use crate::engine::params::{ParamSpec, Params};
use crate::engine::subject::{KeyFeatures, MerchantFeatures};
use crate::event::facts::KeyFacts;
use crate::event::{AuthEvent, Env, Outcome};
use crate::time::Millis;

pub mod condition;
pub mod env_mismatch;
pub mod new_ip;
pub mod revoked_key_use;
pub mod rotated_key_use;
pub mod spike;
pub mod stale_key;

/// Every detector.
pub const SPECS: &[DetectorSpec] = &[
    new_ip::SPEC,
    env_mismatch::SPEC,
    rotated_key_use::SPEC,
    revoked_key_use::SPEC,
    stale_key::SPEC,
    spike::SPEC,
    condition::THRESHOLD,
    condition::CUSTOM,
];

/// A detector as rules and the reference see it.
pub struct DetectorSpec {
    /// What it finds.
    pub kind: Kind,
    /// What it does, in one or two sentences, for the reference.
    pub doc: &'static str,
    /// What makes its rules fire.
    pub fires: Fires,
    /// Its parameters.
    pub params: &'static [ParamSpec],
    /// Builds it from complete, checked parameters.
    pub build: fn(&Params) -> Box<dyn Detector>,
}

/// What makes the rules of a kind fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fires {
    /// What the detector sees in an event.
    OnEvents,
    /// On accepted calls alone.
    OnAccepted,
    /// That nothing happens: there is no event to ask about.
    ByTime,
    /// The rule's own condition, which it must have.
    OnCondition,
}

/// What a compiled rule runs.
pub trait Detector: std::fmt::Debug + Send + Sync {
    /// Judges one event. Late events are shown only to detectors that need no window.
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let _ = sight;
        Verdict::Nothing
    }

    /// Whether it needs a window of recent counts: late events are kept from it.
    fn needs_window(&self) -> bool {
        false
    }

    /// For rules with a condition of their own: the window in which what it is true of is counted; 0 = each event by itself.
    fn counts_in(&self) -> Option<Millis> {
        None
    }

    /// The odds that [`Sight::windows`] is worked out for; `None` = the counts alone say that there is no sign.
    fn limit_odds(&self, windows: &[Window; 2], key: &KeyFeatures) -> Option<f64> {
        let _ = (windows, key);
        None
    }

    /// When it wants to look at the key though nothing happens; `None` = never. `open` = its case is open.
    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let _ = (still, open);
        None
    }

    /// Judges the key as of `at`, the time that [`Detector::due`] named.
    fn on_timer(&self, at: Millis, still: &Still<'_>, open: bool) -> Verdict {
        let _ = (at, still, open);
        Verdict::Nothing
    }
}

/// What a detector sees of one event. The features are those before the event, but for the counts.
#[derive(Debug)]
pub struct Sight<'a> {
    /// The event.
    pub event: &'a AuthEvent<'a>,
    /// The key's environment, from the facts or the events.
    pub key_env: Option<Env>,
    /// What is known of the key from facts.
    pub facts: Option<&'a KeyFacts>,
    /// What the key has shown.
    pub key: &'a KeyFeatures,
    /// What the merchant's keys have shown together.
    pub merchant: &'a MerchantFeatures,
    /// The event's network.
    pub network: Option<Network>,
    /// Events that the rule's own condition is true of, with this one, and the group that they were counted in.
    pub counted: Option<&'a Counted>,
    /// The newest windows, each with the smallest count that is rarer than [`Detector::limit_odds`]; `None` for refused
    /// or late events, and where the detector did not ask.
    pub windows: Option<[(Window, u64); 2]>,
}

/// What a rule with a condition has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Calls.
    pub calls: u64,
    /// The group; empty = the whole key.
    pub group: String,
}

impl Sight<'_> {
    /// Whether the call was accepted.
    pub fn accepted(&self) -> bool {
        self.event.outcome == Outcome::Ok
    }

    /// The source, as alerts name it.
    pub fn source(&self) -> Option<Source> {
        let address = self.event.source_ip?;
        Some(Source { address: address.to_string(), network: Network::of(address).to_string(), ..Source::default() })
    }
}

/// What a detector sees when nothing happens.
#[derive(Debug)]
pub struct Still<'a> {
    /// What is known of the key from facts.
    pub facts: Option<&'a KeyFacts>,
    /// What the key has shown.
    pub key: &'a KeyFeatures,
    /// How long the stream has been watched.
    pub watch: Watch,
}

/// How long a partition has been watched, and where something is missing from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The first full day (UTC) of the partition.
    pub since: Option<Millis>,
    /// The first event after the last gap. Nothing is known of the time before it, back to the gap's beginning.
    pub resumed_at: Option<Millis>,
    /// Messages are missing, and none has come since.
    pub in_gap: bool,
}

/// A detector's answer.
#[derive(Debug)]
pub enum Verdict {
    /// No sign.
    Nothing,
    /// A sign: opens a case, or joins the open one of the same part.
    Sign(Box<Sign>),
    /// The open case ends.
    End(Millis),
}

/// One sign of something.
#[derive(Clone, Debug)]
pub struct Sign {
    /// Whether it opens a case where none is open; else it only adds to one.
    pub opens: bool,
    /// Which part of the key it is about (network, direction); empty = the whole key.
    pub part: String,
    /// When the episode began, if this sign opens it.
    pub starts_at: Millis,
    /// The case goes on for [`Sign::quiet`] after this.
    pub last_at: Millis,
    /// How long without a further sign ends the case; `None` = the detector ends it.
    pub quiet: Option<Millis>,
    /// How much worse (or milder) than the rule's severity it is.
    pub severity: Weight,
    /// How strong, 0 to 1.
    pub score: f64,
    /// One line in plain words.
    pub summary: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Who is to blame, where it is one source.
    pub source: Option<Source>,
    /// What the detector adds to the evidence.
    pub evidence: Vec<(&'static str, serde_json::Value)>,
}

/// A sign's weight against the rule's own severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As the rule says.
    AsTheRule,
    /// At least this.
    AtLeast(Severity),
}

impl Weight {
    /// The severity that results.
    pub fn apply(self, rule: Severity) -> Severity {
        match self {
            Weight::AsTheRule => rule,
            Weight::AtLeast(least) => rule.max(least),
        }
    }
}
