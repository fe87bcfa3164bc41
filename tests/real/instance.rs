//! A running `keywatch run`: its log, its metrics, and signals to it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::service::{DEADLINE, Ground, PROGRAM};

/// A running `keywatch run`. Killed when dropped.
pub struct Instance {
    child: Child,
    log: PathBuf,
    address: Mutex<Option<String>>,
}

impl Instance {
    pub fn start(ground: &Ground, name: &str) -> Instance {
        let config = ground.write_config(name);
        let number = ground.starts.fetch_add(1, Ordering::Relaxed);
        let log = ground.path(&format!("{number:03}-{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(PROGRAM)
            .arg("run")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Instance { child, log, address: Mutex::new(None) }
    }

    /// As [`Instance::start`], and waits until it owns partitions.
    pub fn start_and_own(ground: &Ground, name: &str) -> Instance {
        let instance = Instance::start(ground, name);
        ground.until("an instance to own partitions", || instance.owned() > 0);
        instance
    }

    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Where `/metrics` is served.
    pub fn address(&self) -> Option<String> {
        let mut address = self.address.lock().unwrap();
        if address.is_none() {
            let log = self.log();
            let plain: String = strip_colours(&log);
            let line = plain.lines().find(|line| line.contains("serving /metrics"))?;
            *address = Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned());
        }
        address.clone()
    }

    /// Status and body; `None` where nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address()?).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// A metric's value, summed over its labels; 0 where nobody answers.
    pub fn metric(&self, name: &str) -> f64 {
        let Some((200, text)) = self.get("/metrics") else { return 0.0 };
        let lines =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    pub fn owned(&self) -> usize {
        self.metric("keywatch_partitions_owned") as usize
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.get("/readyz"), Some((200, _)))
    }

    /// SIGSTOP, SIGCONT, SIGHUP…
    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: ends in order, with success.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let end = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < end, "does not stop: {}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success() && self.log().contains("stopped"), "{status}: {}", self.log());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn strip_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}
