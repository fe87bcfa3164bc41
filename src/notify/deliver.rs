//! Delivers the outbox: claim, commit, send, record. A crash in between repeats a mail under its old `Message-ID`; it
//! never loses one.
//!
//! Many instances may run this on one store. A claim is a lease: who holds it sends, and who finds it too old to be
//! sure stands back, as another instance may be sending by now.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::mail::{DeliveryError, Transport};
use crate::store::{Delivery, StoreError};
use crate::time::{MINUTE, Millis, SECOND};
use crate::wall;

/// First pause after a failure; each further one is twice as long.
pub const FIRST_PAUSE: Millis = 5 * SECOND;
/// Longest pause.
pub const LONGEST_PAUSE: Millis = 15 * MINUTE;
/// Mails under way at a time.
pub const CONCURRENT: usize = 4;

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again then.
    RetryAt(Millis),
    /// It has failed for long enough.
    GiveUp,
}

/// Decides after the `attempt`-th failure (from 1). `jitter` in 0..=1 moves the pause by up to a fifth either way. The
/// last try falls on the deadline itself.
pub fn next_attempt(attempt: u32, created_at: Millis, now: Millis, give_up_after: Millis, jitter: f64) -> Next {
    let deadline = created_at.saturating_add(give_up_after);
    if now >= deadline {
        return Next::GiveUp;
    }
    let doublings = attempt.saturating_sub(1).min(16);
    let pause = (FIRST_PAUSE << doublings).min(LONGEST_PAUSE);
    let moved = (pause as f64 * (0.8 + 0.4 * jitter.clamp(0.0, 1.0))) as Millis;
    Next::RetryAt((now + moved).min(deadline))
}

/// What the loop needs of the store. Each method is a transaction of its own.
pub trait Outbox: Send + Sync + 'static {
    /// Claims what is due, at most `limit`, until `now + lease`.
    fn claim_deliveries(
        &self,
        owner: &str,
        now: Millis,
        lease: Millis,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, StoreError>> + Send;
    /// It is delivered; `detail` is the server's answer.
    fn record_sent(
        &self,
        notice_id: &str,
        owner: &str,
        now: Millis,
        detail: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// It failed and is due again then.
    fn record_retry(
        &self,
        notice_id: &str,
        owner: &str,
        next_attempt_at: Millis,
        error: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// It is given up.
    fn record_given_up(
        &self,
        notice_id: &str,
        owner: &str,
        now: Millis,
        error: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// When the next delivery is due, if any waits.
    fn next_delivery_due(&self) -> impl Future<Output = Result<Option<Millis>, StoreError>> + Send;
}

/// How deliveries are made.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Names this instance in its claims.
    pub owner: String,
    /// `mail.from`
    pub from: String,
    /// `mail.reply_to`
    pub reply_to: String,
    /// `mail.give_up_after`
    pub give_up_after: Millis,
    /// How long a claim holds: well over twice the transport's timeout.
    pub lease: Millis,
    /// Longest sleep between two looks at the store, as another instance may have put something in.
    pub poll: Duration,
}

/// What became of deliveries since the start. Counters only: what waits is the store's to count.
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    /// Accepted by the server.
    pub sent: AtomicU64,
    /// Attempts that failed and are tried again.
    pub retried: AtomicU64,
    /// Given up: refused for good, or failed for too long.
    pub given_up: AtomicU64,
    /// Not sent, as the claim had become too old to be sure.
    pub stood_back: AtomicU64,
    /// Results that the store did not take in time: these mails may come twice.
    pub unrecorded: AtomicU64,
    /// How long each accepted mail had waited since it was made. Taken out by who reports it; bounded.
    pub delays: Mutex<Vec<Millis>>,
}

/// Delays kept until somebody takes them, at most.
const DELAYS_MAX: usize = 10_000;

struct Worker<O, W> {
    outbox: O,
    transport: Transport,
    settings: DeliverySettings,
    wall: W,
    counts: Arc<DeliveryCounts>,
}

/// Runs until `stop`; then claims no more and finishes what is under way (each within the transport's timeout).
/// `wake` makes it look at the store at once: call `notify_one` after a notice is stored.
pub async fn run_deliveries<O, W>(
    outbox: O,
    transport: Transport,
    settings: DeliverySettings,
    wall: W,
    counts: Arc<DeliveryCounts>,
    wake: Arc<Notify>,
    stop: CancellationToken,
) where
    O: Outbox,
    W: Fn() -> Millis + Send + Sync + 'static,
{
    let worker = Arc::new(Worker { outbox, transport, settings, wall, counts });
    let mut under_way: JoinSet<()> = JoinSet::new();
    let mut failures = 0u32;
    while !stop.is_cancelled() {
        let mut pause = worker.settings.poll;
        match worker.claim(CONCURRENT.saturating_sub(under_way.len())).await {
            Ok((claimed_at, deliveries)) => {
                failures = 0;
                for delivery in deliveries {
                    under_way.spawn(Arc::clone(&worker).deliver(delivery, claimed_at));
                }
                if under_way.len() < CONCURRENT {
                    pause = pause.min(worker.until_due().await);
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                pause = store_pause(failures);
                tracing::warn!(error = %error, pause_ms = pause.as_millis() as u64, "cannot claim deliveries");
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(done) = under_way.join_next() => report(done),
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    while let Some(done) = under_way.join_next().await {
        report(done);
    }
}

fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        tracing::error!(error = %error, "a delivery ended early; its mail is tried again when the claim runs out");
    }
}

fn store_pause(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.saturating_sub(1).min(7))
}

impl<O: Outbox, W: Fn() -> Millis + Send + Sync + 'static> Worker<O, W> {
    /// The lease counts from before the question: it may have run for as long as the answer took.
    async fn claim(&self, free: usize) -> Result<(Instant, Vec<Delivery>), StoreError> {
        let asked_at = Instant::now();
        if free == 0 {
            return Ok((asked_at, Vec::new()));
        }
        let s = &self.settings;
        Ok((asked_at, self.outbox.claim_deliveries(&s.owner, (self.wall)(), s.lease, free).await?))
    }

    async fn until_due(&self) -> Duration {
        match self.outbox.next_delivery_due().await {
            // Never zero: what is due but not ours to claim must not make us spin.
            Ok(Some(due)) => Duration::from_millis((due - (self.wall)()).max(250) as u64),
            Ok(None) | Err(_) => self.settings.poll,
        }
    }

    async fn deliver(self: Arc<Self>, delivery: Delivery, claimed_at: Instant) {
        let (s, counts) = (&self.settings, &self.counts);
        let lease = Duration::from_millis(s.lease.max(0) as u64);
        if claimed_at.elapsed() + self.transport.timeout() > lease {
            counts.stood_back.fetch_add(1, Relaxed);
            tracing::warn!(notice = delivery.notice_id, "claim too old to send safely");
            return;
        }
        let answer =
            self.transport.deliver(&delivery.mail, &s.from, &s.reply_to, delivery.created_at, delivery.attempt).await;
        let now = (self.wall)();
        let outcome = match answer {
            Ok(detail) => Outcome::Sent(detail),
            Err(DeliveryError::Permanent(error)) => Outcome::GivenUp(error),
            Err(DeliveryError::Transient(error)) => {
                match next_attempt(delivery.attempt, delivery.created_at, now, s.give_up_after, wall::random_unit()) {
                    Next::RetryAt(at) => Outcome::Retry(at, error),
                    Next::GiveUp => Outcome::GivenUp(error),
                }
            }
        };
        if let Outcome::Sent(_) = outcome {
            let mut delays = counts.delays.lock().unwrap_or_else(PoisonError::into_inner);
            if delays.len() < DELAYS_MAX {
                delays.push(now - delivery.created_at);
            }
        }
        self.log(&delivery, &outcome);
        // A result that is not stored means a second mail, so it is worth trying as long as the claim is ours.
        for failures in 1.. {
            let stored = match &outcome {
                Outcome::Sent(detail) => self.outbox.record_sent(&delivery.notice_id, &s.owner, now, detail).await,
                Outcome::Retry(at, error) => self.outbox.record_retry(&delivery.notice_id, &s.owner, *at, error).await,
                Outcome::GivenUp(error) => self.outbox.record_given_up(&delivery.notice_id, &s.owner, now, error).await,
            };
            let Err(error) = stored else { return };
            let pause = store_pause(failures);
            if !matches!(error, StoreError::Unavailable(_)) || claimed_at.elapsed() + pause >= lease {
                counts.unrecorded.fetch_add(1, Relaxed);
                tracing::error!(notice = delivery.notice_id, error = %error, "cannot record a delivery; it may be repeated");
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn log(&self, delivery: &Delivery, outcome: &Outcome) {
        let (notice, attempt) = (&delivery.notice_id, delivery.attempt);
        match outcome {
            Outcome::Sent(answer) => {
                self.counts.sent.fetch_add(1, Relaxed);
                tracing::info!(notice, attempt, answer, "mail sent");
            }
            Outcome::Retry(at, error) => {
                self.counts.retried.fetch_add(1, Relaxed);
                tracing::warn!(
                    notice,
                    attempt,
                    next_attempt_at = crate::time::rfc3339(*at),
                    error,
                    "mail not sent, will try again"
                );
            }
            Outcome::GivenUp(error) => {
                self.counts.given_up.fetch_add(1, Relaxed);
                tracing::error!(notice, attempt, error, "mail given up");
            }
        }
    }
}

enum Outcome {
    Sent(String),
    Retry(Millis, String),
    GivenUp(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour() {
        let day = 24 * HOUR;
        for (attempt, jitter, want) in [
            (1, 0.5, 5 * SECOND),
            (2, 0.5, 10 * SECOND),
            (5, 0.5, 80 * SECOND),
            (8, 0.5, 640 * SECOND),
            (9, 0.5, 15 * MINUTE),
            (400, 0.5, 15 * MINUTE),
            (1, 0.0, 4 * SECOND),
            (1, 1.0, 6 * SECOND),
            (9, 1.0, 18 * MINUTE),
            (1, 7.0, 6 * SECOND),
        ] {
            assert_eq!(next_attempt(attempt, 0, 1_000, day, jitter), Next::RetryAt(1_000 + want), "attempt {attempt}");
        }
    }

    #[test]
    fn the_last_try_falls_on_the_deadline() {
        let table = [
            (HOUR - 1, Next::RetryAt(HOUR)),
            (HOUR - 20 * MINUTE, Next::RetryAt(HOUR - 5 * MINUTE)),
            (HOUR, Next::GiveUp),
            (2 * HOUR, Next::GiveUp),
        ];
        for (now, want) in table {
            assert_eq!(next_attempt(12, 0, now, HOUR, 0.5), want, "{now}");
        }
    }
}
