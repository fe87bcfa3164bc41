//! Groups, what receivers are told, and the outbox.

use std::collections::BTreeSet;

use keywatch::alert::{Receiver, Severity, State};
use keywatch::notify::Mail;
use keywatch::store::{Group, GroupCase, NoticePlan};

use super::*;
use Severity::{Critical, High, Warning};

fn mail(name: &str) -> Mail {
    Mail {
        message_id: format!("{name}@keywatch"),
        in_reply_to: None,
        to: vec!["support@example.org".into()],
        subject: format!("about {name}"),
        text: "text".into(),
        html: "<p>text</p>".into(),
    }
}

/// Tells everything but the end of what was never told.
fn tell(group: &Group, cases: &[GroupCase]) -> Option<NoticePlan> {
    let news = cases.iter().filter(|case| case.told.is_some() || case.alert.state == State::Firing);
    let told: Vec<_> = news.map(|case| (case.alert.alert_id.clone(), case.alert.revision, case.alert.state)).collect();
    (!told.is_empty()).then(|| NoticePlan { mail: mail(&format!("{}-{}", group.id, group.revision + 1)), told })
}

async fn record(store: &TestStore, change: CaseChange, now: i64) {
    store.record_changes(&shard(0), 1, &[change], now, GROUP_WAIT).await.unwrap();
}

#[test]
fn case_is_told_from_first_to_last() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        record(&store, told(alert(START, 1, Warning)), NOW).await;
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW + GROUP_WAIT));
        assert_eq!(store.groups_due(NOW, 10).await.unwrap(), vec![]);
        assert_eq!(store.notify_group("support/m1", NOW, tell).await.unwrap(), None, "not due yet");

        record(&store, told(alert(START, 2, High)), NOW + 5).await;
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW + 5), "a worse one does not wait");
        record(&store, told(alert(START, 3, Warning)), NOW + 6).await;
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW + 5), "a milder one delays nothing");
        let due = store.groups_due(NOW + 5, 10).await.unwrap();
        let group =
            Group { id: "support/m1".into(), receiver: Receiver::Support, merchant_id: "m1".into(), revision: 0 };
        assert_eq!(due, vec![group]);

        let first = store.notify_group("support/m1", NOW + 7, tell).await.unwrap();
        assert_eq!(first.as_deref(), Some("support/m1/1"));
        assert_eq!(store.notify_group("support/m1", NOW + 7, tell).await.unwrap(), None, "once");
        assert_eq!(store.next_group_due().await.unwrap(), None);

        record(&store, told(resolved(START, 4, Warning, START + 60)), NOW + 10).await;
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW + 10 + GROUP_WAIT));
        let mut seen = Vec::new();
        let second = store
            .notify_group("support/m1", NOW + HOUR, |group, cases| {
                seen = cases.to_vec();
                tell(group, cases)
            })
            .await
            .unwrap();
        assert_eq!(second.as_deref(), Some("support/m1/2"));
        assert_eq!(seen[0].told, Some((3, State::Firing)));
        assert_eq!(seen[0].first_notice, first);
        assert_eq!(seen[0].alert.subject, "k1");
        assert_eq!(store.mails_since(Receiver::Support, "m1", NOW + HOUR).await.unwrap(), 1);
        assert_eq!(store.mails_since(Receiver::Support, "m1", NOW).await.unwrap(), 2);
        assert_eq!(store.mails_since(Receiver::Merchant, "m1", NOW).await.unwrap(), 0);
        assert_eq!(store.count("untold").await, 0);
    });
}

#[test]
fn end_is_told_only_to_who_heard_of_the_beginning() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        let both = |alert: Alert| told(Alert { audience: Audience::Both, ..alert });
        record(&store, both(alert(START, 1, High)), NOW).await;
        assert!(store.notify_group("merchant/m1", NOW, tell).await.unwrap().is_some());
        record(&store, both(resolved(START, 2, High, START + 60)), NOW + 1).await;
        assert!(store.notify_group("merchant/m1", NOW + 1, tell).await.unwrap().is_some());
        assert_eq!(store.notify_group("support/m1", NOW + 1, tell).await.unwrap(), None);
        assert_eq!(store.next_group_due().await.unwrap(), None);
        assert_eq!(store.count("untold").await, 1);

        record(&store, both(alert(START + HOUR, 1, High)), NOW + 2).await;
        let mut n_seen = 0;
        let plan = |group: &Group, cases: &[GroupCase]| {
            n_seen = cases.len();
            tell(group, cases)
        };
        assert!(store.notify_group("support/m1", NOW + 2, plan).await.unwrap().is_some());
        assert_eq!(n_seen, 2);
        assert_eq!(store.count("untold").await, 1, "only the merchant's: the ended case is dropped");
    });
}

#[test]
fn what_a_plan_leaves_out_comes_again() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        let other = |alert: Alert| Alert { rule: "new-ip".into(), alert_id: "kw-other".into(), ..alert };
        record(&store, told(alert(START, 1, High)), NOW).await;
        record(&store, told(other(alert(START, 1, High))), NOW).await;
        let only_other = |_: &Group, _: &[GroupCase]| {
            Some(NoticePlan { mail: mail("one"), told: vec![("kw-other".into(), 1, State::Firing)] })
        };
        store.notify_group("support/m1", NOW, only_other).await.unwrap().unwrap();
        record(&store, told(other(alert(START, 2, Critical))), NOW + 1).await;
        let mut n_seen = 0;
        let nothing = |_: &Group, cases: &[GroupCase]| {
            n_seen = cases.len();
            None
        };
        assert_eq!(store.notify_group("support/m1", NOW + 1, nothing).await.unwrap(), None);
        assert_eq!(n_seen, 2);
        assert_eq!(store.next_group_due().await.unwrap(), None);
        assert_eq!(store.outbox_counts().await.unwrap(), (1, 0, 0));
    });
}

#[test]
fn old_news_is_stored_and_told_to_nobody() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        record(&store, untold(alert(START, 1, High)), NOW).await;
        record(&store, told(alert(START, 1, High)), NOW).await;
        assert_eq!(store.next_group_due().await.unwrap(), None, "the same revision is no news");
        assert_eq!(store.count("untold").await, 0);
        record(&store, told(alert(START, 2, Critical)), NOW).await;
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW), "a new revision in time is");

        store.notify_group("support/m1", NOW, tell).await.unwrap().unwrap();
        record(&store, untold(resolved(START, 3, Critical, START + 5)), NOW + 1).await;
        assert_eq!(store.next_group_due().await.unwrap(), None);
        record(&store, told(alert(START + HOUR, 1, High)), NOW + 2).await;
        let mut states = Vec::new();
        let plan = |group: &Group, cases: &[GroupCase]| {
            states = cases.iter().map(|case| case.alert.state).collect();
            tell(group, cases)
        };
        store.notify_group("support/m1", NOW + 2, plan).await.unwrap().unwrap();
        assert_eq!(states, [State::Resolved, State::Firing], "what was told and is over is said along with other news");
    });
}

/// Notices about `n` merchants, each of its own group.
async fn fill_outbox(store: &TestStore, n: usize) {
    store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
    for merchant in 0..n {
        let mut change = told(alert(START, 1, High));
        change.alert.subject = format!("k{merchant}");
        change.alert.alert_id = format!("kw-{merchant}");
        change.alert.merchant_id = Some(format!("m{merchant}"));
        record(store, change, NOW).await;
        store.notify_group(&format!("support/m{merchant}"), NOW, tell).await.unwrap().unwrap();
    }
}

#[test]
fn delivery_is_claimed_retried_and_finished() {
    for_each_store(|store| async move {
        fill_outbox(&store, 1).await;
        let id = "support/m0/1";
        assert_eq!(store.next_delivery_due().await.unwrap(), Some(NOW));
        let claimed = store.claim_deliveries("a", NOW, MINUTE, 10).await.unwrap();
        assert_eq!((claimed[0].notice_id.as_str(), claimed[0].attempt, claimed[0].created_at), (id, 1, NOW));
        assert_eq!(claimed[0].mail, mail("support/m0-1"));
        assert_eq!(store.next_delivery_due().await.unwrap(), Some(NOW + MINUTE + 1));
        assert_eq!(store.claim_deliveries("b", NOW + MINUTE, MINUTE, 10).await.unwrap(), vec![], "the lease holds");
        let again = store.claim_deliveries("b", NOW + MINUTE + 1, MINUTE, 10).await.unwrap();
        assert_eq!((again[0].attempt, &again[0].mail), (2, &claimed[0].mail), "after it, another takes over");

        assert!(!store.record_sent(id, "a", NOW, "250").await.unwrap(), "the claim of a is over");
        assert!(!store.record_retry(id, "a", NOW, "x").await.unwrap());
        assert!(!store.record_given_up(id, "a", NOW, "x").await.unwrap());
        assert_eq!(store.outbox_counts().await.unwrap(), (1, 0, 0));

        assert!(store.record_retry(id, "b", NOW + HOUR, "451 later").await.unwrap());
        assert_eq!(store.outbox(10).await.unwrap()[0].last_error.as_deref(), Some("451 later"));
        assert_eq!(store.next_delivery_due().await.unwrap(), Some(NOW + HOUR));
        assert_eq!(store.claim_deliveries("a", NOW + HOUR, MINUTE, 10).await.unwrap()[0].attempt, 3);
        assert!(store.record_sent(id, "a", NOW + HOUR, "250").await.unwrap());
        assert!(!store.record_sent(id, "a", NOW + HOUR, "250").await.unwrap());
        assert_eq!(store.outbox_counts().await.unwrap(), (0, 0, 1));
        assert_eq!(store.next_delivery_due().await.unwrap(), None);
        let view = store.outbox(10).await.unwrap().remove(0);
        assert_eq!((view.status.as_str(), view.attempts, view.sent_at), ("sent", 3, Some(NOW + HOUR)));
        assert_eq!((view.message_id.as_str(), view.last_error), ("support/m0-1@keywatch", None));
    });
}

#[test]
fn hopeless_delivery_is_given_up() {
    for_each_store(|store| async move {
        fill_outbox(&store, 1).await;
        store.claim_deliveries("a", NOW, MINUTE, 10).await.unwrap();
        assert!(store.record_given_up("support/m0/1", "a", NOW, "550 no such user").await.unwrap());
        assert_eq!(store.outbox_counts().await.unwrap(), (0, 1, 0));
        assert_eq!(store.claim_deliveries("a", NOW + HOUR, MINUTE, 10).await.unwrap(), vec![]);
    });
}

#[test]
fn two_claimers_never_share_a_notice() {
    for_each_store(|store| async move {
        const N_NOTICES: usize = 40;
        fill_outbox(&store, N_NOTICES).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..4 {
            let store = store.store.clone();
            tasks.spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..20 {
                    let claimed = store.claim_deliveries(&format!("o{n}"), NOW, MINUTE, 3).await.unwrap();
                    ids.extend(claimed.into_iter().map(|delivery| delivery.notice_id));
                }
                ids
            });
        }
        let claimed: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(claimed.len(), N_NOTICES);
        assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), N_NOTICES);
    });
}

#[test]
fn two_instances_make_one_notice() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        record(&store, told(alert(START, 1, High)), NOW).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let store = store.store.clone();
            tasks.spawn(async move { store.notify_group("support/m1", NOW, tell).await.unwrap() });
        }
        let made: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(made, ["support/m1/1"]);
        assert_eq!(store.count("outbox").await, 1);
    });
}

#[test]
fn news_during_a_notice_is_not_lost() {
    for_each_store(|store| async move {
        const N_REVISIONS: u32 = 60;
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        let recorder = store.store.clone();
        tasks.spawn(async move {
            for revision in 1..=N_REVISIONS {
                let change = told(Alert { audience: Audience::Both, ..alert(START, revision, High) });
                recorder.record_changes(&shard(0), 1, &[change], NOW, GROUP_WAIT).await.unwrap();
            }
        });
        for _ in 0..2 {
            let store = store.store.clone();
            tasks.spawn(async move {
                for _ in 0..N_REVISIONS {
                    for group in ["support/m1", "merchant/m1"] {
                        store.notify_group(group, NOW, tell).await.unwrap();
                    }
                }
            });
        }
        tasks.join_all().await;
        for group in ["support/m1", "merchant/m1"] {
            store.notify_group(group, NOW, tell).await.unwrap();
        }
        let told = store.sql("SELECT CAST(revision AS TEXT) FROM told").await;
        assert_eq!(told, [N_REVISIONS.to_string(), N_REVISIONS.to_string()]);
        assert_eq!(store.count("untold").await, 0);
    });
}
