//! Rules: YAML files in, a validated [`RuleSet`] out. The engine sees only compiled rules.

use std::sync::Arc;

use crate::alert::{Alert, Audience, Kind, Severity, State};
use crate::brand::Brand;
use crate::engine::detect::Detector;
use crate::engine::second_stage::GUARD;
use crate::event::{Env, Outcome};
use crate::time::Millis;
use crate::yaml::Problem;

pub mod active;
pub mod compile;
mod exceptions;
pub mod expr;
pub mod fields;
pub mod files;
pub mod format;
mod names;
mod overrides;
pub mod read;
pub mod scenario;
pub mod schema;
pub mod set;
pub mod shipped;
mod text;
pub mod watch;

use active::ActiveHours;
use expr::{Condition, Needs, Scope};
use read::SeverityChange;

/// One version of all rules, validated as a whole.
#[derive(Debug)]
pub struct RuleSet {
    /// Hash of the files' names and texts: the version that the store names.
    pub version: String,
    /// Active rules, ordered by name. Those in status `test` are among them.
    pub rules: Vec<Rule>,
    /// How many rules are off, and so not among them.
    pub n_off: usize,
    /// The files that the set was compiled from, ordered by name.
    pub files: Vec<RuleFile>,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<Problem>,
    /// Places in `rules` of those that can have something to say of an accepted event, and of a refused one.
    by_outcome: [Vec<u16>; 2],
    /// Places in `rules` of those about source networks.
    of_sources: Vec<u16>,
    /// Whether any rule asks for the newest windows of a key's counts: they are worked out for each event only then.
    pub asks_for_windows: bool,
}

impl RuleSet {
    /// The same rules, in a gateway's own words.
    pub fn in_words_of(mut self, brand: &Brand) -> RuleSet {
        for rule in &mut self.rules {
            rule.title = brand.fill(&rule.title);
            rule.description = brand.fill(&rule.description);
            rule.runbook.iter_mut().for_each(|step| *step = brand.fill(step));
        }
        self
    }

    /// Rules that can have something to say of an event with this outcome, ordered by name. A condition that asks for the
    /// other one does not sit in the event's way.
    pub fn for_outcome(&self, outcome: Outcome) -> impl Iterator<Item = &Rule> {
        let places = &self.by_outcome[usize::from(outcome == Outcome::Denied)];
        places.iter().map(|place| &self.rules[usize::from(*place)])
    }

    /// Rules about source networks, ordered by name.
    pub fn for_sources(&self) -> impl Iterator<Item = &Rule> {
        self.of_sources.iter().map(|place| &self.rules[usize::from(*place)])
    }

    /// The active rule of a name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.binary_search_by(|rule| rule.name.as_ref().cmp(name)).ok().map(|at| &self.rules[at])
    }

    /// How long an alert waits before anybody is told of it, as the second stage may take it over.
    pub fn hold(&self, alert: &Alert, lateness: Millis) -> Millis {
        let may_be_taken = alert.kind.is_of_volume() && alert.state == State::Firing;
        let takes = |rule: &Rule| rule.detector.asks_of_all().is_some() && !rule.is_shadow();
        if may_be_taken && self.rules.iter().any(takes) { lateness + GUARD } else { 0 }
    }

    /// Whether what a rule finds is told to nobody.
    pub fn is_shadow(&self, name: &str) -> bool {
        self.rule(name).is_some_and(|rule| rule.status == Status::Test)
    }
}

/// One file of a rules directory as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Name relative to the rules directory, with `/`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Whether a rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Stable,
    /// In shadow: everything is computed, stored and counted, and nobody is told.
    Test,
    /// It is not even computed.
    Off,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 3] = [Status::Stable, Status::Test, Status::Off];

    /// The word used in rule files.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Stable => "stable",
            Status::Test => "test",
            Status::Off => "off",
        }
    }
}

/// One compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// Unique name, e.g. `stale-key`.
    pub name: Arc<str>,
    /// Hash of everything in the rule that changes what fires or what is said.
    pub hash: Arc<str>,
    /// What it finds; the detector's kind.
    pub kind: Kind,
    /// Short plain title.
    pub title: String,
    /// What it means, for a support agent.
    pub description: String,
    /// How much it matters; a detector may raise or lower it by content.
    pub severity: Severity,
    /// Who is told.
    pub audience: Audience,
    /// Whether they are.
    pub status: Status,
    /// What to do, in order.
    pub runbook: Vec<String>,
    /// Who answers for the rule.
    pub owner: Option<String>,
    /// Which keys the rule is about.
    pub matcher: Matcher,
    /// When it opens alerts; `None` = always.
    pub active: Option<ActiveHours>,
    /// What must be true of an event; `None` = nothing.
    pub condition: Option<Condition>,
    /// What makes it milder or worse, the first that is true.
    pub severity_when: Vec<(Condition, SeverityChange)>,
    /// What is spared.
    pub exceptions: Vec<Exception>,
    /// What is counted, where the rule counts by itself.
    pub counting: Option<Counting>,
    /// How long its signs must go on before an alert opens.
    pub opens_after: Millis,
    /// How long an alert stays open after it would have ended.
    pub keep_firing_for: Millis,
    /// The detector with its parameters.
    pub detector: Box<dyn Detector>,
}

impl Rule {
    /// Whether what it finds is told to nobody.
    pub fn is_shadow(&self) -> bool {
        self.status == Status::Test
    }

    /// Every condition that it may ask.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let exceptions = self.exceptions.iter().flat_map(|exception| &exception.entries);
        self.condition
            .iter()
            .chain(self.severity_when.iter().map(|(condition, _)| condition))
            .chain(exceptions.map(|entry| &entry.condition))
    }

    /// Whether its condition asks for the country or the provider of the address.
    pub fn asks_for_place(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.needs().includes(Needs::PLACE))
    }

    /// The severity of a sign: the rule's own as its detector weighs it, then as `severity_when` says.
    pub fn severity_of(&self, weighed: Severity, scope: &Scope<'_>) -> Severity {
        let change = self.severity_when.iter().find(|(condition, _)| condition.matches(scope));
        change.map_or(weighed, |(_, change)| change.apply(weighed))
    }

    /// The exception that spares an event, if one does.
    pub fn exception_for(&self, scope: &Scope<'_>) -> Option<&Exception> {
        let at = scope.event.ts;
        let holds = |entry: &ExceptionEntry| entry.ends_at.is_none_or(|end| at < end) && entry.condition.matches(scope);
        self.exceptions.iter().find(|exception| exception.entries.iter().any(holds))
    }
}

/// Events of a shape that a rule spares.
#[derive(Debug)]
pub struct Exception {
    /// Its name within the rule.
    pub name: Arc<str>,
    /// Any of these is enough.
    pub entries: Vec<ExceptionEntry>,
}

/// Values of an exception.
#[derive(Debug)]
pub struct ExceptionEntry {
    /// True of what is spared.
    pub condition: Condition,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The first moment at which it does not hold any more; `None` = never.
    pub ends_at: Option<Millis>,
}

/// What a rule of kind `custom` or `threshold` counts for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counting {
    /// Hash of what is counted: under it the tallies are kept.
    pub of: u64,
    /// Events of this long a time count together; 0 = each by itself.
    pub window: Millis,
    /// By what the events are grouped within the key.
    pub group_by: Vec<Grouping>,
    /// Whether events without one of these are counted together, or not at all.
    pub missing_together: bool,
}

/// A field that events are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the rule files' own")]
pub enum Grouping {
    Network,
    Address,
    Method,
    Path,
    UserAgent,
    Reason,
}

impl Grouping {
    /// Every field.
    pub const ALL: [Grouping; 6] =
        [Grouping::Network, Grouping::Address, Grouping::Method, Grouping::Path, Grouping::UserAgent, Grouping::Reason];

    /// The word used in rule files and in an alert's subject.
    pub fn as_str(self) -> &'static str {
        match self {
            Grouping::Network => "network",
            Grouping::Address => "address",
            Grouping::Method => "method",
            Grouping::Path => "path",
            Grouping::UserAgent => "user_agent",
            Grouping::Reason => "reason",
        }
    }

    fn value(self, scope: &Scope<'_>) -> Option<String> {
        let event = scope.event;
        match self {
            Grouping::Network => scope.network.map(|network| network.to_string()),
            Grouping::Address => event.source_ip.map(|address| address.to_string()),
            Grouping::Method => event.method.as_deref().map(str::to_owned),
            Grouping::Path => event.path.as_deref().map(str::to_owned),
            Grouping::UserAgent => event.user_agent.as_deref().map(str::to_owned),
            Grouping::Reason => event.reason.map(|reason| reason.as_str().to_owned()),
        }
    }
}

impl Counting {
    /// The group that an event belongs to; `None` where it is not counted.
    pub fn group(&self, scope: &Scope<'_>) -> Option<String> {
        let mut group = String::new();
        for by in &self.group_by {
            let value = match by.value(scope) {
                Some(value) => value,
                None if self.missing_together => "-".to_owned(),
                None => return None,
            };
            let separator = if group.is_empty() { "" } else { " " };
            group.push_str(&format!("{separator}{} {value}", by.as_str()));
        }
        Some(group)
    }
}

/// `match:` of a rule. Absent fields match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Environment of the key.
    pub key_env: Option<Env>,
    /// Only these merchants.
    pub merchants: Option<Vec<String>>,
    /// Never these merchants.
    pub except_merchants: Vec<String>,
    /// Never these keys.
    pub except_keys: Vec<String>,
}

impl Matcher {
    /// Whether a key is the rule's business. An unknown environment matches only a rule that does not ask for one.
    pub fn matches(&self, key_env: Option<Env>, merchant_id: Option<&str>, key_id: &str) -> bool {
        let is = |list: &[String], id: &str| list.iter().any(|x| x == id);
        self.key_env.is_none_or(|want| key_env == Some(want))
            && self.merchants.as_ref().is_none_or(|only| merchant_id.is_some_and(|m| is(only, m)))
            && !merchant_id.is_some_and(|m| is(&self.except_merchants, m))
            && !is(&self.except_keys, key_id)
    }
}
