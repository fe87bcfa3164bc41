//! The stored form of open cases.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{SnapshotError, damaged};
use crate::alert::Alert;
use crate::engine::case::{Notes, OpenCase, SourceNote};

#[derive(Serialize, Deserialize)]
pub(super) struct StoredCase<'a> {
    last_at: i64,
    quiet: Option<i64>,
    part: Cow<'a, str>,
    subject: Cow<'a, str>,
    /// The alert record, as JSON: its form is a contract of its own.
    alert: String,
    accepted: u64,
    refused: u64,
    first_at: Option<i64>,
    last_noted_at: Option<i64>,
    sources: Vec<(String, String, Option<String>, u64)>,
    other_calls: u64,
    sample_event_ids: Vec<String>,
}

pub(super) fn store_case(case: &OpenCase) -> StoredCase<'_> {
    StoredCase {
        last_at: case.last_at,
        quiet: case.quiet,
        part: (&*case.part).into(),
        subject: case.alert.subject.as_str().into(),
        alert: serde_json::to_string(&case.alert).unwrap_or_default(),
        accepted: case.notes.accepted,
        refused: case.notes.refused,
        first_at: case.notes.first_at,
        last_noted_at: case.notes.last_at,
        sources: case
            .notes
            .sources
            .iter()
            .map(|s| (s.address.clone(), s.network.clone(), s.user_agent.clone(), s.calls))
            .collect(),
        other_calls: case.notes.other_calls,
        sample_event_ids: case.notes.sample_event_ids.clone(),
    }
}

pub(super) fn load_case(stored: StoredCase<'_>) -> Result<OpenCase, SnapshotError> {
    let mut alert: Alert = serde_json::from_str(&stored.alert).map_err(damaged)?;
    alert.subject = stored.subject.into_owned();
    let source = |(address, network, user_agent, calls)| SourceNote { address, network, user_agent, calls };
    Ok(OpenCase {
        last_at: stored.last_at,
        quiet: stored.quiet,
        opens_at: None,
        part: stored.part.into_owned().into(),
        alert,
        notes: Notes {
            accepted: stored.accepted,
            refused: stored.refused,
            first_at: stored.first_at,
            last_at: stored.last_noted_at,
            sources: stored.sources.into_iter().map(source).collect(),
            other_calls: stored.other_calls,
            sample_event_ids: stored.sample_event_ids,
        },
    })
}
