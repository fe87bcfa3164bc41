//! A real Prometheus scrapes a real keywatch under simulated traffic, and every query of every panel is asked of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use keywatch::simulate::{self, Incidents, asn_database, country_database};
use serde_json::Value;

use crate::instance::Instance;
use crate::panels::{dashboard, expressions};
use crate::server;
use crate::service::{Feed, Ground, Setup, env, plain_smtp, say};
use crate::traffic::Line;

const DAY: i64 = 86_400_000;
/// What Prometheus calls the instance, whatever its port.
const NAME: &str = "keywatch-1";
/// Wide enough for everything that happens in this test.
const RATE_INTERVAL: &str = "2m";

/// Lines of the simulator, with the merchant that Kafka's message key names; those without one have none.
fn lines(text: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(text);
    let merchant = |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["merchant_id"].as_str()?.to_owned());
    text.lines().map(|line| Line { merchant: merchant(line).unwrap_or_default(), text: line.to_owned() }).collect()
}

/// Asks Prometheus; what it answers is JSON.
fn ask(query: &str) -> Value {
    let escaped: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
    let address = env("KEYWATCH_TEST_PROMETHEUS");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /api/v1/query?query={escaped} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// How many series a query has, and the last value of the first; an error's words. Values that are no number do not count.
fn answer(query: &str) -> Result<(usize, String), String> {
    let answer = ask(query);
    if answer["status"] != "success" {
        return Err(answer["error"].to_string());
    }
    let series = answer["data"]["result"].as_array().unwrap();
    let values: Vec<&str> = series.iter().filter_map(|s| s["value"][1].as_str()).filter(|v| *v != "NaN").collect();
    let shown = values.iter().copied().max_by(|a, b| a.parse::<f64>().unwrap().total_cmp(&b.parse().unwrap()));
    shown.map(|value| (values.len(), value.to_owned())).ok_or_else(|| "nothing".to_owned())
}

fn promtool(args: &[&str], input: &str) -> (bool, String) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let mut command = Command::new("promtool");
    command.args(args).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    (out.status.success(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

/// Tells Prometheus where the instance is now.
fn watch(ground: &Ground, instance: &Instance) {
    ground.until("the instance to serve its metrics", || instance.address().is_some());
    let targets =
        format!(r#"[{{"targets": ["{}"], "labels": {{"instance": "{NAME}"}}}}]"#, instance.address().unwrap());
    let folder = std::path::Path::new(&env("KEYWATCH_TEST_DIR")).join("prometheus/targets");
    std::fs::write(folder.join("keywatch.new"), targets).unwrap();
    std::fs::rename(folder.join("keywatch.new"), folder.join("keywatch.json")).unwrap();
    let up = format!("up{{job=\"keywatch\",instance=\"{NAME}\"}} == 1");
    ground.until("Prometheus to scrape it", || answer(&up).is_ok());
}

#[test]
fn every_query_of_the_dashboard_has_an_answer() {
    let Some(_) = server("KEYWATCH_TEST_PROMETHEUS") else { return };
    let setup = Setup {
        rules: vec![("stale-key.yml", "unused_for: 90d", "unused_for: 10d")],
        transport: plain_smtp(),
        more: "geoip:\n  databases: [asn.mmdb, country.mmdb]\n".to_owned(),
        ..Setup::default()
    };
    let ground = Ground::new("dashboard", setup);
    std::fs::write(ground.path("asn.mmdb"), asn_database()).unwrap();
    std::fs::write(ground.path("country.mmdb"), country_database()).unwrap();
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    let plan = simulate::Plan {
        seed: 11,
        keys: 60,
        days: 16,
        starts_at: 20_706 * DAY,
        incidents: Incidents::Spread,
        unused_for: 10 * DAY,
        traffic: simulate::Traffic::Usual,
    };
    simulate::simulate(&plan, &mut events, &mut facts).unwrap();
    let (events, facts) = (lines(&events), lines(&facts));
    ground.tell_facts(&facts);

    let first = Instance::start_and_own(&ground, "a");
    watch(&ground, &first);
    let (before, after) = events.split_at(events.len() * 4 / 5);
    ground.send(before);
    ground.wait_for_all();
    // Somebody edits a rule and adopts it; then the service is started anew.
    let rule = ground.path("rules/spike.yml");
    let text = std::fs::read_to_string(&rule).unwrap();
    std::fs::write(&rule, text.replace("severity: warning", "severity: high")).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    first.signal("-HUP");
    ground.until("the rules to be adopted", || first.metric("keywatch_rules_reloads_total") >= 1.0);
    let adopted = format!("keywatch_rules_reloads_total{{instance=\"{NAME}\",result=\"adopted\"}} == 1");
    ground.until("Prometheus to have seen it", || answer(&adopted).is_ok());
    first.stop();
    let second = Instance::start_and_own(&ground, "a");
    watch(&ground, &second);
    std::thread::scope(|scope| Feed::start(scope, &ground, after, 2_000).finish());
    ground.wait_for_all();
    let (mails, _) = ground.assert_mails();
    assert!(mails > 10, "{mails} mails");

    let mut table = format!("{:38} {:>6} {:>14}  query\n", "panel", "series", "last value");
    let mut bad = Vec::new();
    for (panel, query) in expressions(&dashboard()) {
        let query =
            query.replace("$__rate_interval", RATE_INTERVAL).replace("$job", "keywatch").replace("$instance", ".+");
        // A window of a minute is too short where this machine is slow.
        let asked = query.replace("[1m]", "[5m]");
        let mut got = answer(&asked);
        for _ in 0..40 {
            if got.is_ok() || got.as_ref().is_err_and(|e| e != "nothing") {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
            got = answer(&asked);
        }
        match got {
            Ok((series, value)) => table += &format!("{panel:38} {series:>6} {value:>14.14}  {query}\n"),
            Err(error) => bad.push(format!("{panel}: {query}: {error}")),
        }
    }
    say(&table);
    assert!(bad.is_empty(), "{} queries have no answer:\n{}", bad.len(), bad.join("\n"));
    for up in ["min(keywatch_store_up)", "min(keywatch_source_up)"] {
        assert_eq!(answer(up).unwrap().1, "1", "{up}: the first row is not green");
    }
    let opened = answer("sum(keywatch_case_changes_total{change=\"opened\"})").unwrap();
    let risen = answer("sum(increase(keywatch_case_changes_total{change=\"opened\"}[2m]))").unwrap();
    assert!(risen.1.parse::<f64>().unwrap() > 0.0, "alerts opened ({}), and Prometheus saw no rise", opened.1);

    let Some((200, text)) = second.get("/metrics") else { panic!("no metrics") };
    assert_eq!(promtool(&["check", "metrics"], &text), (true, String::new()), "promtool check metrics");
    second.stop();
}

#[test]
fn the_alert_rules_pass_promtool() {
    let Some(_) = server("KEYWATCH_TEST_PROMETHEUS") else { return };
    let (is_fine, said) = promtool(&["check", "rules", "--lint-fatal", "keywatch.rules.yml"], "");
    assert!(is_fine, "{said}");
    let (is_fine, said) = promtool(&["test", "rules", "keywatch.test.yml"], "");
    assert!(is_fine, "{said}");
}
