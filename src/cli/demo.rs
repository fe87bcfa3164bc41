//! `keywatch demo`: on a terminal a line that lives, in a pipe plain lines; at the end a table.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::alert::{Alert, Receiver, Severity};
use crate::cli::term::{self, Ink, Style};
use crate::cli::text::thousands;
use crate::cli::{Failure, runtime, say, text};
use crate::config::LogConfig;
use crate::demo::score::Row;
use crate::demo::{Plan, Progress, Report, Status, run};
use crate::time::{MINUTE, Millis, SECOND, parse_duration, rfc3339};
use crate::{cli, wall};

/// What marks a folder as one that a demo made: such a one is used again.
const MARK: &str = ".keywatch-demo";
/// Mails that are listed.
const MAILS_LISTED: usize = 6;

/// Arguments of `keywatch demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long the part through the broker takes
    #[arg(long = "for", value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub play_for: Millis,
    /// How many times as fast as it came the traffic is played
    #[arg(long, value_name = "TIMES", default_value_t = 60.0, value_parser = speed)]
    pub speed: f64,
    /// Where to write: state, mails, rules, log. Default: keywatch-demo in the folder for temporary files
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Another seed shows other traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Keys
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(40..=2_000))]
    pub keys: u32,
}

fn duration(text: &str) -> Result<Millis, String> {
    let at = parse_duration(text).ok_or("write it as 90s, 2m or 1h30m")?;
    if (SECOND..=60 * MINUTE).contains(&at) { Ok(at) } else { Err("from 1s to 1h".into()) }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (1.0..=10_000.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 1 to 10000".into()),
    }
}

/// Shows everything at work, on this machine alone.
pub fn demo(args: &Args) -> Result<(), Failure> {
    let live_for = (args.play_for as f64 * args.speed) as Millis;
    if !(30 * MINUTE..=600 * MINUTE).contains(&live_for) {
        return Err(Failure::Usage(format!(
            "--for and --speed come to {} of traffic: the demo plays from 30 minutes to 10 hours of it\n\nhint: the \
             defaults, --for 2m --speed 60, come to 2 hours",
            span(live_for)
        )));
    }
    let directory = args.out.clone().unwrap_or_else(|| wall::temporary_folder().join("keywatch-demo"));
    prepare(&directory)?;
    cli::run::start_log_file(&LogConfig { level: "info".into(), json: false }, &directory.join("keywatch.log"))?;
    let plan = Plan { seed: args.seed, keys: args.keys, live_for, speed: args.speed, directory };
    let mut screen = Screen::new(&plan);
    say(&screen.ink.paint(Style::Bold, "keywatch demo"));
    say(&text::wrap(
        "Everything runs on this machine; nothing is installed, nothing leaves it. Ctrl-C ends it.",
        screen.width,
        "",
    ));
    say("");
    screen.busy("simulating four weeks of traffic, a few seconds");
    let report = runtime()?.block_on(run(&plan, |progress| screen.on(progress)));
    screen.clear();
    let report = report?;
    show(&plan, &report, &screen);
    if report.score.rows.iter().any(|row| row.alerts.is_empty()) && !report.stopped_early {
        return Err(Failure::No("error: not everything that was planted was found".into()));
    }
    Ok(())
}

/// An empty folder, or one that an earlier demo has left.
fn prepare(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display();
    if directory.join(MARK).exists() {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("empty `{shown}`, which an earlier demo has left"))?;
    }
    std::fs::create_dir_all(directory).with_context(|| format!("make `{shown}`"))?;
    let mut inside = std::fs::read_dir(directory).with_context(|| format!("read `{shown}`"))?;
    if inside.next().is_some() {
        return Err(Failure::Usage(format!(
            "`{shown}` is not empty, and no demo made it\n\nhint: name a folder that is not there yet, with --out DIR"
        )));
    }
    std::fs::write(directory.join(MARK), "").with_context(|| format!("write in `{shown}`"))?;
    Ok(())
}

/// What is seen while it runs.
struct Screen {
    ink: Ink,
    width: usize,
    /// A line is written over again and again; only on a terminal.
    lives: bool,
    is_shown: bool,
    begun: std::time::Instant,
    step: std::time::Instant,
    speed: f64,
    live_for: Millis,
    last: Option<(std::time::Instant, u64)>,
    rate: f64,
    from: Option<Millis>,
    /// Alerts that were shown, and how severe they were then.
    shown: BTreeMap<String, Severity>,
}

impl Screen {
    fn new(plan: &Plan) -> Screen {
        let now = wall::instant();
        Screen {
            ink: Ink::stdout(),
            width: term::width(),
            lives: std::io::stdout().is_terminal() && !term::is_dumb(),
            is_shown: false,
            begun: now,
            step: now,
            speed: plan.speed,
            live_for: plan.live_for,
            last: None,
            rate: 0.0,
            from: None,
            shown: BTreeMap::new(),
        }
    }

    fn on(&mut self, progress: Progress) {
        self.clear();
        match progress {
            Progress::Simulated { history, live, planted } => {
                let what =
                    format!("{} lines of traffic, four weeks and {}", thousands(history + live), span(self.live_for));
                self.done("simulated", &what);
                self.done("", &format!("with {planted} incidents planted in it"));
                self.busy("learning the four weeks");
            }
            Progress::Learned { lines, alerts } => {
                let rate = lines as f64 / self.step.elapsed().as_secs_f64().max(0.001);
                self.done("learned", &format!("four weeks from a file, {} lines a second", thousands(rate as u64)));
                let past = if alerts == 1 {
                    "1 alert of that time is".into()
                } else {
                    format!("{alerts} alerts of that time are")
                };
                self.done("", &format!("{past} stored, and not mailed"));
                self.busy("starting the service");
            }
            Progress::Started => {
                self.done("started", "the service: an embedded broker, SQLite, mails as files");
                let what = format!("{} of traffic at {} times its pace", span(self.live_for), self.speed);
                for (n, line) in text::wrap(&what, self.width - 11, "").lines().enumerate() {
                    say(&format!("{:<11}{line}", if n == 0 { "playing" } else { "" }));
                }
                say("");
            }
            Progress::Playing(status) => self.status(status),
            Progress::Alert(alert) => self.alert(&alert),
        }
    }

    /// A line about a step that is over, with how long it took.
    fn done(&mut self, word: &str, what: &str) {
        let took = self.step.elapsed().as_secs_f64();
        let took = if word.is_empty() { String::new() } else { format!("{took:.1} s") };
        if !word.is_empty() {
            self.step = wall::instant();
        }
        let room = self.width.saturating_sub(11 + 8);
        for (n, line) in text::wrap(what, room, "").lines().enumerate() {
            let (word, took) = if n == 0 { (word, took.as_str()) } else { ("", "") };
            say(format!("{word:<11}{line:<room$} {took:>6}").trim_end());
        }
    }

    fn status(&mut self, status: Status) {
        let now = wall::instant();
        self.from.get_or_insert(status.at);
        match self.last {
            Some((at, sent)) if now.duration_since(at).as_millis() >= 1_000 => {
                self.rate = (status.sent - sent) as f64 / now.duration_since(at).as_secs_f64();
                self.last = Some((now, status.sent));
            }
            None => self.last = Some((now, status.sent)),
            Some(_) => {}
        }
        if !self.lives || status.at == 0 {
            return;
        }
        let gone = (status.at - self.from.unwrap_or(status.at)) as f64 / self.live_for.max(1) as f64;
        let alerts = if status.alerts == 1 { "1 alert".into() } else { format!("{} alerts", status.alerts) };
        let told = format!("{} UTC  {:>4.0} events/s  lag {}  {alerts}", clock(status.at), self.rate, status.lag);
        let bar = bar(gone, self.width.saturating_sub(told.chars().count() + 3).min(24));
        print_raw(&self.ink.paint(Style::Dim, &format!("{bar} {told}")));
        self.is_shown = true;
    }

    /// What goes on now, on a terminal only: the next line takes its place.
    fn busy(&mut self, what: &str) {
        if self.lives {
            print_raw(&self.ink.paint(Style::Dim, &format!("{what} …")));
            self.is_shown = true;
        }
    }

    /// Takes the living line away.
    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            print_raw("\r\x1b[K");
        }
    }

    fn alert(&mut self, alert: &Alert) {
        let known = self.shown.insert(alert.alert_id.clone(), alert.severity);
        // What goes on is news where it has become worse.
        if alert.ends_at.is_none() && known.is_some_and(|known| alert.severity <= known) {
            return;
        }
        let style = match alert.severity {
            Severity::Info => Style::Dim,
            Severity::Warning => Style::Yellow,
            Severity::High | Severity::Critical => Style::Red,
        };
        let what = match alert.ends_at {
            Some(_) => "ended",
            None => alert.severity.as_str(),
        };
        let at = alert.ends_at.unwrap_or(alert.detected_at);
        let head = format!(
            "{}  {}  {}",
            clock(at),
            self.ink.paint(style, &format!("{what:<8}")),
            self.ink.paint(Style::Bold, &alert.rule)
        );
        say(&head);
        if alert.ends_at.is_none() {
            let whom = [alert.merchant_id.as_deref(), alert.key_hint.as_deref().or(alert.key_id.as_deref())];
            let whom: Vec<&str> = whom.into_iter().flatten().collect();
            say(&text::wrap(&format!("{}: {}", whom.join(" "), alert.summary), self.width, "       "));
        }
    }
}

fn show(plan: &Plan, report: &Report, screen: &Screen) {
    let (ink, width) = (screen.ink, screen.width);
    say("");
    say(&ink.paint(Style::Bold, "What was planted, and what was found"));
    say("");
    table(report, screen);
    extra(report, screen);

    say("");
    say(&ink.paint(Style::Bold, &format!("{} mails", report.mails.len())));
    say("");
    for mail in report.mails.iter().take(MAILS_LISTED) {
        say(&text::wrap(&format!("{}: {}", mail.to.join(", "), mail.subject), width, "  "));
    }
    if let Some(more) = report.mails.len().checked_sub(MAILS_LISTED).filter(|more| *more > 0) {
        say(&format!("  and {more} more"));
    }

    say("");
    say(&ink.paint(Style::Bold, "What to try next"));
    say("");
    // As it was called: what it names can be copied, wherever the program lies.
    let (program, directory) = (quoted(&wall::program()), plan.directory.display());
    let config = quoted(&format!("{directory}/keywatch.yml"));
    let example = report.score.rows.iter().flat_map(|row| &row.alerts).next();
    let show = example.map(|alert| format!("{program} alerts show {}", alert.alert_id));
    for command in [Some(format!("{program} alerts list")), show].into_iter().flatten() {
        let is_long = width < command.chars().count() + config.chars().count() + 12;
        say(&format!("  {command} {}--config {config}", if is_long { "\\\n    " } else { "" }));
    }
    say("");
    say(&text::wrap(&format!("Mails, rules and the log are in {directory}."), width, "  "));
    say(&text::wrap("Your own gateway's logs: docs/connect.md.", width, "  "));
    say("");
    let all = report.score.rows.iter().filter(|row| row.is_played(report.played_to)).count();
    let found = report.score.rows.iter().filter(|row| !row.alerts.is_empty()).count();
    let early = if report.stopped_early { ", stopped before its end" } else { "" };
    let seconds = screen.begun.elapsed().as_secs();
    let last = format!(
        "{found} of {all} found, {} about nothing that was planted; {} events played{early}, {} in all",
        match report.score.extra.len() {
            0 => "no alert".to_owned(),
            1 => "1 alert".to_owned(),
            n => format!("{n} alerts"),
        },
        thousands(report.played),
        span(seconds as Millis * SECOND),
    );
    say(&ink.paint(Style::Bold, &text::wrap(&last, width, "")));
}

/// As a shell reads it as one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@+,".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The columns beside what was planted: times, words, receivers.
const COLUMNS: usize = 2 + 1 + 6 + 1 + 10 + 1 + 17;

/// A line for each planted incident; on a narrow terminal two.
fn table(report: &Report, screen: &Screen) {
    let (ink, width) = (screen.ink, screen.width);
    let is_narrow = width < COLUMNS + 24;
    let room = if is_narrow { width - 2 } else { (width - COLUMNS).min(44) };
    if !is_narrow {
        say(&ink.paint(Style::Dim, &format!("  {:<room$} {:<6} {:<10} mailed to", "planted", "at", "found")));
    }
    for row in &report.score.rows {
        let (word, style) = match row.found_after() {
            None if !row.is_played(report.played_to) => ("not played".to_owned(), Style::Dim),
            None => ("not found".to_owned(), Style::Red),
            Some(after) if after < MINUTE => ("at once".to_owned(), Style::Green),
            Some(after) => (format!("in {}", span(after)), Style::Green),
        };
        let found = ink.paint(style, &format!("{word:<10}"));
        let rest = format!("{:<6} {found} {}", clock(row.planted.starts_at), told_of(report, row));
        for (n, line) in text::wrap(&row.planted.what, room, "").lines().enumerate() {
            match n {
                0 if !is_narrow => say(format!("  {line:<room$} {rest}").trim_end()),
                _ => say(&format!("  {line}")),
            }
        }
        if is_narrow {
            say(&format!("    {rest}"));
        }
    }
}

/// Alerts that nobody planted, each with what it says.
fn extra(report: &Report, screen: &Screen) {
    if report.score.extra.is_empty() {
        return;
    }
    say("");
    say("  Alerts about nothing that was planted:");
    for alert in &report.score.extra {
        let key = alert.key_hint.as_deref().or(alert.key_id.as_deref()).unwrap_or("no key");
        say(&text::wrap(
            &format!("{} {}: {key}: {}", clock(alert.starts_at), alert.rule, alert.summary),
            screen.width,
            "    ",
        ));
    }
}

/// The receivers that were told of any alert of a row.
fn told_of(report: &Report, row: &Row) -> String {
    let mut receivers: Vec<Receiver> = report
        .told
        .iter()
        .filter(|(id, _)| row.alerts.iter().any(|alert| alert.alert_id == *id))
        .flat_map(|(_, told)| told.iter().map(|told| told.receiver))
        .collect();
    receivers.sort();
    receivers.dedup();
    receivers.iter().map(|receiver| receiver.as_str()).collect::<Vec<_>>().join(", ")
}

/// `14:05`, in UTC.
fn clock(at: Millis) -> String {
    rfc3339(at)[11..16].to_owned()
}

/// A span in words, to the unit that matters.
fn span(length: Millis) -> String {
    let (hours, minutes, seconds) = (length / (60 * MINUTE), length / MINUTE % 60, length / SECOND % 60);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn bar(gone: f64, width: usize) -> String {
    let full = (gone.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "━".repeat(full), "─".repeat(width - full))
}

fn print_raw(text: &str) {
    let mut out = std::io::stdout();
    // A terminal that has gone away is noticed elsewhere.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
