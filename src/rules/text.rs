//! Names and texts of rule files.

use crate::brand;
use crate::yaml::{MapReader, Position, Problems, closest, known_words};

pub(super) const MAX_NAME: usize = 60;

/// A text and where it stands: a condition, say, whose problems point into it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) at: Position,
}

impl Written {
    pub(super) fn read(map: &mut MapReader<'_>, name: &'static str) -> Option<Self> {
        let text = map.string(name)?;
        Some(Written { text, at: map.at(name) })
    }
}

impl Written {
    /// Without its folding: what a hash covers.
    pub(super) fn plain(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// `lower-case-words`, as rules, exceptions and lists are named.
pub(super) fn is_kebab_case(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

/// The nearest name of that form.
pub(super) fn kebab_case(name: &str) -> Option<String> {
    let dashed: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let better = dashed.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    is_kebab_case(&better).then_some(better)
}

/// A text in one line, without what a mail must not have.
pub(super) fn one_line(problems: &Problems, at: Position, text: &str, max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = text.chars().count();
    if max < length {
        problems.add(at, format!("too long: {length} characters, at most {max}"));
    }
    if text.contains(char::is_control) {
        problems.add(at, "contains control characters");
    }
    if let Some(unknown) = brand::unknown_word(&text) {
        let word = unknown.trim_start_matches('{').trim_end_matches('}').trim();
        let names = brand::WORDS.map(|(name, _)| name);
        let hint = match closest(word, names) {
            Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
            None => format!("between `{{{{` and `}}}}` stands one of {}", known_words(names)),
        };
        problems.add_with_hint(
            at,
            format!("`{}` stands for nothing", unknown.chars().take(40).collect::<String>()),
            hint,
        );
    }
    text
}
