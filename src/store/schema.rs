//! The schema's versions: each migration is applied once, in order, in one transaction with the row that notes it.

use super::db::{Tx, values};
use super::{Store, StoreError};

/// One step of the schema. A step that has been released is never edited.
pub(super) struct Migration {
    version: i64,
    pub(super) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// Every step, oldest first.
const MIGRATIONS: [Migration; 8] = [
    Migration {
        version: 1,
        name: "0001_init",
        sqlite: include_str!("../../migrations/sqlite/0001_init.sql"),
        postgres: include_str!("../../migrations/postgres/0001_init.sql"),
    },
    Migration {
        version: 2,
        name: "0002_fact_revisions",
        sqlite: include_str!("../../migrations/sqlite/0002_fact_revisions.sql"),
        postgres: include_str!("../../migrations/postgres/0002_fact_revisions.sql"),
    },
    Migration {
        version: 3,
        name: "0003_shadow",
        sqlite: include_str!("../../migrations/sqlite/0003_shadow.sql"),
        postgres: include_str!("../../migrations/postgres/0003_shadow.sql"),
    },
    Migration {
        version: 4,
        name: "0004_lighter_checkpoints",
        sqlite: include_str!("../../migrations/sqlite/0004_lighter_checkpoints.sql"),
        postgres: include_str!("../../migrations/postgres/0004_lighter_checkpoints.sql"),
    },
    Migration {
        version: 5,
        name: "0005_second_stage",
        sqlite: include_str!("../../migrations/sqlite/0005_second_stage.sql"),
        postgres: include_str!("../../migrations/postgres/0005_second_stage.sql"),
    },
    Migration {
        version: 6,
        name: "0006_usage_by_day",
        sqlite: include_str!("../../migrations/sqlite/0006_usage_by_day.sql"),
        postgres: include_str!("../../migrations/postgres/0006_usage_by_day.sql"),
    },
    Migration {
        version: 7,
        name: "0007_ends_of_partitions",
        sqlite: include_str!("../../migrations/sqlite/0007_ends_of_partitions.sql"),
        postgres: include_str!("../../migrations/postgres/0007_ends_of_partitions.sql"),
    },
    Migration {
        version: 8,
        name: "0008_fleet",
        sqlite: include_str!("../../migrations/sqlite/0008_fleet.sql"),
        postgres: include_str!("../../migrations/postgres/0008_fleet.sql"),
    },
];

/// Held in PostgreSQL while the schema changes, so that two instances that start together do not both change it.
const POSTGRES_LOCK: i64 = 0x6b65_7977_6174_6368;

impl Store {
    /// Applies what is pending and returns its names. Refuses a database that is newer than this program.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut tx = self.pools.begin().await?;
        let pending = pending(&mut tx).await?;
        for migration in &pending {
            let script = if tx.is_postgres() { migration.postgres } else { migration.sqlite };
            tx.execute_script(migration.name, script).await?;
            let note = "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)";
            tx.execute("schema_migrations", note, values![migration.version, migration.name]).await?;
        }
        tx.commit().await?;
        Ok(pending.into_iter().map(|migration| migration.name).collect())
    }

    /// Names of the migrations that the database has yet to see. Changes no table of ours.
    pub async fn pending_migrations(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut tx = self.pools.begin().await?;
        let pending = pending(&mut tx).await?;
        Ok(pending.into_iter().map(|migration| migration.name).collect())
    }

    /// Refuses to go on while migrations are pending.
    pub async fn require_migrated(&self) -> Result<(), StoreError> {
        let pending = self.pending_migrations().await?;
        if pending.is_empty() {
            return Ok(());
        }
        Err(StoreError::Migration(format!(
            "the database waits for the migrations {}: run `keywatch migrate`, or set `store.migrate: true`",
            pending.join(", ")
        )))
    }
}

async fn pending(tx: &mut Tx) -> Result<Vec<&'static Migration>, StoreError> {
    if tx.is_postgres() {
        tx.execute("schema_migrations", "SELECT pg_advisory_xact_lock($1)", values![POSTGRES_LOCK]).await?;
    }
    let table =
        "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)";
    tx.execute("schema_migrations", table, values![]).await?;
    let mut applied = Vec::new();
    for row in tx.fetch("schema_migrations", "SELECT version FROM schema_migrations", values![]).await? {
        applied.push(row.get::<i64>("version")?);
    }
    missing_from(&applied)
}

/// What a database with these versions has yet to see. Refuses one that is newer than this program.
pub(super) fn missing_from(applied: &[i64]) -> Result<Vec<&'static Migration>, StoreError> {
    let newest_known = newest_known();
    if let Some(newest) = applied.iter().max()
        && newest_known < *newest
    {
        return Err(StoreError::Migration(format!(
            "the database is at schema version {newest}, newer than this program's {newest_known}: run the newer keywatch"
        )));
    }
    Ok(MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version)).collect())
}

/// The version that this program knows.
pub(super) fn newest_known() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].version
}
