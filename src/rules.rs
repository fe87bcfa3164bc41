//! Rules: YAML files in, a validated [`RuleSet`] out. The engine sees only compiled rules.

use std::sync::Arc;

use crate::alert::{Audience, Kind, Severity};
use crate::brand::Brand;
use crate::engine::detect::Detector;
use crate::event::Env;

pub mod compile;
pub mod expr;
pub mod shipped;

/// One version of all rules, validated as a whole.
#[derive(Debug)]
pub struct RuleSet {
    /// Hash of the files' names and texts: the version that the store names.
    pub version: String,
    /// Active rules, ordered by name.
    pub rules: Vec<Rule>,
    /// The files that the set was compiled from, ordered by name.
    pub files: Vec<RuleFile>,
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
}

/// One rule file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Name relative to the rules directory, with `/`.
    pub name: String,
    /// The whole text.
    pub text: String,
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
    /// What to do, in order.
    pub runbook: Vec<String>,
    /// Which keys the rule is about.
    pub matcher: Matcher,
    /// The detector with its parameters.
    pub detector: Box<dyn Detector>,
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
