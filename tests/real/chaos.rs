//! Laws 6 to 8: whatever is killed, frozen, or away, the alerts are those of an undisturbed run, each once; a mail comes at
//! least once, and a repeat has the same `Message-ID`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::instance::Instance;
use crate::laws::SUMMER;
use crate::server;
use crate::service::{Feed, Ground, Setup, plain_smtp, report, say, servers, wall_millis};
use crate::traffic::{Numbers, Plan, Traffic, traffic};

/// A steady stream on PostgreSQL, with mail.
struct Chaos {
    ground: Ground,
    traffic: Traffic,
    expected: Vec<serde_json::Value>,
}

impl Chaos {
    fn new(name: &str, static_members: bool) -> Chaos {
        let setup = Setup { transport: plain_smtp(), static_members, ..Setup::default() };
        let ground = Ground::new(name, setup);
        let traffic = traffic(Plan { seed: 7, merchants: 72, days: 25, calls_a_day: 30.0, start: SUMMER });
        let expected = ground.replayed(&traffic);
        assert!(expected.len() > 30, "{} alerts", expected.len());
        ground.tell_facts(&traffic.facts);
        Chaos { ground, traffic, expected }
    }

    /// Feeds the stream over some seconds while `act` disturbs it. Then everything must be as if nothing had happened.
    fn run(&self, name: &str, seconds: usize, act: impl FnOnce(&Ground, &Feed<'_>) -> (Vec<Instance>, usize, String)) {
        let (ground, events) = (&self.ground, &self.traffic.events);
        let (instances, kills, more) = std::thread::scope(|scope| {
            let feed = Feed::start(scope, ground, events, events.len() / seconds);
            let done = act(ground, &feed);
            let early = feed.is_done();
            feed.finish();
            (done.0, done.1, if early { format!("{} (stream ended before)", done.2) } else { done.2 })
        });
        ground.wait_for_all();
        ground.until_ready(&instances);
        ground.wait_for_alerts(&self.expected);
        let alerts = ground.assert_alerts(&self.expected);
        let mails = ground.assert_mails();
        instances.into_iter().for_each(Instance::stop);
        assert_eq!(ground.assert_alerts(&self.expected), alerts);
        report(&format!("chaos: {name}"), alerts, Some(mails), kills, &more);
    }
}

fn seed() -> u64 {
    std::env::var("KEYWATCH_TEST_SEED").map_or(wall_millis() as u64, |seed| seed.parse().unwrap())
}

fn judged(instance: &Instance) -> f64 {
    instance.metric("keywatch_events_judged_total")
}

/// Kills and starts again; every second time only once it has got on a bit.
fn kill_again_and_again(ground: &Ground, kills: usize) -> (Vec<Instance>, usize, String) {
    let seed = seed();
    say(&format!("KEYWATCH_TEST_SEED={seed}"));
    let mut numbers = Numbers::new(seed);
    let mut unread = 0;
    for kill in 0..kills {
        let instance = Instance::start(ground, "a");
        match kill % 3 {
            // At any moment, even before it owns anything.
            0 => std::thread::sleep(Duration::from_millis(numbers.below(2_500))),
            // Once it has got on a bit.
            1 => {
                let enough = numbers.below(3_000) as f64;
                ground.until("an instance to get on", || judged(&instance) > enough);
                std::thread::sleep(Duration::from_millis(numbers.below(1_000)));
            }
            // Between the mail server's word and the note of it, if there is a mail soon.
            _ => {
                let end = Instant::now() + Duration::from_secs(4);
                while Instant::now() < end && !instance.log().contains("mail sent") {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        }
        let log = instance.log_path();
        instance.kill();
        let log = std::fs::read_to_string(log).unwrap();
        unread += usize::from(!log.contains("took the partition over"));
    }
    (vec![Instance::start(ground, "a")], kills, format!("seed {seed}, {unread} kills before it owned anything"))
}

#[test]
fn killed_twenty_times() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("killed", true);
    chaos.run("SIGKILL, static member", 70, |ground, _| kill_again_and_again(ground, 20));
}

#[test]
fn killed_without_a_name_in_the_group() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("killed-dynamic", false);
    chaos.run("SIGKILL, dynamic member", 40, |ground, _| kill_again_and_again(ground, 5));
}

/// What a shard's owner has stored so far: offsets of positions and of subjects.
fn stored(ground: &Ground) -> BTreeMap<String, i64> {
    let sql = "SELECT topic || '/' || partition || ' ' || id || '=' || current_to FROM subjects \
               UNION ALL SELECT topic || '/' || partition || '=' || position FROM shards WHERE position IS NOT NULL";
    let rows = ground.sql(sql).unwrap();
    rows.iter().filter_map(|row| row.rsplit_once('=')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())).collect()
}

#[test]
fn a_frozen_owner_writes_nothing_when_it_wakes() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("frozen", false);
    chaos.run("SIGSTOP of an owner", 40, |ground, _| {
        let frozen = Instance::start_and_own(ground, "a");
        let other = Instance::start_and_own(ground, "b");
        ground.until("both to own partitions", || frozen.owned() == 2 && other.owned() == 2);
        let enough = judged(&frozen) + 1_000.0;
        ground.until("both to judge", || judged(&frozen) > enough && judged(&other) > 1_000.0);
        let epochs = ground.epochs();
        frozen.signal("-STOP");
        ground.until("its partitions to move", || {
            ground.epochs().iter().filter(|(p, epoch)| **epoch > epochs[*p]).count() >= 2 && other.owned() == 4
        });
        let before = ground.positions();
        ground.until("data to go on", || ground.positions().iter().all(|(p, at)| *at > before[p] + 200));
        // Nothing but the sleeper may write from here on: what is stored must not go back.
        let stored_before = stored(ground);
        other.signal("-STOP");
        frozen.signal("-CONT");
        let mut back = BTreeSet::new();
        let end = Instant::now() + Duration::from_millis(1_500);
        while Instant::now() < end {
            let now = stored(ground);
            back.extend(
                stored_before.iter().filter(|(k, v)| now.get(*k).is_none_or(|n| n < v)).map(|(k, _)| k.clone()),
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        other.signal("-CONT");
        let lost = frozen.metric("keywatch_epochs_lost_total");
        // Whoever comes next reads what is stored.
        other.kill();
        ground.until("the sleeper to be a member again", || frozen.owned() == 4);
        assert_eq!(back, BTreeSet::new(), "the sleeper wrote");
        // It hears of it from whoever answers first: the store at its next write, or Kafka.
        let told = frozen.log().matches("let the partition go").count();
        assert!(lost >= 1.0 || told >= 2, "the sleeper noticed nothing");
        (vec![frozen], 1, format!("{lost} lost epochs noticed, told by Kafka of {told}"))
    });
}

#[test]
fn the_broker_restarts() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("broker", false);
    chaos.run("broker restart", 20, |ground, feed| {
        let instance = Instance::start_and_own(ground, "a");
        ground.until("events", || judged(&instance) > 3_000.0);
        let sent = feed.sent();
        servers("stop", "kafka");
        ground.until(
            "the instance to notice",
            || matches!(instance.get("/readyz"), Some((503, why)) if why.contains("source:")),
        );
        servers("start", "kafka");
        ground.until("the stream to go on", || feed.sent() > sent + 2_000);
        (vec![instance], 0, String::new())
    });
}

#[test]
fn the_database_restarts() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("database", false);
    chaos.run("PostgreSQL restart", 20, |ground, _| {
        let mut instance = Instance::start_and_own(ground, "a");
        ground.until("events", || judged(&instance) > 3_000.0);
        servers("stop", "postgres");
        ground.until(
            "the instance to notice",
            || matches!(instance.get("/readyz"), Some((503, why)) if why.contains("store:")),
        );
        let judged_before = judged(&instance);
        servers("start", "postgres");
        ground.until("the stream to go on", || judged(&instance) > judged_before + 3_000.0);
        // Once more, at once.
        servers("restart", "postgres");
        assert!(instance.is_running());
        (vec![instance], 0, String::new())
    });
}

#[test]
fn the_mail_server_is_away() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("mail", false);
    chaos.run("Postfix away", 10, |ground, _| {
        let instance = Instance::start_and_own(ground, "a");
        servers("stop", "postfix");
        let gone = Instant::now();
        ground.until("retries", || ground.outbox().iter().any(|n| n.attempts >= 3));
        // Two minutes, as a restart of a mail server may take.
        std::thread::sleep(Duration::from_secs(120).saturating_sub(gone.elapsed()));
        let waiting = ground.outbox();
        let tried = waiting.iter().map(|notice| notice.attempts).max().unwrap_or(0);
        assert!(
            waiting.iter().any(|n| n.attempts >= 2 && n.last_error.is_some()),
            "no retries in {} notices",
            waiting.len()
        );
        servers("start", "postfix");
        (
            vec![instance],
            0,
            format!(
                "{} notices waited, tried up to {tried} times",
                waiting.iter().filter(|n| n.status == "pending").count()
            ),
        )
    });
}

#[test]
fn an_owner_whose_partition_was_taken_in_passing_starts_again() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let chaos = Chaos::new("taken", false);
    chaos.run("epoch taken in passing", 40, |ground, _| {
        let mut instance = Instance::start_and_own(ground, "a");
        ground.until("events", || judged(&instance) > 3_000.0);
        // As an instance does that was frozen between Kafka's word and the store's, and lets go at once.
        ground.sql("UPDATE shards SET epoch = epoch + 1 WHERE partition = 0");
        ground.until("the owner to notice", || instance.metric("keywatch_epochs_lost_total") == 1.0);
        ground.until("readiness to say that nobody judges a partition", || !instance.is_ready());
        ground.until("the owner to give up", || !instance.is_running());
        assert!(instance.log().contains("was taken by another instance, but Kafka's group still gives it to this one"));
        (vec![Instance::start(ground, "a")], 0, String::new())
    });
}
