//! The dispatcher's loop: how many mails one receiver gets about one merchant, and that nothing is lost by that.

use std::sync::{Arc, RwLock};

use keywatch::alert::{Alert, Audience, Kind, Severity, State};
use keywatch::config::{MailConfig, MailTransport, Secret, StoreConfig};
use keywatch::dispatch::Dispatcher;
use keywatch::event::facts::FactBook;
use keywatch::metrics::Metrics;
use keywatch::store::{CaseChange, ShardId, Store};
use keywatch::time::{HOUR, MINUTE};
use tokio::sync::Notify;

const NOW: i64 = 1_795_420_800_000;

fn alert(n: i64) -> Alert {
    Alert {
        version: 1,
        alert_id: format!("kw-{n:016}"),
        revision: 1,
        rule: "spike".into(),
        rule_hash: "h".into(),
        kind: Kind::Spike,
        reasons: Vec::new(),
        score: 0.5,
        severity: Severity::High,
        state: State::Firing,
        starts_at: NOW + n * MINUTE,
        detected_at: NOW + n * MINUTE,
        ends_at: None,
        merchant_id: Some("m1".into()),
        key_id: Some(format!("k{n}")),
        key_hint: None,
        source: None,
        audience: Audience::Support,
        summary: "Many calls.".into(),
        evidence: serde_json::json!({}),
        runbook: vec!["Look.".into()],
        subject: format!("k{n}"),
    }
}

#[tokio::test]
async fn what_comes_after_the_hours_mails_gathers_and_is_told_later() {
    let store = StoreConfig { url: Secret::new("sqlite::memory:"), max_connections: 1, migrate: true };
    let store = Store::open(&store).await.unwrap();
    store.migrate().await.unwrap();
    let shard = ShardId { topic: "t".into(), partition: 0 };
    store.acquire_shard(&shard, "a", NOW).await.unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let dispatcher = Dispatcher {
        store: store.clone(),
        facts: Arc::new(RwLock::new(FactBook::new(10))),
        mail: MailConfig {
            from: "keywatch@example.com".into(),
            reply_to: "support@example.com".into(),
            support: vec!["support@example.com".into()],
            operations: Vec::new(),
            link: None,
            transport: MailTransport::None,
            give_up_after: HOUR,
        },
        mails_per_hour: 2,
        metrics: metrics.clone(),
        wake_delivery: Arc::new(Notify::new()),
    };
    for n in 0..5 {
        let change = CaseChange { alert: alert(n), notify: true, shadow: false, foster: false, hold: 0 };
        store.record_changes(&shard, 1, &[change], NOW + n * MINUTE, 0).await.unwrap();
        let made = dispatcher.dispatch_due(NOW + n * MINUTE).await.unwrap();
        assert_eq!(made, usize::from(n < 2), "alert {n}");
    }
    assert!(metrics.render().contains("keywatch_limits_hit_total{limit=\"mails_per_hour\"}"));
    assert_eq!(dispatcher.dispatch_due(NOW + 30 * MINUTE).await.unwrap(), 0, "the hour is not over");
    assert_eq!(dispatcher.dispatch_due(NOW + HOUR + 2 * MINUTE).await.unwrap(), 1, "one mail for the three");
    let last = store.outbox(10).await.unwrap().into_iter().find(|row| row.notice_id.ends_with("/3")).unwrap();
    let mail = store.claim_deliveries("a", NOW + 2 * HOUR, MINUTE, 10).await.unwrap();
    let mail = &mail.iter().find(|delivery| delivery.notice_id == last.notice_id).unwrap().mail;
    for n in 2..5 {
        assert!(mail.text.contains(&format!("kw-{n:016}")), "alert {n} is in the mail\n{}", mail.text);
    }
}
