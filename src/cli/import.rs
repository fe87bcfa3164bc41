//! `keywatch import`: facts from a file into the store.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use crate::app::{decoder_for, open_store};
use crate::cli::alerts::{Output, sqlite_file};
use crate::cli::check::load_config;
use crate::cli::text::thousands;
use crate::cli::{ConfigArg, Failure, complain, runtime, say};
use crate::config::Config;
use crate::event::facts::Fact;
use crate::import::plan::{Counts, Plan, plan, subjects};
use crate::import::{BYTES_MAX, Columns, FIELDS, Form, Parsed, Reading, parse, render};
use crate::time::{Millis, parse_rfc3339};
use crate::wall;
use crate::yaml::closest;

/// Records that one transaction writes, so that a running service never waits long.
const CHUNK: usize = 1_000;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV whose first row names our fields, or JSON lines of key events; `-` = standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    #[doc = "Where the configuration is"]
    config: ConfigArg,
    /// How the file is written; JSON lines where it begins with `{`, else CSV
    #[arg(long, value_enum)]
    format: Option<FormArg>,
    /// Between two cells of CSV: one character, or `tab`
    #[arg(long, value_name = "CHAR", default_value = ",", value_parser = delimiter)]
    delimiter: u8,
    /// A column of CSV that has another name than our field, e.g. `key_id=ID`
    #[arg(long, value_name = "FIELD=COLUMN")]
    map: Vec<String>,
    /// A column of CSV to leave out
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// When the file was made (RFC 3339, or `now`): the date of rows that have no `ts`
    #[arg(long, value_name = "TIME", value_parser = time)]
    ts: Option<Millis>,
    /// Import the rest where lines are wrong
    #[arg(long)]
    skip_bad: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FormArg {
    /// A table.
    Csv,
    /// A JSON object a line.
    Json,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [one] if one.is_ascii_punctuation() && *one != b'"' => Ok(*one),
        b"\t" | b"tab" | b"\\t" => Ok(b'\t'),
        _ => Err("expected one character such as `;`, or `tab`".into()),
    }
}

fn time(text: &str) -> Result<Millis, String> {
    match text {
        "now" => Ok(wall::now()),
        text => parse_rfc3339(text).ok_or_else(|| "write it as 2026-11-23T08:00:00Z, or `now`".into()),
    }
}

/// `keywatch import`
pub fn import(args: &Args) -> Result<(), Failure> {
    let columns = columns(args)?;
    let config = load_config(&args.config.config)?;
    let name = args.file.display().to_string();
    let bytes = read(&args.file).with_context(|| format!("read `{name}`"))?;
    let decoder = decoder_for(&config.source, &config.brand);
    let reading = Reading {
        form: args.format.map(|form| if form == FormArg::Csv { Form::Csv } else { Form::JsonLines }),
        columns,
        ts: args.ts,
        now: wall::now(),
        has_fingerprint_secret: config.source.fingerprint_secret.is_some(),
        decoder: &decoder,
        masker: &config.brand.masker(),
    };
    let parsed = parse(&bytes, &reading);
    drop(bytes);
    let is_nothing_left = parsed.facts.is_empty() && parsed.bad_rows > 0;
    if !parsed.wrong.is_empty() && (parsed.is_hopeless || !args.skip_bad || is_nothing_left) {
        let mut text = render(&parsed, &name, "error");
        text.push_str(match args.skip_bad || parsed.is_hopeless {
            true => "nothing was imported\n",
            false => "nothing was imported; `--skip-bad` imports the other lines\n",
        });
        return Err(Failure::No(text));
    }
    if !parsed.wrong.is_empty() {
        complain(&render(&parsed, &name, "warning"));
    }
    let plan = runtime()?.block_on(merge(&config, &parsed.facts, args.dry_run))?;
    print(args, &parsed, &plan);
    Ok(())
}

fn columns(args: &Args) -> Result<Columns, Failure> {
    let mut map = Vec::new();
    for text in &args.map {
        let wrong = |what: String, hint: String| Failure::Usage(format!("--map {text}: {what}\n\nhint: {hint}"));
        let Some((ours, column)) = text.split_once('=').filter(|(_, column)| !column.is_empty()) else {
            return Err(wrong("expected FIELD=COLUMN".into(), "such as `--map key_id=ID`".into()));
        };
        let Some(field) = FIELDS.into_iter().find(|field| *field == ours) else {
            let hint = closest(ours, FIELDS).map(|field| format!("did you mean `{field}`?"));
            let hint = hint.unwrap_or_else(|| format!("our fields are {}", FIELDS.join(", ")));
            return Err(wrong(format!("there is no field `{ours}`"), hint));
        };
        if map.iter().any(|(known, _)| *known == field) {
            return Err(wrong(format!("`{field}` is mapped twice"), "keep one of them".into()));
        }
        map.push((field, column.trim().to_owned()));
    }
    let ignore = args.ignore.iter().map(|column| column.trim().to_owned()).collect();
    Ok(Columns { delimiter: args.delimiter, map, ignore })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path == Path::new("-") {
        true => std::io::stdin().take(BYTES_MAX + 1).read_to_end(&mut bytes)?,
        false => std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?,
    };
    anyhow::ensure!(bytes.len() as u64 <= BYTES_MAX, "it is larger than {} MiB", BYTES_MAX >> 20);
    Ok(bytes)
}

/// Merges facts into the store. A chunk that is written stays written where a later one fails: to import the file
/// again does the rest.
async fn merge(config: &Config, facts: &[Fact], is_dry_run: bool) -> anyhow::Result<Plan> {
    let is_new = sqlite_file(config.store.url.reveal()).is_some_and(|path| !path.exists());
    if is_dry_run && is_new {
        return Ok(plan(Vec::new(), Vec::new(), facts));
    }
    let store = open_store(config).await?;
    let (keys, merchants) = subjects(facts);
    let (keys, merchants) = store.facts_of(&keys, &merchants).await?;
    let plan = plan(keys, merchants, facts);
    let known = store.fact_keys().await? + plan.key_counts.new;
    let room = config.limits.fact_keys as u64;
    anyhow::ensure!(
        known <= room,
        "there would be {} keys with facts, more than `limits.fact_keys` ({}): nothing was imported",
        thousands(known),
        thousands(room)
    );
    if !is_dry_run {
        for keys in plan.keys.chunks(CHUNK) {
            store.save_facts(keys, &[], wall::now()).await.context("write the facts")?;
        }
        for merchants in plan.merchants.chunks(CHUNK) {
            store.save_facts(&[], merchants, wall::now()).await.context("write the facts")?;
        }
    }
    store.close().await;
    Ok(plan)
}

fn print(args: &Args, parsed: &Parsed, plan: &Plan) {
    if args.output == Output::Json {
        let report = json!({
            "dry_run": args.dry_run,
            "rows": parsed.rows,
            "left_out": parsed.bad_rows,
            "keys": plan.key_counts,
            "merchants": plan.merchant_counts,
        });
        return say(&report.to_string());
    }
    let line = |what: &str, counts: &Counts| {
        let Counts { new, changed, unchanged } = counts;
        let [new, changed, unchanged] = [new, changed, unchanged].map(|n| thousands(*n));
        say(&format!("{what:9}  {new} new, {changed} changed, {unchanged} unchanged"));
    };
    line("keys", &plan.key_counts);
    line("merchants", &plan.merchant_counts);
    match parsed.bad_rows {
        0 => {}
        1 => complain("1 line was left out"),
        n => complain(&format!("{} lines were left out", thousands(n))),
    }
    if args.dry_run {
        complain("a dry run: nothing was written");
    }
}
