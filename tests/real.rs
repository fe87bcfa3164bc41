//! Tests against real servers, as `dev/test-real` starts them. Without servers each prints that it was skipped.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait, measure, and are told of the servers by the environment"
)]

#[path = "real/chaos.rs"]
mod chaos;
#[path = "real/dashboard.rs"]
mod dashboard;
#[path = "real/doctor.rs"]
mod doctor;
#[path = "real/editor.rs"]
mod editor;
#[path = "real/instance.rs"]
mod instance;
#[path = "real/kafka.rs"]
mod kafka;
#[path = "real/laws.rs"]
mod laws;
#[path = "real/live.rs"]
mod live;
#[path = "support/dashboard.rs"]
mod panels;
#[path = "real/secrets.rs"]
mod secrets;
#[path = "real/secure.rs"]
mod secure;
#[path = "real/service.rs"]
mod service;
#[path = "support/traffic.rs"]
mod traffic;

/// A variable that `dev/servers` sets. `None`, and a line saying so, where it is missing; a failure where the servers were
/// promised (`KEYWATCH_TEST_REQUIRED=1`).
pub fn server(variable: &str) -> Option<String> {
    if let Ok(filter) = std::env::var("KEYWATCH_TEST_LOG") {
        // Not the first test that asks for it: fine.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    let value = std::env::var(variable).ok();
    let required = std::env::var("KEYWATCH_TEST_REQUIRED").is_ok_and(|required| required == "1");
    assert!(value.is_some() || !required, "{variable} is not set");
    if value.is_none() {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: {variable} is not set; run dev/test-real");
    }
    value
}
