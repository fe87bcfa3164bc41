//! `keywatch simulate`: labelled traffic in files.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::text::thousands;
use crate::cli::{Failure, complain, say};
use crate::simulate::{Incidents, Labels, Plan, Traffic, asn_database, country_database, simulate_telling};
use crate::time::{DAY, Millis, parse_duration, parse_rfc3339};
use crate::wall;

/// Every file that is written.
const FILES: [&str; 5] = ["events.jsonl", "key-events.jsonl", "labels.json", "asn.mmdb", "country.mmdb"];

/// Arguments of `keywatch simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Keys
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub keys: u32,
    /// Days
    #[arg(long, value_name = "N", default_value_t = 35, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub days: u32,
    /// Where to write; made where missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The first day begins here (midnight UTC)
    #[arg(long, value_name = "TIME", default_value = "2026-09-10T00:00:00Z", value_parser = midnight)]
    pub starts_at: Millis,
    /// What is planted: every kind over the second half, or nothing
    #[arg(long, value_enum, default_value = "spread")]
    pub incidents: What,
    /// Who calls, and what goes on beside incidents
    #[arg(long, value_enum, default_value = "usual")]
    pub traffic: Family,
    /// How long a key that is planted as unused is silent before
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
    pub unused_for: Millis,
    /// Write over files of an earlier simulation
    #[arg(long)]
    pub force: bool,
}

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Every kind.
    Spread,
    /// Nothing.
    None,
}

/// A family of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// Merchants as they mostly are
    Usual,
    /// Outages, partial failures, changes of clocks and schedules, tenfold growth, and thieves who know what is looked for
    Hard,
}

fn midnight(text: &str) -> Result<Millis, String> {
    let at = parse_rfc3339(text).ok_or("write it as 2026-09-10T00:00:00Z")?;
    if at % DAY == 0 { Ok(at) } else { Err("a day begins at midnight UTC: …T00:00:00Z".into()) }
}

fn duration(text: &str) -> Result<Millis, String> {
    parse_duration(text).filter(|at| *at >= DAY).ok_or_else(|| "write it as 21d or 12w, at least a day".into())
}

/// Writes a simulation.
pub fn simulate(args: &Args) -> Result<(), Failure> {
    let shown = args.out.display();
    std::fs::create_dir_all(&args.out).with_context(|| format!("make `{shown}`"))?;
    if !args.force
        && let Some(there) = FILES.iter().find(|name| args.out.join(name).exists())
    {
        return Err(Failure::Usage(format!(
            "`{}` is there already\n\nhint: --force writes over it, or name another folder with --out",
            args.out.join(there).display()
        )));
    }
    let plan = Plan {
        seed: args.seed,
        keys: args.keys,
        days: args.days,
        starts_at: args.starts_at,
        incidents: match args.incidents {
            What::Spread => Incidents::Spread,
            What::None => Incidents::None,
        },
        unused_for: args.unused_for,
        traffic: if args.traffic == Family::Hard { Traffic::Hard } else { Traffic::Usual },
    };
    let begun = wall::instant();
    let labels = write(&plan, &args.out)?;
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!(
        "{} lines in {seconds:.1} s: {} keys, {} days, {} twice, {} that are no event",
        thousands(labels.lines),
        thousands(u64::from(args.keys)),
        args.days,
        thousands(labels.duplicates),
        thousands(labels.broken)
    ));
    say(&format!(
        "{} incidents, and {} that only look like one: {shown}/labels.json",
        labels.incidents.len(),
        labels.benign.len()
    ));
    say("");
    say(&format!("try: keywatch replay --events {shown}/events.jsonl --key-events {shown}/key-events.jsonl"));
    Ok(())
}

fn write(plan: &Plan, out: &Path) -> anyhow::Result<Labels> {
    let path = |name: &str| out.join(name);
    let open = |name: &str| {
        File::create(path(name))
            .map(|file| BufWriter::with_capacity(1 << 18, file))
            .with_context(|| format!("write `{}`", path(name).display()))
    };
    let (mut events, mut facts) = (open(FILES[0])?, open(FILES[1])?);
    let lives = std::io::stderr().is_terminal() && !crate::cli::term::is_dumb();
    let labels = simulate_telling(plan, &mut events, &mut facts, |day| {
        if lives {
            let _ = write!(std::io::stderr(), "\rday {day} of {}\x1b[K", plan.days);
        }
    });
    if lives {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let labels = labels
        .and_then(|labels| events.flush().and_then(|()| facts.flush()).map(|()| labels))
        .context("write the traffic")?;
    let text = serde_json::to_string_pretty(&labels)? + "\n";
    for (name, bytes) in [(FILES[2], text.into_bytes()), (FILES[3], asn_database()), (FILES[4], country_database())] {
        std::fs::write(path(name), bytes).with_context(|| format!("write `{}`", path(name).display()))?;
    }
    if labels.incidents.is_empty() && matches!(plan.incidents, Incidents::Spread) {
        complain("warning: nothing was planted: no key fits; more keys help");
    }
    Ok(labels)
}
