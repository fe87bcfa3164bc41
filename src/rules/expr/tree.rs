//! A checked condition as it is asked: nodes that know their types and where to read. Nothing here allocates, loops over
//! anything but the text or list at hand, or can fail; what has no value is `None`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::clock::{Part, Zone};
use super::lists::Nets;
use super::pattern::Pattern;
use super::schema::Read;
use super::scope::{BoolField, DoubleField, IntField, Scope, TextField, TextsField, WordField};
use super::syntax::{Comparison, Operation};
use crate::time::{RANGE, SECOND};

/// True, false, or without a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bool {
    Const(Option<bool>),
    Field(BoolField),
    Has(Read),
    Not(Box<Bool>),
    All(Box<[Bool]>),
    Any(Box<[Bool]>),
    If(Box<[Bool; 3]>),
    /// Equal to each other.
    Same(Box<[Bool; 2]>),
    /// One of the words whose bits are set.
    Word(WordField, u32),
    /// Within these bounds, both included; none where the first is above the second.
    Within(Int, i64, i64),
    /// One of these, which are sorted.
    IntAmong(Int, Arc<[i64]>),
    Ints(Comparison, Box<[Int; 2]>),
    Doubles(Comparison, Box<[Double; 2]>),
    /// The whole number on the left.
    Mixed(Comparison, Box<(Int, Double)>),
    TextIs(Text, Box<str>),
    /// One of these, which are sorted.
    TextAmong(Text, Arc<[Box<str>]>),
    Texts(Comparison, Box<[Text; 2]>),
    StartsWith(Box<[Text; 2]>),
    EndsWith(Box<[Text; 2]>),
    Contains(Box<[Text; 2]>),
    Matches(Text, Pattern),
    InNets(Arc<Nets>),
    /// The list has the text.
    Listed(Text, TextsField),
}

/// A whole number, a time or a duration in milliseconds, a network.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Int {
    Const(Option<i64>),
    Field(IntField),
    Negate(Box<Int>),
    Arithmetic(Operation, Box<[Int; 2]>),
    /// A sum or difference that must be a time that can be written.
    Time(Box<Int>),
    /// A sum or difference that must be a duration as CEL bounds them.
    Duration(Box<Int>),
    /// Characters of a text.
    Size(Text),
    /// Elements of a list.
    Count(TextsField),
    Part(Part, Box<Int>, Zone),
    /// Whole multiples of a unit.
    Units(Box<Int>, i64),
    Truncate(Box<Double>),
    If(Box<(Bool, Int, Int)>),
}

/// A number with a fraction.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Double {
    Const(Option<f64>),
    Field(DoubleField),
    Negate(Box<Double>),
    Arithmetic(Operation, Box<[Double; 2]>),
    Of(Box<Int>),
    If(Box<(Bool, Double, Double)>),
}

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    Const(Option<Box<str>>),
    Field(TextField),
    Word(WordField),
    Lower(Box<Text>),
    If(Box<(Bool, Text, Text)>),
}

impl Bool {
    /// The answer; `None` = without a value.
    pub(super) fn value(&self, scope: &Scope<'_>) -> Option<bool> {
        match self {
            Bool::Const(value) => *value,
            Bool::Field(field) => field.read(scope),
            Bool::Has(read) => Some(is_there(*read, scope)),
            Bool::Not(of) => of.value(scope).map(|value| !value),
            Bool::All(parts) => all_are(parts, true, scope),
            Bool::Any(parts) => all_are(parts, false, scope),
            Bool::If(parts) => {
                let [condition, then, other] = &**parts;
                if condition.value(scope)? { then.value(scope) } else { other.value(scope) }
            }
            Bool::Same(parts) => Some(parts[0].value(scope)? == parts[1].value(scope)?),
            Bool::Word(field, among) => field.read(scope).map(|word| among >> word & 1 == 1),
            Bool::Within(number, from, to) => number.value(scope).map(|value| *from <= value && value <= *to),
            Bool::IntAmong(number, set) => number.value(scope).map(|value| set.binary_search(&value).is_ok()),
            Bool::Ints(comparison, parts) => {
                Some(comparison.holds(parts[0].value(scope)?.cmp(&parts[1].value(scope)?)))
            }
            Bool::Doubles(comparison, parts) => {
                holds(*comparison, parts[0].value(scope)?.partial_cmp(&parts[1].value(scope)?))
            }
            Bool::Mixed(comparison, parts) => {
                holds(*comparison, compare_mixed(parts.0.value(scope)?, parts.1.value(scope)?))
            }
            Bool::TextIs(text, want) => text.value(scope).map(|text| text.is(want)),
            Bool::TextAmong(text, set) => text
                .value(scope)
                .map(|text| set.binary_search_by(|member| Piece { text: member, lower: false }.compare(text)).is_ok()),
            Bool::Texts(comparison, parts) => {
                Some(comparison.holds(parts[0].value(scope)?.compare(parts[1].value(scope)?)))
            }
            Bool::StartsWith(parts) => Some(parts[0].value(scope)?.starts_with(parts[1].value(scope)?)),
            Bool::EndsWith(parts) => Some(parts[0].value(scope)?.ends_with(parts[1].value(scope)?)),
            Bool::Contains(parts) => Some(parts[0].value(scope)?.contains(parts[1].value(scope)?)),
            Bool::Matches(text, pattern) => text.value(scope).map(|text| pattern.is_in(text.text)),
            Bool::InNets(nets) => scope.ip().map(|address| nets.contains(address)),
            Bool::Listed(text, list) => {
                let text = text.value(scope)?;
                Some(list.read(scope).iter().any(|member| text.is(member)))
            }
        }
    }

    /// Whether it reads nothing, so that it can be answered once and for all.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Bool::Const(_) => true,
            Bool::Field(_) | Bool::Has(_) | Bool::Word(..) | Bool::InNets(_) | Bool::Listed(..) => false,
            Bool::Not(of) => of.is_constant(),
            Bool::All(parts) | Bool::Any(parts) => parts.iter().all(Bool::is_constant),
            Bool::If(parts) => parts.iter().all(Bool::is_constant),
            Bool::Same(parts) => parts.iter().all(Bool::is_constant),
            Bool::Within(number, ..) | Bool::IntAmong(number, _) => number.is_constant(),
            Bool::Ints(_, parts) => parts.iter().all(Int::is_constant),
            Bool::Doubles(_, parts) => parts.iter().all(Double::is_constant),
            Bool::Mixed(_, parts) => parts.0.is_constant() && parts.1.is_constant(),
            Bool::TextIs(text, _) | Bool::TextAmong(text, _) | Bool::Matches(text, _) => text.is_constant(),
            Bool::Texts(_, parts) | Bool::StartsWith(parts) | Bool::EndsWith(parts) | Bool::Contains(parts) => {
                parts.iter().all(Text::is_constant)
            }
        }
    }

    /// What it costs to ask, roughly in nanoseconds: cheap parts are asked first, which changes no answer.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Bool::Const(_) | Bool::Word(..) | Bool::Has(_) => 1,
            Bool::Field(_) => 8,
            Bool::Not(of) => of.cost(),
            Bool::All(parts) | Bool::Any(parts) => parts.iter().fold(1, |sum, part| part.cost().saturating_add(sum)),
            Bool::If(parts) => parts.iter().fold(1, |sum, part| part.cost().saturating_add(sum)),
            Bool::Same(parts) => parts.iter().fold(1, |sum, part| part.cost().saturating_add(sum)),
            Bool::Within(number, ..) => number.cost(),
            Bool::IntAmong(number, _) => 5 + number.cost(),
            Bool::Ints(_, parts) => parts[0].cost() + parts[1].cost(),
            Bool::Doubles(..) | Bool::Mixed(..) => 10,
            Bool::TextIs(text, _) => 3 + text.cost(),
            Bool::TextAmong(text, _) | Bool::Listed(text, _) => 15 + text.cost(),
            Bool::Texts(_, parts) | Bool::StartsWith(parts) | Bool::EndsWith(parts) => {
                5 + parts[0].cost() + parts[1].cost()
            }
            Bool::InNets(_) => 15,
            Bool::Contains(_) => 40,
            Bool::Matches(..) => 100,
        }
    }
}

/// `&&` for true, `||` for false: the parts' common answer, unless one differs; a part without a value leaves it open.
fn all_are(parts: &[Bool], what: bool, scope: &Scope<'_>) -> Option<bool> {
    let mut answer = Some(what);
    for part in parts {
        match part.value(scope) {
            Some(value) if value == what => {}
            Some(other) => return Some(other),
            None => answer = None,
        }
    }
    answer
}

/// What is no number (0.0 / 0.0) is unequal to everything, and has no order.
fn holds(comparison: Comparison, order: Option<Ordering>) -> Option<bool> {
    match order {
        Some(order) => Some(comparison.holds(order)),
        None if comparison.is_order() => None,
        None => Some(comparison == Comparison::Unequal),
    }
}

fn is_there(read: Read, scope: &Scope<'_>) -> bool {
    match read {
        Read::Bool(field) => field.read(scope).is_some(),
        Read::Int(field) => field.read(scope).is_some(),
        Read::Double(field) => field.read(scope).is_some(),
        Read::Text(field) => field.read(scope).is_some(),
        Read::Word(field) => field.read(scope).is_some(),
        Read::Ip => scope.event.source_ip.is_some(),
        Read::Texts(field) => !field.read(scope).is_empty(),
    }
}

impl Int {
    pub(super) fn value(&self, scope: &Scope<'_>) -> Option<i64> {
        match self {
            Int::Const(value) => *value,
            Int::Field(field) => field.read(scope),
            Int::Negate(of) => of.value(scope)?.checked_neg(),
            Int::Arithmetic(operation, parts) => {
                let (a, b) = (parts[0].value(scope)?, parts[1].value(scope)?);
                match operation {
                    Operation::Add => a.checked_add(b),
                    Operation::Subtract => a.checked_sub(b),
                    Operation::Multiply => a.checked_mul(b),
                    Operation::Divide => a.checked_div(b),
                    Operation::Remainder => a.checked_rem(b),
                }
            }
            Int::Time(of) => of.value(scope).filter(|at| (YEAR_ONE..RANGE.end).contains(at)),
            Int::Duration(of) => of.value(scope).filter(|length| length.unsigned_abs() <= DURATION_MAX.unsigned_abs()),
            Int::Size(text) => i64::try_from(text.value(scope)?.text.chars().count()).ok(),
            Int::Count(list) => i64::try_from(list.read(scope).len()).ok(),
            Int::Part(part, of, zone) => part.of(of.value(scope)?, zone, scope),
            Int::Units(of, unit) => of.value(scope)?.checked_div(*unit),
            Int::Truncate(of) => {
                let value = of.value(scope)?;
                // The nearest doubles of the bounds lie outside them.
                (-9_223_372_036_854_775_808.0 < value && value < 9_223_372_036_854_775_808.0).then_some(value as i64)
            }
            Int::If(parts) => if parts.0.value(scope)? { &parts.1 } else { &parts.2 }.value(scope),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Int::Const(_) => true,
            Int::Field(_) | Int::Count(_) => false,
            Int::Negate(of) | Int::Time(of) | Int::Duration(of) | Int::Units(of, _) => of.is_constant(),
            Int::Arithmetic(_, parts) => parts.iter().all(Int::is_constant),
            Int::Size(text) => text.is_constant(),
            Int::Part(_, of, zone) => of.is_constant() && !matches!(zone, Zone::Field(_)),
            Int::Truncate(of) => of.is_constant(),
            Int::If(parts) => parts.0.is_constant() && parts.1.is_constant() && parts.2.is_constant(),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Int::Const(_) => 0,
            Int::Field(_) => 2,
            Int::Part(..) => 50,
            Int::Size(_) => 20,
            Int::Negate(of) | Int::Time(of) | Int::Duration(of) | Int::Units(of, _) => 1 + of.cost(),
            _ => 10,
        }
    }

    /// Itself, or its value where it reads nothing.
    pub(super) fn folded(self) -> Self {
        if self.is_constant() { Int::Const(with_nothing(|scope| self.value(scope))) } else { self }
    }
}

/// The longest duration that CEL has: ten thousand years.
pub(super) const DURATION_MAX: i64 = 315_576_000_000 * SECOND;
/// The first time that CEL can write: the year 1.
pub(super) const YEAR_ONE: i64 = -62_135_596_800 * SECOND;

impl Double {
    pub(super) fn value(&self, scope: &Scope<'_>) -> Option<f64> {
        match self {
            Double::Const(value) => *value,
            Double::Field(field) => field.read(scope),
            Double::Negate(of) => Some(-of.value(scope)?),
            Double::Arithmetic(operation, parts) => {
                let (a, b) = (parts[0].value(scope)?, parts[1].value(scope)?);
                match operation {
                    Operation::Add => Some(a + b),
                    Operation::Subtract => Some(a - b),
                    Operation::Multiply => Some(a * b),
                    Operation::Divide => Some(a / b),
                    Operation::Remainder => None,
                }
            }
            Double::Of(of) => Some(of.value(scope)? as f64),
            Double::If(parts) => if parts.0.value(scope)? { &parts.1 } else { &parts.2 }.value(scope),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Double::Const(_) => true,
            Double::Field(_) => false,
            Double::Negate(of) => of.is_constant(),
            Double::Arithmetic(_, parts) => parts.iter().all(Double::is_constant),
            Double::Of(of) => of.is_constant(),
            Double::If(parts) => parts.0.is_constant() && parts.1.is_constant() && parts.2.is_constant(),
        }
    }

    /// Itself, or its value where it reads nothing.
    pub(super) fn folded(self) -> Self {
        if self.is_constant() { Double::Const(with_nothing(|scope| self.value(scope))) } else { self }
    }
}

/// How a whole number and one with a fraction compare, exactly.
fn compare_mixed(whole: i64, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        None
    } else if double >= 9_223_372_036_854_775_808.0 {
        Some(Ordering::Less)
    } else if double < -9_223_372_036_854_775_808.0 {
        Some(Ordering::Greater)
    } else {
        let by_fraction = 0.0f64.partial_cmp(&double.fract())?;
        Some(whole.cmp(&(double.trunc() as i64)).then(by_fraction))
    }
}

impl Text {
    fn value<'a>(&'a self, scope: &Scope<'a>) -> Option<Piece<'a>> {
        let plain = |text: &'a str| Piece { text, lower: false };
        match self {
            Text::Const(value) => value.as_deref().map(plain),
            Text::Field(field) => field.read(scope).map(plain),
            Text::Word(field) => field.read(scope).map(|word| plain(field.words()[usize::from(word)])),
            Text::Lower(of) => of.value(scope).map(|piece| Piece { lower: true, ..piece }),
            Text::If(parts) => if parts.0.value(scope)? { &parts.1 } else { &parts.2 }.value(scope),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Text::Const(_) => true,
            Text::Field(_) | Text::Word(_) => false,
            Text::Lower(of) => of.is_constant(),
            Text::If(parts) => parts.0.is_constant() && parts.1.is_constant() && parts.2.is_constant(),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Text::Const(_) => 0,
            Text::Field(_) | Text::Word(_) => 2,
            Text::Lower(of) => 20 + of.cost(),
            Text::If(_) => 10,
        }
    }

    /// Itself, or its value where it reads nothing.
    pub(super) fn folded(self) -> Self {
        if !self.is_constant() {
            return self;
        }
        let text = with_nothing(|scope| self.value(scope).map(|piece| piece.to_box()));
        Text::Const(text)
    }

    /// The text, where it is known beforehand.
    pub(super) fn constant(&self) -> Option<&str> {
        match self {
            Text::Const(text) => text.as_deref(),
            _ => None,
        }
    }
}

/// A text that is lent, perhaps to be taken in lower case (ASCII).
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    lower: bool,
}

impl Piece<'_> {
    fn byte(self, byte: u8) -> u8 {
        if self.lower { byte.to_ascii_lowercase() } else { byte }
    }

    fn to_box(self) -> Box<str> {
        if self.lower { self.text.to_ascii_lowercase().into() } else { self.text.into() }
    }

    fn equals(self, other: Piece<'_>, from: usize) -> bool {
        let bytes = &self.text.as_bytes()[from..];
        let other_bytes = other.text.as_bytes();
        if self.lower || other.lower {
            bytes.iter().zip(other_bytes).all(|(a, b)| self.byte(*a) == other.byte(*b))
        } else {
            bytes.starts_with(other_bytes)
        }
    }

    fn is(self, want: &str) -> bool {
        self.text.len() == want.len() && self.equals(Piece { text: want, lower: false }, 0)
    }

    fn compare(self, other: Piece<'_>) -> Ordering {
        if self.lower || other.lower {
            let bytes = self.text.bytes().map(|byte| self.byte(byte));
            bytes.cmp(other.text.bytes().map(|byte| other.byte(byte)))
        } else {
            self.text.cmp(other.text)
        }
    }

    fn starts_with(self, what: Piece<'_>) -> bool {
        what.text.len() <= self.text.len() && self.equals(what, 0)
    }

    fn ends_with(self, what: Piece<'_>) -> bool {
        what.text.len() <= self.text.len() && self.equals(what, self.text.len() - what.text.len())
    }

    fn contains(self, what: Piece<'_>) -> bool {
        if self.lower || what.lower {
            what.text.len() <= self.text.len()
                && (0..=self.text.len() - what.text.len()).any(|from| self.equals(what, from))
        } else {
            self.text.contains(what.text)
        }
    }
}

/// Answers something that reads nothing.
pub(super) fn with_nothing<T>(answer: impl FnOnce(&Scope<'_>) -> T) -> T {
    use crate::event::AuthEvent;
    let event = AuthEvent { key_id: None, outcome: crate::event::Outcome::Ok, ..AuthEvent::at(0, "", None) };
    answer(&Scope::of(&event))
}
