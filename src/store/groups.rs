//! To notify is one transaction on the group's row: what is told, the notice, and its place in the outbox.

use super::db::{Row, Tx, to_json, values};
use super::{Group, GroupCase, NoticePlan, Store, StoreError};
use crate::alert::{Kind, Receiver, Severity, State};
use crate::time::Millis;

/// Alerts that one plan sees. What is left over is due again at once.
const CASES_PER_PLAN: usize = 500;

impl Store {
    /// Groups with something to tell by `now`, the longest due first.
    pub async fn groups_due(&self, now: Millis, limit: i64) -> Result<Vec<Group>, StoreError> {
        let sql = "SELECT id, receiver, merchant_id, revision FROM notice_groups \
             WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2";
        self.pools.fetch("notice_groups", sql, values![now, limit]).await?.iter().map(group_of).collect()
    }

    /// When the next group is due.
    pub async fn next_group_due(&self) -> Result<Option<Millis>, StoreError> {
        let row =
            self.pools.fetch_one("notice_groups", "SELECT MIN(due_at) AS due FROM notice_groups", values![]).await?;
        row.map_or(Ok(None), |row| row.get("due"))
    }

    /// Looks at a group later: it has had its mails for now.
    pub async fn postpone_group(&self, group_id: &str, until: Millis) -> Result<(), StoreError> {
        let mut tx = self.pools.begin().await?;
        let sql = "UPDATE notice_groups SET due_at = $2 WHERE id = $1 AND due_at < $2";
        tx.execute("notice_groups", sql, values![group_id, until]).await?;
        tx.commit().await
    }

    /// Lets `plan` decide what the group's receiver is told, and stores that together with the notice. Returns the
    /// notice's name; `None` where there is none, or another instance is at it.
    ///
    /// The plan sees every case that changed since the receiver last heard of it, in order of `detected_at`. What it
    /// leaves out it sees again when the group is next due; except that a case which is over, and of which the
    /// receiver never heard, is dropped once a notice went out without it.
    pub async fn notify_group(
        &self,
        group_id: &str,
        now: Millis,
        plan: impl FnOnce(&Group, &[GroupCase]) -> Option<NoticePlan> + Send,
    ) -> Result<Option<String>, StoreError> {
        let mut tx = self.pools.begin().await?;
        let sql = format!(
            "SELECT id, receiver, merchant_id, revision FROM notice_groups WHERE id = $1 AND due_at <= $2{}",
            tx.for_update_skip_locked()
        );
        let Some(row) = tx.fetch_one("notice_groups", &sql, values![group_id, now]).await? else { return Ok(None) };
        let group = group_of(&row)?;
        let cases = untold_cases(&mut tx, &group).await?;
        let planned = if cases.is_empty() { None } else { plan(&group, &cases) };
        let Some(planned) = planned else {
            tx.execute("notice_groups", "UPDATE notice_groups SET due_at = NULL WHERE id = $1", values![group_id])
                .await?;
            tx.commit().await?;
            return Ok(None);
        };
        let notice_id = format!("{group_id}/{}", group.revision + 1);
        insert_notice(&mut tx, &group, &notice_id, &planned, now).await?;
        note_told(&mut tx, &group, &notice_id, &planned, &cases).await?;
        let due_at = (cases.len() == CASES_PER_PLAN).then_some(now);
        let sql = "UPDATE notice_groups SET revision = revision + 1, due_at = $2 WHERE id = $1";
        tx.execute("notice_groups", sql, values![group_id, due_at]).await?;
        tx.commit().await?;
        Ok(Some(notice_id))
    }
}

async fn untold_cases(tx: &mut Tx, group: &Group) -> Result<Vec<GroupCase>, StoreError> {
    // Cases that ended untold come last, so that they never crowd out the others.
    let sql = "SELECT c.record, c.subject, t.revision AS told_revision, t.state AS told_state, t.severity AS told_severity, t.kind AS told_kind, t.first_notice \
         FROM untold u JOIN cases c ON c.alert_id = u.alert_id \
         LEFT JOIN told t ON t.alert_id = u.alert_id AND t.receiver = $2 \
         WHERE u.group_id = $1 AND c.notify \
         ORDER BY CASE WHEN c.state = 'resolved' AND t.alert_id IS NULL THEN 1 ELSE 0 END, c.detected_at, c.alert_id LIMIT $3";
    let values = values![&group.id, group.receiver.as_str(), CASES_PER_PLAN as i64];
    let mut cases = Vec::new();
    for row in &tx.fetch("untold", sql, values).await? {
        cases.push(GroupCase {
            alert: super::read::alert_of(row)?,
            told: told_of(row)?,
            told_as: told_as_of(row)?,
            first_notice: row.get("first_notice")?,
        });
    }
    cases.sort_by(|a, b| (a.alert.detected_at, &a.alert.alert_id).cmp(&(b.alert.detected_at, &b.alert.alert_id)));
    Ok(cases)
}

async fn insert_notice(
    tx: &mut Tx,
    group: &Group,
    notice_id: &str,
    plan: &NoticePlan,
    now: Millis,
) -> Result<(), StoreError> {
    let mail = to_json("outbox", &plan.mail)?;
    let sql = "INSERT INTO outbox (notice_id, receiver, merchant_id, mail, status, attempts, next_attempt_at, created_at) \
         VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5) ON CONFLICT (notice_id) DO NOTHING";
    let values = values![notice_id, group.receiver.as_str(), &group.merchant_id, &mail, now];
    tx.execute("outbox", sql, values).await.map(|_| ())
}

async fn note_told(
    tx: &mut Tx,
    group: &Group,
    notice_id: &str,
    plan: &NoticePlan,
    cases: &[GroupCase],
) -> Result<(), StoreError> {
    let told = "INSERT INTO told (alert_id, receiver, revision, state, notice_id, first_notice, severity, kind) \
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7) ON CONFLICT (alert_id, receiver) DO UPDATE \
         SET revision = excluded.revision, state = excluded.state, notice_id = excluded.notice_id, \
             severity = excluded.severity, kind = excluded.kind";
    let done = "DELETE FROM untold WHERE group_id = $1 AND alert_id = $2";
    for (alert_id, revision, state) in &plan.told {
        let told_as = cases.iter().find(|case| case.alert.alert_id == *alert_id).map(|case| &case.alert);
        let severity = told_as.map_or("", |alert| alert.severity.as_str());
        let kind = told_as.map_or("", |alert| alert.kind.as_str());
        let values = values![alert_id, group.receiver.as_str(), *revision, state.as_str(), notice_id, severity, kind];
        tx.execute("told", told, values).await?;
    }
    for case in cases {
        let alert = &case.alert;
        let is_told = plan.told.iter().any(|(alert_id, revision, state)| {
            *alert_id == alert.alert_id && *revision == alert.revision && *state == alert.state
        });
        if is_told || (alert.state == State::Resolved && case.told.is_none()) {
            tx.execute("untold", done, values![&group.id, &alert.alert_id]).await?;
        }
    }
    Ok(())
}

fn group_of(row: &Row) -> Result<Group, StoreError> {
    let receiver: String = row.get("receiver")?;
    Ok(Group {
        id: row.get("id")?,
        receiver: Receiver::from_word(&receiver).ok_or_else(|| row.unreadable("receiver", &"no such receiver"))?,
        merchant_id: row.get("merchant_id")?,
        revision: row.get("revision")?,
    })
}

fn told_of(row: &Row) -> Result<Option<(u32, State)>, StoreError> {
    let Some(revision) = row.get::<Option<i64>>("told_revision")? else { return Ok(None) };
    let revision = u32::try_from(revision).map_err(|error| row.unreadable("told_revision", &error))?;
    let state: String = row.get("told_state")?;
    let state = super::read::state_of(&state).ok_or_else(|| row.unreadable("told_state", &"no such state"))?;
    Ok(Some((revision, state)))
}

fn told_as_of(row: &Row) -> Result<Option<(Severity, Kind)>, StoreError> {
    let (severity, kind): (Option<String>, Option<String>) = (row.get("told_severity")?, row.get("told_kind")?);
    let word = |severity: String, kind: String| Some((Severity::from_word(&severity)?, Kind::from_word(&kind)?));
    Ok(severity.zip(kind).and_then(|(severity, kind)| word(severity, kind)))
}
