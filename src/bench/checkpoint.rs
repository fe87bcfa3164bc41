//! A checkpoint of many changed keys among many stored ones, slice by slice, while the engine judges events beside the writing.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::bench::engine::{Bench, CALLS_PER_SECOND};
use crate::bench::ground::{Folder, open_store};
use crate::bench::report::{Figure, Report};
use crate::bench::traffic::{Messages, Spread};
use crate::config::{Limits, Secret};
use crate::engine::snapshot::{ShardState, encode_shard};
use crate::event::auth::Decoder;
use crate::pipeline::checkpoint::Queue;
use crate::rules::RuleSet;
use crate::store::{ShardId, Store, StoreError};
use crate::wall;

/// Events judged together beside the writing.
const BATCH: usize = 1_000;

/// How much to measure.
#[derive(Debug)]
pub struct Size {
    /// Keys that are stored.
    pub keys: usize,
    /// Keys that have changed since.
    pub dirty: usize,
}

/// Measures on SQLite in a temporary folder, or on the store that `url` names: its tables are filled, so it should be empty.
pub async fn run(size: &Size, url: Option<Secret>, rules: &RuleSet, decoder: &Decoder) -> anyhow::Result<Report> {
    let folder = Folder::new()?;
    let is_postgres = url.as_ref().is_some_and(|url| url.reveal().starts_with("postgres"));
    let store = open_store(&url.unwrap_or_else(|| folder.store_url())).await?;
    let shard = ShardId { topic: format!("bench-{}", wall::instance_name()), partition: 0 };
    let epoch = store.acquire_shard(&shard, "bench", wall::now()).await?.epoch;
    let mut bench = Bench::new(rules);
    bench.teach(size.keys, &Spread::Uniform, CALLS_PER_SECOND);
    let all = write(&mut bench, &store, &shard, epoch, None).await?;
    // Keys in the order of their numbers: their IDs, and so their rows, lie all over the table.
    bench.touch_each(size.dirty);
    let mut traffic =
        Traffic { messages: Messages::new(size.dirty, Spread::Uniform, bench.now(), 100_000.0), decoder, judged: 0 };
    let some = write(&mut bench, &store, &shard, epoch, Some(&mut traffic)).await?;
    store.close().await;

    let mut report = Report::new("checkpoint");
    report.count("keys", size.keys as u64);
    report.count("dirty_keys", size.dirty as u64);
    report.count("subject_rows", some.subjects);
    report.count("usage_rows", some.usage);
    let name = if is_postgres { "PostgreSQL" } else { "SQLite" };
    let target = if is_postgres { 1.3 } else { 1.0 };
    let seconds = some.written.as_secs_f64();
    report.figures = vec![
        Figure::at_most(format!("{name}: {} dirty keys", size.dirty), seconds, "s", target),
        Figure::plain(format!("{name}: rows"), (some.subjects + some.usage) as f64 / seconds, "rows/s"),
        Figure::plain(format!("{name}: bytes of a subject"), some.bytes as f64 / some.subjects as f64, "bytes"),
        Figure::plain("longest pause of the events", some.longest.as_secs_f64() * 1e3, "ms"),
        Figure::plain("events judged meanwhile", traffic.judged as f64 / seconds, "events/s"),
        Figure::plain(format!("{name}: all {} keys", size.keys), all.written.as_secs_f64(), "s"),
    ];
    Ok(report)
}

struct Traffic<'a> {
    messages: Messages,
    decoder: &'a Decoder,
    judged: u64,
}

impl Traffic<'_> {
    /// Judges batches for as long as a slice is being written.
    fn judge_until<T>(&mut self, writing: &JoinHandle<T>, bench: &mut Bench<'_>) {
        if !writing.is_finished() {
            let (bytes, places) = self.messages.chunk(BATCH);
            bench.judge(&bytes, &places, self.decoder);
            self.judged += BATCH as u64;
        }
    }
}

#[derive(Default)]
struct Written {
    subjects: u64,
    usage: u64,
    bytes: u64,
    written: Duration,
    /// What encoded the longest: events wait for that, and not for the store.
    longest: Duration,
}

/// Writes what is dirty as the service does.
pub(super) async fn store_all(bench: &mut Bench<'_>, store: &Store, shard: &ShardId, epoch: i64) -> anyhow::Result<()> {
    write(bench, store, shard, epoch, None).await.map(drop)
}

async fn write(
    bench: &mut Bench<'_>,
    store: &Store,
    shard: &ShardId,
    epoch: i64,
    mut traffic: Option<&mut Traffic<'_>>,
) -> anyhow::Result<Written> {
    let mut written = Written::default();
    let position = bench.position();
    let started = wall::instant();
    let mut queue = Queue::of(&mut bench.shard);
    written.longest = started.elapsed();
    let mut under_way: Option<JoinHandle<Result<(), StoreError>>> = None;
    loop {
        let encoding = wall::instant();
        let slice = queue.next_slice(&mut bench.shard, Limits::default().slice_rows, position);
        written.longest = written.longest.max(encoding.elapsed());
        if let Some(writing) = under_way.take() {
            if let Some(traffic) = &mut traffic {
                traffic.judge_until(&writing, bench);
            }
            writing.await??;
        }
        let Some(slice) = slice else { break };
        written.subjects += slice.rows.len() as u64;
        written.usage += slice.usage.len() as u64;
        written.bytes += slice.rows.iter().map(|row| row.blob.len() as u64).sum::<u64>();
        let (store, shard) = (store.clone(), shard.clone());
        let runtime = tokio::runtime::Handle::current();
        under_way = Some(tokio::task::spawn_blocking(move || {
            runtime.block_on(store.write_slice(&shard, epoch, &slice.rows, &slice.usage, wall::now()))
        }));
    }
    let state = ShardState {
        now: bench.intake.now(),
        watch: bench.shard.watch(),
        rules_version: bench.rules.version.clone(),
        parked: Vec::new(),
        source_cases: Vec::new(),
        stream: bench.shard.stream().clone(),
    };
    store.finish_checkpoint(shard, epoch, position, &encode_shard(&state), wall::now()).await?;
    written.written = started.elapsed();
    Ok(written)
}
