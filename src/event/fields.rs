//! From a field's value to what an event or a fact holds: types, bounds, masking. Shared by both decoders.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::event::path::keep;
use crate::event::redact::patterns::Depth;
use crate::event::redact::{CONTROL, Masker, floor_char_boundary};
use crate::event::wire::{Broken, Value};
use crate::event::{Env, RejectReason, Rejected};
use crate::time::{Millis, RANGE, parse_rfc3339};

/// The longest identifier.
pub(crate) const ID_BYTES_MAX: usize = 128;
/// The largest message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How much of a rejected message is kept.
const REDACTED_BYTES_MAX: usize = 1024;

/// Why a message is rejected, before the message itself is redacted.
#[derive(Debug)]
pub(crate) struct Problem {
    reason: RejectReason,
    detail: String,
}

impl Problem {
    #[cold]
    pub(crate) fn new(reason: RejectReason, detail: impl Into<String>) -> Problem {
        Problem { reason, detail: detail.into() }
    }

    #[cold]
    pub(crate) fn wrong_type(field: &str, expected: &str, found: &Value<'_>) -> Problem {
        let found = match found {
            Value::Text(_) => "another string",
            Value::Number(_) => "another number",
            value => value.kind(),
        };
        Problem::new(RejectReason::WrongType, format!("field `{field}`: expected {expected}, found {found}"))
    }

    /// The same, of one of several records.
    pub(crate) fn at_record(self, n: Option<usize>) -> Problem {
        match n {
            None => self,
            Some(n) => Problem { detail: format!("record {n}: {}", self.detail), ..self },
        }
    }

    pub(crate) fn reject(self, payload: &[u8], masker: &Masker) -> Rejected {
        let Problem { reason, detail } = self;
        Rejected { reason, detail, redacted: masker.mask_bytes(payload, REDACTED_BYTES_MAX) }
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Problem {
        Problem::new(RejectReason::NotJson, format!("byte {}: expected {}", broken.at, broken.expected))
    }
}

/// The message as text, if it is small enough and UTF-8.
pub(crate) fn text_of(payload: &[u8]) -> Result<&str, Problem> {
    text_within(payload, MESSAGE_BYTES_MAX)
}

/// The same with another bound.
pub(crate) fn text_within(payload: &[u8], bytes_max: usize) -> Result<&str, Problem> {
    if bytes_max < payload.len() {
        let detail = format!("{} bytes, at most {bytes_max} are read", payload.len());
        return Err(Problem::new(RejectReason::TooLarge, detail));
    }
    std::str::from_utf8(payload)
        .map_err(|error| Problem::new(RejectReason::NotJson, format!("byte {}: expected UTF-8", error.valid_up_to())))
}

/// A string. Null and the empty string are absent.
#[inline]
pub(crate) fn string<'a>(field: &str, value: Value<'a>) -> Result<Option<Cow<'a, str>>, Problem> {
    match value {
        Value::Text(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Value::Null => Ok(None),
        other => Err(Problem::wrong_type(field, "a string", &other)),
    }
}

/// An identifier: at most 128 bytes, no control characters, masked.
#[inline]
pub(crate) fn id<'a>(field: &str, value: Value<'a>, masker: &Masker) -> Result<Option<Cow<'a, str>>, Problem> {
    let Some(text) = string(field, value)? else { return Ok(None) };
    if ID_BYTES_MAX < text.len() {
        let detail = format!("field `{field}`: {} bytes, at most {ID_BYTES_MAX} are allowed", text.len());
        return Err(Problem::new(RejectReason::WrongType, detail));
    }
    let traits = masker.traits_of(text.as_bytes());
    if traits == 0 {
        return Ok(Some(text));
    }
    if traits & CONTROL != 0 && text.contains(char::is_control) {
        return Err(Problem::new(RejectReason::WrongType, format!("field `{field}`: has a control character")));
    }
    Ok(Some(masker.mask_with(traits, text, Depth::Id)))
}

/// A free text: masked, control characters as spaces, then cut to `bytes_max` on a character's boundary.
#[inline]
pub(crate) fn text<'a>(
    field: &str,
    value: Value<'a>,
    bytes_max: usize,
    masker: &Masker,
) -> Result<Option<Cow<'a, str>>, Problem> {
    let text = string(field, value)?.map(|text| clean_text(text, bytes_max, masker));
    Ok(text.filter(|text| !text.is_empty()))
}

/// As [`text()`], of a text that was read already.
#[inline]
pub(crate) fn clean_text<'a>(text: Cow<'a, str>, bytes_max: usize, masker: &Masker) -> Cow<'a, str> {
    let text = clean(text, Depth::FreeText, masker);
    if text.len() <= bytes_max { text } else { keep(text, |text| &text[..floor_char_boundary(text, bytes_max)]) }
}

/// The longest text that is looked through for secrets; of a longer one, only what stands before its last part.
const CLEANED_BYTES_MAX: usize = 4 * 1024;

/// A text so long that nobody honest sent it, cut where no word, header or path segment is cut in two: a part of a
/// secret might not be recognised. Keeps the cost of a hostile message bounded.
#[cold]
fn cut_early(text: Cow<'_, str>) -> Cow<'_, str> {
    keep(text, |text| {
        let head = &text[..floor_char_boundary(text, CLEANED_BYTES_MAX)];
        &head[..head.rfind(|c: char| c == '/' || c.is_whitespace()).unwrap_or(0)]
    })
}

/// Masked, and with spaces for control characters, so that it can be logged and mailed.
#[inline]
pub(crate) fn clean<'a>(text: Cow<'a, str>, depth: Depth, masker: &Masker) -> Cow<'a, str> {
    let text = if CLEANED_BYTES_MAX < text.len() { cut_early(text) } else { text };
    let traits = masker.traits_of(text.as_bytes());
    if traits & CONTROL != 0 && text.contains(char::is_control) {
        return masker.mask(Cow::Owned(text.replace(char::is_control, " ")), depth);
    }
    masker.mask_with(traits, text, depth)
}

/// A masked form of the key. What is one already passes as it is.
#[inline]
pub(crate) fn hint<'a>(value: Value<'a>, masker: &Masker) -> Result<Option<Cow<'a, str>>, Problem> {
    let Some(hint) = string("key_hint", value)? else { return Ok(None) };
    if masker.is_hint(hint.as_bytes()) {
        return Ok(Some(hint));
    }
    if ID_BYTES_MAX < hint.len() {
        let detail = format!("field `key_hint`: {} bytes, at most {ID_BYTES_MAX} are allowed", hint.len());
        return Err(Problem::new(RejectReason::WrongType, detail));
    }
    Ok(Some(clean_text(masker.tidy_hint(hint), ID_BYTES_MAX, masker)))
}

/// RFC 3339, or whole milliseconds since 1970.
#[inline]
pub(crate) fn time(value: &Value<'_>) -> Option<Millis> {
    match value {
        Value::Text(text) => parse_rfc3339(text),
        Value::Number(number) => number.parse().ok().filter(|at| RANGE.contains(at)),
        _ => None,
    }
}

/// The required event time.
#[inline]
pub(crate) fn event_time(value: &Value<'_>) -> Result<Millis, Problem> {
    time(value).ok_or_else(|| {
        let found = value.kind();
        Problem::new(RejectReason::NoTime, format!("field `ts`: expected a time from 1970 to 9999, found {found}"))
    })
}

/// A date that may be absent.
pub(crate) fn optional_time(field: &str, value: &Value<'_>) -> Result<Option<Millis>, Problem> {
    if is_absent(value) {
        return Ok(None);
    }
    time(value).map(Some).ok_or_else(|| Problem::wrong_type(field, "a time", value))
}

/// `live` or `test`, also as `production` or `sandbox`, in any case.
#[inline]
pub(crate) fn env(field: &str, value: &Value<'_>) -> Result<Option<Env>, Problem> {
    if is_absent(value) {
        return Ok(None);
    }
    let is = |word: &str| matches!(value, Value::Text(text) if text.eq_ignore_ascii_case(word));
    if is("live") || is("production") {
        Ok(Some(Env::Live))
    } else if is("test") || is("sandbox") {
        Ok(Some(Env::Test))
    } else {
        Err(Problem::wrong_type(field, "`live` or `test`", value))
    }
}

/// An address; an IPv4 address within IPv6 is the IPv4 address.
#[inline]
pub(crate) fn address(field: &str, value: &Value<'_>) -> Result<Option<IpAddr>, Problem> {
    if is_absent(value) {
        return Ok(None);
    }
    match value {
        Value::Text(text) => text.parse::<IpAddr>().ok(),
        _ => None,
    }
    .map(|address| Some(address.to_canonical()))
    .ok_or_else(|| Problem::wrong_type(field, "an IP address", value))
}

/// Null, or the empty string.
#[inline]
pub(crate) fn is_absent(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        _ => false,
    }
}
