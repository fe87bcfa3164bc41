//! From alerts to a message. Pure: the same letter always gives the same text.
//!
//! [`render`] picks the mail's form by its receiver; `render/story.rs` has the words of each kind. Every text of a
//! stranger passes through `render/clean.rs`, and HTML is escaped in one place, `render/doc.rs`.

use std::collections::BTreeMap;

use crate::alert::{Alert, Kind, Receiver, Severity, State};
use crate::event::facts::{KeyFacts, MerchantFacts};
use crate::time::Millis;

use clean::foreign;
use doc::Block;
use when::{Zone, count};

pub mod chart;
pub mod clean;
pub mod country;
pub mod doc;
pub mod evidence;
pub mod merchant;
pub mod steps;
pub mod story;
pub mod support;
pub mod when;

/// Longest HTML part. Mail programs cut longer messages, some far earlier than others.
pub const HTML_MAX: usize = 40 * 1024;

/// One alert that a letter tells of.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The record as it stands.
    pub alert: &'a Alert,
    /// Told before, and worse since.
    pub worse: bool,
    /// How bad and of what kind it was when it was told last.
    pub told_as: Option<(Severity, Kind)>,
}

/// What a message is made of.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// In whose words.
    pub receiver: Receiver,
    /// The merchant's mail goes to support, as the merchant has no contact address.
    pub pass_on: bool,
    /// About whom; empty where no merchant is known.
    pub merchant_id: &'a str,
    /// What is known of it.
    pub merchant: Option<&'a MerchantFacts>,
    /// What is known of its keys.
    pub keys: &'a BTreeMap<String, KeyFacts>,
    /// The alerts, most important first.
    pub items: Vec<Item<'a>>,
    /// The alert that the subject names, which may be one told of before.
    pub subject_of: &'a Alert,
    /// How many more the subject counts.
    pub subject_more: usize,
    /// Told before and still firing, not among the items.
    pub still_firing: usize,
    /// Alerts shown at most; the others are counted.
    pub max_alerts: usize,
    /// The one link of a merchant's mail, where there is one.
    pub link: Option<&'a str>,
    /// When it is written (wall time).
    pub now: Millis,
}

/// A message without its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// At most 60 characters, no brackets.
    pub subject: String,
    /// All of it as text.
    pub text: String,
    /// The same as HTML, at most [`HTML_MAX`] bytes.
    pub html: String,
}

/// Renders a letter. Where the HTML would grow too long, fewer alerts are shown and more are counted.
pub fn render(letter: &Letter<'_>) -> Content {
    let subject = subject(letter);
    let mut shown = letter.items.len().min(letter.max_alerts.max(1));
    loop {
        let (items, hidden) = (&letter.items[..shown], letter.items.len() - shown);
        let blocks = match letter.receiver {
            Receiver::Merchant => merchant::blocks(letter, items, hidden, letter.pass_on),
            Receiver::Support => support::support_blocks(letter, items, hidden),
            Receiver::Operations => support::operations_blocks(letter, items, hidden),
        };
        let html = doc::html(&subject, &blocks);
        if html.len() <= HTML_MAX || shown <= 1 {
            return Content { text: doc::text(&blocks), html, subject };
        }
        shown -= 1;
    }
}

fn subject(letter: &Letter<'_>) -> String {
    let one = match letter.receiver {
        Receiver::Merchant => story::subject(letter.subject_of),
        Receiver::Support => support::support_subject(letter, letter.subject_of),
        Receiver::Operations => support::operations_subject(letter.subject_of),
    };
    match letter.subject_more {
        0 => one,
        more => {
            let suffix = format!(", and {more} more");
            format!("{}{suffix}", clean::cut(&one, 60 - suffix.chars().count()))
        }
    }
}

impl<'a> Letter<'a> {
    /// The zone of all its times.
    pub fn zone(&self) -> Zone {
        Zone::named(match self.receiver {
            Receiver::Operations => None,
            Receiver::Merchant | Receiver::Support => self.merchant.and_then(|merchant| merchant.timezone.as_deref()),
        })
    }

    /// The merchant's addresses.
    pub fn contacts(&self) -> &'a [String] {
        self.merchant.map_or(&[], |merchant| &merchant.contacts)
    }

    /// What is known of an alert's key.
    pub fn key_facts(&self, alert: &Alert) -> Option<&'a KeyFacts> {
        self.keys.get(alert.key_id.as_ref()?)
    }

    /// `m_8127, Acme Shop`: a forger does not know the ID.
    pub fn merchant_name(&self) -> String {
        let id = if self.merchant_id.is_empty() { "not known".to_owned() } else { foreign(self.merchant_id, 60) };
        match self.merchant.and_then(|merchant| merchant.name.as_deref()).map(|name| foreign(name, 60)) {
            Some(name) if !name.is_empty() => format!("{id}, {name}"),
            _ => id,
        }
    }

    /// The key's name and masked form.
    pub fn key_rows(&self, alert: &Alert) -> Vec<(String, String)> {
        let hint = alert
            .key_hint
            .as_deref()
            .or(self.key_facts(alert).and_then(|key| key.hint.as_deref()))
            .map(|hint| foreign(hint, 60));
        let name = self
            .key_facts(alert)
            .and_then(|key| key.name.as_deref())
            .map(|name| foreign(name, 60))
            .filter(|name| !name.is_empty());
        let shown = match (name, hint) {
            (Some(name), Some(hint)) => format!("{hint}, named {name}"),
            (None, Some(hint)) => hint,
            (Some(name), None) => name,
            (None, None) => match &alert.key_id {
                Some(id) => foreign(id, 60),
                None => return Vec::new(),
            },
        };
        vec![("Key".to_owned(), shown)]
    }

    /// Whether the reader may have to ask somebody else: wherever a server has to be changed or recognised.
    fn asks_for_owner(&self, alert: &Alert) -> bool {
        use crate::alert::Kind::{ExpiringKey, PlatformIncident, RotationOverdue, StaleKey};
        self.receiver != Receiver::Operations
            && !matches!(alert.kind, StaleKey | ExpiringKey | RotationOverdue | PlatformIncident)
    }
}

/// Alerts that were stored and mailed to nobody, as they were old when they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldNews {
    /// How many.
    pub count: u64,
    /// Start of the earliest.
    pub oldest: Millis,
    /// Start of the latest.
    pub newest: Millis,
    /// How many of each rule.
    pub by_rule: BTreeMap<String, u64>,
}

/// The one mail that operations get about [`OldNews`].
pub fn render_operations_summary(old: &OldNews, now: Millis) -> Content {
    let zone = Zone::named(None);
    let alerts = count(old.count.min(i64::MAX as u64) as i64, "old alert");
    let subject = format!("Info: {alerts} stored, not mailed");
    let mut rows: Vec<(String, u64)> = old.by_rule.iter().map(|(rule, n)| (foreign(rule, 60), *n)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let hidden = rows.len().saturating_sub(20);
    rows.truncate(20);
    let mut blocks = vec![
        Block::Lead(format!(
            "{alerts} stored and shown, but not mailed. Nothing to do unless you expected them earlier."
        )),
        Block::Facts(vec![("Earliest".to_owned(), zone.at(old.oldest)), ("Latest".to_owned(), zone.at(old.newest))]),
        Block::Commands(vec!["keywatch alerts list".to_owned()]),
        Block::Para(
            "They were found long after they happened: at a first start, or after keywatch was away.".to_owned(),
        ),
        Block::Heading("By rule".to_owned()),
        Block::Facts(rows.into_iter().map(|(rule, n)| (rule, when::number(n as i64))).collect()),
    ];
    if hidden > 0 {
        blocks.push(Block::Para(format!("{} not shown here.", count(hidden as i64, "more rule"))));
    }
    blocks.push(Block::Facts(vec![("Written".to_owned(), zone.at(now))]));
    Content { html: doc::html(&subject, &blocks), text: doc::text(&blocks), subject }
}

/// Most important first: what still goes on, the worse severity, the kind that needs a person soonest, the earlier one.
pub fn order(alert: &Alert) -> (bool, std::cmp::Reverse<Severity>, u8, Millis, &str) {
    let rank = match alert.kind {
        Kind::KeyExposed | Kind::PlatformIncident => 0,
        Kind::NewIp | Kind::IpFanout | Kind::ImpossibleTravel | Kind::KeyScan => 1,
        Kind::ClientSideUse | Kind::DormantAwake | Kind::NewEndpoint | Kind::KeyLifecycle => 2,
        Kind::RevokedKeyUse | Kind::SuspendedUse => 3,
        Kind::EnvMismatch | Kind::ErrorBurst | Kind::Drop => 4,
        Kind::RotatedKeyUse | Kind::ExpiringKey | Kind::RotationUnproven => 5,
        Kind::Spike | Kind::NewUserAgent | Kind::OffHours => 6,
        Kind::Threshold | Kind::Custom | Kind::MalformedKey => 7,
        Kind::RotationOverdue | Kind::StaleKey => 8,
    };
    (alert.state == State::Resolved, std::cmp::Reverse(alert.severity), rank, alert.starts_at, &alert.alert_id)
}
