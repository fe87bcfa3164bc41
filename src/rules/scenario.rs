//! Tests of rules, `*.test.yml` beside them: made-up traffic through the real engine, and the exact alerts at a time.
//!
//! [`read`] makes [`Test`]s of a file, [`run`] judges one, [`report`] says what came of all and what no test covers.

use std::net::IpAddr;

use crate::event::AuthEvent;
use crate::event::facts::Fact;
use crate::rules::expr::Condition;
use crate::rules::set::Override;
use crate::time::{DAY, Millis, duration_text};
use crate::yaml::Position;

pub mod events;
mod mail;
pub mod read;
pub mod report;
pub mod run;
pub mod schema;

/// Tests in one file.
pub const TESTS_MAX: usize = 1_000;
/// Events of one test.
pub const EVENTS_MAX: u64 = 2_000_000;
/// Generators, facts and expectations of one test, and alerts of one expectation.
pub const ITEMS_MAX: usize = 1_000;
/// How long a test may go on.
pub const SPAN_MAX: Millis = 3650 * DAY;
/// Monday, 2026-01-05T00:00:00Z: when a test starts that does not say.
pub const STARTS: Millis = 20_458 * DAY;

/// One test, checked.
#[derive(Debug)]
pub struct Test {
    /// The file it stands in, as it was given.
    pub file: String,
    /// Where.
    pub at: Position,
    /// Its name, once in its file.
    pub name: String,
    /// Where its offsets begin.
    pub starts: Millis,
    /// Parameters that are other than in the rules.
    pub set: Vec<Override>,
    /// The rules whose alerts are looked at; `None` = all.
    pub rules: Option<Vec<String>>,
    /// What is known of keys and merchants.
    pub facts: Vec<Fact>,
    /// The traffic.
    pub generators: Vec<Generator>,
    /// What must have been found, ordered by time.
    pub expect: Vec<Expectation>,
}

/// Events of one shape, spread evenly.
#[derive(Clone, Debug)]
pub struct Generator {
    /// What all of them are like.
    pub event: AuthEvent<'static>,
    /// The addresses, which take turns; empty = none is known.
    pub addresses: Vec<IpAddr>,
    /// The first event.
    pub from: Millis,
    /// How many.
    pub n: u64,
    /// Over how long; the last one lies a step before its end.
    pub span: Millis,
}

/// The alerts that are open or have ended at a time, no more and no fewer.
#[derive(Debug)]
pub struct Expectation {
    /// Where it stands.
    pub at: Position,
    /// The moment.
    pub time: Millis,
    /// One for each alert.
    pub alerts: Vec<Expected>,
    /// What is known of keys then.
    pub knows: Vec<Known>,
}

/// What must be true of a key at a moment, with what was learned of it until then.
#[derive(Debug)]
pub struct Known {
    /// The key.
    pub key: String,
    /// What was written.
    pub text: String,
    /// The same, compiled.
    pub condition: Condition,
}

/// What is asked of one alert: names of fields and the values that they must have. What is not written is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(pub Vec<(String, String)>);

/// A time as tests write it.
pub fn offset_text(starts: Millis, at: Millis) -> String {
    match at - starts {
        0 => "0d".to_owned(),
        after if after > 0 => duration_text(after),
        before => format!("-{}", duration_text(-before)),
    }
}
