//! The mails to support and to operations: dense, complete, with commands to paste.

use super::chart::Chart;
use super::clean::{clean, cut, foreign, shell_word};
use super::doc::Block;
use super::evidence::Evidence;
use super::steps::fitting;
use super::story::{capital, incident, key_name, listed, lower_first, subject};
use super::when::{count, duration, number};
use super::{Item, Letter, merchant};
use crate::alert::{Alert, Audience, State};

/// Rows of evidence shown of one alert.
const ROWS_MAX: usize = 24;
/// Reasons shown of one alert.
const REASONS_MAX: usize = 5;

/// `High: m_8127, live key …9f2c used from a new network`.
pub fn support_subject(letter: &Letter<'_>, alert: &Alert) -> String {
    let merchant = match letter.merchant_id {
        "" => "no merchant".to_owned(),
        id => foreign(id, 24),
    };
    plain(&format!("{}: {merchant}, {}", capital(alert.severity.as_str()), lower_first(&subject(alert))))
}

/// `High: live key …9f2c used from a new network`.
pub fn operations_subject(alert: &Alert) -> String {
    plain(&format!("{}: {}", capital(alert.severity.as_str()), lower_first(&subject(alert))))
}

fn plain(text: &str) -> String {
    cut(&text.replace(['[', ']', '(', ')', '<', '>', '{', '}'], ""), 60)
}

/// The blocks of a mail to support.
pub fn support_blocks(letter: &Letter<'_>, shown: &[Item<'_>], hidden: usize) -> Vec<Block> {
    let mut out = heads(letter, shown, hidden);
    for item in shown {
        if shown.len() > 1 {
            out.push(Block::Heading(subject(item.alert)));
        }
        push_description(letter, item, &mut out);
        push_evidence(letter, item.alert, &mut out);
        push_commands(item.alert, &mut out);
    }
    push_merchants_mail(letter, shown, &mut out);
    push_end(letter, &mut out);
    out
}

/// The blocks of a mail to operations: what and how bad, since when, the first command; details last.
pub fn operations_blocks(letter: &Letter<'_>, shown: &[Item<'_>], hidden: usize) -> Vec<Block> {
    let mut out = heads(letter, shown, hidden);
    for item in shown {
        if shown.len() > 1 {
            out.push(Block::Heading(subject(item.alert)));
        }
        let start = letter.zone().at(item.alert.starts_at);
        let when = match item.alert.ends_at {
            Some(end) => format!("From {start} to {}.", letter.zone().at(end)),
            None => format!("Since {start}."),
        };
        out.push(Block::Para(when));
        push_commands(item.alert, &mut out);
        push_steps(item.alert, &mut out);
        out.push(Block::Para(foreign(&item.alert.summary, 300)));
        push_evidence(letter, item.alert, &mut out);
    }
    push_end(letter, &mut out);
    out
}

fn heads(letter: &Letter<'_>, shown: &[Item<'_>], hidden: usize) -> Vec<Block> {
    let whose = if letter.merchant_id.is_empty() {
        String::new()
    } else {
        format!(" for merchant {}", foreign(letter.merchant_id, 60))
    };
    if let ([one], 0) = (shown, hidden) {
        let (fact, severity) = (fact(one.alert), one.alert.severity.as_str());
        let taker = Evidence(one.alert).taken_over_by().map(|kind| kind.as_str().replace('_', " "));
        return vec![Block::Lead(match (one.alert.state, one.alert.ends_at) {
            (State::Resolved, Some(end)) => {
                let lasted = duration(end - one.alert.starts_at);
                match taker {
                    Some(taker) => format!(
                        "Ended by itself after {lasted}{whose}, and goes on at many merchants: {fact}. A {taker} has taken it over."
                    ),
                    None => format!("Ended after {lasted}{whose}: {fact}."),
                }
            }
            (State::Resolved, None) => format!("Ended{whose}: {fact}."),
            (State::Firing, _) if one.worse => format!("{}{whose}: {fact}. {}", how_worse(one), to_do(one.alert)),
            (State::Firing, _) => format!("{}{whose}: {fact}. {}", capital(severity), to_do(one.alert)),
        })];
    }
    let ended = shown.iter().filter(|item| item.alert.state == State::Resolved).count();
    let all = count((shown.len() + hidden) as i64, "alert");
    let mut out = vec![Block::Lead(match (ended, shown.first()) {
        (n, _) if n == shown.len() => format!("Ended: {all}{whose}."),
        (_, Some(first)) => {
            format!("{all}{whose}. The worst is {}: {}.", first.alert.severity.as_str(), fact(first.alert))
        }
        (_, None) => format!("{all}{whose}."),
    })];
    out.push(Block::Bullets(
        shown
            .iter()
            .map(|item| {
                let state = match item.alert.state {
                    State::Resolved => "Ended",
                    State::Firing if item.worse => "Worse",
                    State::Firing => "New",
                };
                format!(
                    "{state}, {}: {}, {}",
                    item.alert.severity.as_str(),
                    subject(item.alert),
                    foreign(&item.alert.alert_id, 60)
                )
            })
            .collect(),
    ));
    if hidden > 0 {
        let verb = if hidden == 1 { "is" } else { "are" };
        out.push(Block::Para(format!("{} {verb} not shown here. All of them:", count(hidden as i64, "more alert"))));
        out.push(Block::Commands(vec!["keywatch alerts list".to_owned()]));
    }
    out
}

/// What it is about, in a sentence: the subject, with the numbers that a subject cannot have as it never changes.
fn fact(alert: &Alert) -> String {
    incident(alert).unwrap_or_else(|| lower_first(&subject(alert)))
}

/// `Worse, now high` only where the severity rose.
fn how_worse(item: &Item<'_>) -> String {
    let severity = item.alert.severity.as_str();
    match item.told_as {
        Some((before, _)) if before < item.alert.severity => format!("Worse, now {severity}"),
        Some((_, kind)) if kind != item.alert.kind => format!("Another sign, still {severity}"),
        _ => format!("Worse, {severity}"),
    }
}

fn to_do(alert: &Alert) -> &'static str {
    if alert.severity.is_immediate() { "Look at it now." } else { "Look at it today." }
}

fn push_description(letter: &Letter<'_>, item: &Item<'_>, out: &mut Vec<Block>) {
    let alert = item.alert;
    out.push(Block::Heading("Description".to_owned()));
    out.push(Block::Para(foreign(&alert.summary, 400)));
    let reasons: Vec<String> = alert
        .reasons
        .iter()
        .take(REASONS_MAX)
        .map(|reason| foreign(&reason.text, 300))
        .filter(|text| !text.is_empty())
        .collect();
    if !reasons.is_empty() {
        out.push(Block::Bullets(reasons));
    }
    let mut rows = vec![("Merchant ID".to_owned(), letter.merchant_name())];
    rows.extend(letter.key_rows(alert));
    if let Some(id) = &alert.key_id {
        rows.push(("Key ID".to_owned(), foreign(id, 80)));
    }
    rows.push(("Severity".to_owned(), alert.severity.as_str().to_owned()));
    rows.push(("Began".to_owned(), letter.zone().at(alert.starts_at)));
    rows.push(("Detected".to_owned(), letter.zone().at(alert.detected_at)));
    match alert.ends_at {
        Some(end) => {
            rows.push(("Ended".to_owned(), letter.zone().at(end)));
            rows.push(("Lasted".to_owned(), duration(end - alert.starts_at)));
        }
        None => rows.push(("State".to_owned(), alert.state.as_str().to_owned())),
    }
    rows.push(("Reference".to_owned(), foreign(&alert.alert_id, 60)));
    rows.push(("Rule".to_owned(), foreign(&alert.rule, 60)));
    out.push(Block::Facts(rows));
}

fn push_evidence(letter: &Letter<'_>, alert: &Alert, out: &mut Vec<Block>) {
    let evidence = Evidence(alert);
    let (mut rows, hidden) = evidence.rows(letter.zone(), ROWS_MAX);
    let (sources, more) = evidence.sources();
    if !sources.is_empty() {
        rows.push(("Sources".to_owned(), listed(sources, more)));
    }
    let known = evidence.known();
    if !known.is_empty() {
        rows.push(("Usual networks".to_owned(), listed(known, evidence.known_hidden())));
    }
    rows.extend(evidence.nearest().map(|nearest| ("Nearest network".to_owned(), nearest)));
    rows.extend(Chart::of(alert).map(|chart| ("Last hours".to_owned(), chart.line())));
    if rows.is_empty() {
        return;
    }
    out.push(Block::Heading("Evidence".to_owned()));
    out.push(Block::Facts(rows));
    if hidden > 0 {
        out.push(Block::Para(format!(
            "{} not shown here; the first command below shows all.",
            count(hidden as i64, "more field")
        )));
    }
}

fn push_steps(alert: &Alert, out: &mut Vec<Block>) {
    if alert.state == State::Firing && !alert.runbook.is_empty() {
        out.push(Block::Heading("What to do".to_owned()));
        out.push(Block::Steps(fitting(alert).take(5).map(|step| clean(step, 240)).collect()));
    }
}

fn push_commands(alert: &Alert, out: &mut Vec<Block>) {
    let mut lines = vec![format!("keywatch alerts show {}", shell_word(&alert.alert_id))];
    if let Some(key) = &alert.key_id {
        lines.push(format!("keywatch alerts list --key {}", shell_word(key)));
    }
    out.push(Block::Commands(lines));
}

/// What the merchant reads of the same alerts, and who reads it.
fn push_merchants_mail(letter: &Letter<'_>, shown: &[Item<'_>], out: &mut Vec<Block>) {
    let theirs: Vec<Item<'_>> = shown.iter().filter(|item| item.alert.audience != Audience::Support).copied().collect();
    out.push(Block::Heading("What the merchant is told".to_owned()));
    let contacts = letter.contacts();
    if theirs.is_empty() {
        let took_alerts = shown.iter().any(|item| Evidence(item.alert).count("alerts_taken").is_some_and(|n| n > 0));
        let told = if took_alerts {
            "Each of these merchants was told of their own key when it was used. Those alerts are parts of this one now."
        } else {
            "Nothing: this is for support only."
        };
        out.push(Block::Para(told.to_owned()));
        return;
    }
    if contacts.is_empty() {
        out.push(Block::Para(
            "The merchant has no contact address. Its mail goes to support, to be passed on.".to_owned(),
        ));
    } else {
        let shown_to: Vec<String> = contacts.iter().take(5).map(|address| clean(address, 80)).collect();
        out.push(Block::Para(format!("Mailed to {}:", listed(shown_to, contacts.len().saturating_sub(5)))));
    }
    // Where several alerts are told, the merchant's texts would fill the mail: the most important one stands for them.
    if let Some(first) = theirs.first() {
        out.push(Block::Quote(merchant::blocks(letter, &[*first], 0, false)));
    }
    if theirs.len() > 1 {
        out.push(Block::Para(format!(
            "Its mail tells of {} in the same way.",
            count(theirs.len() as i64 - 1, "more alert")
        )));
    }
}

fn push_end(letter: &Letter<'_>, out: &mut Vec<Block>) {
    if letter.still_firing > 0 {
        out.push(Block::Para(format!("Told before and still going on: {}.", number(letter.still_firing as i64))));
    }
    let mut rows = vec![
        ("Written".to_owned(), letter.zone().at(letter.now)),
        ("Time zone".to_owned(), letter.zone().name().to_owned()),
    ];
    rows.extend(key_line(letter).map(|whose| ("About".to_owned(), whose)));
    out.push(Block::Facts(rows));
}

fn key_line(letter: &Letter<'_>) -> Option<String> {
    let mut keys: Vec<String> =
        letter.items.iter().filter(|item| item.alert.key_id.is_some()).map(|item| key_name(item.alert)).collect();
    keys.sort();
    keys.dedup();
    match keys.len() {
        0 if letter.merchant_id.is_empty() => None,
        0 => Some(letter.merchant_name()),
        n => Some(listed(keys.into_iter().take(3).collect(), n.saturating_sub(3))),
    }
}
