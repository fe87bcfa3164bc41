//! `new_endpoint`: a key that only took payments begins to pay money out.

use serde_json::json;

use crate::alert::Kind;
use crate::engine::baseline::values::Newness;
use crate::engine::detect::volume::calls;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::siblings;
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::Env;
use crate::time::{DAY, HOUR, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::NewEndpoint,
    doc: "First accepted calls of a live key to an endpoint that moves money out or hands out secrets (refunds, payouts, \
          transfers, bank accounts, keys). Other new endpoints are releases, and no sign. With a new program, or a new \
          network that is not expected of the key, the first such call is told at once, in one alert.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "learning",
            ty: ParamType::Duration { min: 0, max: 90 * DAY, default: 7 * DAY },
            doc: "How long a key is watched before an endpoint can be new to it.",
        },
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 1, max: 1_000_000, default: 3 },
            doc: "Calls to the new endpoint that it takes where nothing else is new: one refund is a refund.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long without a call to the new endpoint ends the alert.",
        },
    ],
    build: |p| Box::new(NewEndpoint::new(p)),
};

#[derive(Debug)]
struct NewEndpoint {
    learning: Millis,
    min_calls: u64,
    quiet: Millis,
}

impl NewEndpoint {
    fn new(p: &Params) -> Self {
        NewEndpoint { learning: p.duration("learning"), min_calls: p.count("min_calls"), quiet: p.duration("quiet") }
    }
}

impl Detector for NewEndpoint {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (Some(novelty), Some(path)) = (&sight.novelty, sight.event.path.as_deref()) else {
            return Verdict::Nothing;
        };
        let (key, event) = (sight.key, sight.event);
        let ts = event.ts;
        // Developers try everything, and no money moves.
        let is_of_developers = sight.key_env == Some(Env::Test);
        if !novelty.is_sensitive || is_of_developers || !key.knows_its_networks(ts) {
            return Verdict::Nothing;
        }
        let first_at = novelty.endpoint.first_at(ts);
        let learned = key.baseline_since().is_some_and(|since| first_at - since >= self.learning);
        let with_others = novelty.agent.is_novel() || novelty.is_elsewhere();
        // A few within a while: what comes once in a day is how a shop begins with refunds.
        let many = self.min_calls <= novelty.endpoint.calls(event.count) && ts - first_at <= 6 * HOUR;
        let endpoint = format!("{} {}", event.method.as_deref().unwrap_or_default(), path).trim().to_owned();
        if !(learned && (with_others || many)) {
            return Verdict::Sign(Box::new(Sign {
                part: "money out".into(),
                source: sight.source(),
                evidence: vec![("endpoint", endpoint.into())],
                ..Sign::further(ts, self.quiet)
            }));
        }
        let others: Vec<(String, Millis)> = siblings(event)
            .into_iter()
            .filter_map(|(name, value)| match key.endpoints.newness(value) {
                Newness::Young { first_at, .. } if ts - first_at <= 6 * HOUR => Some((name, first_at)),
                _ => None,
            })
            .collect();
        // Which of them came first is not asked: whoever looks back must look back to the first of all.
        let starts_at = others.iter().map(|(_, at)| *at).fold(first_at, Millis::min);
        let endpoints: Vec<&str> =
            std::iter::once(endpoint.as_str()).chain(others.iter().map(|(name, _)| name.as_str())).collect();
        let mut evidence = vec![
            ("endpoint", endpoint.clone().into()),
            ("calls_to_it", novelty.endpoint.calls(event.count).into()),
            ("known_endpoints", key.endpoints.entries().iter().filter(|seen| !seen.is_young).count().into()),
            ("known_calls", json!(key.baseline_calls())),
        ];
        if !others.is_empty() {
            evidence.push(("endpoints", json!(endpoints)));
        }
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: "money out".into(),
            starts_at,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.6,
            summary: format!("The key was used for something new: {}.", endpoints.join(", ")),
            reason: format!(
                "First calls to {}; until now the key made {} to other endpoints.",
                endpoints.join(" and "),
                calls(key.baseline_calls())
            ),
            source: sight.source(),
            evidence,
        }))
    }
}
