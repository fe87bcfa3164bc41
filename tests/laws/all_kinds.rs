//! Laws 1 and 2 on the simulator's traffic: every kind fires there, with GeoIP, lateness, duplicates and broken lines, and with
//! outages of the stream and of the platform.

use std::collections::BTreeSet;
use std::sync::Arc;

use keywatch::alert::{Alert, Kind};
use keywatch::config::AlertsConfig;
use keywatch::engine::second_stage::is_taken;
use keywatch::geoip::GeoIp;
use keywatch::simulate::{Incidents, Plan, Traffic as Family, asn_database, country_database, simulate};
use keywatch::time::{DAY, HOUR, SECOND};

use crate::lab::START;
use crate::one_engine::{all, broker_with, json, piped, replayed, replayed_with, store_in, undetected};
use crate::traffic::{Line, Traffic};

/// What the simulator makes, each line with the merchant that it names.
fn simulated(seed: u64, traffic: Family, keys: u32, days: u32) -> Traffic {
    let (incidents, unused_for) = (Incidents::Spread, 5 * DAY);
    let plan = Plan { seed, keys, days, starts_at: START, incidents, unused_for, traffic };
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    simulate(&plan, &mut events, &mut facts).unwrap();
    let lines = |bytes: Vec<u8>| -> Vec<Line> {
        let text = String::from_utf8(bytes).unwrap();
        let merchant = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(value.get("merchant_id")?.as_str()?.to_owned())
        };
        text.lines().map(|line| Line { merchant: merchant(line).unwrap_or_default(), text: line.to_owned() }).collect()
    };
    Traffic { events: lines(events), facts: lines(facts) }
}

fn geoip() -> Arc<GeoIp> {
    let folder = tempfile::tempdir().unwrap();
    let files = [("asn.mmdb", asn_database()), ("country.mmdb", country_database())].map(|(name, bytes)| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    });
    Arc::new(GeoIp::open(&files).unwrap())
}

#[tokio::test]
async fn every_kind_is_found_alike_on_any_number_of_partitions() {
    let geoip = geoip();
    let mut kinds = BTreeSet::new();
    for family in [Family::Usual, Family::Hard] {
        let made = simulated(3, family, 80, 24);
        let one = replayed_with(geoip.clone(), &made, &made.events, 1, None).await;
        kinds.extend(one.alerts.iter().flat_map(|alert| alert.reasons.iter().map(|reason| reason.kind)));
        for partitions in [3, 8] {
            let more = replayed_with(geoip.clone(), &made, &made.events, partitions, None).await;
            assert!(json(&one.alerts) == json(&more.alerts), "{family:?}: {partitions} partitions differ");
        }
    }
    // These have no shipped rule.
    let missing: Vec<_> = Kind::ALL
        .iter()
        .filter(|kind| !kinds.contains(kind) && !matches!(kind, Kind::Threshold | Kind::Custom))
        .collect();
    assert!(missing.is_empty(), "no alert of {missing:?}");
}

/// What merchants are told of. Where the whole stream is silent, each partition sees it by itself only where it has enough keys; what
/// others find then is taken over.
fn own(alerts: Vec<Alert>) -> Vec<Alert> {
    let mut alerts = undetected(alerts);
    alerts.retain(|alert| !is_taken(alert) && alert.kind != Kind::PlatformIncident);
    alerts
}

#[tokio::test]
async fn the_pipeline_finds_what_replay_finds_on_the_simulators_traffic() {
    for family in [Family::Usual, Family::Hard] {
        let made = simulated(5, family, 60, 16);
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let alerts = AlertsConfig { group_wait: 30 * SECOND, max_age: HOUR, mail_old: true };
        piped(&broker_with(&made.events).0, &made, &made.events, &store, None, alerts).await;
        let live = own(store.alerts(&all()).await.unwrap());
        let replayed = own(replayed(&made, &made.events, 1, None).await.alerts);
        let kinds: BTreeSet<_> = live.iter().map(|alert| alert.kind).collect();
        assert!(live.len() > 60 && kinds.len() > 14, "{} {kinds:?}", live.len());
        crate::assert_same("live and replayed", &replayed, &live);
    }
}
