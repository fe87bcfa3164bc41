//! Made-up traffic: the same numbers give the same events. Keys by number, two to a merchant, each with its networks.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use crate::event::{AuthEvent, Env, Outcome};
use crate::time::{DAY, Millis, rfc3339};

/// Keys of one merchant.
pub(super) const KEYS_PER_MERCHANT: usize = 2;
/// Networks that a key is used from.
pub(super) const NETWORKS: u64 = 3;
/// Midnight before the first made-up event.
pub const START: Millis = 20_500 * DAY;

/// A small fast generator of numbers (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Numbers that `seed` alone decides.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// From 0 to 1, 1 not included.
    pub fn unit(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Which key calls next.
#[derive(Clone, Debug)]
pub enum Spread {
    /// Every key as often.
    Uniform,
    /// The k-th busiest key in proportion to 1/k: the sums of the shares.
    Zipf(Vec<f64>),
}

impl Spread {
    /// Zipf's law with exponent 1.0 over `keys` keys.
    pub fn zipf(keys: usize) -> Self {
        let mut sum = 0.0;
        Spread::Zipf(
            (1..=keys)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    /// A key's share of all calls.
    pub fn share(&self, key: usize, keys: usize) -> f64 {
        match self {
            Spread::Uniform => 1.0 / keys as f64,
            Spread::Zipf(sums) => 1.0 / (key + 1) as f64 / sums.last().copied().unwrap_or(1.0),
        }
    }

    fn draw(&self, keys: usize, numbers: &mut Numbers) -> usize {
        match self {
            Spread::Uniform => numbers.below(keys),
            Spread::Zipf(sums) => {
                let at = numbers.unit() * sums.last().copied().unwrap_or(1.0);
                sums.partition_point(|sum| *sum <= at).min(keys - 1)
            }
        }
    }
}

/// The names of a key: what its events carry.
#[derive(Debug)]
pub struct Names {
    /// The key's ID.
    pub key_id: String,
    /// Its masked form.
    pub hint: String,
    /// Its merchant.
    pub merchant_id: String,
}

impl Names {
    /// Names of a key by number. Mixed, so that neighbours in number are no neighbours in order.
    pub fn of(key: usize) -> Self {
        let (bits, merchant) = (mix(key as u64 + 1), mix((key / KEYS_PER_MERCHANT) as u64 + 1));
        Names {
            key_id: format!("key_{:012x}", bits & 0xFFFF_FFFF_FFFF),
            hint: format!("caibo_live_sk_…{:04x}", bits & 0xFFFF),
            merchant_id: format!("m_{:012x}", merchant & 0xFFFF_FFFF_FFFF),
        }
    }
}

/// One of a key's addresses; numbers from [`NETWORKS`] on are strangers'.
pub(super) fn address(key: usize, which: u64) -> Ipv4Addr {
    Ipv4Addr::from(0x1000_0000 + (mix((key as u64) << 8 | which) as u32 & 0x3FFF_FFFF))
}

/// `count` accepted calls as the engine sees them.
pub fn event(names: &Names, key: usize, which: u64, ts: Millis, count: u32) -> AuthEvent<'_> {
    AuthEvent {
        key_id: Some(names.key_id.as_str().into()),
        key_hint: Some(names.hint.as_str().into()),
        key_env: Some(Env::Live),
        merchant_id: Some(names.merchant_id.as_str().into()),
        endpoint_env: Some(Env::Live),
        method: Some("POST".into()),
        path: Some("/v1/payments".into()),
        user_agent: Some("caibo-node/3.1.0".into()),
        source_ip: Some(IpAddr::V4(address(key, which % NETWORKS))),
        outcome: Outcome::Ok,
        count,
        ..AuthEvent::at(ts, "", None)
    }
}

/// Messages as a gateway sends them, one after the other.
#[derive(Clone, Debug)]
pub struct Messages {
    keys: usize,
    spread: Spread,
    numbers: Numbers,
    made: u64,
    start: Millis,
    per_second: f64,
}

impl Messages {
    /// Messages of `keys` keys from `start` on, `per_second` in a second of event time.
    pub fn new(keys: usize, spread: Spread, start: Millis, per_second: f64) -> Self {
        Messages { keys, spread, numbers: Numbers::new(42), made: 0, start, per_second }
    }

    /// Adds one message to `bytes`; returns its merchant's number, which decides its partition. One in 200 is refused, one in
    /// 50 has a path with an identifier, one in 10,000 comes from a network and a
    /// program that its key has not used.
    pub fn write(&mut self, bytes: &mut Vec<u8>) -> usize {
        let key = self.spread.draw(self.keys, &mut self.numbers);
        let names = Names::of(key);
        let bits = self.numbers.next_bits();
        let ts = self.start + (self.made as f64 * 1000.0 / self.per_second) as Millis;
        self.made += 1;
        let id = mix(self.made ^ 0xE7);
        let (outcome, reason, status) =
            if bits.is_multiple_of(200) { ("denied", "\"rate_limited\"", 429) } else { ("ok", "null", 200) };
        let path = if (bits >> 8).is_multiple_of(50) { "/v1/payments/pay_8c1d22a0" } else { "/v1/payments" };
        let which = if (bits >> 16).is_multiple_of(10_000) { NETWORKS } else { (bits >> 32) % NETWORKS };
        let program = if which == NETWORKS { "python-requests/2.32.0" } else { "caibo-node/3.1.0" };
        let Names { key_id, hint, merchant_id } = &names;
        // Writing to memory does not fail.
        let _ = write!(
            bytes,
            "{{\"event_id\":\"{id:016x}{:08x}\",\"ts\":\"{}\",\"key_id\":\"{key_id}\",\"key_hint\":\"{hint}\",\
             \"key_env\":\"live\",\"merchant_id\":\"{merchant_id}\",\"endpoint_env\":\"live\",\"method\":\"POST\",\
             \"path\":\"{path}\",\"source_ip\":\"{}\",\"user_agent\":\"{program}\",\"outcome\":\"{outcome}\",\
             \"reason\":{reason},\"status\":{status},\"latency_ms\":{}}}",
            self.made,
            rfc3339(ts),
            address(key, which),
            bits % 90 + 3,
        );
        key / KEYS_PER_MERCHANT
    }

    /// The next `n` messages in one buffer, and where each begins and ends.
    pub fn chunk(&mut self, n: usize) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
        let (mut bytes, mut places) = (Vec::with_capacity(n * 380), Vec::with_capacity(n));
        for _ in 0..n {
            let start = bytes.len();
            self.write(&mut bytes);
            places.push(start..bytes.len());
        }
        (bytes, places)
    }
}
