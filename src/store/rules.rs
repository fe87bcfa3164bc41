//! The rules version that all instances run. Files are a proposal; what is adopted here is in force.

use super::db::{Row, Tx, to_json, values};
use super::{Store, StoreError};
use crate::rules::RuleFile;
use crate::time::Millis;

/// Versions whose files are kept, to be restored. Of older ones only the name is known.
pub const RULE_VERSIONS_KEPT: i64 = 10;
/// Adoptions that are remembered. A version that was last in force before all of these counts as new.
const ADOPTIONS_KEPT: i64 = 1_000;
/// No files: they were forgotten. A version that was adopted has some.
const FORGOTTEN: &str = "[]";

/// A version of the rules that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRules {
    /// Their version.
    pub version: String,
    /// The files, as they were adopted.
    pub files: Vec<RuleFile>,
    /// When it was last put in force (wall time).
    pub adopted_at: Millis,
    /// By which instance.
    pub adopted_by: String,
}

/// That a version was put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// Which.
    pub version: String,
    /// When (wall time).
    pub adopted_at: Millis,
    /// By which instance.
    pub adopted_by: String,
}

impl StoredRules {
    /// When and by whom they were put in force.
    pub fn adoption(&self) -> Adoption {
        Adoption { version: self.version.clone(), adopted_at: self.adopted_at, adopted_by: self.adopted_by.clone() }
    }
}

fn stored(row: &Row) -> Result<StoredRules, StoreError> {
    let files: Vec<(String, String)> = row.get_json("files")?;
    let Adoption { version, adopted_at, adopted_by } = adoption(row)?;
    let files = files.into_iter().map(|(name, text)| RuleFile { name, text }).collect();
    Ok(StoredRules { version, files, adopted_at, adopted_by })
}

fn adoption(row: &Row) -> Result<Adoption, StoreError> {
    Ok(Adoption {
        version: row.get("version")?,
        adopted_at: row.get("adopted_at")?,
        adopted_by: row.get("adopted_by")?,
    })
}

const LAST_ADOPTION: &str = "SELECT version, adopted_at, adopted_by FROM rule_adoptions ORDER BY number DESC LIMIT 1";

impl Store {
    /// The last adoption, without the files.
    pub async fn adoption_in_force(&self) -> Result<Option<Adoption>, StoreError> {
        self.pools.fetch_one("rule_adoptions", LAST_ADOPTION, values![]).await?.as_ref().map(adoption).transpose()
    }

    /// The rules that were adopted last.
    pub async fn rules_in_force(&self) -> Result<Option<StoredRules>, StoreError> {
        let sql = "SELECT v.version, v.files, a.adopted_at, a.adopted_by \
             FROM rule_adoptions a JOIN rule_versions v ON v.version = a.version ORDER BY a.number DESC LIMIT 1";
        self.pools.fetch_one("rule_versions", sql, values![]).await?.as_ref().map(stored).transpose()
    }

    /// The versions whose files are kept, each as it was adopted last, the newest last.
    pub async fn rule_versions(&self) -> Result<Vec<StoredRules>, StoreError> {
        let sql = "SELECT v.version, v.files, a.adopted_at, a.adopted_by \
             FROM rule_adoptions a JOIN rule_versions v ON v.version = a.version \
             WHERE v.files <> $1 AND a.number IN (SELECT MAX(number) FROM rule_adoptions GROUP BY version) ORDER BY a.number";
        self.pools.fetch("rule_versions", sql, values![FORGOTTEN]).await?.iter().map(stored).collect()
    }

    /// Whether this version was ever adopted: then a file of it is an old proposal, not a new one.
    pub async fn known_rules(&self, version: &str) -> Result<bool, StoreError> {
        let sql = "SELECT version FROM rule_versions WHERE version = $1";
        Ok(self.pools.fetch_one("rule_versions", sql, values![version]).await?.is_some())
    }

    /// Puts a validated version in force, and says since when it is. Nothing happens where it already is.
    pub async fn adopt_rules(
        &self,
        version: &str,
        files: &[RuleFile],
        owner: &str,
        now: Millis,
    ) -> Result<Adoption, StoreError> {
        let files: Vec<(&str, &str)> = files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
        let files = to_json("rule_versions", &files)?;
        let mut tx = self.pools.begin().await?;
        let known = "INSERT INTO rule_versions (version, files) VALUES ($1, $2) \
             ON CONFLICT (version) DO UPDATE SET files = excluded.files";
        tx.execute("rule_versions", known, values![version, &files]).await?;
        let adopted = "INSERT INTO rule_adoptions (version, adopted_at, adopted_by) SELECT $1, $2, $3 \
             WHERE NOT EXISTS (SELECT 1 FROM rule_adoptions WHERE version = $1 \
               AND number = (SELECT MAX(number) FROM rule_adoptions))";
        tx.execute("rule_adoptions", adopted, values![version, now, owner]).await?;
        forget_old(&mut tx).await?;
        let in_force = tx.fetch_one("rule_adoptions", LAST_ADOPTION, values![]).await?;
        let in_force = in_force.as_ref().map(adoption).transpose()?;
        tx.commit().await?;
        Ok(in_force.unwrap_or_else(|| Adoption { version: version.into(), adopted_at: now, adopted_by: owner.into() }))
    }
}

/// Forgets the files of all but the last versions, and what is older than all that is remembered.
async fn forget_old(tx: &mut Tx) -> Result<(), StoreError> {
    let files = "UPDATE rule_versions SET files = $1 WHERE files <> $1 AND version NOT IN \
         (SELECT version FROM rule_adoptions GROUP BY version ORDER BY MAX(number) DESC LIMIT $2)";
    tx.execute("rule_versions", files, values![FORGOTTEN, RULE_VERSIONS_KEPT]).await?;
    let adoptions = "DELETE FROM rule_adoptions WHERE number <= (SELECT MAX(number) FROM rule_adoptions) - $1";
    if tx.execute("rule_adoptions", adoptions, values![ADOPTIONS_KEPT]).await? > 0 {
        let versions = "DELETE FROM rule_versions WHERE version NOT IN (SELECT version FROM rule_adoptions)";
        tx.execute("rule_versions", versions, values![]).await?;
    }
    Ok(())
}
