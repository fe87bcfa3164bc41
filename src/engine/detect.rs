//! Detectors: what each kind looks at. To add one: a file here, a line in [`SPECS`], a rule, a test.
//!
//! A detector is pure and has no state of its own: it sees an event together with what is remembered of the key, and
//! says whether this is a sign. Opening, joining and ending cases is the shard's business (`engine::case`).

use crate::alert::{Kind, Severity, Source};
use crate::engine::baseline::networks::Network;
use crate::engine::novelty::Novelty;
use crate::engine::params::{ParamSpec, Params};
use crate::engine::source::SourceSight;
use crate::engine::subject::{KeyFeatures, MerchantFeatures};
use crate::event::facts::{FactBook, KeyFacts, MerchantFacts};
use crate::event::{AuthEvent, Env, Outcome};
use crate::time::Millis;

pub mod client_side_use;
pub mod condition;
pub mod dormant_awake;
pub mod drop;
pub mod env_mismatch;
pub mod error_burst;
pub mod expiring_key;
pub mod impossible_travel;
pub mod ip_fanout;
pub mod key_exposed;
pub mod key_lifecycle;
pub mod key_scan;
pub mod malformed_key;
pub mod new_endpoint;
pub mod new_ip;
pub mod new_user_agent;
pub mod off_hours;
pub mod platform_incident;
pub mod revoked_key_use;
pub mod rotated_key_use;
pub mod rotation_overdue;
pub mod rotation_unproven;
pub mod spike;
pub mod stale_key;
pub mod suspended_use;
pub mod use_of_key;
pub mod volume;

pub use use_of_key::Replaced;

/// Every detector.
pub const SPECS: &[DetectorSpec] = &[
    new_ip::SPEC,
    ip_fanout::SPEC,
    impossible_travel::SPEC,
    new_user_agent::SPEC,
    new_endpoint::SPEC,
    client_side_use::SPEC,
    env_mismatch::SPEC,
    rotated_key_use::SPEC,
    revoked_key_use::SPEC,
    suspended_use::SPEC,
    stale_key::SPEC,
    dormant_awake::SPEC,
    key_exposed::SPEC,
    expiring_key::SPEC,
    rotation_overdue::SPEC,
    rotation_unproven::SPEC,
    key_lifecycle::SPEC,
    spike::SPEC,
    drop::SPEC,
    error_burst::SPEC,
    off_hours::SPEC,
    key_scan::SPEC,
    malformed_key::SPEC,
    platform_incident::SPEC,
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
    /// On what a source network does, whoever's keys it sends. The rules' conditions see the event alone.
    OnSource,
    /// That nothing happens: there is no event to ask about.
    ByTime,
    /// What shards have found at many keys at once: there is no single event or key to ask about.
    Together,
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

    /// Judges a source network after an event of it that no merchant is known of, or at whose key it is new.
    fn on_source(&self, sight: &SourceSight<'_>) -> Verdict {
        let _ = sight;
        Verdict::Nothing
    }

    /// What it asks of all shards together, where that is what it looks at.
    fn asks_of_all(&self) -> Option<platform_incident::Ask> {
        None
    }

    /// What it asks of a network at the doors of several merchants.
    fn asks_of_doors(&self) -> Option<key_scan::AskOfDoors> {
        None
    }

    /// Whether it needs a window of recent counts: late events are kept from it.
    fn needs_window(&self) -> bool {
        false
    }

    /// For rules with a condition of their own: the window in which what it is true of is counted; 0 = each event by itself.
    fn counts_in(&self) -> Option<Millis> {
        None
    }

    /// When it wants to look at the key though nothing happens; `None` = never. `open` = its case is open.
    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        let _ = (still, open);
        None
    }

    /// Whether what it will say of the moment `due` is settled: no event that comes late would change it, not even its
    /// evidence. Then it fires as soon as stream time has come so far.
    fn is_settled(&self, due: Millis, still: &Still<'_>, open: bool) -> bool {
        let _ = (due, still, open);
        false
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
    /// What is known of the merchant from facts.
    pub merchant_facts: Option<&'a MerchantFacts>,
    /// What the key has shown.
    pub key: &'a KeyFeatures,
    /// The key that this one replaces.
    pub replaced: Option<Replaced<'a>>,
    /// What the merchant's keys have shown together.
    pub merchant: &'a MerchantFeatures,
    /// How long the stream has been watched.
    pub watch: Watch,
    /// Whether the rule has a case of this key open.
    pub open: bool,
    /// The event's network.
    pub network: Option<Network>,
    /// What is new about it, where it is accepted and not late.
    pub novelty: Option<Novelty>,
    /// Events that the rule's own condition is true of, with this one, and the group that they were counted in.
    pub counted: Option<Counted>,
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
        source_of(self.event)
    }
}

/// The source of an event, as alerts name it.
pub fn source_of(event: &AuthEvent<'_>) -> Option<Source> {
    let address = event.source_ip?;
    Some(Source { address: address.to_string(), network: Network::of(address).to_string(), ..Source::default() })
}

/// What a detector sees when nothing happens.
#[derive(Debug)]
pub struct Still<'a> {
    /// The key's environment, from the facts or the events.
    pub key_env: Option<Env>,
    /// What is known of the key from facts.
    pub facts: Option<&'a KeyFacts>,
    /// What is known of all keys from facts.
    pub book: &'a FactBook,
    /// What the key has shown.
    pub key: &'a KeyFeatures,
    /// The key that this one replaces.
    pub replaced: Option<Replaced<'a>>,
    /// The merchant, where known.
    pub merchant_id: Option<&'a str>,
    /// What the merchant's keys have shown together.
    pub merchant: &'a MerchantFeatures,
    /// How long the stream has been watched.
    pub watch: Watch,
}

#[cfg(test)]
impl<'a> Still<'a> {
    /// A key of a merchant of whom nothing else is known.
    fn of(facts: &'a KeyFacts, key: &'a KeyFeatures) -> Self {
        use std::sync::LazyLock;
        static MERCHANT: LazyLock<MerchantFeatures> = LazyLock::new(MerchantFeatures::default);
        static BOOK: LazyLock<FactBook> = LazyLock::new(FactBook::default);
        Still {
            key_env: facts.env,
            facts: Some(facts),
            book: &BOOK,
            key,
            replaced: None,
            merchant_id: None,
            merchant: &MERCHANT,
            watch: Watch::default(),
        }
    }
}

/// How long a partition has been watched, and where something is missing from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The first full day (UTC) of the partition.
    pub since: Option<Millis>,
    /// The first event after the last long gap. Nothing is known of the time before it, back to the gap's beginning.
    pub resumed_at: Option<Millis>,
    /// Messages are missing, and none has come since.
    pub in_gap: bool,
    /// Up to where the last long gap began: the newest event before it.
    pub gap_from: Option<Millis>,
    /// The last gap of some hours: from the newest event before it to the first after it. Days of which nothing came do not
    /// begin anew with it.
    pub lull: Option<(Millis, Millis)>,
    /// The newest event.
    pub seen_to: Option<Millis>,
    /// The first full day (UTC) since when no week has passed without an event: a few early ones are no watching.
    pub steady_since: Option<Millis>,
}

impl Watch {
    /// The last stretch of which nothing is known.
    pub fn unseen(&self) -> Option<(Millis, Millis)> {
        let gap = self.resumed_at.map(|to| (self.gap_from.unwrap_or(to), to));
        [gap, self.lull].into_iter().flatten().max_by_key(|(_, to)| *to)
    }

    /// The first event after the last gap, long or short.
    pub fn seen_again_at(&self) -> Option<Millis> {
        self.resumed_at.max(self.lull.map(|(_, to)| to))
    }
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

impl Sign {
    /// A sign that only adds to an open case: it is counted there, and changes none of its words.
    pub fn further(at: Millis, quiet: Millis) -> Self {
        Sign {
            opens: false,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: Some(quiet),
            severity: Weight::AsTheRule,
            score: 0.0,
            summary: String::new(),
            reason: String::new(),
            source: None,
            evidence: Vec::new(),
        }
    }
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
