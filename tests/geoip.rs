//! GeoIP databases: what is said of an alert, several databases, files that are replaced, damaged or of no use.

use std::io::Write;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use keywatch::alert::{Alert, Kind};
use keywatch::event::{AuthEvent, NetworkKind};
use keywatch::geoip::memo::PlaceMemo;
use keywatch::geoip::{Change, GeoIp, Place};
use keywatch::simulate::mmdb::{Entry, Value, write};
use keywatch::simulate::{Incidents, Plan, asn_database, country_database, simulate};

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn map(fields: &[(&str, Value)]) -> Value {
    Value::Map(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// A database that says the same of all of 192.0.2.0/24.
fn database(kind: &str, value: Value) -> Vec<u8> {
    let first: Ipv6Addr = "::192.0.2.0".parse().unwrap();
    write(kind, &[Entry { first, bits: 96 + 24, value }], 1_700_000_000)
}

fn opened(folder: &Path, files: &[Vec<u8>]) -> GeoIp {
    let paths: Vec<PathBuf> = (0..files.len()).map(|n| folder.join(format!("{n}.mmdb"))).collect();
    for (path, bytes) in paths.iter().zip(files) {
        std::fs::write(path, bytes).unwrap();
    }
    GeoIp::open(&paths).unwrap()
}

#[test]
fn forms_of_several_makers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let germany = || map(&[("iso_code", text("DE")), ("names", map(&[("en", text("Germany"))]))]);
    for (kind, value, want) in [
        ("GeoLite2-Country", map(&[("country", germany())]), ("DE", "Germany", None, "", false)),
        ("GeoLite2-City", map(&[("registered_country", germany())]), ("DE", "Germany", None, "", false)),
        (
            "GeoLite2-ASN",
            map(&[
                ("autonomous_system_number", Value::Uint32(64500)),
                ("autonomous_system_organization", text("Acme")),
            ]),
            ("", "", Some(64500), "Acme", false),
        ),
        (
            "ipinfo country_asn.mmdb",
            map(&[
                ("country", text("DE")),
                ("country_name", text("Germany")),
                ("asn", text("AS64501")),
                ("as_name", text("Acme")),
            ]),
            ("DE", "Germany", Some(64501), "Acme", false),
        ),
        ("GeoIP2-Anonymous-IP", map(&[("is_anonymous_vpn", Value::Boolean(true))]), ("", "", None, "", true)),
        (
            "GeoIP2-Enterprise",
            map(&[("traits", map(&[("is_anonymous", Value::Boolean(true))]))]),
            ("", "", None, "", true),
        ),
        ("GeoLite2-Country", map(&[("country", map(&[("iso_code", text("Germany"))]))]), ("", "", None, "", false)),
    ] {
        let place = opened(folder.path(), &[database(kind, value)]).look_up("192.0.2.7".parse().unwrap());
        let of = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let (country, country_name, asn, organisation, anonymous) = want;
        let (country, country_name, organisation) = (of(country), of(country_name), of(organisation));
        assert_eq!(place, Place { country, country_name, asn, organisation, anonymous, hosting: false }, "{kind}");
    }
}

#[test]
fn what_the_first_does_not_know_the_next_may() {
    let folder = tempfile::tempdir().unwrap();
    let country = |code: &str| database("Country", map(&[("country", map(&[("iso_code", text(code))]))]));
    let asn = database("ASN", map(&[("autonomous_system_number", Value::Uint32(64500))]));
    let geoip = opened(folder.path(), &[country("DE"), asn, country("FR")]);
    let place = geoip.look_up("192.0.2.7".parse().unwrap());
    assert_eq!((place.country.as_deref(), place.asn), (Some("DE"), Some(64500)));
    for other in ["192.0.3.7", "10.0.0.1", "2001:db8::1"] {
        assert_eq!(geoip.look_up(other.parse().unwrap()), Place::default(), "{other}");
    }
}

#[test]
fn a_replaced_file_is_taken_up_and_a_damaged_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let country = |code: &str| database("Country", map(&[("country", map(&[("iso_code", text(code))]))]));
    let geoip = opened(folder.path(), &[country("DE")]);
    let path = folder.path().join("0.mmdb");
    let seen = || geoip.look_up("192.0.2.7".parse().unwrap()).country.unwrap_or_default();
    // As an updater does it: beside, then in its place.
    let replace = |bytes: &[u8]| {
        let beside = folder.path().join("new");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(&beside, &path).unwrap();
    };
    assert_eq!((geoip.reload_replaced(), seen()), (Vec::new(), "DE".into()));
    replace(&country("FR"));
    assert!(matches!(&geoip.reload_replaced()[..], [Change::Reloaded(new)] if new.kind == "Country"));
    assert_eq!(seen(), "FR");

    let whole = country("IT");
    let mut flipped = whole.clone();
    flipped[3] = 0xff;
    for (what, bytes) in
        [("half", &whole[..whole.len() / 2]), ("empty", &[]), ("no database", b"<html>"), ("damaged", &flipped)]
    {
        replace(bytes);
        let changes = geoip.reload_replaced();
        assert!(matches!(&changes[..], [Change::Refused(at, _)] if *at == path), "{what}: {changes:?}");
        assert_eq!(geoip.reload_replaced(), Vec::new(), "{what}: said once");
        assert_eq!(seen(), "FR", "{what}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!((geoip.reload_replaced(), seen()), (Vec::new(), "FR".into()), "away for a moment");
    // Written in place, in two steps.
    std::fs::write(&path, &whole[..100]).unwrap();
    assert!(matches!(&geoip.reload_replaced()[..], [Change::Refused(..)]));
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[100..]).unwrap();
    assert!(matches!(&geoip.reload_replaced()[..], [Change::Reloaded(_)]));
    assert_eq!(seen(), "IT");
}

#[test]
fn events_are_told_where_they_came_from_and_a_new_database_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let country = |code| database("GeoLite2-Country", map(&[("country", map(&[("iso_code", text(code))]))]));
    let asn = database("GeoLite2-ASN", map(&[("autonomous_system_number", Value::Uint32(64500))]));
    let anonymous = database("GeoIP2-Anonymous-IP", map(&[("is_tor_exit_node", Value::Boolean(true))]));
    let geoip = Arc::new(opened(folder.path(), &[country("DE"), asn, anonymous]));
    let mut memo = PlaceMemo::new(geoip.clone());
    let mut ask = |address: &str| {
        let mut event = AuthEvent { source_ip: address.parse().ok(), ..AuthEvent::at(0, "k", None) };
        memo.fill_in(&mut event);
        (event.country.map(String::from), event.asn, event.network_kind.map(NetworkKind::as_str))
    };
    assert_eq!(ask("192.0.2.7"), (Some("DE".into()), Some(64500), Some("anonymiser")));
    assert_eq!(ask("198.51.100.7"), (None, None, None), "what no file knows is absent");
    assert_eq!(ask(""), (None, None, None));
    let path = folder.path().join("0.mmdb");
    std::fs::write(folder.path().join("new"), country("CH")).unwrap();
    std::fs::rename(folder.path().join("new"), path).unwrap();
    assert_eq!(geoip.reload_replaced().len(), 1);
    assert_eq!(ask("192.0.2.7"), (Some("CH".into()), Some(64500), Some("anonymiser")));
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mmdb");
    let error = || GeoIp::open(std::slice::from_ref(&path)).unwrap_err();
    let shown = path.display();
    assert_eq!(error(), format!("{shown}: there is no such file"));
    std::fs::write(&path, "not one").unwrap();
    assert_eq!(error(), format!("{shown}: it is no MMDB database, or only a part of one"));
    let domain = opened(folder.path(), &[database("GeoIP2-Domain", map(&[("domain", text("acme.example"))]))]);
    assert!(!domain.described()[0].is_useful);
}

/// The same alerts, but for what is said of their networks; mails and `alerts show` say it too.
#[test]
fn a_replay_says_where_and_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    let plan = Plan {
        seed: 7,
        keys: 60,
        days: 20,
        starts_at: 1_785_542_400_000,
        incidents: Incidents::Spread,
        unused_for: 7 * keywatch::time::DAY,
        traffic: keywatch::simulate::Traffic::Usual,
    };
    simulate(&plan, &mut events, &mut facts).unwrap();
    for (name, bytes) in
        [("events", &events), ("facts", &facts), ("asn", &asn_database()), ("country", &country_database())]
    {
        std::fs::write(path(name), bytes).unwrap();
    }
    let alerts = |geoip: bool, out: &str| -> Vec<Alert> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
        command.args(["replay", "--rules", "rules", "--events"]).arg(path("events"));
        command.arg("--key-events").arg(path("facts")).arg("--mail-out").arg(path(out)).args(["--alerts-out", "-"]);
        if geoip {
            command.arg("--geoip").arg(path("asn")).arg("--geoip").arg(path("country"));
        }
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (plain, placed) = (alerts(false, "plain"), alerts(true, "placed"));
    // Where a network is tells a move from a thief, and where a key was made: nothing else may differ.
    let asks = |a: &&Alert| !a.kind.is_of_misuse() && a.kind != Kind::KeyLifecycle;
    let ids =
        |alerts: &[Alert]| alerts.iter().filter(asks).map(|a| (a.alert_id.clone(), a.revision)).collect::<Vec<_>>();
    assert_eq!(ids(&plain), ids(&placed));
    let of_source =
        |alert: &Alert| alert.source.clone().map(|s| (s.country, s.asn.is_some(), s.organisation.is_some()));
    assert!(plain.iter().filter_map(of_source).all(|found| found == (None, false, false)));
    let found: Vec<_> = placed.iter().filter_map(of_source).collect();
    assert!(
        found.len() > 3 && found.iter().all(|(country, asn, name)| country.is_some() && *asn && *name),
        "{found:?}"
    );
    let mails = |out: &str| {
        let mut all = String::new();
        for mail in std::fs::read_dir(path(out)).unwrap() {
            all += &std::fs::read_to_string(mail.unwrap().path()).unwrap();
        }
        all
    };
    let stolen = placed.iter().find(|a| a.kind.as_str() == "new_ip").and_then(|a| a.source.clone()).unwrap();
    let name = stolen.organisation.unwrap();
    assert!(mails("placed").contains(&name) && !mails("plain").contains(&name), "{name}");
}
