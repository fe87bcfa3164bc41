//! Requests without a known merchant: anyone on the internet can send them, so they are counted in bounded room and leave
//! no state behind, whether they come on a topic of their own or among the others.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use keywatch::app;
use keywatch::config::{AlertsConfig, Limits, Secret, StoreConfig};
use keywatch::engine::detect::SPECS;
use keywatch::event::facts::FactBook;
use keywatch::health::Health;
use keywatch::metrics::Metrics;
use keywatch::pipeline::{Parts, Pipeline, Role};
use keywatch::rules::compile;
use keywatch::source::kafka::testing::{Mock, Producer, plain_config};
use keywatch::source::kafka::{Consuming, consume};
use keywatch::store::{ShardId, Store};
use keywatch::time::{HOUR, SECOND};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

const SOURCES: usize = 50;

struct Running {
    store: Store,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
    pipeline: std::thread::JoinHandle<anyhow::Result<()>>,
    consuming: Consuming,
}

async fn start(role: Role, brokers: &str, topic: &str) -> Running {
    let store = StoreConfig { url: Secret::new("sqlite::memory:"), max_connections: 1, migrate: true };
    let store = Store::open(&store).await.unwrap();
    store.migrate().await.unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let stopping = CancellationToken::new();
    let parts = Parts {
        role,
        store: store.clone(),
        instance: "test".into(),
        limits: Limits { source_subjects: SOURCES, checkpoint_every: SECOND, ..Limits::default() },
        alerts: AlertsConfig { group_wait: 0, max_age: HOUR, mail_old: true },
        decoder: Arc::new(app::decoder(None, &keywatch::brand::Brand::default())),
        facts: Arc::new(RwLock::new(FactBook::new(10))),
        rules: Arc::new(compile::load(std::path::Path::new("rules"), SPECS, &[]).unwrap()),
        metrics: metrics.clone(),
        health: Arc::new(Health::default()),
        history: None,
        geoip: Arc::default(),
        first_start: 0,
        fleet: Arc::default(),
        wake_dispatcher: Arc::new(Notify::new()),
        stopping: stopping.clone(),
    };
    let (send, receive) = mpsc::channel(16);
    let consuming = consume(&plain_config(brokers, topic), &[topic], "", send, stopping.clone());
    let runtime = tokio::runtime::Handle::current();
    let pipeline = std::thread::spawn(move || {
        let (_keep, control) = mpsc::channel(1);
        runtime.block_on(Pipeline::new(parts, None).run(receive, control))
    });
    Running { store, metrics, stopping, pipeline, consuming }
}

impl Running {
    async fn until(&self, what: impl Fn(&Metrics) -> bool) {
        tokio::time::timeout(Duration::from_secs(60), async {
            while !what(&self.metrics) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the pipeline gets there");
    }

    /// Stops in order, as the service does, and returns what the store holds.
    async fn stop(self, topic: &str) -> (Option<i64>, usize) {
        self.stopping.cancel();
        tokio::task::spawn_blocking(move || {
            self.consuming.thread.join().unwrap();
            self.pipeline.join().unwrap().unwrap();
        })
        .await
        .unwrap();
        let id = ShardId { topic: topic.into(), partition: 0 };
        let subjects = self.store.subjects_after(&id, "", 100).await.unwrap().len();
        (self.store.acquire_shard(&id, "look", 0).await.unwrap().position, subjects)
    }
}

fn stranger(n: u32) -> String {
    format!(
        r#"{{"event_id":"s{n}","ts":{},"outcome":"denied","reason":"unknown_key","source_ip":"198.{}.{}.1"}}"#,
        1_790_000_000_000_i64 + i64::from(n),
        n / 256 % 256,
        n % 256
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_leave_nothing_but_counts() {
    let mock = Mock::start().unwrap();
    mock.create_topic("auth-refused", 1).unwrap();
    mock.create_topic("auth-events", 1).unwrap();
    let producer = Producer::connect(&mock.brokers()).unwrap();
    let customer = r#"{"event_id":"c","ts":1790000000500,"key_id":"k1","merchant_id":"m1","outcome":"ok","source_ip":"203.0.113.7"}"#;
    for n in 0..1_000 {
        producer.send("auth-refused", 0, Some(b"198.51.100.1"), Some(stranger(n).as_bytes())).unwrap();
        producer.send("auth-events", 0, None, Some(stranger(n).as_bytes())).unwrap();
    }
    producer.send("auth-events", 0, Some(b"m1"), Some(customer.as_bytes())).unwrap();
    producer.flush().unwrap();

    let refused = start(Role::Refused, &mock.brokers(), "auth-refused").await;
    refused.until(|m| m.events_without_merchant.get() == 1_000).await;
    assert_eq!(refused.metrics.events_judged.get(), 0);
    assert!(refused.metrics.render().contains(&format!("limit=\"source_subjects\"}} {}", 1_000 - SOURCES)));
    assert_eq!(refused.stop("auth-refused").await, (Some(1_000), 0), "the position is kept, and nothing else");

    let events = start(Role::Events, &mock.brokers(), "auth-events").await;
    events.until(|m| m.events_without_merchant.get() == 1_000 && m.events_judged.get() == 1).await;
    assert_eq!(events.stop("auth-events").await, (Some(1_001), 1), "only the customer's merchant has a row");
}
