//! Law 2: the same events give the same alerts, however they are spread over partitions, instances, databases and
//! versions of the rules.

use crate::instance::Instance;
use crate::server;
use crate::service::{Feed, Ground, Setup, report};
use crate::traffic::{Plan, Traffic, traffic};

/// 2026-06-01T00:00:00Z
pub const SUMMER: i64 = 1_780_272_000_000;

fn much() -> Traffic {
    traffic(Plan { seed: 11, merchants: 200, days: 25, calls_a_day: 29.0, start: SUMMER })
}

/// Feeds everything while `act` does what it does, and looks at the alerts.
fn law_2(name: &str, setup: Setup, act: impl FnOnce(&Ground, &Feed<'_>) -> Vec<Instance>) {
    let (ground, traffic) = (Ground::new(name, setup), much());
    let expected = ground.replayed(&traffic);
    assert!(expected.len() > 50, "{} alerts", expected.len());
    ground.tell_facts(&traffic.facts);
    let instances = std::thread::scope(|scope| {
        let feed = Feed::start(scope, &ground, &traffic.events, 25_000);
        let instances = act(&ground, &feed);
        feed.finish();
        instances
    });
    ground.wait_for_all();
    ground.until_ready(&instances);
    ground.wait_for_alerts(&expected);
    let alerts = ground.assert_alerts(&expected);
    instances.into_iter().for_each(Instance::stop);
    // Nothing is left to be found at the end.
    assert_eq!(ground.assert_alerts(&expected), alerts);
    report(&format!("laws: {name}"), alerts, None, 0, &format!("{} events", traffic.events.len()));
}

#[test]
fn one_instance_on_postgres() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    law_2("one-instance", Setup::default(), |ground, _| vec![Instance::start_and_own(ground, "a")]);
}

#[test]
fn two_instances_with_rebalances_in_mid_stream() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    law_2("two-instances", Setup::default(), |ground, feed| {
        let first = Instance::start_and_own(ground, "a");
        ground.until("the first to judge", || first.metric("keywatch_events_judged_total") > 5_000.0);
        let second = Instance::start_and_own(ground, "b");
        ground.until("a rebalance", || first.owned() == 2 && second.owned() == 2);
        ground.until("the second to judge", || second.metric("keywatch_events_judged_total") > 5_000.0);
        assert!(!ground.all_stored() || !feed.is_done(), "the stream was over before the rebalance");
        first.stop();
        vec![second]
    });
}

#[test]
fn sqlite_and_twelve_partitions() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let setup = Setup { partitions: 12, sqlite: true, ..Setup::default() };
    law_2("sqlite-12", setup, |ground, _| vec![Instance::start_and_own(ground, "a")]);
}

#[test]
fn rules_reloaded_in_mid_stream() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    law_2("reload", Setup::default(), |ground, feed| {
        let first = Instance::start_and_own(ground, "a");
        let second = Instance::start_and_own(ground, "b");
        for round in 1..=3 {
            let before = second.metric("keywatch_events_judged_total");
            ground.until("events", || second.metric("keywatch_events_judged_total") > before + 3_000.0);
            let path = ground.path("rules/spike.yml");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, format!("# Looked at {round} times.\n{text}")).unwrap();
            let old = second.get("/metrics").unwrap().1;
            let version = |text: &str| text.lines().find(|l| l.starts_with("keywatch_rules_info{")).map(str::to_owned);
            first.signal("-HUP");
            // The other instance follows what the store names.
            ground.until("the new rules to be in force", || {
                let new = second.get("/metrics").map(|(_, text)| text).unwrap_or_default();
                version(&new).is_some() && version(&new) != version(&old)
            });
        }
        assert!(!ground.all_stored() || !feed.is_done(), "the stream was over before the last reload");
        vec![first, second]
    });
}
