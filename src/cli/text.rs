//! Alerts as people read them at a terminal: wrapped, plain, no colour, references never cut.

pub use crate::engine::detect::volume::number as thousands;
use serde_json::Value;

use crate::alert::Alert;
pub use crate::cli::term::width;
use crate::geoip::Place;
use crate::notify::render::chart::Chart;
use crate::store::Told;
use crate::time::rfc3339;

/// A time as people read it, with its zone.
pub fn minute(at: crate::time::Millis) -> String {
    let text = rfc3339(at);
    format!("{} {} UTC", &text[..10], &text[11..16])
}

/// One alert: a line of facts with the reference first and whole, and what it says below.
pub fn alert(alert: &Alert, width: usize) -> String {
    let key = alert.key_hint.as_deref().or(alert.key_id.as_deref());
    let whom = [alert.merchant_id.as_deref(), key].into_iter().flatten().collect::<Vec<_>>().join("  ");
    let facts = format!(
        "{}  {}  {:8}  {:8}  {}",
        alert.alert_id,
        minute(alert.starts_at),
        alert.severity.as_str(),
        alert.state.as_str(),
        alert.rule
    );
    format!("{facts}\n{}", wrap(&format!("{whom}  {}", alert.summary), width, "  "))
}

/// Alerts in the order of the time that is shown of them.
pub fn in_order(alerts: &[Alert]) -> impl Iterator<Item = &Alert> {
    let mut ordered: Vec<&Alert> = alerts.iter().collect();
    ordered.sort_by(|a, b| (a.starts_at, &a.alert_id).cmp(&(b.starts_at, &b.alert_id)));
    ordered.into_iter()
}

/// One alert with all that is known of it.
pub fn alert_whole(alert: &Alert, width: usize) -> String {
    let mut text = self::alert(alert, width);
    text.push_str(&format!(
        "\n\n  began     {}\n  detected  {}\n",
        rfc3339(alert.starts_at),
        rfc3339(alert.detected_at)
    ));
    if let Some(ended) = alert.ends_at {
        text.push_str(&format!("  ended     {}\n", rfc3339(ended)));
    }
    if let Some(source) = &alert.source {
        text.push_str(&format!("  source    {}, network {}\n", source.address, source.network));
        let place = Place::words(source.organisation.as_deref(), source.asn, source.country.as_deref());
        if !place.is_empty() {
            text.push_str(&format!("            {place} (as looked up)\n"));
        }
    }
    text.push_str("\nwhy\n");
    for reason in &alert.reasons {
        text.push_str(&format!("{}\n", wrap(&reason.text, width, "  ")));
    }
    text.push_str(&chart(alert));
    text.push_str("\nevidence\n");
    for (name, value) in alert.evidence.as_object().into_iter().flatten().filter(|(name, _)| *name != "series") {
        text.push_str(&format!("{}\n", wrap(&format!("{name}: {}", plain(value)), width, "  ")));
    }
    text.push_str("\nwhat to do\n");
    for (i, step) in alert.runbook.iter().enumerate() {
        let step = wrap(step, width.saturating_sub(3), "     ");
        text.push_str(&format!("  {}. {}\n", i + 1, step.trim_start()));
    }
    text
}

/// The last day of the key, hour by hour; nothing where the alert has none.
fn chart(alert: &Alert) -> String {
    let Some(chart) = Chart::of(alert) else { return String::new() };
    let row = |name: &str, blocks: &str, most: i64| format!("  {name:6} {blocks}  up to {most}\n");
    format!(
        "\ncalls by hour, {} to {}\n{}{}",
        minute(chart.starts_at),
        minute(chart.ends_at),
        row("calls", &chart.calls, chart.most),
        row("usual", &chart.usual, chart.usual_most)
    )
}

/// Who was told of an alert first, and by which mail.
pub fn told(alert: &Alert, told: &[Told], width: usize) -> String {
    let mut text = String::from("\nwho was told\n");
    let field = |name: &str| alert.evidence.get(name).and_then(Value::as_str);
    let taken = |line: &str| format!("{} has taken it over, {line}", field("taken_by").unwrap_or("another alert"));
    let line = match field("ended") {
        Some("platform_incident") => Some(taken("as many merchants have it, and tells operations")),
        Some("key_scan") => Some(taken("as the same network came with keys of many merchants, and tells support")),
        _ => None,
    };
    if let Some(line) = line {
        text.push_str(&format!("{}\n", wrap(&line, width, "  ")));
    } else if told.is_empty() {
        text.push_str("  nobody yet\n");
    }
    for one in told {
        let when = one.sent_at.map_or_else(|| "not delivered yet".into(), |at| format!("mailed {}", minute(at)));
        let line = format!("{}: {when}, to {}: {}", one.receiver.as_str(), one.to.join(", "), one.subject);
        text.push_str(&format!("{}\n", wrap(&line, width, "  ")));
    }
    text
}

/// A value of the evidence in words.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not known".into(),
        Value::Array(items) => {
            let by = if items.iter().any(Value::is_object) { "; " } else { ", " };
            items.iter().map(plain).collect::<Vec<_>>().join(by)
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Breaks a text between words; every line begins with `indent`. A word longer than a line stays whole.
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    let mut used = indent.len();
    // Two spaces part columns: they stay where the line goes on.
    for (i, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        let line = lines.len() - 1;
        if used > indent.len() && used + 1 + length > width {
            lines.push(format!("{indent}{word}"));
            used = indent.len() + length;
        } else {
            let space = usize::from(i > 0 && used > indent.len());
            lines[line].push_str(&" ".repeat(space));
            lines[line].push_str(word);
            used += space + length;
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words_and_words_never() {
        let check = |text: &str, expected: &str| assert_eq!(wrap(text, 12, "  "), expected);
        check("", "");
        check("a short", "  a short");
        check("one two three", "  one two\n  three");
        check("m_1  kw-0123456789abcdef x", "  m_1\n  kw-0123456789abcdef\n  x");
        check("m_1  k", "  m_1  k");
    }

    #[test]
    fn an_alert_that_was_taken_over_says_by_what() {
        let record = serde_json::json!({"version": 1, "alert_id": "kw-1", "revision": 2, "rule": "drop", "rule_hash": "h",
            "kind": "drop", "reasons": [], "score": 0.6, "severity": "warning", "state": "resolved",
            "starts_at": "2026-11-23T08:00:00Z", "detected_at": "2026-11-23T08:00:00Z", "ends_at": "2026-11-23T08:10:00Z",
            "merchant_id": "m", "key_id": "k", "key_hint": null, "source": null, "audience": "both", "summary": "s",
            "evidence": {"ended": "platform_incident", "taken_by": "kw-2"}, "runbook": []});
        let mut alert: Alert = serde_json::from_value(record).unwrap();
        let text = told(&alert, &[], 200);
        assert!(
            text.contains("kw-2 has taken it over, as many merchants have it") && !text.contains("nobody"),
            "{text}"
        );
        alert.evidence["ended"] = "key_scan".into();
        let text = told(&alert, &[], 200);
        assert!(text.contains("kw-2 has taken it over, as the same network") && !text.contains("nobody yet"), "{text}");
        alert.evidence = serde_json::json!({});
        assert!(told(&alert, &[], 200).contains("nobody yet"));
    }

    #[test]
    fn minutes_carry_their_zone() {
        assert_eq!(minute(1_793_577_660_000), "2026-11-02 00:01 UTC");
    }
}
