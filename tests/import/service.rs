//! A running service takes up what is imported, and neither writes the other's facts over.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use keywatch::app::{self, Outside};
use keywatch::config::load::load;
use keywatch::config::{Secret, StoreConfig};
use keywatch::event::auth::Decoder;
use keywatch::event::facts::{FactBook, KeyFacts};
use keywatch::event::redact::Masker;
use keywatch::health::Health;
use keywatch::metrics::Metrics;
use keywatch::pipeline::facts::FactsTask;
use keywatch::pipeline::{Control, read_facts};
use keywatch::source::kafka::testing::Mock;
use keywatch::source::{Batch, FactsEvent, RawMessage};
use keywatch::store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

async fn store_in(folder: &std::path::Path) -> Store {
    let url = format!("sqlite:{}", folder.join("keywatch.db").display());
    let store = Store::open(&StoreConfig { url: Secret::new(url), max_connections: 1, migrate: true }).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn task(store: &Store) -> FactsTask {
    FactsTask {
        store: store.clone(),
        decoder: Arc::new(Decoder::new(b"test", Masker::default())),
        facts: Arc::new(RwLock::new(FactBook::new(1_000))),
        geoip: Arc::default(),
        dead_letters: 10,
        metrics: Arc::new(Metrics::new().unwrap()),
        health: Arc::new(Health::default()),
        stopping: CancellationToken::new(),
    }
}

fn key(as_of: i64, merchant: &str) -> KeyFacts {
    KeyFacts { as_of, merchant_id: Some(merchant.into()), ..KeyFacts::default() }
}

/// What the pipeline is told next. A test that waits in vain fails after a minute.
async fn told(control: &mut mpsc::Receiver<Control>) -> Vec<String> {
    match tokio::time::timeout(Duration::from_secs(60), control.recv()).await {
        Ok(Some(Control::FactsChanged(merchants))) => merchants,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_running_service_takes_up_what_another_process_stores() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (store_in(folder.path()).await, store_in(folder.path()).await);
    let old = [("k0".to_owned(), key(1, "m0"))];
    theirs.save_facts(&old, &[], 1).await.unwrap();
    let task = task(&ours);
    let cursor = task.restore().await.unwrap();
    assert_eq!(read_facts(&task.facts).key_count(), 1);
    let (tell, mut control) = mpsc::channel(4);
    let following = tokio::spawn(task.clone().follow(cursor, Duration::from_millis(1), tell));

    theirs.save_facts(&[("k1".to_owned(), key(2, "m1"))], &[], 2).await.unwrap();
    assert_eq!(told(&mut control).await, ["m1"]);
    assert_eq!(read_facts(&task.facts).keys_of("m1"), ["k1"]);
    let contacts = keywatch::event::facts::MerchantFacts { contacts: vec!["a@x.y".into()], ..Default::default() };
    theirs.save_facts(&[], &[("m2".to_owned(), contacts)], 3).await.unwrap();
    assert_eq!(told(&mut control).await, ["m2"]);

    // More than a page at once: all of it, once.
    let many: Vec<_> = (0..2_500).map(|n| (format!("many{n:04}"), key(4, &format!("m{n:04}")))).collect();
    let task_of_many = FactsTask { facts: Arc::new(RwLock::new(FactBook::new(10_000))), ..task.clone() };
    let mut cursor = task_of_many.restore().await.unwrap();
    theirs.save_facts(&many, &[], 4).await.unwrap();
    let mut merchants = Vec::new();
    while let Some(more) = task_of_many.take_up(&mut cursor).await.unwrap() {
        merchants.extend(more);
    }
    assert_eq!(merchants.len(), 2_500);
    assert_eq!(task_of_many.take_up(&mut cursor).await.unwrap(), None, "what is seen is not read again");

    task.stopping.cancel();
    // Whoever is being stopped while it tells may find nobody there.
    drop(control);
    following.await.unwrap().unwrap();
}

/// The whole service, without a topic of key events, and the program that imports.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_knows_what_is_imported_beside_it() {
    let mock = Mock::start().unwrap();
    mock.create_topic("auth-events", 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let text = format!(
        "source: {{kafka: {{brokers: '{}', topics: {{key_events: null}}}}}}\nrules: {{directory: '{}'}}\nhttp: {{listen: '127.0.0.1:0'}}\n",
        mock.brokers(),
        rules.display()
    );
    let path = folder.path().join("keywatch.yml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("keys.csv"), "key_id,merchant_id\nk1,m1\nk2,m1\n").unwrap();
    let config = load(&path, &|_| None).unwrap();
    let outside = Outside::new().unwrap();
    let service = tokio::spawn(app::run(config, outside.clone()));
    let until = async |is_so: &dyn Fn() -> bool| {
        let waiting = async {
            while !is_so() && !service.is_finished() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waiting).await.expect("it comes to that");
        assert!(!service.is_finished());
    };
    until(&|| outside.metrics.partitions_owned.get() == 1).await;
    let import = tokio::task::spawn_blocking({
        let folder = folder.path().to_owned();
        move || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keywatch"));
            command.args(["import", "keys.csv", "--ts", "now"]).current_dir(folder).status().unwrap()
        }
    });
    assert!(import.await.unwrap().success());
    until(&|| outside.metrics.facts_keys.get() == 2).await;
    outside.stop.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_the_service_and_an_import_store_at_the_same_time_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (store_in(folder.path()).await, store_in(folder.path()).await);
    let task = task(&ours);
    task.restore().await.unwrap();
    // The import has stored what the service has not seen yet, and the service stores a newer fact of the same key.
    let imported = KeyFacts { name: Some("till".into()), revoked_at: Some(5), ..key(10, "m1") };
    theirs.save_facts(&[("k1".to_owned(), imported)], &[], 1).await.unwrap();
    let payload = r#"{"type":"key_expires","ts":20,"key_id":"k1","merchant_id":"m1","expires_at":99}"#;
    let (send, receive) = mpsc::channel(4);
    let (tell, _control) = mpsc::channel(4);
    let (ready, when_ready) = oneshot::channel();
    let message = RawMessage { offset: 0, key: None, payload: 0..payload.len() };
    let bytes = payload.as_bytes().to_vec();
    let batch = Batch { topic: Arc::from("key-events"), partition: 0, messages: vec![message], bytes };
    send.send(FactsEvent::Batch(batch)).await.unwrap();
    send.send(FactsEvent::ReachedEnd).await.unwrap();
    let running = tokio::spawn(task.clone().run(receive, tell, ready));
    when_ready.await.unwrap();
    let (keys, _) = theirs.load_facts().await.unwrap();
    let want = KeyFacts {
        name: Some("till".into()),
        revoked_at: Some(5),
        expires_at: Some(99),
        expires_said_at: Some(20),
        ..key(20, "m1")
    };
    assert_eq!(keys, [("k1".to_owned(), want)]);
    task.stopping.cancel();
    running.await.unwrap().unwrap();
}
