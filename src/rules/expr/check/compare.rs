//! Comparisons: which types go together, and the quickest way to ask.

use std::sync::Arc;

use super::super::lists::{Nets, parse_cidr};
use super::super::problem::quoted;
use super::super::schema::{self, Type};
use super::super::scope::{WordField, network_number};
use super::super::syntax::{Comparison, Node, Syntax};
use super::super::tree::{Bool, Int, Text};
use super::{BROKEN, Checker, Value, negated};
use crate::engine::baseline::networks::Network;
use crate::yaml::{closest, known_words};

/// A checked side of a comparison, and as it is written.
pub(super) type Side<'a> = (Value, &'a Syntax);

impl Checker<'_> {
    pub(super) fn compare(&mut self, comparison: Comparison, left: Side<'_>, right: Side<'_>) -> Bool {
        if matches!(left.0, Value::Broken) || matches!(right.0, Value::Broken) {
            return BROKEN;
        }
        let is_order = comparison.is_order();
        let (a, b) = (left.1, right.1);
        match (left.0, right.0) {
            (Value::Null, Value::Null) if !is_order => Bool::Const(Some(comparison == Comparison::Equal)),
            (Value::Null, _) if !is_order => self.is_null(comparison, b),
            (_, Value::Null) if !is_order => self.is_null(comparison, a),
            (Value::Bool(a), Value::Bool(b)) if !is_order => equality(comparison, same(a, b)),
            (Value::Int(x, tx), Value::Int(y, ty)) if tx == ty && !(is_order && tx == Type::Network) => {
                compare_ints(comparison, x, y)
            }
            (Value::Double(x), Value::Double(y)) => Bool::Doubles(comparison, Box::new([x, y])),
            (Value::Int(x, Type::Int), Value::Double(y)) => Bool::Mixed(comparison, Box::new((x, y))),
            (Value::Double(x), Value::Int(y, Type::Int)) => Bool::Mixed(comparison.flipped(), Box::new((y, x))),
            (Value::Text(x), Value::Text(y)) => self.compare_texts(comparison, (x, a), (y, b)),
            (Value::Ip, Value::Text(Text::Const(Some(text)))) if !is_order => self.is_address(comparison, &text, b),
            (Value::Text(Text::Const(Some(text))), Value::Ip) if !is_order => self.is_address(comparison, &text, a),
            (Value::Ip, Value::Ip) if !is_order => equality(comparison, Bool::Has(schema::Read::Ip)),
            (Value::Int(x, Type::Network), Value::Text(Text::Const(Some(text)))) if !is_order => {
                self.is_network(comparison, x, &text, b)
            }
            (Value::Text(Text::Const(Some(text))), Value::Int(y, Type::Network)) if !is_order => {
                self.is_network(comparison, y, &text, a)
            }
            (x, y) => self.cannot_compare(is_order, (x, a), (y, b)),
        }
    }

    fn cannot_compare(&mut self, is_order: bool, left: Side<'_>, right: Side<'_>) -> Bool {
        let ((x, a), (y, b)) = (left, right);
        let at = a.at.start..b.at.end;
        let (one, other) = (x.noun(), y.noun());
        if one == other {
            let message = match (&x, is_order) {
                (Value::List(_) | Value::Named(_) | Value::Texts(_), _) => "lists are not compared".to_owned(),
                _ => format!("{} and {} are {one}, which has no order", self.quote(&a.at), self.quote(&b.at)),
            };
            let hint = if one.starts_with("a list") { Some("use `in` to look into one".to_owned()) } else { None };
            self.found.push(at, message, hint);
            return BROKEN;
        }
        // The field is what the message is about, wherever it stands.
        let (subject, is, with) = match (&a.node, &b.node) {
            (Node::Name(_), _) | (_, Node::Int(_) | Node::Double(_) | Node::Text(_) | Node::Bool(_)) => (a, one, other),
            _ => (b, other, one),
        };
        let message = format!("{} is {is}, compared with {with}", self.quote(&subject.at));
        let written = if subject == a { &b.node } else { &a.node };
        let hint = match (is, written) {
            (is, Node::Text(text)) if is == Type::Time.noun() => Some(format!("write `timestamp({text:?})`")),
            (is, Node::Text(text)) if is == Type::Duration.noun() => Some(format!("write `duration({text:?})`")),
            (is, Node::Text(text)) if is == Type::Int.noun() && text.parse::<i64>().is_ok() => {
                Some(format!("remove the quotes: `{text}`"))
            }
            (is, Node::Text(text)) if is == Type::Bool.noun() && matches!(text.as_str(), "true" | "false") => {
                Some(format!("remove the quotes: `{text}`"))
            }
            (is, Node::Int(number)) if is == Type::Text.noun() => Some(format!("put it in quotes: `\"{number}\"`")),
            (is, Node::Int(number)) if is == Type::Duration.noun() => {
                Some(format!("write a unit: `duration(\"{number}s\")`"))
            }
            (_, Node::List(_)) => Some("use `in` to look into a list".to_owned()),
            _ if with.starts_with("a list") => Some("use `in` to look into a list".to_owned()),
            _ => None,
        };
        self.found.push(at, message, hint);
        BROKEN
    }

    /// `x == null`: whether a field is absent.
    fn is_null(&mut self, comparison: Comparison, of: &Syntax) -> Bool {
        let field = match &of.node {
            Node::Name(path) => schema::find(&path.join(".")),
            _ => None,
        };
        match field {
            Some(field) if field.optional => {
                let is_there = Bool::Has(field.read);
                if comparison == Comparison::Equal { negated(is_there) } else { is_there }
            }
            Some(field) => {
                self.found.add(of.at.clone(), format!("`{}` is never absent", field.name));
                BROKEN
            }
            None => {
                let message = format!("only a field can be compared with `null`, {} is none", self.quote(&of.at));
                self.found.add(of.at.clone(), message);
                BROKEN
            }
        }
    }

    fn compare_texts(&mut self, comparison: Comparison, left: (Text, &Syntax), right: (Text, &Syntax)) -> Bool {
        let ((x, a), (y, b)) = (left, right);
        if comparison.is_order() {
            return Bool::Texts(comparison, Box::new([x, y]));
        }
        match (x, y) {
            (Text::Word(field), Text::Const(Some(word))) => self.is_word(comparison, field, &word, a, b),
            (Text::Const(Some(word)), Text::Word(field)) => self.is_word(comparison, field, &word, b, a),
            (text, Text::Const(Some(want))) | (Text::Const(Some(want)), text) => {
                if self.compiler.is_strict && matches!(text, Text::Lower(_)) && want.contains(char::is_uppercase) {
                    let at = if matches!(a.node, Node::Text(_)) { &a.at } else { &b.at };
                    let message = format!("a text in lower case is never {}", quoted(&want));
                    self.found.add_with_hint(at.clone(), message, format!("write `{:?}`", want.to_ascii_lowercase()));
                }
                equality(comparison, Bool::TextIs(text, want))
            }
            (x, y) => Bool::Texts(comparison, Box::new([x, y])),
        }
    }

    /// Whether a field is one of its words.
    fn is_word(&mut self, comparison: Comparison, field: WordField, word: &str, of: &Syntax, at: &Syntax) -> Bool {
        let words = field.words();
        let place = words.iter().position(|known| *known == word);
        if place.is_none() && self.compiler.is_strict {
            let message = format!("{} is never {}", self.quote(&of.at), quoted(word));
            let hint = match closest(word, words.iter().copied()) {
                Some(word) => format!("did you mean `\"{word}\"`?"),
                None => format!("it is one of {}", known_words(words.iter().copied())),
            };
            self.found.add_with_hint(at.at.clone(), message, hint);
        }
        let mask = place.map_or(0, |place| 1 << place);
        match comparison {
            Comparison::Unequal => Bool::Word(field, other_words(field, mask)),
            _ => Bool::Word(field, mask),
        }
    }

    fn is_address(&mut self, comparison: Comparison, text: &str, at: &Syntax) -> Bool {
        if text.contains('/') && parse_cidr(text).is_ok() {
            let message = format!("{} is a network, not an address", quoted(text));
            let hint = format!("write `event.source_ip.inCidr({text:?})`");
            self.found.add_with_hint(at.at.clone(), message, hint);
            return BROKEN;
        }
        match text.contains('/') {
            false if text.parse::<std::net::IpAddr>().is_ok() => {}
            _ => {
                self.found
                    .add(at.at.clone(), format!("expected an address such as `203.0.113.7`, found {}", quoted(text)));
                return BROKEN;
            }
        }
        let nets = text.parse().map(|address: std::net::IpAddr| address.to_canonical().to_string());
        let nets = nets.ok().and_then(|text| parse_cidr(&text).ok()).into_iter().collect();
        equality(comparison, Bool::InNets(Arc::new(Nets::new(nets))))
    }

    fn is_network(&mut self, comparison: Comparison, of: Int, text: &str, at: &Syntax) -> Bool {
        let address = text.split('/').next().and_then(|address| address.parse().ok());
        let network = address.map(Network::of);
        match network {
            Some(network) if network.to_string() == text => {
                let number = network_number(network);
                equality(comparison, Bool::Within(of, number, number))
            }
            network => {
                let message =
                    format!("expected a network as `203.0.113.0/24` or a /48 of IPv6, found {}", quoted(text));
                let hint = network.map(|network| format!("did you mean `\"{network}\"`?"));
                self.found.push(at.at.clone(), message, hint);
                BROKEN
            }
        }
    }
}

/// The bits of all words of a field.
pub(super) fn all_words(field: WordField) -> u32 {
    (1 << field.words().len()) - 1
}

/// The other words of a field.
pub(in crate::rules::expr) fn other_words(field: WordField, mask: u32) -> u32 {
    all_words(field) & !mask
}

fn equality(comparison: Comparison, is_equal: Bool) -> Bool {
    if comparison == Comparison::Unequal { negated(is_equal) } else { is_equal }
}

fn same(a: Bool, b: Bool) -> Bool {
    match (a, b) {
        (Bool::Const(Some(true)), other) | (other, Bool::Const(Some(true))) => other,
        (Bool::Const(Some(false)), other) | (other, Bool::Const(Some(false))) => negated(other),
        (a, b) => Bool::Same(Box::new([a, b])),
    }
}

fn compare_ints(comparison: Comparison, left: Int, right: Int) -> Bool {
    let (value, limit, comparison) = match (left, right) {
        (value, Int::Const(Some(limit))) => (value, limit, comparison),
        (Int::Const(Some(limit)), value) => (value, limit, comparison.flipped()),
        (left, right) => return Bool::Ints(comparison, Box::new([left, right])),
    };
    // Beyond the largest and the smallest number lies nothing: the first above the last.
    let above = limit.checked_add(1).map_or((1, 0), |from| (from, i64::MAX));
    let below = limit.checked_sub(1).map_or((1, 0), |to| (i64::MIN, to));
    let (from, to) = match comparison {
        Comparison::Equal => (limit, limit),
        Comparison::Unequal => return negated(Bool::Within(value, limit, limit)),
        Comparison::Less => below,
        Comparison::LessOrEqual => (i64::MIN, limit),
        Comparison::Greater => above,
        Comparison::GreaterOrEqual => (limit, i64::MAX),
    };
    Bool::Within(value, from, to)
}
