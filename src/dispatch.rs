//! The dispatcher: groups that are due become notices in the outbox.
//!
//! Deciding is pure (`alerting::group`), inside the store's transaction; this is the loop around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::alerting::group::{ALERTS_PER_MAIL, NoticeContext, plan, plan_old_news};
use crate::config::MailConfig;
use crate::event::facts::{KeyFacts, MerchantFacts};
use crate::metrics::Metrics;
use crate::pipeline::{SharedFacts, read_facts};
use crate::store::{Store, StoreError};
use crate::time::{HOUR, MINUTE, Millis};
use crate::wall;

/// Groups taken up in one look.
const GROUPS_PER_LOOK: i64 = 100;
/// A group that has had its mails for the hour is looked at again after this.
const POSTPONED: Millis = 5 * MINUTE;
/// Between two looks without a call: other instances may have made a group due.
const POLL: Duration = Duration::from_millis(500);

/// Turns groups into notices.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    /// The store.
    pub store: Store,
    /// Facts: contacts, names, zones.
    pub facts: SharedFacts,
    /// Addresses.
    pub mail: MailConfig,
    /// Mails that one receiver gets about one merchant in an hour, at most; what comes then gathers until there is room.
    pub mails_per_hour: u32,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Woken when a notice waits for delivery.
    pub wake_delivery: Arc<Notify>,
}

impl Dispatcher {
    /// Runs until cancelled.
    pub async fn run(self, wake: Arc<Notify>, cancel: CancellationToken) {
        let mut away = false;
        while !cancel.is_cancelled() {
            match self.dispatch_due(wall::now()).await {
                Ok(_) => away = false,
                Err(error) => {
                    if !away {
                        tracing::warn!(%error, "cannot make notices; trying again");
                    }
                    away = true;
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Makes the notices of every group that is due at `now`. Returns how many it made.
    pub async fn dispatch_due(&self, now: Millis) -> Result<usize, StoreError> {
        let mut made = 0;
        loop {
            let groups = self.store.groups_due(now, GROUPS_PER_LOOK).await?;
            for group in &groups {
                let told = self.store.mails_since(group.receiver, &group.merchant_id, now - HOUR).await?;
                if told >= i64::from(self.mails_per_hour) {
                    self.metrics.limits_hit.with_label_values(&["mails_per_hour"]).inc();
                    self.store.postpone_group(&group.id, now + POSTPONED).await?;
                    continue;
                }
                made += usize::from(self.dispatch(&group.id, now).await?);
            }
            if (groups.len() as i64) < GROUPS_PER_LOOK {
                break;
            }
        }
        if made > 0 {
            self.wake_delivery.notify_one();
        }
        Ok(made)
    }

    /// Sends operations one summary of the alerts that were too old to be mailed.
    pub async fn tell_old_news(&self, now: Millis) -> Result<(), StoreError> {
        let nobody = BTreeMap::new();
        let told = self.store.sum_up_old_news(now, |old| plan_old_news(old, &self.context(None, &nobody), now)).await?;
        if told {
            self.metrics.notices.with_label_values(&["operations", "", "info", "old_news"]).inc();
            self.wake_delivery.notify_one();
        }
        Ok(())
    }

    fn context<'a>(
        &'a self,
        merchant: Option<&'a MerchantFacts>,
        keys: &'a BTreeMap<String, KeyFacts>,
    ) -> NoticeContext<'a> {
        NoticeContext {
            merchant,
            keys,
            from: &self.mail.from,
            support: &self.mail.support,
            operations: &self.mail.operations,
            link: self.mail.link.as_deref(),
            max_alerts: ALERTS_PER_MAIL,
        }
    }

    async fn dispatch(&self, group_id: &str, now: Millis) -> Result<bool, StoreError> {
        let mut about = None;
        let notice = self
            .store
            .notify_group(group_id, now, |group, cases| {
                let facts = read_facts(&self.facts);
                let keys: BTreeMap<_, _> = cases
                    .iter()
                    .filter_map(|case| case.alert.key_id.as_deref())
                    .filter_map(|key| Some((key.to_owned(), facts.key(key)?.clone())))
                    .collect();
                let context = self.context(facts.merchant(&group.merchant_id), &keys);
                let decision = plan(group, cases, &context, now)?;
                about = Some((group.receiver, decision.rule, decision.severity, decision.why));
                Some(decision.plan)
            })
            .await?;
        if let (Some(_), Some((receiver, rule, severity, why))) = (&notice, about) {
            let labels = [receiver.as_str(), &rule, severity.as_str(), why.as_str()];
            self.metrics.notices.with_label_values(&labels).inc();
        }
        Ok(notice.is_some())
    }
}
