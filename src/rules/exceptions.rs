//! Exceptions: the rule's author fixes their shape, others add values, each with a reason, an owner and an end.

use super::text::{MAX_NAME, is_kebab_case, kebab_case};
use crate::time::{DAY, Millis, parse_rfc3339};
use crate::yaml::{MapReader, Node, Position, Problems, Value};

/// Shapes in one rule.
pub(super) const MAX_SHAPES: usize = 16;
/// Fields in one shape.
pub(super) const MAX_FIELDS: usize = 4;
/// Entries of one shape, over all files.
pub(super) const MAX_ENTRIES: usize = 1_000;
/// Alternatives in one place of an entry.
const MAX_ALTERNATIVES: usize = 1_000;
const MAX_REASON: usize = 300;

/// How a field is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equals,
    In,
    StartsWith,
    EndsWith,
    Contains,
}

impl Operator {
    /// The word for it in a rule file, which is CEL's.
    pub(super) fn as_str(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(word, _)| word)
    }
}

const OPERATORS: [(&str, Operator); 5] = [
    ("==", Operator::Equals),
    ("in", Operator::In),
    ("startsWith", Operator::StartsWith),
    ("endsWith", Operator::EndsWith),
    ("contains", Operator::Contains),
];

/// A shape with the values that its own rule gives it.
pub(super) struct ExceptionDraft {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) fields: Vec<(String, Position, Operator)>,
    pub(super) entries: Vec<EntryDraft>,
}

/// One entry: a value, or alternatives, for each field of the shape.
pub(super) struct EntryDraft {
    /// Which file it stands in.
    pub(super) file: usize,
    pub(super) at: Position,
    pub(super) of: Vec<Vec<(String, Position)>>,
    pub(super) reason: String,
    pub(super) owner: String,
    /// The first moment at which it does not hold any more; `None` = never.
    pub(super) ends_at: Option<Millis>,
}

/// Reads `exceptions:` of a rule.
pub(super) fn read_exceptions(file: usize, map: &mut MapReader<'_>) -> Vec<ExceptionDraft> {
    let problems = map.problems();
    let items = match map.node("exceptions").map(|node| &node.value) {
        None => return Vec::new(),
        Some(Value::List(items)) if items.len() <= MAX_SHAPES => items,
        Some(Value::List(_)) => {
            problems.add(map.key_at("exceptions"), format!("more than {MAX_SHAPES} exceptions"));
            return Vec::new();
        }
        Some(_) => {
            problems.add_with_hint(
                map.at("exceptions"),
                "expected a list of exceptions",
                "each has `name`, `fields` and, where there are any, `values`",
            );
            return Vec::new();
        }
    };
    let mut shapes: Vec<ExceptionDraft> = Vec::new();
    for item in items {
        let Some(shape) = read_shape(file, item, problems) else { continue };
        match shapes.iter().find(|other| other.name == shape.name) {
            Some(first) => problems.add_with_hint(
                shape.at,
                format!("exception `{}` is there twice", shape.name),
                format!("the first one is on line {}", first.at.line),
            ),
            None => shapes.push(shape),
        }
    }
    shapes
}

fn read_shape(file: usize, item: &Node, problems: &Problems) -> Option<ExceptionDraft> {
    let mut map = MapReader::new(problems, item);
    let name = map.required_string("name");
    let at = map.at("name");
    if let Some(name) = name.as_ref().filter(|name| !is_kebab_case(name)) {
        let message =
            format!("an exception's name has lower-case letters, digits and single dashes, at most {MAX_NAME}");
        match kebab_case(name) {
            Some(better) => problems.add_with_hint(at, message, format!("write `{better}`")),
            None => problems.add(at, message),
        }
    }
    let _ = map.string("about");
    map.require("fields");
    let fields = map.strings("fields").unwrap_or_default();
    if map.has("fields") && !(1..=MAX_FIELDS).contains(&fields.len()) {
        problems.add(map.at("fields"), format!("an exception has from 1 to {MAX_FIELDS} fields"));
        return None;
    }
    let operators = read_operators(&mut map, fields.len());
    let entries = read_entries(file, &mut map, "values", fields.len());
    map.finish();
    let fields = fields.into_iter().zip(operators?).map(|((field, at), operator)| (field, at, operator)).collect();
    Some(ExceptionDraft { name: name?, at, fields, entries })
}

fn read_operators(map: &mut MapReader<'_>, n_fields: usize) -> Option<Vec<Operator>> {
    let Some(named) = map.strings("operators") else {
        return (!map.has("operators")).then(|| vec![Operator::Equals; n_fields]);
    };
    let problems = map.problems();
    if named.len() != n_fields {
        let message = format!("{} operators for {n_fields} fields", named.len());
        problems.add_with_hint(map.at("operators"), message, "one for each field, in the same order");
        return None;
    }
    let words = || OPERATORS.iter().map(|(word, _)| *word);
    let mut operators = Vec::new();
    for (word, at) in named {
        match OPERATORS.iter().find(|(known, _)| *known == word) {
            Some((_, operator)) => operators.push(*operator),
            None => {
                let shown = problems.quote(at, &word);
                let known = crate::yaml::known_words(words());
                let hint = match crate::yaml::closest(&word, words()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the operators are {known}"),
                };
                problems.add_with_hint(at, format!("unknown operator {shown}"), hint);
            }
        }
    }
    (operators.len() == n_fields).then_some(operators)
}

/// Reads a list of entries for a shape of `n_fields`.
pub(super) fn read_entries(
    file: usize,
    map: &mut MapReader<'_>,
    name: &'static str,
    n_fields: usize,
) -> Vec<EntryDraft> {
    let problems = map.problems();
    let items = match map.node(name).map(|node| &node.value) {
        None => return Vec::new(),
        Some(Value::List(items)) if items.len() <= MAX_ENTRIES => items,
        Some(Value::List(_)) => {
            problems.add(map.key_at(name), format!("more than {MAX_ENTRIES} entries"));
            return Vec::new();
        }
        Some(_) => {
            problems.add_with_hint(
                map.at(name),
                "expected a list",
                "each entry has `of`, `reason`, `owner` and `expires`",
            );
            return Vec::new();
        }
    };
    items.iter().filter_map(|item| read_entry(file, item, n_fields, problems)).collect()
}

fn read_entry(file: usize, item: &Node, n_fields: usize, problems: &Problems) -> Option<EntryDraft> {
    let mut map = MapReader::new(problems, item);
    map.require("of");
    let of = map.node("of").map(|node| (node, node.at));
    let of = of.and_then(|(node, at)| {
        let places = match &node.value {
            Value::List(items) => items.iter().map(|item| alternatives(item, &map)).collect::<Option<Vec<_>>>()?,
            _ => vec![alternatives(node, &map)?],
        };
        if places.len() != n_fields {
            let message = format!("{} values for {n_fields} fields", places.len());
            problems.add_with_hint(at, message, "`of` has one value, or a list of alternatives, for each field");
            return None;
        }
        Some((places, at))
    });
    let reason = map.required_string("reason");
    if let Some(reason) = reason.as_ref().filter(|reason| MAX_REASON < reason.chars().count()) {
        let length = reason.chars().count();
        problems.add(map.at("reason"), format!("too long: {length} characters, at most {MAX_REASON}"));
    }
    let owner = map.required_string("owner");
    let expires = map.required_string("expires");
    let expires_at = map.at("expires");
    map.finish();
    let ends_at = expires.and_then(|text| {
        let end = last_day(&text);
        if end.is_none() {
            let shown = problems.quote(expires_at, &text);
            problems.add_with_hint(
                expires_at,
                format!("{shown} is no date"),
                "the last day (UTC) on which it holds, such as `2027-06-30`, or `never`",
            );
        }
        end
    });
    let (of, at) = of?;
    Some(EntryDraft { file, at, of, reason: reason?, owner: owner?, ends_at: ends_at? })
}

/// The moment after a day's end; `Some(None)` = never.
fn last_day(text: &str) -> Option<Option<Millis>> {
    match text {
        "never" => Some(None),
        text if text.len() == 10 => Some(Some(parse_rfc3339(&format!("{text}T00:00:00Z"))? + DAY)),
        _ => None,
    }
}

fn alternatives(node: &Node, map: &MapReader<'_>) -> Option<Vec<(String, Position)>> {
    let one = |node: &Node| Some((map.text(node)?, node.at));
    match &node.value {
        Value::List(items) if items.is_empty() => {
            map.problems().add(node.at, "an empty list of alternatives matches nothing");
            None
        }
        Value::List(items) if MAX_ALTERNATIVES < items.len() => {
            map.problems().add(node.at, format!("more than {MAX_ALTERNATIVES} alternatives"));
            None
        }
        Value::List(items) => items.iter().map(one).collect(),
        _ => Some(vec![one(node)?]),
    }
}
