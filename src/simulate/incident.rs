//! What is planted: one function a kind, each written from what happens, not from what a rule counts.

use std::collections::BTreeSet;

use crate::simulate::day::event;
use crate::simulate::key::{Key, Shape};
use crate::simulate::line::{Event, Fact, MALFORMED, NOBODY, ODD_AGENTS, PAYOUTS, REFUNDS, UNKNOWN};
use crate::simulate::network::{PROVIDERS, Place, Trade, providers};
use crate::simulate::random::Random;
use crate::simulate::{Incidents, Label, Plan, Planted, Traffic, World, hard};
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND, rfc3339};

/// What can be planted: every kind of alert that has traffic or facts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the contract's own (docs/reference/alerts.md)")]
pub enum Kind {
    NewIp,
    NewUserAgent,
    NewEndpoint,
    IpFanout,
    ImpossibleTravel,
    ClientSideUse,
    OffHours,
    KeyScan,
    MalformedKey,
    Spike,
    SlowRamp,
    Drop,
    ErrorBurst,
    TestKeyAtLive,
    LiveKeyAtTest,
    RotatedKeyUse,
    RevokedKeyUse,
    SuspendedUse,
    StaleKey,
    DormantAwake,
    KeyLifecycle,
    KeyExposed,
    RotationOverdue,
    ExpiringKey,
    RotationUnproven,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 25] = [
        Kind::NewIp,
        Kind::NewUserAgent,
        Kind::NewEndpoint,
        Kind::IpFanout,
        Kind::ImpossibleTravel,
        Kind::ClientSideUse,
        Kind::OffHours,
        Kind::KeyScan,
        Kind::MalformedKey,
        Kind::Spike,
        Kind::SlowRamp,
        Kind::Drop,
        Kind::ErrorBurst,
        Kind::TestKeyAtLive,
        Kind::LiveKeyAtTest,
        Kind::RotatedKeyUse,
        Kind::RevokedKeyUse,
        Kind::SuspendedUse,
        Kind::StaleKey,
        Kind::DormantAwake,
        Kind::KeyLifecycle,
        Kind::KeyExposed,
        Kind::RotationOverdue,
        Kind::ExpiringKey,
        Kind::RotationUnproven,
    ];

    /// The kind as alerts name it; two pairs here are one kind there.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NewIp => "new_ip",
            Kind::NewUserAgent => "new_user_agent",
            Kind::NewEndpoint => "new_endpoint",
            Kind::IpFanout => "ip_fanout",
            Kind::ImpossibleTravel => "impossible_travel",
            Kind::ClientSideUse => "client_side_use",
            Kind::OffHours => "off_hours",
            Kind::KeyScan => "key_scan",
            Kind::MalformedKey => "malformed_key",
            Kind::Spike | Kind::SlowRamp => "spike",
            Kind::Drop => "drop",
            Kind::ErrorBurst => "error_burst",
            Kind::TestKeyAtLive | Kind::LiveKeyAtTest => "env_mismatch",
            Kind::RotatedKeyUse => "rotated_key_use",
            Kind::RevokedKeyUse => "revoked_key_use",
            Kind::SuspendedUse => "suspended_use",
            Kind::StaleKey => "stale_key",
            Kind::DormantAwake => "dormant_awake",
            Kind::KeyLifecycle => "key_lifecycle",
            Kind::KeyExposed => "key_exposed",
            Kind::RotationOverdue => "rotation_overdue",
            Kind::ExpiringKey => "expiring_key",
            Kind::RotationUnproven => "rotation_unproven",
        }
    }

    /// Other kinds that an alert about the same may have.
    fn also(self) -> &'static [&'static str] {
        match self {
            Kind::NewIp => &["new_user_agent", "new_endpoint", "impossible_travel", "spike", "off_hours"],
            Kind::NewUserAgent => &["new_endpoint"],
            Kind::NewEndpoint => &["new_user_agent"],
            Kind::IpFanout | Kind::ClientSideUse => {
                &["new_ip", "ip_fanout", "client_side_use", "spike", "new_user_agent", "impossible_travel"]
            }
            Kind::ImpossibleTravel => &["new_ip", "new_user_agent"],
            Kind::OffHours => &["spike"],
            Kind::DormantAwake => &["new_ip", "new_user_agent", "spike"],
            Kind::ErrorBurst => &["drop"],
            Kind::RotationUnproven => &["rotated_key_use"],
            _ => &[],
        }
    }
}

/// Plants everything that the plan asks for. A key has one incident at most, but for scans, which go through what the others
/// leave; where no fitting key is left, nothing is.
pub fn plant_all(plan: &Plan, world: &mut World, ends_at: Millis) {
    let planted: Vec<Planted> = match &plan.incidents {
        Incidents::None => Vec::new(),
        Incidents::Listed(planted) => planted.clone(),
        Incidents::Spread if plan.traffic == Traffic::Hard => return hard::plant_all(plan, world, ends_at),
        Incidents::Spread => spread(plan, ends_at),
    };
    let mut used = BTreeSet::new();
    let is_scan = |(_, planted): &(usize, Planted)| planted.kind == Kind::KeyScan;
    let (scans, others): (Vec<_>, Vec<_>) = planted.into_iter().enumerate().partition(is_scan);
    for (n, planted) in others.into_iter().chain(scans) {
        let random = Random::new(plan.seed, 0x1c1d << 32 | n as u64);
        let mut planter = Planter { plan, world, used: &mut used, random, at: planted.at, kind: planted.kind };
        if let Some(label) = planter.plant() {
            world.incidents.push(label);
        }
    }
}

fn spread(plan: &Plan, ends_at: Millis) -> Vec<Planted> {
    let mut random = Random::new(plan.seed, 5);
    let begins = plan.starts_at + (ends_at - plan.starts_at) / 2;
    let of_each = (plan.keys / 40).max(1);
    let mut planted = Vec::new();
    for _ in 0..of_each {
        for kind in Kind::ALL {
            planted.push(Planted { kind, at: random.between(begins, ends_at - 6 * HOUR) });
        }
    }
    planted
}

/// Plants one incident.
pub(super) struct Planter<'a> {
    pub(super) plan: &'a Plan,
    pub(super) world: &'a mut World,
    pub(super) used: &'a mut BTreeSet<usize>,
    pub(super) random: Random,
    pub(super) at: Millis,
    pub(super) kind: Kind,
}

/// Calls of an incident: how many, how long, and what is special about them.
pub(super) struct Calls {
    pub(super) many: u64,
    pub(super) over: Millis,
    pub(super) change: fn(&mut Event, u64),
}

impl Planter<'_> {
    pub(super) fn plant(&mut self) -> Option<Label> {
        let at = self.at;
        match self.kind {
            Kind::NewIp => {
                let key = self.choose(|key, _| is_settled(key))?;
                let place = self.strange_place();
                let calls = Calls {
                    many: 30 + self.random.below(60),
                    over: self.random.between(20, 60) * MINUTE,
                    change: |e, n| {
                        (e.agent, e.release) = (ODD_AGENTS + (e.key % 2) as u16, 0);
                        e.endpoint = if n % 4 == 0 { REFUNDS } else { 7 };
                    },
                };
                let host = self.random.below(254);
                let ends = self.calls(key, place, Some(host), calls);
                Some(self.label(key, ends, Some((place, host)), "a stolen key is used from a strange network"))
            }
            Kind::NewUserAgent => {
                let key = self.choose(|key, _| is_settled(key))?;
                let calls = Calls {
                    many: 15 + self.random.below(20),
                    over: 40 * MINUTE,
                    change: |e, _| (e.agent, e.release) = (ODD_AGENTS + 1, 3),
                };
                let ends = self.calls_from_home(key, calls);
                Some(self.label(key, ends, None, "another program, on the merchant's own server"))
            }
            Kind::NewEndpoint => {
                let key = self.choose(|key, _| is_settled(key))?;
                let calls = Calls {
                    many: 12,
                    over: 30 * MINUTE,
                    change: |e, n| e.endpoint = if n % 3 == 0 { PAYOUTS } else { REFUNDS },
                };
                let ends = self.calls_from_home(key, calls);
                Some(self.label(key, ends, None, "first refunds and payouts of a key that only took payments"))
            }
            Kind::IpFanout => {
                let key = self.choose(|key, _| is_settled(key))?;
                let mut ends = at;
                for n in 0..40 {
                    let provider = self.random.below(PROVIDERS.len() as u64) as usize;
                    let place = Place::of(provider, &mut self.random);
                    self.at = at + n * 90 * SECOND;
                    let calls = Calls { many: 2, over: 5 * MINUTE, change: |e, _| e.agent = ODD_AGENTS + 1 };
                    ends = ends.max(self.calls(key, place, None, calls));
                }
                self.at = at;
                Some(self.label(key, ends, None, "a published key is used from everywhere"))
            }
            Kind::ImpossibleTravel => {
                let key = self.choose(|key, _| is_settled(key))?;
                let far = Place::of(19 + self.random.below(2) as usize, &mut self.random);
                let host = self.random.below(254);
                let calls = Calls { many: 12, over: 50 * MINUTE, change: |_, _| {} };
                let ends = self.calls(key, far, Some(host), calls);
                Some(self.label(key, ends, Some((far, host)), "the same minutes at home and on another continent"))
            }
            Kind::ClientSideUse => {
                let key = self.choose(|key, _| is_settled(key))?;
                let mobile = providers(Trade::Mobile, None);
                for n in 0..30 {
                    let provider = *self.random.pick(&mobile);
                    let place = Place::of(provider, &mut self.random);
                    self.at = at + n * 4 * MINUTE;
                    self.calls(
                        key,
                        place,
                        None,
                        Calls { many: 3, over: 3 * MINUTE, change: |e, _| e.in_browser = true },
                    );
                }
                self.at = at;
                Some(self.label(key, at + 2 * HOUR, None, "the secret key is in the shop's page"))
            }
            Kind::OffHours => {
                let key = self.choose(|key, _| key.shape == Shape::Office)?;
                // Three in the night, on the clocks of its merchant.
                let offset = self.world.merchants[self.world.keys[key].merchant as usize].offset(at);
                self.at = (at + offset).div_euclid(DAY) * DAY + 3 * HOUR - offset;
                let ends = self.calls_from_home(key, Calls { many: 25, over: HOUR, change: |_, _| {} });
                Some(self.label(key, ends, None, "an office works at three in the night"))
            }
            Kind::KeyScan if self.random.below(2) == 0 => Some(self.leaked_list()),
            Kind::KeyScan | Kind::MalformedKey => Some(self.stranger()),
            Kind::Spike => {
                let key = self.choose(|key, expected| is_settled(key) && (12.0..400.0).contains(&expected))?;
                let expected = self.expected(key);
                let factor = 5.0 + 4.0 * self.random.unit();
                let over = 50 * MINUTE;
                let many = (expected * factor * over as f64 / HOUR as f64) as u64 + 40;
                let ends = self.calls_from_home(key, Calls { many, over, change: |_, _| {} });
                Some(self.label(key, ends, None, "far more calls than usual, from the usual servers"))
            }
            Kind::SlowRamp => {
                let key = self.choose(|key, _| is_settled(key) && key.level > 60.0)?;
                let steps: Vec<_> = (0..12)
                    .map(|n| (at + n * 4 * HOUR, at + (n + 1) * 4 * HOUR, 1.0 + 0.35 * (n + 1) as f64))
                    .collect();
                self.world.keys[key].more.extend(steps);
                Some(self.label(key, at + 2 * DAY, None, "a little more every few hours, for two days"))
            }
            Kind::Drop => {
                let key = self.choose(|key, expected| is_settled(key) && expected > 30.0)?;
                let ends = at + 3 * HOUR;
                self.world.keys[key].silent.push((at, ends));
                Some(self.label(key, ends, None, "a busy key falls silent for three hours"))
            }
            Kind::ErrorBurst => {
                let key = self.choose(|key, expected| key.is_live && expected > 8.0)?;
                let ends = at + 90 * MINUTE;
                self.world.keys[key].refused.push((at, ends, 2, 0.9));
                Some(self.label(key, ends, None, "a release breaks the header: nearly every call is refused"))
            }
            Kind::TestKeyAtLive => {
                let key = self.choose(|key, _| !key.is_live)?;
                let calls = Calls { many: 25, over: 45 * MINUTE, change: |e, _| (e.other_env, e.refused) = (true, 8) };
                let ends = self.calls_from_home(key, calls);
                Some(self.label(key, ends, None, "a test key at the live endpoint: a go-live went wrong"))
            }
            Kind::LiveKeyAtTest => {
                let key = self.choose(|key, _| is_settled(key))?;
                let calls = Calls { many: 8, over: 30 * MINUTE, change: |e, _| (e.other_env, e.refused) = (true, 8) };
                let ends = self.calls_from_home(key, calls);
                Some(self.label(key, ends, None, "a live key at the sandbox"))
            }
            Kind::RevokedKeyUse => {
                let key = self.choose(|key, _| is_settled(key))?;
                let revoked = at - 2 * DAY;
                self.world.keys[key].to = revoked;
                self.say("key_revoked", revoked, key, &format!(r#","revoked_at":"{}""#, rfc3339(revoked)));
                let calls = Calls { many: 18, over: 3 * HOUR, change: |e, _| e.refused = 5 };
                let ends = self.calls_from_home(key, calls);
                Some(self.label(key, ends, None, "a key that was revoked two days ago is still sent"))
            }
            Kind::RotatedKeyUse => self.rotated(),
            Kind::RotationUnproven => {
                let key = self.choose(|key, expected| key.is_live && expected > 2.0)?;
                let grace_ends = at + 24 * HOUR;
                let new = self.successor(key, at - 6 * DAY, Some(grace_ends));
                self.world.keys[new].from = Millis::MAX;
                Some(self.label(new, grace_ends, None, "the grace ends in a day, and the new key has made no call"))
            }
            Kind::SuspendedUse => {
                let key = self.choose(|key, expected| is_settled(key) && expected > 3.0)?;
                let merchant = self.world.keys[key].merchant as usize;
                self.world.facts.push(Fact::merchant(at, &self.world.merchants[merchant], "suspended"));
                for (n, other) in self.world.keys.iter_mut().enumerate() {
                    if other.merchant as usize == merchant {
                        other.refused.push((at, at + 6 * HOUR, 9, 1.0));
                        other.to = other.to.min(at + 6 * HOUR);
                        self.used.insert(n);
                    }
                }
                Some(self.label(key, at + 6 * HOUR, None, "a suspended merchant's shop goes on calling"))
            }
            Kind::StaleKey => {
                let key = self.choose(|key, _| is_settled(key))?;
                let last = at - self.plan.unused_for;
                self.world.keys[key].to = last;
                self.calls_at(key, last - MINUTE);
                // The last call is a minute before, so that the key is stale a minute early.
                self.at = at - MINUTE;
                Some(self.label(
                    key,
                    Millis::MAX,
                    None,
                    &format!("a key unused for {} days", self.plan.unused_for / DAY),
                ))
            }
            Kind::DormantAwake => {
                let key = self.choose(|key, _| is_settled(key))?;
                self.world.keys[key].to = at - self.plan.unused_for - 2 * DAY;
                let place = self.strange_place();
                let host = self.random.below(254);
                let ends = self.calls(
                    key,
                    place,
                    Some(host),
                    Calls { many: 20, over: HOUR, change: |e, _| e.agent = ODD_AGENTS },
                );
                Some(self.label(key, ends, Some((place, host)), "a forgotten key is used again, by somebody else"))
            }
            Kind::KeyLifecycle => {
                let key = self.choose(|key, _| is_settled(key))?;
                let place = self.strange_place();
                let host = self.random.below(254);
                let address = place.address(host);
                let new = self.successor_by(key, at, None, &format!(r#","actor":"admin","actor_ip":"{address}""#));
                self.world.keys[new].from = at + DAY;
                Some(self.label(new, at, Some((place, host)), "a key is regenerated from a strange network"))
            }
            Kind::KeyExposed => {
                let key = self.choose(|key, _| is_settled(key))?;
                self.say("key_exposed", at, key, r#","reason":"found in a public repository""#);
                Some(self.label(key, at + DAY, None, "a key is found in a public repository"))
            }
            Kind::RotationOverdue => {
                let key = self.choose(|key, _| is_settled(key))?;
                let created_at = at - 365 * DAY;
                let id = self.world.keys[key].id.clone();
                self.world.facts.retain(|fact| !fact.line.contains(&id));
                self.world.keys[key].created_at = created_at;
                self.say("key_created", created_at, key, "");
                Some(self.label(key, Millis::MAX, None, "a key is a year old"))
            }
            Kind::ExpiringKey => {
                let key = self.choose(|key, _| is_settled(key))?;
                self.say("key_expires", at - 20 * DAY, key, &format!(r#","expires_at":"{}""#, rfc3339(at + 7 * DAY)));
                Some(self.label(key, at + 7 * DAY, None, "a key in use expires in a week"))
            }
        }
    }

    /// Most of the traffic moves to the new key at once; one server is forgotten, and goes on after the grace.
    fn rotated(&mut self) -> Option<Label> {
        let key = self.choose(|key, expected| is_settled(key) && expected > 3.0)?;
        let at = self.at;
        self.successor(key, at - 5 * DAY, Some(at));
        let forgotten = self.at;
        for hour in 0..96 {
            self.at = forgotten - 96 * HOUR + hour * HOUR + self.random.between(0, HOUR);
            self.calls_from_home(key, Calls { many: 1, over: MINUTE, change: |e, _| e.release = 0 });
        }
        self.at = at;
        let ends = self.calls_from_home(key, Calls { many: 30, over: 5 * HOUR, change: |e, _| e.refused = 6 });
        Some(self.label(key, ends, None, "one server still sends the old key after its grace"))
    }

    /// One source tries many keys, or sends something that is none.
    fn stranger(&mut self) -> Label {
        let is_scan = self.kind == Kind::KeyScan;
        let place = self.strange_place();
        let host = self.random.below(254);
        let (many, over) = if is_scan { (120, 12 * MINUTE) } else { (60, 40 * MINUTE) };
        let mut ends = self.at;
        for n in 0..many {
            let ts = self.at + if n == 0 { 0 } else { self.random.between(0, over) };
            let refused = if is_scan { UNKNOWN } else { MALFORMED };
            let e = Event { refused, agent: ODD_AGENTS + 1, ..event(NOBODY, ts, place, host, &mut self.random) };
            self.world.extra.push(e);
            ends = ends.max(ts);
        }
        let what =
            if is_scan { "one address tries a hundred keys" } else { "one address sends what is no key of ours" };
        Label {
            kind: self.kind.as_str().to_owned(),
            also: vec!["key_scan", "malformed_key"],
            merchant_id: None,
            key_id: None,
            source: Some(place.address(host).to_string()),
            starts_at: self.at,
            ends_at: ends,
            what: what.into(),
        }
    }

    /// One source goes through a list of keys of many merchants, and they work.
    fn leaked_list(&mut self) -> Label {
        let (begins, place, host) = (self.at, self.strange_place(), self.random.below(254));
        let works = |key: &Key| key.is_live && is_settled(key) && key.to > begins + DAY;
        let mut keys: Vec<usize> = (0..self.world.keys.len())
            .filter(|key| works(&self.world.keys[*key]) && !self.used.contains(key))
            .collect();
        // So short a list is no scan.
        if keys.len() < 8 {
            return self.stranger();
        }
        let mut ends = begins;
        for n in 0..keys.len().min(30) {
            let key = keys.swap_remove(self.random.below(keys.len() as u64) as usize);
            self.at = begins + if n == 0 { 0 } else { self.random.between(0, 12 * MINUTE) };
            let many = 1 + self.random.below(3);
            let change = |e: &mut Event, _| (e.agent, e.release) = (ODD_AGENTS + 1, 0);
            ends = ends.max(self.calls(key, place, Some(host), Calls { many, over: 2 * MINUTE, change }));
        }
        self.at = begins;
        Label {
            kind: self.kind.as_str().to_owned(),
            also: Vec::new(),
            merchant_id: None,
            key_id: None,
            source: Some(place.address(host).to_string()),
            starts_at: begins,
            ends_at: ends,
            what: "one address goes through a list of keys that work".into(),
        }
    }

    /// A key that nothing else happens to, and that fits.
    pub(super) fn choose(&mut self, fits: impl Fn(&Key, f64) -> bool) -> Option<usize> {
        let (at, starts_at) = (self.at, self.plan.starts_at);
        let mut fitting = Vec::new();
        for (n, key) in self.world.keys.iter().enumerate() {
            let offset = key.offset(&self.world.merchants[key.merchant as usize], at);
            let expected = key.expected(at, offset, starts_at).min(key.expected(at + HOUR, offset, starts_at));
            let is_calm = key.more.is_empty() && key.growth == 0.0 && key.moves.is_none();
            if !self.used.contains(&n) && is_calm && fits(key, expected) {
                fitting.push(n);
            }
        }
        // One that calls often is chosen more often: thieves find keys where they are used.
        let chosen = *fitting.get(self.random.below(fitting.len() as u64) as usize)?;
        self.used.insert(chosen);
        Some(chosen)
    }

    pub(super) fn expected(&self, key: usize) -> f64 {
        let key = &self.world.keys[key];
        key.expected(self.at, key.offset(&self.world.merchants[key.merchant as usize], self.at), self.plan.starts_at)
    }

    /// Cheap boxes, far countries, and ways to hide.
    fn strange_place(&mut self) -> Place {
        let provider = 18 + self.random.below(6) as usize;
        Place::of(provider, &mut self.random)
    }

    /// Calls from one network, the first of them at the incident's time; when the last one comes.
    pub(super) fn calls(&mut self, key: usize, place: Place, host: Option<u64>, calls: Calls) -> Millis {
        let mut ends = self.at;
        for n in 0..calls.many {
            let ts = self.at + if n == 0 { 0 } else { self.random.between(0, calls.over) };
            let host = host.unwrap_or_else(|| self.random.below(254));
            let usual = &self.world.keys[key];
            let (agent, release) = (usual.agent % 14 + usual.agent / 14 * 16, usual.release(ts) as u8);
            let mut e = Event { agent, release, ..event(key as u32, ts, place, host, &mut self.random) };
            (calls.change)(&mut e, n);
            self.world.extra.push(e);
            ends = ends.max(ts);
        }
        ends
    }

    pub(super) fn calls_from_home(&mut self, key: usize, calls: Calls) -> Millis {
        let (place, host) = self.world.keys[key].places_at(self.at)[0];
        self.calls(key, place, host, calls)
    }

    /// One usual call at a time.
    fn calls_at(&mut self, key: usize, at: Millis) {
        let before = std::mem::replace(&mut self.at, at);
        self.calls_from_home(key, Calls { many: 1, over: 1, change: |_, _| {} });
        self.at = before;
    }

    pub(super) fn say(&mut self, kind: &str, ts: Millis, key: usize, more: &str) {
        let key = &self.world.keys[key];
        let merchant = &self.world.merchants[key.merchant as usize];
        self.world.facts.push(Fact::key(kind, ts, key, merchant, more));
    }

    /// A key that replaces another at a time, and does its work from then on.
    fn successor(&mut self, key: usize, at: Millis, grace_until: Option<Millis>) -> usize {
        self.successor_by(key, at, grace_until, "")
    }

    pub(super) fn successor_by(&mut self, key: usize, at: Millis, grace_until: Option<Millis>, more: &str) -> usize {
        let old = self.world.keys[key].clone();
        let id = format!("key_{:08x}", self.random.bits() as u32);
        let env = if old.is_live { "live" } else { "test" };
        let hint = format!("caibo_{env}_sk_…{:04x}", self.random.below(65_536));
        let takes_over = at + self.random.between(2, 12) * HOUR;
        let new = Key { id, hint, created_at: at, from: takes_over, ..old.clone() };
        if self.kind == Kind::RotatedKeyUse {
            self.world.keys[key].to = takes_over;
        }
        self.world.keys.push(new);
        let new = self.world.keys.len() - 1;
        self.used.insert(new);
        let grace = grace_until.map_or("null".into(), |at| format!(r#""{}""#, rfc3339(at)));
        self.say("key_regenerated", at, new, &format!(r#","replaces":"{}","grace_until":{grace}{more}"#, old.id));
        new
    }

    pub(super) fn label(&self, key: usize, ends_at: Millis, source: Option<(Place, u64)>, what: &str) -> Label {
        Label {
            also: self.kind.also().to_vec(),
            source: source.map(|(place, host)| place.address(host).to_string()),
            ..self.world.label(self.kind.as_str(), key, self.at, ends_at, what.to_owned())
        }
    }
}

/// A live key whose calls come from networks of its own.
pub(super) fn is_settled(key: &Key) -> bool {
    use Shape::{High, Kiosk, Low, Marketplace, Office, Poller, Shop, Sync, TwoCentres};
    key.is_live
        && matches!(key.shape, Shop | Office | High | TwoCentres | Low | Marketplace | Kiosk | Poller | Sync)
        && (15.0..5_000.0).contains(&key.level)
}
