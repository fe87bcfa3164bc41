//! Rules as ElastAlert 2's documentation has them (<https://elastalert2.readthedocs.io/en/latest/ruletypes.html>):
//!
//! - `spike`: "matches when the volume of events during a given time period is spike_height times larger or smaller than
//!   during the previous time period". Here `timeframe` 1 h, `spike_height` 3, `threshold_ref` 10, `threshold_cur` 30,
//!   `spike_type: both`, `query_key: key_id`.
//! - `new_term`: "matches when a new value appears in a field that has never been seen before". Here the pairs
//!   `[key_id, source_ip]` and `[key_id, user_agent]`, with `terms_window_size` 7 days from the beginning.
//! - `frequency`: "matches when there are at least a certain number of events in a given time frame". Here 50 refusals in 10
//!   minutes, by key, and by address where there is no key.
//!
//! `realert` is 1 h, not the default minute: whoever runs it has raised it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::{Rival, about, is_accepted};
use crate::event::AuthEvent;
use crate::lab::score::Found;
use crate::time::{DAY, HOUR, MINUTE, Millis};

const TIMEFRAME: Millis = HOUR;
const SPIKE_HEIGHT: u64 = 3;
const THRESHOLD_REF: u64 = 10;
const THRESHOLD_CUR: u64 = 30;
const TERMS_WINDOW: Millis = 7 * DAY;
const REFUSALS: u64 = 50;
const REFUSALS_IN: Millis = 10 * MINUTE;
const REALERT: Millis = HOUR;

/// Calls in the last timeframe and in the one before.
#[derive(Default)]
struct Windows {
    current: VecDeque<(Millis, u64)>,
    previous: VecDeque<(Millis, u64)>,
    n_current: u64,
    n_previous: u64,
}

impl Windows {
    fn add(&mut self, at: Millis, count: u64) {
        self.current.push_back((at, count));
        self.n_current += count;
        while let Some((t, n)) = self.current.front().copied().filter(|(t, _)| *t <= at - TIMEFRAME) {
            self.current.pop_front();
            self.n_current -= n;
            self.previous.push_back((t, n));
            self.n_previous += n;
        }
        while let Some((_, n)) = self.previous.front().copied().filter(|(t, _)| *t <= at - 2 * TIMEFRAME) {
            self.previous.pop_front();
            self.n_previous -= n;
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Elastalert {
    begins: Option<Millis>,
    windows: BTreeMap<String, Windows>,
    terms: HashSet<(String, String)>,
    refusals: HashMap<String, VecDeque<(Millis, u64)>>,
    told: HashMap<(&'static str, String), Millis>,
    found: Vec<Found>,
}

impl Elastalert {
    fn tell(&mut self, event: &AuthEvent<'_>, rule: &'static str, kind: &str, starts_at: Millis) {
        let whom = event.key_id.as_deref().map(str::to_owned);
        let whom = whom.or_else(|| event.source_ip.map(|address| address.to_string())).unwrap_or_default();
        let last = self.told.entry((rule, whom)).or_insert(Millis::MIN);
        if last.saturating_add(REALERT) <= event.ts {
            *last = event.ts;
            self.found.push(about(event, rule, kind, starts_at, event.ts));
        }
    }
}

impl Rival for Elastalert {
    fn name(&self) -> &'static str {
        "elastalert2-like"
    }

    fn event(&mut self, event: &AuthEvent<'_>) {
        let begins = *self.begins.get_or_insert(event.ts);
        if let Some(key) = event.key_id.as_deref().filter(|_| is_accepted(event)) {
            let windows = self.windows.entry(key.to_owned()).or_default();
            windows.add(event.ts, u64::from(event.count));
            let (current, previous) = (windows.n_current, windows.n_previous);
            if begins + 2 * TIMEFRAME <= event.ts && THRESHOLD_REF <= previous {
                if THRESHOLD_CUR <= current && SPIKE_HEIGHT * previous <= current {
                    self.tell(event, "spike", "spike", event.ts - TIMEFRAME);
                } else if THRESHOLD_CUR <= previous && SPIKE_HEIGHT * current <= previous {
                    self.tell(event, "spike-down", "drop", event.ts - TIMEFRAME);
                }
            }
            let address = event.source_ip.map(|address| address.to_string()).unwrap_or_default();
            let agent = event.user_agent.as_deref().unwrap_or_default().to_owned();
            for (rule, kind, term) in
                [("new-term-address", "new_ip", address), ("new-term-agent", "new_user_agent", agent)]
            {
                if self.terms.insert((key.to_owned(), term)) && begins + TERMS_WINDOW <= event.ts {
                    self.tell(event, rule, kind, event.ts);
                }
            }
        }
        if !is_accepted(event) {
            let source = event.source_ip.map(|address| address.to_string()).unwrap_or_default();
            let whom = event.key_id.as_deref().map_or(source, str::to_owned);
            let refusals = self.refusals.entry(whom).or_default();
            refusals.push_back((event.ts, u64::from(event.count)));
            while refusals.front().is_some_and(|(at, _)| *at <= event.ts - REFUSALS_IN) {
                refusals.pop_front();
            }
            if REFUSALS <= refusals.iter().map(|(_, n)| n).sum() {
                let kind = if event.key_id.is_some() { "error_burst" } else { "key_scan" };
                self.tell(event, "frequency-refused", kind, event.ts - REFUSALS_IN);
            }
        }
    }

    fn found(self: Box<Self>) -> Vec<Found> {
        self.found
    }
}
