//! A day of everybody's calls. Each key has random numbers of its own for each day, so that nothing depends on its
//! neighbours.

use crate::simulate::Storm;
use crate::simulate::key::{Key, Merchant, Shape};
use crate::simulate::line::{Event, MALFORMED, NOBODY, NOT_PERMITTED, UNKNOWN};
use crate::simulate::network::{PROVIDERS, Place};
use crate::simulate::random::Random;
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// Of accepted calls, so many are refused for a reason of no interest.
const REFUSED: f64 = 0.006;
/// Lines that stand for several requests.
const COUNTED: f64 = 0.002;

/// What a day needs to know.
pub struct Plan<'a> {
    /// The seed.
    pub seed: u64,
    /// When the simulation begins.
    pub starts_at: Millis,
    /// Everybody.
    pub merchants: &'a [Merchant],
    /// Their keys.
    pub keys: &'a [Key],
    /// Short bursts of the whole fleet.
    pub storms: &'a [Storm],
}

impl Plan<'_> {
    /// Adds the calls of the day that begins at `day` (UTC).
    pub fn day(&self, day: Millis, out: &mut Vec<Event>) {
        for at in 0..self.keys.len() {
            self.key_day(at, day, out);
        }
        self.strangers(day, out);
    }

    fn key_day(&self, at: usize, day: Millis, out: &mut Vec<Event>) {
        let key = &self.keys[at];
        if key.to <= day || day + DAY <= key.from {
            return;
        }
        let mut random = Random::new(self.seed, (at as u64) << 20 ^ (day / DAY) as u64 ^ 0x5eed << 40);
        let offset = key.offset(&self.merchants[key.merchant as usize], day + DAY / 2);
        // A whole day is busier or calmer than the last, beyond what its hours are.
        let mood = random.gamma(30.0);
        for hour in 0..24 {
            let begins = day + hour * HOUR;
            let expected = key.expected(begins, offset, self.starts_at) * mood;
            let calls = random.count(expected, key.scatter);
            for _ in 0..calls {
                let ts = begins + random.between(0, HOUR);
                self.call(at, ts, &mut random, out);
            }
            if let Some((from, length, mean)) = key.job(begins, offset) {
                for _ in 0..random.count(mean * mood, 30.0) {
                    let ts = from + random.between(0, length);
                    self.call(at, ts, &mut random, out);
                }
            }
            for storm in self.storms.iter().filter(|storm| (begins..begins + HOUR).contains(&storm.from)) {
                let is_hit = Random::new(self.seed ^ storm.from as u64, at as u64).chance(storm.share);
                let extra = expected * storm.length as f64 / HOUR as f64 * (storm.factor - 1.0);
                for _ in 0..if is_hit { random.count(extra, 6.0) } else { 0 } {
                    let ts = storm.from + random.between(0, storm.length);
                    self.call(at, ts, &mut random, out);
                }
            }
        }
        if key.shape == Shape::Builds {
            self.builds(at, day, offset, &mut random, out);
        }
    }

    /// A build machine: a burst for each build, on working days.
    fn builds(&self, at: usize, day: Millis, offset: Millis, random: &mut Random, out: &mut Vec<Event>) {
        let is_weekend = ((day + offset).div_euclid(DAY) + 3).rem_euclid(7) >= 5;
        let builds = random.poisson(if is_weekend { 0.3 } else { 5.0 });
        for _ in 0..builds {
            let from = day - offset + random.between(8 * HOUR, 19 * HOUR);
            for _ in 0..random.count(self.keys[at].level / 5.0, 4.0) {
                let ts = from + random.between(0, 4 * MINUTE);
                if (day..day + DAY).contains(&ts) {
                    self.call(at, ts, random, out);
                }
            }
        }
    }

    /// One usual call.
    fn call(&self, at: usize, ts: Millis, random: &mut Random, out: &mut Vec<Event>) {
        let key = &self.keys[at];
        if !key.calls_at(ts) {
            return;
        }
        let places = key.places_at(ts);
        // The first networks carry most.
        let first = random.below(places.len() as u64) as usize;
        let (place, host) = places[first.min(random.below(places.len() as u64) as usize)];
        let refused = match key.refused.iter().find(|(from, to, _, _)| (*from..*to).contains(&ts)) {
            Some((_, _, reason, share)) if random.chance(*share) => *reason,
            _ if random.chance(REFUSED) => *random.pick(&[NOT_PERMITTED, 10]),
            _ => 0,
        };
        let host = host.unwrap_or_else(|| random.below(254));
        out.push(Event {
            endpoint: random.below(u64::from(key.endpoints)) as u8,
            agent: key.agent % 14 + key.agent / 14 * 16,
            release: key.release(ts) as u8,
            refused,
            count: if random.chance(COUNTED) { 2 + random.below(4) as u32 } else { 1 },
            ..event(at as u32, ts, place, host, random)
        });
    }

    /// Strangers: other systems' secrets, mistyped and guessed keys, from all over.
    fn strangers(&self, day: Millis, out: &mut Vec<Event>) {
        let mut random = Random::new(self.seed, 0x57a6 << 40 ^ (day / DAY) as u64);
        let many = random.count(2.0 + self.keys.len() as f64 / 20.0, 3.0);
        for _ in 0..many {
            let place = Place::of(random.below(PROVIDERS.len() as u64) as usize, &mut random);
            let (ts, host) = (day + random.between(0, DAY), random.below(254));
            let refused = *random.pick(&[MALFORMED, MALFORMED, UNKNOWN, 3]);
            out.push(Event { refused, agent: 14 + (host % 2) as u16, ..event(NOBODY, ts, place, host, &mut random) });
        }
    }
}

/// An accepted call of the usual kind; what is special is changed by the caller.
pub fn event(key: u32, ts: Millis, place: Place, host: u64, random: &mut Random) -> Event {
    Event {
        arrives_at: ts + delay(random),
        ts,
        id: random.bits(),
        key,
        address: place.address(host),
        agent: 0,
        release: 0,
        endpoint: 0,
        refused: 0,
        other_env: false,
        in_browser: false,
        count: 1,
    }
}

/// How late a line is: a second or two; now and then a minute, rarely some.
fn delay(random: &mut Random) -> Millis {
    let mean = match random.below(1_000) {
        0 => 60 * SECOND,
        1..30 => 12 * SECOND,
        _ => SECOND,
    };
    ((mean as f64 * random.exponential()) as Millis).min(8 * MINUTE)
}
