//! `impossible_travel`: the same key in two countries at the same time, one of them new to it.

use serde_json::json;

use crate::alert::Kind;
use crate::engine::detect::new_ip::WEEK;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::Known;
use crate::engine::params::{ParamSpec, ParamType};
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// How long the usual networks must go on beside the new one. A move ends them; the last calls of both may cross.
const CROSSING: Millis = 2 * MINUTE;

/// How long a country is new. One that comes back later has been judged the first time.
const NEW_FOR: Millis = DAY;

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::ImpossibleTravel,
    doc: "Accepted calls from a country that is new to the key and its merchant, while the usual networks in other \
          countries go on. Servers have many exits, so a country that the key has used before is never a sign, nor is the \
          usual program in another one of the usual provider. Needs a GeoIP database with countries.",
    fires: Fires::OnAccepted,
    params: &[ParamSpec {
        name: "quiet",
        ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
        doc: "How long without a call from the new country ends the alert.",
    }],
    build: |p| Box::new(ImpossibleTravel { quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct ImpossibleTravel {
    quiet: Millis,
}

impl Detector for ImpossibleTravel {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (Some(novelty), Some(country)) = (&sight.novelty, sight.event.country) else { return Verdict::Nothing };
        let (key, ts) = (sight.key, sight.event.ts);
        let is_elsewhere = novelty.network.is_novel() && novelty.country == Known::No && !novelty.is_tried_out;
        if !is_elsewhere || !key.knows_its_networks(ts) {
            return Verdict::Nothing;
        }
        let first_at = novelty.network.first_at(ts);
        let is_first_week = key.baseline_since().is_none_or(|since| first_at - since < WEEK);
        // A usual program in another country of the usual provider is a new region: servers do not travel.
        let is_moved = is_first_week || novelty.provider == Known::Yes;
        if NEW_FOR < ts - first_at || (is_moved && novelty.is_usual_program() && !novelty.has_other_signs()) {
            return Verdict::Nothing;
        }
        let home = key.networks.entries().iter().filter(|seen| {
            !seen.suspect && first_at + CROSSING <= seen.last_at && seen.place.country.is_some_and(|c| c != country)
        });
        let Some(home) = home.max_by_key(|seen| (seen.last_at, seen.network)) else { return Verdict::Nothing };
        let usual = home.place.country.map(|c| c.as_str().to_owned()).unwrap_or_default();
        let minutes = ((ts - first_at) / MINUTE).max(1);
        let within = match minutes {
            1 => "a minute".to_owned(),
            2..120 => format!("{minutes} minutes"),
            _ => format!("{} hours", minutes / 60),
        };
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: first_at,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.85,
            summary: format!("The key was used in {} and {usual} at the same time.", country.as_str()),
            reason: format!(
                "Within {within} calls came from {}, where the key was never used before, and from {usual}.",
                country.as_str()
            ),
            source: sight.source(),
            evidence: vec![
                ("country", country.as_str().into()),
                ("usual_country", usual.into()),
                ("minutes", minutes.into()),
                ("known", json!([{"network": home.network.to_string(), "calls": home.calls}])),
            ],
        }))
    }
}
