//! Looks at a database without changing it: no file is made, no table, no row.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::db::{Pools, failure, values};
use super::schema::{missing_from, newest_known};
use super::{ShardId, Store, StoreError, WAIT, bad_url};
use crate::config::StoreConfig;
use crate::time::Millis;

/// How far a shard has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub shard: ShardId,
    /// Next offset to read; `None` = never checkpointed.
    pub next: Option<i64>,
    /// When that was stored (wall time).
    pub stored_at: Millis,
}

/// The schema's version against this program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The version that this program knows.
    pub newest: i64,
    /// Names of the migrations that the database has yet to see.
    pub pending: Vec<&'static str>,
    /// Whether the database has none of our tables.
    pub is_empty: bool,
}

/// What a database server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// Whether the connection is encrypted.
    pub has_tls: bool,
    /// Whether it is on this machine.
    pub is_local: bool,
    /// Whether our user may make tables.
    pub may_create: bool,
    /// Its clock.
    pub now: Millis,
}

fn sqlite_file(config: &StoreConfig) -> Option<PathBuf> {
    let url = config.url.reveal();
    let path =
        url.strip_prefix("sqlite:").filter(|path| !path.contains(":memory:") && !path.contains("mode=memory"))?;
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
}

impl Store {
    /// The file of a store that is one.
    pub fn file(config: &StoreConfig) -> Option<PathBuf> {
        sqlite_file(config)
    }

    /// Connects so that nothing can be written. The file of an SQLite store has to be there.
    pub async fn open_to_look(config: &StoreConfig) -> Result<Store, StoreError> {
        let url = config.url.reveal();
        let pools = match sqlite_file(config) {
            Some(file) => open_sqlite(url, &file)?,
            None if url.starts_with("sqlite:") => return Store::open(config).await,
            None => open_postgres(url).await?,
        };
        let store = Store { pools };
        store.ping().await?;
        Ok(store)
    }

    /// The schema's version. Refuses a database that is newer than this program.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let there = match &self.pools {
            Pools::Sqlite { .. } => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
            }
            Pools::Postgres(_) => "SELECT relname FROM pg_class WHERE oid = to_regclass('schema_migrations')",
        };
        let mut applied = Vec::new();
        if self.pools.fetch_one("schema_migrations", there, values![]).await?.is_some() {
            let sql = "SELECT version FROM schema_migrations";
            for row in self.pools.fetch("schema_migrations", sql, values![]).await? {
                applied.push(row.get::<i64>("version")?);
            }
        }
        let pending = missing_from(&applied)?.into_iter().map(|migration| migration.name).collect();
        Ok(Schema { newest: newest_known(), pending, is_empty: applied.is_empty() })
    }

    /// How far every shard has been read, in order.
    pub async fn positions(&self) -> Result<Vec<Position>, StoreError> {
        let sql = "SELECT topic, CAST(partition AS BIGINT) AS number, position, updated_at FROM shards \
             ORDER BY topic, partition";
        let rows = self.pools.fetch("shards", sql, values![]).await?;
        rows.iter()
            .map(|row| {
                let number: i64 = row.get("number")?;
                let partition = i32::try_from(number).map_err(|error| row.unreadable("partition", &error))?;
                let shard = ShardId { topic: row.get("topic")?, partition };
                Ok(Position { shard, next: row.get("position")?, stored_at: row.get("updated_at")? })
            })
            .collect()
    }

    /// What the server says of itself; `None` where the store is a file.
    pub async fn server(&self, config: &StoreConfig) -> Result<Option<Server>, StoreError> {
        if !self.pools.is_postgres() {
            return Ok(None);
        }
        let sql = "SELECT current_setting('server_version') AS version, \
             COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS has_tls, \
             COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, \
             CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
        let Some(row) = self.pools.fetch_one("server", sql, values![]).await? else { return Ok(None) };
        let host = PgConnectOptions::from_str(config.url.reveal()).map(|options| options.get_host().to_owned());
        let is_local = host.is_ok_and(|host| {
            host == "localhost" || host.starts_with('/') || host.starts_with("127.") || host.contains("::1")
        });
        Ok(Some(Server {
            version: row.get("version")?,
            has_tls: row.get("has_tls")?,
            is_local,
            may_create: row.get("may_create")?,
            now: row.get("now")?,
        }))
    }
}

/// A file that nobody has open is read as one that cannot change: else SQLite would make its log beside it.
fn open_sqlite(url: &str, file: &Path) -> Result<Pools, StoreError> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let is_open = Path::new(&log).exists();
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|_| bad_url("cannot be read as `sqlite:PATH`"))?
        .create_if_missing(false)
        .read_only(true)
        .immutable(!is_open)
        .busy_timeout(WAIT)
        .disable_statement_logging();
    let only = SqlitePoolOptions::new().max_connections(1).acquire_timeout(WAIT).connect_lazy_with(options);
    Ok(Pools::Sqlite { writer: only.clone(), reader: only })
}

async fn open_postgres(url: &str) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| bad_url("cannot be read as `postgres://USER@HOST:PORT/DATABASE`"))?
        .application_name("keywatch doctor")
        .options([("statement_timeout", "10s"), ("lock_timeout", "5s"), ("default_transaction_read_only", "on")])
        .disable_statement_logging();
    // The pool would try again until its time is over, and then not say why.
    let first = tokio::time::timeout(WAIT, options.connect()).await;
    let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|error| failure("connect", error))?;
    drop(first);
    Ok(Pools::Postgres(PgPoolOptions::new().max_connections(1).acquire_timeout(WAIT).connect_lazy_with(options)))
}
