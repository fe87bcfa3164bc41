//! One event judged, one timer fired: features, then rules, then learning. Everything about one key in one place.

use crate::alert::{Kind, Severity};
use crate::engine::baseline::networks::Network;
use crate::engine::baseline::rates::Surroundings;
use crate::engine::baseline::refusals::{Refusals, Request};
use crate::engine::case::{About, CASES_PER_KEY, OpenCase};
use crate::engine::detect::{Counted, Replaced, Sight, Sign, Still, Verdict, Watch, error_burst};
use crate::engine::fleet::Lesson;
use crate::engine::intake::Admitted;
use crate::engine::novelty::{self, Novelty, Places};
use crate::engine::second_stage::signal::Knock;
use crate::engine::shard::{Change, Output, World};
use crate::engine::source::SourceTable;
use crate::engine::subject::{
    AGENTS_PER_MERCHANT, Key, MerchantFeatures, NETWORKS_PER_KEY, NETWORKS_PER_MERCHANT, Subject, VALUES_PER_KEY,
    merchant_of,
};
use crate::event::facts::KeyFacts;
use crate::event::{AuthEvent, Outcome};
use crate::rules::expr::Scope;
use crate::rules::{Rule, RuleSet};
use crate::time::{DAY, HOUR, Millis, zone_offset};

/// The circumstances in which a subject's timers fire.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Millis,
    pub(super) around: Around<'a>,
    pub(super) foster: bool,
}

/// When something of a key is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) due: Millis,
    /// It fires as soon as stream time has come to it: no late event would change what is said.
    pub(super) is_prompt: bool,
}

impl Timer {
    /// When stream time has come far enough for it.
    pub(super) fn wakes_at(self, lateness: Millis) -> Millis {
        if self.is_prompt { self.due } else { self.due.saturating_add(lateness + 1) }
    }
}

/// Who a key belongs to, and what is known around it.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) merchant_id: Option<&'a str>,
    pub(super) merchant: &'a MerchantFeatures,
    pub(super) watch: Watch,
    pub(super) world: World<'a>,
}

impl<'a> Around<'a> {
    /// What is known of a key from facts, and of the one that it replaces.
    pub(super) fn facts(self, keys: &[Key], place: usize) -> (Option<&'a KeyFacts>, Option<Replaced<'a>>) {
        let facts = self.world.facts.key(&keys[place].features.key_id);
        (facts, Replaced::of(facts, keys, self.world.facts))
    }

    fn still(self, key: &'a Key, facts: Option<&'a KeyFacts>, replaced: Option<Replaced<'a>>) -> Still<'a> {
        Still {
            key_env: facts.and_then(|f| f.env).or(key.features.env),
            facts,
            book: self.world.facts,
            key: &key.features,
            replaced,
            merchant_id: self.merchant_id,
            merchant: self.merchant,
            watch: self.watch,
        }
    }
}

/// The timers of one of the subject's keys: ends of episodes by quiet, and what detectors wait for.
pub(super) fn timers<'a>(keys: &'a [Key], place: usize, around: Around<'a>) -> impl Iterator<Item = Timer> + use<'a> {
    let key = &keys[place];
    let (facts, replaced) = around.facts(keys, place);
    let quiet = key.cases.iter().filter_map(OpenCase::ends_by_itself_at).map(|due| Timer { due, is_prompt: false });
    let rules = &around.world.rules.rules;
    quiet.chain(rules.iter().filter_map(move |rule| timer_of(rule, key, &around.still(key, facts, replaced))))
}

/// When a rule wants to look at the key. Where it has no open case, it looks at each moment once.
fn timer_of(rule: &Rule, key: &Key, still: &Still<'_>) -> Option<Timer> {
    let open = key.cases.iter().any(|c| *c.alert.rule == *rule.name);
    let due = rule.detector.due(still, open)?;
    let timer = || Timer { due, is_prompt: rule.detector.is_settled(due, still, open) };
    if open {
        return Some(timer());
    }
    let matches = rule.matcher.matches(still.key_env, still.merchant_id, &key.features.key_id);
    (matches && key.fired_to(&rule.name).is_none_or(|fired| due > fired)).then(timer)
}

/// Fires one of the key's timers. Returns whether anything came of it, and how many cases the bound turned away.
pub(super) fn fire_one(
    keys: &mut [Key],
    place: usize,
    timer: Timer,
    moment: Moment<'_>,
    out: &mut Output,
) -> (bool, u64) {
    let Moment { now, around, foster } = moment;
    let Around { merchant_id, world, .. } = around;
    let (facts, replaced) = around.facts(keys, place);
    let key = &mut keys[place];
    let due = timer.due;
    let ends = |case: &OpenCase| !timer.is_prompt && case.ends_by_itself_at() == Some(due);
    if let Some(place) = key.cases.iter().position(ends) {
        let case = key.cases.remove(place);
        // What never opened ends unheard.
        if case.opens_at.is_none() {
            out.changes.push(Change { alert: case.end(due, "quiet"), at: due, foster });
        }
        return (true, 0);
    }
    let key_env = facts.and_then(|f| f.env).or(key.features.env);
    for rule in &world.rules.rules {
        let still = around.still(key, facts, replaced);
        if timer_of(rule, key, &still) != Some(timer) {
            continue;
        }
        let open = key.cases.iter().position(|c| *c.alert.rule == *rule.name);
        let verdict = rule.detector.on_timer(due, &still, open.is_some());
        key.fired(&rule.name, due);
        match (verdict, open) {
            (Verdict::Sign(_), None) if rule.active.as_ref().is_some_and(|hours| !hours.contains(due)) => {
                out.outside_hours += 1;
            }
            (Verdict::Sign(_), None) if key.cases.len() >= CASES_PER_KEY => return (true, 1),
            (Verdict::Sign(sign), None) => {
                // Nothing happened, so what is asked is asked of that moment.
                let moment = AuthEvent::at(due, &key.features.key_id, merchant_id);
                let scope = Scope {
                    key_env,
                    key: Some(&key.features),
                    key_facts: facts,
                    merchant_id,
                    merchant_facts: merchant_id.and_then(|id| world.facts.merchant(id)),
                    ..Scope::of(&moment)
                };
                let Some(severity) = weigh(rule, &sign, &scope, out) else { continue };
                let hint = facts.and_then(|f| f.hint.as_deref()).or(key.features.hint.as_deref());
                let about = About { merchant_id, key_id: Some(&key.features.key_id), key_hint: hint };
                let mut case = OpenCase::open(rule, about, &sign, severity, None, now);
                // Time has passed already: there is nothing to wait for.
                case.opens_at = None;
                out.changes.push(Change { alert: case.record(), at: due, foster });
                key.cases.push(case);
                return (true, 0);
            }
            (Verdict::End(at), Some(place)) if key.cases[place].is_over(rule, at) => {
                let case = key.cases.remove(place);
                if case.opens_at.is_none() {
                    out.changes.push(Change { alert: case.end(at, "over"), at, foster });
                }
                return (true, 0);
            }
            (Verdict::End(_), Some(_)) => return (true, 0),
            _ => {}
        }
    }
    (false, 0)
}

/// The severity of a sign by the rule's own words; `None` where its condition is not true, or an exception spares it.
fn weigh(rule: &Rule, sign: &Sign, scope: &Scope<'_>, out: &mut Output) -> Option<Severity> {
    if rule.condition.as_ref().is_some_and(|condition| !condition.matches(scope)) {
        return None;
    }
    if let Some(exception) = rule.exception_for(scope) {
        out.spare(&rule.name, &exception.name);
        return None;
    }
    Some(rule.severity_of(sign.severity.apply(rule.severity), scope))
}

/// What a judged event means for the shard.
#[derive(Default)]
pub(super) struct Judged {
    /// The key's next timer may be earlier than it was.
    pub(super) reschedule: bool,
    pub(super) cases_dropped: u64,
    pub(super) networks_forgotten: u64,
    pub(super) tallies_forgotten: u64,
}

/// Lets the rules judge the source of an event that was noted in the table.
pub(super) fn judge_source(
    sources: &mut SourceTable,
    event: &AuthEvent<'_>,
    now: Millis,
    world: World<'_>,
    out: &mut Output,
) -> u64 {
    let mut dropped = 0;
    let Some(sight) = sources.sight(event) else { return 0 };
    for rule in world.rules.for_sources() {
        let Verdict::Sign(sign) = rule.detector.on_source(&sight) else { continue };
        let Some(severity) = weigh(rule, &sign, &Scope::of(event), out) else { continue };
        let Some(cases) = sources.cases_mut(sight.network) else { continue };
        if let Some(case) = cases.iter_mut().find(|case| *case.alert.rule == *rule.name) {
            if case.join(rule, &sign, severity, event, false, now) {
                out.changes.push(Change { alert: case.record(), at: event.ts, foster: false });
            }
            continue;
        }
        if rule.active.as_ref().is_some_and(|hours| !hours.contains(event.ts)) {
            out.outside_hours += 1;
            continue;
        }
        let about = About { merchant_id: None, key_id: None, key_hint: None };
        let case = OpenCase::open(rule, about, &sign, severity, Some(event), now);
        let record = case.opens_at.is_none().then(|| case.record());
        if !sources.open(sight.network, case) {
            dropped += 1;
        } else if let Some(alert) = record {
            out.changes.push(Change { alert, at: event.ts, foster: false });
        }
    }
    dropped
}

/// Counts an event in the key's features, lets the rules judge it, then learns from it.
pub(super) fn judge(
    subject: &mut Subject,
    place: usize,
    admitted: &Admitted<'_>,
    (lateness, watch): (Millis, Watch),
    world: World<'_>,
    out: &mut Output,
) -> Judged {
    let Admitted { event, late, now, .. } = admitted;
    let (ts, count) = (event.ts, u64::from(event.count));
    if subject.keys[place].features.first_seen.is_none() {
        subject.inherit(place, ts, world.facts);
    }
    let Subject { id, merchant, keys, .. } = subject;
    let merchant_id = merchant_of(id);
    let facts = world.facts.key(&keys[place].features.key_id);
    let replaced = Replaced::of(facts, keys, world.facts);
    let Key { features, cases, tallies, .. } = &mut keys[place];
    let mut judged = Judged { reschedule: features.first_seen.is_none(), ..Judged::default() };
    let accepted = event.outcome == Outcome::Ok;
    if features.hint.is_none() || event.key_hint.as_deref().is_some_and(|hint| features.hint.as_deref() != Some(hint)) {
        features.hint = event.key_hint.as_deref().map(Into::into).or(features.hint.take());
    }
    let env = event.key_env.or(features.env);
    // A rule for keys of one environment may have waited for this.
    judged.reschedule |= env != features.env;
    features.env = env;
    let merchant_facts = merchant_id.and_then(|id| world.facts.merchant(id));
    if !late {
        if accepted {
            // Its silence is to be looked for from now on.
            judged.reschedule |= features.rates.begins_hour(ts);
            let zone = merchant_facts.and_then(|facts| facts.timezone.as_deref());
            features.rates.note_silence(ts, watch.unseen());
            if features.rates.begins_day(ts) {
                let traits = features.rates.teaches();
                out.lessons.extend((!traits.is_empty()).then(|| Lesson::of(&features.key_id, ts, traits)));
            }
            let around = Surroundings { lateness, unseen: watch.unseen(), fleet: world.fleet };
            features.rates.add(ts, event.count, around, |at| zone_offset(zone, at));
            features.declines.add(ts, event.count, event.status);
        } else if error_burst::counts(event.reason) {
            let since = features.first_seen.unwrap_or(ts).min(ts);
            features.refusals.get_or_insert_with(|| Box::new(Refusals::new(since))).add(
                ts,
                event.count,
                Request::new(novelty::endpoint_of(event).unwrap_or_default(), event.things),
                lateness,
            );
        }
    }
    let network = event.source_ip.map(Network::of);
    let (agent, endpoint) =
        if accepted { (novelty::agent_of(event), novelty::endpoint_of(event)) } else { (None, None) };
    let key_env = facts.and_then(|f| f.env).or(features.env);
    let places = Places { book: world.facts, merchant_id };
    let values = (agent, endpoint);
    let novelty = accepted.then(|| Novelty::of(event, key_env, network, values, features, merchant, places));
    if !late && let Some(knock) = Knock::of(event, merchant_id, network, novelty.as_ref(), features, merchant) {
        out.knocks.push(knock);
    }
    let asks_for_windows = accepted && !late && world.rules.asks_for_windows;
    let counted = if asks_for_windows { features.rates.windows(ts) } else { None };

    let around = Scope {
        network,
        key_env,
        key_facts: facts,
        merchant_id,
        merchant: Some(&*merchant),
        merchant_facts,
        windows: counted.as_ref(),
        ..Scope::of(event)
    };
    let mut misuse: Vec<(&Rule, Box<Sign>, Severity)> = Vec::new();
    let mut sight = Sight {
        event,
        key_env,
        facts,
        merchant_facts,
        key: features,
        replaced,
        merchant,
        watch,
        open: false,
        network,
        novelty,
        counted: None,
    };
    for rule in world.rules.for_outcome(event.outcome) {
        if *late && rule.detector.needs_window() {
            continue;
        }
        sight.counted = match &rule.counting {
            None => None,
            Some(counting) => {
                let scope = Scope { key: Some(&*features), ..around };
                let is_its_business = |scope: &Scope<'_>| {
                    let condition = rule.condition.as_ref()?;
                    let may = rule.matcher.matches(key_env, merchant_id, &features.key_id) && condition.matches(scope);
                    if may { counting.group(scope) } else { None }
                };
                let Some(group) = is_its_business(&scope) else { continue };
                if let Some(exception) = rule.exception_for(&scope) {
                    out.spare(&rule.name, &exception.name);
                    continue;
                }
                let calls = match counting.window {
                    0 => count,
                    window => {
                        let tallies = tallies.get_or_insert_default();
                        let (calls, forgotten) = tallies.add(counting.of, &group, ts, event.count, window);
                        judged.tallies_forgotten += u64::from(forgotten);
                        calls
                    }
                };
                Some(Counted { calls, group })
            }
        };
        sight.open = cases.iter().any(|c| *c.alert.rule == *rule.name);
        match rule.detector.on_event(&sight) {
            Verdict::Nothing => {}
            Verdict::End(at) => {
                if let Some(open) = cases.iter().position(|c| *c.alert.rule == *rule.name) {
                    if cases[open].is_over(rule, at) {
                        let case = cases.remove(open);
                        if case.opens_at.is_none() {
                            out.changes.push(Change { alert: case.end(at, "over"), at, foster: false });
                        }
                    }
                    judged.reschedule = true;
                }
            }
            Verdict::Sign(sign) => {
                if !rule.matcher.matches(key_env, merchant_id, &features.key_id) {
                    continue;
                }
                let scope = Scope { key: Some(&*features), ..around };
                let Some(severity) = weigh(rule, &sign, &scope, out) else { continue };
                if rule.kind.is_of_misuse() || rule.kind == Kind::Spike {
                    misuse.push((rule, sign, severity));
                    continue;
                }
                let hint = facts.and_then(|f| f.hint.as_deref()).or(features.hint.as_deref());
                let about = About { merchant_id, key_id: Some(&features.key_id), key_hint: hint };
                judged.take_sign(cases, rule, world.rules, about, &sign, severity, event, *now, &mut Vec::new(), out);
            }
        }
    }
    if !misuse.is_empty() {
        // The strongest opens the alert, and the others give it their reasons.
        misuse.sort_by(|(one, a, _), (other, b, _)| {
            let (one, other) = (one.kind.is_of_misuse(), other.kind.is_of_misuse());
            other.cmp(&one).then(b.opens.cmp(&a.opens)).then(b.score.total_cmp(&a.score))
        });
        let hint = facts.and_then(|f| f.hint.as_deref()).or(features.hint.as_deref());
        let about = About { merchant_id, key_id: Some(&features.key_id), key_hint: hint };
        let mut noted = Vec::new();
        for (rule, sign, severity) in &misuse {
            judged.take_sign(cases, rule, world.rules, about, sign, *severity, event, *now, &mut noted, out);
        }
    }

    if !late {
        features.first_seen = Some(features.first_seen.map_or(ts, |at| at.min(ts)));
    }
    features.last_seen = Some(features.last_seen.map_or(ts, |at| at.max(ts)));
    if !accepted {
        features.refused += count;
        features.count_day(ts, 0, count);
        return judged;
    }
    features.count_day(ts, count, 0);
    if features.last_accepted.is_none() {
        judged.reschedule = true;
    }
    features.last_accepted = Some(features.last_accepted.map_or(ts, |at| at.max(ts)));
    let knows = features.knows_its_networks(ts);
    let mut is_suspect = false;
    if let Some(network) = network {
        let known = features.networks.get(network).copied();
        let suspect = match known {
            Some(seen) => seen.suspect && !(ts - seen.first_at >= DAY && seen.calls + count >= 20),
            None => knows && !merchant.networks.trusts(network),
        };
        is_suspect = suspect;
        let seen = novelty::seen(event, network, suspect);
        judged.networks_forgotten += u64::from(features.networks.learn(seen, NETWORKS_PER_KEY));
        if !suspect {
            features.networks.clear(network);
            judged.networks_forgotten += u64::from(merchant.networks.learn(seen, NETWORKS_PER_MERCHANT));
        }
    }
    if let Some(agent) = agent {
        features.agents.learn(agent, ts, event.count, (knows, is_suspect), VALUES_PER_KEY);
        if features.agents.trusts(agent) {
            merchant.agents.learn(agent, ts, event.count, (false, false), AGENTS_PER_MERCHANT);
        }
    }
    if let Some(endpoint) = endpoint {
        features.endpoints.learn(endpoint, ts, event.count, (knows, is_suspect), VALUES_PER_KEY);
    }
    features.accepted += count;
    judged
}

/// How long after its last sign an episode of misuse still explains that a key makes more calls.
const EXPLAINS: Millis = HOUR;

/// The open case that a sign belongs to: its rule's own for the same part. Signs of misuse belong to the key's episode,
/// whichever rule for the same receivers has opened it; so do too many calls while it goes on.
fn open_case(cases: &[OpenCase], rule: &Rule, sign: &Sign, rules: &RuleSet) -> Option<usize> {
    let own = |case: &OpenCase| *case.alert.rule == *rule.name;
    let same = cases.iter().position(|case| own(case) && *case.part == *sign.part);
    let is_guest = rule.kind == Kind::Spike;
    if same.is_some() || !(rule.kind.is_of_misuse() || is_guest) {
        return same;
    }
    let is_episode = |case: &OpenCase| {
        let goes_on = !is_guest || sign.last_at - case.last_at <= EXPLAINS;
        rules.rule(&case.alert.rule).is_some_and(|other| {
            goes_on
                && (other.kind.is_of_misuse() || other.kind == Kind::KeyLifecycle)
                && other.kind != rule.kind
                && (other.audience, other.is_shadow()) == (rule.audience, rule.is_shadow())
        })
    };
    cases.iter().position(own).or_else(|| cases.iter().position(is_episode))
}

impl Judged {
    #[expect(clippy::too_many_arguments, reason = "one call site; a struct of these would say no more")]
    fn take_sign(
        &mut self,
        cases: &mut Vec<OpenCase>,
        rule: &Rule,
        rules: &RuleSet,
        about: About<'_>,
        sign: &Sign,
        severity: Severity,
        event: &AuthEvent<'_>,
        now: Millis,
        noted: &mut Vec<usize>,
        out: &mut Output,
    ) {
        match open_case(cases, rule, sign, rules) {
            Some(place) => {
                let case = &mut cases[place];
                // A call with several signs is one call.
                let is_noted = noted.contains(&place);
                noted.push(place);
                if case.join(rule, sign, severity, event, is_noted, now) {
                    out.changes.push(Change { alert: case.record(), at: event.ts, foster: false });
                }
            }
            None if !sign.opens => {}
            None if rule.active.as_ref().is_some_and(|hours| !hours.contains(event.ts)) => out.outside_hours += 1,
            None if cases.len() >= CASES_PER_KEY => self.cases_dropped += 1,
            None => {
                let case = OpenCase::open(rule, about, sign, severity, Some(event), now);
                if case.opens_at.is_none() {
                    out.changes.push(Change { alert: case.record(), at: event.ts, foster: false });
                }
                noted.push(cases.len());
                cases.push(case);
                self.reschedule = true;
            }
        }
    }
}
