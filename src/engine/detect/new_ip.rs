//! `new_ip`: accepted use of a key from a network that neither it nor its merchant's other keys have used.

use serde_json::json;

use crate::alert::{Kind, Severity};
use crate::engine::baseline::networks::{Network, Whereabouts};
use crate::engine::baseline::values::Newness;
use crate::engine::detect::volume::number;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::{Known, Novelty, SIDE_BY_SIDE, family, is_beside};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::{Env, NetworkKind};
use crate::time::{DAY, HOUR, Millis, rfc3339};

/// Within this time of a key's first call not every day of the week was seen.
pub(super) const WEEK: Millis = 7 * DAY;

/// Nothing is surer than this.
const SURE: f64 = 0.99;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::NewIp,
    doc: "First accepted use of a key from a network (/24, /48) that neither the key nor its merchant's other keys have \
          used. Where the key's usual program calls, it may be a move: then it waits until the usual networks have gone \
          on beside the new one for ten minutes, and another network of the usual provider is no news, nor is any in the key's first week. Where no \
          database knows the provider, a network beside several known ones is taken for the usual provider's, and a key that shows a new one \
          every week or so is expected to; of a test key any is. A service that hides \
          who calls is no move (needs a GeoIP database that says so). Where a key of the merchant was made a week ago or earlier is the merchant's network, \
          unless that key was revoked, or money leaves from there for the first time. Quiet while the \
          key is being learned, and for keys that often show new networks.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "learning",
            ty: ParamType::Duration { min: 0, max: 90 * DAY, default: 3 * DAY },
            doc: "How long a key is watched before a network can be new to it.",
        },
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 1, max: 1_000_000, default: 20 },
            doc: "Accepted calls that must have been seen before a network can be new.",
        },
        ParamSpec {
            name: "max_new_per_week",
            ty: ParamType::Count { min: 0, max: 32, default: 2 },
            doc: "A key that showed more new networks than this in the last seven days changes networks by habit: no alert, unless all its networks are of one or two providers and this one is another's.",
        },
        ParamSpec {
            name: "max_novelty",
            ty: ParamType::Number { min: 0.0, max: 1.0, default: 0.02 },
            doc: "The largest chance (Good-Turing) of a new network at each call for which one is still remarkable.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long after its first use the alert ends by itself.",
        },
    ],
    build: |p| Box::new(NewIp::new(p)),
};

#[derive(Debug)]
struct NewIp {
    learning: Millis,
    min_calls: u64,
    max_new_per_week: usize,
    max_novelty: f64,
    quiet: Millis,
}

impl NewIp {
    fn new(p: &Params) -> Self {
        NewIp {
            learning: p.duration("learning"),
            min_calls: p.count("min_calls"),
            max_new_per_week: p.count("max_new_per_week") as usize,
            max_novelty: p.number("max_novelty"),
            quiet: p.duration("quiet"),
        }
    }
}

impl Detector for NewIp {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (Some(network), Some(novelty)) = (sight.network, &sight.novelty) else { return Verdict::Nothing };
        if !novelty.network.is_novel() || novelty.is_roaming {
            return Verdict::Nothing;
        }
        let first_at = novelty.network.first_at(sight.event.ts);
        self.sign(sight, network, novelty, first_at, self.opens(sight, novelty, first_at))
    }
}

impl NewIp {
    /// Whether it is remarkable by itself.
    fn opens(&self, sight: &Sight<'_>, novelty: &Novelty, first_at: Millis) -> bool {
        let (key, ts) = (sight.key, sight.event.ts);
        let Some(since) = key.baseline_since() else { return false };
        let learned = first_at - since >= self.learning && key.baseline_calls() >= self.min_calls;
        let settled = key.networks.new_since((ts - 7 * DAY).max(since + self.learning)) <= self.max_new_per_week
            && key.networks.novelty() <= self.max_novelty;
        // Of a key that wanders within its providers another one's network is as odd as of a key that stays in one network.
        let is_out = novelty.provider == Known::No && key.networks.wanders_within_providers();
        let is_of_developers = novelty.is_expected && sight.key_env == Some(Env::Test);
        if !learned || !(settled || is_out) || is_of_developers {
            return false;
        }
        if !novelty.is_usual_program() || novelty.has_other_signs() || hides(sight) {
            // Of what was tried out until now the first call was nothing.
            let is_first = matches!(novelty.network, Newness::New) || novelty.is_line_at_home;
            return (is_first || novelty.has_other_signs()) && (!novelty.is_tried_out || novelty.is_sensitive);
        }
        // The usual program somewhere else: a move, unless the usual networks go on. Before each day of the week was seen, what
        // comes once a week, from an office say, looks like that.
        WEEK <= first_at - since
            && novelty.provider != Known::Yes
            && !novelty.is_near
            && !novelty.is_expected
            && (key.networks.home_was_used_since(first_at + SIDE_BY_SIDE)
                || is_beside(key, first_at, ts, novelty.network.calls(sight.event.count)))
    }

    fn sign(&self, sight: &Sight<'_>, network: Network, novelty: &Novelty, first_at: Millis, opens: bool) -> Verdict {
        let key = sight.key;
        if !opens {
            // Only counted: nothing of the first sign's words changes.
            return Verdict::Sign(Box::new(Sign {
                part: part(network),
                source: sight.source(),
                ..Sign::further(first_at, self.quiet)
            }));
        }
        let mut known: Vec<_> = key.networks.entries().iter().filter(|s| !s.suspect).collect();
        known.sort_by_key(|s| (std::cmp::Reverse(s.calls), s.network));
        let n_known = known.len() as u64;
        let known: Vec<_> =
            known.iter().take(3).map(|s| json!({"network": s.network.to_string(), "calls": s.calls})).collect();
        let nearest = key.networks.nearest(network, Whereabouts::of(sight.event)).map(|(seen, shares)| {
            json!({"network": seen.network.to_string(), "calls": seen.calls, "shares": shares.as_str()})
        });
        let is_live = sight.key_env == Some(Env::Live);
        let elsewhere = match (novelty.provider, novelty.country) {
            (_, Known::No) => " Its country is new to the key, too.",
            (Known::No, _) => " Its provider is new to the key, too.",
            (Known::Yes, _) => " Its provider is one that the key uses.",
            _ => "",
        };
        let hides = hides(sight);
        let score = 0.7
            + if hides { 0.15 } else { 0.0 }
            + if novelty.country == Known::No { 0.1 } else { 0.0 }
            + if novelty.has_other_signs() { 0.1 } else { 0.0 }
            - if novelty.provider == Known::Yes { 0.15 } else { 0.0 };
        let score: f64 = f64::min(score, SURE);
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: part(network),
            starts_at: first_at,
            // What shows itself so late would be over before it is told, and each further network told anew.
            last_at: if self.quiet <= sight.event.ts - first_at { sight.event.ts } else { first_at },
            quiet: Some(self.quiet),
            // Nobody runs a shop through such a service: with another sign there is little doubt left.
            severity: match hides && is_live && novelty.has_other_signs() {
                true => Weight::AtLeast(Severity::Critical),
                false => Weight::AsTheRule,
            },
            score,
            summary: format!("The key was used from a network not seen before: {network}."),
            reason: format!(
                "First accepted call from {network}. Until then {} from {}.{elsewhere}{}",
                count(key.baseline_calls(), "call came", "calls came"),
                count(n_known, "network", "networks"),
                if hides { " It belongs to a service that hides who calls." } else { "" }
            ),
            source: sight.source(),
            evidence: vec![
                ("known", known.into()),
                ("known_networks", n_known.into()),
                ("known_calls", key.baseline_calls().into()),
                ("watched_since", key.baseline_since().map(rfc3339).into()),
                ("novelty", key.networks.novelty().into()),
                ("nearest", nearest.into()),
                ("network_kind", sight.event.network_kind.map(NetworkKind::as_str).into()),
                ("new_program", new_program(sight, novelty).into()),
                ("new_call", new_call(sight, novelty).into()),
            ],
        }))
    }
}

/// The program, where it is new as well.
fn new_program(sight: &Sight<'_>, novelty: &Novelty) -> Option<String> {
    sight.event.user_agent.as_deref().filter(|_| novelty.agent.is_novel()).map(|agent| family(agent).to_owned())
}

/// The call, where the key moves money out by it for the first time.
fn new_call(sight: &Sight<'_>, novelty: &Novelty) -> Option<String> {
    let path = sight.event.path.as_deref().filter(|_| novelty.is_sensitive)?;
    Some(format!("{} {path}", sight.event.method.as_deref().unwrap_or_default()).trim().to_owned())
}

/// Whether the address belongs to a service that hides who calls, by the databases.
fn hides(sight: &Sight<'_>) -> bool {
    sight.event.network_kind == Some(NetworkKind::Anonymiser)
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// The part of the key that a network's case is about.
pub(super) fn part(network: Network) -> String {
    format!("network {network}")
}
