//! Facts, rules, dead letters, single values, the schema itself, and what survives a restart.

use keywatch::alert::Severity;
use keywatch::event::facts::{KeyFacts, MerchantFacts};
use keywatch::rules::RuleFile;
use keywatch::store::{AlertFilter, DeadLetter, StoreError, StoredRules, SubjectRow};

use super::*;

fn letter(n: usize) -> DeadLetter {
    DeadLetter {
        place: format!("auth-events/0/{n}"),
        reason: "not_json",
        detail: "expected value".into(),
        redacted: "a\0b".into(),
    }
}

#[test]
fn dead_letters_are_bounded() {
    for_each_store(|store| async move {
        let letters: Vec<_> = (0..7).map(letter).collect();
        store.save_dead_letters(&letters, 5, NOW).await.unwrap();
        store.save_dead_letters(&letters[6..], 5, NOW + 1).await.unwrap();
        store.save_dead_letters(&[letter(7)], 5, NOW + 2).await.unwrap();
        let places = |letters: Vec<keywatch::store::StoredDeadLetter>| {
            letters.into_iter().map(|letter| letter.place).collect::<Vec<_>>()
        };
        let want = ["auth-events/0/7", "auth-events/0/6", "auth-events/0/5", "auth-events/0/4", "auth-events/0/3"];
        assert_eq!(places(store.dead_letters(10).await.unwrap()), want);
        assert_eq!(places(store.dead_letters(2).await.unwrap()), want[..2]);
        store.save_dead_letters(&[], 0, NOW).await.unwrap();
        assert_eq!(store.count("dead_letters").await, 0);
    });
}

#[test]
fn rules_are_adopted_and_remembered() {
    for_each_store(|store| async move {
        let files = [RuleFile { name: "a.yml".into(), text: "rules: []\n".into() }];
        assert_eq!(store.rules_in_force().await.unwrap(), None);
        let in_force = |version: &str, adopted_at| StoredRules {
            version: version.into(),
            files: files.to_vec(),
            adopted_at,
            adopted_by: "a".into(),
        };
        for (version, now, want) in [
            ("v1", NOW, in_force("v1", NOW)),
            ("v1", NOW + 1, in_force("v1", NOW)),
            ("v2", NOW + 2, in_force("v2", NOW + 2)),
            ("v1", NOW + 3, in_force("v1", NOW + 3)),
        ] {
            store.adopt_rules(version, &files, "a", now).await.unwrap();
            assert_eq!(store.rules_in_force().await.unwrap(), Some(want), "{version} at {now}");
        }
        assert!(store.known_rules("v2").await.unwrap());
        assert!(!store.known_rules("v3").await.unwrap());
    });
}

#[test]
fn the_last_versions_are_kept_with_their_files() {
    for_each_store(|store| async move {
        let adopt = async |n: i64, now: i64| {
            let files = [RuleFile { name: "a.yml".into(), text: format!("# {n}\n") }];
            store.adopt_rules(&format!("v{n}"), &files, "a", now).await.unwrap()
        };
        let kept = async || {
            let kept = store.rule_versions().await.unwrap();
            let names: Vec<String> = kept.iter().map(|stored| stored.version.clone()).collect();
            for stored in &kept {
                assert_eq!(stored.files[0].text, format!("# {}\n", &stored.version[1..]));
            }
            names.join(" ")
        };
        assert_eq!(kept().await, "");
        for n in 0..12 {
            adopt(n, NOW + n).await;
        }
        assert_eq!(kept().await, "v2 v3 v4 v5 v6 v7 v8 v9 v10 v11");
        assert_eq!(adopt(3, NOW + 20).await.adopted_at, NOW + 20);
        assert_eq!(adopt(3, NOW + 21).await.adopted_at, NOW + 20, "it was in force already");
        assert_eq!(kept().await, "v2 v4 v5 v6 v7 v8 v9 v10 v11 v3");
        assert!(store.known_rules("v0").await.unwrap(), "known as old, though its files are gone");
        adopt(0, NOW + 22).await;
        assert_eq!(kept().await, "v4 v5 v6 v7 v8 v9 v10 v11 v3 v0");
        assert_eq!(store.rules_in_force().await.unwrap().unwrap().files[0].text, "# 0\n");

        let many = "INSERT INTO rule_adoptions (version, adopted_at, adopted_by) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
             SELECT 'v' || (5 + i % 2), i, 'a' FROM n RETURNING version";
        store.sql(many).await;
        adopt(7, NOW + 23).await;
        assert_eq!(store.count("rule_adoptions").await, 1_000);
        assert!(!store.known_rules("v0").await.unwrap());
        assert_eq!(kept().await, "v6 v5 v7");
    });
}

#[test]
fn newer_facts_stay() {
    for_each_store(|store| async move {
        let key =
            |as_of, name: &str| ("k1".to_owned(), KeyFacts { as_of, name: Some(name.into()), ..Default::default() });
        let merchant =
            ("m1".to_owned(), MerchantFacts { as_of: 5, contacts: vec!["a@b.c".into()], ..Default::default() });
        for (saved, kept) in [
            (key(10, "first"), key(10, "first")),
            (key(9, "older"), key(10, "first")),
            (key(10, "merged"), key(10, "merged")),
            (key(11, "newer"), key(11, "newer")),
        ] {
            store.save_facts(&[saved], std::slice::from_ref(&merchant), NOW).await.unwrap();
            assert_eq!(store.load_facts().await.unwrap(), (vec![kept], vec![merchant.clone()]));
        }
    });
}

#[test]
fn first_value_counts() {
    for_each_store(|store| async move {
        assert_eq!(store.meta("first_start").await.unwrap(), None);
        assert_eq!(store.set_meta_once("first_start", "1").await.unwrap(), "1");
        assert_eq!(store.set_meta_once("first_start", "2").await.unwrap(), "1");
        assert_eq!(store.meta("first_start").await.unwrap().as_deref(), Some("1"));
    });
}

#[test]
fn restart_keeps_all() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let row = SubjectRow { id: "key:k1".into(), current_to: 4, next_due: Some(9), blob: vec![0, 255] };
        store.write_slice(&shard(0), epoch, std::slice::from_ref(&row), &[], NOW).await.unwrap();
        store.finish_checkpoint(&shard(0), epoch, 5, &[1, 0], NOW).await.unwrap();
        let change = told(alert(START, 1, Severity::High));
        store.record_changes(&shard(0), epoch, std::slice::from_ref(&change), NOW, GROUP_WAIT).await.unwrap();
        let before = store.dump().await;

        let again = store.reopened().await;
        assert_eq!(again.migrate().await.unwrap(), Vec::<&str>::new());
        again.require_migrated().await.unwrap();
        assert_eq!(store.dump().await, before);
        let lease = again.acquire_shard(&shard(0), "b", NOW).await.unwrap();
        assert_eq!((lease.epoch, lease.position, lease.blob), (epoch + 1, Some(5), Some(vec![1, 0])));
        assert_eq!(again.load_subjects(&shard(0), &["key:k1".into()]).await.unwrap(), vec![row]);
        assert_eq!(again.alerts(&AlertFilter::default()).await.unwrap(), vec![change.alert]);
        again.close().await;
    });
}

#[test]
fn closed_store_is_unavailable() {
    for_each_store(|store| async move {
        store.close().await;
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    });
}

#[test]
fn newer_database_is_refused() {
    for_each_store(|store| async move {
        store.sql("INSERT INTO schema_migrations (version, name) VALUES (999, 'later') RETURNING name").await;
        for error in [store.migrate().await.unwrap_err(), store.pending_migrations().await.unwrap_err()] {
            assert!(
                matches!(&error, StoreError::Migration(text) if text.contains("999") && text.contains("newer")),
                "{error}"
            );
        }
    });
}

const MIGRATIONS: [&str; 8] = [
    "0001_init",
    "0002_fact_revisions",
    "0003_shadow",
    "0004_lighter_checkpoints",
    "0005_second_stage",
    "0006_usage_by_day",
    "0007_ends_of_partitions",
    "0008_fleet",
];

#[test]
fn pending_migrations_are_named() {
    for_each_store(|store| async move {
        store.sql("DELETE FROM schema_migrations RETURNING name").await;
        assert_eq!(store.pending_migrations().await.unwrap(), MIGRATIONS);
        let error = store.require_migrated().await.unwrap_err();
        assert!(matches!(&error, StoreError::Migration(text) if text.contains("0001_init")), "{error}");
    });
}

#[test]
fn memory_store_lives_on_one_connection() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let config = StoreConfig { url: Secret::new("sqlite::memory:"), max_connections: 4, migrate: true };
        let store = Store::open(&config).await.unwrap();
        assert_eq!(store.pending_migrations().await.unwrap(), MIGRATIONS);
        store.migrate().await.unwrap();
        store.set_meta_once("a", "b").await.unwrap();
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some("b"));
        let other = Store::open(&config).await.unwrap();
        assert_eq!(other.pending_migrations().await.unwrap(), MIGRATIONS, "each has its own");
    });
}

#[test]
fn errors_keep_the_password_to_themselves() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for url in [
            "postgres://keywatch:hunter2@127.0.0.1:1/keywatch",
            "postgres://keywatch:hunter2@127.0.0.1:port/keywatch",
            "postgres://keywatch:hunter2@[/keywatch",
            "mysql://keywatch:hunter2@127.0.0.1/keywatch",
        ] {
            let config = StoreConfig { url: Secret::new(url), max_connections: 1, migrate: true };
            let error = Store::open(&config).await.unwrap_err();
            let chain = format!("{error} {error:?}");
            assert!(!chain.contains("hunter2"), "{url}: {chain}");
        }
    });
}

#[test]
fn lost_connections_are_replaced() {
    for_each_store(|store| async move {
        if !store.is_postgres() {
            return;
        }
        for _ in 0..3 {
            let mut pings = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let store = store.store.clone();
                pings.spawn(async move { store.ping().await.unwrap() });
            }
            pings.join_all().await;
            let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
            assert!(!store.sql(end).await.is_empty());
        }
    });
}
