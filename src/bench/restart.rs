//! From the start of a process to its first judged event, with many keys in the store: the pipeline's own takeover.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app::on_own_thread;
use crate::bench::checkpoint::store_all;
use crate::bench::engine::{Bench, CALLS_PER_SECOND};
use crate::bench::ground::{Folder, open_store, parts};
use crate::bench::report::{Figure, Report};
use crate::bench::traffic::{Messages, Spread};
use crate::config::Secret;
use crate::event::auth::Decoder;
use crate::pipeline::Pipeline;
use crate::rules::RuleSet;
use crate::source::{AssignedPartition, Assignment, Batch, RawMessage, Revocation, SourceEvent};
use crate::store::ShardId;
use crate::wall;

/// The target with a million keys (seconds).
const TARGET: f64 = 5.0;
/// Messages of the first batch.
const BATCH: usize = 1_000;
/// Longer than this nobody waits.
const PATIENCE: Duration = Duration::from_secs(600);

/// Stores `keys` learned keys, then opens the store anew, takes the partition over and judges one batch.
pub async fn run(
    keys: usize,
    url: Option<Secret>,
    rules: &Arc<RuleSet>,
    decoder: &Arc<Decoder>,
) -> anyhow::Result<Report> {
    let folder = Folder::new()?;
    let url = url.unwrap_or_else(|| folder.store_url());
    let topic: Arc<str> = format!("bench-{}", wall::instance_name()).into();
    let (position, now) = {
        let store = open_store(&url).await?;
        let shard = ShardId { topic: topic.to_string(), partition: 0 };
        let epoch = store.acquire_shard(&shard, "bench", wall::now()).await?.epoch;
        let mut bench = Bench::new(rules);
        bench.teach(keys, &Spread::Uniform, CALLS_PER_SECOND);
        store_all(&mut bench, &store, &shard, epoch).await?;
        store.close().await;
        (bench.position(), bench.now())
    };
    let (bytes, places) = Messages::new(keys, Spread::Uniform, now, 1_000.0).chunk(BATCH);

    let started = wall::instant();
    let store = open_store(&url).await?;
    let parts = parts(&store, rules, decoder)?;
    let (stopping, metrics) = (parts.stopping.clone(), parts.metrics.clone());
    let (send, receive) = mpsc::channel(8);
    let (_control, controlled) = mpsc::channel(1);
    let pipeline = Pipeline::new(parts, None);
    let pipeline = tokio::spawn(on_own_thread("pipeline", move || pipeline.run(receive, controlled)));
    let (reply, answer) = std::sync::mpsc::sync_channel(1);
    let high = position + BATCH as i64;
    let assigned = AssignedPartition { topic: topic.clone(), partition: 0, low: 0, high, of: 1 };
    send.send(SourceEvent::Assigned(Assignment { partitions: vec![assigned], reply })).await?;
    tokio::task::spawn_blocking(move || answer.recv_timeout(PATIENCE)).await??;
    let taken = started.elapsed();
    let message = |(i, payload)| RawMessage { offset: position + i as i64, key: None, payload };
    let messages = places.into_iter().enumerate().map(message).collect();
    send.send(SourceEvent::Batch(Batch { topic: topic.clone(), partition: 0, messages, bytes })).await?;
    let mut look = tokio::time::interval(Duration::from_millis(1));
    while metrics.events_judged.get() == 0 && started.elapsed() < PATIENCE && !pipeline.is_finished() {
        look.tick().await;
    }
    let first = started.elapsed();
    let (ack, _) = std::sync::mpsc::sync_channel(1);
    send.send(SourceEvent::Revoked(Revocation { partitions: vec![(topic, 0)], lost: true, ack })).await?;
    stopping.cancel();
    drop(send);
    pipeline.await?.1?;
    store.close().await;

    let mut report = Report::new("restart");
    report.count("keys", keys as u64);
    report.count("judged", metrics.events_judged.get());
    report.figures = vec![
        Figure::at_most("first event judged", first.as_secs_f64(), "s", TARGET),
        Figure::plain("of it until the partition is taken", taken.as_secs_f64(), "s"),
    ];
    Ok(report)
}
