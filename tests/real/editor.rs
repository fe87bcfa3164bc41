//! The real yaml-language-server, as editors start it, on the shipped rules: what it completes, shows and marks.

use std::collections::{HashMap, VecDeque};
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server;
use crate::service::say;

/// For one answer. Only a server that hangs comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// An editor's end of the protocol.
struct Editor {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// What was asked so far.
    asked: i64,
    /// Diagnostics by document, those that were not taken yet.
    marks: HashMap<String, VecDeque<Value>>,
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn uri(path: &str) -> String {
    format!("file://{}/{path}", root().display())
}

impl Editor {
    fn start(program: &str) -> Editor {
        let mut command = Command::new("node");
        command.args([program, "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (to, mut out) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            while let Some(message) = receive(&mut out) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut editor = Editor { child, to, from, asked: 0, marks: HashMap::new() };
        let completion = json!({"completionItem": {"snippetSupport": true, "documentationFormat": ["markdown"]}});
        let document =
            json!({"completion": completion, "hover": {"contentFormat": ["markdown"]}, "publishDiagnostics": {}});
        let capabilities = json!({"textDocument": document, "workspace": {"configuration": true}});
        editor.ask("initialize", json!({"processId": null, "rootUri": uri(""), "capabilities": capabilities}));
        editor.tell("initialized", json!({}));
        editor
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        let text = message.to_string();
        write!(self.to, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.to.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(json!({"method": method, "params": params}));
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(json!({"id": id, "method": method, "params": params}));
        loop {
            let message = self.from.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == id && message.get("method").is_none() {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.take(message);
        }
    }

    /// What the server asks, and what it says of documents.
    fn take(&mut self, mut message: Value) {
        match message["method"].as_str() {
            Some("workspace/configuration") => {
                // Schemas from the network are no part of this.
                let of = |item: &Value| match item["section"].as_str() {
                    Some("yaml") => {
                        json!({"validate": true, "hover": true, "completion": true, "schemaStore": {"enable": false}})
                    }
                    _ => json!({}),
                };
                let answer: Vec<Value> = message["params"]["items"].as_array().unwrap().iter().map(of).collect();
                self.send(json!({"id": message["id"], "result": answer}));
            }
            Some("textDocument/publishDiagnostics") => {
                let document = message["params"]["uri"].as_str().unwrap().to_owned();
                self.marks.entry(document).or_default().push_back(message["params"]["diagnostics"].take());
            }
            Some(_) if message.get("id").is_some() => self.send(json!({"id": message["id"], "result": null})),
            _ => {}
        }
    }

    /// Opens a document with a text; what is marked, as `line:column message`.
    fn open(&mut self, document: &str, text: &str) -> Vec<String> {
        let document = uri(document);
        let item = json!({"uri": document, "languageId": "yaml", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": item}));
        let marks = loop {
            if let Some(marks) = self.marks.get_mut(&document).and_then(VecDeque::pop_front) {
                break marks;
            }
            let message = self.from.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{document}: no diagnostics"));
            self.take(message);
        };
        let shown = |mark: &Value| {
            let at = &mark["range"]["start"];
            let (line, column) = (at["line"].as_u64().unwrap() + 1, at["character"].as_u64().unwrap() + 1);
            format!("{line}:{column} {}", mark["message"].as_str().unwrap())
        };
        marks.as_array().unwrap().iter().map(shown).collect()
    }

    fn close(&mut self, document: &str) {
        self.tell("textDocument/didClose", json!({"textDocument": {"uri": uri(document)}}));
        self.marks.remove(&uri(document));
    }

    /// A document of its own for a changed text: what was said of another one is never taken for an answer.
    fn copy_of(&mut self, name: &str) -> String {
        self.asked += 1;
        let (folder, name) = name.split_once('/').unwrap();
        format!("{folder}/copy-{}-{name}", self.asked)
    }

    /// Asks about the place that `¦` marks in a text.
    fn at(&mut self, method: &str, name: &str, text: &str) -> Value {
        let document = &self.copy_of(name);
        let (before, after) = text.split_once('¦').unwrap();
        self.open(document, &format!("{before}{after}"));
        let (line, column) = (before.matches('\n').count(), before.chars().rev().take_while(|c| *c != '\n').count());
        let at = json!({"textDocument": {"uri": uri(document)}, "position": {"line": line, "character": column}});
        let answer = self.ask(method, at);
        self.close(document);
        answer
    }
}

fn receive(out: &mut impl std::io::BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if out.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().to_ascii_lowercase().strip_prefix("content-length:") {
            Some(n) => length = n.trim().parse().ok()?,
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    out.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Changes one place of a shipped file.
#[track_caller]
fn changed(name: &str, from: &str, to: &str) -> String {
    let text = shipped(name);
    assert!(text.contains(from), "{name} has no `{from}`");
    text.replacen(from, to, 1)
}

#[test]
fn an_editor_completes_documents_and_marks() {
    let Some(program) = server("KEYWATCH_TEST_EDITOR") else { return };
    let mut editor = Editor::start(&program);

    say("\n## Diagnostics of the shipped files: none\n");
    let mut n_files = 0;
    for entry in std::fs::read_dir(root().join("rules")).unwrap() {
        let name = format!("rules/{}", entry.unwrap().file_name().to_string_lossy());
        let marks = editor.open(&name, &shipped(&name));
        say(&format!("    didOpen {name} -> publishDiagnostics {marks:?}"));
        assert!(marks.is_empty(), "{name}: {marks:?}");
        editor.close(&name);
        n_files += 1;
    }
    assert!(n_files >= 12);

    say("\n## Completion (`¦` is the cursor)\n");
    let (new_ip, spike) = ("rules/new-ip.yml", "rules/spike.yml");
    for (name, from, to, offered, not_offered) in [
        (
            new_ip,
            "params:\n",
            "¦\nparams:\n",
            &["condition", "match", "status", "for", "active"][..],
            &["rules", "group_by", "exceptions"][..],
        ),
        (new_ip, "severity: high", "severity: ¦", &["info", "warning", "high", "critical"], &["null", "off"]),
        (new_ip, "kind: new_ip", "kind: ¦", &["new_ip", "stale_key", "custom"], &["null"]),
        (new_ip, "  min_calls: 20\n", "  ¦\n", &["min_calls"], &["budget", "name"]),
        (spike, "params:\n", "params:\n  m¦\n", &["min_extra", "budget"], &["min_calls", "learning"]),
        (new_ip, "params:\n", "match:\n  ¦\nparams:\n", &["key_env", "merchants", "except_keys"], &["kind"]),
        (new_ip, "params:\n", "active:\n  zone: Europe/Zur¦\nparams:\n", &["Europe/Zurich"], &[]),
        ("rules/new-ip.test.yml", "    facts:\n", "    ¦\n    facts:\n", &["starts", "set"], &["kind"]),
    ] {
        let text = changed(name, from, to);
        let answer = editor.at("textDocument/completion", name, &text);
        let items = answer["items"].as_array().unwrap();
        let labels: Vec<&str> = items.iter().filter_map(|item| item["label"].as_str()).collect();
        let short = to.replace('\n', "⏎");
        say(&format!("    {name} {short} -> {}", labels.join(", ").chars().take(220).collect::<String>()));
        offered.iter().for_each(|label| assert!(labels.contains(label), "{short}: {label} is not in {labels:?}"));
        not_offered.iter().for_each(|label| assert!(!labels.contains(label), "{short}: {label} is in {labels:?}"));
    }

    say("\n## Hover\n");
    for (name, from, to, says) in [
        (new_ip, "severity:", "sever¦ity:", &["How much it matters", "`critical`: Told at once"][..]),
        (
            new_ip,
            "min_calls:",
            "min_¦calls:",
            &["Accepted calls that must have been seen", "Default: `20`", "From `1` to"],
        ),
        (new_ip, "runbook:", "run¦book:", &["What to do, in order"]),
        (spike, "kind: spike", "kind: sp¦ike", &["beyond what the key's own hours of the week"]),
        ("rules/new-ip.test.yml", "rate: 20 per hour", "ra¦te: 20 per hour", &["How often, with `for`"]),
    ] {
        let answer = editor.at("textDocument/hover", name, &changed(name, from, to));
        let shown = answer["contents"]["value"].as_str().unwrap_or_default();
        let short = shown.split("Source:").next().unwrap().replace('\n', " ");
        say(&format!("    {name} {to} -> {}", short.chars().take(300).collect::<String>()));
        says.iter().for_each(|part| assert!(shown.contains(part), "{to}: `{part}` is not in {shown}"));
    }

    say("\n## Diagnostics of slips\n");
    for (name, from, to, told) in [
        (new_ip, "owner:", "ownr:", "Property ownr is not allowed."),
        (new_ip, "title: ", "titel: ", "Missing property \"title\"."),
        (
            new_ip,
            "severity: high",
            "severity: hihg",
            "Value is not accepted. Valid values: \"info\", \"warning\", \"high\", \"critical\".",
        ),
        (new_ip, "kind: new_ip", "kind: new_pi", "Value is not accepted. Valid values: \"new_ip\""),
        (new_ip, "owner: support", "owner: [support]", "expected a text"),
        (new_ip, "params:\n", "match: {merchants: m_1}\nparams:\n", "expected a list"),
        (new_ip, "min_calls: 20", "min_calls: \"20\"", "Incorrect type. Expected \"integer\"."),
        (new_ip, "min_calls: 20", "min_calls: 0", "Value is below the minimum of 1."),
        (new_ip, "learning: 3d", "learning: 3", "expected a duration such as 5m, 1h30m or 90d"),
        (new_ip, "learning: 3d", "learning: 3 days", "expected a duration such as 5m, 1h30m or 90d"),
        (new_ip, "min_calls: 20", "budget: 1", "Property budget is not allowed."),
        (new_ip, "params:\n", "group_by: [path]\nparams:\n", "a rule of this kind has groups of its own"),
        (new_ip, "params:\n", "active: {zone: Europe/Zurch}\nparams:\n", "no name of the IANA database"),
        (new_ip, "kind: new_ip", "kind: custom", "Missing property \"condition\"."),
        ("rules/new-ip.test.yml", "rate: 20 per hour", "rate: 20/hour", "expected a rate such as 20 per hour"),
        ("rules/new-ip.test.yml", "expect:", "expects:", "Missing property \"expect\"."),
    ] {
        let text = changed(name, from, to);
        let copy = editor.copy_of(name);
        let marks = editor.open(&copy, &text);
        editor.close(&copy);
        let short = to.replace('\n', "⏎");
        say(&format!("    {name} {short} -> {marks:?}"));
        assert!(marks.iter().any(|mark| mark.contains(told)), "{short}: `{told}` is not in {marks:?}");
    }
}
