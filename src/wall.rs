//! The wall clock and the process's own names: the only place that asks the machine for them.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Millis;

/// Wall time now.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as Millis
}

/// A point of monotonic time, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// An environment variable; `None` where it is not set or not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The folder for temporary files.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

/// The program, as it was called: what works again from the same folder.
pub fn program() -> String {
    std::env::args().next().filter(|name| !name.is_empty()).unwrap_or_else(|| "keywatch".into())
}

/// A name for this process among several: process ID and a random part.
pub fn instance_name() -> String {
    format!("{}-{:08x}", std::process::id(), random_bits() as u32)
}

/// 64 random bits.
#[expect(clippy::disallowed_methods, reason = "the one place that draws random numbers")]
pub fn random_bits() -> u64 {
    fastrand::u64(..)
}

/// A random number from 0 to 1, 1 not included.
pub fn random_unit() -> f64 {
    (random_bits() >> 11) as f64 / (1u64 << 53) as f64
}
