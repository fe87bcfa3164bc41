//! What must happen now and then: counters of deliveries, the backlog of mails, the summary of old news.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::alert::Severity;
use crate::dispatch::Dispatcher;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::notify::deliver::{DeliveryCounts, Outbox};
use crate::store::{Delivery, Store, StoreError};
use crate::time::{DAY, HOUR, Millis};
use crate::wall;

const EVERY: Duration = Duration::from_secs(2);
const FORGET_EVERY: Millis = HOUR;

/// The task that keeps gauges true and tells operations of old news.
#[derive(Debug)]
pub struct Upkeep {
    /// The store.
    pub store: Store,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<Health>,
    /// How long what is over is kept.
    pub keep: Millis,
    /// What the delivery task counts.
    pub deliveries: Arc<DeliveryCounts>,
}

impl Upkeep {
    /// Runs until cancelled.
    pub async fn run(self, dispatcher: Dispatcher, cancel: CancellationToken) {
        let mut seen = [0u64; 5];
        let mut forget_at = wall::now();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let d = &self.deliveries;
            let counters: [(&str, &AtomicU64); 5] = [
                ("sent", &d.sent),
                ("retry", &d.retried),
                ("given_up", &d.given_up),
                ("stood_back", &d.stood_back),
                ("unrecorded", &d.unrecorded),
            ];
            for ((result, counter), seen) in counters.iter().zip(&mut seen) {
                let now = counter.load(Ordering::Relaxed);
                self.metrics.deliveries.with_label_values(&[result]).inc_by(now - *seen);
                *seen = now;
            }
            let delays = std::mem::take(&mut *d.delays.lock().unwrap_or_else(PoisonError::into_inner));
            for delay in delays {
                self.metrics.delivery_delay_seconds.observe(delay.max(0) as f64 / 1_000.0);
            }
            if let Ok(firing) = self.store.firing_by_severity().await {
                for severity in Severity::ALL {
                    let cases = firing.get(severity.as_str()).copied().unwrap_or(0);
                    self.metrics.cases_firing.with_label_values(&[severity.as_str()]).set(cases);
                }
            }
            if let Ok((pending, _, _)) = self.store.outbox_counts().await {
                self.metrics.outbox_pending.set(pending);
            }
            let now = wall::now();
            if now >= forget_at {
                forget_at = now + FORGET_EVERY;
                if let Err(error) = self.store.forget_signals(now - DAY).await {
                    tracing::warn!(%error, "cannot forget old signals yet");
                }
                match self.store.forget_before(now - self.keep).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "old rows forgotten (limits.keep)"),
                    Err(error) => tracing::warn!(%error, "cannot forget old rows yet"),
                }
            }
            // Old news is summed up once the backlog is read, so that there is one mail and not one a minute.
            if self.health.is_caught_up()
                && let Err(error) = dispatcher.tell_old_news(wall::now()).await
            {
                tracing::debug!(%error, "cannot sum up old alerts yet");
            }
        }
    }
}

impl Outbox for Store {
    async fn claim_deliveries(
        &self,
        owner: &str,
        now: Millis,
        lease: Millis,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        Store::claim_deliveries(self, owner, now, lease, limit as i64).await
    }

    async fn record_sent(&self, notice_id: &str, owner: &str, now: Millis, detail: &str) -> Result<(), StoreError> {
        Store::record_sent(self, notice_id, owner, now, detail).await.map(drop)
    }

    async fn record_retry(
        &self,
        notice_id: &str,
        owner: &str,
        next_attempt_at: Millis,
        error: &str,
    ) -> Result<(), StoreError> {
        Store::record_retry(self, notice_id, owner, next_attempt_at, error).await.map(drop)
    }

    async fn record_given_up(&self, notice_id: &str, owner: &str, now: Millis, error: &str) -> Result<(), StoreError> {
        Store::record_given_up(self, notice_id, owner, now, error).await.map(drop)
    }

    async fn next_delivery_due(&self) -> Result<Option<Millis>, StoreError> {
        Store::next_delivery_due(self).await
    }
}
