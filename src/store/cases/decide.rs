//! What a change means for the cases that are already stored. Pure.
//!
//! | the change | its own case is stored | another case of the rule and subject | else |
//! |---|---|---|---|
//! | firing | newer revision: update; else known | open: join it; over, and the start lies inside: known | open |
//! | resolved | firing, or an older revision: update; else known | open since before the end: it ends | known |

use crate::alert::{Alert, Audience, State};
use crate::engine::second_stage::{is_taken, still_taken};

/// A case as the store has it.
#[derive(Clone, Debug)]
pub(super) struct StoredCase {
    /// The record.
    pub(super) alert: Alert,
    /// How many of its revisions joined findings made. The engine that counts the case's own revisions does not know
    /// them, so they are added to what it says.
    pub(super) joins: u32,
    /// Whether anybody is to hear of it.
    pub(super) notify: bool,
    /// The finding in question has joined it before.
    pub(super) has_joined: bool,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    /// A new case.
    Open,
    /// The case with the record's ID changes.
    Update {
        /// The record after the change.
        record: Box<Alert>,
        /// See [`StoredCase::joins`].
        joins: u32,
    },
    /// Nothing new, but the finding belongs to this case from now on.
    Join(String),
    /// Nothing.
    Known,
}

/// Decides about one change, given every stored case that it could concern.
pub(super) fn decide(change: &Alert, stored: &[StoredCase]) -> Decision {
    let own = stored.iter().find(|case| case.alert.alert_id == change.alert_id);
    // What another case has taken over is kept up to date, and stays taken.
    if let Some(own) = own.filter(|case| is_taken(&case.alert)) {
        let revision = change.revision + own.joins;
        if revision <= own.alert.revision {
            return Decision::Known;
        }
        let record = still_taken(&own.alert, Alert { revision, ..change.clone() });
        return Decision::Update { record: Box::new(record), joins: own.joins };
    }
    let others = || stored.iter().filter(|case| case.alert.alert_id != change.alert_id);
    let joined = others().find(|case| case.has_joined);
    let open = others().find(|case| {
        case.alert.state == State::Firing && case.alert.rule == change.rule && case.alert.subject == change.subject
    });
    match (own, change.state) {
        (Some(own), State::Firing) => {
            let revision = change.revision + own.joins;
            match open {
                _ if revision <= own.alert.revision => Decision::Known,
                Some(open) if own.alert.state == State::Resolved => join(open, change),
                _ => Decision::Update { record: Box::new(Alert { revision, ..change.clone() }), joins: own.joins },
            }
        }
        (Some(own), State::Resolved) => {
            let revision = change.revision + own.joins;
            let is_newer = match own.alert.state {
                State::Firing => own.alert.revision <= revision,
                State::Resolved => own.alert.revision < revision,
            };
            if !is_newer {
                return Decision::Known;
            }
            Decision::Update { record: Box::new(Alert { revision, ..change.clone() }), joins: own.joins }
        }
        (None, State::Firing) => {
            if let Some(joined) = joined {
                return if joined.alert.state == State::Firing { join(joined, change) } else { Decision::Known };
            }
            if let Some(open) = open {
                return join(open, change);
            }
            match others().find(|case| spans(&case.alert, change)) {
                Some(covering) => Decision::Join(covering.alert.alert_id.clone()),
                None => Decision::Open,
            }
        }
        (None, State::Resolved) => {
            let ended = match joined {
                Some(joined) => Some(joined).filter(|case| case.alert.state == State::Firing),
                None => open.filter(|case| change.ends_at.is_none_or(|end| case.alert.starts_at <= end)),
            };
            match ended {
                Some(case) => Decision::Update { record: merged(&case.alert, change), joins: case.joins },
                None => Decision::Known,
            }
        }
    }
}

/// A finding joins an open case: only a worse one changes it.
fn join(case: &StoredCase, change: &Alert) -> Decision {
    if change.severity <= case.alert.severity {
        return Decision::Join(case.alert.alert_id.clone());
    }
    Decision::Update { record: merged(&case.alert, change), joins: case.joins + 1 }
}

/// The case's identity with the finding's content.
fn merged(case: &Alert, change: &Alert) -> Box<Alert> {
    Box::new(Alert {
        alert_id: case.alert_id.clone(),
        revision: case.revision + 1,
        severity: case.severity.max(change.severity),
        starts_at: case.starts_at,
        detected_at: case.detected_at,
        audience: if case.audience == change.audience { case.audience } else { Audience::Both },
        ..change.clone()
    })
}

fn spans(case: &Alert, change: &Alert) -> bool {
    case.state == State::Resolved
        && case.rule == change.rule
        && case.subject == change.subject
        && case.starts_at <= change.starts_at
        && case.ends_at.is_some_and(|end| change.starts_at <= end)
}
