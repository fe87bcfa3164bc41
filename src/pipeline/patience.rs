//! Waiting for a store that is away.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::Metrics;
use crate::pipeline::Parts;
use crate::store::{Store, StoreError};

/// Between two tries, at most.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Repeats a store operation while the store is away. Gives up only when the process is asked to stop.
pub(super) async fn patiently<T>(
    parts: &Parts,
    what: &'static str,
    mut operation: impl AsyncFnMut(&Store) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let Parts { store, metrics, health, stopping, .. } = parts;
    until_answered(metrics, health, stopping, what, async || operation(store).await).await
}

/// As [`patiently`], with what it needs.
async fn until_answered<T>(
    metrics: &Metrics,
    health: &Health,
    stopping: &CancellationToken,
    what: &'static str,
    mut operation: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut wait = Duration::from_millis(100);
    let mut away = false;
    loop {
        match operation().await {
            Err(StoreError::Unavailable(error)) if !stopping.is_cancelled() => {
                if !away {
                    away = true;
                    metrics.store_up.set(0);
                    health.store_trouble(Some(error.clone()));
                    tracing::warn!(what, error, "the store does not answer; waiting for it");
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stopping.cancelled() => {}
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            answer => {
                // A refusal is an answer too: that a newer owner has the partition, say.
                if away && !matches!(answer, Err(StoreError::Unavailable(_))) {
                    metrics.store_up.set(1);
                    health.store_trouble(None);
                    tracing::info!(what, "the store answers again");
                }
                return answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the store is told to be away after it was away once and then gave this answer.
    async fn away_after(answer: Result<(), StoreError>) -> bool {
        let (metrics, health) = (Metrics::new().unwrap(), Health::default());
        metrics.store_up.set(1);
        let mut answers = [Err(StoreError::Unavailable("connection reset".to_owned())), answer].into_iter();
        let stopping = CancellationToken::new();
        let answered = until_answered(&metrics, &health, &stopping, "write a slice", async || {
            // What the first try left is seen before the second.
            assert_eq!(answers.len() == 1, health.status().reasons.contains(&"store: connection reset".to_owned()));
            answers.next().unwrap()
        });
        drop(answered.await);
        let is_told = health.status().reasons.iter().any(|reason| reason.starts_with("store:"));
        assert_eq!(is_told, metrics.store_up.get() == 0);
        is_told
    }

    #[tokio::test]
    async fn whatever_the_store_answers_it_is_not_away() {
        let lost = StoreError::EpochLost { shard: "auth-events/0".to_owned(), held: 1 };
        let odd = StoreError::Inconsistent { place: "subjects", detail: "odd".to_owned() };
        for answer in [Ok(()), Err(lost), Err(odd)] {
            let shown = format!("{answer:?}");
            assert!(!away_after(answer).await, "{shown}");
        }
    }
}
