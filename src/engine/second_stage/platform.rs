//! Many merchants whose volume goes wrong at once: one case about the platform, which takes theirs over.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::activity::{Activity, Merchants};
use super::course::{Course, Trouble};
use super::signal::Finding;
use super::{Now, StageOutput, Taking};
use crate::alert::{Alert, Kind, Reason, State, alert_id, plural};
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
    #[serde(default)]
    course: Course,
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
    /// What is wrong with the whole platform, where that and not the number of single keys showed it: then only what that
    /// explains is taken over.
    #[serde(default)]
    wide: Option<Wide>,
}

/// Trouble that shows in all merchants taken together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wide {
    /// Few merchants call.
    Few(Trouble),
    /// Calls of many are refused.
    Refusing(Trouble),
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

    fn says(self, merchants: usize, kinds: &BTreeMap<Kind, usize>, wide: Option<Wide>) -> String {
        match wide {
            Some(Wide::Few(Trouble { worst, usual, .. })) => {
                return match worst.active {
                    0 => format!("No merchant calls; about {usual} are usual."),
                    active => format!("Only {} call; about {usual} are usual.", plural(active as usize, "merchant")),
                };
            }
            Some(Wide::Refusing(Trouble { worst, .. })) => {
                let Merchants { active, refused } = worst;
                return format!("Calls of {refused} of {} merchants are refused.", active.max(refused));
            }
            None => {}
        }
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

impl Wide {
    /// Whether it explains what was found at a key.
    fn explains(&self, finding: &Finding) -> bool {
        let (trouble, is_of_it) = match self {
            Wide::Few(trouble) => (trouble, finding.kind == Kind::Drop),
            Wide::Refusing(trouble) => (trouble, matches!(finding.kind, Kind::Drop | Kind::ErrorBurst)),
        };
        is_of_it && trouble.covers(finding.began, finding.at)
    }
}

impl Platform {
    /// Whether a case goes on: then every minute counts.
    pub(super) fn is_open(&self) -> bool {
        self.sides.values().any(|side| side.open.is_some())
    }

    /// Whether there are findings that the next ten minutes may explain.
    pub(super) fn is_waiting(&self) -> bool {
        self.sides.get(&Direction::Trouble).is_some_and(|side| !side.loose.is_empty())
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
        self.course.record(activity, now.end, rule.map(|(_, ask)| ask));
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
            let course = &self.course;
            let mut case = Case { direction: *direction, rule, ask, now, course, out: &mut *out };
            side.loose.retain(|_, seen| now.end - KEPT <= seen.finding.at);
            if let Some(open) = &mut side.open
                && open.rule != *rule.name
            {
                side.open = None;
            }
            if let Some(open) = &mut side.open {
                dropped += case.follow(open, &mut side.loose);
            } else if let Some((starts_at, wide)) = case.began(&side.loose, activity) {
                side.open = Some(case.open(starts_at, wide, &mut side.loose, activity));
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
    course: &'a Course,
    out: &'a mut StageOutput,
}

impl Case<'_> {
    /// When it began, if it has: findings of enough merchants began within a short time, or something is wrong with the whole
    /// platform that explains what was found at a key.
    fn began(&self, loose: &BTreeMap<String, Seen>, activity: &Activity) -> Option<(Millis, Option<Wide>)> {
        if loose.is_empty() {
            return None;
        }
        let findings = || loose.values().map(|seen| &seen.finding);
        let together = self.together(findings(), self.ask.merchants(active(activity, self.now)));
        if let Some(starts_at) = together {
            return Some((starts_at, None));
        }
        let wide = self.wide().into_iter().find(|wide| findings().any(|finding| wide.explains(finding)))?;
        let begun = findings().filter(|finding| wide.explains(finding)).map(|finding| self.onset(finding)).min()?;
        Some((begun, Some(wide)))
    }

    /// What is wrong with the whole platform.
    fn wide(&self) -> Vec<Wide> {
        match self.direction {
            Direction::Trouble => {
                let (few, refusing) = (self.course.few().copied(), self.course.refusing().copied());
                refusing.map(Wide::Refusing).into_iter().chain(few.map(Wide::Few)).collect()
            }
            Direction::Load => Vec::new(),
        }
    }

    /// The first of those that began within so short a time at enough merchants.
    fn together<'f>(&self, findings: impl Iterator<Item = &'f Finding>, enough: u64) -> Option<Millis> {
        let mut order: Vec<(Millis, &str)> =
            findings.map(|finding| (self.onset(finding), finding.merchant.as_str())).collect();
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

    fn open(
        &mut self,
        starts_at: Millis,
        wide: Option<Wide>,
        loose: &mut BTreeMap<String, Seen>,
        activity: &Activity,
    ) -> Open {
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
            wide,
        };
        self.take(&mut open, starts_at, loose);
        open.told = open.size();
        self.tell(&open, State::Firing, open.last_at);
        open
    }

    /// Takes what has come since, and tells of it where it has doubled.
    fn follow(&mut self, open: &mut Open, loose: &mut BTreeMap<String, Seen>) -> u64 {
        self.widen(open, loose);
        let dropped = self.take(open, open.starts_at - self.ask.within, loose);
        let size = open.size();
        if open.told * 2 <= size {
            open.told = size;
            open.revision += 1;
            self.tell(open, State::Firing, open.last_at);
        }
        dropped
    }

    /// Looks how the trouble of the whole platform goes on. Where enough single keys show by themselves that something is
    /// wrong, whatever is found is taken.
    fn widen(&self, open: &mut Open, loose: &BTreeMap<String, Seen>) {
        let Some(wide) = &mut open.wide else { return };
        let findings = open.taken.values().chain(loose.values()).map(|seen| &seen.finding);
        if self.together(findings, self.ask.merchants(open.active)).is_some() {
            open.wide = None;
            return;
        }
        let same = self.wide().into_iter().find(|now| std::mem::discriminant(now) == std::mem::discriminant(wide));
        *wide = same.unwrap_or(*wide);
    }

    /// Takes every finding that began by then or later.
    fn take(&mut self, open: &mut Open, from: Millis, loose: &mut BTreeMap<String, Seen>) -> u64 {
        let by = open.alert_id(self.direction);
        let mut dropped = 0;
        let is_of_it = |finding: &Finding| match open.wide {
            Some(wide) => wide.explains(finding),
            None => from <= self.onset(finding),
        };
        let fits: Vec<String> =
            loose.iter().filter(|(_, seen)| is_of_it(&seen.finding)).map(|(id, _)| id.clone()).collect();
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
        let is_troubled = self.direction == Direction::Trouble && self.course.is_troubled();
        !is_troubled && open.news_at + self.ask.quiet <= self.now.end && affected * 2 < self.ask.min_merchants
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
        let summary = self.direction.says(merchants.len(), &kinds, open.wide);
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
        let share = match open.wide {
            Some(Wide::Few(Trouble { worst, usual, .. })) => 1.0 - f64::from(worst.active) / f64::from(usual.max(1)),
            Some(Wide::Refusing(Trouble { worst, .. })) => {
                f64::from(worst.refused) / f64::from(worst.active.max(worst.refused))
            }
            None => merchants.len() as f64 / (open.active.max(merchants.len() as u64)) as f64,
        };
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
        match open.wide {
            Some(Wide::Few(trouble)) => {
                evidence["calling"] = trouble.worst.active.into();
                evidence["usually_calling"] = trouble.usual.into();
            }
            Some(Wide::Refusing(trouble)) => {
                evidence["calling"] = trouble.worst.active.into();
                evidence["refused_merchants"] = trouble.worst.refused.into();
            }
            None => {}
        }
        if state == State::Resolved {
            evidence["ended"] = "over".into();
        }
        let (n_merchants, n_keys) = (merchants.len(), keys.len());
        let text = match open.wide {
            Some(_) => format!(
                "It shows at {} ({}) by {}; most call too seldom to tell.",
                plural(n_merchants, "merchant"),
                plural(n_keys, "key"),
                if n_merchants == 1 { "itself" } else { "themselves" },
            ),
            None => format!(
                "At {n_merchants} merchants ({n_keys} keys) it began at the same time; about {} merchants were active in the hour before.",
                open.active
            ),
        };
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

    /// How many merchants it is about.
    fn size(&self) -> usize {
        match self.wide {
            Some(Wide::Few(Trouble { worst, usual, .. })) => usual.saturating_sub(worst.active) as usize,
            Some(Wide::Refusing(Trouble { worst, .. })) => worst.refused as usize,
            None => self.merchants(|_| true).len(),
        }
    }

    fn merchants(&self, which: impl Fn(&Seen) -> bool) -> BTreeSet<&str> {
        self.taken.values().filter(|taken| which(taken)).map(|taken| taken.finding.merchant.as_str()).collect()
    }
}

/// Merchants that were active in the last hour of whole sketches.
fn active(activity: &Activity, now: Now) -> u64 {
    activity.count(now.end - HOUR, now.end)
}
