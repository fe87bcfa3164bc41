//! Many merchants whose volume goes wrong at once: one case about the platform, which takes theirs over.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::activity::Activity;
use super::signal::Finding;
use super::{Now, StageOutput, Taking};
use crate::alert::{Alert, Kind, Reason, State, alert_id};
use crate::engine::detect::platform_incident::Ask;
use crate::engine::shard::Change;
use crate::rules::{Rule, RuleSet};
use crate::time::{HOUR, Millis, duration_text};

/// Findings that are remembered of the last hour, and that one case takes over.
const FINDINGS_MAX: usize = 20_000;
/// Merchants that an alert names.
const EXAMPLES: usize = 5;
/// A finding counts for so long after it was found.
const KEPT: Millis = HOUR;

/// What is known of volumes over all shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Platform {
    /// By direction.
    sides: BTreeMap<Direction, Side>,
}

/// Which way volumes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Direction {
    /// Calls are refused, or stay away.
    Trouble,
    /// There are far more calls.
    Load,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Side {
    /// Findings of the last hour that no case has, by alert.
    loose: BTreeMap<String, Seen>,
    open: Option<Open>,
}

/// A case about the platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    rule: String,
    starts_at: Millis,
    detected_at: Millis,
    revision: u32,
    /// When the last of its findings was found.
    last_at: Millis,
    /// When the last of its keys joined, or was back in its band.
    news_at: Millis,
    /// Merchants that were active when it opened.
    active: u64,
    /// Merchants that its newest revision tells of.
    told: usize,
    /// By alert.
    taken: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    finding: Finding,
    /// Back in its band.
    is_over: bool,
}

impl Direction {
    fn of(kind: Kind) -> Self {
        if kind == Kind::Spike { Direction::Load } else { Direction::Trouble }
    }

    fn as_str(self) -> &'static str {
        match self {
            Direction::Trouble => "trouble",
            Direction::Load => "load",
        }
    }

    /// What the alert is about.
    fn subject(self) -> String {
        format!("platform {}", self.as_str())
    }

    fn says(self, merchants: usize, kinds: &BTreeMap<Kind, usize>) -> String {
        let what = match (kinds.contains_key(&Kind::ErrorBurst), kinds.contains_key(&Kind::Drop)) {
            (true, false) => "are refused",
            (false, true) => "stay away",
            _ => "are refused or stay away",
        };
        match self {
            Direction::Trouble => format!("Calls of {merchants} merchants {what}, all at once."),
            Direction::Load => format!("{merchants} merchants call far more than usual, all at once."),
        }
    }
}

impl Side {
    fn note_end(&mut self, id: &str, at: Millis) {
        let taken = self.open.as_mut().and_then(|open| Some((open.taken.get_mut(id)?, &mut open.news_at)));
        if let Some((seen, news_at)) = taken {
            seen.is_over = true;
            *news_at = at.max(*news_at);
        } else if let Some(seen) = self.loose.get_mut(id) {
            seen.is_over = true;
        }
    }
}

impl Platform {
    /// Whether a case goes on: then every minute counts.
    pub(super) fn is_open(&self) -> bool {
        self.sides.values().any(|side| side.open.is_some())
    }

    /// Merges a minute. Returns how many findings a bound turned away.
    pub(super) fn merge(
        &mut self,
        found: BTreeMap<String, Finding>,
        ended: &BTreeMap<String, Millis>,
        activity: &Activity,
        now: Now,
        rules: &RuleSet,
        out: &mut StageOutput,
    ) -> u64 {
        let rule = rules.rules.iter().find_map(|rule| Some((rule, rule.detector.asks_of_all()?)));
        let Some((rule, ask)) = rule else {
            // Whatever was open ends in the store, as the cases of every rule that is gone.
            self.sides.clear();
            return 0;
        };
        let mut dropped = 0;
        for (id, finding) in found {
            let side = self.sides.entry(Direction::of(finding.kind)).or_default();
            let is_known = side.open.as_ref().is_some_and(|open| open.taken.contains_key(&id));
            if is_known {
                continue;
            }
            if side.loose.len() < FINDINGS_MAX {
                side.loose.insert(id, Seen { finding, is_over: false });
            } else {
                dropped += 1;
            }
        }
        for (id, at) in ended {
            self.sides.values_mut().for_each(|side| side.note_end(id, *at));
        }
        for (direction, side) in &mut self.sides {
            let mut case = Case { direction: *direction, rule, ask, now, out: &mut *out };
            side.loose.retain(|_, seen| now.end - KEPT <= seen.finding.at);
            if let Some(open) = &mut side.open
                && open.rule != *rule.name
            {
                side.open = None;
            }
            if let Some(open) = &mut side.open {
                dropped += case.follow(open, &mut side.loose);
            } else if let Some(starts_at) = case.began(&side.loose, activity) {
                side.open = Some(case.open(starts_at, &mut side.loose, activity));
            }
            if let Some(open) = side.open.as_mut().filter(|open| case.is_over(open)) {
                case.close(open);
                side.open = None;
            }
        }
        dropped
    }
}

/// What a minute does to the case of one direction.
struct Case<'a> {
    direction: Direction,
    rule: &'a Rule,
    ask: Ask,
    now: Now,
    out: &'a mut StageOutput,
}

impl Case<'_> {
    /// Where it began: the first of those that began within so short a time at enough merchants.
    fn began(&self, loose: &BTreeMap<String, Seen>, activity: &Activity) -> Option<Millis> {
        if (loose.len() as u64) < self.ask.min_merchants {
            return None;
        }
        let enough = self.ask.merchants(active(activity, self.now));
        let mut order: Vec<(Millis, &str)> =
            loose.values().map(|seen| (self.onset(&seen.finding), seen.finding.merchant.as_str())).collect();
        order.sort_unstable();
        let mut inside: BTreeMap<&str, usize> = BTreeMap::new();
        let mut first = 0;
        for (began, merchant) in &order {
            *inside.entry(merchant).or_default() += 1;
            while order[first].0 < began - self.ask.within {
                let gone = order[first].1;
                if let Some(n) = inside.get_mut(gone) {
                    *n -= 1;
                    if *n == 0 {
                        inside.remove(gone);
                    }
                }
                first += 1;
            }
            if enough <= inside.len() as u64 {
                return Some(order[first].0);
            }
        }
        None
    }

    /// When a finding began, for those who look for what began together. A window may reach far back before what filled it;
    /// a silence begins with the last call.
    fn onset(&self, finding: &Finding) -> Millis {
        match finding.kind {
            Kind::Drop => finding.began,
            _ => finding.began.max(finding.at - self.ask.within),
        }
    }

    fn open(&mut self, starts_at: Millis, loose: &mut BTreeMap<String, Seen>, activity: &Activity) -> Open {
        let mut open = Open {
            rule: self.rule.name.to_string(),
            starts_at,
            detected_at: self.now.read.max(starts_at),
            revision: 1,
            last_at: starts_at,
            news_at: starts_at,
            active: active(activity, self.now),
            told: 0,
            taken: BTreeMap::new(),
        };
        self.take(&mut open, starts_at, loose);
        open.told = open.merchants(|_| true).len();
        self.tell(&open, State::Firing, open.last_at);
        open
    }

    /// Takes what has come since, and tells of it where it has doubled.
    fn follow(&mut self, open: &mut Open, loose: &mut BTreeMap<String, Seen>) -> u64 {
        let dropped = self.take(open, open.starts_at - self.ask.within, loose);
        let merchants = open.merchants(|_| true).len();
        if open.told * 2 <= merchants {
            open.told = merchants;
            open.revision += 1;
            self.tell(open, State::Firing, open.last_at);
        }
        dropped
    }

    /// Takes every finding that began by then or later.
    fn take(&mut self, open: &mut Open, from: Millis, loose: &mut BTreeMap<String, Seen>) -> u64 {
        let by = open.alert_id(self.direction);
        let mut dropped = 0;
        let fits: Vec<String> =
            loose.iter().filter(|(_, seen)| from <= self.onset(&seen.finding)).map(|(id, _)| id.clone()).collect();
        for id in fits {
            let Some(seen) = loose.remove(&id) else { continue };
            if open.taken.len() >= FINDINGS_MAX {
                dropped += 1;
                continue;
            }
            open.last_at = open.last_at.max(seen.finding.at);
            open.news_at = open.news_at.max(open.last_at);
            if !self.rule.is_shadow() {
                let (alert_id, by) = (id.clone(), by.clone());
                self.out.takings.push(Taking { alert_id, by, kind: self.rule.kind, at: self.now.end, is_taken: true });
            }
            open.taken.insert(id, seen);
        }
        dropped
    }

    /// It is over once fewer than half of what it takes are still affected, and for a while no key has joined them or come
    /// back: those that only take a little longer are part of it.
    fn is_over(&self, open: &Open) -> bool {
        let affected = open.merchants(|taken| !taken.is_over).len() as u64;
        open.news_at + self.ask.quiet <= self.now.end && affected * 2 < self.ask.min_merchants
    }

    /// Ends it. What is left of it is its merchants' own trouble: that is given back.
    fn close(&mut self, open: &mut Open) {
        open.revision += 1;
        self.tell(open, State::Resolved, self.now.end);
        if self.rule.is_shadow() {
            return;
        }
        let by = open.alert_id(self.direction);
        for (id, _) in open.taken.iter().filter(|(_, taken)| !taken.is_over) {
            let (alert_id, by) = (id.clone(), by.clone());
            self.out.takings.push(Taking { alert_id, by, kind: self.rule.kind, at: self.now.end, is_taken: false });
        }
    }

    fn tell(&mut self, open: &Open, state: State, at: Millis) {
        let alert = self.record(open, state);
        self.out.changes.push(Change { alert, at, foster: false });
    }

    fn record(&self, open: &Open, state: State) -> Alert {
        let rule = self.rule;
        let merchants = open.merchants(|_| true);
        let keys: BTreeSet<&str> = open.taken.values().filter_map(|taken| taken.finding.key_id.as_deref()).collect();
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        open.taken.values().for_each(|taken| *kinds.entry(taken.finding.kind).or_default() += 1);
        let summary = self.direction.says(merchants.len(), &kinds);
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{}: {n}", kind.as_str())).collect();
        let mut first: Vec<(Millis, &str)> =
            open.taken.values().map(|taken| (self.onset(&taken.finding), taken.finding.merchant.as_str())).collect();
        first.sort_unstable();
        let mut examples: Vec<&str> = Vec::new();
        for (_, merchant) in first {
            if examples.len() < EXAMPLES && !examples.contains(&merchant) {
                examples.push(merchant);
            }
        }
        let share = merchants.len() as f64 / (open.active.max(merchants.len() as u64)) as f64;
        let mut evidence = json!({
            "direction": self.direction.as_str(),
            "merchants": merchants.len(),
            "keys": keys.len(),
            "kinds": kinds,
            "active_merchants": open.active,
            "share_percent": (share * 100.0).round() as u64,
            "window": duration_text(self.ask.within),
            "examples": examples,
        });
        if state == State::Resolved {
            evidence["ended"] = "over".into();
        }
        let text = format!(
            "At {} merchants ({} keys) it began at the same time; about {} merchants were active in the hour before.",
            merchants.len(),
            keys.len(),
            open.active
        );
        Alert {
            version: 1,
            alert_id: open.alert_id(self.direction),
            revision: open.revision,
            rule: rule.name.to_string(),
            rule_hash: rule.hash.to_string(),
            kind: rule.kind,
            reasons: vec![Reason { kind: rule.kind, score: 0.9, text }],
            score: 0.9,
            severity: rule.severity,
            state,
            starts_at: open.starts_at,
            detected_at: open.detected_at,
            ends_at: (state == State::Resolved).then_some(open.news_at),
            merchant_id: None,
            key_id: None,
            key_hint: None,
            source: None,
            audience: rule.audience,
            summary,
            evidence,
            runbook: rule.runbook.clone(),
            subject: self.direction.subject(),
        }
    }
}

impl Open {
    fn alert_id(&self, direction: Direction) -> String {
        alert_id(&self.rule, &direction.subject(), self.starts_at)
    }

    fn merchants(&self, which: impl Fn(&Seen) -> bool) -> BTreeSet<&str> {
        self.taken.values().filter(|taken| which(taken)).map(|taken| taken.finding.merchant.as_str()).collect()
    }
}

/// Merchants that were active in the last hour of whole sketches.
fn active(activity: &Activity, now: Now) -> u64 {
    activity.count(now.end - HOUR, now.end)
}
