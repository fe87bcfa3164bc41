//! What people and commands read: alerts, usage, and the state of the outbox.

use std::collections::BTreeMap;

use super::db::{Row, Value, values};
use super::{Store, StoreError, UsageRow};
use crate::alert::{Alert, Receiver, State};
use crate::notify::Mail;
use crate::time::Millis;

/// How many alerts an ID's beginning may bring up.
const ALERTS_PER_PREFIX: i64 = 10;

/// Which alerts to read. An absent field asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only firing ones, or only those that are over.
    pub state: Option<State>,
    /// Only this merchant's.
    pub merchant_id: Option<String>,
    /// Only this key's.
    pub key_id: Option<String>,
    /// At most so many: the newest.
    pub limit: Option<i64>,
    /// Also what rules in status `test` found.
    pub with_shadow: bool,
}

/// A notice in the outbox, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxView {
    /// Name of the notice: group and revision.
    pub notice_id: String,
    /// `pending`, `sent` or `failed`.
    pub status: String,
    /// How often delivery was tried.
    pub attempts: i64,
    /// `Message-ID` without the brackets.
    pub message_id: String,
    /// Addresses.
    pub to: Vec<String>,
    /// Subject line.
    pub subject: String,
    /// When the notice was made (wall time).
    pub created_at: Millis,
    /// When it was delivered (wall time).
    pub sent_at: Option<Millis>,
    /// What the last failure said.
    pub last_error: Option<String>,
}

/// That a receiver was told of an alert for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub receiver: Receiver,
    /// Addresses.
    pub to: Vec<String>,
    /// Subject line.
    pub subject: String,
    /// `Message-ID` without the brackets.
    pub message_id: String,
    /// When it was delivered (wall time).
    pub sent_at: Option<Millis>,
}

impl Store {
    /// Who was told of an alert first, by which mail.
    pub async fn told_of(&self, alert_id: &str) -> Result<Vec<Told>, StoreError> {
        let sql = "SELECT t.receiver, o.mail, o.status, o.finished_at FROM told t \
             JOIN outbox o ON o.notice_id = t.first_notice WHERE t.alert_id = $1 ORDER BY t.receiver";
        let mut told = Vec::new();
        for row in &self.pools.fetch("told", sql, values![alert_id]).await? {
            let (mail, receiver, status): (Mail, String, String) =
                (row.get_json("mail")?, row.get("receiver")?, row.get("status")?);
            told.push(Told {
                receiver: Receiver::from_word(&receiver)
                    .ok_or_else(|| row.unreadable("receiver", &"no such receiver"))?,
                to: mail.to,
                subject: mail.subject,
                message_id: mail.message_id,
                sent_at: row.get::<Option<i64>>("finished_at")?.filter(|_| status == "sent"),
            });
        }
        Ok(told)
    }

    /// How many cases go on, by the word of their severity; none of rules in status `test`.
    pub async fn firing_by_severity(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let severity = if self.pools.is_postgres() { "record::json->>'severity'" } else { "record->>'severity'" };
        let sql = format!(
            "SELECT {severity} AS severity, COUNT(*) AS n_cases FROM cases WHERE state = 'firing' AND NOT shadow GROUP BY 1"
        );
        let rows = self.pools.fetch("cases", &sql, values![]).await?;
        rows.iter().map(|row| Ok((row.get("severity")?, row.get("n_cases")?))).collect()
    }

    /// Alerts ordered by `detected_at` and ID.
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Vec<Alert>, StoreError> {
        let mut sql = String::from("SELECT record, subject FROM cases WHERE 1 = 1");
        let mut values: Vec<Value<'_>> = values![];
        let wanted = [
            ("state", filter.state.map(State::as_str)),
            ("merchant_id", filter.merchant_id.as_deref()),
            ("key_id", filter.key_id.as_deref()),
        ];
        for (column, wanted) in wanted {
            if let Some(wanted) = wanted {
                values.push(Value::from(wanted));
                sql.push_str(&format!(" AND {column} = ${}", values.len()));
            }
        }
        if !filter.with_shadow {
            sql.push_str(" AND NOT shadow");
        }
        sql.push_str(" ORDER BY detected_at DESC, alert_id DESC");
        if let Some(limit) = filter.limit {
            values.push(Value::from(limit));
            sql.push_str(&format!(" LIMIT ${}", values.len()));
        }
        let rows = self.pools.fetch("cases", &sql, values).await?;
        rows.iter().rev().map(alert_of).collect()
    }

    /// The alerts whose ID begins so: one where enough of it is given, at most ten.
    pub async fn alerts_with_prefix(&self, id_prefix: &str) -> Result<Vec<Alert>, StoreError> {
        let end = format!("{id_prefix}\u{10ffff}");
        let sql = "SELECT record, subject FROM cases WHERE $1 <= alert_id AND alert_id < $2 ORDER BY alert_id LIMIT $3";
        let rows = self.pools.fetch("cases", sql, values![id_prefix, &end, ALERTS_PER_PREFIX]).await?;
        rows.iter().map(alert_of).collect()
    }

    /// The one alert whose ID begins so; `None` where there is none or more than one.
    pub async fn alert(&self, id_prefix: &str) -> Result<Option<Alert>, StoreError> {
        let mut alerts = self.alerts_with_prefix(id_prefix).await?;
        Ok(if alerts.len() == 1 { alerts.pop() } else { None })
    }

    /// A key's usage, day by day.
    pub async fn usage_of(&self, key_id: &str) -> Result<Vec<UsageRow>, StoreError> {
        // Rows lie by day: one look for each day that there is, rather than one at every row.
        let sql = "WITH RECURSIVE days (day) AS ( \
                 SELECT MIN(day) FROM usage_days \
                 UNION ALL SELECT (SELECT MIN(later.day) FROM usage_days later WHERE later.day > days.day) \
                 FROM days WHERE days.day IS NOT NULL) \
             SELECT u.key_id, u.day, u.accepted, u.refused, u.first_at, u.last_at \
             FROM days JOIN usage_days u ON u.day = days.day AND u.key_id = $1 ORDER BY u.day";
        let mut usage = Vec::new();
        for row in &self.pools.fetch("usage_days", sql, values![key_id]).await? {
            let day: i64 = row.get("day")?;
            usage.push(UsageRow {
                key_id: row.get("key_id")?,
                day: i32::try_from(day).map_err(|error| row.unreadable("day", &error))?,
                accepted: row.get("accepted")?,
                refused: row.get("refused")?,
                first_at: row.get("first_at")?,
                last_at: row.get("last_at")?,
            });
        }
        Ok(usage)
    }

    /// The newest notices, oldest of them first.
    pub async fn outbox(&self, limit: i64) -> Result<Vec<OutboxView>, StoreError> {
        let sql = "SELECT notice_id, status, attempts, mail, created_at, finished_at, detail FROM outbox \
             ORDER BY created_at DESC, notice_id DESC LIMIT $1";
        let mut notices = Vec::new();
        for row in self.pools.fetch("outbox", sql, values![limit]).await?.iter().rev() {
            let mail: Mail = row.get_json("mail")?;
            let status: String = row.get("status")?;
            let is_sent = status == "sent";
            notices.push(OutboxView {
                notice_id: row.get("notice_id")?,
                attempts: row.get("attempts")?,
                message_id: mail.message_id,
                to: mail.to,
                subject: mail.subject,
                created_at: row.get("created_at")?,
                sent_at: row.get::<Option<i64>>("finished_at")?.filter(|_| is_sent),
                last_error: row.get::<Option<String>>("detail")?.filter(|_| !is_sent),
                status,
            });
        }
        Ok(notices)
    }
}

/// A record with its subject, which the JSON leaves out.
pub(super) fn alert_of(row: &Row) -> Result<Alert, StoreError> {
    Ok(Alert { subject: row.get("subject")?, ..row.get_json("record")? })
}

pub(super) fn state_of(word: &str) -> Option<State> {
    [State::Firing, State::Resolved].into_iter().find(|state| state.as_str() == word)
}
