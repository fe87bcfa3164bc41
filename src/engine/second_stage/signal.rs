//! What a shard tells the second stage. Plain values that are stored as they are; telling one twice changes nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Kind, State};
use crate::engine::baseline::networks::Network;
use crate::engine::detect::error_burst;
use crate::engine::fleet::Lesson;
use crate::engine::novelty::{Novelty, agent_of};
use crate::engine::second_stage::activity::Tens;
use crate::engine::shard::{Change, Output};
use crate::engine::subject::{KeyFeatures, MerchantFeatures};
use crate::event::{AuthEvent, Outcome, Refusal};
use crate::rules::RuleSet;
use crate::time::Millis;

/// One thing that a shard has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A key's volume went out of its band.
    Found(Finding),
    /// It is back.
    Ended {
        /// The alert.
        alert_id: String,
        /// When (event time).
        at: Millis,
    },
    /// A stranger at a merchant's door.
    Knock(Knock),
    /// An alert about what a network does with a key.
    Misused(Misused),
    /// Who was active in ten minutes.
    Active(Tens),
    /// What a key teaches the fleet.
    Lesson(Lesson),
}

/// A finding about the volume of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its alert.
    pub alert_id: String,
    /// `spike`, `drop` or `error_burst`.
    pub kind: Kind,
    /// Whose key it is; for a key without a merchant the key.
    pub merchant: String,
    /// The key.
    pub key_id: Option<String>,
    /// When it began.
    pub began: Millis,
    /// When it was found (event time).
    pub at: Millis,
}

/// A call with a merchant's key from a network that is none of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knock {
    /// The network.
    pub network: String,
    /// The address.
    pub address: String,
    /// The merchant.
    pub merchant: String,
    /// Whether the call was accepted.
    pub accepted: bool,
    /// When (event time).
    pub at: Millis,
}

/// An alert about what one network does with one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misused {
    /// The alert.
    pub alert_id: String,
    /// The network.
    pub network: String,
    /// Whose key it is.
    pub merchant: String,
    /// Other networks that used it in the same episode.
    pub others: BTreeSet<String>,
    /// It moved money out or read secrets for the first time: what one network does with many keys says less.
    pub moves_money: bool,
    /// When it was found (event time).
    pub at: Millis,
}

impl Signal {
    /// When it happened, in event time: it is merged with what others tell of the same minute.
    pub fn at(&self) -> Millis {
        match self {
            Signal::Found(finding) => finding.at,
            Signal::Ended { at, .. } => *at,
            Signal::Knock(knock) => knock.at,
            Signal::Misused(misused) => misused.at,
            Signal::Active(tens) => tens.at(),
            Signal::Lesson(lesson) => lesson.at(),
        }
    }

    /// Its name within its minute: one that is told again has the same.
    pub fn name(&self) -> String {
        match self {
            Signal::Found(finding) => format!("found/{}", finding.alert_id),
            Signal::Ended { alert_id, .. } => format!("ended/{alert_id}"),
            Signal::Knock(knock) => {
                let how = if knock.accepted { "accepted" } else { "refused" };
                format!("{how}/{}/{}", knock.network, knock.merchant)
            }
            Signal::Misused(misused) if misused.moves_money => format!("moves/{}", misused.alert_id),
            Signal::Misused(misused) => format!("misused/{}/{}", misused.alert_id, misused.others.len()),
            Signal::Active(tens) => tens.name(),
            Signal::Lesson(lesson) => format!("lesson/{:08x}", lesson.key),
        }
    }

    /// All that a step tells. What rules find that nobody hears of is no matter here.
    pub fn all_of<'a>(out: &'a Output, rules: &'a RuleSet) -> impl Iterator<Item = Signal> + 'a {
        let told = out.changes.iter().filter(|change| !rules.is_shadow(&change.alert.rule));
        let (knocks, active) = (out.knocks.iter().cloned(), out.active.iter().cloned());
        let lessons = out.lessons.iter().copied().map(Signal::Lesson);
        told.filter_map(Signal::of).chain(knocks.map(Signal::Knock)).chain(active.map(Signal::Active)).chain(lessons)
    }

    /// What a change of a case is to all shards.
    fn of(change: &Change) -> Option<Signal> {
        let alert = &change.alert;
        if change.foster {
            return None;
        }
        let network = network_of_misuse(alert);
        // Who tries out keys from elsewhere is no trouble of the platform.
        let is_of_volume = alert.kind.is_of_volume() && is_from_known_network(alert) != Some(false);
        match (alert.state, network) {
            (State::Resolved, _) if is_of_volume || network.is_some() => {
                Some(Signal::Ended { alert_id: alert.alert_id.clone(), at: change.at })
            }
            (State::Firing, Some(network)) => Some(Signal::Misused(Misused {
                alert_id: alert.alert_id.clone(),
                network: network.to_owned(),
                merchant: alert.merchant_id.clone().or_else(|| alert.key_id.clone())?,
                others: other_networks(alert, network),
                moves_money: moves_money(alert),
                at: change.at,
            })),
            (State::Firing, None) if is_of_volume && alert.revision == 1 => Some(Signal::Found(Finding {
                alert_id: alert.alert_id.clone(),
                kind: alert.kind,
                merchant: alert.merchant_id.clone().or_else(|| alert.key_id.clone())?,
                key_id: alert.key_id.clone(),
                began: alert.starts_at,
                at: change.at,
            })),
            _ => None,
        }
    }
}

/// The network that an alert says misuses a key.
fn network_of_misuse(alert: &Alert) -> Option<&str> {
    use Kind::{EnvMismatch, ErrorBurst, RevokedKeyUse, RotatedKeyUse, SuspendedUse};
    let is_of_misuse = match alert.kind {
        ErrorBurst => is_from_known_network(alert) == Some(false),
        RevokedKeyUse | RotatedKeyUse | SuspendedUse | EnvMismatch => true,
        kind => kind.is_of_misuse(),
    };
    let source = alert.source.as_ref().filter(|_| is_of_misuse && alert.key_id.is_some())?;
    Some(source.network.as_str()).filter(|network| !network.is_empty())
}

/// Whether the key moved money out, or read secrets, for the first time.
fn moves_money(alert: &Alert) -> bool {
    alert.reasons.iter().any(|reason| reason.kind == Kind::NewEndpoint)
        || alert.evidence.get("new_call").is_some_and(|call| !call.is_null())
}

/// Networks other than this one that an alert blames.
fn other_networks(alert: &Alert, network: &str) -> BTreeSet<String> {
    let named = |list: &str| {
        let list = alert.evidence.get(list).and_then(serde_json::Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|one| one.get("network")?.as_str())
    };
    let is_known = |other: &str| named("known").any(|known| known == other);
    named("sources").filter(|other| *other != network && !is_known(other)).map(str::to_owned).collect()
}

fn is_from_known_network(alert: &Alert) -> Option<bool> {
    alert.evidence.get("from_known_network").and_then(serde_json::Value::as_bool)
}

impl Knock {
    /// What a call says of strangers, if anything. Where the merchant's usual program calls from a new place it has moved,
    /// or its host has: many merchants of one host move together.
    pub fn of(
        event: &AuthEvent<'_>,
        merchant_id: Option<&str>,
        network: Option<Network>,
        novelty: Option<&Novelty>,
        key: &KeyFeatures,
        merchant: &MerchantFeatures,
    ) -> Option<Knock> {
        let (network, address, merchant_id) = (network?, event.source_ip?, merchant_id?);
        let accepted = event.outcome == Outcome::Ok;
        let is_strange = match novelty {
            Some(novelty) => {
                novelty.network.is_novel()
                    && !novelty.is_roaming
                    && (!novelty.is_usual_program() || novelty.has_other_signs())
                    && key.knows_its_networks(event.ts)
            }
            None => {
                (tries_a_key(event.reason) || is_refused_without_reason(event))
                    && !merchant.networks.entries().is_empty()
                    && !merchant.networks.trusts(network)
                    && key.networks.get(network).is_none_or(|seen| seen.suspect)
                    && !agent_of(event).is_some_and(|agent| merchant.agents.trusts(agent) || key.agents.trusts(agent))
            }
        };
        is_strange.then(|| Knock {
            network: network.to_string(),
            address: address.to_string(),
            merchant: merchant_id.to_owned(),
            accepted,
            at: event.ts,
        })
    }
}

/// Whether a refused call may be the platform's fault: not what has a kind of its own, nor what somebody with a list of keys makes at
/// many merchants.
pub fn tells_of_platform(event: &AuthEvent<'_>) -> bool {
    event.outcome == Outcome::Denied && error_burst::counts(event.reason) && !tries_a_key(event.reason)
}

/// Whether a refused call shows that somebody has a key, or part of one, that is no use.
fn tries_a_key(reason: Option<Refusal>) -> bool {
    use Refusal::{EnvMismatch, ExpiredKey, MalformedKey, RevokedKey, RotatedKey, UnknownKey};
    matches!(reason, Some(UnknownKey | RevokedKey | RotatedKey | ExpiredKey | EnvMismatch | MalformedKey))
}

/// Whether a call was turned away and it is not said why: the key may be restricted, or no longer hold. A gateway that fails says so with
/// a status of its own.
fn is_refused_without_reason(event: &AuthEvent<'_>) -> bool {
    matches!(event.reason, None | Some(Refusal::Other)) && matches!(event.status, Some(401 | 403))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thief_does_with_many_keys_is_no_trouble_of_the_platform() {
        let refused = |reason| AuthEvent { outcome: Outcome::Denied, reason, ..AuthEvent::at(0, "", None) };
        for reason in [None, Some(Refusal::RateLimited), Some(Refusal::Other), Some(Refusal::MalformedHeader)] {
            assert!(tells_of_platform(&refused(reason)), "{reason:?}");
        }
        for reason in [Refusal::UnknownKey, Refusal::RevokedKey, Refusal::EnvMismatch, Refusal::ExpiredKey] {
            assert!(!tells_of_platform(&refused(Some(reason))), "{reason:?}");
        }
        assert!(!tells_of_platform(&AuthEvent { outcome: Outcome::Ok, ..AuthEvent::at(0, "", None) }), "accepted");
    }
}
