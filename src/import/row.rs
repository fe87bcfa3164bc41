//! One row to facts: what it leaves out is filled in, the rest is the decoder's.

use serde_json::{Map, Value};

use super::Reading;
use crate::event::facts::{Fact, FactKind};
use crate::time::{DAY, Millis, parse_rfc3339};

/// Every field of a key event.
pub const FIELDS: [&str; 22] = [
    "type",
    "ts",
    "key_id",
    "key_fingerprint",
    "api_key",
    "merchant_id",
    "key_env",
    "key_hint",
    "created_at",
    "replaces",
    "grace_until",
    "expires_at",
    "revoked_at",
    "actor",
    "actor_ip",
    "reason",
    "name",
    "contacts",
    "timezone",
    "locale",
    "status",
    "tags",
];

/// The fields that hold a time.
pub(super) const DATES: [&str; 5] = ["ts", "created_at", "grace_until", "expires_at", "revoked_at"];
/// The fields that hold a list.
pub(super) const LISTS: [&str; 2] = ["contacts", "tags"];
/// What makes a row a key's.
const KEY: [&str; 3] = ["key_id", "key_fingerprint", "api_key"];
/// What a key's row may say of its merchant.
const MERCHANT: [&str; 3] = ["contacts", "timezone", "locale"];

const TIME_HINT: &str = "write it as 2026-11-23T08:00:00Z, or as milliseconds since 1970";

/// Why a row gives no facts.
#[derive(Debug)]
pub(super) struct Fault {
    pub field: Option<&'static str>,
    pub column: Option<u64>,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    fn new(field: Option<&'static str>, message: impl Into<String>, hint: Option<&str>) -> Fault {
        Fault { field, column: None, message: message.into(), hint: hint.map(str::to_owned) }
    }
}

type Row = Map<String, Value>;

/// The facts that a row states. One without `type` states all that it has: a key, how it came to be, and its merchant.
pub(super) fn facts_of(row: &Row, reading: &Reading<'_>) -> Result<Vec<Fact>, Fault> {
    let mut dates = [None; DATES.len()];
    for (date, field) in dates.iter_mut().zip(DATES) {
        *date = time(row, field)?;
    }
    let [ts, created_at, _, _, revoked_at] = dates;
    let (said, filled) = (reading.ts, |name: &str| is_filled(row, name));
    let is_key = KEY.iter().any(|name| filled(name));
    let is_typed = filled("type");
    let replaces = filled("replaces");
    let kind = match row.get("type") {
        Some(Value::String(kind)) if is_typed => kind.as_str(),
        _ if is_key && replaces => "key_regenerated",
        _ if is_key => "key_created",
        _ => "merchant_updated",
    };
    if !is_typed && is_key && filled("status") {
        let message = "field `status` is a merchant's, and the row is a key's";
        let hint = "a revoked key has `revoked_at`; a column that says something else is left out by `--ignore`";
        return Err(Fault::new(Some("status"), message, Some(hint)));
    }
    if !is_typed && !is_key && !filled("merchant_id") {
        let hint = "a key has `key_id` or `key_fingerprint`, a merchant has `merchant_id`";
        return Err(Fault::new(None, "the row names neither a key nor a merchant", Some(hint)));
    }
    let stated = ts.or(said).or(created_at);
    let at = match kind {
        "key_regenerated" => ts.or(created_at).ok_or_else(|| {
            let hint = "fill in `created_at`: it is when the old key was replaced";
            Fault::new(None, "a key that replaces another one, but not since when", Some(hint))
        })?,
        "key_revoked" => ts.or(revoked_at).or(said).ok_or_else(undated)?,
        _ => stated.ok_or_else(undated)?,
    };
    let mut facts = vec![fact(row, kind, at, reading)?];
    // The replacement has its own date. What else is said of the key is as new as the file.
    if !is_typed
        && replaces
        && let Some(stated) = stated.filter(|stated| *stated != at)
    {
        facts.push(fact(row, "key_created", stated, reading)?);
    }
    if !is_typed && is_key && filled("merchant_id") && MERCHANT.iter().any(|name| filled(name)) {
        let about = |name: &&str| Some((name.to_string(), row.get(*name)?.clone()));
        let merchant: Row = ["merchant_id"].iter().chain(&MERCHANT).filter_map(about).collect();
        facts.push(fact(&merchant, "merchant_updated", stated.unwrap_or(at), reading)?);
    }
    Ok(facts)
}

fn undated() -> Fault {
    Fault::new(
        None,
        "a row without a date",
        Some("fill in `ts` or `created_at`, or say with `--ts` when the file was made"),
    )
}

fn fact(row: &Row, kind: &str, at: Millis, reading: &Reading<'_>) -> Result<Fact, Fault> {
    if at > reading.now + DAY {
        let message = "dated more than 24 h ahead: nothing later could correct it";
        return Err(Fault::new(Some("ts"), message, None));
    }
    let mut row = row.clone();
    row.insert("type".into(), kind.into());
    row.insert("ts".into(), at.into());
    let fact = decode(Value::Object(row.clone()).to_string().as_bytes(), reading)?;
    let is_made = fact.key_fingerprint.is_some() && !is_filled(&row, "key_fingerprint");
    let is_old_made = fact.replaces.as_deref().is_some_and(|id| id.starts_with("fp:"))
        && row.get("replaces").and_then(Value::as_str).is_some_and(|id| !id.starts_with("fp:"));
    if (is_made || is_old_made) && !reading.has_fingerprint_secret {
        let hint = "set `source.fingerprint_secret`, the same as the service's; better, leave raw keys out of the file";
        let message = "a raw key, but there is no secret to make a lasting fingerprint with";
        return Err(Fault::new(Some("api_key"), message, Some(hint)));
    }
    Ok(fact)
}

/// As for a message; a place that the decoder names is the column.
pub(super) fn decode(payload: &[u8], reading: &Reading<'_>) -> Result<Fact, Fault> {
    match reading.decoder.decode_fact(payload, None) {
        Ok(Some(fact)) => Ok(fact),
        Ok(None) => Err(Fault::new(None, "an empty row", None)),
        Err(rejected) => {
            let field = FIELDS.into_iter().find(|field| rejected.detail.starts_with(&format!("field `{field}`")));
            let place = rejected.detail.strip_prefix("byte ").and_then(|rest| rest.split_once(": "));
            Err(match place.and_then(|(byte, what)| Some((byte.parse::<u64>().ok()?, what))) {
                Some((byte, what)) => Fault { column: Some(byte + 1), ..Fault::new(None, what, None) },
                None => Fault::new(field, rejected.detail.clone(), hint_for(field)),
            })
        }
    }
}

fn hint_for(field: Option<&str>) -> Option<&'static str> {
    match field? {
        "contacts" => Some("several addresses in one cell have a `;` between them"),
        "type" => Some(
            "known: `key_created`, `key_regenerated`, `key_revoked`, `key_expires`, `key_exposed`, `merchant_updated`",
        ),
        _ => None,
    }
}

fn is_filled(row: &Row, name: &str) -> bool {
    match row.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

fn time(row: &Row, field: &'static str) -> Result<Option<Millis>, Fault> {
    if !is_filled(row, field) {
        return Ok(None);
    }
    let at = match row.get(field) {
        Some(Value::String(text)) => parse_rfc3339(text),
        Some(Value::Number(number)) => number.as_i64().filter(|at| crate::time::RANGE.contains(at)),
        _ => None,
    };
    let wrong = || Fault::new(Some(field), format!("field `{field}`: expected a time with its zone"), Some(TIME_HINT));
    at.map(Some).ok_or_else(wrong)
}

/// Whether a fact is about a merchant.
pub(super) fn is_merchants(fact: &Fact) -> bool {
    fact.kind == FactKind::MerchantUpdated
}
