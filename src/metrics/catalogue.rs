//! Every metric: name, type, labels, meaning. Registration, the reference page and the dashboard's lint read it.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// Only rises.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// A label. None names a key, a merchant, an address, a path or a user agent: none grows with traffic.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// All its values, where the program knows them; else what they are.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These; a metric with one such label begins with all of them at 0.
    Known(&'static [&'static str]),
    /// What bounds them.
    Bounded(&'static str),
}

/// A metric of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Full name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it says; Prometheus' help text.
    pub help: &'static str,
    /// What is normal, and what to do if not. May be empty.
    pub normal: &'static str,
}

const fn counter(name: &'static str, help: &'static str, normal: &'static str) -> Described {
    Described { name, ty: Type::Counter, labels: &[], help, normal }
}

const fn gauge(name: &'static str, help: &'static str, normal: &'static str) -> Described {
    Described { name, ty: Type::Gauge, labels: &[], help, normal }
}

const fn by(labels: &'static [Label], described: Described) -> Described {
    Described { labels, ..described }
}

const fn known(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Known(values) }
}

const fn bounded(name: &'static str, by: &'static str) -> Label {
    Label { name, values: Values::Bounded(by) }
}

/// What becomes of a message.
pub const OUTCOMES: [&str; 8] =
    ["event", "fact", "tombstone", "not_json", "no_time", "wrong_type", "too_large", "incomplete"];
/// Bounds that can bite.
pub const LIMITS: [&str; 11] = [
    "parked_events",
    "cases_per_key",
    "keys_per_merchant",
    "networks",
    "source_subjects",
    "tallies",
    "resident_subjects",
    "fact_keys",
    "mails_per_hour",
    "dead_letters",
    "signals",
];
/// What becomes of a change to a case.
pub const CHANGES: [&str; 5] = ["opened", "updated", "ended", "known", "void"];
/// Why a notice is made.
pub const WHY: [&str; 6] = ["first", "new_alerts", "worse", "resolved", "all_resolved", "old_news"];
const SEVERITIES: [&str; 4] = ["info", "warning", "high", "critical"];
/// Who is told.
pub const RECEIVERS: [&str; 3] = ["merchant", "support", "operations"];

const RULE: Label = bounded("rule", "the rule files");
const SEVERITY: Label = known("severity", &SEVERITIES);
const REASON: Label = bounded("reason", "the kinds of alerts");
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const WAITS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// Every metric, in the order of the reference page.
pub const CATALOGUE: &[Described] = &[
    by(
        &[known("outcome", &OUTCOMES)],
        counter(
            "keywatch_messages_decoded_total",
            "Messages by what they were: an event, a fact, a tombstone, or why they were none.",
            "Nearly all `event`. Others: a producer changed. `keywatch doctor` samples the topic and says what is wrong.",
        ),
    ),
    counter("keywatch_messages_read_total", "Messages read from the topics of events.", ""),
    counter(
        "keywatch_messages_lost_total",
        "Messages that retention took before they were read.",
        "0. Lengthen the topic's retention: what they said is gone.",
    ),
    counter("keywatch_events_judged_total", "Events judged by the engine.", "Follows the traffic."),
    counter(
        "keywatch_events_duplicate_total",
        "Events whose ID was seen before.",
        "A few; many after a producer's restart.",
    ),
    counter(
        "keywatch_events_known_total",
        "Events that the history learned by `replay --save-state` held already.",
        "",
    ),
    counter(
        "keywatch_events_late_total",
        "Events later than limits.lateness; windows leave them out.",
        "Few. Else raise `limits.lateness`, or look for a producer that holds events back.",
    ),
    counter(
        "keywatch_events_parked_total",
        "Events held because their time lay too far ahead, until another confirmed it.",
        "0. A producer's clock is wrong.",
    ),
    counter(
        "keywatch_events_without_merchant_total",
        "Events without a known merchant, counted by source network only.",
        "Where facts are missing. `keywatch import` or the topic of key events brings them.",
    ),
    by(
        &[RULE, SEVERITY, REASON],
        counter("keywatch_findings_total", "Findings of the engine, by rule, severity and strongest reason.", ""),
    ),
    by(
        &[RULE, SEVERITY, REASON, known("change", &CHANGES)],
        counter(
            "keywatch_case_changes_total",
            "Changes of cases: opened, updated, ended; known = found again after a restart, void = of a removed rule or elsewhere.",
            "",
        ),
    ),
    by(
        &[RULE, bounded("exception", "the rule files")],
        counter(
            "keywatch_findings_spared_total",
            "Signs and counted events that an exception of a rule spared.",
            "What its author meant. An exception that never spares anything can go.",
        ),
    ),
    counter(
        "keywatch_findings_inactive_total",
        "Signs that opened no alert, as they came outside the active hours of their rule.",
        "",
    ),
    by(
        &[SEVERITY],
        gauge(
            "keywatch_cases_firing",
            "Cases that go on, in the whole store. Every instance says the same: take the maximum.",
            "",
        ),
    ),
    counter(
        "keywatch_alerts_old_total",
        "Alerts stored but told to nobody, as they were older than alerts.max_age.",
        "",
    ),
    by(
        &[known("receiver", &RECEIVERS), RULE, SEVERITY, known("reason", &WHY)],
        counter(
            "keywatch_notices_total",
            "Notices made, by receiver, by rule and severity of the most important alert, and by why.",
            "",
        ),
    ),
    by(
        &[known("result", &["sent", "retry", "given_up", "stood_back", "unrecorded"])],
        counter(
            "keywatch_deliveries_total",
            "Attempts to deliver a notice. unrecorded = sent, but the store did not take it: it may come twice.",
            "`sent`. `given_up` means that somebody was not told: docs/operations.md#undelivered-mail.",
        ),
    ),
    gauge("keywatch_outbox_pending", "Notices waiting for delivery.", "Near 0; docs/operations.md#undelivered-mail."),
    Described {
        name: "keywatch_delivery_delay_seconds",
        ty: Type::Histogram(WAITS),
        labels: &[],
        help: "From a notice's making to its acceptance by the mail server.",
        normal: "Under 5 s.",
    },
    gauge(
        "keywatch_lag_messages",
        "Messages in this instance's partitions that are not judged yet.",
        "Near 0; docs/operations.md#lag.",
    ),
    gauge(
        "keywatch_lag_seconds",
        "How far the partition furthest behind is behind, in event time; 0 where all are read to their end.",
        "Under 10 s; docs/operations.md#lag.",
    ),
    gauge("keywatch_stream_time_seconds", "Stream time of the partition furthest behind, seconds since 1970.", ""),
    gauge(
        "keywatch_newest_event_time_seconds",
        "Largest event time read, seconds since 1970.",
        "Close to now while there is traffic.",
    ),
    gauge("keywatch_partitions_owned", "Partitions that this instance owns.", "Their sum is the topic's."),
    gauge(
        "keywatch_partitions_waiting",
        "Partitions that are a day ahead of another and wait for it: they need what the fleet was like.",
        "0; above only while a backlog is read. docs/operations.md#waiting.",
    ),
    counter("keywatch_partitions_taken_total", "Partitions taken over: starts and rebalances.", "Rare."),
    counter(
        "keywatch_epochs_lost_total",
        "Times a newer owner had taken a partition before this instance let go.",
        "Rare; docs/operations.md#epochs-lost.",
    ),
    gauge(
        "keywatch_subjects_resident",
        "Subjects (merchants with their keys) in memory.",
        "At most limits.resident_subjects.",
    ),
    gauge("keywatch_facts_keys", "Keys whose facts are known.", "All of the gateway's, at most limits.fact_keys."),
    counter("keywatch_checkpoints_total", "Checkpoints finished.", ""),
    counter("keywatch_checkpoint_rows_total", "Rows of subjects written by checkpoints.", ""),
    Described {
        name: "keywatch_checkpoint_duration_seconds",
        ty: Type::Histogram(SECONDS),
        labels: &[],
        help: "From a checkpoint's beginning to its end. Events are judged between its slices.",
        normal: "Under 2 s; docs/operations.md#checkpoints.",
    },
    gauge(
        "keywatch_checkpoint_age_seconds",
        "Since the partition whose last checkpoint is oldest was stored.",
        "About limits.checkpoint_every; docs/operations.md#checkpoints.",
    ),
    by(
        &[known("limit", &LIMITS)],
        counter(
            "keywatch_limits_hit_total",
            "Times a bound bit: something was dropped, forgotten or put off.",
            "0; docs/operations.md#bounds.",
        ),
    ),
    gauge("keywatch_store_up", "1 while the store answers.", "1; docs/operations.md#store-away."),
    gauge("keywatch_source_up", "1 while the source of events answers.", "1; docs/operations.md#source-away."),
    by(
        &[known("place", &["in_force", "on_disk"]), bounded("version", "one for each place")],
        gauge(
            "keywatch_rules_info",
            "1 for the rules version in force and the one on disk (`invalid` where the files are wrong).",
            "",
        ),
    ),
    gauge(
        "keywatch_rules_differ",
        "1 while the rule files on disk are not the rules in force.",
        "0; docs/operations.md#rules-on-disk-differ.",
    ),
    gauge(
        "keywatch_rules_problems",
        "Problems of the rule files on disk. While there are any, the rules in force stay.",
        "0; docs/operations.md#rules-on-disk-differ.",
    ),
    gauge("keywatch_rules_active", "Rules in force that are not off.", ""),
    gauge(
        "keywatch_rules_adopted_time_seconds",
        "When this instance took up the rules in force, seconds since 1970.",
        "",
    ),
    by(
        &[known("result", &["adopted", "invalid", "store_away"])],
        counter(
            "keywatch_rules_reloads_total",
            "Changed rule files, and those that SIGHUP asked for, by what became of them.",
            "",
        ),
    ),
    by(
        &[bounded("database", "geoip.databases")],
        gauge("keywatch_geoip_age_seconds", "Time since the GeoIP database in use was built.", "Under a month."),
    ),
    by(
        &[known("result", &["reloaded", "refused"])],
        counter(
            "keywatch_geoip_reloads_total",
            "GeoIP databases that were replaced on disk.",
            "`refused`: the file is damaged; the former stays in use.",
        ),
    ),
    by(
        &[bounded("version", "one")],
        gauge("keywatch_build_info", "1 for the running version.", "The same everywhere."),
    ),
];

/// Names that the process's own collector adds.
pub const PROCESS: [(&str, &str); 3] = [
    ("process_start_time_seconds", "When the process started, seconds since 1970."),
    ("process_resident_memory_bytes", "Memory of the process."),
    ("process_cpu_seconds_total", "Processor time that the process has used."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Receiver, Severity};
    use crate::event::RejectReason;

    #[test]
    fn words_are_those_of_the_records() {
        for reason in RejectReason::ALL {
            assert!(OUTCOMES.contains(&reason.as_str()), "{}", reason.as_str());
        }
        assert_eq!(OUTCOMES.len(), 3 + RejectReason::ALL.len());
        assert_eq!(RECEIVERS, Receiver::ALL.map(Receiver::as_str));
        assert_eq!(SEVERITIES, Severity::ALL.map(Severity::as_str));
    }

    /// The rules of `promtool check metrics`, so that they hold where promtool is not installed.
    #[test]
    fn names_are_as_prometheus_wants_them() {
        for metric in CATALOGUE {
            let Described { name, ty, labels, help, .. } = metric;
            let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit());
            assert!(is_plain(name) && name.starts_with("keywatch_"), "{name}");
            assert_eq!(name.ends_with("_total"), *ty == Type::Counter, "{name}");
            for word in ["_milli", "_ms", "minutes", "hours", "_count", "_sum", "_bucket", "gauge", "counter"] {
                assert!(!name.contains(word), "{name}: {word}");
            }
            assert!(help.ends_with('.') && help.len() < 160, "{name}");
            for label in *labels {
                assert!(is_plain(label.name) && !["le", "quantile", "job", "instance"].contains(&label.name), "{name}");
            }
        }
        let mut names: Vec<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CATALOGUE.len());
    }
}
