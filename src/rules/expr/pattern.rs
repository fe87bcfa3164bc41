//! Patterns of `matches`: RE2's syntax, in linear time. Only this file knows the crate.

use regex::{Regex, RegexBuilder};

/// How large a compiled pattern may be, in bytes.
const SIZE_MAX: usize = 1 << 18;
/// How deep a pattern may nest.
const NEST_MAX: u32 = 50;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// Compiles a pattern; else what is wrong, and at which character where that is known.
    pub fn new(pattern: &str) -> Result<Pattern, (Option<usize>, String)> {
        let compiled =
            RegexBuilder::new(pattern).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).nest_limit(NEST_MAX).build();
        compiled.map(Pattern).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => (None, "the pattern is too large once compiled".into()),
            error => explain(&error.to_string()),
        })
    }

    /// The pattern that finds a text whatever its case is (ASCII).
    pub(super) fn of_lower(text: &str) -> Option<Pattern> {
        Pattern::new(&format!("(?i-u:{})", regex::escape(text))).ok()
    }

    /// Whether it is found anywhere in the text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// The crate draws the pattern, a caret below it, and the complaint in the last line.
fn explain(drawn: &str) -> (Option<usize>, String) {
    let complaint = drawn.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it cannot be read");
    let lines: Vec<&str> = drawn.lines().collect();
    let caret = match lines.as_slice() {
        [_, _, caret, ..] if !caret.is_empty() && caret.chars().all(|c| matches!(c, ' ' | '^')) => caret.find('^'),
        _ => None,
    };
    (caret.and_then(|column| column.checked_sub(4)), complaint.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_know_their_place() {
        for (pattern, place, words) in [
            ("a[b", Some(1), "unclosed character class"),
            ("a)", Some(1), "unopened group"),
            ("a{5,2}", Some(1), "invalid repetition count range, the start must be <= the end"),
            (r"a(?=b)", Some(1), "look-around, including look-ahead and look-behind, is not supported"),
            ("(?:a{1000}){1000}", None, "the pattern is too large once compiled"),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap_err(), (place, words.to_owned()), "{pattern}");
        }
        assert!(Pattern::new(&"(".repeat(200)).is_err() && Pattern::new(&format!("{}a", "(?:".repeat(60))).is_err());
    }

    #[test]
    fn texts_are_found_in_any_case() {
        let pattern = Pattern::of_lower("k(é").unwrap();
        assert!(pattern.is_in("xK(éy") && !pattern.is_in("k(É") && !pattern.is_in("\u{212a}(é"));
    }
}
