//! Reads an alert's evidence. Every field may be missing or of another form: then less is said, and nothing wrong.

use serde_json::Value;

use super::clean::foreign;
use super::country::country_name;
use super::when::{Zone, duration, number};
use crate::alert::{Alert, Kind, State};
use crate::engine::second_stage::TAKERS;
use crate::time::{MINUTE, Millis, parse_duration, parse_rfc3339};

/// Longest shown text of a stranger.
pub const FOREIGN_MAX: usize = 120;
/// Sources shown for one alert.
pub const SOURCES_MAX: usize = 5;
/// Usual networks shown for one alert.
pub const KNOWN_MAX: usize = 3;

/// What GeoIP databases said of a network.
const PLACE: [&str; 3] = ["provider", "country", "hides"];

/// What an alert brings with it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a>(pub &'a Alert);

impl<'a> Evidence<'a> {
    fn field(self, name: &str) -> Option<&'a Value> {
        self.0.evidence.get(name).filter(|value| !value.is_null())
    }

    /// A whole number.
    pub fn count(self, name: &str) -> Option<i64> {
        whole(self.field(name)?)
    }

    /// A time, as text or milliseconds.
    pub fn time(self, name: &str) -> Option<Millis> {
        match self.field(name)? {
            Value::String(text) => parse_rfc3339(text),
            other => whole(other).filter(|at| crate::time::RANGE.contains(at)),
        }
    }

    /// The first call of the episode: an alert often opens after it began. What a window's beginning is, is no call.
    pub fn first_call(self) -> Option<Millis> {
        use crate::alert::Kind::{Drop, OffHours, PlatformIncident, Spike};
        match (self.time("first_at"), self.0.kind) {
            (None, _) => None,
            (at, Drop | OffHours | PlatformIncident | Spike) => at,
            (Some(at), _) => Some(at.min(self.0.starts_at)),
        }
    }

    /// When the alert opened, where its calls had begun before: what was counted since is not all of them.
    pub fn counted_since(self) -> Option<Millis> {
        self.time("first_at").filter(|at| self.first_call().is_some_and(|first| first / MINUTE < at / MINUTE))
    }

    /// A text of a stranger, made harmless.
    pub fn text(self, name: &str) -> Option<String> {
        let text = foreign(self.field(name)?.as_str()?, FOREIGN_MAX);
        (!text.is_empty()).then_some(text)
    }

    /// Whether something is so.
    pub fn flag(self, name: &str) -> bool {
        self.field(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A list of strangers' texts in one line.
    pub fn texts(self, name: &str) -> Option<String> {
        let texts: Vec<String> = self
            .field(name)?
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .take(5)
            .map(|text| foreign(text, 60))
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// `1 hour`, from a duration in text or milliseconds.
    pub fn window(self) -> Option<String> {
        match self.field("window")? {
            Value::String(text) => Some(parse_duration(text).map_or_else(|| foreign(text, 40), duration)),
            other => whole(other).map(duration),
        }
    }

    /// What is usual: `8 to 25`, or one number.
    pub fn expected(self) -> Option<String> {
        let range = |low: Option<&Value>, high: Option<&Value>| match (low.and_then(whole), high.and_then(whole)) {
            (Some(low), Some(high)) if low == high => Some(number(low)),
            (Some(low), Some(high)) => Some(format!("{} to {}", number(low), number(high))),
            (None, Some(high)) => Some(format!("up to {}", number(high))),
            _ => None,
        };
        match self.field("expected")? {
            Value::Array(ends) => range(ends.first(), ends.get(1)),
            Value::Object(map) => range(
                map.get("low").or(map.get("from")).or(map.get("min")),
                map.get("high").or(map.get("to")).or(map.get("max")),
            ),
            Value::String(text) => Some(foreign(text, 60)).filter(|text| !text.is_empty()),
            other => amount(other),
        }
    }

    /// How rare it is, in words: `about once in 4 years`.
    pub fn odds(self) -> Option<String> {
        match self.field("odds")? {
            Value::String(text) => Some(foreign(text, 60)).filter(|text| !text.is_empty()),
            Value::Number(p) => p
                .as_f64()
                .filter(|p| *p > 0.0 && *p < 0.5)
                .map(|p| (1.0 / p).min(1e15))
                .map(|n| format!("about 1 in {}", number(n.round() as i64))),
            _ => None,
        }
    }

    /// The networks that are usual for the key, most used first as given, with their counts.
    pub fn known(self) -> Vec<String> {
        let entries = self.field("known").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        entries.iter().take(KNOWN_MAX).filter_map(network).collect()
    }

    /// The usual network that is most like the new one, as a sentence.
    pub fn nearest(self) -> Option<String> {
        let nearest = self.field("nearest")?;
        let name = part(nearest, "network", 60)?;
        let shared = match nearest.get("shares")?.as_str()? {
            "provider" => "has the same provider",
            "neighbourhood" => "has addresses close by",
            "country" => "is in the same country, with another provider",
            _ => return None,
        };
        Some(format!("The nearest of its usual networks, {name}, {shared}."))
    }

    /// How many usual networks there are beyond those shown.
    pub fn known_hidden(self) -> usize {
        self.field("known").and_then(Value::as_array).map_or(0, |all| all.len().saturating_sub(KNOWN_MAX))
    }

    /// The sources, each as one line, and how many more there are.
    pub fn sources(self) -> (Vec<String>, usize) {
        let entries = self.field("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // Of one source, fewer calls than are told would only puzzle: those before the alert are in no list.
        let told = ["observed", "calls_to_it"].into_iter().find_map(|field| self.count(field));
        let is_part = |value: &Value| {
            entries.len() == 1 && value["calls"].as_i64().is_some_and(|calls| told.is_some_and(|told| calls < told))
        };
        let line = |value: &Value| source(value, !is_part(value));
        let lines: Vec<String> = entries.iter().take(SOURCES_MAX).filter_map(line).collect();
        if let (true, Some(source)) = (lines.is_empty(), &self.0.source) {
            let place = [source.organisation.as_deref(), source.country.as_deref().map(country_name)];
            let place: Vec<String> = place.into_iter().flatten().map(|text| foreign(text, 40)).collect();
            return (vec![with_more(foreign(&source.address, 60), &place)], 0);
        }
        (lines, entries.len().saturating_sub(SOURCES_MAX))
    }

    /// Whether the program is made to collect leaked keys: it need not be on any server of the merchant.
    pub fn finds_keys(self) -> bool {
        self.field("tool").and_then(Value::as_str) == Some("finds_keys")
    }

    /// Whether refused calls come from networks that are not the key's own.
    pub fn is_by_strangers(self) -> bool {
        self.field("from_known_network").and_then(Value::as_bool) == Some(false)
    }

    /// Whether most calls were payments that were declined.
    pub fn tries_cards(self) -> bool {
        self.field("declined_payments").is_some()
    }

    /// Whether calls are refused as they are too many.
    pub fn is_rate_limited(self) -> bool {
        self.field("reason").and_then(Value::as_str) == Some("rate_limited")
    }

    /// Whether calls are refused for the key that they carry, or for how.
    pub fn is_about_header(self) -> bool {
        let reason = self.field("reason").and_then(Value::as_str);
        matches!(reason, Some("malformed_header" | "missing_key" | "malformed_key" | "unknown_key"))
    }

    /// Why calls are refused: `malformed header`, or that no reason is given.
    pub fn refused_why(self) -> Option<String> {
        match (self.text("reason"), self.count("status")) {
            (Some(reason), _) => Some(reason.replace('_', " ")),
            (None, Some(status)) => Some(format!("none is given, status {status}")),
            (None, None) => self.0.evidence.get("reason").map(|_| "none is given".to_owned()),
        }
    }

    /// A country by its name.
    pub fn country(self, name: &str) -> Option<String> {
        Some(country_name(&self.text(name)?).to_owned())
    }

    /// Whether a service that hides who calls is among the sources.
    pub fn is_hidden(self) -> bool {
        let sources = self.field("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        self.field("network_kind").and_then(Value::as_str) == Some("anonymiser")
            || sources.iter().any(|source| part(source, "hides", 40).is_some())
    }

    /// Ended because another alert has taken it over, one of this kind: what it is about goes on.
    pub fn taken_over_by(self) -> Option<Kind> {
        let ended = self.field("ended").and_then(Value::as_str).filter(|_| self.0.state == State::Resolved)?;
        TAKERS.into_iter().find(|kind| kind.as_str() == ended)
    }

    /// The direction of an `env_mismatch`: true where a test key came to the live system.
    pub fn test_key_at_live(self) -> bool {
        let named = |word: &str| {
            self.field("direction").and_then(Value::as_str).is_some_and(|d| d == word) || self.0.subject.contains(word)
        };
        match (named("test_key_at_live"), named("live_key_at_test")) {
            (true, _) => true,
            (_, true) => false,
            _ => self.0.key_hint.as_deref().is_some_and(|hint| hint.contains("_test_")),
        }
    }

    /// Everything of it, as names and values for support. At most `max` rows, and how many were left out.
    pub fn rows(self, zone: Zone, max: usize) -> (Vec<(String, String)>, usize) {
        // Why it ended is a word of ours, and the direction of an incident is in its first line.
        const SHOWN_ELSEWHERE: [&str; 5] = ["sources", "known", "nearest", "series", "ended"];
        let is_said = |name: &str| {
            SHOWN_ELSEWHERE.contains(&name)
                || (name == "made_before" && self.count(name) == Some(0))
                || (name == "direction" && self.0.kind == Kind::PlatformIncident)
        };
        let Some(map) = self.0.evidence.as_object() else { return (Vec::new(), 0) };
        const FIRST: [&str; 9] =
            ["direction", "observed", "expected", "window", "odds", "accepted", "refused", "first_at", "last_at"];
        let mut fields: Vec<(&String, &Value)> =
            map.iter().filter(|(name, value)| !is_empty(value) && !is_said(name)).collect();
        fields.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
        let mut rows: Vec<(String, String)> =
            fields.into_iter().map(|(name, value)| (self.label(name), self.shown(name, value, zone))).collect();
        let hidden = rows.len().saturating_sub(max);
        rows.truncate(max);
        (rows, hidden)
    }

    fn label(self, name: &str) -> String {
        match (name, self.counted_since()) {
            ("accepted" | "refused", Some(_)) => format!("{} since it was found", label(name)),
            _ => label(name),
        }
    }

    fn shown(self, name: &str, value: &Value, zone: Zone) -> String {
        let special = match name {
            "expected" => self.expected(),
            "window" => self.window(),
            "odds" => self.odds(),
            "share" | "novelty" | "least_before" => percent(value),
            "country" | "usual_country" => self.country(name),
            "direction" | "reason" => self.text(name).map(|word| word.replace('_', " ")),
            "first_at" => self.first_call().map(|at| zone.at(at)),
            _ if name.ends_with("_at") || name.ends_with("_until") || name.ends_with("_since") => {
                self.time(name).map(|at| zone.at(at))
            }
            _ => None,
        };
        special.unwrap_or_else(|| match value {
            Value::String(text) => foreign(text, FOREIGN_MAX),
            Value::Number(_) => amount(value).unwrap_or_else(|| value.to_string()),
            Value::Array(items) if items.iter().all(|item| item.is_string() || item.is_number()) => {
                let shown: Vec<String> = items
                    .iter()
                    .take(5)
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), |text| foreign(text, 60)))
                    .collect();
                let more = items.len().saturating_sub(5);
                if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
            }
            other => foreign(&other.to_string(), FOREIGN_MAX),
        })
    }
}

fn label(name: &str) -> String {
    match name {
        "expected" => return "Usual".to_owned(),
        "first_at" => return "First call".to_owned(),
        "last_at" => return "Last call".to_owned(),
        "taken_by" => return "Taken over by".to_owned(),
        "alerts_taken" => return "Alerts of keys taken over".to_owned(),
        "sample_event_ids" => return "Sample events".to_owned(),
        _ => {}
    }
    let words = foreign(name, 40).replace('_', " ");
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Whole numbers as they are, others rounded.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|n| n.abs() < 9e15).map(|n| n.round() as i64))
}

/// As [`whole`], and with a digit more where that would be nothing: `0.2`.
fn amount(value: &Value) -> Option<String> {
    match value.as_f64() {
        Some(n) if 0.0 < n && n < 0.05 => Some("less than 0.1".to_owned()),
        Some(n) if 0.0 < n && n < 0.95 => Some(format!("{n:.1}")),
        _ => whole(value).map(number),
    }
}

/// A share of one: `94 %`, `0.3 %`.
fn percent(value: &Value) -> Option<String> {
    let percent = value.as_f64().filter(|share| (0.0..=1.0).contains(share))? * 100.0;
    Some(match percent {
        0.0 => "0 %".to_owned(),
        p if p < 0.1 => "less than 0.1 %".to_owned(),
        p if p < 1.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn part(value: &Value, name: &str, max: usize) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(|text| foreign(text, max)).filter(|text| !text.is_empty())
}

fn calls(value: &Value) -> Option<String> {
    ["calls", "count"].iter().find_map(|name| value.get(*name)).and_then(whole).map(|n| super::when::count(n, "call"))
}

/// `198.51.100.0/24 (Hetzner, Germany, 1,204 calls)`.
fn network(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(foreign(text, 60)).filter(|text| !text.is_empty());
    }
    let name = part(value, "network", 60).or_else(|| part(value, "address", 60))?;
    let mut more: Vec<String> = PLACE.iter().filter_map(|field| part(value, field, 40)).collect();
    more.extend(calls(value));
    Some(with_more(name, &more))
}

/// `203.0.113.7 (Hetzner, Germany, program curl/8.5.0, 14 calls)`.
fn source(value: &Value, with_calls: bool) -> Option<String> {
    let name = part(value, "address", 60).or_else(|| part(value, "network", 60))?;
    let mut more: Vec<String> = PLACE.iter().filter_map(|field| part(value, field, 40)).collect();
    more.extend(part(value, "user_agent", 80).map(|program| format!("program {program}")));
    more.extend(calls(value).filter(|_| with_calls));
    Some(with_more(name, &more))
}

fn with_more(name: String, more: &[String]) -> String {
    if more.is_empty() { name } else { format!("{name} ({})", more.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_sender_of_some_of_the_calls_is_named_without_a_number() {
        let of = |observed: u64, others: bool| {
            let mut sources = vec![json!({"address": "203.0.113.7", "calls": 2})];
            sources.extend(others.then(|| json!({"address": "203.0.113.9", "calls": 1})));
            let alert: Alert = serde_json::from_value(json!({
                "version": 1, "alert_id": "kw-1", "revision": 1, "rule": "off-hours", "rule_hash": "", "kind": "off_hours", "reasons": [],
                "score": 0.5, "severity": "warning", "state": "firing", "starts_at": "2026-11-02T23:00:00.000Z",
                "detected_at": "2026-11-02T23:01:00.000Z", "ends_at": null, "merchant_id": "m", "key_id": "k", "key_hint": null,
                "source": null, "audience": "both", "summary": "", "runbook": [],
                "evidence": {"observed": observed, "sources": sources}
            }))
            .unwrap();
            Evidence(&alert).sources().0.remove(0)
        };
        let without = "203.0.113.7".to_owned();
        let with = "203.0.113.7 (2 calls)".to_owned();
        assert_eq!([of(6, false), of(2, false), of(6, true)], [without, with.clone(), with]);
    }
}
