//! The two drivers behind one face: a query is written once, with `$1` placeholders, and runs on either database.

use std::collections::BTreeSet;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Database, Decode, Encode, Executor, Postgres, QueryBuilder, Row as _, Sqlite, Transaction, Type};

use super::StoreError;

/// Rows that one statement of a bulk write carries. SQLite has one parameter for each value, PostgreSQL one for each column.
const ROWS_PER_STATEMENT: usize = 500;
const POSTGRES_ROWS_PER_STATEMENT: usize = 4_000;

/// Connections to one of the two databases.
#[derive(Clone, Debug)]
pub(super) enum Pools {
    /// SQLite has one writer, so writers queue here, in order, and not in its busy loop.
    Sqlite {
        writer: SqlitePool,
        reader: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction. What is not committed is rolled back.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// One bound parameter.
#[derive(Clone, Debug)]
pub(super) enum Value<'q> {
    Int(Option<i64>),
    Text(Option<&'q str>),
    Blob(&'q [u8]),
    Bool(bool),
    /// For [`Tx::any_of`].
    Texts(&'q [String]),
}

/// One column of a bulk write.
pub(super) enum Column<'q> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<&'q str>),
    Blobs(Vec<&'q [u8]>),
}

/// One row of an answer, which remembers the table for errors.
pub(super) struct Row {
    place: &'static str,
    inner: DriverRow,
}

enum DriverRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// `values![a, b]`: parameters for `$1`, `$2`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::db::Value::from($value)),*] };
}
pub(super) use values;

impl Pools {
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Pools::Postgres(_))
    }

    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let tx = match self {
            Pools::Sqlite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Pools::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        };
        tx.map_err(|error| failure("begin", error))
    }

    /// Reads outside a transaction.
    pub(super) async fn fetch(
        &self,
        place: &'static str,
        sql: &str,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = match self {
            Pools::Sqlite { reader, .. } => sqlite_query(sql, values).fetch_all(reader).await.map(sqlite_rows(place)),
            Pools::Postgres(pool) => postgres_query(sql, values).fetch_all(pool).await.map(postgres_rows(place)),
        };
        rows.map_err(|error| failure(place, error))
    }

    pub(super) async fn fetch_one(
        &self,
        place: &'static str,
        sql: &str,
        values: Vec<Value<'_>>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch(place, sql, values).await?.into_iter().next())
    }

    /// The condition that a column is one of the texts bound to a placeholder.
    pub(super) fn any_of(&self, placeholder: &str) -> String {
        any_of(matches!(self, Pools::Postgres(_)), placeholder)
    }
}

impl Tx {
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let done = match self {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => tx.commit().await,
        };
        done.map_err(|error| failure("commit", error))
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        place: &'static str,
        sql: &str,
        values: Vec<Value<'_>>,
    ) -> Result<u64, StoreError> {
        let done = match self {
            Tx::Sqlite(tx) => sqlite_query(sql, values).execute(&mut **tx).await.map(|done| done.rows_affected()),
            Tx::Postgres(tx) => postgres_query(sql, values).execute(&mut **tx).await.map(|done| done.rows_affected()),
        };
        done.map_err(|error| failure(place, error))
    }

    pub(super) async fn fetch(
        &mut self,
        place: &'static str,
        sql: &str,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = match self {
            Tx::Sqlite(tx) => sqlite_query(sql, values).fetch_all(&mut **tx).await.map(sqlite_rows(place)),
            Tx::Postgres(tx) => postgres_query(sql, values).fetch_all(&mut **tx).await.map(postgres_rows(place)),
        };
        rows.map_err(|error| failure(place, error))
    }

    pub(super) async fn fetch_one(
        &mut self,
        place: &'static str,
        sql: &str,
        values: Vec<Value<'_>>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch(place, sql, values).await?.into_iter().next())
    }

    /// Runs a script of several statements without parameters.
    pub(super) async fn execute_script(&mut self, place: &'static str, sql: &str) -> Result<(), StoreError> {
        let done = match self {
            Tx::Sqlite(tx) => (&mut **tx).execute(sql).await.map(|_| ()),
            Tx::Postgres(tx) => (&mut **tx).execute(sql).await.map(|_| ()),
        };
        done.map_err(|error| failure(place, error))
    }

    /// Inserts many rows; `conflict` is the statement's `ON CONFLICT` clause. No two rows may have the same key.
    pub(super) async fn insert_many(
        &mut self,
        table: &'static str,
        columns: &[(&'static str, Column<'_>)],
        conflict: &str,
    ) -> Result<(), StoreError> {
        let n_rows = columns.first().map_or(0, |(_, column)| column.len());
        let per_statement = if self.is_postgres() { POSTGRES_ROWS_PER_STATEMENT } else { ROWS_PER_STATEMENT };
        for start in (0..n_rows).step_by(per_statement) {
            let range = start..n_rows.min(start + per_statement);
            let done = match self {
                Tx::Sqlite(tx) => {
                    // Only whole chunks have a text that comes again and is worth caching.
                    let is_whole = range.len() == ROWS_PER_STATEMENT;
                    let mut builder = sqlite_bulk(table, columns, range, conflict);
                    builder.build().persistent(is_whole).execute(&mut **tx).await.map(|_| ())
                }
                Tx::Postgres(tx) => {
                    let mut builder = postgres_bulk(table, columns, range, conflict);
                    builder.build().execute(&mut **tx).await.map(|_| ())
                }
            };
            done.map_err(|error| failure(table, error))?;
        }
        Ok(())
    }

    /// See [`Pools::any_of`].
    pub(super) fn any_of(&self, placeholder: &str) -> String {
        any_of(self.is_postgres(), placeholder)
    }

    /// Locks the rows that a query reads. SQLite needs none: its transactions have the whole database. `NO KEY`, as
    /// nobody changes keys, lets others refer to the rows: a notice that tells of a case must not wait for the case
    /// while the case waits for the notice's group.
    pub(super) fn for_update(&self) -> &'static str {
        if self.is_postgres() { " FOR NO KEY UPDATE" } else { "" }
    }

    /// Locks the rows that a query reads and leaves out those that another transaction has.
    pub(super) fn for_update_skip_locked(&self) -> &'static str {
        if self.is_postgres() { " FOR NO KEY UPDATE SKIP LOCKED" } else { "" }
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Tx::Postgres(_))
    }

    /// Lets the commit return before the disk has it. Only for what counts once a later commit, which waits, is there: that
    /// one is behind it in the log. SQLite's log is written without waiting anyway.
    pub(super) async fn wait_for_no_disk(&mut self) -> Result<(), StoreError> {
        if self.is_postgres() {
            self.execute("slice", "SET LOCAL synchronous_commit = off", values![]).await?;
        }
        Ok(())
    }
}

impl Row {
    pub(super) fn get<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        let value = match &self.inner {
            DriverRow::Sqlite(row) => row.try_get(column),
            DriverRow::Postgres(row) => row.try_get(column),
        };
        value.map_err(|error| self.unreadable(column, &error))
    }

    /// A JSON column.
    pub(super) fn get_json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.unreadable(column, &error))
    }

    /// A column that this version cannot read.
    pub(super) fn unreadable(&self, column: &str, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Inconsistent { place: self.place, detail: format!("column {column}: {error}") }
    }
}

/// The stored form of something that always has one.
pub(super) fn to_json<T: serde::Serialize>(place: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Inconsistent { place, detail: format!("cannot be stored: {error}") })
}

/// What a driver's error means to the caller. Names neither the URL nor any bound value.
pub(super) fn failure(place: &'static str, error: sqlx::Error) -> StoreError {
    use sqlx::Error;
    match &error {
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => {
            StoreError::Unavailable(format!("{place}: {error}"))
        }
        // A server that goes away in the middle of an answer.
        Error::Protocol(_) => StoreError::Unavailable(format!("{place}: {error}")),
        Error::Database(refusal) if is_passing(refusal.as_ref()) => {
            StoreError::Unavailable(format!("{place}: {}", refusal.message()))
        }
        _ => StoreError::Inconsistent { place, detail: error.to_string() },
    }
}

/// Whether the same statement may succeed later.
fn is_passing(refusal: &dyn DatabaseError) -> bool {
    let code = refusal.code().unwrap_or_default();
    if refusal.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // Busy, locked, I/O, full, cannot open: the low byte is the class.
        return code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14));
    }
    // Connection trouble, conflicts between transactions, no room, starting or stopping, a standby that cannot write.
    const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
    const CODES: [&str; 3] = ["25006", "25P03", "55P03"];
    CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code.as_ref())
}

fn any_of(is_postgres: bool, placeholder: &str) -> String {
    if is_postgres {
        format!("= ANY({placeholder})")
    } else {
        format!("IN (SELECT value FROM json_each({placeholder}))")
    }
}

fn sqlite_query<'q>(sql: &'q str, values: Vec<Value<'q>>) -> Query<'q, Sqlite, <Sqlite as Database>::Arguments<'q>> {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Texts(texts) => query.bind(serde_json::Value::from(texts).to_string()),
        value => bind(query, value),
    })
}

fn postgres_query<'q>(
    sql: &'q str,
    values: Vec<Value<'q>>,
) -> Query<'q, Postgres, <Postgres as Database>::Arguments<'q>> {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Texts(texts) => query.bind(texts.iter().map(|text| without_nul(text)).collect::<Vec<_>>()),
        Value::Text(Some(text)) => query.bind(without_nul(text)),
        value => bind(query, value),
    })
}

fn bind<'q, DB: Database>(query: Query<'q, DB, DB::Arguments<'q>>, value: Value<'q>) -> Query<'q, DB, DB::Arguments<'q>>
where
    Option<i64>: Encode<'q, DB> + Type<DB>,
    Option<&'q str>: Encode<'q, DB> + Type<DB>,
    &'q [u8]: Encode<'q, DB> + Type<DB>,
    bool: Encode<'q, DB> + Type<DB>,
{
    match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Blob(value) => query.bind(value),
        Value::Bool(value) => query.bind(value),
        Value::Texts(_) => query,
    }
}

/// PostgreSQL's text cannot hold U+0000, and a stranger's byte must not stop a shard.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn column_names(columns: &[(&'static str, Column<'_>)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn sqlite_bulk<'q>(
    table: &str,
    columns: &[(&'static str, Column<'q>)],
    range: std::ops::Range<usize>,
    conflict: &str,
) -> QueryBuilder<'q, Sqlite> {
    let mut builder = QueryBuilder::new(format!("INSERT INTO {table} ({}) ", column_names(columns)));
    builder.push_values(range, |mut row, at| {
        for (_, column) in columns {
            match column {
                Column::Ints(values) => row.push_bind(values[at]),
                Column::Texts(values) => row.push_bind(values[at]),
                Column::Blobs(values) => row.push_bind(values[at]),
            };
        }
    });
    builder.push(" ").push(conflict);
    builder
}

fn postgres_bulk<'q>(
    table: &str,
    columns: &[(&'static str, Column<'q>)],
    range: std::ops::Range<usize>,
    conflict: &str,
) -> QueryBuilder<'q, Postgres> {
    let mut builder =
        QueryBuilder::new(format!("INSERT INTO {table} ({}) SELECT * FROM UNNEST(", column_names(columns)));
    let mut arrays = builder.separated(", ");
    for (_, column) in columns {
        match column {
            Column::Ints(values) => arrays.push_bind(values[range.clone()].to_vec()),
            Column::Texts(values) => {
                arrays.push_bind(values[range.clone()].iter().map(|text| without_nul(text)).collect::<Vec<_>>())
            }
            Column::Blobs(values) => arrays.push_bind(values[range.clone()].to_vec()),
        };
    }
    builder.push(") ").push(conflict);
    builder
}

fn sqlite_rows(place: &'static str) -> impl FnOnce(Vec<SqliteRow>) -> Vec<Row> {
    move |rows| rows.into_iter().map(|row| Row { place, inner: DriverRow::Sqlite(row) }).collect()
}

fn postgres_rows(place: &'static str) -> impl FnOnce(Vec<PgRow>) -> Vec<Row> {
    move |rows| rows.into_iter().map(|row| Row { place, inner: DriverRow::Postgres(row) }).collect()
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Column::Ints(values) => values.len(),
            Column::Texts(values) => values.len(),
            Column::Blobs(values) => values.len(),
        }
    }
}

/// The same number in every row.
pub(super) fn same_int<'q>(value: i64, n_rows: usize) -> Column<'q> {
    Column::Ints(vec![Some(value); n_rows])
}

/// The same text in every row.
pub(super) fn same_text(value: &str, n_rows: usize) -> Column<'_> {
    Column::Texts(vec![value; n_rows])
}

/// Sorted and without repetition: rows are always written in the same order, so that writers do not cross.
pub(super) fn sorted<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(Some(value))
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Value::Int(Some(i64::from(value)))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Value::Int(Some(i64::from(value)))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Value::Int(value)
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Value::Text(Some(value))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Value::Text(Some(value))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Value::Text(value)
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(value: &'q [u8]) -> Self {
        Value::Blob(value)
    }
}

impl<'q> From<&'q [String]> for Value<'q> {
    fn from(value: &'q [String]) -> Self {
        Value::Texts(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}
