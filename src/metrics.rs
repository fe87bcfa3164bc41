//! The process's metrics. What each means is in [`catalogue`]; a field here is the handle to set it by.

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub mod catalogue;

use catalogue::{CATALOGUE, CHANGES, Described, RECEIVERS, Type, Values, WHY};

/// Every metric of the process. Fields have the names of the metrics, without `keywatch_` and endings.
#[derive(Debug)]
#[expect(missing_docs, reason = "the catalogue says what each is")]
pub struct Metrics {
    registry: Registry,
    pub messages_decoded: IntCounterVec,
    pub messages_read: IntCounter,
    pub messages_lost: IntCounter,
    pub events_judged: IntCounter,
    pub events_duplicate: IntCounter,
    pub events_known: IntCounter,
    pub events_late: IntCounter,
    pub events_parked: IntCounter,
    pub events_without_merchant: IntCounter,
    pub findings: IntCounterVec,
    pub findings_spared: IntCounterVec,
    pub findings_inactive: IntCounter,
    pub case_changes: IntCounterVec,
    pub cases_firing: IntGaugeVec,
    pub alerts_old: IntCounter,
    pub notices: IntCounterVec,
    pub deliveries: IntCounterVec,
    pub outbox_pending: IntGauge,
    pub delivery_delay_seconds: Histogram,
    pub lag_messages: IntGauge,
    pub lag_seconds: IntGauge,
    pub stream_time_seconds: IntGauge,
    pub newest_event_time_seconds: IntGauge,
    pub partitions_owned: IntGauge,
    pub partitions_waiting: IntGauge,
    pub partitions_taken: IntCounter,
    pub epochs_lost: IntCounter,
    pub subjects_resident: IntGauge,
    pub facts_keys: IntGauge,
    pub checkpoints: IntCounter,
    pub checkpoint_rows: IntCounter,
    pub checkpoint_duration_seconds: Histogram,
    pub checkpoint_age_seconds: IntGauge,
    pub limits_hit: IntCounterVec,
    pub store_up: IntGauge,
    pub source_up: IntGauge,
    rules_info: IntGaugeVec,
    pub rules_differ: IntGauge,
    pub rules_problems: IntGauge,
    pub rules_active: IntGauge,
    pub rules_adopted_time_seconds: IntGauge,
    pub rules_reloads: IntCounterVec,
    pub geoip_age_seconds: IntGaugeVec,
    pub geoip_reloads: IntCounterVec,
}

/// Makes and registers metrics by their names in the catalogue.
struct Maker(Registry);

type Made<T> = Result<T, prometheus::Error>;

impl Maker {
    fn described(name: &str) -> Made<&'static Described> {
        let found = CATALOGUE.iter().find(|metric| metric.name == name);
        found.ok_or_else(|| prometheus::Error::Msg(format!("`{name}` is not in the catalogue")))
    }

    fn keep<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> Made<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str) -> Made<IntCounter> {
        self.keep(IntCounter::new(name, Self::described(name)?.help)?)
    }

    fn gauge(&self, name: &str) -> Made<IntGauge> {
        self.keep(IntGauge::new(name, Self::described(name)?.help)?)
    }

    fn histogram(&self, name: &str) -> Made<Histogram> {
        let described = Self::described(name)?;
        let Type::Histogram(buckets) = described.ty else {
            return Err(prometheus::Error::Msg(format!("`{name}` is no histogram")));
        };
        self.keep(Histogram::with_opts(HistogramOpts::new(name, described.help).buckets(buckets.to_vec()))?)
    }

    /// With all values of its label at 0 where they are known: a rate of what never happened is then 0, not missing.
    fn counters(&self, name: &str) -> Made<IntCounterVec> {
        let described = Self::described(name)?;
        let labels: Vec<&str> = described.labels.iter().map(|label| label.name).collect();
        let metric = IntCounterVec::new(Opts::new(name, described.help), &labels)?;
        if let [only] = described.labels
            && let Values::Known(values) = only.values
        {
            values.iter().for_each(|value| metric.with_label_values(&[value]).inc_by(0));
        }
        self.keep(metric)
    }

    fn gauges(&self, name: &str) -> Made<IntGaugeVec> {
        let described = Self::described(name)?;
        let labels: Vec<&str> = described.labels.iter().map(|label| label.name).collect();
        let metric = IntGaugeVec::new(Opts::new(name, described.help), &labels)?;
        if let [only] = described.labels
            && let Values::Known(values) = only.values
        {
            values.iter().for_each(|value| metric.with_label_values(&[value]).set(0));
        }
        self.keep(metric)
    }
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Made<Self> {
        let make = Maker(Registry::new());
        make.gauges("keywatch_build_info")?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Metrics {
            messages_decoded: make.counters("keywatch_messages_decoded_total")?,
            messages_read: make.counter("keywatch_messages_read_total")?,
            messages_lost: make.counter("keywatch_messages_lost_total")?,
            events_judged: make.counter("keywatch_events_judged_total")?,
            events_duplicate: make.counter("keywatch_events_duplicate_total")?,
            events_known: make.counter("keywatch_events_known_total")?,
            events_late: make.counter("keywatch_events_late_total")?,
            events_parked: make.counter("keywatch_events_parked_total")?,
            events_without_merchant: make.counter("keywatch_events_without_merchant_total")?,
            findings: make.counters("keywatch_findings_total")?,
            findings_spared: make.counters("keywatch_findings_spared_total")?,
            findings_inactive: make.counter("keywatch_findings_inactive_total")?,
            case_changes: make.counters("keywatch_case_changes_total")?,
            cases_firing: make.gauges("keywatch_cases_firing")?,
            alerts_old: make.counter("keywatch_alerts_old_total")?,
            notices: make.counters("keywatch_notices_total")?,
            deliveries: make.counters("keywatch_deliveries_total")?,
            outbox_pending: make.gauge("keywatch_outbox_pending")?,
            delivery_delay_seconds: make.histogram("keywatch_delivery_delay_seconds")?,
            lag_messages: make.gauge("keywatch_lag_messages")?,
            lag_seconds: make.gauge("keywatch_lag_seconds")?,
            stream_time_seconds: make.gauge("keywatch_stream_time_seconds")?,
            newest_event_time_seconds: make.gauge("keywatch_newest_event_time_seconds")?,
            partitions_owned: make.gauge("keywatch_partitions_owned")?,
            partitions_waiting: make.gauge("keywatch_partitions_waiting")?,
            partitions_taken: make.counter("keywatch_partitions_taken_total")?,
            epochs_lost: make.counter("keywatch_epochs_lost_total")?,
            subjects_resident: make.gauge("keywatch_subjects_resident")?,
            facts_keys: make.gauge("keywatch_facts_keys")?,
            checkpoints: make.counter("keywatch_checkpoints_total")?,
            checkpoint_rows: make.counter("keywatch_checkpoint_rows_total")?,
            checkpoint_duration_seconds: make.histogram("keywatch_checkpoint_duration_seconds")?,
            checkpoint_age_seconds: make.gauge("keywatch_checkpoint_age_seconds")?,
            limits_hit: make.counters("keywatch_limits_hit_total")?,
            store_up: make.gauge("keywatch_store_up")?,
            source_up: make.gauge("keywatch_source_up")?,
            rules_info: make.gauges("keywatch_rules_info")?,
            rules_differ: make.gauge("keywatch_rules_differ")?,
            rules_problems: make.gauge("keywatch_rules_problems")?,
            rules_active: make.gauge("keywatch_rules_active")?,
            rules_adopted_time_seconds: make.gauge("keywatch_rules_adopted_time_seconds")?,
            rules_reloads: make.counters("keywatch_rules_reloads_total")?,
            geoip_age_seconds: make.gauges("keywatch_geoip_age_seconds")?,
            geoip_reloads: make.counters("keywatch_geoip_reloads_total")?,
            registry: make.0,
        })
    }

    /// Adds what the operating system says of this process: memory, processor time, start. Once, by the service.
    pub fn watch_process(&self) -> Made<()> {
        self.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
    }

    /// Names the rules versions in force and on disk; those before are forgotten, so that the label does not grow.
    pub fn rules_versions(&self, in_force: &str, on_disk: &str) {
        self.rules_info.reset();
        self.rules_info.with_label_values(&["in_force", in_force]).set(1);
        self.rules_info.with_label_values(&["on_disk", on_disk]).set(1);
        self.rules_differ.set(i64::from(in_force != on_disk));
    }

    /// Begins everything that is counted by rule at 0, for one rule: the first alert of a rule is then a rise that
    /// Prometheus sees, and not a series that begins at 1. What a detector makes worse or milder begins when it comes.
    pub fn begin_rule(&self, rule: &str, severity: &str, kind: &str, exceptions: &[&str]) {
        for exception in exceptions {
            self.findings_spared.with_label_values(&[rule, exception]).inc_by(0);
        }
        self.findings.with_label_values(&[rule, severity, kind]).inc_by(0);
        for change in CHANGES {
            self.case_changes.with_label_values(&[rule, severity, kind, change]).inc_by(0);
        }
        for (receiver, why) in RECEIVERS.iter().flat_map(|receiver| WHY.map(|why| (*receiver, why))) {
            if (receiver == "operations") == (why == "old_news") {
                self.notices.with_label_values(&[receiver, rule, severity, why]).inc_by(0);
            }
        }
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
    fn every_metric_of_the_catalogue_is_registered_as_it_says() {
        let metrics = Metrics::new().unwrap();
        metrics.begin_rule("new-ip", "high", "new_ip", &["agency"]);
        metrics.geoip_age_seconds.with_label_values(&["x"]).set(1);
        metrics.rules_versions("a", "a");
        metrics.rules_versions("b", "c");
        let text = metrics.render();
        for described in CATALOGUE {
            let (name, help) = (described.name, described.help);
            let ty = match described.ty {
                Type::Counter => "counter",
                Type::Gauge => "gauge",
                Type::Histogram(_) => "histogram",
            };
            assert!(text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {ty}\n")), "{name}");
        }
        assert!(text.contains("place=\"in_force\",version=\"b\"") && !text.contains("version=\"a\""), "{text}");
        assert!(text.contains("keywatch_rules_differ 1"));
        assert!(text.contains("keywatch_limits_hit_total{limit=\"networks\"} 0"), "all known values are there at once");
        let first =
            "keywatch_case_changes_total{change=\"opened\",reason=\"new_ip\",rule=\"new-ip\",severity=\"high\"} 0";
        assert!(text.contains(first), "the first alert of a rule is a rise");
    }
}
