//! Laws 4 and 5: wall time moves no stream time, elapsed time runs timers where a shard is live, and one wrong clock moves
//! nothing. And how long a live alert takes to the mail server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::instance::Instance;
use crate::laws::SUMMER;
use crate::server;
use crate::service::{Ground, Setup, plain_smtp, report, say, wall_millis};
use crate::traffic::{Line, Plan, Traffic, traffic};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn summer() -> Traffic {
    traffic(Plan { seed: 5, merchants: 48, days: 25, calls_a_day: 12.0, start: SUMMER })
}

fn with_short_quiet() -> Setup {
    let mut setup = Setup { limits: vec!["lateness: 2s"], ..Setup::default() };
    setup.rules.push(("env-mismatch.yml", "quiet: 1d", "quiet: 1h"));
    setup
}

/// A live key at the sandbox, accepted: a case that ends by itself an hour later.
fn mismatch(id: &str, at: i64) -> Line {
    let text = json!({"event_id": id, "ts": at, "key_id": "k_w", "merchant_id": "m_w", "key_env": "live", "endpoint_env": "test",
        "method": "POST", "path": "/v1/payments", "source_ip": "203.0.113.7", "outcome": "ok"});
    Line { merchant: "m_w".into(), text: text.to_string() }
}

/// A call of a merchant that brings stream time on and nothing else.
fn call(id: &str, at: i64) -> Line {
    Line {
        text: mismatch(id, at).text.replace("\"endpoint_env\":\"test\"", "\"endpoint_env\":\"live\""),
        ..mismatch(id, at)
    }
}

#[test]
fn wall_time_raises_nothing_in_an_old_topic() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let ground = Ground::new("old-topic", with_short_quiet());
    let mut traffic = summer();
    // Disorder beyond this test's small lateness is not its subject.
    traffic.events.sort_by_key(|line| serde_json::from_str::<Value>(&line.text).unwrap()["ts"].as_i64());
    let last = SUMMER + 25 * 24 * HOUR + 2 * HOUR;
    // Its case would end three seconds after the end of the stream, if time went on there.
    traffic.events.insert(traffic.events.len() - 48, mismatch("w1", last - HOUR + 1_000));
    traffic.events.push(call("w2", last));
    let expected = ground.replayed(&traffic);
    ground.tell_facts(&traffic.facts);
    ground.send(&traffic.events);
    let instance = Instance::start_and_own(&ground, "a");
    ground.wait_for_all();
    ground.until_ready([&instance]);
    let read_to = instance.metric("keywatch_stream_time_seconds");
    // Long enough for elapsed time to fire what is due within seconds; and months of wall time lie behind the stream.
    std::thread::sleep(Duration::from_secs(9));
    ground.wait_for_alerts(&expected);
    let alerts = ground.assert_alerts(&expected);
    let waiting = expected.iter().find(|alert| alert["key_id"] == "k_w").unwrap();
    assert_eq!(waiting["state"], "firing");
    let stale = expected.iter().filter(|alert| alert["kind"] == "stale_key").count();
    assert!(stale > 0, "the rule that wall time would fire is at work");
    assert_eq!(instance.metric("keywatch_stream_time_seconds"), read_to);
    // The same after a restart, which has only the store to go by.
    instance.stop();
    let instance = Instance::start_and_own(&ground, "a");
    ground.until_ready([&instance]);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(ground.assert_alerts(&expected), alerts);
    instance.stop();
    report("live: old topic", alerts, None, 0, &format!("{stale} stale keys, all by stream time"));
}

#[test]
fn elapsed_time_runs_timers_in_a_live_topic() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let ground = Ground::new("live-topic", Setup { partitions: 1, ..with_short_quiet() });
    let instance = Instance::start_and_own(&ground, "a");
    ground.until_ready([&instance]);
    let now = wall_millis();
    let began = now - HOUR + 4_000;
    ground.send(&[mismatch("w1", began), call("w2", now)]);
    ground.until("the alert", || ground.alerts().len() == 1);
    let opened_at = wall_millis();
    assert_eq!(ground.alerts()[0]["state"], "firing");
    ground.until("elapsed time to end it", || ground.alerts()[0]["state"] == "resolved");
    let took = wall_millis() - now;
    // Four seconds of quiet were left, and two of lateness: not before, and not much later.
    assert!((6_000..30_000).contains(&took), "{took} ms");
    let stored: Value = serde_json::from_str(&ground.sql("SELECT record FROM cases").unwrap()[0]).unwrap();
    let ends_at = keywatch::time::parse_rfc3339(stored["ends_at"].as_str().unwrap()).unwrap();
    assert_eq!(ends_at, began + HOUR, "as of when it was due");
    // Stream time itself stands where the last event left it, so that a late event is none.
    assert_eq!(instance.metric("keywatch_stream_time_seconds") as i64, now / 1_000);
    ground.send(&[call("w3", now - 1_000)]);
    ground.wait_for_all();
    assert_eq!(instance.metric("keywatch_events_late_total"), 0.0);
    instance.stop();
    report("live: elapsed time", 1, None, 0, &format!("opened after {} ms, ended after {took} ms", opened_at - now));
}

#[test]
fn one_event_of_the_far_future_moves_nothing() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let ground = Ground::new("future", Setup::default());
    let traffic = summer();
    let expected = ground.replayed(&traffic);
    ground.tell_facts(&traffic.facts);
    let middle = traffic.events.len() / 2;
    let mut wrong = traffic.events[middle].clone();
    let mut event: Value = serde_json::from_str(&wrong.text).unwrap();
    event["event_id"] = "future".into();
    event["ts"] = "2099-01-01T00:00:00Z".into();
    wrong.text = event.to_string();
    let instance = Instance::start_and_own(&ground, "a");
    ground.send(&traffic.events[..middle]);
    ground.wait_for_all();
    // The first events of a stream, which has no time yet, are held for a moment too.
    let parked = || instance.metric("keywatch_events_parked_total");
    let parked_before = parked();
    ground.send(&[wrong]);
    // It is the last one for a while, and nobody contradicts it: it is not believed all the same.
    ground.wait_for_all();
    ground.until_ready([&instance]);
    std::thread::sleep(Duration::from_secs(2));
    ground.send(&traffic.events[middle..]);
    ground.wait_for_all();
    assert_eq!(parked(), parked_before + 1.0);
    ground.wait_for_alerts(&expected);
    let alerts = ground.assert_alerts(&expected);
    instance.stop();
    report("live: an event of 2099", alerts, None, 0, "1 parked");
}

#[test]
fn how_long_an_alert_takes_to_the_mail_server() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    const ALERTS: usize = 50;
    let ground = Ground::new("latency", Setup { transport: plain_smtp(), ..Setup::default() });
    let revoked = wall_millis() - 24 * HOUR;
    let facts: Vec<Line> = (0..ALERTS)
        .map(|n| Line {
            merchant: format!("m_{n}/k_{n}"),
            text: json!({"type": "key_revoked", "ts": revoked, "merchant_id": format!("m_{n}"), "key_id": format!("k_{n}"),
                "key_env": "live", "revoked_at": revoked})
            .to_string(),
        })
        .collect();
    ground.tell_facts(&facts);
    let instance = Instance::start_and_own(&ground, "a");
    ground.until_ready([&instance]);
    let event = |n: usize, key: &str, at: i64, outcome: &str| {
        Line {
        merchant: format!("m_{n}"),
        text: json!({"event_id": format!("{key}-{n}"), "ts": at, "key_id": format!("{key}_{n}"), "merchant_id": format!("m_{n}"),
            "key_env": "live", "endpoint_env": "live", "source_ip": "203.0.113.7", "outcome": outcome})
        .to_string(),
    }
    };
    // A new topic's first event waits a second for a witness of what time it is: not what is measured here.
    ground.send(&(0..ALERTS).map(|n| event(n, "other", wall_millis(), "ok")).collect::<Vec<_>>());
    ground.wait_for_all();
    let mut sent_at = Vec::new();
    for n in 0..ALERTS {
        let now = wall_millis();
        sent_at.push(now);
        ground.send(&[event(n, "k", now, "denied")]);
        let end = Instant::now() + Duration::from_secs(20);
        while instance.metric("keywatch_notices_total") < (2 * (n + 1)) as f64 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    let mails = ground.assert_mails();
    let mut took: Vec<i64> = ground
        .outbox()
        .iter()
        .map(|notice| {
            let merchant = notice.notice_id.split('/').nth(1).unwrap();
            notice.sent_at.unwrap() - sent_at[merchant[2..].parse::<usize>().unwrap()]
        })
        .collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let alerts = ground.alerts().len();
    assert_eq!((alerts, mails.0 - mails.1), (ALERTS, 2 * ALERTS));
    instance.stop();
    let text =
        format!("send → SMTP accept: p50 {} ms, p90 {} ms, p99 {} ms, max {} ms", at(0.5), at(0.9), at(0.99), at(1.0));
    say(&text);
    report("live: latency", alerts, Some(mails), 0, &text);
}
