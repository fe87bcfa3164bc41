//! The stored form of the second stage: JSON with a version. A newer one is refused.

use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::doors::Doors;
use super::platform::Platform;
use super::signal::Signal;
use super::{Minute, SecondStage};
use crate::engine::fleet::Sums;
use crate::time::{DAY, MINUTE, Millis};

const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    merged_to: Option<Millis>,
    waiting: Vec<Signal>,
    activity: Activity,
    platform: Platform,
    doors: Doors,
    #[serde(default)]
    fleet: Sums,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl SecondStage {
    /// Its stored form.
    pub fn encode(&self) -> Result<String, String> {
        let stored = Stored {
            version: VERSION,
            merged_to: self.merged_to,
            waiting: self.waiting.iter().flat_map(|(minute, of)| of.signals(*minute)).collect(),
            activity: self.activity.clone(),
            platform: self.platform.clone(),
            doors: self.doors.clone(),
            fleet: self.fleet.clone(),
        };
        serde_json::to_string(&stored).map_err(|error| error.to_string())
    }

    /// Reads a stored form. An empty text is a stage of which nothing is known.
    pub fn decode(text: &str, lateness: Millis) -> Result<SecondStage, String> {
        if text.is_empty() {
            return Ok(SecondStage::new(lateness));
        }
        let Version { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!("version {version} of the second stage is newer than this program's {VERSION}"));
        }
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Stored { merged_to, waiting, activity, platform, doors, fleet, .. } = stored;
        let mut stage = SecondStage { merged_to, activity, platform, doors, fleet, ..SecondStage::new(lateness) };
        waiting.into_iter().for_each(|signal| stage.take_in(signal));
        Ok(stage)
    }
}

impl Minute {
    fn signals(&self, minute: i64) -> impl Iterator<Item = Signal> {
        let found = self.found.values().cloned().map(Signal::Found);
        let ended = self.ended.iter().map(|(alert_id, at)| Signal::Ended { alert_id: alert_id.clone(), at: *at });
        let active = self.active.clone().close(Millis::MAX).into_iter().map(Signal::Active);
        let knocks = self.knocks.values().cloned().map(Signal::Knock);
        let misused = self.misused.values().cloned().map(Signal::Misused);
        let lessons = self.lessons.lessons((minute * MINUTE).div_euclid(DAY)).map(Signal::Lesson);
        found.chain(ended).chain(knocks).chain(misused).chain(active).chain(lessons)
    }
}
