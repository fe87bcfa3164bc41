//! From Kafka to findings and checkpoints, beside a consumer of the same messages that only counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app::on_own_thread;
use crate::bench::ground::{Folder, open_store, parts};
use crate::bench::report::{Figure, Report};
use crate::bench::traffic::{Messages, START, Spread};
use crate::config::Secret;
use crate::event::auth::Decoder;
use crate::pipeline::Pipeline;
use crate::rules::RuleSet;
use crate::source::kafka;
use crate::source::kafka::bench::count;
use crate::source::kafka::testing::{Producer, plain_config};
use crate::time::Millis;
use crate::wall;

/// What the service should reach of the bare consumer's rate.
const TARGET: f64 = 0.65;
const PARTITIONS: usize = 4;
/// Batches that may wait between the source and the pipeline, as in the service.
const CHANNEL: usize = 64;
/// Without a message for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much to measure.
#[derive(Debug)]
pub struct Size {
    /// Keys that call equally often.
    pub keys: usize,
    /// Between two checkpoints of a partition, in milliseconds.
    pub checkpoint_every: Millis,
    /// Events measured, after as many as there are keys were read to get acquainted.
    pub events: usize,
}

/// Writes the messages into a new topic, then reads them twice.
pub async fn run(
    size: &Size,
    brokers: &str,
    url: Option<Secret>,
    rules: &Arc<RuleSet>,
    decoder: &Arc<Decoder>,
) -> anyhow::Result<Report> {
    let folder = Folder::new()?;
    let name = format!("keywatch-bench-{}", wall::instance_name());
    let producer = Producer::connect(brokers).map_err(anyhow::Error::msg)?;
    producer.create_topic(&name, PARTITIONS as i32).await.map_err(anyhow::Error::msg)?;
    // As many events as four for each key come first: afterwards nearly every key is known.
    let (before, whole) = (size.keys * 4, size.keys * 4 + size.events);
    let mut messages = Messages::new(size.keys, Spread::Uniform, START, 100_000.0);
    let mut bytes = Vec::new();
    for _ in 0..whole {
        bytes.clear();
        let merchant = messages.write(&mut bytes);
        producer.send(&name, (merchant % PARTITIONS) as i32, None, Some(&bytes)).map_err(anyhow::Error::msg)?;
    }
    producer.flush().map_err(anyhow::Error::msg)?;

    let (bare_config, topic) = (plain_config(brokers, &format!("{name}-bare")), name.clone());
    let bare = tokio::task::spawn_blocking(move || count(&bare_config, &topic, PARTITIONS as i32, before, whole));
    let bare = bare.await?.map_err(anyhow::Error::msg)?;

    let store = open_store(&url.unwrap_or_else(|| folder.store_url())).await?;
    let mut parts = parts(&store, rules, decoder)?;
    parts.limits.checkpoint_every = size.checkpoint_every;
    let (stopping, metrics) = (parts.stopping.clone(), parts.metrics.clone());
    let (send, receive) = mpsc::channel(CHANNEL);
    let (_control, controlled) = mpsc::channel(1);
    let config = plain_config(brokers, &format!("{name}-service"));
    let consuming = kafka::consume(&config, &[&name], "", send, stopping.clone());
    let pipeline = Pipeline::new(parts, Some(consuming.link));
    let pipeline = tokio::spawn(on_own_thread("pipeline", move || pipeline.run(receive, controlled)));
    let mut look = tokio::time::interval(Duration::from_millis(2));
    let (mut begun, mut seen, mut moved) = (None, 0, wall::instant());
    let finished = loop {
        look.tick().await;
        let (read, now) = (metrics.events_judged.get(), wall::instant());
        if read != seen {
            (seen, moved) = (read, now);
        }
        if begun.is_none() && read >= before as u64 {
            begun = Some((now, read));
        }
        if read >= whole as u64 {
            break now;
        }
        anyhow::ensure!(!pipeline.is_finished(), "the pipeline ended after {read} of {whole} events");
        anyhow::ensure!(now - moved < PATIENCE, "nothing came for long, after {read} of {whole} events");
    };
    let (checkpoints, rows) = (metrics.checkpoints.get(), metrics.checkpoint_rows.get());
    stopping.cancel();
    pipeline.await?.1?;
    let thread = consuming.thread;
    tokio::task::spawn_blocking(move || thread.join()).await?.map_err(|_| anyhow::anyhow!("the consumer crashed"))?;
    store.close().await;

    let (begun, read_before) = begun.unwrap_or((finished, 0));
    let service = (whole as u64 - read_before) as f64 / (finished - begun).as_secs_f64();
    let mut report = Report::new("kafka");
    report.count("keys", size.keys as u64);
    report.count("events", size.events as u64);
    report.count("judged", seen);
    report.count("checkpoints", checkpoints);
    report.count("checkpoint_rows", rows);
    report.figures = vec![
        Figure::plain("bare consumer, only counting", bare, "events/s"),
        Figure::plain("service, with findings and checkpoints", service, "events/s"),
        Figure::at_least("service / bare consumer", service / bare, "times", TARGET),
    ];
    Ok(report)
}
