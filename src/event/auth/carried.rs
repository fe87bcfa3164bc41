//! What a message carries beside its event: decoding leaves no trace of it, and somebody who sets things up should know.

use crate::event::auth::{DOCUMENT_BYTES_MAX, Decoder, Wire};
use crate::event::mapping::Format;
use crate::event::wire::{Value, scan_object};
use crate::event::{AuthEvent, Rejected, fields};

/// What of a message the decoded event does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The raw key itself.
    pub raw_key: bool,
    /// A list of proxies.
    pub forwarded_for: bool,
}

impl Decoder {
    /// As [`Decoder::decode_each`], and what each event's message carried. For looking at samples: it is slower.
    pub fn inspect_each(&self, payload: &[u8], mut each: impl FnMut(Result<(AuthEvent<'static>, Carried), Rejected>)) {
        let look = |wire: Wire<'_>| {
            let carried = self.carried(&wire);
            Ok((self.assemble(wire)?.into_owned(), carried))
        };
        let read = match &self.format {
            Format::Native => fields::text_of(payload).and_then(|text| {
                let mut wire = Wire::default();
                scan_object(text, |name, value| wire.take(name, value))?;
                each(Ok(look(wire)?));
                Ok(())
            }),
            Format::Mapped(mapping) => {
                let bytes_max = if self.holds_several() { DOCUMENT_BYTES_MAX } else { fields::MESSAGE_BYTES_MAX };
                fields::text_within(payload, bytes_max).and_then(|text| {
                    mapping.read(text, |n, taken| {
                        let event = taken.and_then(|taken| look(Wire::of(&taken)));
                        each(event.map_err(|problem| problem.at_record(n).reject(payload, &self.masker)));
                    })
                })
            }
        };
        if let Err(problem) = read {
            each(Err(problem.reject(payload, &self.masker)));
        }
    }

    fn carried(&self, wire: &Wire<'_>) -> Carried {
        let is_text = |value: &Value<'_>| matches!(value, Value::Text(text) if !text.trim().is_empty());
        let is_key = |value: &Value<'_>| matches!(value, Value::Text(text) if self.masker.is_key(text));
        // What stands in `api_key` is meant as one, whatever it looks like.
        Carried { raw_key: is_text(&wire.api_key) || is_key(&wire.key_id), forwarded_for: is_text(&wire.forwarded_for) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::redact::Masker;

    #[test]
    fn what_decoding_takes_away_is_still_told() {
        let decoder = Decoder::new(b"test", Masker::new(&["caibo_live_sk_"]));
        let key = "caibo_live_sk_0123456789abcdef0123456789abcdef";
        for (fields, raw_key, forwarded_for) in [
            (String::new(), false, false),
            (format!(r#","api_key":"{key}""#), true, false),
            (format!(r#","key_id":"{key}""#), true, false),
            (r#","api_key":"another system's""#.to_owned(), true, false),
            (r#","key_id":"key_1","forwarded_for":"192.0.2.1""#.to_owned(), false, true),
            (r#","forwarded_for":" ","api_key":null"#.to_owned(), false, false),
        ] {
            let payload = format!(r#"{{"ts":1,"outcome":"ok"{fields}}}"#);
            let mut found = Vec::new();
            decoder.inspect_each(payload.as_bytes(), |one| found.push(one));
            let (event, carried) = found.pop().unwrap().unwrap();
            assert_eq!(carried, Carried { raw_key, forwarded_for }, "{payload}");
            assert_eq!(event, decoder.decode_auth(payload.as_bytes(), None).unwrap(), "{payload}");
            assert!(found.is_empty());
        }
        let mut reasons = Vec::new();
        decoder.inspect_each(b"{", |one| reasons.push(one.unwrap_err().reason.as_str()));
        assert_eq!(reasons, ["not_json"]);
    }
}
