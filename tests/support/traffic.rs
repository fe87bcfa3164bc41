//! Traffic for the laws' tests: seeded, a few hundred merchants, with incidents whose number is known. Not a model of
//! real traffic (that is the simulator's task): it only has to exercise every detector, disorder and duplicates.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One line of events, with the merchant that Kafka's message key names.
#[derive(Clone, Debug)]
pub struct Line {
    /// Kafka's message key.
    pub merchant: String,
    /// The JSON object.
    pub text: String,
}

/// Events in the order in which they arrive, and facts.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Decisions.
    pub events: Vec<Line>,
    /// Facts; the key is `merchant/subject`.
    pub facts: Vec<Line>,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The same seed gives the same traffic.
    pub seed: u64,
    /// Merchants.
    pub merchants: u64,
    /// Days.
    pub days: i64,
    /// Calls that a key makes in a day, on average.
    pub calls_a_day: f64,
    /// First day's midnight, milliseconds since 1970.
    pub start: i64,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A small generator (splitmix64): the same numbers on every machine.
pub struct Numbers(u64);

impl Numbers {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n.max(1)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

struct Maker {
    plan: Plan,
    numbers: Numbers,
    /// Time of arrival, time of the event, merchant, text.
    events: Vec<(i64, Line)>,
    facts: Vec<Line>,
    next_id: u64,
}

struct Call<'a> {
    at: i64,
    merchant: &'a str,
    key: &'a str,
    env: &'a str,
    endpoint: &'a str,
    address: &'a str,
    outcome: (&'a str, Option<&'a str>),
    /// The page that it was made from.
    origin: Option<&'a str>,
    count: u64,
}

/// Makes the traffic.
pub fn traffic(plan: Plan) -> Traffic {
    let mut maker = Maker { plan, numbers: Numbers::new(plan.seed), events: Vec::new(), facts: Vec::new(), next_id: 0 };
    for m in 0..plan.merchants {
        maker.merchant(m);
    }
    maker.heartbeat();
    maker.events.sort_by_key(|(arrives, _)| *arrives);
    Traffic { events: maker.events.into_iter().map(|(_, line)| line).collect(), facts: maker.facts }
}

impl Maker {
    fn merchant(&mut self, m: u64) {
        let merchant = format!("m_{m:05}");
        self.fact(&merchant, &merchant, json!({"type": "merchant_updated", "ts": self.plan.start, "merchant_id": merchant,
            "name": format!("Shop {m}"), "contacts": [format!("owner{m}@shop{m}.example")], "timezone": "Europe/Berlin", "status": "active"}));
        let home = format!("203.0.{}.{}", m % 250, 1 + m / 250);
        let live = format!("k_{m:05}_live");
        let test = format!("k_{m:05}_test");
        let made = self.plan.start - 40 * DAY;
        self.key(&merchant, &live, "live", made, json!({}));
        self.key(&merchant, &test, "test", made, json!({}));
        self.days(&merchant, &live, "live", &home, 0, self.plan.days);
        if m.is_multiple_of(2) {
            let days = if m.is_multiple_of(6) { self.plan.days / 3 } else { self.plan.days };
            self.days(&merchant, &test, "test", &home, 0, days);
        }
        let (end, start) = (self.plan.days, self.plan.start);
        let day = |d: i64, hour: i64| start + d * DAY + hour * HOUR;
        let call = |at: i64| Call {
            at,
            merchant: &merchant,
            key: &live,
            env: "live",
            endpoint: "live",
            address: &home,
            outcome: ("ok", None),
            origin: None,
            count: 1,
        };
        match m % 12 {
            0 => {
                // The platform is at fault: it happens to all of these in the same minutes.
                for i in 0..40 {
                    let refused = ("denied", Some("rate_limited"));
                    self.call(Call { outcome: refused, ..call(day(end - 2, 16) + i * MINUTE / 3) });
                }
            }
            1 => {
                let thief = format!("198.51.{}.7", m % 200);
                for i in 0..5 {
                    self.call(Call { address: &thief, ..call(day(end - 4, 3) + i * 7 * MINUTE) });
                }
            }
            3 => {
                for i in 0..4 {
                    let refused = ("denied", Some("env_mismatch"));
                    self.call(Call { key: &test, env: "test", outcome: refused, ..call(day(end - 6, 9) + i * HOUR) });
                }
            }
            5 => self.call(Call { endpoint: "test", ..call(day(end - 5, 11)) }),
            7 => {
                let new = format!("k_{m:05}_new");
                let at = day(end - 8, 10);
                self.key(
                    &merchant,
                    &new,
                    "live",
                    at,
                    json!({"type": "key_regenerated", "replaces": live, "grace_until": at + 6 * HOUR}),
                );
                self.days(&merchant, &new, "live", &home, end - 8, end);
                for i in 0..6 {
                    let from = format!("203.0.{}.{}", m % 250, 100 + i);
                    let refused = ("denied", Some("rotated_key"));
                    self.call(Call { address: &from, outcome: refused, ..call(at + 7 * HOUR + i * 50 * MINUTE) });
                }
            }
            9 => {
                let old = format!("k_{m:05}_old");
                self.key(&merchant, &old, "live", made, json!({}));
                let at = day(end - 9, 8);
                self.key(
                    &merchant,
                    &old,
                    "live",
                    made,
                    json!({"type": "key_revoked", "ts": at, "revoked_at": at, "reason": "unused"}),
                );
                for i in 0..3 {
                    let refused = ("denied", Some("revoked_key"));
                    self.call(Call { key: &old, outcome: refused, ..call(at + DAY + i * HOUR) });
                }
            }
            11 => {
                for i in 0..60 {
                    self.call(Call { count: 4, ..call(day(end - 3, 14) + i * MINUTE / 8) });
                }
            }
            2 => {
                let found = day(end - 7, 5) + 17 * MINUTE;
                let fact = json!({"type": "key_exposed", "ts": found, "reason": "found in a public repository"});
                self.key(&merchant, &test, "test", made, fact);
                let revoked = json!({"type": "key_revoked", "ts": found + 9 * HOUR, "revoked_at": found + 9 * HOUR});
                self.key(&merchant, &test, "test", made, revoked);
            }
            4 => {
                let stops = day(end - 1, 13);
                self.key(&merchant, &live, "live", made, json!({"type": "key_expires", "expires_at": stops}));
            }
            6 => {
                for (status, at) in [("suspended", day(end - 3, 6)), ("active", day(end - 3, 15))] {
                    let fact = json!({"type": "merchant_updated", "ts": at, "merchant_id": merchant, "status": status});
                    self.fact(&merchant, &merchant, fact);
                }
                // Unused for days, and used again from elsewhere.
                for i in 0..4 {
                    let more = Call { address: "192.0.2.77", key: &test, env: "test", endpoint: "test", ..call(0) };
                    self.call(Call { at: day(end - 2, 2) + i * 11 * MINUTE, ..more });
                }
            }
            10 => {
                // The grace runs out, and the new key has made no call; it was made from an odd place.
                let at = day(end - 7, 10);
                let new = format!("k_{m:05}_new");
                self.key(&merchant, &test, "test", made, json!({"actor_ip": "192.0.2.7"}));
                self.key(&merchant, &format!("k_{m:05}_spare"), "test", made, json!({"actor_ip": "192.0.2.8"}));
                let more = json!({"type": "key_regenerated", "replaces": live, "grace_until": at + 4 * DAY, "actor_ip": "198.51.100.9"});
                self.key(&merchant, &new, "live", at, more);
                self.call(Call { key: &new, ..call(at + 3 * DAY + 7 * HOUR) });
            }
            8 => {
                for i in 0..5 {
                    let visitor = format!("198.{}.{i}.9", 18 + m % 200);
                    let page = Some("https://shop.example");
                    self.call(Call { address: &visitor, origin: page, ..call(day(end - 3, 20) + i * 5 * MINUTE) });
                }
            }
            _ => {}
        }
    }

    /// A key of every merchant goes on to the very end, so that stream time ends at the same moment everywhere.
    fn heartbeat(&mut self) {
        let end = self.plan.start + self.plan.days * DAY;
        for m in 0..self.plan.merchants {
            let (merchant, home) = (format!("m_{m:05}"), format!("203.0.{}.{}", m % 250, 1 + m / 250));
            let key = if m % 12 == 7 { format!("k_{m:05}_new") } else { format!("k_{m:05}_live") };
            for at in [end + HOUR, end + 2 * HOUR] {
                self.call(Call {
                    at,
                    merchant: &merchant,
                    key: &key,
                    env: "live",
                    endpoint: "live",
                    address: &home,
                    outcome: ("ok", None),
                    origin: None,
                    count: 1,
                });
            }
        }
    }

    fn days(&mut self, merchant: &str, key: &str, env: &str, home: &str, from: i64, to: i64) {
        for day in from..to {
            for hour in 0..24 {
                let busy = if (7..21).contains(&hour) { 1.6 } else { 0.15 };
                let mut expected = self.plan.calls_a_day / 24.0 * busy;
                while self.numbers.unit() < expected {
                    expected -= 1.0;
                    let at = self.plan.start + day * DAY + hour * HOUR + self.numbers.below(HOUR as u64) as i64;
                    let refused = self.numbers.unit() < 0.01;
                    self.call(Call {
                        at,
                        merchant,
                        key,
                        env,
                        endpoint: env,
                        address: home,
                        outcome: if refused { ("denied", None) } else { ("ok", None) },
                        origin: None,
                        count: 1,
                    });
                }
            }
        }
    }

    fn key(&mut self, merchant: &str, key: &str, env: &str, at: i64, more: Value) {
        let mut fact = json!({"type": "key_created", "ts": at, "key_id": key, "merchant_id": merchant, "key_env": env,
            "key_hint": format!("caibo_{env}_sk_…{}", &key[key.len() - 4..]), "created_at": at});
        if let (Value::Object(fact), Value::Object(more)) = (&mut fact, more) {
            fact.extend(more);
        }
        self.fact(merchant, key, fact);
    }

    fn fact(&mut self, merchant: &str, subject: &str, fact: Value) {
        self.facts.push(Line { merchant: format!("{merchant}/{subject}"), text: fact.to_string() });
    }

    fn call(&mut self, c: Call<'_>) {
        self.next_id += 1;
        let id = format!("e{:08}", self.next_id);
        let mut text = String::with_capacity(400);
        let origin = c.origin.map_or("null".to_owned(), |page| format!("\"{page}\""));
        let reason = c.outcome.1.map_or("null".to_owned(), |r| format!("\"{r}\""));
        let _ = write!(
            text,
            "{{\"event_id\":\"{id}\",\"ts\":{},\"key_id\":\"{}\",\"key_hint\":\"caibo_{}_sk_…{}\",\"key_env\":\"{}\",\"merchant_id\":\"{}\",\
             \"endpoint_env\":\"{}\",\"method\":\"POST\",\"path\":\"/v1/payments\",\"source_ip\":\"{}\",\"user_agent\":\"shop/1.4\",\
             \"outcome\":\"{}\",\"reason\":{reason},\"origin\":{origin},\"status\":200,\"count\":{}}}",
            c.at,
            c.key,
            c.env,
            &c.key[c.key.len() - 4..],
            c.env,
            c.merchant,
            c.endpoint,
            c.address,
            c.outcome.0,
            c.count
        );
        // Late by up to four minutes: within the lateness.
        let arrives = c.at + self.numbers.below(4 * MINUTE as u64) as i64;
        let line = Line { merchant: c.merchant.to_owned(), text };
        if self.numbers.below(200) == 0 {
            self.events.push((arrives + self.numbers.below(MINUTE as u64) as i64, line.clone()));
        }
        self.events.push((arrives, line));
    }
}
