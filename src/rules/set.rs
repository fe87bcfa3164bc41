//! Parameters that the command line sets: `--set RULE.PARAM=VALUE`.

use super::Status;
use super::read::Draft;
use crate::engine::params::{ParamSpec, ParamType, ParamValue};
use crate::yaml::{Fault, Problem, check_count, check_duration, check_number, closest, known_words};

/// A parameter that the command line sets: `--set RULE.PARAM=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The rule's name.
    pub rule: String,
    /// The parameter's name.
    pub param: String,
    /// The value, as a rule file would have it.
    pub value: String,
}

impl Override {
    /// Reads `RULE.PARAM=VALUE`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let split = text.split_once('=').and_then(|(left, value)| Some((left.split_once('.')?, value.trim())));
        match split {
            Some(((rule, param), value)) if ![rule, param, value].contains(&"") => {
                Ok(Override { rule: rule.trim().into(), param: param.trim().into(), value: value.into() })
            }
            _ => Err(Problem::whole(format!("--set {text}"), "expected RULE.PARAM=VALUE")
                .with_hint("such as `--set stale-key.unused_for=30d`")),
        }
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::whole(format!("--set {}.{}={}", self.rule, self.param, self.value), message)
    }
}

/// Checks a value as a rule file's would be.
fn check_param(param: &ParamSpec, text: &str) -> Result<ParamValue, Fault> {
    let found = format!("`{text}`");
    match param.ty {
        ParamType::Duration { min, max, .. } => check_duration(text, &found, &(min..=max)).map(ParamValue::Duration),
        ParamType::Count { min, max, .. } => check_count(text, &found, &(min..=max)).map(ParamValue::Count),
        ParamType::Number { min, max, .. } => check_number(text, &found, &(min..=max)).map(ParamValue::Number),
    }
}

impl Override {
    /// Sets it in the rule that it names.
    pub(super) fn apply(&self, drafts: &mut [Draft<'_>]) -> Result<(), Problem> {
        let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
        let Some(draft) = drafts.iter_mut().find(|draft| draft.name == self.rule) else {
            let problem = self.problem(format!("there is no rule `{}`", self.rule));
            return Err(with_choice(problem, &self.rule, "the rules are", names.iter().map(String::as_str)));
        };
        if draft.status == Status::Off {
            return Err(self.problem(format!("the rule `{}` is off: this would change nothing", self.rule)));
        }
        let params = draft.spec.map_or(&[][..], |spec| spec.params);
        let Some(param) = params.iter().find(|param| param.name == self.param) else {
            let problem = self.problem(format!("the rule `{}` has no parameter `{}`", self.rule, self.param));
            return Err(with_choice(problem, &self.param, "its parameters are", params.iter().map(|p| p.name)));
        };
        let value = check_param(param, &self.value).map_err(|fault| {
            let problem = self.problem(fault.message);
            match fault.hint {
                Some(hint) => problem.with_hint(hint),
                None => problem,
            }
        })?;
        draft.params.set(param.name, value);
        Ok(())
    }
}

/// With the nearest of the choices, or all of them.
fn with_choice<'a>(
    problem: Problem,
    word: &str,
    intro: &str,
    choices: impl Iterator<Item = &'a str> + Clone,
) -> Problem {
    problem.with_hint(nearest(word, intro, choices))
}

/// The nearest of the choices, or all of them, as a hint.
pub(super) fn nearest<'a>(word: &str, intro: &str, choices: impl Iterator<Item = &'a str> + Clone) -> String {
    match closest(word, choices.clone()) {
        Some(choice) => format!("did you mean `{choice}`?"),
        None => format!("{intro} {}", known_words(choices)),
    }
}
