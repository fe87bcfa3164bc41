//! What each kind of alert means, in a merchant's words. What belongs to one kind stands together: [`Words`].

use super::clean::{cut, foreign};
use super::evidence::Evidence;
use super::when::{Zone, duration, number};
use super::{Item, Letter};
use crate::alert::{Alert, Kind, State};

mod also;
mod conditions;
mod facts;
mod integration;
mod misuse;
mod platform;
mod sources;
mod use_of_key;
mod volume;

/// One alert told to its merchant.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Subject, at most 60 characters; the same for every mail about the case.
    pub subject: String,
    /// Fact and whether to act, for the first 100 characters.
    pub lead: String,
    /// Names and values of what happened.
    pub happened: Vec<(String, String)>,
    /// Why it is told.
    pub why: Vec<String>,
    /// When there is nothing to do.
    pub nothing: &'static str,
    /// What to do where the rule has no runbook.
    pub steps: &'static [&'static str],
    /// What comes with the steps: the price of stopping a key, whom to ask.
    pub trade: &'static str,
    /// What we did.
    pub did: &'static str,
    /// What stays to do after the end.
    pub after: &'static str,
    /// What else speaks against the innocent explanation, beside what the alert is named for.
    pub also: Vec<String>,
}

impl Story {
    /// Adds a name and its value, where there is one.
    fn row(&mut self, name: &str, value: Option<String>) {
        self.happened.extend(value.map(|value| (name.to_owned(), value)));
    }
}

/// The words of one kind.
struct Words {
    /// Subject, with the key's name; depends on nothing that changes while a case goes on.
    subject: fn(&Alert, &str) -> String,
    /// Everything else of a mail about a case that goes on.
    tell: fn(&Telling<'_>, &mut Story),
    /// The first words of a case's last mail.
    ended: fn(&Alert, &str) -> String,
}

fn words(kind: Kind) -> &'static Words {
    match kind {
        Kind::NewIp => &use_of_key::NEW_IP,
        Kind::IpFanout => &misuse::IP_FANOUT,
        Kind::ImpossibleTravel => &misuse::IMPOSSIBLE_TRAVEL,
        Kind::NewUserAgent => &misuse::NEW_USER_AGENT,
        Kind::NewEndpoint => &misuse::NEW_ENDPOINT,
        Kind::OffHours => &misuse::OFF_HOURS,
        Kind::Drop => &volume::DROP,
        Kind::ErrorBurst => &volume::ERROR_BURST,
        Kind::KeyScan => &sources::KEY_SCAN,
        Kind::MalformedKey => &sources::MALFORMED_KEY,
        Kind::PlatformIncident => &platform::PLATFORM_INCIDENT,
        Kind::ClientSideUse => &use_of_key::CLIENT_SIDE_USE,
        Kind::DormantAwake => &use_of_key::DORMANT_AWAKE,
        Kind::Spike => &use_of_key::SPIKE,
        Kind::EnvMismatch => &integration::ENV_MISMATCH,
        Kind::RotatedKeyUse => &integration::ROTATED_KEY_USE,
        Kind::RevokedKeyUse => &integration::REVOKED_KEY_USE,
        Kind::SuspendedUse => &integration::SUSPENDED_USE,
        Kind::KeyExposed => &facts::KEY_EXPOSED,
        Kind::ExpiringKey => &facts::EXPIRING_KEY,
        Kind::RotationUnproven => &facts::ROTATION_UNPROVEN,
        Kind::KeyLifecycle => &facts::KEY_LIFECYCLE,
        Kind::RotationOverdue => &facts::ROTATION_OVERDUE,
        Kind::StaleKey => &facts::STALE_KEY,
        Kind::Threshold => &conditions::THRESHOLD,
        Kind::Custom => &conditions::CUSTOM,
    }
}

/// What a story is made of.
struct Telling<'a> {
    letter: &'a Letter<'a>,
    alert: &'a Alert,
    evidence: Evidence<'a>,
    /// The key's name in running text.
    key: String,
    zone: Zone,
    accepted: i64,
    refused: i64,
}

impl Telling<'_> {
    /// A time of the evidence.
    fn time(&self, name: &str) -> Option<String> {
        self.evidence.time(name).map(|at| self.zone.at(at))
    }

    /// Where calls came from.
    fn sources(&self) -> Option<String> {
        let (sources, more) = self.evidence.sources();
        Some(listed(sources, more)).filter(|text| !text.is_empty())
    }

    /// The rows about calls.
    fn calls(&self, story: &mut Story) {
        let first = self.evidence.first_call().unwrap_or(self.alert.starts_at);
        story.row("First call", Some(self.zone.at(first)));
        story.row("Last call", self.time("last_at"));
        match self.evidence.counted_since() {
            // One call since the alert opened is not all there were, and says so.
            Some(since) if self.accepted + self.refused > 0 => {
                let since = format!("since {}", self.zone.at(since));
                story.row(
                    "Calls accepted",
                    Some(format!("{} {since}", number(self.accepted))).filter(|_| self.accepted > 0),
                );
                story.row(
                    "Calls refused",
                    Some(format!("{} {since}", number(self.refused))).filter(|_| self.refused > 0),
                );
            }
            _ => {
                story.row("Calls accepted", self.evidence.count("accepted").map(number));
                story.row("Calls refused", self.evidence.count("refused").map(number));
            }
        }
        story.row("Mostly called", self.evidence.text("endpoint"));
    }

    /// The rows of what was counted in a window, and who sent it. What came since the alert opened is only said where it is
    /// no less than that: beside "54 calls in 10 minutes" a "calls accepted: 1" makes no sense to anybody.
    fn count_and_senders(&self, counted: &'static str, story: &mut Story) {
        let observed = self.evidence.count("observed");
        story.row(counted, observed.map(|n| self.in_window(number(n))));
        story.row("Usual", self.usual().map(|usual| self.in_window(usual)));
        let most_before = self.evidence.count("most_before").filter(|most| observed.is_some_and(|n| *most < n));
        story.row("Most before", most_before.map(|most| self.in_window(number(most))));
        let so_far = self.accepted + self.refused;
        if observed.is_none_or(|n| n <= so_far) {
            self.calls(story);
        } else {
            story.row("Since", Some(self.zone.at(self.alert.starts_at)));
            story.row("Mostly called", self.evidence.text("endpoint"));
        }
        story.row("Sent from", self.sources());
    }

    /// What is usual: `9, at most 41`.
    fn usual(&self) -> Option<String> {
        let expected = self.evidence.expected()?;
        Some(match self.evidence.count("usual_up_to") {
            Some(most) => format!("{expected}, at most {}", number(most)),
            None => expected,
        })
    }

    /// The rows about calls, and who sent them.
    fn calls_and_senders(&self, story: &mut Story) {
        self.calls(story);
        story.row("Sent from", self.sources());
    }

    /// Since when the key has been watched.
    fn watched(&self) -> Option<String> {
        let since = self.evidence.time("watched_since")?;
        Some(format!("We have watched this key since {}.", self.zone.day(since)))
    }

    /// The networks that are usual for it.
    fn usual_networks(&self) -> Option<String> {
        let known = self.evidence.known();
        (!known.is_empty()).then(|| format!("Its usual networks: {}.", listed(known, self.evidence.known_hidden())))
    }

    /// A number of calls, with the window that they were counted in.
    fn in_window(&self, what: String) -> String {
        self.evidence.window().map_or_else(|| what.clone(), |window| format!("{what} in {window}"))
    }
}

/// How a key is named in running text: `live key …9f2c`.
pub fn key_name(alert: &Alert) -> String {
    let Some(hint) = alert.key_hint.as_deref().map(|hint| foreign(hint, 60)).filter(|hint| !hint.is_empty()) else {
        return match &alert.key_id {
            Some(id) => format!("key {}", cut(&foreign(id, 40), 20)),
            None => "key".to_owned(),
        };
    };
    let class = if hint.contains("_live_") {
        "live "
    } else if hint.contains("_test_") {
        "test "
    } else {
        ""
    };
    let tail = hint.rsplit_once('…').map_or_else(|| cut(&hint, 16), |(_, tail)| format!("…{}", cut(tail, 8)));
    format!("{class}key {tail}")
}

/// Subject without the merchant: fact and key. Depends on nothing that changes while a case goes on, but its kind.
pub fn subject(alert: &Alert) -> String {
    let fact = (words(alert.kind).subject)(alert, &key_name(alert));
    cut(&capital(&fact).replace(['[', ']', '(', ')', '<', '>', '{', '}'], ""), 60)
}

pub use platform::incident;

/// What has grown since an alert was told last.
pub fn grown(letter: &Letter<'_>, item: &Item<'_>, story: &Story) -> String {
    also::grown(&telling(letter, item.alert), item.told_as.map(|(_, kind)| kind), &story.also)
}

fn telling<'a>(letter: &'a Letter<'a>, alert: &'a Alert) -> Telling<'a> {
    let (evidence, zone) = (Evidence(alert), letter.zone());
    let count = |name: &str| evidence.count(name).unwrap_or(0);
    let (accepted, refused) = (count("accepted"), count("refused"));
    Telling { letter, alert, evidence, key: key_name(alert), zone, accepted, refused }
}

/// The story of one alert.
pub fn story(letter: &Letter<'_>, alert: &Alert) -> Story {
    let telling = telling(letter, alert);
    let (evidence, zone) = (telling.evidence, telling.zone);
    let mut story = Story { subject: subject(alert), happened: letter.key_rows(alert), ..Story::default() };
    (words(alert.kind).tell)(&telling, &mut story);
    if alert.kind != Kind::ClientSideUse {
        story.row("Page", evidence.text("page"));
    }
    story.also = also::sentences(&telling);
    story.why.extend(story.also.iter().cloned());
    if story.why.is_empty() {
        story.why.push("This is not usual for this key.".to_owned());
    }
    if let Some(taker) = evidence.taken_over_by() {
        also::taken_over(&telling, taker, &mut story);
    } else if alert.state == State::Resolved {
        story.lead = (words(alert.kind).ended)(alert, &telling.key);
        story.row("Began", Some(zone.at(alert.starts_at)));
        story.row("Ended", alert.ends_at.map(|end| zone.at(end)));
        story.row("Lasted", alert.ends_at.map(|end| duration(end - alert.starts_at)));
    }
    story
}

/// `a; b; and 3 more`.
pub fn listed(mut items: Vec<String>, more: usize) -> String {
    if more > 0 {
        items.push(format!("and {} more", number(more as i64)));
    }
    items.join("; ")
}

/// With its first letter large.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// With its first letter small.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
