//! `key_lifecycle`: a key was made or replaced by somebody in an odd place.
//!
//! People make keys, from offices and homes, not from the servers that use them: a network that no server uses is not odd
//! by itself. It is odd where the merchant's keys were made elsewhere until now, or where it lies in a country that
//! nothing of the merchant's has been seen in. A merchant whose people come from another network each time has no usual
//! place, and nothing is said.

use crate::alert::{Kind, Severity, Source};
use crate::engine::baseline::networks::{Familiar, Network};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sign, Still, Verdict, Weight};
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::facts::KeyFacts;
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::KeyLifecycle,
    doc: "A key made or replaced from a network (`actor_ip` of its key event) that no key of the merchant uses, and from \
          which none was made before. Only where it is known from where the merchant's keys are made, or where GeoIP says \
          that the country is another than all known ones. At least `high` where earlier ones agree on a place.",
    fires: Fires::ByTime,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long after it the alert ends by itself.",
    }],
    build: |p| Box::new(KeyLifecycle { quiet: p.duration("quiet") }),
};

/// So many earlier places, all of them different: there is no usual one.
const WANDERS: usize = 3;

#[derive(Debug)]
struct KeyLifecycle {
    quiet: Millis,
}

/// From where a key was made, and when.
fn made(facts: &KeyFacts) -> Option<(Millis, Network)> {
    Some((facts.actor_at?, Network::of(facts.actor_ip.as_deref()?.parse().ok()?)))
}

impl Detector for KeyLifecycle {
    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        // It ends by quiet.
        made(still.facts.filter(|_| !open)?).map(|(at, _)| at)
    }

    fn is_settled(&self, _: Millis, _: &Still<'_>, _: bool) -> bool {
        // Of the networks of calls only those count that were known an hour before.
        true
    }

    fn on_timer(&self, at: Millis, still: &Still<'_>, _: bool) -> Verdict {
        let (Some(facts), Some(merchant)) = (still.facts, still.merchant_id) else { return Verdict::Nothing };
        let Some((_, network)) = made(facts) else { return Verdict::Nothing };
        let used = still.merchant.networks.entries();
        let is_used = used.iter().any(|seen| seen.network == network && seen.first_at <= at - HOUR);
        let keys = still.book.keys_of(merchant).iter().filter_map(|id| made(still.book.key(id)?));
        let mut earlier: Vec<Network> = keys.filter(|(made_at, _)| *made_at < at).map(|(_, place)| place).collect();
        // A country that nothing of the merchant's has been seen in is odd, whatever is known of earlier keys.
        let is_abroad = facts.actor_country.is_some()
            && used.iter().any(|seen| !seen.suspect)
            && still.merchant.networks.country(facts.actor_country) == Familiar::New;
        if is_used || (earlier.is_empty() && !is_abroad) || earlier.contains(&network) {
            return Verdict::Nothing;
        }
        let n_earlier = earlier.len();
        earlier.sort_unstable();
        earlier.dedup();
        if WANDERS <= n_earlier && earlier.len() == n_earlier && !is_abroad {
            return Verdict::Nothing;
        }
        let agree = earlier.len() < n_earlier || is_abroad;
        let replaces = facts.replaces.is_some();
        let what = if replaces { "replaced" } else { "made" };
        let mut evidence: Vec<(&'static str, serde_json::Value)> = vec![
            ("made_at", rfc3339(at).into()),
            ("replaces", facts.replaces.clone().into()),
            ("made_before", n_earlier.into()),
            ("places_before", earlier.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().into()),
        ];
        evidence.extend(facts.actor.clone().map(|actor| ("actor", actor.into())));
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: at,
            last_at: at,
            quiet: Some(self.quiet),
            severity: if agree { Weight::AtLeast(Severity::High) } else { Weight::AsTheRule },
            score: if agree { 0.8 } else { 0.6 },
            summary: format!("The key was {what} from a network not seen before: {network}."),
            reason: match facts.actor_country.filter(|_| is_abroad) {
                Some(country) => format!(
                    "The key was {what} from {network} in {}, where none of the merchant's calls come from.",
                    country.as_str()
                ),
                None => format!("The key was {what} from {network}. Keys were made from elsewhere until now."),
            },
            source: facts.actor_ip.as_deref().map(|address| Source {
                address: address.to_owned(),
                network: network.to_string(),
                ..Source::default()
            }),
            evidence,
        }))
    }
}
