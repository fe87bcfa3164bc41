//! Whether a key is in use: what several detectors ask alike.

use crate::engine::detect::Sight;
use crate::engine::subject::{Key, KeyFeatures};
use crate::event::facts::{FactBook, KeyFacts};
use crate::time::Millis;

/// Days of a replaced key that its successor may look at.
const DAYS: usize = 3;

/// The key that another one replaces.
#[derive(Clone, Copy, Debug)]
pub struct Replaced<'a> {
    /// What is known of it from facts.
    pub facts: &'a KeyFacts,
    /// Its last accepted use.
    pub last_accepted: Option<Millis>,
    /// Accepted calls of its last days that had any: the day since 1970, and how many.
    pub days: [(i32, u64); DAYS],
}

impl<'a> Replaced<'a> {
    /// The key that the one with these facts replaces, among the merchant's keys.
    pub fn of(facts: Option<&KeyFacts>, keys: &[Key], book: &'a FactBook) -> Option<Self> {
        let old = facts?.replaces.as_deref()?;
        let place = keys.binary_search_by(|key| key.features.key_id.as_ref().cmp(old)).ok();
        let shown = place.map(|place| &keys[place].features);
        let mut days = [(i32::MIN, 0); DAYS];
        for (day, shown) in days.iter_mut().zip(shown.into_iter().flat_map(|shown| shown.days.iter().rev())) {
            *day = (shown.day, shown.accepted);
        }
        Some(Replaced { facts: book.key(old)?, last_accepted: shown.and_then(|shown| shown.last_accepted), days })
    }
}

/// Whether the key had an accepted call in the time before `at`, or has had one since.
pub(super) fn is_in_use(key: &KeyFeatures, at: Millis, within: Millis) -> bool {
    key.last_accepted.is_some_and(|last| at - within <= last)
}

/// Whether this is the first accepted call after so long a rest. The very first one of all is none.
pub(super) fn is_back_in_use(sight: &Sight<'_>, after: Millis) -> bool {
    sight.accepted() && sight.key.last_accepted.is_some_and(|last| last < sight.event.ts - after)
}
