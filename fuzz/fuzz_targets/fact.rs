//! Any bytes as a key event: no panic, and nothing that could break out of a mail header.
#![no_main]

use std::sync::LazyLock;

use keywatch::event::auth::Decoder;
use keywatch::event::facts::FactBook;
use keywatch::event::redact::Masker;
use libfuzzer_sys::fuzz_target;

static DECODER: LazyLock<Decoder> = LazyLock::new(|| Decoder::new(b"fuzz", Masker::default()));

fuzz_target!(|payload: &[u8]| {
    let Ok(Some(fact)) = DECODER.decode_fact(payload, None) else { return };
    for contact in fact.contacts.iter().flatten() {
        assert!(contact.contains('@') && contact.len() <= 254 && !contact.contains(char::is_control));
    }
    let mut book = FactBook::new(4);
    book.learn(&fact);
    assert!(book.learn(&fact).keys.is_empty(), "the same fact twice says nothing new");
});
