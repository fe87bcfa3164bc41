//! The harder family: what happens at a platform over a bad month, and thieves who know what is looked for. It was kept
//! apart from the traffic that detectors were tuned on, and knows nothing of them.

use std::collections::BTreeSet;

use crate::simulate::day::event;
use crate::simulate::incident::{Calls, Planter, is_settled};
use crate::simulate::key::{Clock, Key, Shape, places};
use crate::simulate::line::{Event, Fact, NOBODY, NOT_PERMITTED, ODD_AGENTS, PAYOUTS, REFUNDS, UNKNOWN};
use crate::simulate::network::{PROVIDERS, Place, Trade, providers};
use crate::simulate::random::Random;
use crate::simulate::{Kind, Label, Plan, World};
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// The log stood still: what was written in this time came later, or never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    from: Millis,
    to: Millis,
    is_lost: bool,
}

impl Outage {
    /// Takes events of its time out of a list, or lets them arrive behind their time, quickly one after the other.
    pub fn befalls(&self, events: &mut Vec<Event>, first: usize) {
        let is_in = |e: &Event| (self.from..self.to).contains(&e.ts);
        if self.is_lost {
            let mut at = 0;
            events.retain(|e| {
                at += 1;
                at <= first || !is_in(e)
            });
            return;
        }
        for e in events[first..].iter_mut().filter(|e| is_in(e)) {
            // The backlog goes first, in its order, and what is new waits behind it: nothing overtakes.
            e.arrives_at = self.to + (e.ts - self.from) / 30;
        }
        let caught_up = self.to + (self.to - self.from) / 30;
        for e in events[first..].iter_mut().filter(|e| (self.to..caught_up).contains(&e.arrives_at) && !is_in(e)) {
            e.arrives_at = caught_up + (e.arrives_at - self.to) / 100;
        }
    }
}

/// What goes on beside incidents.
pub fn set_stage(plan: &Plan, world: &mut World, ends_at: Millis) {
    let mut random = Random::new(plan.seed, 12);
    habits(plan, world, ends_at, &mut random);
    outages(plan, world, ends_at, &mut random);
    failures(plan, world, ends_at, &mut random);
    calendar(plan, world, ends_at);
}

fn whole(kind: &str, starts_at: Millis, ends_at: Millis, what: String) -> Label {
    let (merchant_id, key_id, source) = (None, None, None);
    Label { kind: kind.into(), also: Vec::new(), merchant_id, key_id, source, starts_at, ends_at, what }
}

/// Clocks, growth, moves, load tests, and schedules that change.
fn habits(plan: &Plan, world: &mut World, ends_at: Millis, random: &mut Random) {
    let days = i64::from(plan.days);
    let some_time =
        |random: &mut Random| plan.starts_at + random.between(2, days.max(3)) * DAY + random.between(8, 18) * HOUR;
    for at in 0..world.keys.len() {
        let mut labels = Vec::new();
        let key = &world.keys[at];
        let is_job = matches!(key.shape, Shape::Sync | Shape::Nightly | Shape::Weekly);
        let clock = if random.chance(if is_job { 0.6 } else { 0.1 }) { Clock::Utc } else { Clock::Local };
        let mut key = Key { clock, ..key.clone() };
        if key.shape == Shape::Poller {
            // It keeps to its pace.
            (key.clock, key.scatter) = (Clock::Utc, 200.0);
        }
        if matches!(key.shape, Shape::Shop | Shape::Marketplace | Shape::Kiosk) && random.chance(0.06) {
            key.growth = 9.0 / days as f64;
            labels.push(("growth", plan.starts_at, ends_at, "ten times as much within the simulation"));
        }
        if key.moves.is_none() && random.chance(days as f64 / 400.0) {
            let (from, country) = (some_time(random), PROVIDERS[key.places[0].0.provider as usize].country);
            key.moves = Some((from, places(random, key.shape, country)));
            labels.push(("migration", from, from + 7 * DAY, "the servers moved"));
        }
        if is_job && random.chance(0.35) {
            let from = some_time(random);
            key.job_moves.push((from, random.between(0, 6 * 60) * MINUTE));
            labels.push(("schedule_move", from, from + 8 * DAY, "a job has another hour from now on"));
        } else if is_job && random.chance(0.3) {
            let step = random.between(1, 6) * MINUTE;
            let later = |day| (plan.starts_at + day * DAY, (key.job_at + day * step) % (6 * HOUR));
            key.job_moves = (0..days).map(later).collect();
            labels.push(("schedule_drift", plan.starts_at, ends_at, "a job begins some minutes later every day"));
        }
        let tests_load = random.chance(if key.is_live { 0.02 } else { 0.25 });
        if tests_load {
            let from = some_time(random);
            key.more.push((from, from + 2 * HOUR, 12.0 + 10.0 * random.unit()));
            labels.push(("load_test", from, from + 2 * HOUR, "a load test that was announced"));
            if key.is_live {
                // The control panel has a tag for it.
                let merchant = &world.merchants[key.merchant as usize];
                let mut fact = Fact::merchant(from - DAY, merchant, "active");
                fact.line = fact.line.replace(r#""status":"#, r#""tags":["load-test"],"status":"#);
                world.facts.push(fact);
            }
        }
        world.keys[at] = key;
        for (kind, from, to, what) in labels {
            let label = world.label(kind, at, from, to, what.to_owned());
            world.benign.push(label);
        }
    }
}

/// The log stands still twice: once what was written comes late, once it is lost.
fn outages(plan: &Plan, world: &mut World, ends_at: Millis, random: &mut Random) {
    if plan.days < 4 {
        return;
    }
    for (is_lost, what) in
        [(false, "no line for a while, then all at once"), (true, "no line for a while, and none comes later")]
    {
        let from = random.between(plan.starts_at + 2 * DAY, ends_at - DAY);
        let to = from + random.between(40, 170) * MINUTE;
        world.outages.push(Outage { from, to, is_lost });
        let kind = if is_lost { "outage_lost" } else { "outage_late" };
        world.benign.push(whole(kind, from, to, what.to_owned()));
    }
}

/// A part of the platform fails: many keys are refused, or cannot be heard, at once.
fn failures(plan: &Plan, world: &mut World, ends_at: Millis, random: &mut Random) {
    for n in 0..(plan.days / 10).max(1) {
        let from = random.between(plan.starts_at + DAY, ends_at - HOUR);
        let to = from + random.between(12, 50) * MINUTE;
        let (of_keys, of_calls) = (0.25 + 0.5 * random.unit(), 0.6 + 0.35 * random.unit());
        // Not permitted, or asked to wait: what a gateway says whose back end is gone.
        let reason = *random.pick(&[NOT_PERMITTED, 10]);
        let is_silence = n % 2 == 1;
        for key in &mut world.keys {
            if random.chance(of_keys) {
                if is_silence {
                    key.silent.push((from, to));
                } else {
                    key.refused.push((from, to, reason, of_calls));
                }
            }
        }
        let (kind, what) =
            if is_silence { ("platform_silence", "cannot be heard") } else { ("platform_refusals", "are refused") };
        world.benign.push(whole(kind, from, to, format!("{:.0} % of all keys {what}", of_keys * 100.0)));
    }
}

/// Once a week or once a month somebody in the office fetches lists, with another program, over another line: as long as the
/// key is in use, so this comes after the incidents.
pub fn add_exports(plan: &Plan, world: &mut World, ends_at: Millis) {
    let random = &mut Random::new(plan.seed, 14);
    let lines = providers(Trade::Access, None);
    for at in 0..world.keys.len() {
        // A key that has yet to take over from another is nobody's habit.
        let is_new = plan.starts_at <= world.keys[at].created_at;
        if !world.keys[at].is_live || is_new || !random.chance(0.12) {
            continue;
        }
        let place = Place::of(*random.pick(&lines), random);
        let (host, every, hour) = (random.below(254), *random.pick(&[7, 30]), random.between(8, 16) * HOUR);
        // The first Monday or the first of the month that it does it lies before the simulation, or in its first days.
        let mut day = plan.starts_at + random.between(0, 5) * DAY + hour;
        while day < ends_at && world.keys[at].calls_at(day) {
            let many = 20 + random.below(80);
            for _ in 0..many {
                let ts = day + random.between(0, 25 * MINUTE);
                if !world.keys[at].calls_at(ts) {
                    continue;
                }
                let e = Event { agent: 13, endpoint: 7, ..event(at as u32, ts, place, host, random) };
                world.extra.push(e);
            }
            let kind = if every == 7 { "weekly_export" } else { "monthly_export" };
            let what = "lists are fetched from the office".to_owned();
            let label = world.label(kind, at, day, day + HOUR, what);
            world.benign.push(label);
            day += every * DAY;
        }
    }
}

/// Months begin, and clocks change.
fn calendar(plan: &Plan, world: &mut World, ends_at: Millis) {
    let zones: BTreeSet<&str> = world.merchants.iter().map(|merchant| merchant.zone.name()).collect();
    let mut day = plan.starts_at;
    while day < ends_at {
        let date = crate::time::rfc3339(day);
        if date.get(8..10) == Some("01") {
            world.benign.push(whole("month_start", day, day + 3 * DAY, "a month begins".into()));
        }
        for zone in &zones {
            let Some(merchant) = world.merchants.iter().find(|merchant| merchant.zone.name() == *zone) else {
                continue;
            };
            if merchant.offset(day) != merchant.offset(day + DAY) {
                let what = format!("the clocks change in {zone}");
                world.benign.push(whole("clock_change", day, day + 2 * DAY, what));
            }
        }
        day += DAY;
    }
}

/// What is planted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    SameRegion,
    SameNetwork,
    Residential,
    SlowTheft,
    Insider,
    Leak,
    OddRegeneration,
    SmallSpike,
    LoadTest,
    PartialDrop,
    MissedJob,
    SmallRefusals,
    SlowScan,
    AsUsual(Kind),
}

const CASES: [Case; 24] = [
    Case::SameRegion,
    Case::SameNetwork,
    Case::Residential,
    Case::SlowTheft,
    Case::Insider,
    Case::Leak,
    Case::OddRegeneration,
    Case::SmallSpike,
    Case::LoadTest,
    Case::PartialDrop,
    Case::MissedJob,
    Case::SmallRefusals,
    Case::SlowScan,
    Case::AsUsual(Kind::SlowRamp),
    Case::AsUsual(Kind::ClientSideUse),
    Case::AsUsual(Kind::TestKeyAtLive),
    Case::AsUsual(Kind::LiveKeyAtTest),
    Case::AsUsual(Kind::RotatedKeyUse),
    Case::AsUsual(Kind::RevokedKeyUse),
    Case::AsUsual(Kind::RotationUnproven),
    Case::AsUsual(Kind::SuspendedUse),
    Case::AsUsual(Kind::StaleKey),
    Case::AsUsual(Kind::DormantAwake),
    Case::AsUsual(Kind::ExpiringKey),
];

/// Plants one of each for every 40 keys over the second half, at least one.
pub fn plant_all(plan: &Plan, world: &mut World, ends_at: Millis) {
    let mut random = Random::new(plan.seed, 13);
    let begins = plan.starts_at + (ends_at - plan.starts_at) / 2;
    let mut used = BTreeSet::new();
    for n in 0..(plan.keys / 40).max(1) {
        for (m, case) in CASES.into_iter().enumerate() {
            let mut at = random.between(begins, (ends_at - 8 * HOUR).max(begins + 1));
            // Nobody can be asked to find what was lost, and what is late is found late.
            for outage in &world.outages {
                if (outage.from - 2 * HOUR..outage.to).contains(&at) {
                    at = outage.to + random.between(10, 120) * MINUTE;
                }
            }
            let name = 0x4a2d << 32 | (n as u64) << 8 | m as u64;
            let kind = case.kind();
            let random = Random::new(plan.seed, name);
            let mut planter = Planter { plan, world, used: &mut used, random, at, kind };
            if let Some(label) = case.plant(&mut planter) {
                world.incidents.push(label);
            }
        }
    }
}

impl Case {
    /// The kind that an alert about it should have.
    fn kind(self) -> Kind {
        match self {
            Case::SameRegion | Case::SlowTheft => Kind::NewIp,
            Case::SameNetwork => Kind::NewUserAgent,
            Case::Residential => Kind::IpFanout,
            Case::Insider => Kind::NewEndpoint,
            Case::Leak => Kind::KeyExposed,
            Case::OddRegeneration => Kind::KeyLifecycle,
            Case::SmallSpike | Case::LoadTest => Kind::Spike,
            Case::PartialDrop | Case::MissedJob => Kind::Drop,
            Case::SmallRefusals => Kind::ErrorBurst,
            Case::SlowScan => Kind::KeyScan,
            Case::AsUsual(kind) => kind,
        }
    }

    fn plant(self, planter: &mut Planter<'_>) -> Option<Label> {
        let at = planter.at;
        match self {
            Case::SameRegion => {
                let key = planter.choose(|key, _| is_settled(key))?;
                let own = planter.world.keys[key].places_at(at)[0].0;
                let place = elsewhere(own, &mut planter.random);
                let host = planter.random.below(254);
                let (many, over) = (20 + planter.random.below(30), 30 * MINUTE);
                // Half of them took the victim's own library.
                let change: fn(&mut Event, u64) = if planter.random.chance(0.5) {
                    |e, n| e.endpoint = if n % 3 == 0 { REFUNDS } else { 7 }
                } else {
                    |e, n| {
                        (e.agent, e.release) = (ODD_AGENTS + (e.key % 2) as u16, 2);
                        e.endpoint = if n % 3 == 0 { REFUNDS } else { 7 };
                    }
                };
                let ends = planter.calls(key, place, Some(host), Calls { many, over, change });
                Some(planter.label(
                    key,
                    ends,
                    Some((place, host)),
                    "a stolen key, from a server at the victim's own provider",
                ))
            }
            Case::SameNetwork => {
                let key = planter.choose(|key, _| is_settled(key))?;
                let own = planter.world.keys[key].places_at(at)[0].0;
                let host = planter.random.below(254);
                let change: fn(&mut Event, u64) = |e, n| {
                    (e.agent, e.release) = (ODD_AGENTS + 1, 1);
                    e.endpoint = if n % 2 == 0 { 7 } else { 2 };
                };
                let ends = planter.calls(key, own, Some(host), Calls { many: 25, over: HOUR, change });
                Some(planter.label(key, ends, Some((own, host)), "a stolen key, from the server next to the victim's"))
            }
            Case::Residential => {
                let key = planter.choose(|key, _| is_settled(key))?;
                let home = planter.world.merchants[planter.world.keys[key].merchant as usize].zone;
                let lines: Vec<usize> = [Trade::Access, Trade::Mobile]
                    .into_iter()
                    .flat_map(|trade| providers(trade, None))
                    .filter(|at| home.name().starts_with("America") == (PROVIDERS[*at].country == "US"))
                    .collect();
                let mut ends = at;
                for n in 0..45 {
                    let line = *planter.random.pick(&lines);
                    let place = Place::of(line, &mut planter.random);
                    planter.at = at + n * 150 * SECOND;
                    let change: fn(&mut Event, u64) = |e, _| (e.agent, e.release) = (ODD_AGENTS + 1, 2);
                    ends = ends.max(planter.calls(key, place, None, Calls { many: 1, over: MINUTE, change }));
                }
                planter.at = at;
                Some(planter.label(key, ends, None, "a stolen key, each call over another household's line"))
            }
            Case::SlowTheft => {
                let key = planter.choose(|key, _| is_settled(key))?;
                let foreign = *planter.random.pick(&providers(Trade::Hosting, None));
                let place = elsewhere(Place::of(foreign, &mut planter.random), &mut planter.random);
                let (host, many) = (planter.random.below(254), 12 + planter.random.below(12));
                let change: fn(&mut Event, u64) = |e, _| (e.agent, e.release, e.endpoint) = (ODD_AGENTS + 1, 1, 2);
                let ends = planter.calls(key, place, Some(host), Calls { many, over: 5 * DAY, change });
                Some(planter.label(key, ends, Some((place, host)), "a stolen key, three or four calls a day"))
            }
            Case::Insider => {
                let key = planter.choose(|key, _| is_settled(key))?;
                let merchant = &planter.world.merchants[planter.world.keys[key].merchant as usize];
                let offset = merchant.offset(at);
                planter.at = (at + offset).div_euclid(DAY) * DAY + 22 * HOUR + 30 * MINUTE - offset;
                let change: fn(&mut Event, u64) = |e, n| e.endpoint = if n % 2 == 0 { PAYOUTS } else { REFUNDS };
                let ends = planter.calls_from_home(key, Calls { many: 9, over: 40 * MINUTE, change });
                Some(planter.label(key, ends, None, "somebody of the house pays out, late in the evening"))
            }
            Case::Leak => {
                let key = planter.choose(|key, _| key.is_live)?;
                planter.say("key_exposed", at, key, r#","reason":"found in a paste""#);
                Some(planter.label(key, at + DAY, None, "a key is found in a paste, and nobody uses it"))
            }
            Case::OddRegeneration => {
                let key = planter.choose(|key, _| is_settled(key))?;
                let line = *planter.random.pick(&providers(Trade::Access, None));
                let (place, host) = (Place::of(line, &mut planter.random), planter.random.below(254));
                let actor = format!(r#","actor":"former.colleague","actor_ip":"{}""#, place.address(host));
                let new = planter.successor_by(key, at, None, &actor);
                planter.world.keys[new].from = at + DAY;
                Some(planter.label(new, at, Some((place, host)), "a former colleague regenerates a key from home"))
            }
            Case::SmallSpike => {
                let key = planter.choose(|key, expected| is_settled(key) && (10.0..25.0).contains(&expected))?;
                let expected = planter.expected(key);
                let over = HOUR;
                let calls = Calls { many: (expected * 3.2) as u64, over, change: |_, _| {} };
                let ends = planter.calls_from_home(key, calls);
                Some(planter.label(key, ends, None, "four times as many calls of a small key"))
            }
            Case::LoadTest => {
                let key = planter.choose(|key, expected| is_settled(key) && (8.0..500.0).contains(&expected))?;
                let many = (planter.expected(key) * 8.0) as u64 + 60;
                let ends =
                    planter.calls_from_home(key, Calls { many, over: 30 * MINUTE, change: |e, _| e.endpoint = 1 });
                Some(planter.label(key, ends, None, "a load test with a live key that nobody announced"))
            }
            Case::PartialDrop => {
                let key = planter.choose(|key, expected| is_settled(key) && 35.0 < expected)?;
                let ends = at + 4 * HOUR;
                // Factors hold for hours as a whole: it begins with one.
                planter.at = at.div_euclid(HOUR) * HOUR;
                planter.world.keys[key].more.push((planter.at, ends, 0.15));
                Some(planter.label(key, ends, None, "a busy key loses most of its calls for four hours"))
            }
            Case::MissedJob => {
                let key = planter.choose(|key, _| key.shape == Shape::Nightly && key.job_moves.is_empty())?;
                let (job_at, clock) = (planter.world.keys[key].job_at, planter.world.keys[key].clone());
                let offset = clock.offset(&planter.world.merchants[clock.merchant as usize], at);
                planter.at = (at + offset).div_euclid(DAY) * DAY + job_at - offset;
                let ends = planter.at + 12 * HOUR;
                planter.world.keys[key].silent.push((planter.at - HOUR, ends));
                Some(planter.label(key, ends, None, "a nightly job does not run"))
            }
            Case::SmallRefusals => {
                let key = planter.choose(|key, expected| key.is_live && (3.0..8.0).contains(&expected))?;
                let ends = at + 2 * HOUR;
                planter.world.keys[key].refused.push((at, ends, 2, 0.95));
                Some(planter.label(key, ends, None, "a release breaks the header of a small key"))
            }
            Case::SlowScan => Some(slow_scan(planter)),
            Case::AsUsual(_) => planter.plant(),
        }
    }
}

/// Another network of the same provider.
fn elsewhere(own: Place, random: &mut Random) -> Place {
    let mut place = Place { v6: false, ..own };
    while place.network == own.network {
        place = Place::of(own.provider as usize, random);
    }
    place
}

/// One source tries a key every few minutes.
fn slow_scan(planter: &mut Planter<'_>) -> Label {
    let box_at = 18 + planter.random.below(6) as usize;
    let (place, host) = (Place::of(box_at, &mut planter.random), planter.random.below(254));
    let (many, over) = (90, 5 * HOUR);
    let mut ends = planter.at;
    for n in 0..many {
        let ts = planter.at + if n == 0 { 0 } else { planter.random.between(0, over) };
        let usual = event(NOBODY, ts, place, host, &mut planter.random);
        planter.world.extra.push(Event { refused: UNKNOWN, agent: ODD_AGENTS + 1, ..usual });
        ends = ends.max(ts);
    }
    Label {
        also: vec!["malformed_key"],
        source: Some(place.address(host).to_string()),
        ..whole("key_scan", planter.at, ends, "one address tries ninety keys, patiently".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Incidents, Traffic, key};

    #[test]
    fn nobody_exports_with_a_key_that_has_ended() {
        let (starts_at, days) = (20_727 * DAY, 35);
        let (incidents, traffic) = (Incidents::None, Traffic::Hard);
        let plan = Plan { seed: 1, keys: 200, days, starts_at, incidents, unused_for: 14 * DAY, traffic };
        let ends_at = starts_at + i64::from(days) * DAY;
        let (merchants, mut keys) = key::make_of(1, 200, (starts_at, ends_at), &Shape::HARD_SHARES, 0.25);
        let to = starts_at + 12 * DAY + 12 * HOUR + 5 * MINUTE;
        keys.iter_mut().for_each(|key| key.to = to);
        let (extra, facts, incidents, benign, outages) = Default::default();
        let mut world = World { merchants, keys, extra, facts, incidents, benign, outages };
        add_exports(&plan, &mut world, ends_at);
        assert!(world.extra.len() > 500, "{}", world.extra.len());
        assert!(world.extra.iter().all(|e| e.ts < to) && world.benign.iter().all(|label| label.starts_at < to));
    }
}
