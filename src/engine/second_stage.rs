//! The second stage: what is only seen across shards.
//!
//! Shards tell it signals, each with its event time. Once every shard has passed a minute by the lateness nothing can be
//! added to it: then what all of them have told of it is merged, in an order of its own. Sets and sorted maps in, so the
//! same comes of it however the subjects are spread over partitions and in whatever order the signals arrive.
//!
//! It says what the fleet is like, day by day, and opens cases of its own (many merchants in trouble at once, one network at the doors of several merchants), and
//! takes alerts over: a merchant is not told that calls are missing when they are missing everywhere, and what one network
//! does with the keys of many merchants is one matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::{Alert, Kind, State};
use crate::engine::fleet::{self, Sample, Sums, Traits};
use crate::engine::shard::Change;
use crate::rules::RuleSet;
use crate::time::{DAY, MINUTE, Millis};

pub mod activity;
mod course;
mod doors;
mod platform;
pub mod signal;
mod stored;

use activity::Activity;
use doors::Doors;
use platform::Platform;
use signal::{Finding, Knock, Misused, Signal};

/// Findings, and as many knocks, that are merged of one minute: those that come first by name.
const SIGNALS_PER_MINUTE: usize = 10_000;

/// How long alerts about volume wait, once their minute can be merged, before anybody hears of them: in this time a
/// platform incident takes them over.
pub const GUARD: Millis = 2 * MINUTE;

/// The state over all shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecondStage {
    lateness: Millis,
    /// Every minute before is merged.
    merged_to: Option<Millis>,
    waiting: BTreeMap<i64, Minute>,
    activity: Activity,
    platform: Platform,
    doors: Doors,
    fleet: Sums,
    counts: StageCounts,
}

/// What shards have told of one minute.
#[derive(Clone, Debug, Default, PartialEq)]
struct Minute {
    found: BTreeMap<String, Finding>,
    ended: BTreeMap<String, Millis>,
    knocks: BTreeMap<(String, String), Knock>,
    misused: BTreeMap<String, Misused>,
    active: Activity,
    /// Those of the day that ends with it.
    lessons: Sample,
}

/// What it counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Signals of minutes that were merged already.
    pub late: u64,
    /// Signals that a bound turned away.
    pub dropped: u64,
}

/// What came of merging.
#[derive(Debug, Default)]
pub struct StageOutput {
    /// Cases of the second stage that opened, changed or ended.
    pub changes: Vec<Change>,
    /// Alerts of shards that it took over, or gave back.
    pub takings: Vec<Taking>,
    /// What exceptions spared: rule and exception.
    pub spared: Vec<(Arc<str>, Arc<str>)>,
    /// What the fleet is like, and from which day on (days since 1970) that is in force.
    pub fleet: Vec<(i64, Traits)>,
}

/// An alert changes hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// The alert.
    pub alert_id: String,
    /// The alert that has it. What is given back need not say by whom.
    pub by: String,
    /// What that one is about.
    pub kind: Kind,
    /// When (event time).
    pub at: Millis,
    /// False = it goes on by itself: the one that had it is over.
    pub is_taken: bool,
}

impl Taking {
    /// The record after it.
    pub fn apply(&self, mut alert: Alert) -> Alert {
        if !alert.evidence.is_object() {
            alert.evidence = serde_json::json!({});
        }
        alert.revision += 1;
        if self.is_taken {
            if alert.state == State::Firing {
                alert.state = State::Resolved;
                alert.ends_at = Some(self.at.max(alert.starts_at));
                alert.evidence["ended"] = self.kind.as_str().into();
            }
            alert.evidence["taken_by"] = self.by.clone().into();
        } else {
            let goes_on = ends_as_taken(&alert);
            if let Some(evidence) = alert.evidence.as_object_mut() {
                evidence.remove("taken_by");
                if goes_on {
                    evidence.remove("ended");
                    (alert.state, alert.ends_at) = (State::Firing, None);
                }
            }
        }
        alert
    }
}

/// Whether an alert is taken over by another one.
pub fn is_taken(alert: &Alert) -> bool {
    alert.evidence.get("taken_by").is_some()
}

/// What its shard says of an alert that is taken over: it stays taken, and if it went on it is over as it was before. The
/// same results if it is taken after the shard has said so.
pub fn still_taken(taken: &Alert, mut alert: Alert) -> Alert {
    if !alert.evidence.is_object() {
        alert.evidence = serde_json::json!({});
    }
    if alert.state == State::Firing {
        (alert.state, alert.ends_at) = (State::Resolved, taken.ends_at);
        alert.evidence["ended"] = taken.evidence["ended"].clone();
    }
    alert.evidence["taken_by"] = taken.evidence["taken_by"].clone();
    alert
}

/// Whether it is over for no other reason than that it was taken.
fn ends_as_taken(alert: &Alert) -> bool {
    let ended = alert.evidence.get("ended").and_then(serde_json::Value::as_str);
    ended.is_some_and(|why| TAKERS.iter().any(|kind| kind.as_str() == why))
}

/// What takes alerts over; why they ended then.
pub const TAKERS: [Kind; 2] = [Kind::PlatformIncident, Kind::KeyScan];

/// The moment up to which everything is merged.
#[derive(Clone, Copy, Debug)]
struct Now {
    /// The end of the minute.
    end: Millis,
    /// The largest event time that has been read.
    read: Millis,
}

impl SecondStage {
    /// A stage of which nothing is known. `lateness` is how far out of order events may come.
    pub fn new(lateness: Millis) -> Self {
        SecondStage { lateness, ..SecondStage::default() }
    }

    /// What was counted.
    pub fn counts(&self) -> StageCounts {
        self.counts
    }

    /// The end of the last minute that is merged.
    pub fn merged_to(&self) -> Option<Millis> {
        self.merged_to
    }

    /// The last moment that may be judged: what the fleet is like then is known.
    pub fn known_until(&self) -> Millis {
        self.merged_to.map_or(Millis::MIN, fleet::known_until)
    }

    /// Takes a signal in.
    pub fn take_in(&mut self, signal: Signal) {
        let at = signal.at();
        if self.merged_to.is_some_and(|merged| at < merged) {
            self.counts.late += 1;
            return;
        }
        let minute = self.waiting.entry(at.div_euclid(MINUTE)).or_default();
        let dropped = match signal {
            Signal::Found(finding) => put(&mut minute.found, finding.alert_id.clone(), finding, |_, _| {}),
            Signal::Ended { alert_id, at } => {
                put(&mut minute.ended, alert_id, at, |known, at| *known = at.max(*known));
                false
            }
            Signal::Knock(knock) => {
                let door = (knock.network.clone(), knock.merchant.clone());
                put(&mut minute.knocks, door, knock, Knock::join)
            }
            Signal::Misused(misused) => put(&mut minute.misused, misused.alert_id.clone(), misused, |known, other| {
                known.moves_money |= other.moves_money;
                known.others.extend(other.others);
            }),
            Signal::Active(tens) => {
                minute.active.merge_one(&tens);
                false
            }
            Signal::Lesson(lesson) => {
                minute.lessons.put(lesson);
                false
            }
        };
        self.counts.dropped += u64::from(dropped);
    }

    /// Adds what a shard, which has come to `now`, has yet to tell of active merchants.
    pub fn note_activity(&mut self, activity: &Activity, now: Millis) {
        self.activity.merge(activity, now.saturating_sub(self.lateness));
    }

    /// The stream time at which there is something to merge; every shard must have come so far.
    pub fn next_due(&self) -> Option<Millis> {
        let minute = self.next_minute()?;
        Some((minute + 1) * MINUTE + self.lateness)
    }

    /// Merges what stream time, having come to `now` in every shard, has left behind by the lateness. `read` is the largest
    /// event time that has been read.
    pub fn advance(&mut self, now: Millis, read: Millis, rules: &RuleSet, out: &mut StageOutput) {
        self.merge_to(now.saturating_sub(self.lateness), read, rules, out);
    }

    /// Merges every minute that has ended by `until`, though no event has shown that time has come so far.
    pub fn pass(&mut self, until: Millis, rules: &RuleSet, out: &mut StageOutput) {
        self.merge_to(until, until, rules, out);
    }

    fn merge_to(&mut self, to: Millis, read: Millis, rules: &RuleSet, out: &mut StageOutput) {
        let to = to.div_euclid(MINUTE);
        while let Some(next) = self.next_minute()
            && next < to
        {
            let minute = self.waiting.remove(&next).unwrap_or_default();
            let now = Now { end: (next + 1) * MINUTE, read };
            self.merged_to = Some(now.end);
            let Minute { found, ended, knocks, misused, active, lessons } = minute;
            self.activity.merge(&active, now.end);
            self.counts.dropped += self.platform.merge(found, &ended, &self.activity, now, rules, out);
            self.counts.dropped += self.doors.merge(knocks, misused, &ended, now, rules, out);
            if !lessons.is_empty() {
                let day = (next * MINUTE).div_euclid(DAY);
                out.fleet.push((day + fleet::DAYS_LATER, self.fleet.add(&lessons)));
            }
        }
        self.merged_to = self.merged_to.max(Some(to * MINUTE));
    }

    /// The next minute to look at: the first that something is told of, where a case is open the one that follows, and where
    /// trouble of the whole platform may take over what was found the last of the ten minutes.
    fn next_minute(&self) -> Option<i64> {
        let first = self.waiting.first_key_value().map(|(minute, _)| *minute);
        let merged = self.merged_to.map(|merged| merged.div_euclid(MINUTE));
        let following = merged.filter(|_| self.platform.is_open() || self.doors.is_open());
        let ends =
            self.merged_to.filter(|_| self.platform.is_waiting()).map(|merged| activity::end_of(merged) / MINUTE - 1);
        first.into_iter().chain(following).chain(ends).min()
    }
}

/// Puts something in a bounded map, which keeps what comes first by name whatever comes first by time. True where the
/// bound turned something away.
fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, join: impl FnOnce(&mut V, V)) -> bool {
    match map.get_mut(&key) {
        Some(known) => {
            join(known, value);
            false
        }
        None => {
            map.insert(key, value);
            map.len() > SIGNALS_PER_MINUTE && map.pop_last().is_some()
        }
    }
}

impl Knock {
    /// The same network at the same merchant, once more.
    fn join(&mut self, other: Knock) {
        self.accepted |= other.accepted;
        if (other.at, &other.address) < (self.at, &self.address) {
            (self.at, self.address) = (other.at, other.address);
        }
    }
}
