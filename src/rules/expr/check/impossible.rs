//! What can never be true, or always is: most such conditions are slips that would sleep in a rule for years.

use super::super::problem::quoted;
use super::super::schema::{FIELDS, Read};
use super::super::scope::WordField;
use super::super::syntax::Span;
use super::super::tree::{Bool, Int, Text};
use super::Checker;
use super::compare::{all_words, other_words};

/// Parts of one `&&` or `||` that are held against each other.
const PARTS_MAX: usize = 100;

/// What a part is about.
#[derive(Clone, Copy, PartialEq)]
enum Subject<'t> {
    Word(WordField),
    Int(&'t Int),
    Text(&'t Text),
    /// Whether a field is there.
    There(Read),
}

/// What a subject must be.
#[derive(Clone)]
enum Must<'t> {
    Words(u32),
    Within(i64, i64),
    Among(&'t [i64]),
    Texts(Vec<&'t str>),
    Prefix(&'t str),
    Be(bool),
}

/// What one part asks of one subject, where that can be said.
fn demand(part: &Bool) -> Option<(Subject<'_>, Must<'_>)> {
    Some(match part {
        Bool::Word(field, mask) => (Subject::Word(*field), Must::Words(*mask)),
        Bool::Within(value, from, to) => (Subject::Int(value), Must::Within(*from, *to)),
        Bool::IntAmong(value, set) => (Subject::Int(value), Must::Among(set)),
        Bool::TextIs(text, want) => (Subject::Text(text), Must::Texts(vec![want])),
        Bool::TextAmong(text, set) => (Subject::Text(text), Must::Texts(set.iter().map(|text| &**text).collect())),
        Bool::StartsWith(parts) => match &**parts {
            [text @ Text::Field(_), Text::Const(Some(prefix))] => (Subject::Text(text), Must::Prefix(prefix)),
            _ => return None,
        },
        Bool::Has(read) => (Subject::There(*read), Must::Be(true)),
        Bool::Not(of) => match &**of {
            Bool::Word(field, mask) => (Subject::Word(*field), Must::Words(other_words(*field, *mask))),
            Bool::Has(read) => (Subject::There(*read), Must::Be(false)),
            _ => return None,
        },
        _ => return None,
    })
}

/// Everything that the parts so far ask of one subject.
struct Asked<'t> {
    subject: Subject<'t>,
    words: u32,
    from: i64,
    to: i64,
    among: Option<Vec<i64>>,
    texts: Option<Vec<&'t str>>,
    prefix: &'t str,
    is_there: Option<bool>,
}

impl<'t> Asked<'t> {
    fn of(subject: Subject<'t>) -> Self {
        let (from, to) = match subject {
            Subject::Int(Int::Field(field)) => field.bounds(),
            Subject::Int(Int::Part(part, ..)) => part.bounds(),
            Subject::Int(Int::Size(_) | Int::Count(_)) => (0, i64::MAX),
            _ => (i64::MIN, i64::MAX),
        };
        let words = match subject {
            Subject::Word(field) => all_words(field),
            _ => u32::MAX,
        };
        Asked { subject, words, from, to, among: None, texts: None, prefix: "", is_there: None }
    }

    /// Asks more. False where nothing is left that it could be.
    fn add(&mut self, must: Must<'t>) -> bool {
        match must {
            Must::Words(mask) => self.words &= mask,
            Must::Within(from, to) => (self.from, self.to) = (self.from.max(from), self.to.min(to)),
            Must::Among(set) => {
                let both = |n: &&i64| self.among.as_ref().is_none_or(|among| among.contains(n));
                self.among = Some(set.iter().filter(both).copied().collect());
            }
            Must::Texts(set) => {
                let both = |text: &&str| self.texts.as_ref().is_none_or(|texts| texts.contains(text));
                self.texts = Some(set.into_iter().filter(both).collect());
            }
            Must::Prefix(prefix) if prefix.starts_with(self.prefix) => self.prefix = prefix,
            Must::Prefix(prefix) => {
                if !self.prefix.starts_with(prefix) {
                    return false;
                }
            }
            Must::Be(wanted) => {
                let is_new = self.is_there.is_none_or(|before| before == wanted);
                self.is_there = Some(wanted);
                return is_new;
            }
        }
        let is_number_left = match &self.among {
            Some(among) => among.iter().any(|n| (self.from..=self.to).contains(n)),
            None => self.from <= self.to,
        };
        let is_text_left =
            self.texts.as_ref().is_none_or(|texts| texts.iter().any(|text| text.starts_with(self.prefix)));
        self.words != 0 && is_number_left && is_text_left
    }
}

impl Checker<'_> {
    /// Parts whose answer is known beforehand.
    pub(super) fn tell_constants(&mut self, parts: &[(Bool, Span)]) {
        for (part, at) in parts {
            let Bool::Const(answer) = part else { continue };
            let is = match answer {
                Some(true) => "always true",
                Some(false) => "never true",
                None => "without a value, so never true",
            };
            let message = format!("{} is {is}", self.quote(at));
            self.found.add(at.clone(), message);
        }
    }

    /// Parts of an `&&` that cannot be true together.
    pub(super) fn tell_contradictions(&mut self, parts: &[(Bool, Span)]) {
        let mut asked: Vec<(Asked<'_>, Vec<&Span>)> = Vec::new();
        let mut absent: Vec<(Read, &Span)> = Vec::new();
        let flat = parts.iter().flat_map(|(part, at)| match part {
            Bool::All(inner) => inner.iter().map(|part| (part, at)).collect(),
            part => vec![(part, at)],
        });
        for (part, at) in flat.take(PARTS_MAX) {
            let Some((subject, must)) = demand(part) else { continue };
            if let (Subject::There(read), Must::Be(false)) = (&subject, &must) {
                absent.push((*read, at));
            }
            let place = match asked.iter().position(|(known, _)| known.subject == subject) {
                Some(place) => place,
                None => {
                    asked.push((Asked::of(subject), Vec::new()));
                    asked.len() - 1
                }
            };
            let (known, places) = &mut asked[place];
            if !known.add(must) {
                let (this, before) = (self.quote(at), places.last().map(|before| self.quote(before)));
                let message = match before {
                    Some(before) if before != this => format!("{this} is never true together with {before}"),
                    _ => format!("{this} is never true"),
                };
                let hint = self.hint_of_bounds(known.subject, places.is_empty());
                self.found.push(at.clone(), message, hint);
                return;
            }
            places.push(at);
        }
        for (read, at) in absent {
            let reader = asked.iter().find(|(known, _)| reads(known.subject, read));
            if let Some((_, places)) = reader
                && let Some(other) = places.first()
            {
                let message = format!("{} is never true together with {}", self.quote(other), self.quote(at));
                self.found.add_with_hint((*other).clone(), message, "a comparison with what is absent is never true");
                return;
            }
        }
    }

    fn hint_of_bounds(&self, subject: Subject<'_>, is_alone: bool) -> Option<String> {
        let bounds = match subject {
            Subject::Int(Int::Field(field)) => field.bounds(),
            Subject::Int(Int::Part(part, ..)) => part.bounds(),
            Subject::Int(Int::Size(_) | Int::Count(_)) => (0, i64::MAX),
            Subject::Word(_) | Subject::Text(_) if !is_alone => return Some("did you mean `||`?".into()),
            _ => return None,
        };
        match bounds {
            (from, to) if !is_alone || (from, to) == (i64::MIN, i64::MAX) => None,
            (from, i64::MAX) => Some(format!("it is at least {from}")),
            (from, to) => Some(format!("it is {from} to {to}")),
        }
    }

    /// A single part that can never be true by itself: `event.status > 70000`.
    pub(super) fn tell_impossible(&mut self, part: &Bool, at: &Span) {
        if let Some((subject, must)) = demand(part) {
            let mut asked = Asked::of(subject);
            let may_be = asked.add(must);
            if !may_be && !matches!(subject, Subject::Word(_)) {
                let message = format!("{} is never true", self.quote(at));
                let hint = self.hint_of_bounds(subject, true);
                self.found.push(at.clone(), message, hint);
            }
        }
    }

    /// Parts of an `||` one of which is always true.
    pub(super) fn tell_tautologies(&mut self, parts: &[(Bool, Span)], whole: &Span) {
        let mut words: Vec<(WordField, u32)> = Vec::new();
        let mut others: Vec<(&Bool, &Span)> = Vec::new();
        for (part, at) in parts.iter().take(PARTS_MAX) {
            if let Some((Subject::Word(field), Must::Words(mask))) = demand(part) {
                let so_far = match words.iter_mut().find(|(known, _)| *known == field) {
                    Some((_, so_far)) => {
                        *so_far |= mask;
                        *so_far
                    }
                    None => {
                        words.push((field, mask));
                        mask
                    }
                };
                let is_optional = FIELDS.iter().any(|spec| spec.read == Read::Word(field) && spec.optional);
                if so_far == all_words(field) {
                    let message = format!("{} is always true", self.quote(whole));
                    let hint = is_optional.then(|| "to ask whether a field is there, write `has(…)`".to_owned());
                    self.found.push(whole.clone(), message, hint);
                    return;
                }
            }
            // `x != a || x != b`
            let Bool::Not(of) = part else { continue };
            let differs = |other: &Bool| match (&**of, other) {
                (Bool::Within(x, a, to), Bool::Within(y, b, upto)) => x == y && a == to && b == upto && a != b,
                (Bool::TextIs(x, a), Bool::TextIs(y, b)) => x == y && a != b,
                _ => false,
            };
            if let Some((_, before)) = others.iter().find(|(other, _)| differs(other)) {
                let message = format!("{} or {} is always true", quoted(&self.text[(*before).clone()]), self.quote(at));
                self.found.add_with_hint(at.clone(), message, "did you mean `&&`?");
                return;
            }
            others.push((of, at));
        }
    }
}

/// Whether asking about the subject reads the field.
fn reads(subject: Subject<'_>, read: Read) -> bool {
    match (subject, read) {
        (Subject::Word(field), Read::Word(other)) => field == other,
        (Subject::Int(Int::Field(field)), Read::Int(other)) => *field == other,
        (Subject::Text(Text::Field(field)), Read::Text(other)) => *field == other,
        _ => false,
    }
}
