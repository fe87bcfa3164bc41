//! Sets the stage: simulated traffic, cut in a history and a part to be played, and the incidents in it.

use std::fs::File;
use std::io::BufWriter;

use super::*;
use crate::simulate::{self, Incidents, Kind, Planted as Planned};

/// Weeks that are learned before anything is played.
const HISTORY_DAYS: i64 = 28;
/// Thursday 10 September 2026: neither a month's end nor a change of clocks within four weeks.
const BEGINS: Millis = 20_706 * DAY;
/// When the part through the broker begins: in Europe the shops are open, in America they are opening.
const HOUR_OF_DAY: Millis = 14 * HOUR;
/// After how many days without use the demo's rules call a key stale.
pub const UNUSED_DAYS: i64 = 21;
/// A time that jumps further than this ahead of the lines before it is a wrong clock, not the stream's time.
const JUMP: Millis = 6 * HOUR;

/// What is planted in the played part, and where in it, in hundredths.
const PLANTED: &[(Kind, i64)] = &[
    (Kind::RevokedKeyUse, 6),
    (Kind::NewIp, 14),
    (Kind::TestKeyAtLive, 24),
    (Kind::StaleKey, 33),
    (Kind::Spike, 42),
    (Kind::RotatedKeyUse, 60),
    (Kind::LiveKeyAtTest, 72),
];

/// The traffic, ready to be learned and played.
pub struct Stage {
    /// Lines to learn from.
    pub history_lines: u64,
    /// Lines to play.
    pub live: Vec<Line>,
    /// The file of facts.
    pub facts: PathBuf,
    /// What was planted.
    pub planted: Vec<Planted>,
    /// When the played part begins.
    pub live_from: Millis,
}

/// Simulates, and cuts what comes in two.
pub fn set(plan: &Plan, decoder: &Decoder) -> anyhow::Result<Stage> {
    let live_from = BEGINS + HISTORY_DAYS * DAY + HOUR_OF_DAY;
    let planted =
        PLANTED.iter().map(|(kind, part)| Planned { kind: *kind, at: live_from + plan.live_for * part / 100 });
    let days = HISTORY_DAYS + (HOUR_OF_DAY + plan.live_for + DAY - 1) / DAY;
    let simulation = simulate::Plan {
        seed: plan.seed,
        keys: plan.keys,
        days: days as u32,
        starts_at: BEGINS,
        incidents: Incidents::Listed(planted.collect()),
        unused_for: UNUSED_DAYS * DAY,
        traffic: simulate::Traffic::Usual,
    };
    let in_folder = |name: &str| plan.directory.join(name);
    let open =
        |path: &Path| File::create(path).with_context(|| format!("write `{}`", path.display())).map(BufWriter::new);
    let facts = in_folder("key-events.jsonl");
    let mut splitter = Splitter {
        decoder,
        history: open(&in_folder("history.jsonl"))?,
        line: Vec::new(),
        at: BEGINS,
        live_from,
        live_until: live_from + plan.live_for,
        history_lines: 0,
        live: Vec::new(),
    };
    let mut facts_file = open(&facts)?;
    let labels = simulate::simulate(&simulation, &mut splitter, &mut facts_file).context("write the traffic")?;
    splitter.flush().and_then(|()| facts_file.flush()).context("write the traffic")?;
    let planted = labels
        .incidents
        .into_iter()
        .map(|label| Planted {
            kind: label.kind,
            also: label.also.iter().map(|kind| (*kind).to_owned()).collect(),
            merchant_id: label.merchant_id,
            key_id: label.key_id,
            starts_at: label.starts_at,
            ends_at: label.ends_at,
            what: label.what,
        })
        .collect();
    Ok(Stage { history_lines: splitter.history_lines, live: splitter.live, facts, planted, live_from })
}

/// Takes lines: what arrives before the played part goes to a file, what arrives in it is kept, the rest is left out.
struct Splitter<'a, W> {
    decoder: &'a Decoder,
    history: W,
    line: Vec<u8>,
    /// How far the times of the lines have come.
    at: Millis,
    live_from: Millis,
    live_until: Millis,
    history_lines: u64,
    live: Vec<Line>,
}

impl<W: Write> Splitter<'_, W> {
    fn take_line(&mut self) -> io::Result<()> {
        let event = self.decoder.decode_auth(&self.line, None);
        if let Ok(event) = &event
            && self.at < event.ts
            && event.ts < self.at + JUMP
        {
            self.at = event.ts;
        }
        if self.at < self.live_from {
            self.history_lines += 1;
            self.history.write_all(&self.line)?;
            return self.history.write_all(b"\n");
        }
        if self.at < self.live_until {
            let merchant = event.ok().and_then(|event| event.merchant_id.map(|id| id.into_owned()));
            let partition = merchant.as_deref().map_or(0, |merchant| foster_partition(merchant, PARTITIONS));
            self.live.push(Line { at: self.at, partition, key: merchant, payload: self.line.clone() });
        }
        Ok(())
    }
}

impl<W: Write> Write for Splitter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            self.line.extend_from_slice(part);
            if parts.peek().is_some() {
                self.take_line()?;
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.history.flush()
    }
}
