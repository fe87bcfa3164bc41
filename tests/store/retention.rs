//! What is over and old goes; what goes on, or waits, stays.

use super::*;
use keywatch::store::UsageRow;
use keywatch::time::{DAY, day_of};

#[test]
fn only_what_is_over_and_old_is_forgotten() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        let about = |n: i64, mut alert: Alert| {
            alert.alert_id = format!("kw-{n}");
            alert.subject = format!("k{n}");
            CaseChange { alert, notify: false, shadow: false, foster: false, hold: 0 }
        };
        let old = NOW - 500 * DAY;
        for (n, resolved_too, at) in [(1, true, old), (2, false, old), (3, true, NOW)] {
            store.record_changes(&shard(0), 1, &[about(n, alert(START, 1, Severity::High))], at, 0).await.unwrap();
            if resolved_too {
                let end = about(n, resolved(START, 2, Severity::High, START + MINUTE));
                store.record_changes(&shard(0), 1, &[end], at, 0).await.unwrap();
            }
        }
        let usage = |day| UsageRow { key_id: "k".into(), day, accepted: 1, refused: 0, first_at: 0, last_at: 0 };
        store.write_slice(&shard(0), 1, &[], &[usage(day_of(old)), usage(day_of(NOW))], NOW).await.unwrap();

        assert_eq!(store.forget_before(NOW - 400 * DAY).await.unwrap(), 2, "one case, one day");
        let left = store.alerts(&Default::default()).await.unwrap();
        let mut left: Vec<_> = left.iter().map(|alert| alert.alert_id.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["kw-2", "kw-3"], "the open one and the new one");
        assert_eq!(store.usage_of("k").await.unwrap().len(), 1);
        assert_eq!(store.count("case_events").await, 3, "what belonged to the case went with it");
        assert_eq!(store.forget_before(NOW - 400 * DAY).await.unwrap(), 0);
    });
}
