//! Makes `sample/`: sixteen days of six made-up merchants, with one incident of each kind and the innocent neighbours
//! that must stay quiet. Seeded: the same bytes on every machine.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use keywatch::time::{DAY, HOUR, MINUTE, Millis, SECOND, rfc3339};

/// 2 November 2026, a Monday, midnight UTC.
const START: Millis = 1_793_577_600_000;
const DAYS: i64 = 16;

/// The two files.
pub struct Sample {
    /// `events.jsonl`
    pub events: String,
    /// `key-events.jsonl`
    pub key_events: String,
}

struct Maker {
    rng: Rng,
    /// Time of arrival and line.
    events: Vec<(Millis, String)>,
    facts: Vec<(Millis, String)>,
    n_events: u32,
}

#[derive(Clone, Copy)]
struct Key {
    merchant: &'static str,
    id: &'static str,
    hint: &'static str,
    env: &'static str,
}

/// What calls with a key look like, unless something is wrong.
#[derive(Clone, Copy)]
struct Use {
    key: Key,
    endpoint: &'static str,
    address: &'static str,
    user_agent: &'static str,
    path: &'static str,
    refused: Option<&'static str>,
    /// The page that a browser calls from.
    origin: Option<&'static str>,
    count: u32,
}

const fn key(merchant: &'static str, id: &'static str, hint: &'static str, env: &'static str) -> Key {
    Key { merchant, id, hint, env }
}

const BAKERY: Key = key("m_1042", "key_birch_shop", "caibo_live_sk_…9f2c", "live");
const OUTDOOR: Key = key("m_1077", "key_fjord_shop", "caibo_live_sk_…41d8", "live");
const OUTDOOR_TEST: Key = key("m_1077", "key_fjord_test", "caibo_test_sk_…7a03", "test");
const ATELIER_OLD: Key = key("m_1108", "key_lumen_2024", "caibo_live_sk_…c5e1", "live");
const ATELIER_NEW: Key = key("m_1108", "key_lumen_2026", "caibo_live_sk_…08b6", "live");
const TICKETS: Key = key("m_1131", "key_papaya_api", "caibo_live_sk_…e27d", "live");
const BOOKS: Key = key("m_1150", "key_northgate_web", "caibo_live_sk_…3b90", "live");
const BOOKS_TILL: Key = key("m_1150", "key_northgate_till", "caibo_live_sk_…d6f4", "live");
const BOOKS_TEST: Key = key("m_1150", "key_northgate_test", "caibo_test_sk_…12ac", "test");
const BIKES: Key = key("m_1163", "key_halden_shop", "caibo_live_sk_…5e77", "live");

const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1";

const fn by(key: Key, address: &'static str, user_agent: &'static str) -> Use {
    Use { key, endpoint: key.env, address, user_agent, path: "/v1/payments", refused: None, origin: None, count: 1 }
}

/// Midnight of day `day`, and `hour` hours.
fn at(day: i64, hour: i64) -> Millis {
    START + day * DAY + hour * HOUR
}

/// Makes both files.
pub fn sample() -> Sample {
    let mut m = Maker { rng: Rng::with_seed(1), events: Vec::new(), facts: Vec::new(), n_events: 0 };
    m.merchants();
    m.usual_traffic();
    m.incidents();
    m.accidents_of_the_stream();
    m.events.sort_by_key(|(arrives, _)| *arrives);
    m.facts.sort_by_key(|(at, _)| *at);
    let lines = |lines: Vec<(Millis, String)>| lines.into_iter().map(|(_, line)| line + "\n").collect();
    Sample { events: lines(m.events), key_events: lines(m.facts) }
}

impl Maker {
    fn merchants(&mut self) {
        for (id, name, contact, timezone) in [
            ("m_1042", "Birch & Loaf Bakery", "anna@birchandloaf.example", "Europe/Berlin"),
            ("m_1077", "Fjord Outdoor", "it@fjord-outdoor.example", "Europe/Oslo"),
            ("m_1108", "Atelier Lumen", "contact@atelier-lumen.example", "Europe/Paris"),
            ("m_1131", "Papaya Tickets", "ops@papaya.example", "Asia/Singapore"),
            ("m_1150", "Northgate Books", "owner@northgate.example", "Europe/London"),
            ("m_1163", "Halden Bikes", "post@halden.example", "Europe/Zurich"),
        ] {
            let (ts, created) = (rfc3339(START - DAY), START - DAY);
            let fact = json!({"type": "merchant_updated", "ts": ts, "merchant_id": id, "name": name,
                "contacts": [contact], "timezone": timezone, "status": "active"});
            self.facts.push((created, fact.to_string()));
        }
        for (key, created) in [
            (BAKERY, at(-200, 9)),
            (OUTDOOR, at(-150, 10)),
            (OUTDOOR_TEST, at(-160, 10)),
            (ATELIER_OLD, at(-340, 8)),
            (TICKETS, at(-90, 3)),
            (BOOKS, at(-356, 15)),
            (BOOKS_TILL, at(-310, 15)),
            (BOOKS_TEST, at(-310, 14)),
            (BIKES, at(-300, 12)),
        ] {
            self.fact(created, key, "key_created", json!({"created_at": rfc3339(created)}));
        }
        let (rotated, grace) = (at(8, 9), rfc3339(at(9, 9)));
        let more = json!({"created_at": rfc3339(rotated), "replaces": ATELIER_OLD.id, "grace_until": grace, "actor": "control panel"});
        self.fact(rotated, ATELIER_NEW, "key_regenerated", more);
        let more = json!({"expires_at": rfc3339(at(21, 12))});
        self.fact(at(1, 12), TICKETS, "key_expires", more);
        self.fact(at(7, 13), BOOKS_TEST, "key_exposed", json!({"reason": "found in a public repository"}));
        let revoked = at(6, 16);
        let more = json!({"created_at": rfc3339(at(-310, 15)), "revoked_at": rfc3339(revoked), "reason": "the till was replaced"});
        self.fact(revoked, BOOKS_TILL, "key_revoked", more);
    }

    fn usual_traffic(&mut self) {
        let shop = "WooCommerce/9.4 caibo-php/2.3";
        self.days(by(BAKERY, "203.0.113.20", shop), 0..DAYS, 6.0);
        self.days(by(OUTDOOR, "203.0.113.41", "fjord-shop/5.1"), 0..DAYS, 6.0);
        self.days(by(OUTDOOR_TEST, "203.0.113.42", "fjord-shop/5.2-rc1"), 0..DAYS, 2.0);
        self.days(by(ATELIER_OLD, "192.0.2.14", shop), 0..9, 5.0);
        self.days(by(ATELIER_NEW, "192.0.2.14", shop), 8..DAYS, 5.0);
        self.days(by(BOOKS, "2001:db8:40:7::15", "Magento/2.4.7"), 0..DAYS, 5.0);
        self.days(by(BOOKS_TILL, "192.0.2.77", "till/1.8"), 0..6, 4.0);
        self.days(Use { path: "/v1/refunds", ..by(BOOKS_TEST, "192.0.2.78", "curl/8.5.0") }, 0..3, 3.0);
        // Its gateway log sums identical requests up, once an hour.
        for hour in 0..DAYS * 24 {
            let busy = if (1..16).contains(&(hour % 24)) { 9 } else { 2 };
            let count = 1 + self.rng.u32(0..2 * busy);
            let offset = self.rng.i64(0..50 * MINUTE);
            self.call(START + hour * HOUR + offset, Use { count, ..by(TICKETS, "198.51.100.9", "papaya-api/12") });
        }
        // A new server in the same network, with a new release: nothing to tell.
        self.days(by(BIKES, "198.51.100.130", "halden/3.0"), 0..9, 5.0);
        self.days(by(BIKES, "198.51.100.131", "halden/3.1"), 9..DAYS, 5.0);
    }

    fn incidents(&mut self) {
        for i in 0..7 {
            let thief = by(BAKERY, "198.51.100.212", "python-requests/2.32.3");
            let path = ["/v1/payments", "/v1/customers", "/v1/payouts"][i as usize % 3];
            self.call(at(11, 2) + 7 * MINUTE + i * 4 * MINUTE, Use { path, ..thief });
        }
        for i in 0..5 {
            let go_live = by(OUTDOOR_TEST, "203.0.113.41", "fjord-shop/5.2");
            let refused = Some("env_mismatch");
            self.call(at(12, 8) + 30 * MINUTE + i * 22 * MINUTE, Use { endpoint: "live", refused, ..go_live });
        }
        for i in 0..6 {
            let forgotten = by(ATELIER_OLD, "192.0.2.61", "lumen-invoices/0.9");
            let refused = Some("rotated_key");
            self.call(at(9, 9) + 40 * MINUTE + i * 6 * HOUR, Use { refused, ..forgotten });
        }
        for i in 0..4 {
            let refused = Some("revoked_key");
            self.call(at(10, 7) + i * 55 * MINUTE, Use { refused, ..by(BOOKS_TILL, "192.0.2.77", "till/1.8") });
        }
        // Somebody put the secret key in the shop's page, and tries it from the office.
        for i in 0..4 {
            let visitor = ["203.0.113.188", "203.0.113.90"][i as usize % 2];
            let origin = Some("https://fjord-outdoor.example");
            self.call(at(14, 18) + i * 9 * MINUTE, Use { origin, ..by(OUTDOOR, visitor, BROWSER) });
        }
        for i in 0..36 {
            let retries = Use { count: 9 + i as u32 % 5, ..by(TICKETS, "198.51.100.9", "papaya-api/13") };
            self.call(at(13, 6) + 12 * MINUTE + i * 20 * SECOND, retries);
        }
    }

    /// Twice, broken, too late: what every real stream has.
    fn accidents_of_the_stream(&mut self) {
        for place in [100, 300, 500] {
            let (arrives, line) = self.events[place].clone();
            self.events.push((arrives + 30 * SECOND, line));
        }
        let (arrives, line) = self.events[400].clone();
        self.events
            .push((arrives + SECOND, line[..line.len() / 2].trim_end_matches(|c: char| !c.is_ascii()).to_owned()));
        self.call(at(5, 10), by(BIKES, "198.51.100.130", "halden/3.0"));
        if let Some((arrives, _)) = self.events.last_mut() {
            *arrives += HOUR;
        }
    }

    fn days(&mut self, usual: Use, days: std::ops::Range<i64>, lines_a_day: f64) {
        for day in days {
            for hour in 5..22 {
                // About lines_a_day: each hour has one line, or none.
                if self.rng.f64() < lines_a_day / 17.0 {
                    let offset = self.rng.i64(0..HOUR);
                    let refused = if self.rng.u32(0..60) == 0 { Some("rate_limited") } else { None };
                    let count = 1 + self.rng.u32(0..3);
                    self.call(at(day, hour) + offset, Use { refused, count, ..usual });
                }
            }
        }
    }

    fn fact(&mut self, ts: Millis, key: Key, kind: &str, more: Value) {
        let mut fact = json!({"type": kind, "ts": rfc3339(ts), "key_id": key.id, "merchant_id": key.merchant,
            "key_env": key.env, "key_hint": key.hint});
        if let (Value::Object(fact), Value::Object(more)) = (&mut fact, more) {
            fact.extend(more);
        }
        self.facts.push((ts, fact.to_string()));
    }

    fn call(&mut self, ts: Millis, call: Use) {
        self.n_events += 1;
        let mut event = Map::new();
        let mut put = |name: &str, value: Value| event.insert(name.into(), value);
        put("event_id", format!("evt_{:05}", self.n_events).into());
        put("ts", rfc3339(ts).into());
        put("key_id", call.key.id.into());
        put("key_hint", call.key.hint.into());
        put("merchant_id", call.key.merchant.into());
        put("endpoint_env", call.endpoint.into());
        put("method", "POST".into());
        put("path", call.path.into());
        put("source_ip", call.address.into());
        put("user_agent", call.user_agent.into());
        if let Some(origin) = call.origin {
            put("origin", origin.into());
        }
        put("outcome", if call.refused.is_some() { "denied" } else { "ok" }.into());
        put("reason", call.refused.map_or(Value::Null, Value::from));
        if call.count > 1 {
            put("count", call.count.into());
        }
        // Events arrive a little out of order.
        let arrives = ts + self.rng.i64(0..90 * SECOND);
        self.events.push((arrives, Value::Object(event).to_string()));
    }
}
