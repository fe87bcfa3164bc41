//! The rules version that all instances run. Files are a proposal; what is adopted here is in force.

use super::db::{to_json, values};
use super::{Store, StoreError};
use crate::rules::RuleFile;
use crate::time::Millis;

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRules {
    /// Their version.
    pub version: String,
    /// The files, as they were adopted.
    pub files: Vec<RuleFile>,
    /// When (wall time).
    pub adopted_at: Millis,
    /// By which instance.
    pub adopted_by: String,
}

impl Store {
    /// The rules that were adopted last.
    pub async fn rules_in_force(&self) -> Result<Option<StoredRules>, StoreError> {
        let sql = "SELECT v.version, v.files, a.adopted_at, a.adopted_by \
             FROM rule_adoptions a JOIN rule_versions v ON v.version = a.version ORDER BY a.number DESC LIMIT 1";
        let Some(row) = self.pools.fetch_one("rule_versions", sql, values![]).await? else { return Ok(None) };
        let files: Vec<(String, String)> = row.get_json("files")?;
        Ok(Some(StoredRules {
            version: row.get("version")?,
            files: files.into_iter().map(|(name, text)| RuleFile { name, text }).collect(),
            adopted_at: row.get("adopted_at")?,
            adopted_by: row.get("adopted_by")?,
        }))
    }

    /// Whether this version was ever adopted: then a file of it is an old proposal, not a new one.
    pub async fn known_rules(&self, version: &str) -> Result<bool, StoreError> {
        let sql = "SELECT version FROM rule_versions WHERE version = $1";
        Ok(self.pools.fetch_one("rule_versions", sql, values![version]).await?.is_some())
    }

    /// Puts a validated version in force. Nothing happens where it already is.
    pub async fn adopt_rules(
        &self,
        version: &str,
        files: &[RuleFile],
        owner: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        let files: Vec<(&str, &str)> = files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
        let files = to_json("rule_versions", &files)?;
        let mut tx = self.pools.begin().await?;
        let known = "INSERT INTO rule_versions (version, files) VALUES ($1, $2) ON CONFLICT (version) DO NOTHING";
        tx.execute("rule_versions", known, values![version, &files]).await?;
        let adopted = "INSERT INTO rule_adoptions (version, adopted_at, adopted_by) SELECT $1, $2, $3 \
             WHERE NOT EXISTS (SELECT 1 FROM rule_adoptions WHERE version = $1 \
               AND number = (SELECT MAX(number) FROM rule_adoptions))";
        tx.execute("rule_adoptions", adopted, values![version, now, owner]).await?;
        tx.commit().await
    }
}
