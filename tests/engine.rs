//! Detectors, each by its table: events in, alerts out, a line each (`support/lab.rs` has the notation).

#[path = "support/lab.rs"]
#[expect(dead_code, reason = "the laws use the rest")]
mod lab;

#[path = "engine/env_mismatch.rs"]
mod env_mismatch;
#[path = "engine/language.rs"]
mod language;
#[path = "engine/lifecycle.rs"]
mod lifecycle;
#[path = "engine/new_ip.rs"]
mod new_ip;
#[path = "engine/spike.rs"]
mod spike;
#[path = "engine/stale_key.rs"]
mod stale_key;
