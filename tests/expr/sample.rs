//! Events to ask conditions about: one of which everything is known, and one of which nothing is.

use keywatch::engine::baseline::networks::{Network, NetworkBook, Seen};
use keywatch::engine::baseline::rates::Window;
use keywatch::engine::subject::{KeyFeatures, MerchantFeatures};
use keywatch::event::facts::{KeyFacts, MerchantFacts, MerchantStatus};
use keywatch::event::{AuthEvent, Country, Env, Outcome, Refusal};
use keywatch::rules::expr::Scope;
use keywatch::time::{DAY, HOUR, MINUTE};

/// Monday 2026-11-23T08:00:00Z.
pub const NOW: i64 = 1_795_420_800_000;

/// An event with all that a scope lends.
pub struct Sample {
    event: AuthEvent<'static>,
    known: Option<Known>,
}

struct Known {
    key: KeyFeatures,
    facts: KeyFacts,
    merchant: MerchantFeatures,
    merchant_facts: MerchantFacts,
    windows: [Window; 2],
}

impl Sample {
    /// Nothing but what an event must have.
    pub fn bare() -> Self {
        let event = AuthEvent { key_id: None, outcome: Outcome::Ok, ..AuthEvent::at(NOW, "", None) };
        Sample { event, known: None }
    }

    /// A refused call of a well-known key from a strange network.
    pub fn full() -> Self {
        let text = |text: &'static str| Some(text.into());
        let event = AuthEvent {
            key_id: text("k_1"),
            key_env: Some(Env::Live),
            merchant_id: text("m_1"),
            endpoint_env: Some(Env::Live),
            method: text("POST"),
            path: text("/v1/refunds/{id}"),
            source_ip: Some("203.0.113.7".parse().unwrap()),
            user_agent: text("Python-requests/2.31"),
            origin: text("https://shop.example.com"),
            outcome: Outcome::Denied,
            reason: Some(Refusal::RevokedKey),
            count: 3,
            country: Country::new("US"),
            asn: Some(64500),
            status: Some(403),
            latency_ms: Some(12.5),
            ..Sample::bare().event
        };
        let mut key = KeyFeatures::new("k_1");
        key.first_seen = Some(NOW - 9 * DAY);
        key.last_seen = Some(NOW - MINUTE);
        key.last_accepted = Some(NOW - 2 * HOUR);
        (key.accepted, key.refused) = (500, 3);
        let home = Network::of("198.51.100.1".parse().unwrap());
        let seen = Seen { first_at: NOW - 9 * DAY, ..Seen::once(home, NOW - HOUR, 500) };
        key.networks = NetworkBook::from_entries(vec![seen]);
        let facts = KeyFacts {
            name: Some("shop".into()),
            created_at: Some(NOW - 10 * DAY),
            revoked_at: Some(NOW - DAY),
            ..KeyFacts::default()
        };
        let merchant_facts = MerchantFacts {
            name: Some("Shop".into()),
            tags: Some(vec!["vip".into()]),
            timezone: Some("Asia/Tokyo".into()),
            status: vec![(NOW - 5 * DAY, MerchantStatus::Active), (NOW - DAY, MerchantStatus::Suspended)],
            ..MerchantFacts::default()
        };
        let window = |length, observed, expected| Window { starts_at: NOW, length, observed, expected };
        let windows = [window(10 * MINUTE, 50, 1.5), window(HOUR, 60, 9.0)];
        let known = Known { key, facts, merchant: MerchantFeatures::default(), merchant_facts, windows };
        Sample { event, known: Some(known) }
    }

    /// Asks something about it.
    pub fn ask<T>(&self, ask: impl FnOnce(&Scope<'_>) -> T) -> T {
        let mut scope = Scope::of(&self.event);
        if let Some(known) = &self.known {
            scope = Scope {
                key_env: Some(Env::Live),
                key: Some(&known.key),
                key_facts: Some(&known.facts),
                merchant: Some(&known.merchant),
                merchant_facts: Some(&known.merchant_facts),
                windows: Some(&known.windows),
                ..scope
            };
        }
        ask(&scope)
    }
}
