//! The topics' settings and their newest messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kafka::Readable;
use super::{Check, Finding, Plan, age, blocking, bounded, facts, sample};
use crate::app::decoder_for;
use crate::config::KafkaConfig;
use crate::source::kafka::inspect::{Ends, Inspector, Part, topic_settings};
use crate::time::{DAY, Millis};

/// The checks here, for when none can be made.
pub(super) const ALL: [(Check, &str); 4] = [
    (Check::Retention, "retention"),
    (Check::Compaction, "compaction"),
    (Check::Messages, "messages"),
    (Check::Facts, "facts"),
];

/// Shorter, and a long weekend of downtime loses messages.
const RETENTION_MIN: Millis = 3 * DAY;
/// Partitions whose oldest message is looked up.
const OLDEST_OF: usize = 64;

type Settings = Result<Option<BTreeMap<String, String>>, String>;

/// Looks at settings and samples; returns Kafka's time of the newest message that was read.
pub(super) async fn examine(
    plan: Plan<'_>,
    inspector: &Arc<Inspector>,
    readable: &[Readable],
    say: &mut dyn FnMut(Finding),
) -> Option<Millis> {
    let kafka = &plan.config.source.kafka;
    let find = |name: &str| readable.iter().find(|topic| topic.name == name);
    let (events, key_events) = (find(&kafka.auth_events), kafka.key_events.as_deref().and_then(find));
    // Both at once: a broker that does not know the question lets us wait.
    let (set, set_of_facts) = tokio::join!(settings(kafka, events), settings(kafka, key_events));
    match events {
        None => say(unreadable(Check::Retention, "retention")),
        Some(topic) => {
            let (inspector, name, ends) = (inspector.clone(), topic.name.clone(), topic.ends.clone());
            let oldest = blocking(move || oldest(&inspector, &name, &ends)).await.flatten();
            say(retention(&topic.name, &set, oldest.map(|at| plan.now - at), was_cut(&topic.ends)));
        }
    }
    match (&kafka.key_events, key_events) {
        (None, _) => say(Finding::ok(Check::Compaction, "compaction", "no topic of facts is configured")),
        (Some(_), None) => say(unreadable(Check::Compaction, "compaction")),
        (Some(name), Some(_)) => say(compaction(kafka, name, &set_of_facts)),
    }
    let newest = sampled(plan, inspector, events, say).await;
    match (&kafka.key_events, key_events) {
        (None, _) => {}
        (Some(_), None) => say(unreadable(Check::Facts, "facts")),
        (Some(_), Some(topic)) => sampled_facts(plan, inspector, topic, say).await,
    }
    newest
}

fn unreadable(check: Check, at: &str) -> Finding {
    Finding::skipped(check, at, "the topic cannot be read", "mend `topic` first")
}

async fn settings(kafka: &KafkaConfig, topic: Option<&Readable>) -> Settings {
    let Some(topic) = topic else { return Ok(None) };
    let names = BTreeSet::from(["cleanup.policy", "retention.ms", "retention.bytes"]);
    bounded(topic_settings(kafka, &topic.name, &names)).await.unwrap_or_else(|| Err("no answer in time".to_owned()))
}

/// When the oldest message that is left was written, in the partition that reaches back least.
fn oldest(inspector: &Inspector, topic: &str, ends: &[Ends]) -> Option<Millis> {
    let mut times = Vec::new();
    let some = &ends[..ends.len().min(OLDEST_OF)];
    // Where that cannot be read, the samples say why.
    let _ = inspector.read(topic, some, Part::Oldest, &mut |message| times.extend(message.at));
    times.into_iter().max()
}

/// Retention has taken messages already.
fn was_cut(ends: &[Ends]) -> bool {
    ends.iter().any(|ends| 0 < ends.low)
}

fn retention(topic: &str, settings: &Settings, reaches_back: Option<Millis>, was_cut: bool) -> Finding {
    let (check, at) = (Check::Retention, format!("retention of {topic}"));
    let set = settings.as_ref().ok().and_then(Option::as_ref);
    let setting = |name: &str| set.and_then(|set| set.get(name));
    let back = reaches_back.map(|back| format!("the oldest message is {} old", age(back)));
    if setting("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        let hint = format!(
            "`kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=delete`"
        );
        return Finding::warn(check, at, "it is compacted: of each merchant only the last events stay", hint);
    }
    let longer = format!(
        "a week is good: `kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
         retention.ms=604800000`"
    );
    let kept = setting("retention.ms").and_then(|text| text.parse::<Millis>().ok());
    let has_room = setting("retention.bytes").is_some_and(|bytes| bytes == "-1");
    let said = |kept: String| back.iter().fold(kept, |text, back| format!("{text}; {back}"));
    match kept {
        Some(kept) if (0..RETENTION_MIN).contains(&kept) => {
            Finding::warn(check, at, said(format!("messages are kept for {}", age(kept))), longer)
        }
        Some(kept) if has_room => {
            let kept =
                if kept < 0 { "messages are kept".to_owned() } else { format!("messages are kept for {}", age(kept)) };
            Finding::ok(check, at, said(kept))
        }
        _ => match (reaches_back, was_cut) {
            (Some(back), true) if back < RETENTION_MIN => {
                let found = format!("the oldest message left is {} old, and older ones are gone", age(back));
                Finding::warn(check, at, found, longer)
            }
            (Some(back), true) => Finding::ok(check, at, format!("the oldest message left is {} old", age(back))),
            (Some(back), false) => {
                Finding::ok(check, at, format!("nothing was deleted yet; the oldest message is {} old", age(back)))
            }
            (None, _) => Finding::skipped(
                check,
                at,
                "no message, and the settings are not told",
                "allow DescribeConfigs on the topic, or look with `kafka-configs.sh --describe`",
            ),
        },
    }
}

fn compaction(kafka: &KafkaConfig, topic: &str, settings: &Settings) -> Finding {
    let (check, at) = (Check::Compaction, format!("compaction of {topic}"));
    let look =
        format!("`kafka-configs.sh --describe --entity-type topics --entity-name {topic} --all` shows cleanup.policy");
    match settings {
        Err(why) => Finding::skipped(check, at, format!("the broker does not tell: {why}"), look),
        Ok(None) => {
            Finding::skipped(check, at, "we may not ask", format!("allow DescribeConfigs on the topic, or: {look}"))
        }
        Ok(Some(set)) => match set.get("cleanup.policy").map(String::as_str) {
            Some("compact") => Finding::ok(check, at, "on"),
            Some(policy) => Finding::warn(
                check,
                at,
                format!(
                    "cleanup.policy is `{policy}`: facts go with their age, and an instance that starts later misses them"
                ),
                format!(
                    "`kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {topic} --add-config \
                     cleanup.policy=compact`",
                    kafka.brokers
                ),
            ),
            None => Finding::skipped(check, at, "the broker does not tell", look),
        },
    }
}

async fn sampled(
    plan: Plan<'_>,
    inspector: &Arc<Inspector>,
    topic: Option<&Readable>,
    say: &mut dyn FnMut(Finding),
) -> Option<Millis> {
    let Some(topic) = topic else {
        say(unreadable(Check::Messages, "messages"));
        return None;
    };
    let config = plan.config;
    let decoder = decoder_for(&config.source, &config.brand);
    let (inspector, name, ends) = (inspector.clone(), topic.name.clone(), topic.ends.clone());
    let part = part(plan.sample, ends.len());
    let read = blocking(move || {
        let mut taken = sample::Taken::default();
        let read = inspector.read(&name, &ends, part, &mut |message| {
            taken.take(&decoder, message.partition, message.offset, message.at, message.key, message.payload);
        });
        (taken, read)
    });
    let Some((taken, read)) = read.await else {
        say(super::slow(Check::Messages, "messages"));
        return None;
    };
    let at = format!("messages of {}", topic.name);
    match read {
        Err(text) => say(Finding::fail_with(Check::Messages, at, &text, "allow Read on it in Kafka")),
        Ok(false) if taken.records.is_empty() => {
            say(Finding::fail(Check::Messages, at, "none came in time", "look at the brokers' load and log"));
        }
        Ok(_) => {
            let context = sample::Context {
                topic: &topic.name,
                now: plan.now,
                lateness: config.limits.lateness,
                has_proxies: !config.source.trusted_proxies.is_empty(),
                has_fingerprint_secret: config.source.fingerprint_secret.is_some(),
            };
            let facts = sample::measure(&taken.records, &context);
            sample::judge(&facts, &context).into_iter().for_each(say);
        }
    }
    taken.newest_at
}

async fn sampled_facts(plan: Plan<'_>, inspector: &Arc<Inspector>, topic: &Readable, say: &mut dyn FnMut(Finding)) {
    let decoder = decoder_for(&plan.config.source, &plan.config.brand);
    let (inspector, name, ends) = (inspector.clone(), topic.name.clone(), topic.ends.clone());
    let part = part(plan.sample, ends.len());
    let read = blocking(move || {
        let mut records = Vec::new();
        let read = inspector.read(&name, &ends, part, &mut |message| {
            records.extend(facts::record(&decoder, message.partition, message.offset, message.key, message.payload));
        });
        (records, read)
    });
    let at = format!("facts of {}", topic.name);
    say(match read.await {
        None => super::slow(Check::Facts, "facts"),
        Some((_, Err(text))) => Finding::fail_with(Check::Facts, at, &text, "allow Read on it in Kafka"),
        Some((records, Ok(_))) => facts::judge(&topic.name, &records),
    });
}

/// So many of each partition that all together stay within the bound.
fn part(sample: u32, n_partitions: usize) -> Part {
    let each = sample::RECORDS_MAX / n_partitions.max(1);
    Part::Newest(i64::from(sample).min(each as i64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use crate::time::HOUR;

    fn set(pairs: &[(&str, &str)]) -> Settings {
        Ok(Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()))
    }

    #[test]
    fn retention_is_judged_by_its_setting_and_else_by_what_is_left() {
        let week = set(&[("retention.ms", "604800000"), ("retention.bytes", "-1"), ("cleanup.policy", "delete")]);
        let by_size = set(&[("retention.ms", "604800000"), ("retention.bytes", "1000")]);
        for (settings, back, was_cut, status, part) in [
            (&week, Some(HOUR), true, Status::Ok, "kept for 7 days; the oldest message is 60 min old"),
            (&set(&[("retention.ms", "-1"), ("retention.bytes", "-1")]), None, false, Status::Ok, "messages are kept"),
            (&set(&[("retention.ms", "86400000"), ("retention.bytes", "-1")]), None, false, Status::Warn, "for 24 h"),
            (&by_size, Some(HOUR), true, Status::Warn, "older ones are gone"),
            (&by_size, Some(9 * DAY), true, Status::Ok, "9 days old"),
            (&Ok(None), Some(HOUR), false, Status::Ok, "nothing was deleted yet"),
            (&Err("no".into()), Some(2 * DAY), true, Status::Warn, "2 days old, and older ones are gone"),
            (&Ok(None), None, false, Status::Skipped, "no message"),
            (&set(&[("cleanup.policy", "compact,delete")]), None, false, Status::Warn, "compacted"),
        ] {
            let found = retention("auth-events", settings, back, was_cut);
            assert_eq!(found.status, status, "{found:?}");
            assert!(found.found.contains(part), "{found:?}");
        }
    }

    #[test]
    fn facts_have_to_be_compacted() {
        let kafka = crate::source::kafka::testing::plain_config("kafka:9092", "group");
        for (settings, status) in [
            (set(&[("cleanup.policy", "compact")]), Status::Ok),
            (set(&[("cleanup.policy", "delete")]), Status::Warn),
            (set(&[("cleanup.policy", "compact,delete")]), Status::Warn),
            (set(&[]), Status::Skipped),
            (Ok(None), Status::Skipped),
            (Err("it went away".into()), Status::Skipped),
        ] {
            let found = compaction(&kafka, "key-events", &settings);
            assert_eq!(found.status, status, "{found:?}");
        }
    }

    #[test]
    fn a_sample_is_bounded_over_all_partitions() {
        assert_eq!(part(200, 12), Part::Newest(200));
        assert_eq!(part(200, 1_000), Part::Newest(20));
        assert_eq!(part(0, 1), Part::Newest(1));
        assert_eq!(part(5, 1_000_000), Part::Newest(1));
    }
}
