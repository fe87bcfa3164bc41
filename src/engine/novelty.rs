//! What is new about an accepted call: its network, its provider and country, its program, its endpoint.
//!
//! Worked out once for each call, against what the key and its merchant have shown, so that detectors can weigh the signs
//! together: a new network with the usual program is most often a move, with another program it is most often a thief.

pub mod tools;

use crate::engine::baseline::networks::{Familiar, Network, Seen, Whereabouts};
use crate::engine::baseline::values::Newness;
use crate::engine::hash::stored_of_text;
use crate::engine::subject::{KeyFeatures, MerchantFeatures};
use crate::event::facts::{FactBook, KeyFacts};
use crate::event::{AuthEvent, Country, Env};
use crate::time::{DAY, MINUTE, Millis};

/// A key that has shown more new programs than this in a month changes them by habit.
const NEW_AGENTS_A_MONTH: usize = 2;
/// So many networks of one provider, and a further one is no news.
const NETWORKS_OF_A_HABIT: usize = 3;
/// A key that showed a new network on so many days within this time will show another one soon.
const WANDERS_DAYS: usize = 3;
const WANDERS_WITHIN: Millis = 28 * DAY;
/// Who tries something out makes no more calls from a network than these. Over days they make it a trusted one.
const TRIED_OUT_CALLS: u64 = 20;
/// Words of endpoints that move money out, or hand out secrets.
const SENSITIVE: [&str; 8] =
    ["refund", "payout", "transfer", "withdraw", "disburse", "api_key", "api-key", "bank_account"];

/// What is new about one accepted call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Novelty {
    /// The network, against those of the key and of its merchant.
    pub network: Newness,
    /// Another network of a provider that the key uses many networks of.
    pub is_roaming: bool,
    /// The provider is known, or nothing says that it is not.
    pub provider: Known,
    /// The same of the country.
    pub country: Known,
    /// No database says whose it is, and several trusted networks are around it.
    pub is_near: bool,
    /// The key is a test key, which is used from where its developers are, and nothing says that the provider is new, or the country is
    /// known: they work at home, too; or no database says
    /// whose it is, and the key shows a new one every week or so.
    pub is_expected: bool,
    /// The program, by its family.
    pub agent: Newness,
    /// The endpoint.
    pub endpoint: Newness,
    /// The endpoint moves money out, or hands out secrets.
    pub is_sensitive: bool,
    /// The network is new, of the merchant's country, and by the databases neither servers nor hidden: a home or an office.
    pub is_line_at_home: bool,
    /// And it has made a few calls that read: a developer tries something.
    pub is_tried_out: bool,
}

/// What databases say of a provider or country, against what is known of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    #[default]
    Unknown,
    /// It is known.
    Yes,
    /// It is new to the key and its merchant.
    No,
}

impl Novelty {
    /// Of an accepted call of a key of that environment. `agent` and `endpoint` are its values by [`agent_of`] and [`endpoint_of`].
    pub fn of(
        event: &AuthEvent<'_>,
        key_env: Option<Env>,
        network: Option<Network>,
        (agent, endpoint): (Option<u32>, Option<u32>),
        key: &KeyFeatures,
        merchant: &MerchantFeatures,
        places: Places<'_>,
    ) -> Self {
        let at = event.ts;
        let newness = match network {
            _ if key.networks.entries().is_empty() => Newness::Unknown,
            None => Newness::Unknown,
            Some(network) if merchant.networks.trusts(network) => Newness::Known,
            Some(network) => match key.networks.get(network) {
                Some(Seen { suspect: false, .. }) => Newness::Known,
                Some(seen) => {
                    Newness::Young { first_at: seen.first_at, calls: u32::try_from(seen.calls).unwrap_or(u32::MAX) }
                }
                None => Newness::New,
            },
        };
        let endpoint = endpoint.map_or(Newness::Unknown, |endpoint| key.endpoints.newness(endpoint));
        let is_sensitive = endpoint.is_novel() && is_sensitive(event);
        // An insider pays out from the office, too.
        let newness = match network {
            Some(network) if newness.is_novel() && !is_sensitive && places.makes_keys(network, at) => Newness::Known,
            _ => newness,
        };
        let mut novelty = Novelty { network: newness, endpoint, is_sensitive, ..Novelty::default() };
        if newness.is_novel() {
            let of_key = key.networks.provider(event.asn);
            novelty.is_roaming = matches!(of_key, Familiar::Known(n) if NETWORKS_OF_A_HABIT <= n);
            novelty.provider = both(of_key, merchant.networks.provider(event.asn));
            let is_near = |network| key.networks.is_near(network) || merchant.networks.is_near(network);
            novelty.is_near = event.asn.is_none() && network.is_some_and(is_near);
            let wanders =
                |network| WANDERS_DAYS <= key.networks.days_with_new_ones(learned_by(key, at, WANDERS_WITHIN), network);
            novelty.country = both(key.networks.country(event.country), merchant.networks.country(event.country));
            let is_where_developers_are = novelty.provider != Known::No || novelty.country == Known::Yes;
            let is_at_home = || novelty.country == Known::Yes || event.country.is_some_and(|of| places.is_home(of));
            let is_line = event.asn.is_some() && event.network_kind.is_none();
            novelty.is_line_at_home = is_line && is_at_home();
            novelty.is_tried_out =
                novelty.is_line_at_home && reads(event) && newness.calls(event.count) <= TRIED_OUT_CALLS;
            novelty.is_expected = (key_env == Some(Env::Test) && is_where_developers_are)
                || (event.asn.is_none() && network.is_some_and(wanders));
        }
        novelty.agent = match agent {
            Some(agent) if merchant.agents.trusts(agent) => Newness::Known,
            Some(agent) => match key.agents.newness(agent) {
                new if new.is_novel() && NEW_AGENTS_A_MONTH < recent(key, at) => Newness::Unknown,
                newness => newness,
            },
            None => Newness::Unknown,
        };
        novelty
    }

    /// The program is one that the key has long used.
    pub fn is_usual_program(&self) -> bool {
        self.agent == Newness::Known
    }

    /// The network is new, and says something beside another sign.
    pub fn is_elsewhere(&self) -> bool {
        self.network.is_novel() && !self.is_roaming && !self.is_near && !self.is_expected
    }

    /// Something other than the network is new as well.
    pub fn has_other_signs(&self) -> bool {
        self.agent.is_novel() || self.is_sensitive
    }
}

/// Where a merchant is at home, by the facts about it.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The facts.
    pub book: &'a FactBook,
    /// The merchant.
    pub merchant_id: Option<&'a str>,
}

impl Places<'_> {
    /// Whether one of the merchant's keys was made from there, long enough ago, and was not revoked: an intruder's would be. People make
    /// keys in offices, where nothing calls for weeks, until somebody tries something with one.
    pub fn makes_keys(&self, network: Network, at: Millis) -> bool {
        let keys = self.merchant_id.map_or(&[][..], |id| self.book.keys_of(id));
        keys.iter()
            .filter_map(|id| self.book.key(id).filter(|key| !key.is_revoked(at)))
            .filter_map(made)
            .any(|(made_at, place)| made_at + MAKER_AFTER <= at && network == place)
    }

    /// Whether it is the country of the merchant's time zone.
    pub fn is_home(&self, country: Country) -> bool {
        self.merchant_id.and_then(|id| self.book.merchant(id)?.country()) == Some(country)
    }
}

/// A place that a key was made from is the merchant's, once this long has passed.
const MAKER_AFTER: Millis = 7 * DAY;

/// When a key was made, and from where.
pub fn made(facts: &KeyFacts) -> Option<(Millis, Network)> {
    Some((facts.actor_at?, Network::of(facts.actor_ip.as_deref()?.parse().ok()?)))
}

/// Programs of a month that came up after the key was learned.
fn recent(key: &KeyFeatures, at: Millis) -> usize {
    key.agents.new_since(learned_by(key, at, 30 * DAY))
}

/// When the key was learned, or `within` ago.
fn learned_by(key: &KeyFeatures, at: Millis, within: Millis) -> Millis {
    key.baseline_since().map_or(at, |first| first + 3 * DAY).max(at - within)
}

/// New only where it is new to both; unknown where either cannot say.
fn both(key: Familiar, merchant: Familiar) -> Known {
    match (key, merchant) {
        (Familiar::Known(_), _) | (_, Familiar::Known(_)) => Known::Yes,
        (Familiar::New, Familiar::New) => Known::No,
        _ => Known::Unknown,
    }
}

/// The family of a user agent, which a release does not change: the text before its first version or comment.
pub fn family(user_agent: &str) -> &str {
    let end = user_agent.find(['/', '(', ' ', ';', ',']).unwrap_or(user_agent.len());
    let family = &user_agent[..end];
    let end = family.char_indices().nth(40).map_or(family.len(), |(at, _)| at);
    &family[..end]
}

/// The value of a call's program.
pub fn agent_of(event: &AuthEvent<'_>) -> Option<u32> {
    let user_agent = event.user_agent.as_deref().filter(|text| !text.is_empty())?;
    Some(stored_of_text(family(user_agent)))
}

/// The value of a call's endpoint: method and path.
pub fn endpoint_of(event: &AuthEvent<'_>) -> Option<u32> {
    Some(value_of(event.method.as_deref(), event.path.as_deref()?))
}

fn value_of(method: Option<&str>, path: &str) -> u32 {
    stored_of_text(path) ^ method.map_or(0, stored_of_text).rotate_left(17)
}

/// To read is not to move.
fn reads(event: &AuthEvent<'_>) -> bool {
    event.method.as_deref().is_some_and(|method| matches!(method, "GET" | "HEAD" | "OPTIONS"))
}

fn is_sensitive(event: &AuthEvent<'_>) -> bool {
    let Some(path) = event.path.as_deref() else { return false };
    !reads(event) && SENSITIVE.iter().any(|word| path.contains(word))
}

/// Endpoints of the same form that move money too, with their values: `POST /v1/payouts` beside `POST /v1/refunds`. Only
/// values are remembered, so an earlier one can be named only where its name can be told from this one.
pub fn siblings(event: &AuthEvent<'_>) -> Vec<(String, u32)> {
    let Some(path) = event.path.as_deref() else { return Vec::new() };
    let Some(word) = SENSITIVE.iter().find(|word| path.contains(**word)) else { return Vec::new() };
    let method = event.method.as_deref();
    let others = SENSITIVE.iter().filter(|other| *other != word);
    others
        .map(|other| {
            let path = path.replacen(word, other, 1);
            (format!("{} {path}", method.unwrap_or_default()).trim().to_owned(), value_of(method, &path))
        })
        .collect()
}

/// A call's network as it is learned.
pub fn seen(event: &AuthEvent<'_>, network: Network, suspect: bool) -> Seen {
    Seen { suspect, place: Whereabouts::of(event), ..Seen::once(network, event.ts, u64::from(event.count)) }
}

/// How long the usual networks or programs must go on beside new ones before it is no move and no release.
pub const SIDE_BY_SIDE: Millis = 10 * MINUTE;

/// Calls of something new that are no release and no move, since they are far more than the key makes at such a time.
const BESIDE_CALLS: u64 = 8;
const BESIDE_TIMES: f64 = 5.0;

/// The part of these calls that what is expected may have learned since.
const BESIDE_LEARNED: f64 = 0.25;

/// Whether calls of something that came up at `first_at` are too many to be the key's usual ones in another dress.
pub fn is_beside(key: &KeyFeatures, first_at: Millis, at: Millis, calls: u64) -> bool {
    if calls < BESIDE_CALLS || key.rates.days_learned() < 7 {
        return false;
    }
    let calls = calls as f64;
    let expected = (key.rates.expected_between(first_at, at) - BESIDE_LEARNED * calls).max(0.0);
    BESIDE_TIMES * (expected + 1.0) <= calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_what_a_release_does_not_change() {
        for (user_agent, want) in [
            ("caibo-php/3.2.1", "caibo-php"),
            ("Mozilla/5.0 (X11)", "Mozilla"),
            ("okhttp", "okhttp"),
            ("My Shop (v2)", "My"),
            ("", ""),
        ] {
            assert_eq!(family(user_agent), want);
        }
    }
}
