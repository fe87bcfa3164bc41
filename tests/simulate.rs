//! The simulator: the same bytes for a seed, traffic as the domain has it, and labels that are true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use keywatch::alert::hex;
use keywatch::config::{Limits, MailConfig, MailTransport};
use keywatch::demo::score::{Planted, score};
use keywatch::engine::detect::SPECS;
use keywatch::event::AuthEvent;
use keywatch::event::auth::Decoder;
use keywatch::event::redact::Masker;
use keywatch::replay::{Replay, replay};
use keywatch::rules::compile::load;
use keywatch::rules::set::Override;
use keywatch::simulate::{Incidents, Kind, Labels, Plan, Shape, Traffic, asn_database, country_database, simulate};
use keywatch::time::{DAY, HOUR, MINUTE, SECOND};
use sha2::{Digest, Sha256};

fn plan(seed: u64, keys: u32, days: u32) -> Plan {
    let incidents = Incidents::Spread;
    Plan { seed, keys, days, starts_at: 20_706 * DAY, incidents, unused_for: 7 * DAY, traffic: Traffic::Usual }
}

struct Made {
    events: Vec<u8>,
    facts: Vec<u8>,
    labels: Labels,
}

fn made(plan: &Plan) -> Made {
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    let labels = simulate(plan, &mut events, &mut facts).unwrap();
    Made { events, facts, labels }
}

static MONTH: LazyLock<Made> = LazyLock::new(|| made(&plan(11, 160, 28)));

fn decoder() -> Decoder {
    Decoder::new(b"test", Masker::default())
}

/// Every line that is an event, each once, in the order of the file.
fn events(made: &Made) -> Vec<AuthEvent<'_>> {
    let (decoder, mut seen) = (decoder(), BTreeSet::new());
    let lines = made.events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let decoded = lines.filter_map(|line| decoder.decode_auth(line, None).ok());
    decoded.filter(|e| seen.insert(e.event_id.clone().unwrap())).collect()
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let small = |seed| made(&plan(seed, 12, 9));
    let (one, again, other) = (small(5), small(5), small(6));
    assert_eq!((&one.events, &one.facts), (&again.events, &again.facts));
    assert_eq!(serde_json::to_string(&one.labels).unwrap(), serde_json::to_string(&again.labels).unwrap());
    assert_ne!(one.events, other.events);
}

/// Scores of different days can only be compared on the same traffic. Who changes the usual family on purpose says so.
#[test]
fn the_usual_family_keeps_its_bytes() {
    let made = made(&plan(5, 12, 9));
    let labels = serde_json::to_vec(&made.labels).unwrap();
    let digests = [&made.events, &made.facts, &labels].map(|bytes| hex(&Sha256::digest(bytes)[..8]));
    assert_eq!(digests, ["d6347654d5df91d2", "96e41d2b484b9ee7", "e96095b84f1d3713"]);
}

/// What is special about the harder family is in its bytes, not only in its labels.
#[test]
fn the_harder_family_has_what_its_labels_say() {
    let hard = made(&Plan { traffic: Traffic::Hard, starts_at: 20_727 * DAY, ..plan(2, 120, 35) });
    assert_eq!(hard.labels.lines as usize, hard.events.iter().filter(|byte| **byte == b'\n').count());
    let benign = |kind: &str| hard.labels.benign.iter().filter(|label| label.kind == kind).collect::<Vec<_>>();
    for kind in [
        "growth",
        "migration",
        "schedule_move",
        "schedule_drift",
        "load_test",
        "outage_late",
        "outage_lost",
        "platform_refusals",
        "platform_silence",
        "weekly_export",
        "monthly_export",
        "month_start",
        "clock_change",
    ] {
        assert!(!benign(kind).is_empty(), "{kind}");
    }
    let events = events(&hard);
    let calls = |from, to| events.iter().filter(|e| (from..to).contains(&e.ts)).count();
    let lost = benign("outage_lost")[0];
    assert_eq!(calls(lost.starts_at, lost.ends_at), 0, "what is lost is lost");
    // What is late is there, and no line came while the log stood still.
    let late = benign("outage_late")[0];
    let of_late = calls(late.starts_at, late.ends_at);
    assert!(of_late > 1_000, "{of_late}");
    let newest_before = |at: usize| events[..at].iter().map(|e| e.ts).max().unwrap();
    let first = events.iter().position(|e| (late.starts_at + 10 * MINUTE..late.ends_at).contains(&e.ts)).unwrap();
    assert!(newest_before(first) < late.starts_at + 10 * MINUTE, "the backlog comes before what is new");
    let refused = |from, to| {
        let within: Vec<_> = events.iter().filter(|e| (from..to).contains(&e.ts) && e.key_id.is_some()).collect();
        within.iter().filter(|e| e.outcome == keywatch::event::Outcome::Denied).count() as f64 / within.len() as f64
    };
    let failure = benign("platform_refusals")[0];
    assert!(refused(failure.starts_at, failure.ends_at) > 0.1, "{failure:?}");
    // Every incident that names a key has that key's calls or its facts.
    let facts = String::from_utf8(hard.facts.clone()).unwrap();
    for label in hard.labels.incidents.iter().filter(|label| label.key_id.is_some()) {
        assert!(facts.contains(label.key_id.as_deref().unwrap()), "{label:?}");
    }
}

#[test]
fn keys_that_are_to_be_still_are() {
    for shape in [Shape::Shop, Shape::Subscriptions, Shape::Sync, Shape::Weekly] {
        let incidents = Incidents::None;
        let still =
            made(&Plan { traffic: Traffic::Still(shape), starts_at: 20_762 * DAY, incidents, ..plan(1, 20, 42) });
        assert!(still.labels.incidents.is_empty() && still.labels.benign.is_empty());
        let mut weeks = [0.0; 6];
        for e in events(&still).iter().filter(|e| e.key_id.is_some()) {
            weeks[(((e.ts - 20_762 * DAY) / (7 * DAY)) as usize).min(5)] += f64::from(e.count);
        }
        let mean = weeks.iter().sum::<f64>() / 6.0;
        assert!(weeks.iter().all(|week| (week / mean - 1.0).abs() < 0.25), "{shape:?}: {weeks:?}");
    }
}

#[test]
fn every_line_is_an_event_but_those_that_are_counted_as_broken() {
    let made = &*MONTH;
    let decoder = decoder();
    let (mut lines, mut broken) = (0, 0);
    for line in made.events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        broken += u64::from(decoder.decode_auth(line, None).is_err());
    }
    assert!(lines > 500_000, "{lines}");
    assert_eq!((lines, broken), (made.labels.lines, made.labels.broken));
    assert!(broken > 20 && made.labels.duplicates > 500, "{broken} {}", made.labels.duplicates);
    assert_eq!(events(made).len() as u64, lines - broken - made.labels.duplicates);
    for line in made.facts.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let fact = decoder.decode_fact(line, None).unwrap().unwrap();
        assert!(fact.merchant_id.is_some());
    }
}

#[test]
fn lines_come_late_but_never_by_more_than_some_minutes() {
    let (mut newest, mut late, mut later) = (0, 0, 0);
    let events = events(&MONTH);
    for e in &events {
        newest = newest.max(e.ts);
        late += usize::from(newest - e.ts > 5 * SECOND);
        later += usize::from(newest - e.ts > 5 * MINUTE);
        assert!(newest - e.ts <= 9 * MINUTE, "{} behind {newest}", e.ts);
    }
    assert!(late > events.len() / 100 && later > 0 && later < events.len() / 1_000, "{late} {later}");
}

/// Calls of each key in each hour since the beginning.
fn hourly(events: &[AuthEvent<'_>]) -> BTreeMap<String, Vec<f64>> {
    let mut counts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for e in events {
        let Some(key) = &e.key_id else { continue };
        let hour = ((e.ts - 20_706 * DAY) / HOUR) as usize;
        let hours = counts.entry(key.to_string()).or_insert_with(|| vec![0.0; 28 * 24]);
        if let Some(count) = hours.get_mut(hour) {
            *count += 1.0;
        }
    }
    counts
}

#[test]
fn counts_are_scattered_and_seasonal() {
    let counts = hourly(&events(&MONTH));
    let (mut scattered, mut day_and_night, mut quiet_weekends, mut busy) = (0, 0, 0, 0);
    for hours in counts.values().filter(|hours| hours.iter().sum::<f64>() > 1_500.0) {
        busy += 1;
        // The same hour of the same weekday: only scatter is left.
        let (mut over, mut of) = (0.0, 0.0);
        for slot in 0..168 {
            let same: Vec<f64> = (0..4).map(|week| hours[week * 168 + slot]).collect();
            let mean = same.iter().sum::<f64>() / 4.0;
            over += same.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 3.0;
            of += mean;
        }
        scattered += usize::from(over > 1.5 * of);
        let sum = |keep: &dyn Fn(usize) -> bool| (0..672).filter(|h| keep(*h)).map(|h| hours[h]).sum::<f64>();
        day_and_night += usize::from(sum(&|h| (10..18).contains(&(h % 24))) > 2.0 * sum(&|h| h % 24 < 5));
        // The first day is a Thursday.
        let weekend = sum(&|h| matches!(h / 24 % 7, 2 | 3)) / 2.0;
        quiet_weekends += usize::from(weekend < 0.5 * sum(&|h| !matches!(h / 24 % 7, 2 | 3)) / 5.0);
    }
    assert!(busy > 60, "{busy}");
    assert!(scattered > busy * 8 / 10, "{scattered} of {busy}");
    assert!(day_and_night > busy / 2, "{day_and_night} of {busy}");
    assert!(quiet_weekends > 8 && quiet_weekends < busy / 2, "{quiet_weekends} of {busy}");
}

#[test]
fn every_kind_is_planted_and_its_calls_are_there() {
    let made = &*MONTH;
    let kinds: BTreeSet<&str> = made.labels.incidents.iter().map(|label| label.kind.as_str()).collect();
    assert_eq!(kinds, Kind::ALL.iter().map(|kind| kind.as_str()).collect());
    let events = events(made);
    for label in &made.labels.incidents {
        assert!(made.labels.starts_at < label.starts_at && label.ends_at <= made.labels.ends_at, "{label:?}");
        let of_it = |e: &&AuthEvent<'_>| {
            let same_key = label.key_id.is_none() || e.key_id.as_deref() == label.key_id.as_deref();
            let same_source =
                label.source.as_ref().is_none_or(|source| e.source_ip.is_some_and(|ip| ip.to_string() == *source));
            same_key && same_source && (label.starts_at..=label.ends_at).contains(&e.ts)
        };
        let calls = events.iter().filter(of_it).count();
        match label.kind.as_str() {
            "drop" | "stale_key" | "rotation_unproven" => assert_eq!(calls, 0, "{label:?}"),
            "key_lifecycle" | "key_exposed" | "rotation_overdue" | "expiring_key" => {
                let id = label.key_id.as_ref().unwrap();
                assert!(String::from_utf8_lossy(&made.facts).contains(id.as_str()), "{label:?}");
            }
            _ => assert!(calls >= 5, "{calls} calls: {label:?}"),
        }
    }
    for kind in ["sale", "deployment", "growth", "retry_storm"] {
        assert!(made.labels.benign.iter().any(|label| label.kind == kind), "{kind}");
    }
}

#[tokio::test]
async fn a_replay_finds_what_six_rules_can_find() {
    let made = &*MONTH;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("events.jsonl"), &made.events).unwrap();
    std::fs::write(path("key-events.jsonl"), &made.facts).unwrap();
    let unused = Override::parse("stale-key.unused_for=7d").unwrap();
    let rules = load(std::path::Path::new("rules"), SPECS, &[unused]).unwrap();
    let plan = Replay {
        with_shadow: false,
        events: path("events.jsonl"),
        key_events: Some(path("key-events.jsonl")),
        partitions: 1,
        until: None,
        save_state: None,
        mail_out: None,
        mail: MailConfig {
            from: "a@example.com".into(),
            reply_to: "a@example.com".into(),
            support: Vec::new(),
            operations: Vec::new(),
            link: None,
            transport: MailTransport::None,
            give_up_after: HOUR,
        },
        limits: Limits::default(),
        group_wait: 30 * SECOND,
        geoip: std::sync::Arc::default(),
    };
    let replayed = replay(plan, Arc::new(rules), &decoder()).await.unwrap();
    let exact = ["new_ip", "env_mismatch", "rotated_key_use", "revoked_key_use", "stale_key"];
    let planted: Vec<Planted> = made
        .labels
        .incidents
        .iter()
        .filter(|label| exact.contains(&label.kind.as_str()))
        .map(|label| Planted {
            kind: label.kind.clone(),
            also: Vec::new(),
            merchant_id: label.merchant_id.clone(),
            key_id: label.key_id.clone(),
            starts_at: label.starts_at,
            ends_at: label.ends_at,
            what: label.what.clone(),
        })
        .collect();
    assert!(planted.len() >= 10, "{}", planted.len());
    let score = score(planted, &replayed.alerts);
    let missed: Vec<_> = score.rows.iter().filter(|row| row.alerts.is_empty()).map(|row| &row.planted).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    let told = replayed.rejected.iter().map(|(_, n)| n).sum::<u64>();
    assert_eq!((told, replayed.intake.duplicates), (made.labels.broken, made.labels.duplicates));
}

#[test]
fn the_databases_say_where_an_address_is() {
    let asn = maxminddb::Reader::from_source(asn_database()).unwrap();
    let country = maxminddb::Reader::from_source(country_database()).unwrap();
    assert_eq!((asn.metadata().database_type.as_str(), asn.metadata().ip_version), ("GeoLite2-ASN", 6));
    let look = |reader: &maxminddb::Reader<Vec<u8>>, ip: &str| {
        reader.lookup(ip.parse().unwrap()).unwrap().decode::<serde_json::Value>().unwrap()
    };
    let first = look(&asn, "100.64.0.7").unwrap();
    assert_eq!(first["autonomous_system_number"], 64496);
    assert_eq!(first["autonomous_system_organization"], "Northwind Hosting");
    assert_eq!(look(&country, "100.64.63.255").unwrap()["country"]["iso_code"], "DE");
    assert_eq!(look(&country, "2001:db8:5ff::1").unwrap()["country"]["names"]["en"], "Türkiye");
    assert!(
        look(&asn, "100.70.0.1").is_none()
            && look(&asn, "2001:db8:600::1").is_none()
            && look(&asn, "192.0.2.1").is_none()
    );
    // Every address of the traffic is known.
    for e in events(&made(&plan(3, 30, 3))) {
        let address = e.source_ip.unwrap().to_string();
        assert!(look(&asn, &address).is_some() && look(&country, &address).is_some(), "{address}");
    }
}
