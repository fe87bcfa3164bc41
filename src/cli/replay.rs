//! `keywatch replay`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args as ClapArgs;

use crate::app::{decoder, decoder_for};
use crate::brand::Brand;
use crate::cli::check::load_config;
use crate::cli::{Failure, complain, runtime, say, text};
use crate::config::{Limits, MailConfig, MailTransport};
use crate::engine::detect::SPECS;
use crate::event::mapping::{Format, PRESETS, preset};
use crate::geoip::GeoIp;
use crate::replay::{Looks, Replay, Replayed, replay as run};
use crate::rules::compile::load;
use crate::rules::set::Override;
use crate::time::{DAY, SECOND, parse_rfc3339};
use crate::wall;
use crate::yaml::{Problem, render};

/// Arguments of `replay`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Folder of rules
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Events, one JSON object a line; `-` = standard input
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Facts about keys and merchants, one JSON object a line
    #[arg(long, value_name = "FILE")]
    key_events: Option<PathBuf>,
    /// Form of the events: what gateway wrote them
    #[arg(long, value_name = "PRESET", value_parser = clap::builder::PossibleValuesParser::new(PRESETS.map(|(name, _)| name)))]
    format: Option<String>,
    /// Look addresses up in this database; may be given several times
    #[arg(long, value_name = "MMDB")]
    geoip: Vec<PathBuf>,
    /// Let event time go on until then (RFC 3339), so that what is due fires
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Spread the keys over N shards; changes nothing about what is found
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: u32,
    /// Change a rule's parameter, e.g. `stale-key.unused_for=30d`
    #[arg(long = "set", value_name = "RULE.PARAM=VALUE")]
    set: Vec<String>,
    /// Take limits, addresses and the fingerprint's secret from this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write alert records here, one a line; `-` = standard output
    #[arg(long, value_name = "FILE")]
    alerts_out: Option<PathBuf>,
    /// Write the mails that would have been sent into this folder, as .eml files
    #[arg(long, value_name = "DIR")]
    mail_out: Option<PathBuf>,
    /// Keep the learned state in this SQLite file, or in the database of a postgres:// URL, for `keywatch run`
    #[arg(long, value_name = "FILE|URL")]
    save_state: Option<PathBuf>,
    /// Also what is shadowed or suppressed
    #[arg(long)]
    all: bool,
}

/// Replays a file and prints what was found.
pub fn replay(args: &Args) -> Result<(), Failure> {
    must_be_there(args)?;
    let config = args.config.as_deref().map(load_config).transpose()?;
    let until = match &args.until {
        None => None,
        Some(text) => Some(parse_rfc3339(text).ok_or_else(|| {
            Failure::Usage(format!("--until `{text}` is no time\n\nhint: write it as 2026-11-23T08:00:00Z"))
        })?),
    };
    let overrides: Vec<Override> = args
        .set
        .iter()
        .map(|text| Override::parse(text).map_err(|problem| wrong_set(&[problem])))
        .collect::<Result<_, _>>()?;
    let brand = config.as_ref().map_or_else(Brand::default, |config| config.brand.clone());
    let rules = load(&args.rules, SPECS, &overrides).map_err(|problems| {
        let is_set = problems.iter().all(|problem| problem.file.starts_with("--set "));
        if is_set { wrong_set(&problems) } else { Failure::No(render(&problems)) }
    })?;
    let decoder = config.as_ref().map_or_else(|| decoder(None, &brand), |config| decoder_for(&config.source, &brand));
    let decoder = match &args.format {
        None => decoder,
        Some(name) => decoder.with_format(preset(name).map_or(Format::Native, Format::Mapped)),
    };
    let databases = match (&config, args.geoip.is_empty()) {
        (Some(config), true) => &config.geoip.databases,
        _ => &args.geoip,
    };
    let plan = Replay {
        with_shadow: args.all,
        events: args.events.clone(),
        key_events: args.key_events.clone(),
        partitions: args.partitions,
        until,
        save_state: args.save_state.clone(),
        mail_out: args.mail_out.clone(),
        mail: config.as_ref().map_or_else(|| sample_addresses(&brand), |c| c.mail.clone()),
        limits: config.as_ref().map_or_else(Limits::default, |c| c.limits.clone()),
        group_wait: config.as_ref().map_or(30 * SECOND, |c| c.alerts.group_wait),
        geoip: Arc::new(GeoIp::open(databases).map_err(|what| Failure::Unanswered(anyhow::anyhow!("{what}")))?),
    };
    let started = wall::instant();
    let replayed = runtime()?.block_on(run(plan, Arc::new(rules.in_words_of(&brand)), &decoder))?;
    let seconds = started.elapsed().as_secs_f64();

    if let Some(why) = nothing_judged(args, &replayed) {
        return Err(Failure::Unanswered(anyhow::anyhow!("{why}")));
    }
    match &args.alerts_out {
        Some(path) => write_alerts(path, &replayed)?,
        None => text::in_order(&replayed.alerts).for_each(|alert| say(&text::alert(alert, text::width()))),
    }
    warnings(args, &replayed);
    if std::io::stderr().is_terminal() || args.alerts_out.is_none() {
        summary(args, &replayed, seconds);
    }
    Ok(())
}

/// A rule or parameter that `--set` names wrongly is wrong use, not a wrong rule file.
pub(super) fn wrong_set(problems: &[Problem]) -> Failure {
    let text = render(problems);
    Failure::Usage(text.strip_prefix("error: ").unwrap_or(&text).to_owned())
}

fn sample_addresses(brand: &Brand) -> MailConfig {
    let host = brand.support.rsplit('@').next().unwrap_or("localhost");
    MailConfig {
        from: format!("keywatch@{host}"),
        reply_to: brand.support.clone(),
        support: vec![brand.support.clone()],
        operations: vec![format!("operations@{host}")],
        link: brand.link.clone(),
        transport: MailTransport::None,
        give_up_after: DAY,
    }
}

fn write_alerts(path: &Path, replayed: &Replayed) -> Result<(), Failure> {
    let lines: String =
        replayed.alerts.iter().filter_map(|alert| serde_json::to_string(alert).ok()).map(|line| line + "\n").collect();
    if path == Path::new("-") {
        // A reader that has gone away is no error.
        let _ = std::io::stdout().write_all(lines.as_bytes());
        return Ok(());
    }
    std::fs::write(path, lines).with_context(|| format!("write alerts to `{}`", path.display())).map_err(Failure::from)
}

/// What the arguments name is looked for before an hour is spent on reading.
fn must_be_there(args: &Args) -> Result<(), Failure> {
    let missing = |what: String| Err(Failure::Unanswered(anyhow::anyhow!("{what}")));
    if let Some(config) = args.config.as_deref().filter(|path| !path.exists()) {
        return missing(format!("cannot open `{}`: there is no such file", config.display()));
    }
    if !args.rules.is_dir() {
        let hint = "hint: `--rules` names the folder of rules";
        return missing(format!("there is no folder of rules `{}`\n\n{hint}", args.rules.display()));
    }
    let folder = args.alerts_out.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => missing(format!("there is no folder `{}` to write alerts into", folder.display())),
        None => Ok(()),
    }
}

/// Why a replay says nothing: to find no alert in what was not read is no answer.
fn nothing_judged(args: &Args, replayed: &Replayed) -> Option<String> {
    let file = args.events.display();
    if let (Some((line, what)), 0) = (replayed.bad_facts.first(), replayed.facts) {
        let facts = args.key_events.as_deref().unwrap_or(Path::new("-")).display();
        let hint = "hint: one JSON object a line; are `--events` and `--key-events` the right way round?";
        return Some(format!("no line of `{facts}` is a fact\n\n{facts}:{line}: {what}\n\n{hint}"));
    }
    if replayed.messages == 0 {
        // Facts alone can be asked what is due by then.
        let asks_facts = args.key_events.is_some() && args.until.is_some();
        return (!asks_facts).then(|| format!("`{file}` is empty: there was nothing to judge"));
    }
    // What was read and is of no known key was judged by its source all the same.
    let rejected: u64 = replayed.rejected.iter().map(|(_, n)| n).sum();
    let (line, what, looks) = replayed.first_bad.as_ref().filter(|_| rejected >= replayed.messages)?;
    let hint = match looks {
        Looks::Gzip => format!("it is compressed: `gunzip -c {file} | keywatch replay --events -`"),
        Looks::Document => format!("one JSON object a line is expected: `jq -c '.[]' {file}` makes that of a list"),
        Looks::Fact => "these are facts: are `--events` and `--key-events` the right way round?".to_owned(),
        Looks::Unknown => "one JSON object a line is expected; `--format` says what gateway wrote it".to_owned(),
    };
    Some(format!("nothing in `{file}` could be judged\n\n{file}:{line}: {what}\n\nhint: {hint}"))
}

/// What was not read or not seen, on standard error, wherever the alerts go.
fn warnings(args: &Args, replayed: &Replayed) {
    if replayed.bad_facts.is_empty() && replayed.rejected.is_empty() && !is_mostly_late(replayed) {
        return;
    }
    complain("");
    for (line, what) in replayed.bad_facts.iter().take(10) {
        let file = args.key_events.as_deref().unwrap_or(Path::new("-"));
        complain(&format!("warning: {}:{line}: {what}", file.display()));
    }
    for (reason, count) in &replayed.rejected {
        let were = if *count == 1 { "line was" } else { "lines were" };
        complain(&format!("warning: {count} {were} no event: {}", reason.as_str()));
    }
    if is_mostly_late(replayed) {
        let late = text::thousands(replayed.intake.late);
        complain(&format!(
            "warning: {late} events are late, most of them: kinds that count calls saw nothing of those\n\n\
             hint: sort the file by time, the oldest first"
        ));
    }
}

/// Whether the file is not in the order of time. A few lines say nothing about that.
fn is_mostly_late(replayed: &Replayed) -> bool {
    10 <= replayed.intake.late && replayed.shards.judged < 2 * replayed.intake.late
}

/// What was read and found, on standard error; the most important line last.
fn summary(args: &Args, replayed: &Replayed, seconds: f64) {
    if replayed.bad_facts.is_empty() && replayed.rejected.is_empty() && !is_mostly_late(replayed) {
        complain("");
    }
    let (i, width) = (&replayed.intake, text::width());
    let counts = [
        (i.duplicates, "duplicate"),
        (i.late, "late"),
        (i.parked, "held until confirmed"),
        (replayed.shards.no_merchant, "without a merchant"),
    ];
    let also: String =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {} {what}", text::thousands(*n))).collect();
    let (lines, judged) = (text::thousands(replayed.messages), text::thousands(replayed.shards.judged));
    let s = if replayed.messages == 1 { "" } else { "s" };
    complain(&text::wrap(&format!("{lines} line{s} in {seconds:.1} s: {judged} judged{also}"), width, ""));
    if let Some(directory) = &args.mail_out {
        complain(&format!("{} mails in {}", replayed.mails, directory.display()));
    }
    let mut rules: BTreeMap<&str, u32> = BTreeMap::new();
    for alert in &replayed.alerts {
        *rules.entry(&alert.rule).or_default() += 1;
    }
    let rules: Vec<String> = rules.into_iter().map(|(rule, n)| format!("{n}\u{a0}{rule}")).collect();
    let total = match replayed.alerts.len() {
        0 => "no alerts".into(),
        1 => format!("1 alert: {}", rules.join(", ")),
        n => format!("{n} alerts: {}", rules.join(", ")),
    };
    // A number stays with its rule.
    complain(&text::wrap(&total, width, "").replace('\u{a0}', " "));
}
