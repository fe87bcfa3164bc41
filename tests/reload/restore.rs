//! `keywatch rules versions` and `restore`: back to what was in force, and nothing lost on the way.

use std::path::Path;
use std::process::Output;

use keywatch::app::rulebook::read_rules;
use keywatch::brand::Brand;
use serde_json::Value;

use super::{Ground, rule};

fn run(ground: &Ground, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = std::process::Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .arg("rules")
        .args(args)
        .current_dir(ground.dir.path())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn version_in(folder: &Path) -> String {
    read_rules(folder, &Brand::default()).unwrap().version
}

#[tokio::test]
async fn a_bad_edit_is_taken_back_from_the_store() {
    let ground = Ground::new();
    std::fs::write(ground.dir.path().join("keywatch.yml"), "source: {kafka: {brokers: 'localhost:1'}}\n").unwrap();
    let (code, _, said) = run(&ground, &["versions"]);
    assert_eq!((code, said.starts_with("error: there is no store at `keywatch.db` yet")), (Some(3), true), "{said}");
    let store = ground.store().await;
    assert_eq!(run(&ground, &["versions"]), (Some(0), "no version was adopted yet\n".into(), String::new()));

    ground.write("a.yml", &rule("first", ""));
    ground.write("nets.txt", "192.0.2.0/24\n");
    let mut one = ground.open(&store, "one").await.unwrap();
    let good = one.says().in_force.version;
    ground.write("a.test.yml", "tests: []\n");
    std::fs::remove_file(ground.rules().join("nets.txt")).unwrap();
    ground.write("b.yml", &rule("second", ""));
    assert!(one.reads(false).await);
    let bad = one.says().in_force.version;

    let (code, listed, _) = run(&ground, &["versions"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{listed}");
    assert!(lines[0].starts_with(&good) && lines[0].ends_with(" UTC  1 rule, adopted by one"), "{listed}");
    assert!(lines[1].starts_with(&bad) && lines[1].ends_with(" UTC  2 rules, in force, adopted by one"), "{listed}");
    let (_, json, _) = run(&ground, &["versions", "-o", "json"]);
    let last: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&last["version"], &last["in_force"], &last["rules"]), (&bad.into(), &true.into(), &2.into()));

    // Nothing is written over what is there, unless asked; a new folder is always fine.
    let (code, _, said) = run(&ground, &["restore", &good, "--to", "rules"]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("error: `rules` is not empty\n\nhint: ") && ground.rules().join("b.yml").exists(),
        "{said}"
    );
    let (code, said, _) = run(&ground, &["restore", &good[..8], "--to", "look"]);
    assert_eq!((code, said), (Some(0), format!("look: version {good}, 2 files, 1 rule\n")));
    assert_eq!(version_in(&ground.dir.path().join("look")), good);
    for (asked, expected) in [("zz", "error: the store keeps no version `zz`\n\nhint: "), ("", "` could be ")] {
        let (code, _, said) = run(&ground, &["restore", asked, "--to", "other"]);
        assert!(code == Some(1) && said.contains(expected) && !ground.dir.path().join("other").exists(), "{said}");
    }

    // Somebody breaks the folder on top of it.
    ground.write("c.yml", "rules: [\n");
    ground.write("d.yaml", "");
    assert!(!one.reads(false).await);
    let (code, said, errors) = run(&ground, &["restore", &good, "--to", "rules", "--replace"]);
    assert_eq!((code, errors), (Some(0), String::new()), "{said}");
    assert!(said.ends_with(&format!("rules: version {good}, 2 files, 1 rule\n")), "{said}");
    let backup = said.lines().next().unwrap().strip_prefix("rules: the files that were there are in ").unwrap();
    for name in ["a.yml", "b.yml", "c.yml", "d.yaml"] {
        assert!(Path::new(backup).join(name).exists(), "{name} is kept");
    }
    assert!(ground.rules().join("a.test.yml").exists(), "tests stay");
    assert_eq!(version_in(&ground.rules()), good);
    // The running service sees a change like any other.
    assert!(one.reads(false).await);
    let said = one.says();
    assert_eq!((said.in_force.version, said.differ, said.on_disk.problems.count), (good, false, 0));
}
