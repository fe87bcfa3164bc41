//! Facts: read to their end before any event is judged, then kept up to date.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event::auth::Decoder;
use crate::event::facts::{FactBook, KeyFacts, MerchantFacts};
use crate::geoip::GeoIp;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::pipeline::takeover::foster_partition;
use crate::pipeline::{Control, Pipeline, Role, SharedFacts, patiently, read_facts};
use crate::source::{Batch, FactsEvent};
use crate::store::{DeadLetter, FactsCursor, Store, StoreError};
use crate::wall;

/// Records of each sort that are taken up in one go.
const PAGE: i64 = 1_000;

/// The task that keeps the facts.
#[derive(Clone)]
pub struct FactsTask {
    /// The store.
    pub store: Store,
    /// Decodes facts.
    pub decoder: Arc<Decoder>,
    /// Where they go.
    pub facts: SharedFacts,
    /// Where their addresses are looked up.
    pub geoip: Arc<GeoIp>,
    /// Rejected messages kept.
    pub dead_letters: usize,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<Health>,
    /// The process is stopping.
    pub stopping: CancellationToken,
}

impl FactsTask {
    /// Takes up what earlier runs knew. Returns from where to go on with [`FactsTask::follow`].
    pub async fn restore(&self) -> Result<FactsCursor, StoreError> {
        let cursor = self.store.facts_cursor().await?;
        let (keys, merchants) = self.store.load_facts().await?;
        let mut book = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        restore_book(&mut book, keys, merchants);
        Ok(cursor)
    }

    /// Takes up what others store, `keywatch import` and other instances, until cancelled.
    pub async fn follow(
        self,
        mut cursor: FactsCursor,
        every: Duration,
        tell: mpsc::Sender<Control>,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(every) => {}
            }
            while let Some(merchants) = self.take_up(&mut cursor).await? {
                if merchants.is_empty() {
                    continue;
                }
                tracing::info!(merchants = merchants.len(), "took up facts that were stored elsewhere");
                let told = tell.send(Control::FactsChanged(merchants)).await;
                anyhow::ensure!(told.is_ok() || self.stopping.is_cancelled(), "the pipeline is gone");
            }
        }
    }

    /// Takes up one page of what others stored. Returns the merchants that it changed something about; `None` = there
    /// is no more, or the store is away.
    pub async fn take_up(&self, cursor: &mut FactsCursor) -> Result<Option<Vec<String>>, StoreError> {
        let (keys, merchants) = match self.store.facts_after(cursor, PAGE).await {
            Ok(stored) => stored,
            // Whoever has something to write says that the store is away.
            Err(StoreError::Unavailable(_)) => return Ok(None),
            Err(other) => return Err(other),
        };
        if keys.is_empty() && merchants.is_empty() {
            return Ok(None);
        }
        let mut book = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        let refused_before = book.refused();
        let mut changed = BTreeSet::new();
        for (id, facts) in keys {
            let merchant = facts.merchant_id.clone();
            if book.restore_key(&id, facts) {
                changed.extend(merchant);
            }
        }
        for (id, facts) in merchants {
            if book.restore_merchant(&id, facts) {
                changed.insert(id);
            }
        }
        self.metrics.limits_hit.with_label_values(&["fact_keys"]).inc_by(book.refused() - refused_before);
        Ok(Some(changed.into_iter().collect()))
    }

    /// Reads facts until cancelled. `ready` is called once, when they have been read to their end.
    pub async fn run(
        self,
        mut source: mpsc::Receiver<FactsEvent>,
        tell: mpsc::Sender<Control>,
        ready: tokio::sync::oneshot::Sender<()>,
    ) -> anyhow::Result<()> {
        let mut ready = Some(ready);
        loop {
            let event = tokio::select! {
                () = self.stopping.cancelled() => return Ok(()),
                event = source.recv() => event,
            };
            match event {
                None if self.stopping.is_cancelled() => return Ok(()),
                None => anyhow::bail!("the source of facts stopped without a word"),
                Some(FactsEvent::Batch(batch)) => {
                    let merchants = self.learn(&batch).await?;
                    if ready.is_none() && !merchants.is_empty() {
                        let told = tell.send(Control::FactsChanged(merchants)).await;
                        anyhow::ensure!(told.is_ok() || self.stopping.is_cancelled(), "the pipeline is gone");
                    }
                }
                Some(FactsEvent::ReachedEnd) => {
                    self.health.facts_read();
                    if let Some(ready) = ready.take() {
                        let book = read_facts(&self.facts);
                        tracing::info!(keys = book.keys().count(), "facts are read");
                        let _ = ready.send(());
                    }
                }
                Some(FactsEvent::Trouble(what)) => {
                    tracing::warn!("{what}");
                    self.health.facts_trouble(Some(what));
                }
                Some(FactsEvent::Recovered) => {
                    tracing::info!("the source of facts answers again");
                    self.health.facts_trouble(None);
                }
                Some(FactsEvent::Failed(what)) => anyhow::bail!(what),
            }
        }
    }

    /// Learns a batch and stores what changed. Returns the merchants that it is about.
    async fn learn(&self, batch: &Batch) -> anyhow::Result<Vec<String>> {
        let (mut keys, mut merchants) = (BTreeSet::new(), BTreeSet::new());
        let mut letters = Vec::new();
        let (key_rows, merchant_rows) = {
            let mut book = self.facts.write().unwrap_or_else(PoisonError::into_inner);
            let refused_before = book.refused();
            for message in &batch.messages {
                match self.decoder.decode_fact(batch.payload(message), batch.key(message)) {
                    Ok(Some(mut fact)) => {
                        self.geoip.fill_in(&mut fact);
                        self.metrics.messages_decoded.with_label_values(&["fact"]).inc();
                        let changed = book.learn(&fact);
                        keys.extend(changed.keys);
                        merchants.extend(changed.merchant);
                    }
                    Ok(None) => self.metrics.messages_decoded.with_label_values(&["tombstone"]).inc(),
                    Err(rejected) => {
                        letters.push(DeadLetter {
                            place: format!("{}/{}@{}", batch.topic, batch.partition, message.offset),
                            reason: rejected.reason.as_str(),
                            detail: rejected.detail.clone(),
                            redacted: rejected.redacted,
                        });
                        self.metrics.messages_decoded.with_label_values(&[rejected.reason.as_str()]).inc();
                        tracing::warn!(topic = %batch.topic, partition = batch.partition, offset = message.offset,
                            reason = rejected.reason.as_str(), detail = rejected.detail, "a key event cannot be read");
                    }
                }
            }
            self.metrics.limits_hit.with_label_values(&["fact_keys"]).inc_by(book.refused() - refused_before);
            let key_rows: Vec<(String, KeyFacts)> =
                keys.iter().filter_map(|k| Some((k.clone(), book.key(k)?.clone()))).collect();
            let merchant_rows: Vec<(String, MerchantFacts)> =
                merchants.iter().filter_map(|m| Some((m.clone(), book.merchant(m)?.clone()))).collect();
            (key_rows, merchant_rows)
        };
        if !letters.is_empty()
            && let Err(error) = self.store.save_dead_letters(&letters, self.dead_letters, wall::now()).await
        {
            tracing::warn!(%error, letters = letters.len(), "cannot keep rejected key events");
        }
        if key_rows.is_empty() && merchant_rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut wait = Duration::from_millis(100);
        while let Err(error) = self.store.save_facts(&key_rows, &merchant_rows, wall::now()).await {
            match error {
                StoreError::Unavailable(_) if self.stopping.is_cancelled() => return Ok(Vec::new()),
                StoreError::Unavailable(_) => tokio::time::sleep(wait).await,
                other => return Err(other.into()),
            }
            wait = (wait * 2).min(super::patience::LONGEST_WAIT);
        }
        merchants.extend(key_rows.into_iter().filter_map(|(_, facts)| facts.merchant_id));
        Ok(merchants.into_iter().collect())
    }
}

/// Puts stored facts in a book.
pub fn restore_book(book: &mut FactBook, keys: Vec<(String, KeyFacts)>, merchants: Vec<(String, MerchantFacts)>) {
    for (id, facts) in keys {
        book.restore_key(&id, facts);
    }
    for (id, facts) in merchants {
        book.restore_merchant(&id, facts);
    }
}

impl Pipeline {
    /// Looks again at merchants whose facts changed: where they are in memory, where they are stored, or nowhere yet.
    pub(super) async fn on_facts(&mut self, merchants: &[String]) -> anyhow::Result<()> {
        if self.parts.role == Role::Refused {
            return Ok(());
        }
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        for name in names {
            self.facts_changed_in(&name, merchants).await?;
        }
        Ok(())
    }

    /// The same for one partition.
    pub(super) async fn facts_changed_in(
        &mut self,
        name: &(Arc<str>, i32),
        merchants: &[String],
    ) -> anyhow::Result<()> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let absent: Vec<String> = self
            .parts
            .with_world(|world| merchants.iter().filter(|m| !p.shard.facts_changed(m, world)).cloned().collect());
        if absent.is_empty() {
            return Ok(());
        }
        let id = p.id.clone();
        let rows = patiently(&self.parts, "load subjects", async |s| s.own_subjects(&id, &absent).await).await?;
        super::judge::insert_rows(&self.parts, p, rows)?;
        if !p.fostering {
            return Ok(());
        }
        let of = p.of;
        let homeless =
            absent.into_iter().filter(|m| foster_partition(m, of) == name.1 && !p.shard.contains(m)).collect();
        self.foster_these(name, homeless).await
    }
}
