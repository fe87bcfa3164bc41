//! `keywatch lab`: rules scored on labelled traffic, in this process and without a broker.
//!
//! For each seed the simulator writes into a temporary folder, `replay` judges it, and what was found is set against what
//! was planted. Rules to compare with see the same lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::config::{Limits, MailConfig, MailTransport};
use crate::event::auth::Decoder;
use crate::event::redact::Masker;
use crate::geoip::GeoIp;
use crate::replay::{Replay, replay};
use crate::rules::RuleSet;
use crate::simulate::{self, Incidents, Labels, Traffic, asn_database, country_database};
use crate::source::file::FileSource;
use crate::time::{DAY, Millis, SECOND};
use crate::wall;

pub mod budget;
pub mod known;
pub mod nab;
pub mod report;
pub mod rivals;
pub mod score;
pub mod table;

use known::Known;
use report::{Report, Run};
use score::{Found, Rows, judge};

/// How long keys are only getting known; false alerts of that time are counted apart.
pub const WARM_UP: Millis = 14 * DAY;
/// Midnight UTC of the first day, a Thursday in each case.
fn starts_at(traffic: Traffic) -> Millis {
    match traffic {
        // 10 September 2026: five weeks from here end before the clocks change.
        Traffic::Usual => 20_706 * DAY,
        // 1 October: Europe's clocks change in the fourth week, and America's in the fifth, in which a month begins too.
        Traffic::Hard => 20_727 * DAY,
        // 5 November: no clock changes for four months.
        Traffic::Still(_) => 20_762 * DAY,
    }
}

/// Keys that facts may name.
const FACT_KEYS: usize = 10_000_000;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One simulation each.
    pub seeds: RangeInclusive<u64>,
    /// Keys of each.
    pub keys: u32,
    /// Days of each.
    pub days: u32,
    /// Who calls.
    pub traffic: Traffic,
    /// Whether incidents are planted.
    pub with_incidents: bool,
    /// Rule sets, the first of which is in question.
    pub rules: Vec<Rules>,
    /// Whether other tools' usual rules are scored too.
    pub with_rivals: bool,
    /// Whether addresses are looked up.
    pub with_geoip: bool,
    /// How long a key is silent that is planted as stale or as waking up. The rules should say the same.
    pub unused_for: Millis,
}

/// A rule set with a name for the table.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What the table calls it.
    pub name: String,
    /// The rules.
    pub rules: Arc<RuleSet>,
}

/// How far it is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Which seed.
    pub seed: u64,
    /// What is done with it.
    pub doing: String,
}

/// How long an unused key can be silent in so many days, with the second half for what is planted.
pub fn unused_for(days: u32) -> Millis {
    (i64::from(days / 2) - 3).clamp(1, 90) * DAY
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Folder> {
        let path = wall::temporary_folder().join(format!("keywatch-lab-{}", wall::instance_name()));
        std::fs::create_dir_all(&path).with_context(|| format!("make `{}`", path.display()))?;
        Ok(Folder(path))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder for temporary files is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the plan. Errors are those of files and of the replay's own store.
pub async fn run(plan: &Plan, mut each: impl FnMut(Progress)) -> anyhow::Result<Report> {
    let mut runs: Vec<Run> = plan.rules.iter().map(|rules| Run::new(&rules.name)).collect();
    let mut rivals: Vec<Run> = Vec::new();
    for seed in plan.seeds.clone() {
        let mut tell = |doing: String| each(Progress { seed, doing });
        let folder = Folder::new()?;
        let labels = write_traffic(plan, seed, &folder, &mut tell)?;
        tell(format!("reading {} lines", labels.lines));
        let decoder = Decoder::new(b"lab", Masker::default());
        let mut others = if plan.with_rivals { rivals::all() } else { Vec::new() };
        let known = read(&folder, &decoder, plan, &mut others)?;
        for (run, rules) in runs.iter_mut().zip(&plan.rules) {
            tell(format!("judging with {}", rules.name));
            let found = judge_with(plan, &folder, &labels, &decoder, rules.rules.clone()).await?;
            run.add(seed, rows(&labels, &known, found), &known);
        }
        for (at, rival) in others.into_iter().enumerate() {
            if rivals.len() <= at {
                rivals.push(Run::new(rival.name()));
            }
            rivals[at].add(seed, rows(&labels, &known, rival.found()), &known);
        }
    }
    runs.append(&mut rivals);
    let seeds = plan.seeds.clone().count();
    Ok(Report {
        seeds: (*plan.seeds.start(), *plan.seeds.end()),
        n_seeds: seeds,
        keys: plan.keys,
        days: plan.days,
        runs,
    })
}

fn rows(labels: &Labels, known: &Known, found: Vec<Found>) -> Rows {
    judge(labels, known, found)
}

fn write_traffic(plan: &Plan, seed: u64, folder: &Folder, tell: &mut impl FnMut(String)) -> anyhow::Result<Labels> {
    let open = |name: &str| {
        let path = folder.join(name);
        File::create(&path)
            .map(|file| BufWriter::with_capacity(1 << 18, file))
            .with_context(|| format!("write `{}`", path.display()))
    };
    let (mut events, mut facts) = (open("events.jsonl")?, open("key-events.jsonl")?);
    let simulation = simulate::Plan {
        seed,
        keys: plan.keys,
        days: plan.days,
        starts_at: starts_at(plan.traffic),
        incidents: if plan.with_incidents { Incidents::Spread } else { Incidents::None },
        unused_for: plan.unused_for,
        traffic: plan.traffic,
    };
    let labels = simulate::simulate_telling(&simulation, &mut events, &mut facts, |day| {
        tell(format!("simulating day {day} of {}", plan.days));
    });
    let labels = labels.and_then(|labels| events.flush().and_then(|()| facts.flush()).map(|()| labels));
    let labels = labels.context("write the traffic")?;
    if plan.with_geoip {
        for (name, bytes) in [("asn.mmdb", asn_database()), ("country.mmdb", country_database())] {
            std::fs::write(folder.join(name), bytes).with_context(|| format!("write `{name}`"))?;
        }
    }
    Ok(labels)
}

/// One pass over facts and events: what is true of each key, and what the rivals find.
fn read(
    folder: &Folder,
    decoder: &Decoder,
    plan: &Plan,
    rivals: &mut [Box<dyn rivals::Rival>],
) -> anyhow::Result<Known> {
    let begins = starts_at(plan.traffic);
    let mut known = Known::new(begins..begins + i64::from(plan.days) * DAY, plan.unused_for, FACT_KEYS);
    each_line(&folder.join("key-events.jsonl"), |line| {
        if let Ok(Some(fact)) = decoder.decode_fact(line, None) {
            known.fact(&fact);
        }
    })?;
    let mut last_ids = rivals::Ids::default();
    each_line(&folder.join("events.jsonl"), |line| {
        let Ok(event) = decoder.decode_auth(line, None) else { return };
        if event.event_id.as_deref().is_some_and(|id| !last_ids.is_new(id)) {
            return;
        }
        known.event(&event);
        rivals.iter_mut().for_each(|rival| rival.event(&event));
    })?;
    known.close();
    Ok(known)
}

fn each_line(path: &Path, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let mut source = FileSource::open(path, "lab", 0).map_err(anyhow::Error::msg)?;
    while let Some(batch) = source.next_batch().with_context(|| format!("read `{}`", path.display()))? {
        batch.messages.iter().for_each(|message| each(batch.payload(message)));
    }
    Ok(())
}

async fn judge_with(
    plan: &Plan,
    folder: &Folder,
    labels: &Labels,
    decoder: &Decoder,
    rules: Arc<RuleSet>,
) -> anyhow::Result<Vec<Found>> {
    let databases: &[&str] = if plan.with_geoip { &["asn.mmdb", "country.mmdb"] } else { &[] };
    let databases: Vec<PathBuf> = databases.iter().map(|name| folder.join(name)).collect();
    let geoip = Arc::new(GeoIp::open(&databases).map_err(anyhow::Error::msg)?);
    let replayed = replay(
        replay_of(&folder.join("events.jsonl"), Some(&folder.join("key-events.jsonl")), labels.ends_at, geoip),
        rules,
        decoder,
    )
    .await
    .context("judge the traffic")?;
    Ok(replayed.alerts.iter().map(Found::of).collect())
}

/// A replay that keeps and sends nothing.
pub fn replay_of(events: &Path, facts: Option<&Path>, until: Millis, geoip: Arc<GeoIp>) -> Replay {
    Replay {
        events: events.to_owned(),
        key_events: facts.map(Path::to_owned),
        partitions: 1,
        until: Some(until),
        save_state: None,
        mail_out: None,
        mail: MailConfig {
            from: String::new(),
            reply_to: String::new(),
            support: Vec::new(),
            operations: Vec::new(),
            link: None,
            transport: MailTransport::None,
            give_up_after: DAY,
        },
        limits: Limits::default(),
        with_shadow: false,
        group_wait: 30 * SECOND,
        geoip,
    }
}
