//! `key_lifecycle`: a key was made or replaced by somebody in an odd place.
//!
//! People make keys, from offices and homes, not from the servers that use them: a network that no server uses is not odd
//! by itself. It is odd where all of the merchant's keys were made in one other network until now, or where it lies in a country that
//! nothing of the merchant's has been seen in, neither calls nor people. A merchant whose people come from another network each
//! time has no usual place, and nothing is said.

use crate::alert::{Kind, Severity, Source};
use crate::engine::baseline::networks::{Familiar, Network};
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sign, Still, Verdict, Weight};
use crate::engine::novelty::{Places, made};
use crate::engine::params::{ParamSpec, ParamType};
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::KeyLifecycle,
    doc: "A key made or replaced from a network (`actor_ip` of its key event) that no key of the merchant uses, and from \
          near which none was made before. Only where all earlier keys of the merchant were made in one network, or where \
          GeoIP says that the country is another than all known ones: then at least `high`, but not for a single earlier key.",
    fires: Fires::ByTime,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long after it the alert ends by itself.",
    }],
    build: |p| Box::new(KeyLifecycle { quiet: p.duration("quiet") }),
};

/// So many keys made in one network: that is where they are made.
const PLACE: usize = 2;

#[derive(Debug)]
struct KeyLifecycle {
    quiet: Millis,
}

impl Detector for KeyLifecycle {
    fn due(&self, still: &Still<'_>, open: bool) -> Option<Millis> {
        // It ends by quiet. What was done before anything was watched is history.
        let (at, _) = made(still.facts.filter(|_| !open)?)?;
        still.watch.since.is_none_or(|since| since <= at).then_some(at)
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
        let keys = || still.book.keys_of(merchant).iter().filter_map(|id| still.book.key(id));
        let before = || keys().filter(|key| made(key).is_some_and(|(made_at, _)| made_at < at));
        let mut earlier: Vec<Network> = before().filter_map(made).map(|(_, place)| place).collect();
        // A country that nothing of the merchant's has been seen in is odd, whatever is known of earlier keys.
        let places = Places { book: still.book, merchant_id: Some(merchant) };
        let is_abroad = facts.actor_country.is_some_and(|country| !places.is_home(country))
            && used.iter().any(|seen| !seen.suspect)
            && still.merchant.networks.country(facts.actor_country) == Familiar::New
            && before().all(|key| key.actor_country != facts.actor_country);
        let is_near = earlier.iter().any(|place| network.is_beside(*place));
        if is_used || is_near {
            return Verdict::Nothing;
        }
        let n_earlier = earlier.len();
        earlier.sort_unstable();
        earlier.dedup();
        // Homes and mobile phones change their networks: only where all were made in one place is another one odd. A single one says
        // less, and nothing where the country is known to be no news.
        let is_single = n_earlier == 1 && facts.actor_country.is_none() && !network.is_in_range_of(earlier[0]);
        let agree = is_abroad || (PLACE <= n_earlier && earlier.len() == 1);
        if !agree && !is_single {
            return Verdict::Nothing;
        }
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
