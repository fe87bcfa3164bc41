//! Law 3: what the fleet is like on a day comes from days closed before the day before, and is the same however partitions lie.

use std::collections::BTreeMap;

use keywatch::config::{Secret, StoreConfig};
use keywatch::engine::fleet::{FleetBook, Traits};
use keywatch::store::Store;
use keywatch::time::{DAY, Millis};

use crate::one_engine::replayed;
use crate::traffic::{Line, Traffic};
use crate::{decoder, lab, made};

/// What a replay of the lines before `end` says the fleet is like.
pub async fn fleet(made: &Traffic, end: Millis, partitions: u32) -> FleetBook {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.sqlite");
    let time = |line: &Line| decoder().decode_auth(line.text.as_bytes(), None).unwrap().ts;
    let lines: Vec<_> = made.events.iter().filter(|line| time(line) < end).cloned().collect();
    replayed(made, &lines, partitions, Some(state.clone())).await;
    let url = Secret::new(format!("sqlite:{}", state.display()));
    let store = Store::open(&StoreConfig { url, max_connections: 1, migrate: false }).await.unwrap();
    store.fleet().await.unwrap()
}

#[tokio::test]
async fn it_is_the_same_however_partitions_lie() {
    let made = made(240, 12, 26.0);
    let one = fleet(&made, Millis::MAX, 1).await;
    let days: BTreeMap<i64, Traits> = one.days().collect();
    assert!(days.len() >= 8 && days.values().any(|traits| *traits != days[days.keys().next().unwrap()]), "{days:?}");
    for partitions in [4, 12] {
        assert_eq!(fleet(&made, Millis::MAX, partitions).await, one, "{partitions} partitions");
    }
}

#[tokio::test]
async fn a_day_knows_nothing_of_itself_and_of_the_day_before() {
    let made = made(60, 12, 26.0);
    let whole = fleet(&made, Millis::MAX, 1).await;
    for day in 5..=11 {
        let midnight = lab::START + day * DAY;
        // The first calls of the day before show that the days before it are over.
        let known = fleet(&made, midnight - DAY + DAY / 2, 4).await;
        assert_eq!(known.at(midnight), whole.at(midnight), "day {day}");
        assert_eq!(known.days().last().map(|(day, _)| day), Some(midnight / DAY), "day {day}");
    }
}
