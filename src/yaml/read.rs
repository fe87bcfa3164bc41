//! Typed reading of a tree. A reader never stops: it notes what is wrong and hands out what is right.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::{Entry, Node, Position, Problems, Scalar, Value, closest};
use crate::time::{Millis, duration_text, parse_duration};

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Fault {
    fn new(message: String, hint: Option<String>) -> Self {
        Fault { message, hint }
    }

    fn range(min: impl Display, max: impl Display, found: &str) -> Self {
        Fault::new(format!("must be from `{min}` to `{max}`, found {found}"), None)
    }
}

/// A duration within a range. `found` is the text as a message may show it.
pub fn check_duration(text: &str, found: &str, range: &RangeInclusive<Millis>) -> Result<Millis, Fault> {
    match parse_duration(text) {
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => Err(Fault::range(duration_text(*range.start()), duration_text(*range.end()), found)),
        None if is_number(text) => Err(Fault::new(
            "expected a duration such as `5m`, found a number".into(),
            Some("add a unit: `ms`, `s`, `m`, `h`, `d` or `w`".into()),
        )),
        None => Err(Fault::new(format!("expected a duration such as `5m`, found {found}"), None)),
    }
}

/// A whole number within a range.
pub fn check_count(text: &str, found: &str, range: &RangeInclusive<u64>) -> Result<u64, Fault> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse::<u64>() {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(Fault::range(range.start(), range.end(), found)),
        };
    }
    let plain: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
    let is_grouped = plain.len() < text.len() && !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit());
    let hint = is_grouped.then(|| format!("write `{plain}`"));
    Err(Fault::new(format!("expected a whole number, found {found}"), hint))
}

/// A number within a range.
pub fn check_number(text: &str, found: &str, range: &RangeInclusive<f64>) -> Result<f64, Fault> {
    match text.parse::<f64>() {
        Ok(value) if is_number(text) && range.contains(&value) => Ok(value),
        Ok(_) if is_number(text) => Err(Fault::range(range.start(), range.end(), found)),
        _ => Err(Fault::new(format!("expected a number, found {found}"), None)),
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite) && text.contains(|c: char| c.is_ascii_digit())
}

/// `known: a, b, c` for a hint.
pub fn known_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Reads the fields of a map, each once; [`MapReader::finish`] reports those that nobody asked for.
#[derive(Debug)]
pub struct MapReader<'a> {
    problems: &'a Problems,
    entries: &'a [Entry],
    /// The field that this is, with dots; empty at the top.
    path: String,
    /// Where a missing field is reported.
    at: Position,
    /// Not a map at all: that has been said, and missing fields need not be.
    is_broken: bool,
    asked: Vec<&'static str>,
    /// Required fields that are not there, with their full names.
    missing: Vec<String>,
}

impl<'a> MapReader<'a> {
    /// Reads a node that must be a map.
    pub fn new(problems: &'a Problems, node: &'a Node) -> Self {
        Self::within(problems, String::new(), node, node.at)
    }

    fn within(problems: &'a Problems, path: String, node: &'a Node, at: Position) -> Self {
        let mut reader =
            MapReader { problems, entries: &[], path, at, is_broken: false, asked: Vec::new(), missing: Vec::new() };
        match &node.value {
            Value::Map(entries) => reader.entries = entries,
            Value::Scalar(scalar) if scalar.is_null() => {}
            _ => {
                problems.add(node.at, format!("expected fields (`name: value`), found {}", found(problems, node)));
                reader.is_broken = true;
            }
        }
        reader
    }

    /// The problems that it adds to.
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Where a field's value stands, or its group where it is absent.
    pub fn at(&self, name: &str) -> Position {
        self.entry(name).map_or(self.at, |entry| entry.value.at)
    }

    /// Where a field's name stands, or its group where it is absent.
    pub fn key_at(&self, name: &str) -> Position {
        self.entry(name).map_or(self.at, |entry| entry.key_at)
    }

    /// Whether the field is written, with anything but nothing.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| !is_null(&entry.value))
    }

    /// The field's name with those of the groups around it.
    pub fn full_name(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// The field's value, if anything is written.
    pub fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.asked.push(name);
        self.entry(name).map(|entry| &entry.value).filter(|node| !is_null(node))
    }

    /// Whether the field is written as `null` on purpose.
    pub fn is_null(&mut self, name: &'static str) -> bool {
        self.asked.push(name);
        self.entry(name)
            .is_some_and(|entry| matches!(&entry.value.value, Value::Scalar(s) if s.is_null() && !s.raw.is_empty()))
    }

    /// A text that is not empty.
    pub fn string(&mut self, name: &'static str) -> Option<String> {
        let node = self.node(name)?;
        self.text(node)
    }

    /// A text that must be given.
    pub fn required_string(&mut self, name: &'static str) -> Option<String> {
        self.require(name);
        self.string(name)
    }

    /// A list of texts, with their places.
    pub fn strings(&mut self, name: &'static str) -> Option<Vec<(String, Position)>> {
        let node = self.node(name)?;
        let Value::List(items) = &node.value else {
            let hint = match &node.value {
                Value::Scalar(_) => Some(format!("write {name}: [{}]", self.shown(node))),
                _ => None,
            };
            self.fault(node.at, Fault::new(format!("expected a list, found {}", found(self.problems, node)), hint));
            return None;
        };
        Some(items.iter().filter_map(|item| Some((self.text(item)?, item.at))).collect())
    }

    /// A duration within a range.
    pub fn duration(&mut self, name: &'static str, range: RangeInclusive<Millis>) -> Option<Millis> {
        self.scalar(name, "a duration such as `5m`", |scalar, found| check_duration(&scalar.text, found, &range))
    }

    /// A whole number within a range.
    pub fn count(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.scalar(name, "a whole number", |scalar, found| {
            refuse_quotes(scalar)?;
            check_count(&scalar.text, found, &range)
        })
    }

    /// A number within a range.
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        self.scalar(name, "a number", |scalar, found| {
            refuse_quotes(scalar)?;
            check_number(&scalar.text, found, &range)
        })
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.scalar(name, "`true` or `false`", |scalar, found| match scalar.text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => {
                let hint = match other.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "true" | "y" | "1" => Some("write `true`".into()),
                    "no" | "off" | "false" | "n" | "0" => Some("write `false`".into()),
                    _ => None,
                };
                Err(Fault::new(format!("expected `true` or `false`, found {found}"), hint))
            }
        })
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let list = || words.iter().map(|(word, _)| *word);
        self.scalar(name, "a word", |scalar, found| match words.iter().find(|(word, _)| *word == scalar.text) {
            Some((_, value)) => Ok(*value),
            None => {
                let hint = closest(&scalar.text, list()).filter(|_| !scalar.is_substituted());
                let hint = hint.map(|word| format!("did you mean `{word}`?"));
                Err(Fault::new(format!("expected one of {}, found {found}", known_words(list())), hint))
            }
        })
    }

    /// One of a few words, which must be given.
    pub fn required_word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.require(name);
        self.word(name, words)
    }

    /// The fields under a name; none where it is absent.
    pub fn map(&mut self, name: &'static str) -> MapReader<'a> {
        self.asked.push(name);
        let path = self.full_name(name);
        match self.entry(name) {
            Some(entry) => Self::within(self.problems, path, &entry.value, entry.key_at),
            None => MapReader {
                problems: self.problems,
                entries: &[],
                path,
                at: self.at,
                is_broken: self.is_broken,
                asked: Vec::new(),
                missing: Vec::new(),
            },
        }
    }

    /// The fields under a name where it is written, be it with nothing.
    pub fn optional_map(&mut self, name: &'static str) -> Option<MapReader<'a>> {
        self.asked.push(name);
        self.entry(name)?;
        Some(self.map(name))
    }

    /// All fields with names that are not known beforehand, as texts.
    pub fn free_entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The text of a node that must be one: not a list, not empty.
    pub fn text(&self, node: &Node) -> Option<String> {
        let Value::Scalar(scalar) = &node.value else {
            self.problems.add(node.at, format!("expected a text, found {}", found(self.problems, node)));
            return None;
        };
        if scalar.is_broken {
            return None;
        }
        if scalar.text.trim().is_empty() {
            self.problems.add(node.at, "expected a text, found an empty one");
            return None;
        }
        Some(scalar.text.clone())
    }

    /// Reports a field that must be given and is not.
    pub fn require(&mut self, name: &'static str) {
        self.asked.push(name);
        if self.is_broken || self.has(name) {
            return;
        }
        let full = self.full_name(name);
        match self.entry(name) {
            Some(entry) => self.problems.add(entry.key_at, format!("field `{full}` is empty")),
            None => {
                let slip = self.entries.iter().map(|entry| entry.key.as_str());
                match closest(name, slip) {
                    // The misspelt name is reported by `finish`, with the hint.
                    Some(slip) if !self.asked.contains(&slip) => {}
                    _ => self.missing.push(full),
                }
            }
        }
    }

    /// Reports the fields that are missing. What else is there was not looked at.
    pub fn finish_missing(self) {
        self.report_missing();
    }

    fn report_missing(&self) {
        if !self.missing.is_empty() {
            let s = if self.missing.len() == 1 { "" } else { "s" };
            let names = known_words(self.missing.iter().map(String::as_str));
            self.problems.add(self.at, format!("missing field{s} {names}"));
        }
    }

    /// Reports the fields that are missing, and those that nobody asked for.
    pub fn finish(mut self) {
        self.report_missing();
        self.asked.sort_unstable();
        self.asked.dedup();
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let unused = self.asked.iter().copied().filter(|name| !self.entries.iter().any(|e| e.key == *name));
            let hint = match closest(&entry.key, unused).or_else(|| closest(&entry.key, self.asked.iter().copied())) {
                Some(name) => format!("did you mean `{name}`?"),
                None if self.asked.is_empty() => "there are no fields here".into(),
                None => format!("known fields: {}", known_words(self.asked.iter().copied())),
            };
            let name = self.problems.quote(entry.key_at, &entry.key);
            self.problems.add_with_hint(entry.key_at, format!("unknown field {name}"), hint);
        }
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    fn scalar<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Scalar, &str) -> Result<T, Fault>,
    ) -> Option<T> {
        let node = self.node(name)?;
        let found = found(self.problems, node);
        let result = match &node.value {
            Value::Scalar(scalar) if scalar.is_broken => return None,
            Value::Scalar(scalar) => read(scalar, &found),
            _ => Err(Fault::new(format!("expected {expected}, found {found}"), None)),
        };
        let named = |mut fault: Fault| {
            if fault.message.starts_with("must ") {
                fault.message = format!("`{name}` {}", fault.message);
            }
            self.fault(node.at, fault);
        };
        result.map_err(named).ok()
    }

    fn fault(&self, at: Position, fault: Fault) {
        match fault.hint {
            Some(hint) => self.problems.add_with_hint(at, fault.message, hint),
            None => self.problems.add(at, fault.message),
        }
    }

    fn shown(&self, node: &Node) -> String {
        match &node.value {
            Value::Scalar(scalar) => self.problems.quote(node.at, &scalar.raw).trim_matches('`').to_owned(),
            _ => "…".into(),
        }
    }
}

/// A number in quotes is a text, unless it came from the environment.
fn refuse_quotes(scalar: &Scalar) -> Result<(), Fault> {
    match scalar.quoted && !scalar.is_substituted() {
        true => Err(Fault::new("expected a number, found a text in quotes".into(), Some("remove the quotes".into()))),
        false => Ok(()),
    }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.is_null())
}

/// What stands there, in words that a message may show.
fn found(problems: &Problems, node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".into(),
        Value::Map(_) => "fields".into(),
        Value::Scalar(scalar) if scalar.is_null() => "nothing".into(),
        Value::Scalar(scalar) => problems.quote(node.at, &scalar.raw),
    }
}
