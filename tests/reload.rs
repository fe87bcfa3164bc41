//! Reload truth: what is in force and what lies on disk are told apart, a folder is one version, and a broken one changes
//! nothing. Folders are read when the test says so; what depends on time is tested with a clock of its own (`rules::watch`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywatch::app::folder::{Found, read};
use keywatch::app::rulebook::Rulebook;
use keywatch::brand::Brand;
use keywatch::config::Config;
use keywatch::config::load::parse;
use keywatch::health::Health;
use keywatch::metrics::Metrics;
use keywatch::rules::files::print_of;
use keywatch::status::{Rules, Source};
use keywatch::store::Store;

#[path = "reload/restore.rs"]
mod restore;
#[path = "reload/service.rs"]
mod service;

/// A rule as a file has it.
fn rule(name: &str, more: &str) -> String {
    format!(
        "rules:\n  - name: {name}\n    kind: stale_key\n    title: Unused\n    description: Unused for long.\n    severity: info\n    \
         audience: support\n    runbook: [Look]\n{more}"
    )
}

/// A folder with rules and a store.
struct Ground {
    dir: tempfile::TempDir,
    config: Config,
}

impl Ground {
    fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rules")).unwrap();
        let text = "source: {kafka: {brokers: 'localhost:1'}}\n";
        let file = dir.path().join("keywatch.yml").display().to_string();
        let config = parse(&file, text, &|_| None, &|_| Ok(String::new())).unwrap();
        Ground { dir, config }
    }

    fn rules(&self) -> PathBuf {
        self.dir.path().join("rules")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.rules().join(name), text).unwrap();
    }

    async fn store(&self) -> Store {
        let store = Store::open(&self.config.store).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// An instance with this folder and this store.
    async fn open(&self, store: &Store, name: &str) -> anyhow::Result<Instance> {
        let (metrics, health) = (Arc::new(Metrics::new()?), Arc::new(Health::default()));
        let (book, _) =
            Rulebook::open(&self.config, store.clone(), name.into(), metrics.clone(), health.clone()).await?;
        Ok(Instance { rules: self.rules(), book, metrics, health })
    }
}

struct Instance {
    rules: PathBuf,
    book: Rulebook,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Instance {
    /// The folder came to rest, or somebody sent SIGHUP. Whether other rules are in force now.
    async fn reads(&mut self, is_asked: bool) -> bool {
        let reading = read(&self.rules, &Brand::default(), is_asked);
        self.book.found(Found::Read(reading)).await.is_some()
    }

    fn says(&self) -> Rules {
        self.health.status().rules
    }

    fn names(&self) -> Vec<String> {
        self.book.in_force().rules.iter().map(|rule| rule.name.to_string()).collect()
    }

    fn reloads(&self, result: &str) -> u64 {
        self.metrics.rules_reloads.with_label_values(&[result]).get()
    }

    fn gauge(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|got| got == line)
    }
}

#[tokio::test]
async fn a_changed_folder_is_adopted_as_one_version() {
    let ground = Ground::new();
    ground.write("a.yml", &rule("first", ""));
    let store = ground.store().await;
    let mut one = ground.open(&store, "one").await.unwrap();
    let before = one.says();
    assert_eq!((before.differ, before.in_force.source), (false, Source::Files));
    assert_eq!(before.on_disk.version.as_ref(), Some(&before.in_force.version));

    ground.write("b.yml", &rule("second", "    status: test\n"));
    ground.write("c.yml", &rule("third", "    status: \"off\"\n"));
    assert!(one.reads(false).await);
    assert_eq!(one.names(), ["first", "second"]);
    let after = one.says();
    assert!(!after.differ && after.in_force.version != before.in_force.version);
    let counts = after.in_force.rules;
    assert_eq!((counts.stable, counts.test, counts.off), (1, 1, 1));
    assert_eq!(store.adoption_in_force().await.unwrap().unwrap().version, after.in_force.version);
    assert_eq!((one.reloads("adopted"), one.reloads("invalid")), (1, 0));
    assert!(one.gauge("keywatch_rules_differ 0") && one.gauge("keywatch_rules_problems 0"));
}

#[tokio::test]
async fn a_folder_that_is_not_valid_changes_nothing_and_says_so() {
    let ground = Ground::new();
    ground.write("a.yml", &rule("first", ""));
    let store = ground.store().await;
    let mut one = ground.open(&store, "one").await.unwrap();
    let in_force = one.says().in_force;

    ground.write("b.yml", &rule("second", "    severity: dire\n"));
    assert!(!one.reads(false).await);
    assert!(!one.reads(false).await, "the same once more");
    let said = one.says();
    assert!(said.differ && said.on_disk.version.is_some(), "{said:?}");
    assert_eq!((said.in_force.version, said.in_force.source), (in_force.version.clone(), Source::Store));
    assert_eq!(said.on_disk.problems.count, said.on_disk.problems.first.len());
    let first = &said.on_disk.problems.first[0];
    assert!(first.contains("rules/b.yml:9:5: "), "{first}");
    assert_eq!(one.names(), ["first"]);
    assert_eq!(one.reloads("invalid"), 1, "counted once, as it is logged once");
    assert!(one.gauge("keywatch_rules_differ 1") && one.gauge("keywatch_rules_problems 1"));
    assert!(one.metrics.render().contains("place=\"on_disk\",version=\"invalid\"} 1"));

    std::fs::remove_file(ground.rules().join("b.yml")).unwrap();
    assert!(!one.reads(false).await, "what is in force need not be adopted");
    let said = one.says();
    assert!(!said.differ && said.on_disk.problems.count == 0 && said.in_force.adopted_at == in_force.adopted_at);
}

#[tokio::test]
async fn a_start_with_a_broken_folder_goes_on_with_the_last_good_version() {
    let ground = Ground::new();
    ground.write("a.yml", "rules: nonsense\n");
    let store = ground.store().await;
    let refused = ground.open(&store, "none").await.err().expect("nothing is in force yet").to_string();
    assert!(refused.contains("the rules are not valid") && refused.contains("a.yml:1:8"), "{refused}");

    ground.write("a.yml", &rule("first", ""));
    let good = ground.open(&store, "one").await.unwrap().says().in_force;
    ground.write("a.yml", "rules: nonsense\n");
    let mut two = ground.open(&store, "two").await.unwrap();
    let said = two.says();
    assert_eq!((said.in_force.version, said.in_force.adopted_by), (good.version.clone(), "one".into()));
    assert!(said.differ && said.on_disk.problems.first[0].contains("a.yml:1:8: "));
    assert_eq!((two.names(), said.in_force.source), (vec!["first".to_owned()], Source::Store));
    ground.write("a.yml", &rule("second", ""));
    assert!(two.reads(false).await && two.names() == ["second"], "mended");

    std::fs::remove_dir_all(ground.rules()).unwrap();
    let three = ground.open(&store, "three").await.unwrap();
    assert_eq!((three.names(), three.says().on_disk.version), (vec!["second".to_owned()], None));
}

#[tokio::test]
async fn instances_follow_the_store_and_old_files_take_nothing_back() {
    let (ground, other) = (Ground::new(), Ground::new());
    for ground in [&ground, &other] {
        ground.write("a.yml", &rule("first", ""));
    }
    let store = ground.store().await;
    let (mut one, mut two) = (ground.open(&store, "one").await.unwrap(), other.open(&store, "two").await.unwrap());
    ground.write("a.yml", &rule("second", ""));
    assert!(one.reads(false).await);
    assert!(two.book.follow().await.is_some() && two.names() == ["second"]);
    assert!(two.book.follow().await.is_none());
    let said = two.says();
    assert!(said.differ && said.in_force.adopted_by == "one" && said.in_force.source == Source::Store);
    // A look that finds the old files as they were proposes nothing; a new start with them does not either.
    assert!(two.book.found(Found::Same(1)).await.is_none() && two.names() == ["second"]);
    let three = other.open(&store, "three").await.unwrap();
    assert_eq!((three.names(), three.says().differ), (vec!["second".to_owned()], true));
    // Who asks for them means them.
    assert!(two.reads(true).await && two.names() == ["first"]);
    assert!(one.book.follow().await.is_some() && one.names() == ["first"]);
}

#[tokio::test]
async fn without_watching_a_change_waits_for_sighup() {
    let mut ground = Ground::new();
    ground.config.rules.watch = false;
    ground.write("a.yml", &rule("first", ""));
    let store = ground.store().await;
    let mut one = ground.open(&store, "one").await.unwrap();
    ground.write("a.yml", &rule("second", ""));
    assert!(!one.reads(false).await);
    assert!(one.names() == ["first"] && one.says().differ && !one.says().on_disk.watched);
    assert!(one.reads(true).await && one.names() == ["second"] && !one.says().differ);
}

#[tokio::test]
async fn what_the_store_could_not_take_is_adopted_when_it_answers() {
    let ground = Ground::new();
    ground.write("a.yml", &rule("first", ""));
    let store = ground.store().await;
    let mut one = ground.open(&store, "one").await.unwrap();
    let refuse = "CREATE TRIGGER away BEFORE INSERT ON rule_adoptions BEGIN SELECT RAISE(ABORT, 'away'); END";
    sql(&ground, refuse).await;
    ground.write("a.yml", &rule("second", ""));
    assert!(!one.reads(false).await);
    assert!(one.book.follow().await.is_none());
    assert_eq!((one.names(), one.reloads("store_away")), (vec!["first".to_owned()], 1));
    assert!(one.says().differ);
    sql(&ground, "DROP TRIGGER away").await;
    assert!(one.book.follow().await.is_some() && one.names() == ["second"] && !one.says().differ);
    assert!(one.book.follow().await.is_none());
}

async fn sql(ground: &Ground, sql: &str) {
    use sqlx::Connection as _;
    let mut connection = sqlx::SqliteConnection::connect(ground.config.store.url.reveal()).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
}

#[test]
fn a_look_sees_what_changes_a_version_and_nothing_else() {
    let ground = Ground::new();
    let rules = ground.rules();
    ground.write("a.yml", "one");
    ground.write("list.txt", "one");
    let differs = |what: &str, change: &dyn Fn(&Path)| {
        let before = print_of(&rules);
        assert_eq!(print_of(&rules), before, "{what}: a look alone");
        change(&rules);
        print_of(&rules) != before
    };
    let write =
        |name: &'static str, text: &'static str| move |dir: &Path| std::fs::write(dir.join(name), text).unwrap();
    assert!(differs("another length", &write("a.yml", "three")));
    assert!(differs("a list", &write("list.txt", "three")));
    assert!(differs("a new file", &write("b.yml", "x")));
    assert!(differs("a new folder's file", &|dir| {
        std::fs::create_dir(dir.join("more")).unwrap();
        std::fs::write(dir.join("more/c.yml"), "x").unwrap();
    }));
    assert!(differs("a removed file", &|dir| std::fs::remove_file(dir.join("b.yml")).unwrap()));
    assert!(differs("a renamed file", &|dir| std::fs::rename(dir.join("a.yml"), dir.join("z.yml")).unwrap()));
    assert!(differs("a file put in its place, as long and as old", &|dir| {
        let time = std::fs::metadata(dir.join("z.yml")).unwrap().modified().unwrap();
        std::fs::write(dir.join("z.new"), "eerht").unwrap();
        std::fs::File::options().write(true).open(dir.join("z.new")).unwrap().set_modified(time).unwrap();
        std::fs::rename(dir.join("z.new"), dir.join("z.yml")).unwrap();
    }));
    assert!(differs("a misnamed file", &write("d.yaml", "x")));
    for name in ["README.md", "a.test.yml", ".a.yml.swp", "a.yml~"] {
        assert!(!differs(name, &write(name, "x")), "{name}");
    }
    assert!(differs("the folder is gone", &|dir| std::fs::remove_dir_all(dir).unwrap()));
}

/// As Kubernetes mounts a map: files lead through `..data` to a folder, and that link is exchanged.
#[test]
fn an_exchanged_map_is_seen_and_read_whole() {
    let ground = Ground::new();
    let rules = ground.rules();
    for (folder, name) in [("..1", "first"), ("..2", "second")] {
        std::fs::create_dir(rules.join(folder)).unwrap();
        ground.write(&format!("{folder}/a.yml"), &rule(name, ""));
    }
    std::os::unix::fs::symlink("..1", rules.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yml", rules.join("a.yml")).unwrap();
    let (before, first) = (print_of(&rules), read(&rules, &Brand::default(), false));
    std::os::unix::fs::symlink("..2", rules.join("..new")).unwrap();
    std::fs::rename(rules.join("..new"), rules.join("..data")).unwrap();
    assert_ne!(print_of(&rules), before);
    let second = read(&rules, &Brand::default(), false);
    assert_ne!(second.version, first.version);
    assert_eq!(second.rules.unwrap().rules[0].name.as_ref(), "second");
}
