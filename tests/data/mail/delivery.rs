//! Delivery: a scripted SMTP server, an outbox in memory, and, where `KEYWATCH_TEST_SMTP` says so, a real server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use keywatch::alert::{Kind, Receiver};
use keywatch::config::{MailConfig, MailTransport, Secret, SmtpConfig, SmtpTls};
use keywatch::notify::Mail;
use keywatch::notify::deliver::{DeliveryCounts, DeliverySettings, Outbox, run_deliveries};
use keywatch::notify::mail::{DeliveryError, Transport, mask};
use keywatch::store::{Delivery, StoreError};
use keywatch::time::{HOUR, Millis, SECOND};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{T0, decide, fresh, many, one};

const FROM: &str = "keywatch@caibo.digital";
const REPLY_TO: &str = "support@caibo.digital";

/// How the scripted server answers. Commands not named here are accepted.
#[derive(Clone, Copy, Default)]
struct Script {
    greeting: Option<&'static str>,
    login: Option<&'static str>,
    sender: Option<&'static str>,
    /// By part of the address.
    recipients: &'static [(&'static str, &'static str)],
    data: Option<&'static str>,
    /// Sends nothing after the content.
    hang: bool,
    /// Closes the connection after the content.
    drop: bool,
}

/// Starts it; answers its port and the messages it took.
async fn server(script: Script) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(converse(socket, script, Arc::clone(&store)));
        }
    });
    (port, taken)
}

async fn converse(
    socket: tokio::net::TcpStream,
    script: Script,
    taken: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(format!("{}\r\n", script.greeting.unwrap_or("220 fake ESMTP")).as_bytes()).await?;
    while let Some(line) = lines.next_line().await? {
        let refusal = script.recipients.iter().find(|(part, _)| line.contains(part)).map(|(_, answer)| *answer);
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-fake\r\n250 AUTH PLAIN LOGIN",
            "AUTH" => script.login.unwrap_or("235 ok"),
            "MAIL" => script.sender.unwrap_or("250 ok"),
            "RCPT" => refusal.unwrap_or("250 ok"),
            "QUIT" => "221 bye",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut message = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    message.push_str(&line);
                    message.push('\n');
                }
                if let Ok(mut all) = taken.lock() {
                    all.push(message);
                }
                if script.drop {
                    return Ok(());
                }
                if script.hang {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                script.data.unwrap_or("250 2.0.0 queued as 42")
            }
            _ => "250 ok",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

fn config(transport: MailTransport) -> MailConfig {
    MailConfig {
        from: FROM.into(),
        reply_to: REPLY_TO.into(),
        support: vec![],
        operations: vec![],
        link: None,
        transport,
        give_up_after: 24 * HOUR,
    }
}

fn smtp(port: u16) -> SmtpConfig {
    SmtpConfig {
        host: "127.0.0.1".into(),
        port,
        tls: SmtpTls::None,
        ca_file: None,
        username: Some("keywatch".into()),
        password: Some(Secret::new("s3cret")),
        timeout: 400,
    }
}

fn connect(config: SmtpConfig) -> Transport {
    Transport::connect(&self::config(MailTransport::Smtp(config))).expect("a transport")
}

fn mail() -> Mail {
    decide(Receiver::Merchant, &[fresh(one(Kind::NewIp))]).plan.mail
}

#[tokio::test]
async fn answers_are_classified() {
    const OTHER: Script =
        Script { greeting: None, login: None, sender: None, recipients: &[], data: None, hang: false, drop: false };
    // Script, attempt, and how the result begins: + delivered, ~ try again, - never.
    let table: [(Script, u32, &str); 17] = [
        (OTHER, 1, "+250 2.0.0 queued as 42"),
        (Script { data: Some("451 4.3.0 full"), ..OTHER }, 1, "~mail refused by"),
        (Script { data: Some("550 5.7.1 no"), ..OTHER }, 1, "-mail refused by"),
        (Script { data: Some("554 5.6.0 no"), ..OTHER }, 1, "-mail refused by"),
        (Script { login: Some("535 5.7.8 wrong"), ..OTHER }, 1, "~log in to"),
        (Script { greeting: Some("554 not today"), ..OTHER }, 1, "~reach"),
        (Script { greeting: Some("421 busy"), ..OTHER }, 1, "~reach"),
        (Script { sender: Some("553 5.7.1 not you"), ..OTHER }, 1, "~sender refused by"),
        (Script { sender: Some("552 5.3.4 too big"), ..OTHER }, 1, "-sender refused by"),
        (
            Script { recipients: &[("RCPT", "550 5.1.1 <owner@acme.example>: gone")], ..OTHER },
            1,
            "-recipient refused by",
        ),
        (
            Script { recipients: &[("RCPT", "554 5.7.1 <x@y>: Relay access denied")], ..OTHER },
            1,
            "~recipient refused by",
        ),
        (Script { recipients: &[("RCPT", "450 4.2.0 later")], ..OTHER }, 9, "~recipient refused by"),
        (
            Script { recipients: &[("owner@", "550 5.1.1 gone")], ..OTHER },
            1,
            "+250 2.0.0 queued as 42; not to 1 of its addresses",
        ),
        (Script { recipients: &[("owner@", "450 4.2.0 later")], ..OTHER }, 1, "~recipient refused by"),
        (
            Script { recipients: &[("owner@", "452 4.2.2 full")], ..OTHER },
            4,
            "+250 2.0.0 queued as 42; not to 1 of its addresses",
        ),
        (Script { hang: true, ..OTHER }, 1, "~no answer from"),
        (Script { drop: true, ..OTHER }, 1, "~mail refused by"),
    ];
    for (i, (script, attempt, want)) in table.into_iter().enumerate() {
        let (port, _) = server(script).await;
        let got = match connect(smtp(port)).deliver(&mail(), FROM, REPLY_TO, T0, attempt).await {
            Ok(text) => format!("+{text}"),
            Err(DeliveryError::Transient(text)) => format!("~{text}"),
            Err(DeliveryError::Permanent(text)) => format!("-{text}"),
        };
        assert!(got.starts_with(want), "{i}: {got}, not {want}");
        assert!(!got.contains("owner@") && !got.contains("s3cret"), "{got}");
    }
    // Nobody there at all, and a server that speaks no TLS though it is asked for.
    let gone = connect(smtp(1)).deliver(&mail(), FROM, REPLY_TO, T0, 1).await;
    assert!(matches!(&gone, Err(DeliveryError::Transient(text)) if text.starts_with("reach 127.0.0.1:1")), "{gone:?}");
    let (port, taken) = server(OTHER).await;
    for tls in [SmtpTls::Starttls, SmtpTls::Implicit] {
        let got = connect(SmtpConfig { tls, ..smtp(port) }).deliver(&mail(), FROM, REPLY_TO, T0, 1).await;
        assert!(matches!(got, Err(DeliveryError::Transient(_))), "{got:?}");
    }
    assert!(taken.lock().expect("a lock").is_empty(), "nothing goes out in the clear");
}

#[tokio::test]
async fn a_retry_sends_the_same_bytes() {
    let (port, taken) = server(Script { data: Some("451 4.3.0 later"), ..Script::default() }).await;
    for attempt in 1..=3 {
        connect(smtp(port)).deliver(&mail(), FROM, REPLY_TO, T0, attempt).await.expect_err("it is refused");
    }
    let taken = taken.lock().expect("a lock");
    assert_eq!(taken.len(), 3);
    assert!(taken.iter().all(|message| message == &taken[0]));
    let head = taken[0].split("\n\n").next().unwrap_or_default();
    insta::assert_snapshot!(head, @r#"
    Message-ID: <kw-928740d72746123a4e8f9612@caibo.digital>
    Date: Mon, 23 Nov 2026 08:00:00 +0000
    From: keywatch@caibo.digital
    Reply-To: support@caibo.digital
    Subject: Live key =?utf-8?b?4oCmOWYyYw==?= used from a new network
    Auto-Submitted: auto-generated
    To: owner@acme.example, dev@acme.example
    MIME-Version: 1.0
    Content-Type: multipart/alternative;
     boundary="=_kw-928740d72746123a4e8f9612"
    "#);
    let (plain, html) = (taken[0].find("text/plain"), taken[0].find("text/html"));
    assert!(plain.is_some() && plain < html, "text first");
}

#[tokio::test]
async fn bad_addresses_do_not_stop_good_ones() {
    let (port, taken) = server(Script::default()).await;
    let mut mail = mail();
    mail.to = vec!["no address".into(), "owner@acme.example".into(), "owner@acme.example\r\nBcc: x@y.example".into()];
    connect(smtp(port)).deliver(&mail, FROM, REPLY_TO, T0, 1).await.expect("it is sent");
    assert!(!taken.lock().expect("a lock")[0].contains("Bcc"));
    mail.to.clear();
    let none = connect(smtp(port)).deliver(&mail, FROM, REPLY_TO, T0, 1).await;
    assert!(matches!(none, Err(DeliveryError::Permanent(_))), "{none:?}");
}

#[test]
fn addresses_are_masked() {
    for (text, want) in [
        ("<owner@acme.example>: gone", "<o…@acme.example>: gone"),
        ("a@b.c, d.e+f@g.h", "a…@b.c, d…@g.h"),
        ("none", "none"),
        ("@x", "…@x"),
    ] {
        assert_eq!(mask(text), want);
    }
}

#[tokio::test]
async fn files_are_replaced_by_a_repeat() {
    let dir = tempfile::tempdir().expect("a folder");
    let transport =
        Transport::connect(&config(MailTransport::Files { directory: dir.path().join("out") })).expect("a transport");
    for _ in 0..2 {
        transport.deliver(&mail(), FROM, REPLY_TO, T0, 1).await.expect("it is written");
    }
    let names: Vec<String> = std::fs::read_dir(dir.path().join("out"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["kw-928740d72746123a4e8f9612@caibo.digital.eml"]);
}

/// Notices in memory, with leases as the store keeps them.
#[derive(Clone, Default)]
struct Memory {
    rows: Arc<Mutex<BTreeMap<String, Row>>>,
    /// Writes that fail before one succeeds.
    away: Arc<Mutex<u32>>,
    /// How long a claim takes.
    slow: Duration,
}

struct Row {
    delivery: Delivery,
    due: Millis,
    log: Vec<String>,
    over: bool,
}

impl Memory {
    fn of(n: usize) -> Self {
        let memory = Memory::default();
        for i in 0..n {
            let mut mail = mail();
            mail.message_id = format!("kw-{i}@caibo.digital");
            let (id, created_at) = (format!("merchant/m_{i}/1"), wall());
            let delivery = Delivery { notice_id: id.clone(), mail, attempt: 1, created_at };
            memory.rows.lock().expect("a lock").insert(id, Row { delivery, due: 0, log: vec![], over: false });
        }
        memory
    }

    fn logs(&self) -> Vec<Vec<String>> {
        self.rows.lock().expect("a lock").values().map(|row| row.log.clone()).collect()
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Row)) -> Result<(), StoreError> {
        let mut away = self.away.lock().expect("a lock");
        if *away > 0 {
            *away -= 1;
            return Err(StoreError::Unavailable("away".into()));
        }
        if let Some(row) = self.rows.lock().expect("a lock").get_mut(id) {
            change(row);
        }
        Ok(())
    }
}

impl Outbox for Memory {
    async fn claim_deliveries(
        &self,
        _: &str,
        now: Millis,
        lease: Millis,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        tokio::time::sleep(self.slow).await;
        let mut rows = self.rows.lock().expect("a lock");
        let due = rows.values_mut().filter(|row| !row.over && row.due <= now).take(limit);
        Ok(due
            .map(|row| {
                row.due = now + lease;
                row.delivery.clone()
            })
            .collect())
    }

    async fn record_sent(&self, id: &str, _: &str, _: Millis, detail: &str) -> Result<(), StoreError> {
        self.change(id, |row| {
            row.over = true;
            row.log.push(format!("sent {}", &detail[..3]));
        })
    }

    async fn record_retry(&self, id: &str, _: &str, at: Millis, _: &str) -> Result<(), StoreError> {
        self.change(id, |row| {
            // Five seconds are long for a test.
            row.due = at - 5 * SECOND;
            row.delivery.attempt += 1;
            row.log.push("retry".into());
        })
    }

    async fn record_given_up(&self, id: &str, _: &str, _: Millis, _: &str) -> Result<(), StoreError> {
        self.change(id, |row| {
            row.over = true;
            row.log.push("given up".into());
        })
    }

    async fn next_delivery_due(&self) -> Result<Option<Millis>, StoreError> {
        Ok(self.rows.lock().expect("a lock").values().filter(|row| !row.over).map(|row| row.due).min())
    }
}

/// A clock of the test's own, from [`T0`] on.
fn wall() -> Millis {
    static START: OnceLock<Instant> = OnceLock::new();
    T0 + START.get_or_init(Instant::now).elapsed().as_millis() as Millis
}

/// Runs the loop until `done` says so, stops it, and answers what it counted.
async fn run(
    memory: &Memory,
    transport: Transport,
    lease: Millis,
    give_up_after: Millis,
    done: impl Fn(&Memory) -> bool,
) -> Arc<DeliveryCounts> {
    let (counts, stop) = (Arc::new(DeliveryCounts::default()), CancellationToken::new());
    let settings = DeliverySettings {
        owner: "one".into(),
        from: FROM.into(),
        reply_to: REPLY_TO.into(),
        give_up_after,
        lease,
        poll: Duration::from_millis(50),
    };
    let worker = run_deliveries(
        memory.clone(),
        transport,
        settings,
        wall,
        Arc::clone(&counts),
        Arc::new(Notify::new()),
        stop.clone(),
    );
    let worker = tokio::spawn(worker);
    for _ in 0..500 {
        if done(memory) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), worker).await.expect("it stops").expect("it ends well");
    counts
}

fn all_over(memory: &Memory) -> bool {
    memory.rows.lock().expect("a lock").values().all(|row| row.over)
}

#[tokio::test]
async fn the_outbox_is_emptied_once() {
    let (port, taken) = server(Script::default()).await;
    let memory = Memory::of(25);
    let counts = run(&memory, connect(smtp(port)), 60 * SECOND, HOUR, all_over).await;
    assert_eq!(taken.lock().expect("a lock").len(), 25);
    assert!(memory.logs().iter().all(|log| log == &["sent 250"]), "{:?}", memory.logs());
    assert_eq!(counts.sent.load(std::sync::atomic::Ordering::Relaxed), 25);
}

#[tokio::test]
async fn failures_are_tried_again_and_given_up_in_the_end() {
    let (port, _) = server(Script { data: Some("451 later"), ..Script::default() }).await;
    let memory = Memory::of(1);
    run(&memory, connect(smtp(port)), 60 * SECOND, 1_500, all_over).await;
    let logs = memory.logs();
    assert!(
        logs[0].len() > 1 && logs[0][0] == "retry" && logs[0].last().is_some_and(|last| last == "given up"),
        "{logs:?}"
    );

    let (port, _) = server(Script { data: Some("550 no"), ..Script::default() }).await;
    let memory = Memory::of(1);
    run(&memory, connect(smtp(port)), 60 * SECOND, HOUR, all_over).await;
    assert_eq!(memory.logs(), [["given up"]]);
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_causes_no_second_mail() {
    let (port, taken) = server(Script::default()).await;
    let memory = Memory { away: Arc::new(Mutex::new(2)), ..Memory::of(1) };
    run(&memory, connect(smtp(port)), 60 * SECOND, HOUR, all_over).await;
    assert_eq!((taken.lock().expect("a lock").len(), memory.logs()), (1, vec![vec!["sent 250".to_owned()]]));
}

#[tokio::test]
async fn a_claim_that_took_too_long_is_not_used() {
    let (port, taken) = server(Script::default()).await;
    let memory = Memory { slow: Duration::from_millis(300), ..Memory::of(1) };
    let started = Instant::now();
    // The lease of 600 ms leaves no room for a delivery of up to 400 ms after a claim of 300 ms.
    let counts = run(&memory, connect(smtp(port)), 600, HOUR, |_| started.elapsed() > Duration::from_secs(1)).await;
    assert!(taken.lock().expect("a lock").is_empty());
    assert!(counts.stood_back.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let (port, taken) = server(Script { hang: true, ..Script::default() }).await;
    let memory = Memory::of(9);
    run(&memory, connect(smtp(port)), 60 * SECOND, HOUR, |_| !taken.lock().expect("a lock").is_empty()).await;
    let tried = memory.logs().into_iter().filter(|log| !log.is_empty()).count();
    assert!((1..=4).contains(&tried), "{tried} of 9 were under way, and each has its result");
}

/// `KEYWATCH_TEST_SMTP=HOST:PLAIN_PORT:STARTTLS_PORT:TLS_PORT`, `KEYWATCH_TEST_SMTP_CA=FILE`,
/// `KEYWATCH_TEST_SMTP_LOGIN=USER:PASSWORD`: sends one mail through each.
#[tokio::test]
async fn a_real_server_takes_mail_in_every_way() {
    let Ok(place) = std::env::var("KEYWATCH_TEST_SMTP") else { return };
    let parts: Vec<&str> = place.split(':').collect();
    let ports: Vec<u16> = parts[1..].iter().map(|port| port.parse().expect("a port")).collect();
    let ca_file = Some(std::env::var("KEYWATCH_TEST_SMTP_CA").expect("a file of authorities").into());
    let login = std::env::var("KEYWATCH_TEST_SMTP_LOGIN").expect("a login");
    let (user, password) = login.split_once(':').expect("USER:PASSWORD");
    let base =
        SmtpConfig { host: parts[0].into(), timeout: 10 * SECOND, username: None, password: None, ..smtp(ports[0]) };
    let tls = SmtpConfig {
        tls: SmtpTls::Starttls,
        port: ports[1],
        ca_file,
        username: Some(user.into()),
        password: Some(Secret::new(password)),
        ..base.clone()
    };
    let implicit = SmtpConfig { tls: SmtpTls::Implicit, port: ports[2], ..tls.clone() };
    let mails = [
        mail(),
        decide(Receiver::Support, &[fresh(one(Kind::Spike))]).plan.mail,
        decide(Receiver::Merchant, &many(3)).plan.mail,
    ];
    for (config, mail) in [base, tls.clone(), implicit].into_iter().zip(mails) {
        let answer = connect(config.clone()).deliver(&mail, FROM, REPLY_TO, T0, 1).await;
        assert!(answer.as_ref().is_ok_and(|text| text.starts_with("250")), "{:?}: {answer:?}", config.tls);
    }
    let wrong = connect(SmtpConfig { password: Some(Secret::new("wrong")), ..tls.clone() });
    let unknown = connect(SmtpConfig { ca_file: None, ..tls.clone() });
    let other_name = connect(SmtpConfig { host: "127.0.0.1".into(), ..tls });
    for (transport, word) in [(wrong, "535"), (unknown, "certificate"), (other_name, "certificate")] {
        let got = transport.deliver(&mail(), FROM, REPLY_TO, T0, 1).await;
        assert!(matches!(&got, Err(DeliveryError::Transient(text)) if text.contains(word)), "{word}: {got:?}");
    }
}
