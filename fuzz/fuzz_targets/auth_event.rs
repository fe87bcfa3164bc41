//! Any bytes as an authentication event: no panic, the same verdict as serde_json, bounded texts.
#![no_main]

use std::sync::LazyLock;

use keywatch::event::RejectReason;
use keywatch::event::auth::Decoder;
use keywatch::event::redact::Masker;
use libfuzzer_sys::fuzz_target;

static DECODER: LazyLock<Decoder> = LazyLock::new(|| Decoder::new(b"fuzz", Masker::default()));

fuzz_target!(|payload: &[u8]| {
    let result = DECODER.decode_auth(payload, None);
    let is_object = serde_json::from_slice::<serde_json::Value>(payload).is_ok_and(|value| value.is_object());
    match result {
        Ok(event) => {
            assert!((1..=1_000_000).contains(&event.count));
            for text in [&event.user_agent, &event.origin, &event.referer, &event.path].into_iter().flatten() {
                assert!(text.len() <= 256 && !text.contains(char::is_control));
            }
            for id in [&event.event_id, &event.key_id, &event.merchant_id].into_iter().flatten() {
                assert!(!id.is_empty() && !id.contains(char::is_control));
            }
        }
        Err(rejected) => {
            assert!(rejected.redacted.len() <= 1024);
            // serde_json also refuses numbers that no f64 holds, so only one direction is certain.
            assert!(!is_object || rejected.reason != RejectReason::NotJson);
        }
    }
});
