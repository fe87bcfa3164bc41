//! The service in these tests: a ground of its own (database, topics, rules, folder), the real program on it, and what
//! it leaves behind.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keywatch::config::{Secret, StoreConfig};
use keywatch::pipeline::takeover::foster_partition;
use keywatch::source::kafka::testing::Producer;
use keywatch::store::{OutboxView, Store};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::instance::Instance;
use crate::traffic::{Line, Traffic};

/// Generous: only a failing test waits for it.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_keywatch");

/// Says something beside the tests' results.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub fn env(variable: &str) -> String {
    std::env::var(variable).unwrap()
}

pub fn wall_millis() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Runs `dev/servers COMMAND NAME`.
pub fn servers(command: &str, name: &str) {
    let (script, dir) = (env("KEYWATCH_TEST_SERVERS"), env("KEYWATCH_TEST_DIR"));
    let done = Command::new(script).args([command, name, "--dir", &dir]).status().unwrap();
    assert!(done.success(), "dev/servers {command} {name} failed");
}

/// What a test wants of its ground.
pub struct Setup {
    pub partitions: i32,
    pub sqlite: bool,
    /// File, text, what stands there instead.
    pub rules: Vec<(&'static str, &'static str, &'static str)>,
    /// Lines of `limits:`.
    pub limits: Vec<&'static str>,
    /// Lines of `source.kafka:`, already indented by four; `brokers` among them where they are not the plain ones.
    pub kafka: String,
    /// Lines of `source.kafka.properties:`, indented by six.
    pub properties: String,
    /// Lines of `mail.transport:`, indented by four.
    pub transport: String,
    pub log: &'static str,
    /// Sections of the configuration beside those that every test needs.
    pub more: String,
    /// Each instance keeps its name in the group.
    pub static_members: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            partitions: 4,
            sqlite: false,
            rules: vec![("stale-key.yml", "unused_for: 90d", "unused_for: 10d")],
            limits: Vec::new(),
            kafka: String::new(),
            properties: String::new(),
            transport: "    none: {}".to_owned(),
            log: "info",
            more: String::new(),
            static_members: false,
        }
    }
}

/// Mail in the clear, as the tests' Postfix takes it.
pub fn plain_smtp() -> String {
    let (host, port) = split(&env("KEYWATCH_TEST_SMTP_PLAIN"));
    format!("    smtp:\n      host: {host}\n      port: {port}\n      tls: none\n      timeout: 3s")
}

pub fn split(address: &str) -> (String, String) {
    let (host, port) = address.rsplit_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

/// Database, topics, rules and folder of one test.
pub struct Ground {
    pub folder: tempfile::TempDir,
    pub setup: Setup,
    pub producer: Producer,
    pub events: String,
    pub facts: String,
    pub group: String,
    pub store_url: String,
    /// Domain of the sender: `Message-ID`s end with it.
    pub domain: String,
    ends: Mutex<BTreeMap<i32, i64>>,
    runtime: tokio::runtime::Runtime,
    pub starts: AtomicU32,
}

impl Ground {
    pub fn new(name: &str, setup: Setup) -> Ground {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stamp = format!("{name}-{}", wall_millis());
        let folder = tempfile::tempdir().unwrap();
        let store_url = if setup.sqlite {
            format!("sqlite:{}/keywatch.db", folder.path().display())
        } else {
            let server = env("KEYWATCH_TEST_POSTGRES");
            let database = format!("keywatch_{}", stamp.replace('-', "_"));
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.unwrap();
                sqlx::raw_sql(&format!("CREATE DATABASE {database}")).execute(&mut connection).await.unwrap();
            });
            format!("{}/{database}", server.rsplit_once('/').unwrap().0)
        };
        let producer = Producer::connect(&env("KEYWATCH_TEST_KAFKA")).unwrap();
        let (events, facts) = (format!("auth-events-{stamp}"), format!("key-events-{stamp}"));
        runtime.block_on(producer.create_topic(&events, setup.partitions)).unwrap();
        runtime.block_on(producer.create_topic(&facts, 1)).unwrap();
        let rules = folder.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap() {
            let file = entry.unwrap();
            let mut text = std::fs::read_to_string(file.path()).unwrap();
            for (name, from, to) in setup.rules.iter().filter(|(name, ..)| file.file_name() == *name) {
                assert!(text.contains(from), "{name}: no `{from}`");
                text = text.replace(from, to);
            }
            std::fs::write(rules.join(file.file_name()), text).unwrap();
        }
        let ground = Ground {
            folder,
            setup,
            producer,
            events,
            facts,
            group: format!("group-{stamp}"),
            store_url,
            domain: format!("{stamp}.test"),
            ends: Mutex::default(),
            runtime,
            starts: AtomicU32::new(0),
        };
        ground.write_config("reader");
        ground
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of one instance.
    pub fn write_config(&self, name: &str) -> PathBuf {
        let s = &self.setup;
        let brokers = if s.kafka.contains("brokers:") {
            String::new()
        } else {
            format!("    brokers: {}\n", env("KEYWATCH_TEST_KAFKA"))
        };
        let member = if s.static_members { format!("    instance_id: {name}\n") } else { String::new() };
        let limits: String = s.limits.iter().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "source:\n  kafka:\n{brokers}{member}    group: {}\n    topics:\n      auth_events: {}\n      key_events: {}\n{}\n    \
             properties:\n      session.timeout.ms: 3000\n      heartbeat.interval.ms: 300\n{}\n  \
             fingerprint_secret: a-secret-for-tests-only\nrules:\n  directory: rules\nstore:\n  url: {}\n\
             limits:\n  checkpoint_every: 1s\n  slice_rows: 20\n  mails_per_hour: 10000\n{limits}\
             alerts:\n  group_wait: 200ms\n  mail_old: true\n\
             mail:\n  from: keywatch@{}\n  reply_to: support@caibo.digital\n  support: [support@caibo.digital]\n  \
             operations: [operations@example.com]\n  transport:\n{}\nhttp:\n  listen: 127.0.0.1:0\n\
             log:\n  level: \"{}\"\n  format: text\n{}",
            self.group,
            self.events,
            self.facts,
            s.kafka,
            s.properties,
            self.store_url,
            self.domain,
            s.transport,
            s.log,
            s.more
        );
        let path = self.path(&format!("{name}.yml"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes facts, all of them in one go.
    pub fn tell_facts(&self, facts: &[Line]) {
        for fact in facts {
            self.producer.send(&self.facts, 0, Some(fact.merchant.as_bytes()), Some(fact.text.as_bytes())).unwrap();
        }
        self.producer.flush().unwrap();
    }

    /// Writes events, each into its merchant's partition.
    pub fn send(&self, lines: &[Line]) {
        for line in lines {
            self.send_raw(&line.merchant, line.merchant.as_bytes(), line.text.as_bytes());
        }
        self.producer.flush().unwrap();
    }

    /// Writes one message into a merchant's partition, under any key.
    pub fn send_raw(&self, merchant: &str, key: &[u8], payload: &[u8]) {
        let partition = foster_partition(merchant, self.setup.partitions);
        self.producer.send(&self.events, partition, Some(key), Some(payload)).unwrap();
        *self.ends.lock().unwrap().entry(partition).or_insert(0) += 1;
    }

    /// The first column of each row, which must be text. `None` where the database does not answer.
    pub fn sql(&self, sql: &str) -> Option<Vec<String>> {
        let rows = self.runtime.block_on(async {
            if self.setup.sqlite {
                let mut connection = SqliteConnection::connect(&self.store_url).await?;
                let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
                Ok(rows.iter().map(|row| row.get(0)).collect())
            } else {
                let mut connection = PgConnection::connect(&self.store_url).await?;
                let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
                Ok::<_, sqlx::Error>(rows.iter().map(|row| row.get(0)).collect())
            }
        });
        rows.ok()
    }

    /// Stored position of each partition.
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        let sql = format!(
            "SELECT partition || '=' || position FROM shards WHERE topic = '{}' AND position IS NOT NULL",
            self.events
        );
        let rows = self.sql(&sql).unwrap_or_default();
        rows.iter()
            .filter_map(|row| row.split_once('='))
            .map(|(p, o)| (p.parse().unwrap(), o.parse().unwrap()))
            .collect()
    }

    /// Epoch of each partition.
    pub fn epochs(&self) -> BTreeMap<i32, i64> {
        let rows = self.sql(&format!("SELECT partition || '=' || epoch FROM shards WHERE topic = '{}'", self.events));
        let rows = rows.unwrap_or_default();
        rows.iter()
            .filter_map(|row| row.split_once('='))
            .map(|(p, o)| (p.parse().unwrap(), o.parse().unwrap()))
            .collect()
    }

    /// Everything that was sent is stored as judged.
    pub fn all_stored(&self) -> bool {
        let positions = self.positions();
        self.ends.lock().unwrap().iter().all(|(partition, end)| positions.get(partition) == Some(end))
    }

    pub fn wait_for_all(&self) {
        self.until("every event to be judged and stored", || self.all_stored());
    }

    /// Polls for a condition; where it does not come, says what the instances said last.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !done() {
            if Instant::now() >= end {
                self.show_logs();
                panic!(
                    "waited too long for {what}; positions {:?} of {:?}",
                    self.positions(),
                    self.ends.lock().unwrap()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until each instance is ready; where one is not, says why.
    pub fn until_ready<'a>(&self, instances: impl IntoIterator<Item = &'a Instance>) {
        let mut waiting: Vec<&Instance> = instances.into_iter().collect();
        let mut why = String::new();
        let end = Instant::now() + DEADLINE;
        loop {
            waiting.retain(|instance| {
                let answer = instance.get("/readyz");
                let is_ready = matches!(answer, Some((200, _)));
                if !is_ready {
                    why = format!("{}: {answer:?}", instance.log_path().display());
                }
                !is_ready
            });
            if waiting.is_empty() {
                return;
            }
            if Instant::now() >= end {
                self.show_logs();
                panic!("waited too long for every instance to be ready: {why}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn logs(&self) -> Vec<(PathBuf, String)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = entries.filter(|path| path.extension().is_some_and(|e| e == "log"));
        let mut logs: Vec<_> = logs
            .map(|path| (path.clone(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()))
            .collect();
        logs.sort();
        logs
    }

    fn show_logs(&self) {
        for (path, text) in self.logs().iter().rev().take(4) {
            let lines: Vec<&str> = text.lines().collect();
            say(&format!("--- {}\n{}", path.display(), lines[lines.len().saturating_sub(15)..].join("\n")));
        }
    }

    /// Alerts as `keywatch alerts list` shows them, canonically.
    pub fn alerts(&self) -> Vec<Value> {
        let config = self.path("reader.yml");
        let out = Command::new(PROGRAM)
            .args(["alerts", "list", "-o", "json", "--limit", "0", "--config"])
            .arg(config)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        canonical(&String::from_utf8(out.stdout).unwrap())
    }

    /// What `keywatch replay` finds in the same events, canonically.
    pub fn replayed(&self, traffic: &Traffic) -> Vec<Value> {
        let (events, facts, out) =
            (self.path("events.jsonl"), self.path("key-events.jsonl"), self.path("alerts.jsonl"));
        let text = |lines: &[Line]| lines.iter().map(|line| line.text.clone() + "\n").collect::<String>();
        std::fs::write(&events, text(&traffic.events)).unwrap();
        std::fs::write(&facts, text(&traffic.facts)).unwrap();
        let done = Command::new(PROGRAM)
            .args(["replay", "--partitions", "1", "--rules"])
            .arg(self.path("rules"))
            .arg("--config")
            .arg(self.path("reader.yml"))
            .arg("--events")
            .arg(&events)
            .arg("--key-events")
            .arg(&facts)
            .arg("--alerts-out")
            .arg(&out)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        canonical(&std::fs::read_to_string(&out).unwrap())
    }

    /// Waits until the alerts are these, within the usual bound: what lies across partitions is merged a little after the last
    /// of them is stored. What they are then is for [`Self::assert_alerts`] to say.
    pub fn wait_for_alerts(&self, expected: &[Value]) {
        let end = Instant::now() + DEADLINE;
        while self.alerts() != expected && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The alerts are exactly these, and no rule has two of one subject that began at the same time.
    pub fn assert_alerts(&self, expected: &[Value]) -> usize {
        let found = self.alerts();
        let by_id = |alerts: &[Value]| -> BTreeMap<String, Value> {
            alerts.iter().map(|a| (a["alert_id"].as_str().unwrap().to_owned(), a.clone())).collect()
        };
        let (have, want) = (by_id(&found), by_id(expected));
        let missing: Vec<_> = want.iter().filter(|(id, _)| !have.contains_key(*id)).map(|(_, a)| a).collect();
        let extra: Vec<_> = have.iter().filter(|(id, _)| !want.contains_key(*id)).map(|(_, a)| a).collect();
        let other: Vec<_> =
            want.iter().filter_map(|(id, w)| have.get(id).filter(|h| *h != w).map(|h| (w, h))).collect();
        if !(missing.is_empty() && extra.is_empty() && other.is_empty()) {
            self.show_logs();
            for (name, alerts) in [("missing", &missing), ("extra", &extra)] {
                alerts.iter().take(3).for_each(|alert| say(&format!("{name}: {alert}")));
            }
            other.iter().take(3).for_each(|(w, h)| say(&format!("wanted: {w}\nfound:  {h}")));
            panic!(
                "{} alerts, wanted {}: {} missing, {} extra, {} different",
                have.len(),
                want.len(),
                missing.len(),
                extra.len(),
                other.len()
            );
        }
        let again = self.sql("SELECT rule || ' ' || subject || ' ' || starts_at FROM cases GROUP BY rule, subject, starts_at HAVING COUNT(*) > 1");
        assert_eq!(again, Some(Vec::new()), "the same case twice");
        found.len()
    }

    pub fn outbox(&self) -> Vec<OutboxView> {
        let config = StoreConfig { url: Secret::new(&self.store_url), max_connections: 1, migrate: false };
        self.runtime.block_on(async {
            let Ok(store) = Store::open(&config).await else { return Vec::new() };
            let outbox = store.outbox(1_000_000).await.unwrap_or_default();
            store.close().await;
            outbox
        })
    }

    /// This test's mails, as they lie in the Maildir.
    pub fn mails(&self) -> Vec<String> {
        let folder = Path::new(&env("KEYWATCH_TEST_MAILDIR")).join("new");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let end = format!("@{}>", self.domain);
        let mails =
            entries.map(|entry| String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned());
        mails.filter(|mail| message_id(mail).is_some_and(|id| id.ends_with(&end))).collect()
    }

    /// Every told alert has its mails: all notices are sent, each lies in the Maildir, and what lies there more than once
    /// carries the same `Message-ID`. Returns how many mails there are, and how many of them are repeats.
    pub fn assert_mails(&self) -> (usize, usize) {
        // A case that was over before anybody could be told of it is told to nobody.
        let told = "SELECT c.alert_id FROM cases c WHERE c.notify AND c.state = 'firing' \
                      AND NOT EXISTS (SELECT 1 FROM told t WHERE t.alert_id = c.alert_id) \
                    UNION ALL SELECT c.alert_id FROM cases c JOIN told t ON t.alert_id = c.alert_id WHERE t.state <> c.state";
        self.until("everything to be told", || {
            self.sql("SELECT id FROM notice_groups WHERE due_at IS NOT NULL") == Some(Vec::new())
                && self.sql(told) == Some(Vec::new())
        });
        self.until("every notice to be sent", || {
            let outbox = self.outbox();
            !outbox.is_empty() && outbox.iter().all(|notice| notice.status == "sent")
        });
        let outbox = self.outbox();
        let ids: BTreeMap<String, &OutboxView> = outbox.iter().map(|n| (format!("<{}>", n.message_id), n)).collect();
        assert_eq!(ids.len(), outbox.len(), "each notice has a name of its own");
        let count = || -> BTreeMap<String, Vec<String>> {
            let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
            self.mails().into_iter().for_each(|mail| found.entry(message_id(&mail).unwrap()).or_default().push(mail));
            found
        };
        self.until("every mail to lie in the Maildir", || {
            let found = count();
            ids.keys().all(|id| found.contains_key(id))
        });
        let found = count();
        for (id, mails) in &found {
            assert!(ids.contains_key(id), "a mail that no notice asked for: {id}");
            let ours = |mail: &str| mail.split_once("From: ").map(|(_, rest)| rest.to_owned());
            assert!(mails.iter().all(|mail| ours(mail) == ours(&mails[0])), "a repeat of {id} reads differently");
        }
        let all: usize = found.values().map(Vec::len).sum();
        (all, all - found.len())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.setup.sqlite || std::thread::panicking() {
            return;
        }
        let (server, database) = (env("KEYWATCH_TEST_POSTGRES"), self.store_url.rsplit_once('/').unwrap().1.to_owned());
        // Left behind where it fails: the server's folder goes with the run.
        let _ = self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&server).await?;
            sqlx::raw_sql(&format!("DROP DATABASE {database} WITH (FORCE)")).execute(&mut connection).await
        });
    }
}

/// A header of a mail, unfolded.
pub fn header(mail: &str, name: &str) -> Option<String> {
    let head = mail.split("\n\n").next()?.replace("\n ", " ").replace("\n\t", " ");
    let wanted = format!("{}:", name.to_ascii_lowercase());
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&wanted))?;
    Some(line[wanted.len()..].trim().to_owned())
}

fn message_id(mail: &str) -> Option<String> {
    header(mail, "Message-ID")
}

/// Alerts without when they were noticed, by ID.
fn canonical(lines: &str) -> Vec<Value> {
    let mut alerts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    alerts.iter_mut().for_each(|alert| drop(alert.as_object_mut().unwrap().remove("detected_at")));
    alerts.sort_by_key(|alert| alert["alert_id"].as_str().unwrap().to_owned());
    alerts
}

/// Feeds events steadily from a thread of its own.
pub struct Feed<'scope> {
    thread: std::thread::ScopedJoinHandle<'scope, ()>,
    sent: std::sync::Arc<AtomicUsize>,
    hurry: std::sync::Arc<AtomicBool>,
}

impl<'scope> Feed<'scope> {
    pub fn start<'env>(
        scope: &'scope std::thread::Scope<'scope, 'env>,
        ground: &'env Ground,
        lines: &'env [Line],
        per_second: usize,
    ) -> Feed<'scope> {
        let (sent, hurry) = (std::sync::Arc::new(AtomicUsize::new(0)), std::sync::Arc::new(AtomicBool::new(false)));
        let (count, fast) = (sent.clone(), hurry.clone());
        let thread = scope.spawn(move || {
            for chunk in lines.chunks((per_second / 50).max(1)) {
                chunk
                    .iter()
                    .for_each(|line| ground.send_raw(&line.merchant, line.merchant.as_bytes(), line.text.as_bytes()));
                count.fetch_add(chunk.len(), Ordering::Relaxed);
                if !fast.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            ground.producer.flush().unwrap();
        });
        Feed { thread, sent, hurry }
    }

    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Sends the rest as fast as it goes.
    pub fn finish(self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

static TABLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Adds a line to the table of results, and shows the whole of it.
pub fn report(test: &str, alerts: usize, mails: Option<(usize, usize)>, kills: usize, more: &str) {
    let (mails, repeats) = mails.map_or(("-".to_owned(), "-".to_owned()), |(m, r)| (m.to_string(), r.to_string()));
    let mut table = TABLE.lock().unwrap();
    table.push(format!("{test:44} {alerts:>6} {mails:>6} {repeats:>7} {kills:>6}  {more}"));
    say(&format!(
        "\n{:44} {:>6} {:>6} {:>7} {:>6}\n{}\n",
        "test",
        "alerts",
        "mails",
        "repeats",
        "kills",
        table.join("\n")
    ));
}
