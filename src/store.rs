//! The store: SQLite or PostgreSQL behind one type, the same SQL and the same tests for both.
//!
//! Every write of a shard names the epoch under which its owner took it; where the epoch has moved on, nothing is
//! written and the answer is [`StoreError::EpochLost`].

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::alert::{Alert, Receiver, State};
use crate::config::StoreConfig;
use crate::time::Millis;

use db::Pools;

pub use facts::{FactsCursor, StoredFacts};
pub use history::HISTORY_TOPIC;
pub use journal::StoredDeadLetter;
pub use look::{Position, Schema, Server};
pub use read::{AlertFilter, OutboxView, Told};
pub use rules::{Adoption, RULE_VERSIONS_KEPT, StoredRules};
pub use signals::{Mark, Marks, MergedStage, SignalRow, ToMerge};

mod cases;
mod db;
mod facts;
mod groups;
mod history;
mod journal;
mod look;
mod old_news;
mod outbox;
mod read;
mod retention;
mod rules;
mod schema;
mod shards;
mod signals;
mod sweeps;

/// How long a statement waits for a connection, a lock, or SQLite's other writers.
const WAIT: Duration = Duration::from_secs(10);

/// Readers of an SQLite file beside its one writer.
const SQLITE_READERS: u32 = 4;

/// The database. Cheap to clone: clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
}

impl Store {
    /// Connects and asks for one answer. Leaves the schema alone: see [`Store::migrate`].
    pub async fn open(config: &StoreConfig) -> Result<Store, StoreError> {
        let url = config.url.reveal();
        let pools = if url.starts_with("sqlite:") {
            open_sqlite(url)?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url, config.max_connections).await?
        } else {
            return Err(bad_url("expected `sqlite:PATH` or `postgres://USER@HOST:PORT/DATABASE`"));
        };
        let store = Store { pools };
        // The writer comes first: it makes the file.
        drop(store.pools.begin().await?);
        store.ping().await?;
        Ok(store)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pools.fetch("ping", "SELECT 1", Vec::new()).await.map(|_| ())
    }

    /// Closes every connection; SQLite's log is then folded into its file.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// In WAL mode with `synchronous = NORMAL` a committed row survives the process. A power cut can take the newest
/// commits, but never part of one: positions, cases and told notices go back together, the stream is read again
/// from there, and what is told again carries the same `Message-ID`.
fn open_sqlite(url: &str) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|_| bad_url("cannot be read as `sqlite:PATH`"))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(WAIT)
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        // A checkpoint writes rows of a kilobyte or two all over the table: what it touches shall be found in memory, lie on
        // few pages, and be copied back from the log once rather than after each slice. Only a new file takes the page size.
        .page_size(8_192)
        .pragma("cache_size", "-65536")
        .pragma("wal_autocheckpoint", "4000")
        .disable_statement_logging();
    let pool = |n_connections| {
        SqlitePoolOptions::new()
            .max_connections(n_connections)
            .acquire_timeout(WAIT)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    if url.contains(":memory:") || url.contains("mode=memory") {
        // The database lives as long as its only connection.
        let only = pool(1).connect_lazy_with(options);
        return Ok(Pools::Sqlite { writer: only.clone(), reader: only });
    }
    Ok(Pools::Sqlite {
        writer: pool(1).connect_lazy_with(options.clone()),
        reader: pool(SQLITE_READERS)
            .connect_lazy_with(options.pragma("query_only", "ON").pragma("cache_size", "-2000")),
    })
}

/// The server ends the transaction of an instance that froze in the middle of one, so that the shard's next owner
/// does not wait for it.
async fn open_postgres(url: &str, max_connections: u32) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| bad_url("cannot be read as `postgres://USER@HOST:PORT/DATABASE`"))?;
    let name = options.get_application_name().unwrap_or("keywatch").to_owned();
    let options = options
        .application_name(&name)
        .options([("statement_timeout", "60s"), ("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "5s")])
        .disable_statement_logging();
    // The pool would try again until its time is over, and then not say why.
    let first = tokio::time::timeout(WAIT, options.connect()).await;
    first.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|error| db::failure("connect", error))?;
    let pool = PgPoolOptions::new()
        .max_connections(max_connections.max(1))
        .acquire_timeout(WAIT)
        .test_before_acquire(true)
        .connect_lazy_with(options);
    Ok(Pools::Postgres(pool))
}

/// Says nothing of the URL itself, which may carry a password.
fn bad_url(detail: &str) -> StoreError {
    StoreError::Inconsistent { place: "store.url", detail: detail.into() }
}

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another instance has taken the shard: its former owner must write nothing and let go.
    #[error("shard {shard} has a newer owner (epoch {held} is over)")]
    EpochLost {
        /// The shard.
        shard: String,
        /// The epoch that the caller held.
        held: i64,
    },
    /// The store does not answer, or asks to try again: the caller waits and repeats.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A row that this version cannot read, or a query that the database refuses.
    #[error("store inconsistent at {place}: {detail}")]
    Inconsistent {
        /// Table or query.
        place: &'static str,
        /// What was found.
        detail: String,
    },
    /// Migrations are pending, or the database is newer than this program.
    #[error("{0}")]
    Migration(String),
}

/// The engine's state for one partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId {
    /// Topic, or `file` for a file.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
}

impl std::fmt::Display for ShardId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A shard as it was stored, and the epoch under which the caller now owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLease {
    /// Names this ownership; one more than the one before.
    pub epoch: i64,
    /// Next offset to read; `None` = never checkpointed.
    pub position: Option<i64>,
    /// When the last checkpoint was stored (wall time of its writer), or the shard was first taken.
    pub stored_at: Millis,
    /// The engine's stored form of the shard itself (stream time, parked events).
    pub blob: Option<Vec<u8>>,
}

/// One subject's stored state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRow {
    /// `key:ID` or `merchant:ID`.
    pub id: String,
    /// Next offset after the last one that the state includes. 0 in a row adopted from another shard.
    pub current_to: i64,
    /// When the subject's earliest timer is due.
    pub next_due: Option<Millis>,
    /// The engine's versioned stored form.
    pub blob: Vec<u8>,
}

/// One key's usage on one day: absolute values, so that writing twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The key.
    pub key_id: String,
    /// Days since 1970 (UTC).
    pub day: i32,
    /// Accepted requests.
    pub accepted: i64,
    /// Refused requests.
    pub refused: i64,
    /// First and last event time of the day.
    pub first_at: Millis,
    /// Last event time of the day.
    pub last_at: Millis,
}

/// One change of a case, as the engine reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseChange {
    /// The record as it stands after the change.
    pub alert: Alert,
    /// False = stored and shown, told to nobody (older than `alerts.max_age`, or from before the first start).
    pub notify: bool,
    /// Its rule is in status `test`: stored and counted, told to nobody, shown only to those who ask for it.
    pub shadow: bool,
    /// The subject is known only from facts, in a shard chosen for want of traffic: where another shard has seen the
    /// merchant since, the change is void.
    pub foster: bool,
    /// Nobody is told of it before so long: it may be taken over.
    pub hold: Millis,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A new case.
    Opened,
    /// A case was updated (worse, ended, or a finding joined it).
    Updated,
    /// Nothing new: the same change is already stored.
    Known,
    /// A foster shard's change about a merchant that lives elsewhere.
    Void,
}

/// A group of alerts that are told together: one receiver, one merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `receiver/merchant`.
    pub id: String,
    /// Who is told.
    pub receiver: Receiver,
    /// About whom; empty where no merchant is known.
    pub merchant_id: String,
    /// How many notices the group has had.
    pub revision: i64,
}

/// A group's alert with what its receiver has been told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCase {
    /// The record as it stands.
    pub alert: Alert,
    /// Revision and state that the receiver was last told of.
    pub told: Option<(u32, State)>,
    /// Severity and kind that the receiver was last told.
    pub told_as: Option<(crate::alert::Severity, crate::alert::Kind)>,
    /// Name of the first notice about it, which later ones refer to.
    pub first_notice: Option<String>,
}

/// What a group's plan decides: one notice, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct NoticePlan {
    /// Whole rendered message, as the outbox keeps it (JSON of [`crate::notify::Mail`]).
    pub mail: crate::notify::Mail,
    /// The alerts it tells of, with revision and state as told.
    pub told: Vec<(String, u32, State)>,
}

/// A notice to be delivered, claimed by the caller until the lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Name of the notice: group and revision.
    pub notice_id: String,
    /// The message.
    pub mail: crate::notify::Mail,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the notice was made (wall time).
    pub created_at: Millis,
}

/// A rejected message in its redacted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Topic, partition and offset, or file and line.
    pub place: String,
    /// The counted class.
    pub reason: &'static str,
    /// What was wrong, without content.
    pub detail: String,
    /// The message, masked and cut.
    pub redacted: String,
}
