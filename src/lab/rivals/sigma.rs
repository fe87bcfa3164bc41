//! Mean and standard deviation, as alert rules for Prometheus are often written:
//! `x > avg_over_time(x[7d]) + 3 * stddev_over_time(x[7d])` (the z-score of A. Newcomer, "How to use Prometheus for anomaly
//! detection in GitLab", 2019, before seasonality is added). Here over each key's hourly counts of accepted calls of the last
//! seven days, both ways, and with at least ten calls; beside it, an address that the key has not used in its first week.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::{Rival, about, is_accepted};
use crate::event::AuthEvent;
use crate::lab::score::Found;
use crate::time::{DAY, HOUR, Millis};

const HOURS: usize = 7 * 24;
const SIGMAS: f64 = 3.0;
const CALLS_MIN: f64 = 10.0;
/// Nothing is said before this.
const LEARNING: Millis = 7 * DAY;
/// One address is told of once a day.
const REALERT: Millis = DAY;

struct Key {
    /// The last closed hours.
    hours: VecDeque<f64>,
    /// The hour that is open, since 1970.
    hour: i64,
    count: f64,
    /// Whether the last hour was told of: it is one alert as long as it lasts.
    is_high: bool,
    is_low: bool,
    addresses: HashSet<String>,
    told_address: Millis,
    like: Found,
}

/// See the module.
#[derive(Default)]
pub struct Sigma {
    begins: Option<Millis>,
    now: i64,
    keys: BTreeMap<String, Key>,
    found: Vec<Found>,
}

impl Key {
    /// Closes the open hour, and the empty ones after it until `hour`.
    fn close_until(&mut self, hour: i64, found: &mut Vec<Found>) {
        while self.hour < hour {
            let n = self.hours.len() as f64;
            if HOURS <= self.hours.len() {
                let mean = self.hours.iter().sum::<f64>() / n;
                let sigma = (self.hours.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
                let is_high = CALLS_MIN <= self.count && mean + SIGMAS * sigma < self.count;
                let is_low = CALLS_MIN <= mean && self.count < mean - SIGMAS * sigma;
                let (starts_at, detected_at) = (self.hour * HOUR, (self.hour + 1) * HOUR);
                for (is, was, rule, kind) in
                    [(is_high, self.is_high, "high", "spike"), (is_low, self.is_low, "low", "drop")]
                {
                    if is && !was {
                        let id = format!("{rule} {} {detected_at}", self.like.key_id.as_deref().unwrap_or_default());
                        let (rule, kind) = (rule.to_owned(), kind.to_owned());
                        found.push(Found { id, rule, kind, starts_at, detected_at, source: None, ..self.like.clone() });
                    }
                }
                (self.is_high, self.is_low) = (is_high, is_low);
                self.hours.pop_front();
            }
            self.hours.push_back(self.count);
            self.count = 0.0;
            self.hour += 1;
        }
    }
}

impl Rival for Sigma {
    fn name(&self) -> &'static str {
        "mean+3sigma"
    }

    fn event(&mut self, event: &AuthEvent<'_>) {
        let begins = *self.begins.get_or_insert(event.ts);
        let hour = event.ts.div_euclid(HOUR);
        self.now = self.now.max(hour);
        let Some(id) = event.key_id.as_deref().filter(|_| is_accepted(event)) else { return };
        if !self.keys.contains_key(id) {
            let key = Key {
                hours: VecDeque::new(),
                hour,
                count: 0.0,
                is_high: false,
                is_low: false,
                addresses: HashSet::new(),
                told_address: Millis::MIN,
                like: about(event, "", "", event.ts, event.ts),
            };
            self.keys.insert(id.to_owned(), key);
        }
        let Some(key) = self.keys.get_mut(id) else { return };
        key.close_until(hour, &mut self.found);
        key.count += f64::from(event.count);
        let address = event.source_ip.map(|address| address.to_string()).unwrap_or_default();
        if key.addresses.insert(address)
            && begins + LEARNING <= event.ts
            && key.told_address.saturating_add(REALERT) <= event.ts
        {
            key.told_address = event.ts;
            self.found.push(about(event, "new-address", "new_ip", event.ts, event.ts));
        }
    }

    fn found(mut self: Box<Self>) -> Vec<Found> {
        let now = self.now;
        for key in self.keys.values_mut() {
            key.close_until(now, &mut self.found);
        }
        self.found
    }
}
