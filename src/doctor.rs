//! `keywatch doctor`: looks whether what the service needs is there, and says what to do where it is not.
//!
//! It writes nothing anywhere: no group is joined, nothing is committed or migrated, no mail is sent, no file is made. Every
//! check has a bounded time, and the others go on where one fails.

use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::notify::render::when::number;
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};

pub mod check;
mod disk;
pub mod facts;
mod geoip;
mod http;
mod kafka;
pub mod lag;
mod mail;
mod rules;
pub mod sample;
mod store;
mod topics;

pub use check::Check;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and something is lost or will be.
    Warn,
    /// The service would not do its work.
    Fail,
    /// Could not be looked at.
    Skipped,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
            Status::Skipped => "skipped",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How it came out.
    pub status: Status,
    /// What was looked at.
    pub looked_at: String,
    /// What was found.
    pub found: String,
    /// What to do; for everything that is not fine.
    pub hint: Option<String>,
}

impl Finding {
    fn new(status: Status, check: Check, at: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { check, status, looked_at: at.into(), found: found.into(), hint: None }
    }

    fn ok(check: Check, at: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(Status::Ok, check, at, found)
    }

    fn warn(check: Check, at: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { hint: Some(hint.into()), ..Finding::new(Status::Warn, check, at, found) }
    }

    fn fail(check: Check, at: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { hint: Some(hint.into()), ..Finding::new(Status::Fail, check, at, found) }
    }

    fn skipped(check: Check, at: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { hint: Some(hint.into()), ..Finding::new(Status::Skipped, check, at, found) }
    }

    /// A sentence of an adapter, `what is wrong; what to do`, in its two halves.
    fn fail_with(check: Check, at: impl Into<String>, sentence: &str, otherwise: &str) -> Finding {
        let (found, hint) = sentence.split_once("; ").unwrap_or((sentence, otherwise));
        Finding::fail(check, at, found, hint)
    }
}

/// What to look at, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The configuration, which is valid.
    pub config: &'a Config,
    /// Its file.
    pub path: &'a Path,
    /// Messages read of each partition, at most.
    pub sample: u32,
    /// Wall time now.
    pub now: Millis,
}

/// Longest that one check may take: every adapter has a shorter bound of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs every check, in a fixed order, and hands over what each found.
pub async fn examine(plan: Plan<'_>, say: &mut dyn FnMut(Finding)) {
    let Plan { config, path, now, .. } = plan;
    say(Finding::ok(Check::Config, format!("configuration {}", path.display()), "valid"));
    let (on_disk, found) = rules::on_disk(config);
    say(found);
    let looked = bounded(store::look(config)).await;
    let (store, found) = looked.unwrap_or_else(|| (store::Looked::default(), vec![slow(Check::Store, "store")]));
    found.into_iter().for_each(&mut *say);
    say(bounded(rules::in_force(&store, on_disk.as_deref(), now))
        .await
        .unwrap_or_else(|| slow(Check::RulesInForce, "rules")));

    let seen = kafka::examine(plan, say).await;
    lag::examine(&seen.topics, &store, now).into_iter().for_each(&mut *say);

    let found = bounded(mail::examine(&config.mail)).await.unwrap_or_else(|| vec![slow(Check::Mail, "mail")]);
    found.into_iter().for_each(&mut *say);
    let databases = config.geoip.databases.clone();
    let found =
        blocking(move || geoip::examine(&databases, now)).await.unwrap_or_else(|| vec![slow(Check::Geoip, "geoip")]);
    found.into_iter().for_each(&mut *say);
    say(bounded(http::examine(config.http.listen)).await.unwrap_or_else(|| slow(Check::Http, "http")));
    say(clock(seen.newest_at, store.clock, now));
    if let Some(store) = store.store {
        let _ = bounded(store.close()).await;
    }
}

/// `None` where it took too long.
async fn bounded<T>(check: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, check).await.ok()
}

/// The same for what blocks. Where it takes too long its thread is left behind; the process ends soon.
async fn blocking<T: Send + 'static>(check: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    bounded(tokio::task::spawn_blocking(check)).await?.ok()
}

fn slow(check: Check, at: &str) -> Finding {
    let found = format!("no answer within {} s", PATIENCE.as_secs());
    Finding::fail(
        check,
        at,
        found,
        "run `keywatch doctor` again; where it stays, look at that server's load and its log",
    )
}

/// Clocks further apart than this are wrong: leases and ages compare them.
const CLOCKS_APART: Millis = 10 * SECOND;

/// Kafka does not tell the time; the newest message's time must at least not lie ahead of ours.
fn clock(newest_at: Option<Millis>, database: Option<Millis>, now: Millis) -> Finding {
    let hint = "let this machine, the database's and the brokers' follow the same time server (NTP)";
    match (database.map(|at| at - now), newest_at.map(|at| at - now)) {
        (Some(apart), _) if CLOCKS_APART < apart.abs() => {
            let way = if apart < 0 { "behind" } else { "ahead" };
            let found = format!("the database's clock is {} {way} of this machine's", age(apart.abs()));
            Finding::warn(Check::Clock, "clocks", found, hint)
        }
        (_, Some(ahead)) if CLOCKS_APART < ahead => {
            let found = format!("the newest message in Kafka is dated {} ahead of this machine's clock", age(ahead));
            Finding::warn(Check::Clock, "clocks", found, hint)
        }
        (None, None) => Finding::skipped(
            Check::Clock,
            "clocks",
            "nothing to compare this machine's clock with",
            "run `keywatch doctor` again once there are messages",
        ),
        (database, _) => {
            let whom = if database.is_some() { "the database's clock agrees" } else { "no message is dated ahead" };
            Finding::ok(Check::Clock, "clocks", whom)
        }
    }
}

/// How long ago, in the largest unit that says it.
fn age(millis: Millis) -> String {
    match millis {
        DAY.. if 2 * DAY <= millis => format!("{} days", millis / DAY),
        HOUR.. if 2 * HOUR <= millis => format!("{} h", millis / HOUR),
        MINUTE.. if 2 * MINUTE <= millis => format!("{} min", millis / MINUTE),
        _ => format!("{} s", millis.max(0) / SECOND),
    }
}

/// A number of things.
fn count(n: usize, one: &str, several: &str) -> String {
    format!("{} {}", number(n as i64), if n == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_the_largest_unit_that_fits() {
        for (millis, text) in
            [(-5, "0 s"), (119 * SECOND, "119 s"), (2 * MINUTE, "2 min"), (47 * HOUR, "47 h"), (9 * DAY, "9 days")]
        {
            assert_eq!(age(millis), text);
        }
    }

    #[test]
    fn clocks_are_compared_with_what_there_is() {
        let now = 1_000 * DAY;
        for (newest, database, status, part) in [
            (None, None, Status::Skipped, "nothing to compare"),
            (Some(now - HOUR), None, Status::Ok, "no message is dated ahead"),
            (Some(now + HOUR), None, Status::Warn, "60 min ahead"),
            (None, Some(now + 9 * SECOND), Status::Ok, "agrees"),
            (None, Some(now - MINUTE), Status::Warn, "60 s behind"),
            (Some(now + HOUR), Some(now), Status::Warn, "newest message"),
        ] {
            let found = clock(newest, database, now);
            assert_eq!(found.status, status, "{found:?}");
            assert!(found.found.contains(part), "{found:?}");
            assert_eq!(found.hint.is_none(), status == Status::Ok);
        }
    }
}
