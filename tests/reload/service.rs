//! The whole service and `keywatch rules check --running`: an edit, a bad edit, its mending.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use keywatch::app::{self, Outside};
use keywatch::config::load::load;
use keywatch::source::kafka::testing::Mock;
use serde_json::Value;

use super::rule;

fn check(folder: &Path, url: &str, more: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.args(["rules", "check", "rules", "--running", url]).args(more).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_in_force_soon_and_a_bad_one_never() {
    let mock = Mock::start().unwrap();
    mock.create_topic("auth-events", 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    std::fs::create_dir(folder.join("rules")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join("rules").join(name), text).unwrap();
    write("a.yml", &rule("first", ""));
    let config = format!(
        "source: {{kafka: {{brokers: '{}', topics: {{key_events: null}}}}}}\nhttp: {{listen: '127.0.0.1:0'}}\n\
         rules: {{look_every: 100ms, settle: 200ms}}\n",
        mock.brokers(),
    );
    std::fs::write(folder.join("keywatch.yml"), config).unwrap();
    let outside = Outside::new().unwrap();
    let service = tokio::spawn(app::run(load(&folder.join("keywatch.yml"), &|_| None).unwrap(), outside.clone()));
    let until = async |what: &str, is_so: &dyn Fn() -> bool| {
        let waiting = async {
            while !is_so() && !service.is_finished() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
        assert!(!service.is_finished(), "{what}");
    };
    until("the service to own the topic", &|| outside.metrics.partitions_owned.get() == 1).await;
    let url = format!("http://{}", outside.health.address().unwrap());
    let ask = async |more: &'static [&'static str]| {
        let (folder, url) = (folder.to_owned(), url.clone());
        tokio::task::spawn_blocking(move || check(&folder, &url, more)).await.unwrap()
    };

    let same = ask(&[]).await;
    let said = text(&same.stdout);
    assert_eq!((same.status.code(), text(&same.stderr)), (Some(0), String::new()), "{said}");
    assert!(said.starts_with(&format!("rules: in force at {url}: version ")), "{said}");
    assert!(said.contains(", 1 rule, adopted 20") && said.contains(" UTC by "), "{said}");

    // An edit is in force without anybody asking.
    write("b.yml", &rule("second", ""));
    until("the edit", &|| outside.health.status().rules.in_force.rules.stable == 2).await;
    assert!(!outside.health.status().rules.differ);
    assert_eq!(ask(&[]).await.status.code(), Some(0));

    // What is edited elsewhere is told apart.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join("rules")).unwrap();
    std::fs::write(elsewhere.path().join("rules/a.yml"), rule("third", "")).unwrap();
    let differs = {
        let (folder, url) = (elsewhere.path().to_owned(), url.clone());
        tokio::task::spawn_blocking(move || check(&folder, &url, &[])).await.unwrap()
    };
    let said = text(&differs.stderr);
    assert_eq!((differs.status.code(), text(&differs.stdout)), (Some(1), String::new()), "{said}");
    let in_force = outside.health.status().rules.in_force.version;
    assert!(said.contains("error: rules differs from the rules in force at http://127.0.0.1:"), "{said}");
    assert!(
        said.contains("\n  here      version ") && said.contains(&format!("\n  in force  version {in_force}, 2 rules"))
    );
    assert!(said.contains("hint: put these files in its folder"), "{said}");

    // A bad edit stays a proposal; the mended folder is what it was.
    write("b.yml", "rules: [\n");
    until("the bad edit to be seen", &|| outside.metrics.rules_problems.get() > 0).await;
    write("b.yml", &rule("second", ""));
    let bad = || outside.health.status().rules.on_disk.problems.count > 0;
    until("the mended file", &|| !bad()).await;
    write("b.yml", "rules: [\n");
    until("the bad edit again", &bad).await;
    let other = {
        let (folder, url) = (elsewhere.path().to_owned(), url.clone());
        tokio::task::spawn_blocking(move || check(&folder, &url, &["-o", "json"])).await.unwrap()
    };
    let answer: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!((other.status.code(), &answer["answer"]), (Some(1), &Value::from("problems_on_disk")));
    assert_eq!(answer["running"]["rules"]["in_force"]["version"], in_force);
    let first = answer["running"]["rules"]["on_disk"]["problems"]["first"][0].as_str().unwrap();
    assert!(first.contains("b.yml:") && !first.contains('\n'), "{first}");
    let local_is_bad = ask(&[]).await;
    assert_eq!(local_is_bad.status.code(), Some(1));
    assert!(text(&local_is_bad.stderr).starts_with("error: rules/b.yml:"), "{}", text(&local_is_bad.stderr));

    outside.stop.cancel();
    service.await.unwrap().unwrap();
    write("b.yml", &rule("second", ""));
    let gone = ask(&[]).await;
    assert_eq!(gone.status.code(), Some(3));
    assert!(text(&gone.stderr).starts_with(&format!("error: cannot ask {url}: ")), "{}", text(&gone.stderr));
}

#[test]
fn wrong_use_is_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (url, more, expected) in [
        ("https://kw:443", &[][..], "without TLS"),
        ("/run/kw.sock", &[], "expected http://HOST:PORT"),
        ("http://kw:1", &["-o", "github"], "`--running` has no form `github`"),
    ] {
        let ran = check(folder, url, more);
        assert_eq!(ran.status.code(), Some(2), "{url}");
        assert!(text(&ran.stderr).contains(expected), "{url}: {}", text(&ran.stderr));
    }
}

/// Ends the program with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The broker is away, which is nothing to the rules.
#[test]
fn sighup_adopts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    std::fs::create_dir(folder.join("rules")).unwrap();
    std::fs::write(folder.join("rules/a.yml"), rule("first", "")).unwrap();
    let config = "source: {kafka: {brokers: 'localhost:1', topics: {key_events: null}}}\nhttp: {listen: '127.0.0.1:0'}\n\
         rules: {look_every: 1h, settle: 10m}\n";
    std::fs::write(folder.join("keywatch.yml"), config).unwrap();
    let log = folder.join("log");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.arg("run").current_dir(folder).stderr(std::fs::File::create(&log).unwrap());
    let service = Running(command.spawn().unwrap());
    let end = keywatch::wall::instant() + Duration::from_secs(120);
    let until = |what: &str, done: &mut dyn FnMut() -> bool| {
        while !done() {
            assert!(keywatch::wall::instant() < end, "{what}: {}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let mut url = String::new();
    until("to serve", &mut || {
        let said = std::fs::read_to_string(&log).unwrap();
        let address = said.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["fields"]["address"].as_str()?.to_owned())
        });
        url = format!("http://{}", address.unwrap_or_default());
        url.len() > 7
    });
    let code = || check(folder, &url, &[]).status.code();
    assert_eq!(code(), Some(0));
    std::fs::write(folder.join("rules/b.yml"), rule("second", "")).unwrap();
    assert_eq!(code(), Some(1), "nobody looks for an hour");
    let number = service.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &number]).status().unwrap().success());
    until("the edit to be in force", &mut || code() == Some(0));
}
