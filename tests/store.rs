//! The store on both databases: each test runs on SQLite in a temporary file and, where `KEYWATCH_TEST_POSTGRES` names
//! a server (`postgres://keywatch@127.0.0.1:5432/postgres`), on a new database there.

#![expect(clippy::disallowed_methods, reason = "the environment names a server, and chance a schema of its own")]

use std::future::Future;

use keywatch::alert::{Alert, Audience, Kind, Severity, State, alert_id};
use keywatch::config::{Secret, StoreConfig};
use keywatch::store::{CaseChange, ShardId, Store};
use keywatch::time::{HOUR, MINUTE};
use sqlx::{Connection, PgConnection, Row, SqliteConnection};

#[path = "store/cases.rs"]
mod cases;
#[path = "store/facts.rs"]
mod facts;
#[path = "store/notices.rs"]
mod notices;
#[path = "store/records.rs"]
mod records;
#[path = "store/retention.rs"]
mod retention;
#[path = "store/second_stage.rs"]
mod second_stage;
#[path = "store/shards.rs"]
mod shards;

/// Wall time of the tests' first step.
const NOW: i64 = 1_795_420_800_000;
/// Event time of the tests' first case.
const START: i64 = NOW - HOUR;
const GROUP_WAIT: i64 = MINUTE;

const TABLES: [&str; 20] = [
    "meta",
    "shards",
    "subjects",
    "usage_days",
    "homes",
    "cases",
    "case_events",
    "joined_findings",
    "notice_groups",
    "untold",
    "told",
    "outbox",
    "fact_revision",
    "key_facts",
    "merchant_facts",
    "rule_adoptions",
    "dead_letters",
    "signals",
    "signal_marks",
    "second_stage",
];

/// A migrated store, and a way to look at its tables from outside.
struct TestStore {
    store: Store,
    config: StoreConfig,
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    async fn new(url: &str) -> Self {
        let config = StoreConfig { url: Secret::new(url), max_connections: 4, migrate: true };
        let store = Store::open(&config).await.unwrap();
        store.migrate().await.unwrap();
        TestStore { store, config }
    }

    async fn reopened(&self) -> Store {
        self.store.close().await;
        Store::open(&self.config).await.unwrap()
    }

    fn is_postgres(&self) -> bool {
        self.config.url.reveal().starts_with("postgres")
    }

    async fn sql(&self, sql: &str) -> Vec<String> {
        let url = self.config.url.reveal();
        if self.is_postgres() {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        } else {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
    }

    /// Every row of every table.
    async fn dump(&self) -> Vec<String> {
        let mut dump = Vec::new();
        for table in TABLES {
            let columns = if self.is_postgres() {
                format!("t.*::text FROM {table} t")
            } else {
                let names =
                    self.sql(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')")).await;
                format!("{} FROM {table}", names.join(" || ',' || "))
            };
            dump.extend(
                self.sql(&format!("SELECT {columns} ORDER BY 1")).await.iter().map(|row| format!("{table}: {row}")),
            );
        }
        dump
    }

    async fn count(&self, table: &str) -> usize {
        self.dump().await.iter().filter(|row| row.starts_with(&format!("{table}: "))).count()
    }
}

/// Runs a test on each database.
fn for_each_store<F, Fut>(test: F)
where
    F: Fn(TestStore) -> Fut,
    Fut: Future<Output = ()>,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        test(TestStore::new(&format!("sqlite:{}/keywatch.db", folder.path().display())).await).await;
        let Ok(server) = std::env::var("KEYWATCH_TEST_POSTGRES") else { return };
        let (base, _) = server.rsplit_once('/').unwrap();
        let database = format!("keywatch_test_{}_{}", std::process::id(), fastrand::u32(..));
        let mut connection = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(&format!("CREATE DATABASE {database}")).execute(&mut connection).await.unwrap();
        let url = format!("{base}/{database}");
        test(TestStore::new(&url).await).await;
        sqlx::raw_sql(&format!("DROP DATABASE {database} WITH (FORCE)")).execute(&mut connection).await.unwrap();
    });
}

fn shard(partition: i32) -> ShardId {
    ShardId { topic: "auth-events".into(), partition }
}

/// A firing alert of the rule `spike` about key `k1` of merchant `m1`.
fn alert(start: i64, revision: u32, severity: Severity) -> Alert {
    Alert {
        version: 1,
        alert_id: alert_id("spike", "k1", start),
        revision,
        rule: "spike".into(),
        rule_hash: "h1".into(),
        kind: Kind::Spike,
        reasons: Vec::new(),
        score: 0.5,
        severity,
        state: State::Firing,
        starts_at: start,
        detected_at: start + MINUTE,
        ends_at: None,
        merchant_id: Some("m1".into()),
        key_id: Some("k1".into()),
        key_hint: None,
        source: None,
        audience: Audience::Support,
        summary: "many more requests than usual".into(),
        evidence: serde_json::json!({"observed": 900}),
        runbook: vec!["look".into()],
        subject: "k1".into(),
    }
}

fn resolved(start: i64, revision: u32, severity: Severity, end: i64) -> Alert {
    Alert { state: State::Resolved, ends_at: Some(end), ..alert(start, revision, severity) }
}

fn told(alert: Alert) -> CaseChange {
    CaseChange { alert, notify: true, shadow: false, foster: false, hold: 0 }
}

fn untold(alert: Alert) -> CaseChange {
    CaseChange { alert, notify: false, shadow: false, foster: false, hold: 0 }
}
