//! `overrides:`: changes to rules that stand in other files, so that an upgrade of the shipped ones keeps local changes.

use super::Status;
use super::active::read_active;
use super::exceptions::{EntryDraft, read_entries};
use super::read::{Draft, read_given_params, read_ids};
use super::set::nearest;
use crate::alert::{Audience, Severity};
use crate::yaml::{MapReader, Node, Position, Problems, Value};

/// Entries of `overrides:` in one file.
pub(super) const MAX_OVERRIDES: usize = 1_000;

/// The change of one rule, as it was read. Its parameters and exceptions are read again once the rule is known.
pub(super) struct OverrideDraft {
    /// Which file it stands in.
    pub(super) file: usize,
    pub(super) rule: String,
    pub(super) rule_at: Position,
    node: Node,
}

/// Reads the names of the rules that are changed.
pub(super) fn read_overrides(file: usize, top: &mut MapReader<'_>) -> Vec<OverrideDraft> {
    let problems = top.problems();
    let items = match top.node("overrides").map(|node| &node.value) {
        None => return Vec::new(),
        Some(Value::List(items)) if items.len() <= MAX_OVERRIDES => items,
        Some(Value::List(_)) => {
            problems.add(top.key_at("overrides"), format!("more than {MAX_OVERRIDES} overrides"));
            return Vec::new();
        }
        Some(_) => {
            problems.add_with_hint(top.at("overrides"), "expected a list", "such as `- {rule: spike, severity: high}`");
            return Vec::new();
        }
    };
    let mut drafts = Vec::new();
    for item in items {
        let mut map = MapReader::new(problems, item);
        let rule = map.required_string("rule");
        let rule_at = map.at("rule");
        match rule {
            Some(rule) => drafts.push(OverrideDraft { file, rule, rule_at, node: item.clone() }),
            // The rest is read with the rule; without one only this can be said.
            None => map.finish_missing(),
        }
    }
    drafts
}

impl OverrideDraft {
    /// Changes the rule that it names.
    pub(super) fn apply(&self, drafts: &mut [Draft<'_>], problems: &Problems) {
        let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
        let Some(draft) = drafts.iter_mut().find(|draft| draft.name == self.rule) else {
            let hint = nearest(&self.rule, "the rules are", names.iter().map(String::as_str));
            problems.add_with_hint(self.rule_at, format!("there is no rule `{}`", self.rule), hint);
            return;
        };
        let mut map = MapReader::new(problems, &self.node);
        let _ = map.string("rule");
        let _ = map.string("reason");
        if let Some(severity) = map.word("severity", &Severity::ALL.map(|s| (s.as_str(), s))) {
            draft.severity = Some(severity);
        }
        if let Some(audience) = map.word("audience", &Audience::ALL.map(|a| (a.as_str(), a))) {
            draft.audience = Some(audience);
        }
        if let Some(status) = map.word("status", &Status::ALL.map(|s| (s.as_str(), s))) {
            draft.status = status;
        }
        if let Some(active) = map.optional_map("active").and_then(read_active) {
            draft.active = Some(active);
        }
        for (name, value) in read_given_params(map.map("params"), draft.spec) {
            draft.params.set(name, value);
        }
        let mut matcher = map.map("match");
        draft.matcher.except_merchants.extend(read_ids(&mut matcher, "except_merchants").unwrap_or_default());
        draft.matcher.except_keys.extend(read_ids(&mut matcher, "except_keys").unwrap_or_default());
        matcher.finish();
        self.add_exceptions(&mut map, draft);
        map.finish();
    }

    /// Values for shapes that the rule has.
    fn add_exceptions(&self, map: &mut MapReader<'_>, draft: &mut Draft<'_>) {
        let problems = map.problems();
        let Some(Value::Map(entries)) = map.node("exceptions").map(|node| &node.value) else {
            if map.has("exceptions") {
                problems.add_with_hint(
                    map.at("exceptions"),
                    "expected the names of the rule's exceptions, each with its values",
                    "such as `exceptions: {known-agency: [{of: […], reason: …, owner: …, expires: …}]}`",
                );
            }
            return;
        };
        let names: Vec<String> = draft.exceptions.iter().map(|shape| shape.name.clone()).collect();
        for entry in entries {
            let Some(shape) = draft.exceptions.iter_mut().find(|shape| shape.name == entry.key) else {
                let shown = problems.quote(entry.key_at, &entry.key);
                let hint = match names.is_empty() {
                    true => {
                        "its author has allowed none: narrow the rule with `match.except_merchants`, or copy it".into()
                    }
                    false => nearest(&entry.key, "its exceptions are", names.iter().map(String::as_str)),
                };
                problems.add_with_hint(entry.key_at, format!("rule `{}` has no exception {shown}", self.rule), hint);
                // What is wrong below it may as well be said at once.
                let meant = crate::yaml::closest(&entry.key, names.iter().map(String::as_str));
                if let Some(shape) = draft.exceptions.iter().find(|shape| meant == Some(shape.name.as_str())) {
                    entries_under(self.file, entry.value.clone(), shape.fields.len(), problems);
                }
                continue;
            };
            shape.entries.extend(entries_under(self.file, entry.value.clone(), shape.fields.len(), problems));
        }
    }
}

/// Entries as the value of a shape's name.
fn entries_under(file: usize, value: Node, n_fields: usize, problems: &Problems) -> Vec<EntryDraft> {
    let at = value.at;
    let node = Node { at, value: Value::Map(vec![crate::yaml::Entry { key: "values".into(), key_at: at, value }]) };
    read_entries(file, &mut MapReader::new(problems, &node), "values", n_fields)
}
