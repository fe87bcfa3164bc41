//! Other gateways' logs as events: a table says where each of our fields stands in their JSON.
//!
//! A preset and a mapping of one's own are the same thing, read by the same code. What is found is handed to the code that
//! reads events of our own form, so that masking, folding and checks are the same for all.

use serde_json::Value as Json;

use crate::event::{RejectReason, fields::Problem};

mod presets;
mod times;

pub use presets::{PRESETS, preset};

/// Records in one message, at most.
pub const RECORDS_MAX: usize = 10_000;

/// Fields that a mapping can fill.
pub const FIELDS: [&str; 21] = [
    "event_id",
    "ts",
    "key_id",
    "key_fingerprint",
    "api_key",
    "key_hint",
    "key_env",
    "merchant_id",
    "endpoint_env",
    "method",
    "path",
    "source_ip",
    "forwarded_for",
    "user_agent",
    "origin",
    "referer",
    "outcome",
    "reason",
    "status",
    "latency_ms",
    "count",
];

/// Where a field is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// The first of these JSON pointers (RFC 6901) where there is something.
    Pointers(Vec<String>),
    /// Always this.
    Always(String),
    /// What stands at a pointer, as another word; what is not in the table stays away.
    Words(String, Vec<(String, String)>),
    /// What stands at several pointers, each after a `/`, without an ending.
    Path(Vec<String>, &'static str),
}

/// Where the fields of an event stand in a message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mapping {
    /// The array that holds several events; a message that has none there is one event itself.
    pub records: Option<String>,
    /// `key_id` may be the ID of an AWS access key: here a name, where elsewhere it would be masked as half a secret.
    pub names_access_keys: bool,
    /// Each field, and where it is taken from.
    pub fields: Vec<(&'static str, Take)>,
}

/// The form of a topic's messages, or of a file's lines.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Our own.
    #[default]
    Native,
    /// Another, by a table.
    Mapped(Mapping),
}

impl Format {
    /// A message may hold several events, and is as large as that needs.
    pub fn holds_several(&self) -> bool {
        matches!(self, Format::Mapped(mapping) if mapping.records.is_some())
    }

    /// IDs of AWS access keys are names.
    pub(super) fn names_access_keys(&self) -> bool {
        matches!(self, Format::Mapped(mapping) if mapping.names_access_keys)
    }
}

/// The fields of one record, as our own form would have them.
pub(super) type Taken = Vec<(&'static str, String)>;

impl Mapping {
    /// Takes a message apart. Each record is handed to `each` with its place, where there are several.
    pub(super) fn read(
        &self,
        payload: &str,
        mut each: impl FnMut(Option<usize>, Result<Taken, Problem>),
    ) -> Result<(), Problem> {
        let message: Json = serde_json::from_str(payload).map_err(|error| {
            Problem::new(RejectReason::NotJson, format!("no JSON at line {}, column {}", error.line(), error.column()))
        })?;
        let several = match &message {
            Json::Array(records) => Some(records),
            other => self.records.as_deref().and_then(|at| other.pointer(at)).and_then(Json::as_array),
        };
        let Some(records) = several else {
            each(None, self.take(&message));
            return Ok(());
        };
        for (n, record) in records.iter().take(RECORDS_MAX).enumerate() {
            each(Some(n), self.take(record));
        }
        if records.len() > RECORDS_MAX {
            let detail = format!("{} records, at most {RECORDS_MAX} are read", records.len());
            each(Some(RECORDS_MAX), Err(Problem::new(RejectReason::TooLarge, detail)));
        }
        Ok(())
    }

    fn take(&self, record: &Json) -> Result<Taken, Problem> {
        if !record.is_object() {
            return Err(Problem::new(RejectReason::NotJson, "a record is no JSON object"));
        }
        let mut taken = Taken::new();
        for (field, from) in &self.fields {
            let Some(text) = from.find(record) else { continue };
            let text = match *field {
                "source_ip" => match address_of(&text) {
                    Some(address) => address,
                    // A service's name instead of an address: not known.
                    None => continue,
                },
                "ts" => match times::millis(&text) {
                    Some(at) => {
                        taken.push(("ts", crate::time::rfc3339(at)));
                        continue;
                    }
                    None => text,
                },
                // Redacted by the gateway: it says nothing of the key.
                "api_key" if is_redacted(&text) => continue,
                "api_key" => text.strip_prefix("Bearer ").unwrap_or(&text).to_owned(),
                _ => text,
            };
            taken.push((*field, text));
        }
        judge_by_status(&mut taken);
        Ok(taken)
    }
}

impl Take {
    fn find(&self, record: &Json) -> Option<String> {
        match self {
            Take::Pointers(pointers) => pointers.iter().find_map(|pointer| text_at(record, pointer)),
            Take::Always(text) => Some(text.clone()),
            Take::Words(pointer, words) => {
                let found = text_at(record, pointer)?;
                words.iter().find(|(from, _)| *from == found || from == "*").map(|(_, to)| to.clone())
            }
            Take::Path(pointers, ending) => {
                let parts: Vec<String> = pointers.iter().filter_map(|pointer| text_at(record, pointer)).collect();
                let part = |part: &String| format!("/{}", part.strip_suffix(ending).unwrap_or(part));
                (!parts.is_empty()).then(|| parts.iter().map(part).collect())
            }
        }
    }
}

/// A text or number; what logs write for "nothing" is nothing. Of a list, the first: some gateways log headers so.
fn text_at(record: &Json, pointer: &str) -> Option<String> {
    match record.pointer(pointer)? {
        Json::String(text) if text.is_empty() || text == "-" => None,
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Array(items) => items.first().and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned),
        Json::Null | Json::Object(_) => None,
    }
}

/// The address alone: logs write a port with it, and brackets around IPv6.
fn address_of(text: &str) -> Option<String> {
    let bare = text.trim();
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Some(bare.to_owned());
    }
    bare.parse::<core::net::SocketAddr>().ok().map(|address| address.ip().to_string())
}

fn is_redacted(text: &str) -> bool {
    text.len() < 8 || text.contains("REDACTED") || text.bytes().all(|byte| byte == b'*')
}

/// Where the log has no decision of its own, its status tells: 401 = not authenticated, 403 = authenticated and not
/// permitted, 429 = too many. Anything else was let through, whatever became of it then.
fn judge_by_status(taken: &mut Taken) {
    let text = |taken: &Taken, name: &str| taken.iter().find(|(field, _)| *field == name).map(|(_, text)| text.clone());
    let status = text(taken, "status");
    taken.retain(|(field, _)| *field != "status");
    let has_reason = text(taken, "reason").is_some();
    if text(taken, "outcome").is_some() {
        return;
    }
    let has_key = taken.iter().any(|(field, _)| matches!(*field, "key_id" | "key_fingerprint"));
    let (outcome, reason) = match status.as_deref() {
        _ if has_reason => ("denied", None),
        Some("401") if has_key => ("denied", Some("other")),
        Some("401") => ("denied", Some("unknown_key")),
        Some("403") => ("denied", None),
        Some("429") => ("denied", Some("rate_limited")),
        Some(_) => ("ok", None),
        None => return,
    };
    taken.push(("outcome", outcome.to_owned()));
    taken.extend(reason.map(|reason: &str| ("reason", reason.to_owned())));
}
