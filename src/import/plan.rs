//! What an import comes to: facts merged with what is stored, and what that changes.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::row::is_merchants;
use crate::event::facts::{Fact, FactBook, FactKind, KeyFacts, MerchantFacts};

/// How many subjects of a sort are new, changed, and as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Not known before.
    pub new: u64,
    /// Something else is said of them.
    pub changed: u64,
    /// Nothing new is said of them.
    pub unchanged: u64,
}

/// What is to be written, and what it changes.
#[derive(Debug, Default)]
pub struct Plan {
    /// Keys as they become.
    pub keys: Vec<(String, KeyFacts)>,
    /// Merchants as they become.
    pub merchants: Vec<(String, MerchantFacts)>,
    /// Of keys.
    pub key_counts: Counts,
    /// Of merchants.
    pub merchant_counts: Counts,
}

/// The keys and the merchants that facts speak of.
pub fn subjects(facts: &[Fact]) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut merchants) = (BTreeSet::new(), BTreeSet::new());
    for fact in facts {
        if is_merchants(fact) {
            merchants.extend(fact.merchant_id.clone());
            continue;
        }
        keys.extend(fact.key_id.clone());
        if fact.kind == FactKind::KeyRegenerated {
            keys.extend(fact.replaces.clone());
        }
    }
    (keys.into_iter().collect(), merchants.into_iter().collect())
}

/// Merges facts with what is stored of their subjects.
pub fn plan(
    known_keys: Vec<(String, KeyFacts)>,
    known_merchants: Vec<(String, MerchantFacts)>,
    facts: &[Fact],
) -> Plan {
    let mut book = FactBook::new(usize::MAX);
    for (id, facts) in &known_keys {
        book.restore_key(id, facts.clone());
    }
    for (id, facts) in &known_merchants {
        book.restore_merchant(id, facts.clone());
    }
    for fact in facts {
        match says_its_status_again(fact, &book) {
            true => drop(book.learn(&Fact { status: None, ..fact.clone() })),
            false => drop(book.learn(fact)),
        }
    }
    let (keys, merchants): (HashMap<_, _>, HashMap<_, _>) =
        (known_keys.into_iter().collect(), known_merchants.into_iter().collect());
    let (key_ids, merchant_ids) = subjects(facts);
    let mut plan = Plan::default();
    for id in key_ids {
        let Some(after) = book.key(&id) else { continue };
        let before = keys.get(&id);
        let is_same = |before: &KeyFacts| KeyFacts { as_of: after.as_of, ..before.clone() } == *after;
        plan.key_counts.add(before.map(is_same));
        if before != Some(after) {
            plan.keys.push((id, after.clone()));
        }
    }
    for id in merchant_ids {
        let Some(after) = book.merchant(&id) else { continue };
        let before = merchants.get(&id);
        let is_same = |before: &MerchantFacts| MerchantFacts { as_of: after.as_of, ..before.clone() } == *after;
        plan.merchant_counts.add(before.map(is_same));
        if before != Some(after) {
            plan.merchants.push((id, after.clone()));
        }
    }
    plan
}

impl Counts {
    /// `None` = not known before; true = as before, but for the date of the newest word about it.
    fn add(&mut self, is_same: Option<bool>) {
        match is_same {
            None => self.new += 1,
            Some(false) => self.changed += 1,
            Some(true) => self.unchanged += 1,
        }
    }
}

/// A list that is imported every day says every day that a merchant is active. Only changes of status are remembered,
/// and not many of them: a repetition must not push them out.
fn says_its_status_again(fact: &Fact, book: &FactBook) -> bool {
    let known = fact.merchant_id.as_deref().and_then(|id| book.merchant(id));
    let then = known.and_then(|known| known.status.iter().rev().find(|(at, _)| *at <= fact.ts));
    fact.status.is_some() && fact.status == then.map(|(_, status)| *status)
}
