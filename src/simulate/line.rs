//! Events, facts and what is neither, as lines.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use crate::simulate::key::{Key, Merchant, REASONS};
use crate::time::{Millis, rfc3339};

/// No key: a decision without a known merchant.
pub const NOBODY: u32 = u32::MAX;

/// One decision, small enough that a day of them is held.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When it reaches the log.
    pub arrives_at: Millis,
    /// When it happened.
    pub ts: Millis,
    /// Unique.
    pub id: u64,
    /// Whose key; [`NOBODY`].
    pub key: u32,
    /// From where.
    pub address: IpAddr,
    /// With which program: what it is, and its version.
    pub agent: u16,
    /// The version.
    pub release: u8,
    /// What was called: method and path, with an identifier from `id`.
    pub endpoint: u8,
    /// 0 = accepted; else why not: a place in [`REASONS`], or [`NOT_PERMITTED`].
    pub refused: u8,
    /// The endpoint's environment where it is not the key's own.
    pub other_env: bool,
    /// Sent by a browser, from this site.
    pub in_browser: bool,
    /// Identical requests it stands for.
    pub count: u32,
}

/// Authenticated, not permitted.
pub const NOT_PERMITTED: u8 = 255;
/// `unknown_key`.
pub const UNKNOWN: u8 = 4;
/// `malformed_key`.
pub const MALFORMED: u8 = 1;

/// Programs of merchants; those after [`ODD_AGENTS`] are nobody's usual ones.
const AGENTS: [&str; 16] = [
    "caibo-php/3",
    "caibo-node/5",
    "caibo-java/2",
    "caibo-python/4",
    "WooCommerce/9",
    "Magento/2",
    "okhttp/4",
    "Apache-HttpClient/5",
    "Go-http-client/2",
    "axios/1",
    "GuzzleHttp/7",
    "caibo-ruby/2",
    "Shopware/6",
    "Odoo/18",
    "curl/8",
    "python-requests/2",
];
/// From here on: what a stranger uses.
pub const ODD_AGENTS: u16 = 14;

const BROWSERS: [&str; 3] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
];

/// Endpoints, the usual ones first.
const ENDPOINTS: [(&str, &str, &str); 8] = [
    ("POST", "/v1/payments", ""),
    ("GET", "/v1/payments/pay_", "id"),
    ("GET", "/v1/customers/cus_", "id"),
    ("POST", "/v1/customers", ""),
    ("POST", "/v1/refunds", ""),
    ("POST", "/v1/payouts", ""),
    ("GET", "/v1/balance", ""),
    ("GET", "/v1/customers", ""),
];
/// `POST /v1/refunds`.
pub const REFUNDS: u8 = 4;
/// `POST /v1/payouts`.
pub const PAYOUTS: u8 = 5;

/// Writes lines with one buffer.
#[derive(Default)]
pub struct Writer {
    line: String,
}

impl Writer {
    /// One decision.
    pub fn event(&mut self, out: &mut dyn Write, e: &Event, keys: &[Key], merchants: &[Merchant]) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        let _ = write!(line, r#"{{"event_id":"ev_{:016x}","ts":"{}""#, e.id, rfc3339(e.ts));
        let key = keys.get(e.key as usize);
        let key_live = key.is_none_or(|key| key.is_live);
        match key {
            Some(key) => {
                let (env, merchant) = (env(key.is_live), &merchants[key.merchant as usize].id);
                let (id, hint) = (&key.id, &key.hint);
                let _ = write!(
                    line,
                    r#","key_id":"{id}","key_hint":"{hint}","key_env":"{env}","merchant_id":"{merchant}""#
                );
            }
            // Of a key that nobody knows the gateway keeps the masked form at most.
            None if e.refused == UNKNOWN => {
                let _ = write!(line, r#","key_hint":"caibo_live_sk_…{:04x}""#, e.id & 0xffff);
            }
            None => {}
        }
        let (method, path, with_id) = ENDPOINTS[e.endpoint as usize % ENDPOINTS.len()];
        let endpoint = env(key_live != e.other_env);
        let _ = write!(line, r#","endpoint_env":"{endpoint}","method":"{method}","path":"{path}"#);
        if with_id == "id" {
            let _ = write!(line, "{:012x}", e.id >> 16);
        }
        let _ = write!(line, r#"","source_ip":"{}""#, e.address);
        if e.in_browser {
            let agent = BROWSERS[e.id as usize % BROWSERS.len()];
            let _ = write!(
                line,
                r#","user_agent":"{agent}","origin":"https://shop-{0}.example","referer":"https://shop-{0}.example/checkout""#,
                e.key
            );
        } else {
            let agent = AGENTS[e.agent as usize % AGENTS.len()];
            let _ = write!(line, r#","user_agent":"{agent}.{}.{}""#, 1 + e.agent / 16, e.release);
        }
        match e.refused {
            0 => line.push_str(r#","outcome":"ok","reason":null,"status":200"#),
            NOT_PERMITTED => line.push_str(r#","outcome":"denied","reason":null,"status":403"#),
            reason => {
                let status = if reason == 10 { 429 } else { 401 };
                let _ = write!(
                    line,
                    r#","outcome":"denied","reason":"{}","status":{status}"#,
                    REASONS[reason as usize % REASONS.len()]
                );
            }
        }
        let _ = write!(line, r#","latency_ms":{}"#, 12 + e.id % 90);
        if e.count > 1 {
            let _ = write!(line, r#","count":{}"#, e.count);
        }
        line.push_str("}\n");
        out.write_all(line.as_bytes())
    }

    /// A line that is no event, of one of the ways in which logs break.
    pub fn broken(&mut self, out: &mut dyn Write, which: u64, at: Millis) -> io::Result<()> {
        let line = match which % 5 {
            0 => r#"{"event_id":"ev_cut","ts":"2026-"#.to_owned(),
            1 => format!(r#"{{"event_id":"ev_{at}","key_id":"key_1","outcome":"ok"}}"#),
            2 => format!(r#"{{"ts":{at},"key_id":7,"outcome":"ok"}}"#),
            3 => "<html><body>502 Bad Gateway</body></html>".to_owned(),
            _ => format!(r#"{{"ts":{at},"outcome":"maybe"}}"#),
        };
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")
    }
}

fn env(is_live: bool) -> &'static str {
    if is_live { "live" } else { "test" }
}

/// One fact, with when it was said.
#[derive(Clone, Debug)]
pub struct Fact {
    /// When it was said.
    pub ts: Millis,
    /// The line.
    pub line: String,
}

impl Fact {
    /// What the control panel says about a key. `more` is a part of the JSON object, beginning with a comma, or empty.
    pub fn key(kind: &str, ts: Millis, key: &Key, merchant: &Merchant, more: &str) -> Fact {
        let line = format!(
            r#"{{"type":"{kind}","ts":"{}","key_id":"{}","merchant_id":"{}","key_env":"{}","key_hint":"{}","created_at":"{}"{more}}}"#,
            rfc3339(ts),
            key.id,
            merchant.id,
            env(key.is_live),
            key.hint,
            rfc3339(key.created_at),
        );
        Fact { ts, line }
    }

    /// What it says about a merchant.
    pub fn merchant(ts: Millis, merchant: &Merchant, status: &str) -> Fact {
        let line = format!(
            r#"{{"type":"merchant_updated","ts":"{}","merchant_id":"{}","name":"{}","contacts":["{}"],"timezone":"{}","status":"{status}"}}"#,
            rfc3339(ts),
            merchant.id,
            merchant.name,
            merchant.contact,
            merchant.zone.name(),
        );
        Fact { ts, line }
    }
}
