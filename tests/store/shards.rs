//! Ownership, subjects, positions.

use keywatch::alert::Severity;
use keywatch::store::{StoreError, SubjectRow, UsageRow};

use super::*;

fn subject(id: &str, current_to: i64, next_due: Option<i64>) -> SubjectRow {
    SubjectRow { id: id.into(), current_to, next_due, blob: format!("state of {id} at {current_to}").into_bytes() }
}

fn usage(key_id: &str, accepted: i64) -> UsageRow {
    UsageRow { key_id: key_id.into(), day: 20_000, accepted, refused: 1, first_at: START, last_at: NOW }
}

fn ids(rows: &[SubjectRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

#[test]
fn zombie_writes_nothing() {
    for_each_store(|store| async move {
        let first = store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        let old = first.epoch;
        store.write_slice(&shard(0), old, &[subject("key:k0", 5, None)], &[], NOW).await.unwrap();
        store.finish_checkpoint(&shard(0), old, 6, b"shard", NOW).await.unwrap();
        let second = store.acquire_shard(&shard(0), "b", NOW + 1).await.unwrap();
        assert_eq!(second.epoch, old + 1);
        assert_eq!((second.position, second.blob.as_deref()), (Some(6), Some(&b"shard"[..])));

        let before = store.dump().await;
        let changes = [told(alert(START, 1, Severity::High))];
        let homes = ["m1".to_owned()];
        for epoch in [old, second.epoch + 1] {
            for (what, answer) in [
                (
                    "write_slice",
                    store.write_slice(&shard(0), epoch, &[subject("key:k1", 9, None)], &[usage("k1", 3)], NOW).await,
                ),
                ("empty slice", store.write_slice(&shard(0), epoch, &[], &[], NOW).await),
                ("finish_checkpoint", store.finish_checkpoint(&shard(0), epoch, 9, b"x", NOW).await),
                ("reset_offsets", store.reset_offsets(&shard(0), epoch).await),
                ("note_homes", store.note_homes(&shard(0), epoch, &homes).await),
                ("record_changes", store.record_changes(&shard(0), epoch, &changes, NOW, GROUP_WAIT).await.map(|_| ())),
                (
                    "shard never taken",
                    store.write_slice(&shard(7), epoch, &[subject("key:k1", 9, None)], &[], NOW).await,
                ),
            ] {
                assert!(matches!(answer, Err(StoreError::EpochLost { .. })), "{what}: {answer:?}");
                assert_eq!(store.dump().await, before, "{what}");
            }
        }
        store.write_slice(&shard(0), second.epoch, &[subject("key:k1", 9, None)], &[], NOW).await.unwrap();
        assert_eq!(store.count("subjects").await, 2);
    });
}

#[test]
fn slices_are_upserts_of_any_size() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let rows: Vec<_> = (0..1_201).rev().map(|n| subject(&format!("key:{n:05}"), 10, Some(n))).collect();
        let days: Vec<_> = (0..1_201).map(|n| usage(&format!("{n:05}"), n)).collect();
        store.write_slice(&shard(0), epoch, &rows, &days, NOW).await.unwrap();
        let before = store.dump().await;
        store.write_slice(&shard(0), epoch, &rows, &days, NOW).await.unwrap();
        assert_eq!(store.dump().await, before, "absolute values: writing twice changes nothing");

        let twice = [subject("key:00000", 11, None), subject("key:00000", 12, Some(-4))];
        store.write_slice(&shard(0), epoch, &twice, &[usage("00007", 70)], NOW).await.unwrap();
        let wanted: Vec<String> = rows.iter().map(|row| row.id.clone()).chain(["key:none".to_owned()]).collect();
        let loaded = store.load_subjects(&shard(0), &wanted).await.unwrap();
        assert_eq!(loaded.len(), 1_201);
        assert_eq!(loaded[0], twice[1]);
        assert_eq!(loaded[1], rows[1_199]);
        assert_eq!(store.usage_of("00007").await.unwrap(), vec![usage("00007", 70)]);
    });
}

#[test]
fn timers_come_from_an_index() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let rows = [
            subject("key:b", 1, Some(100)),
            subject("key:B", 1, Some(100)),
            subject("key:c", 1, Some(50)),
            subject("key:d", 1, None),
            subject("key:e", 1, Some(101)),
        ];
        store.write_slice(&shard(0), epoch, &rows, &[], NOW).await.unwrap();
        assert_eq!(ids(&store.due_subjects(&shard(0), 100, 10).await.unwrap()), ["key:c", "key:B", "key:b"]);
        assert_eq!(ids(&store.due_subjects(&shard(0), 100, 2).await.unwrap()), ["key:c", "key:B"]);
        assert_eq!(store.due_subjects(&shard(1), 100, 10).await.unwrap(), vec![]);
        for (after, due) in [(0, Some(50)), (50, Some(100)), (100, Some(101)), (101, None)] {
            assert_eq!(store.earliest_due(&shard(0), after).await.unwrap(), due, "after {after}");
        }
    });
}

#[test]
fn subjects_move_with_their_traffic() {
    for_each_store(|store| async move {
        let other_topic = ShardId { topic: "file".into(), partition: 0 };
        for (place, current_to, now) in [(shard(0), 10, NOW), (shard(1), 20, NOW + 2), (other_topic, 30, NOW + 1)] {
            let epoch = store.acquire_shard(&place, "a", NOW).await.unwrap().epoch;
            store.write_slice(&place, epoch, &[subject("key:k1", current_to, Some(7))], &[], now).await.unwrap();
        }
        let wanted = ["key:k1".to_owned(), "key:none".to_owned()];
        let own = store.load_subjects(&shard(0), &wanted).await.unwrap();
        assert_eq!(own, vec![subject("key:k1", 10, Some(7))], "a row of one's own comes first");

        let newest = SubjectRow { current_to: 0, ..subject("key:k1", 20, Some(7)) };
        assert_eq!(store.load_subjects(&shard(2), &wanted).await.unwrap(), vec![newest]);
    });
}

#[test]
fn topic_made_anew_forgets_offsets() {
    for_each_store(|store| async move {
        let rows = [subject("key:k1", 10, None), subject("key:k2", 11, None)];
        for partition in [0, 1] {
            let epoch = store.acquire_shard(&shard(partition), "a", NOW).await.unwrap().epoch;
            store.write_slice(&shard(partition), epoch, &rows, &[], NOW).await.unwrap();
        }
        store.reset_offsets(&shard(0), 1).await.unwrap();
        let wanted = ["key:k1".to_owned(), "key:k2".to_owned()];
        let offsets = |rows: Vec<SubjectRow>| rows.iter().map(|row| row.current_to).collect::<Vec<_>>();
        assert_eq!(offsets(store.load_subjects(&shard(0), &wanted).await.unwrap()), [0, 0]);
        assert_eq!(offsets(store.load_subjects(&shard(1), &wanted).await.unwrap()), [10, 11]);
    });
}

#[test]
fn owners_that_race_get_epochs_of_their_own() {
    for_each_store(|store| async move {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let store = store.store.clone();
            tasks.spawn(async move { store.acquire_shard(&shard(0), &format!("o{n}"), NOW).await.unwrap().epoch });
        }
        let mut epochs = tasks.join_all().await;
        epochs.sort_unstable();
        assert_eq!(epochs, (1..=8).collect::<Vec<i64>>());
    });
}
