//! Takes up GeoIP databases that were replaced on disk, and says how old those in use are.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::geoip::{Change, GeoIp};
use crate::metrics::Metrics;
use crate::time::{Millis, SECOND, rfc3339};
use crate::wall;

/// Looks every so often, until cancelled.
pub async fn follow(geoip: Arc<GeoIp>, every: Millis, metrics: Arc<Metrics>, cancel: CancellationToken) {
    report_ages(&geoip, &metrics);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(every.unsigned_abs())) => {}
        }
        let looking = geoip.clone();
        let changes = tokio::task::spawn_blocking(move || looking.reload_replaced()).await.unwrap_or_default();
        for change in changes {
            let word = match change {
                Change::Reloaded(new) => {
                    tracing::info!(path = %new.path.display(), kind = new.kind, built_at = rfc3339(new.built_at), "GeoIP database reloaded");
                    "reloaded"
                }
                Change::Refused(path, why) => {
                    tracing::error!(path = %path.display(), why, "the new GeoIP database cannot be used; the former one stays in use");
                    "refused"
                }
            };
            metrics.geoip_reloads.with_label_values(&[word]).inc();
        }
        report_ages(&geoip, &metrics);
    }
}

fn report_ages(geoip: &GeoIp, metrics: &Metrics) {
    for database in geoip.described() {
        let age = (wall::now() - database.built_at) / SECOND;
        metrics.geoip_age_seconds.with_label_values(&[&database.kind]).set(age);
    }
}
