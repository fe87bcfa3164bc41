//! Any bytes with a key in the middle: the key isn't seen, masking twice is masking once, a cut stays within its bound.
#![no_main]

use std::sync::LazyLock;

use keywatch::event::redact::Masker;
use libfuzzer_sys::fuzz_target;

static MASKER: LazyLock<Masker> = LazyLock::new(Masker::default);

fuzz_target!(|payload: &[u8]| {
    let text = String::from_utf8_lossy(payload);
    for mask in [Masker::mask_text, Masker::mask_id] {
        let once = mask(&MASKER, &text).into_owned();
        assert_eq!(mask(&MASKER, &once), once);
    }
    if text.contains("Zq7Xw2Lm9Rt4") {
        return; // The fuzzer guessed the secret's own letters: without a prefix they are no secret.
    }
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (before, after) = text.split_at(middle);
    let planted = format!("{before} caibo_live_sk_Zq7Xw2Lm9Rt4Kp8Vn3Bs6Yd1Hc5Jf0Ga {after}");
    let masked = MASKER.mask_bytes(planted.as_bytes(), 1024);
    assert!(masked.len() <= 1024 && !masked.contains("Zq7Xw2Lm9Rt4"));
});
