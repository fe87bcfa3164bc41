//! One event judged, one timer fired: features, then rules, then learning. Everything about one key in one place.

use crate::alert::Severity;
use crate::engine::baseline::networks::Network;
use crate::engine::case::{About, CASES_PER_KEY, OpenCase};
use crate::engine::detect::{Counted, Sight, Sign, Still, Verdict, Watch};
use crate::engine::intake::Admitted;
use crate::engine::shard::{Change, Output, World};
use crate::engine::subject::{Key, NETWORKS_PER_KEY, NETWORKS_PER_MERCHANT, Subject, merchant_of};
use crate::event::facts::KeyFacts;
use crate::event::{AuthEvent, Outcome};
use crate::rules::Rule;
use crate::rules::expr::Scope;
use crate::time::{DAY, Millis};

/// The circumstances in which a subject's timers fire.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Millis,
    pub(super) merchant_id: Option<&'a str>,
    pub(super) watch: Watch,
    pub(super) foster: bool,
}

/// When the key's next timer is due: the end of an episode by quiet, or what a detector waits for.
pub(super) fn next_due(key: &Key, merchant_id: Option<&str>, watch: Watch, world: World<'_>) -> Option<Millis> {
    let facts = world.facts.key(&key.features.key_id);
    let quiet = key.cases.iter().filter_map(OpenCase::ends_by_itself_at).min();
    let detectors = world.rules.rules.iter().filter_map(|rule| due_of(rule, key, merchant_id, facts, watch));
    quiet.into_iter().chain(detectors).min()
}

/// When a rule wants to look at the key. Where it has no open case, it looks at each moment once.
fn due_of(rule: &Rule, key: &Key, merchant_id: Option<&str>, facts: Option<&KeyFacts>, watch: Watch) -> Option<Millis> {
    let open = key.cases.iter().any(|c| *c.alert.rule == *rule.name);
    let due = rule.detector.due(&Still { facts, key: &key.features, watch }, open)?;
    if open {
        return Some(due);
    }
    let env = facts.and_then(|f| f.env).or(key.features.env);
    let matches = rule.matcher.matches(env, merchant_id, &key.features.key_id);
    (matches && key.fired_to(&rule.name).is_none_or(|fired| due > fired)).then_some(due)
}

/// Fires what is due at `due`. Returns whether anything came of it, and how many cases the bound turned away.
pub(super) fn fire_one(
    key: &mut Key,
    due: Millis,
    moment: Moment<'_>,
    world: World<'_>,
    out: &mut Output,
) -> (bool, u64) {
    let Moment { now, merchant_id, watch, foster } = moment;
    if let Some(place) = key.cases.iter().position(|case| case.ends_by_itself_at() == Some(due)) {
        let case = key.cases.remove(place);
        // What never opened ends unheard.
        if case.opens_at.is_none() {
            out.changes.push(Change { alert: case.end(due, "quiet"), at: due, foster });
        }
        return (true, 0);
    }
    let facts = world.facts.key(&key.features.key_id);
    for rule in &world.rules.rules {
        if due_of(rule, key, merchant_id, facts, watch) != Some(due) {
            continue;
        }
        let open = key.cases.iter().position(|c| *c.alert.rule == *rule.name);
        let still = Still { facts, key: &key.features, watch };
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
                    key_env: facts.and_then(|f| f.env).or(key.features.env),
                    key: Some(&key.features),
                    key_facts: facts,
                    merchant_id,
                    merchant_facts: merchant_id.and_then(|id| world.facts.merchant(id)),
                    ..Scope::of(&moment)
                };
                let Some(severity) = weigh(rule, &sign, &scope, out) else { continue };
                let hint = facts.and_then(|f| f.hint.as_deref()).or(key.features.hint.as_deref());
                let about = About { merchant_id, key_id: &key.features.key_id, key_hint: hint };
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

/// Counts an event in the key's features, lets the rules judge it, then learns from it.
pub(super) fn judge(
    subject: &mut Subject,
    place: usize,
    admitted: &Admitted<'_>,
    lateness: Millis,
    world: World<'_>,
    out: &mut Output,
) -> Judged {
    let Admitted { event, late, now, .. } = admitted;
    let (ts, count) = (event.ts, u64::from(event.count));
    let Subject { id, merchant, keys, .. } = subject;
    let merchant_id = merchant_of(id);
    let Key { features, cases, tallies, .. } = &mut keys[place];
    let mut judged = Judged { reschedule: features.first_seen.is_none(), ..Judged::default() };
    let facts = world.facts.key(&features.key_id);
    let accepted = event.outcome == Outcome::Ok;
    if features.hint.is_none() || event.key_hint.as_deref().is_some_and(|hint| features.hint.as_deref() != Some(hint)) {
        features.hint = event.key_hint.as_deref().map(Into::into).or(features.hint.take());
    }
    let env = event.key_env.or(features.env);
    // A rule for keys of one environment may have waited for this.
    judged.reschedule |= env != features.env;
    features.env = env;
    if accepted && !late {
        features.rates.add(ts, event.count, lateness);
    }
    let network = event.source_ip.map(Network::of);
    let key_env = facts.and_then(|f| f.env).or(features.env);
    let counted = if accepted && !late { features.rates.windows(ts) } else { None };

    let merchant_facts = merchant_id.and_then(|id| world.facts.merchant(id));
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
    for rule in world.rules.for_outcome(event.outcome) {
        if *late && rule.detector.needs_window() {
            continue;
        }
        let counted_by_rule = match &rule.counting {
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
        let odds = counted.as_ref().and_then(|windows| rule.detector.limit_odds(windows, features));
        let windows = odds.zip(counted).map(|(odds, windows)| {
            let [ten, hour] = features.rates.limits(&windows, odds);
            [(windows[0], ten), (windows[1], hour)]
        });
        let counted = counted_by_rule.as_ref();
        let sight = Sight { event, key_env, facts, key: features, merchant, network, counted, windows };
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
                let hint = facts.and_then(|f| f.hint.as_deref()).or(features.hint.as_deref());
                let about = About { merchant_id, key_id: &features.key_id, key_hint: hint };
                judged.take_sign(cases, rule, about, &sign, severity, event, *now, out);
            }
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
    if let Some(network) = network {
        let known = features.networks.get(network).copied();
        let suspect = match known {
            Some(seen) => seen.suspect && !(ts - seen.first_at >= DAY && seen.calls + count >= 20),
            None => features.knows_its_networks(ts) && !merchant.networks.trusts(network),
        };
        judged.networks_forgotten += u64::from(features.networks.learn(network, ts, count, suspect, NETWORKS_PER_KEY));
        if !suspect {
            features.networks.clear(network);
            judged.networks_forgotten +=
                u64::from(merchant.networks.learn(network, ts, count, false, NETWORKS_PER_MERCHANT));
        }
    }
    features.accepted += count;
    judged
}

impl Judged {
    #[expect(clippy::too_many_arguments, reason = "one call site; a struct of these would say no more")]
    fn take_sign(
        &mut self,
        cases: &mut Vec<OpenCase>,
        rule: &Rule,
        about: About<'_>,
        sign: &Sign,
        severity: Severity,
        event: &AuthEvent<'_>,
        now: Millis,
        out: &mut Output,
    ) {
        let open = cases.iter().position(|c| *c.alert.rule == *rule.name && *c.part == *sign.part);
        match open {
            Some(place) => {
                let case = &mut cases[place];
                if case.join(rule, sign, severity, event, now) {
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
                cases.push(case);
                self.reschedule = true;
            }
        }
    }
}
