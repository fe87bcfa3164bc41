//! Facts: several write them, and nobody's are lost or missed.

use keywatch::event::facts::{KeyFacts, MerchantFacts};

use super::*;

fn key(id: &str, as_of: i64) -> (String, KeyFacts) {
    (id.into(), KeyFacts { as_of, merchant_id: Some("m1".into()), ..KeyFacts::default() })
}

fn merchant(id: &str, as_of: i64) -> (String, MerchantFacts) {
    (id.into(), MerchantFacts { as_of, ..MerchantFacts::default() })
}

fn ids<T>(records: &[(String, T)]) -> Vec<&str> {
    records.iter().map(|(id, _)| id.as_str()).collect()
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    for_each_store(|store| async move {
        let other = Store::open(&store.config).await.unwrap();
        let stores = [store.store.clone(), other];
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..40 {
            let store = stores[n as usize % 2].clone();
            writers.spawn(async move {
                let (id, mut facts) = key("k1", n);
                match n % 2 {
                    0 => facts.revoked_at = Some(100 - n),
                    _ => facts.created_at = Some(100 - n),
                }
                store.save_facts(&[(id, facts)], &[], NOW).await.unwrap();
            });
        }
        writers.join_all().await;
        let (keys, _) = stores[0].load_facts().await.unwrap();
        let (id, facts) = key("k1", 39);
        assert_eq!(keys, [(id, KeyFacts { revoked_at: Some(62), created_at: Some(61), ..facts })]);
        stores[1].close().await;
    });
}

#[test]
fn a_reader_sees_each_change_once() {
    for_each_store(|store| async move {
        store.save_facts(&[key("k0", 1)], &[merchant("m0", 1)], NOW).await.unwrap();
        let mut cursor = store.facts_cursor().await.unwrap();
        // Where it begins may be read again, and nothing before it.
        while !store.facts_after(&mut cursor, 10).await.unwrap().0.is_empty() {}

        let many: Vec<_> = ["b", "a", "C", "d"].iter().map(|id| key(id, 2)).collect();
        store.save_facts(&many, &[merchant("m1", 2)], NOW).await.unwrap();
        store.save_facts(&[key("a0", 3)], &[], NOW).await.unwrap();
        let (keys, merchants) = store.facts_after(&mut cursor, 3).await.unwrap();
        assert_eq!((ids(&keys), ids(&merchants)), (vec!["C", "a", "b"], vec!["m1"]));
        let (keys, merchants) = store.facts_after(&mut cursor, 3).await.unwrap();
        assert_eq!((ids(&keys), ids(&merchants)), (vec!["d", "a0"], vec![]));
        assert!(store.facts_after(&mut cursor, 3).await.unwrap().0.is_empty());

        // The same again, and what is older, is no change.
        store.save_facts(&[key("a", 2), key("b", 1)], &[merchant("m1", 2)], NOW + 1).await.unwrap();
        assert_eq!(store.facts_after(&mut cursor, 3).await.unwrap(), (vec![], vec![]));
        store.save_facts(&[key("a", 4)], &[], NOW + 2).await.unwrap();
        assert_eq!(store.facts_after(&mut cursor, 3).await.unwrap(), (vec![key("a", 4)], vec![]));
    });
}

#[test]
fn facts_are_read_by_their_subject() {
    for_each_store(|store| async move {
        let keys: Vec<_> = (0..1_500).map(|n| key(&format!("k{n:04}"), 1)).collect();
        store.save_facts(&keys, &[merchant("m1", 1), merchant("m2", 1)], NOW).await.unwrap();
        let wanted: Vec<String> = keys.iter().map(|(id, _)| id.clone()).chain(["none".into()]).collect();
        let (mut found, merchants) = store.facts_of(&wanted, &["m2".into()]).await.unwrap();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!((found, merchants), (keys, vec![merchant("m2", 1)]));
        assert_eq!(store.fact_keys().await.unwrap(), 1_500);
    });
}
