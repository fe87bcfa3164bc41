//! What is wrong with a condition, where, and what to write instead.

use std::ops::Range;

use super::syntax::Span;

/// Problems that are told of one condition.
const PROBLEMS_MAX: usize = 20;

/// One thing that is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprProblem {
    /// Which characters of the text are meant, counted from 0. May be empty: between two characters, or at the end.
    pub at: Range<usize>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The problems of one text while they are gathered, with places in bytes.
#[derive(Debug, Default)]
pub(super) struct Found {
    problems: Vec<(Span, String, Option<String>)>,
}

impl Found {
    pub(super) fn add(&mut self, at: Span, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    pub(super) fn add_with_hint(&mut self, at: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(at, message.into(), Some(hint.into()));
    }

    pub(super) fn push(&mut self, at: Span, message: String, hint: Option<String>) {
        let is_new = |p: &(Span, String, Option<String>)| p.0 != at || p.1 != message;
        if self.problems.len() < PROBLEMS_MAX && self.problems.iter().all(is_new) {
            self.problems.push((at, message, hint));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems of a text that stands in for `at`: a macro's, where it is used.
    pub(super) fn take_within(&mut self, inner: Found, name: &str, at: &Span) {
        for (_, message, hint) in inner.problems {
            self.push(at.clone(), format!("in `{name}`: {message}"), hint);
        }
    }

    /// In order of their places, which are counted in characters from here on.
    pub(super) fn into_sorted(mut self, text: &str) -> Vec<ExprProblem> {
        self.problems.sort_by_key(|(at, ..)| (at.start, at.end));
        let chars = |byte: usize| text.char_indices().take_while(|(at, _)| *at < byte).count();
        let place = |at: Span| chars(at.start)..chars(at.end);
        self.problems.into_iter().map(|(at, message, hint)| ExprProblem { at: place(at), message, hint }).collect()
    }
}

/// A piece of a condition as a message may quote it: one line, not too long, nothing that a terminal would act upon.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let is_hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown: String = text
        .trim()
        .chars()
        .take(SHOWN_MAX)
        .map(|c| match c {
            c if c.is_whitespace() => ' ',
            c if c.is_control() || is_hidden(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    if SHOWN_MAX < text.trim().chars().count() {
        shown.push('…');
    }
    format!("`{shown}`")
}
