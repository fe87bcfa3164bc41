//! What an event must be for a condition to have a chance: read off the condition, so that rules can be indexed and most
//! events never reach it.

use super::scope::{Scope, TextField, WordField};
use super::tree::{Bool, Text};
use crate::event::{Env, Outcome, Refusal};

/// The most texts that one field may be narrowed to; beyond that the field is left open.
const TEXTS_MAX: usize = 64;

/// The kinds of events that a condition may be true for. It never leaves one out for which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefilter {
    /// Whether the condition can be true at all.
    is_possible: bool,
    /// Words that may be, by bit, of each field of [`WORDS`]; the bit beyond the words stands for an absent one.
    words: [u32; WORDS.len()],
    /// What the method must be; `None` = anything.
    method: Option<Vec<TextNeed>>,
    /// What the path must be; `None` = anything.
    path: Option<Vec<TextNeed>>,
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextNeed {
    /// This.
    Is(Box<str>),
    /// Begin so.
    StartsWith(Box<str>),
}

impl TextNeed {
    fn fits(&self, text: &str) -> bool {
        match self {
            TextNeed::Is(want) => text == &**want,
            TextNeed::StartsWith(prefix) => text.starts_with(&**prefix),
        }
    }
}

/// The fields that are looked at. An event has them as it comes; of the others some must first be worked out.
const WORDS: [WordField; 5] =
    [WordField::Outcome, WordField::Reason, WordField::EventKeyEnv, WordField::EndpointEnv, WordField::KeyEnv];

impl Prefilter {
    /// Everything.
    fn open() -> Self {
        Prefilter { is_possible: true, words: [u32::MAX; WORDS.len()], method: None, path: None }
    }

    fn nothing() -> Self {
        Prefilter { is_possible: false, ..Prefilter::open() }
    }

    /// What a condition asks of an event.
    pub(super) fn of(condition: &Bool) -> Self {
        let mut filter = Prefilter::open();
        match condition {
            Bool::Const(answer) if *answer != Some(true) => filter.is_possible = false,
            Bool::Word(field, mask) => {
                if let Some(place) = WORDS.iter().position(|known| known == field) {
                    filter.words[place] = *mask;
                }
            }
            Bool::Not(of) => {
                if let Bool::Word(field, mask) = &**of
                    && let Some(place) = WORDS.iter().position(|known| known == field)
                {
                    filter.words[place] = super::check::other_words(*field, *mask);
                }
            }
            Bool::TextIs(Text::Field(field), want) => filter.need(*field, vec![TextNeed::Is(want.clone())]),
            Bool::TextAmong(Text::Field(field), set) if set.len() <= TEXTS_MAX => {
                filter.need(*field, set.iter().map(|text| TextNeed::Is(text.clone())).collect());
            }
            Bool::StartsWith(parts) => {
                if let [Text::Field(field), Text::Const(Some(prefix))] = &**parts {
                    filter.need(*field, vec![TextNeed::StartsWith(prefix.clone())]);
                }
            }
            Bool::All(parts) => {
                for part in parts {
                    filter = filter.and(Prefilter::of(part));
                }
            }
            Bool::Any(parts) => {
                filter = parts.iter().map(Prefilter::of).fold(Prefilter::nothing(), Prefilter::or);
            }
            _ => {}
        }
        filter
    }

    fn need(&mut self, field: TextField, needs: Vec<TextNeed>) {
        match field {
            TextField::Method => self.method = Some(needs),
            TextField::Path => self.path = Some(needs),
            _ => {}
        }
    }

    fn and(mut self, other: Prefilter) -> Self {
        self.is_possible &= other.is_possible;
        for (mine, its) in self.words.iter_mut().zip(other.words) {
            *mine &= its;
        }
        self.method = both(self.method, other.method);
        self.path = both(self.path, other.path);
        self
    }

    fn or(mut self, other: Prefilter) -> Self {
        if !self.is_possible {
            return other;
        }
        if !other.is_possible {
            return self;
        }
        for (mine, its) in self.words.iter_mut().zip(other.words) {
            *mine |= its;
        }
        self.method = either(self.method, other.method);
        self.path = either(self.path, other.path);
        self
    }

    /// Whether the condition may be true of an event. Looks at the event itself, and at [`Scope::key_env`].
    pub fn may_match(&self, scope: &Scope<'_>) -> bool {
        let has_word = |place: usize, field: WordField| {
            let allowed = self.words[place];
            allowed == u32::MAX || field.read(scope).is_some_and(|word| allowed >> word & 1 == 1)
        };
        let fits = |needs: &Option<Vec<TextNeed>>, text: Option<&str>| match needs {
            None => true,
            Some(needs) => text.is_some_and(|text| needs.iter().any(|need| need.fits(text))),
        };
        self.is_possible
            && WORDS.iter().enumerate().all(|(place, field)| has_word(place, *field))
            && fits(&self.method, scope.event.method.as_deref())
            && fits(&self.path, scope.event.path.as_deref())
    }

    /// Whether events of an outcome can match, for an index of rules.
    pub fn allows_outcome(&self, outcome: Outcome) -> bool {
        self.is_possible && self.words[0] >> u8::from(outcome == Outcome::Denied) & 1 == 1
    }

    /// Whether a refusal's reason can match.
    pub fn allows_reason(&self, reason: Refusal) -> bool {
        let words = WordField::Reason.words();
        let place = words.iter().position(|word| *word == reason.as_str());
        self.is_possible && place.is_none_or(|place| self.words[1] >> place & 1 == 1)
    }

    /// Whether keys of an environment can match.
    pub fn allows_key_env(&self, env: Env) -> bool {
        self.is_possible && self.words[4] >> u8::from(env == Env::Test) & 1 == 1
    }

    /// What the path must be; `None` = anything, an absent one too.
    pub fn path(&self) -> Option<&[TextNeed]> {
        self.path.as_deref()
    }

    /// What the method must be; `None` = anything, an absent one too.
    pub fn method(&self) -> Option<&[TextNeed]> {
        self.method.as_deref()
    }

    /// Whether every event may match.
    pub fn is_open(&self) -> bool {
        *self == Prefilter::open()
    }
}

/// The narrower of the two: what fits both fits it.
fn both(a: Option<Vec<TextNeed>>, b: Option<Vec<TextNeed>>) -> Option<Vec<TextNeed>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.len() < a.len() { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn either(a: Option<Vec<TextNeed>>, b: Option<Vec<TextNeed>>) -> Option<Vec<TextNeed>> {
    let (Some(mut a), Some(b)) = (a, b) else { return None };
    a.extend(b);
    (a.len() <= TEXTS_MAX).then_some(a)
}
