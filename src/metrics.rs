//! Metrics. A field's doc comment is the help text's long form. No label can grow with traffic.

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages read from the source.
    pub messages_read: IntCounter,
    /// Messages that were no event, by reason.
    pub messages_rejected: IntCounterVec,
    /// Events judged by the engine.
    pub events_judged: IntCounter,
    /// Events seen before.
    pub events_duplicate: IntCounter,
    /// Events that a history learned from files held already.
    pub events_known: IntCounter,
    /// Events later than the lateness.
    pub events_late: IntCounter,
    /// Events held because they lay too far in the future.
    pub events_parked: IntCounter,
    /// Events without a merchant.
    pub events_without_merchant: IntCounter,
    /// Bounds that bit, by bound.
    pub limits_hit: IntCounterVec,
    /// Cases by what became of a change: opened, updated, known, void.
    pub case_changes: IntCounterVec,
    /// Alerts stored but told to nobody because they were old.
    pub alerts_old: IntCounter,
    /// Notices made.
    pub notices: IntCounter,
    /// Deliveries by result: sent, retry, given_up.
    pub deliveries: IntCounterVec,
    /// Mails waiting in the outbox.
    pub outbox_pending: IntGauge,
    /// Partitions that this instance owns.
    pub partitions_owned: IntGauge,
    /// Times a newer owner had taken a partition before this one let go.
    pub epochs_lost: IntCounter,
    /// Subjects in memory.
    pub subjects_resident: IntGauge,
    /// Stream time of the partition that is furthest behind, seconds since 1970.
    pub stream_time_seconds: IntGauge,
    /// Checkpoints finished.
    pub checkpoints: IntCounter,
    /// Subject rows written.
    pub checkpoint_rows: IntCounter,
    /// 1 while the store answers.
    pub store_up: IntGauge,
    /// 1 while the source answers.
    pub source_up: IntGauge,
    /// Messages that retention took before they were read.
    pub messages_lost: IntCounter,
    /// Reloads of the rules, by result.
    pub rules_reloads: IntCounterVec,
    /// 1 for the rules version in force.
    pub rules_info: IntGaugeVec,
    /// How old the GeoIP databases in use are, by type.
    pub geoip_age: IntGaugeVec,
    /// Replaced GeoIP databases by what became of them: reloaded, refused.
    pub geoip_reloads: IntCounterVec,
}

/// Name, label and help of each metric, for the reference.
pub const CATALOGUE: &[(&str, &str, &str)] = &[
    ("keywatch_messages_read_total", "", "Messages read from the source."),
    ("keywatch_messages_rejected_total", "reason", "Messages that were no event."),
    ("keywatch_events_judged_total", "", "Events judged by the engine."),
    ("keywatch_events_duplicate_total", "", "Events seen before."),
    ("keywatch_events_known_total", "", "Events that the history learned by `replay --save-state` held already."),
    ("keywatch_events_late_total", "", "Events later than limits.lateness."),
    ("keywatch_events_parked_total", "", "Events held because they lay too far in the future."),
    ("keywatch_events_without_merchant_total", "", "Events without a known merchant, counted by source network only."),
    ("keywatch_limits_hit_total", "limit", "Times a bound bit."),
    ("keywatch_case_changes_total", "result", "Changes of cases by what became of them."),
    ("keywatch_alerts_old_total", "", "Alerts stored but told to nobody because they were old."),
    ("keywatch_notices_total", "", "Notices made."),
    ("keywatch_deliveries_total", "result", "Attempts to deliver a notice."),
    ("keywatch_outbox_pending", "", "Notices waiting for delivery."),
    ("keywatch_partitions_owned", "", "Partitions that this instance owns."),
    ("keywatch_epochs_lost_total", "", "Times a newer owner had taken a partition before this instance let go."),
    ("keywatch_subjects_resident", "", "Subjects (merchants with their keys) in memory."),
    ("keywatch_stream_time_seconds", "", "Stream time of the partition furthest behind, seconds since 1970."),
    ("keywatch_checkpoints_total", "", "Checkpoints finished."),
    ("keywatch_checkpoint_rows_total", "", "Subject rows written."),
    ("keywatch_store_up", "", "1 while the store answers."),
    ("keywatch_source_up", "", "1 while the source answers."),
    ("keywatch_messages_lost_total", "", "Messages that retention took before they were read."),
    ("keywatch_rules_reloads_total", "result", "Reloads of the rule files."),
    ("keywatch_rules_info", "version", "1 for the rules version in force."),
    ("keywatch_geoip_age_seconds", "database", "Time since the GeoIP database in use was built."),
    ("keywatch_geoip_reloads_total", "result", "GeoIP databases that were replaced on disk."),
];

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let help = |name: &str| CATALOGUE.iter().find(|(n, _, _)| *n == name).map_or("", |(_, _, help)| *help);
        let counter = |name: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(name, help(name))?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counters = |name: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
            let metric = IntCounterVec::new(Opts::new(name, help(name)), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(name, help(name))?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let rules_info = IntGaugeVec::new(Opts::new("keywatch_rules_info", help("keywatch_rules_info")), &["version"])?;
        registry.register(Box::new(rules_info.clone()))?;
        let geoip_age = IntGaugeVec::new(
            Opts::new("keywatch_geoip_age_seconds", help("keywatch_geoip_age_seconds")),
            &["database"],
        )?;
        registry.register(Box::new(geoip_age.clone()))?;
        Ok(Metrics {
            messages_read: counter("keywatch_messages_read_total")?,
            messages_rejected: counters("keywatch_messages_rejected_total", "reason")?,
            events_judged: counter("keywatch_events_judged_total")?,
            events_duplicate: counter("keywatch_events_duplicate_total")?,
            events_known: counter("keywatch_events_known_total")?,
            events_late: counter("keywatch_events_late_total")?,
            events_parked: counter("keywatch_events_parked_total")?,
            events_without_merchant: counter("keywatch_events_without_merchant_total")?,
            limits_hit: counters("keywatch_limits_hit_total", "limit")?,
            case_changes: counters("keywatch_case_changes_total", "result")?,
            alerts_old: counter("keywatch_alerts_old_total")?,
            notices: counter("keywatch_notices_total")?,
            deliveries: counters("keywatch_deliveries_total", "result")?,
            outbox_pending: gauge("keywatch_outbox_pending")?,
            partitions_owned: gauge("keywatch_partitions_owned")?,
            epochs_lost: counter("keywatch_epochs_lost_total")?,
            subjects_resident: gauge("keywatch_subjects_resident")?,
            stream_time_seconds: gauge("keywatch_stream_time_seconds")?,
            checkpoints: counter("keywatch_checkpoints_total")?,
            checkpoint_rows: counter("keywatch_checkpoint_rows_total")?,
            store_up: gauge("keywatch_store_up")?,
            source_up: gauge("keywatch_source_up")?,
            messages_lost: counter("keywatch_messages_lost_total")?,
            rules_reloads: counters("keywatch_rules_reloads_total", "result")?,
            rules_info,
            geoip_age,
            geoip_reloads: counters("keywatch_geoip_reloads_total", "result")?,
            registry,
        })
    }

    /// Names the rules version in force; the one before is forgotten, so that the label does not grow.
    pub fn rules_in_force(&self, version: &str) {
        self.rules_info.reset();
        self.rules_info.with_label_values(&[version]).set(1);
    }

    /// The exposition text.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory cannot fail; a metric family that could not be encoded is left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_catalogue_is_registered_under_its_name() {
        let metrics = Metrics::new().unwrap();
        for counter in [
            &metrics.messages_rejected,
            &metrics.limits_hit,
            &metrics.case_changes,
            &metrics.deliveries,
            &metrics.rules_reloads,
            &metrics.geoip_reloads,
        ] {
            counter.with_label_values(&["x"]).inc();
        }
        metrics.geoip_age.with_label_values(&["x"]).set(1);
        metrics.rules_in_force("a");
        metrics.rules_in_force("b");
        let text = metrics.render();
        for (name, _, help) in CATALOGUE {
            assert!(text.contains(&format!("# HELP {name} {help}")), "{name}");
        }
        assert!(text.contains("version=\"b\"") && !text.contains("version=\"a\""));
    }
}
