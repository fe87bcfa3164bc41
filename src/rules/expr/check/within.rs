//! `in`: lists that are written out, fields that are lists, named lists.

use std::sync::Arc;

use super::super::lists::{List, Nets, network_meant, parse_cidr, sorted};
use super::super::problem::quoted;
use super::super::schema::Type;
use super::super::syntax::{Comparison, Span};
use super::super::tree::{Bool, Text};
use super::compare::Side;
use super::{BROKEN, Checker, Value, joined};

impl Checker<'_> {
    pub(super) fn is_in(&mut self, left: Side<'_>, right: Side<'_>) -> Bool {
        let ((value, of), (list, list_at)) = (left, right);
        match (value, list) {
            (Value::Broken, _) | (_, Value::Broken) => BROKEN,
            (Value::Text(text), Value::Texts(field)) => Bool::Listed(text, field),
            (value, Value::Named(list)) => self.in_named(value, &of.at, list, &list_at.at),
            (Value::Ip, Value::List(elements)) => self.address_in(elements),
            (value, Value::List(elements)) => {
                if elements.is_empty() && self.compiler.is_strict {
                    self.found.add(list_at.at.clone(), "the list is empty, so nothing is in it");
                }
                // What has no value is not even outside of nothing.
                match (&value, elements.is_empty()) {
                    (Value::Text(text), true) => return Bool::TextAmong(text.clone(), sorted(Vec::new())),
                    (Value::Int(number, _), true) => return Bool::IntAmong(number.clone(), sorted(Vec::new())),
                    _ => {}
                }
                let mut parts = Vec::with_capacity(elements.len());
                for (element, at) in elements {
                    let written = super::Syntax { node: node_of(&element), at: at.clone() };
                    parts.push((self.compare(Comparison::Equal, (value.clone(), of), (element, &written)), at));
                }
                any_equal(parts)
            }
            (value, Value::Texts(_)) => {
                let message = format!("{} is {}, looked up in a list of texts", self.quote(&of.at), value.noun());
                self.found.add(of.at.clone(), message);
                BROKEN
            }
            (_, other) => {
                let message = format!("`in` looks into a list, {} is {}", self.quote(&list_at.at), other.noun());
                let hint = match other {
                    Value::Text(_) => Some("to look into a text, write `text.contains(\"…\")`".to_owned()),
                    _ => None,
                };
                self.found.push(list_at.at.clone(), message, hint);
                BROKEN
            }
        }
    }

    fn in_named(&mut self, value: Value, of: &Span, list: List, at: &Span) -> Bool {
        let ty = match &value {
            Value::Text(_) => Some(Type::Text),
            Value::Int(_, ty) => Some(*ty),
            Value::Ip => Some(Type::Ip),
            _ => None,
        };
        if !ty.is_some_and(|ty| list.kind().holds(ty)) {
            let (of, list_name) = (self.quote(of), self.quote(at));
            let message = format!("{of} is {}, but {list_name} holds {}", value.noun(), list.kind().noun());
            self.found.add(at.clone(), message);
            return BROKEN;
        }
        match (value, list) {
            (Value::Ip, List::Nets(nets)) => Bool::InNets(nets),
            (Value::Int(value, _), List::Ints(_, set)) => Bool::IntAmong(value, set),
            (Value::Text(text), List::Texts(set)) => Bool::TextAmong(text, set),
            _ => BROKEN,
        }
    }

    /// An address is in a list of addresses and networks.
    fn address_in(&mut self, elements: Vec<(Value, Span)>) -> Bool {
        let mut nets = Vec::with_capacity(elements.len());
        for (element, at) in elements {
            match element {
                Value::Text(Text::Const(Some(text))) => nets.extend(self.cidr(&text, &at)),
                Value::Broken => {}
                other => {
                    let message = format!("expected a network or an address as a text, found {}", other.noun());
                    self.found.add(at, message);
                }
            }
        }
        Bool::InNets(Arc::new(Nets::new(nets)))
    }

    /// The network that a written text names.
    pub(super) fn cidr(&mut self, text: &str, at: &Span) -> Option<super::super::lists::Net> {
        use super::super::lists::NetProblem;
        match parse_cidr(text) {
            Ok(net) => Some(net),
            Err(problem) => {
                let place = match problem {
                    NetProblem::Length(from) => self.inside(at, from..text.len()),
                    _ => at.clone(),
                };
                let hint = match problem {
                    NetProblem::Bits => network_meant(text).map(|net| format!("did you mean `\"{net}\"`?")),
                    _ => None,
                };
                self.found.push(place, format!("{}: {}", quoted(text), problem.words()), hint);
                None
            }
        }
    }

    /// Where bytes of a written text stand in the condition; the whole text where its escapes hide that.
    pub(super) fn inside(&self, at: &Span, bytes: Span) -> Span {
        let written = self.text.get(at.clone()).unwrap_or_default();
        let unprefixed = written.trim_start_matches(['r', 'R']);
        let is_plain = unprefixed.len() == written.len();
        let is_triple = unprefixed.starts_with("\"\"\"") || unprefixed.starts_with("'''");
        let is_text = unprefixed.starts_with(['"', '\'']);
        if !is_text || is_triple || (is_plain && written.contains('\\')) {
            return at.clone();
        }
        let start = at.start + (written.len() - unprefixed.len()) + 1;
        let last = at.end - 1;
        (start + bytes.start).min(last)..(start + bytes.end).min(last)
    }
}

/// What a message needs to know of how an element was written.
fn node_of(value: &Value) -> super::Node {
    use super::super::tree::Int;
    use super::Node;
    match value {
        Value::Text(Text::Const(Some(text))) => Node::Text(text.to_string()),
        Value::Int(Int::Const(Some(number)), Type::Int) => Node::Int(*number),
        _ => Node::Null,
    }
}

/// One of several equalities: a set where they are about the same thing.
fn any_equal(parts: Vec<(Bool, Span)>) -> Bool {
    let words = parts.iter().try_fold(None, |so_far, (part, _)| match (so_far, part) {
        (None, Bool::Word(field, mask)) => Some(Some((*field, *mask))),
        (Some((field, masks)), Bool::Word(other, mask)) if field == *other => Some(Some((field, masks | mask))),
        _ => None,
    });
    if let Some(Some((field, mask))) = words {
        return Bool::Word(field, mask);
    }
    if 1 < parts.len() {
        if let Some((Bool::TextIs(text, _), _)) = parts.first() {
            let all = parts.iter().map(|(part, _)| match part {
                Bool::TextIs(other, want) if other == text => Some(want.clone()),
                _ => None,
            });
            if let Some(set) = all.collect::<Option<Vec<_>>>() {
                return Bool::TextAmong(text.clone(), sorted(set));
            }
        }
        if let Some((Bool::Within(value, ..), _)) = parts.first() {
            let all = parts.iter().map(|(part, _)| match part {
                Bool::Within(other, from, to) if other == value && from == to => Some(*from),
                _ => None,
            });
            if let Some(set) = all.collect::<Option<Vec<_>>>() {
                return Bool::IntAmong(value.clone(), sorted(set));
            }
        }
    }
    joined(parts, false)
}
