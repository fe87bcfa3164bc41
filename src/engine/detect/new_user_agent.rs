//! `new_user_agent`: another program uses the key beside the usual one.

use serde_json::json;

use crate::alert::{Kind, Severity};
use crate::engine::baseline::values::Newness;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::tools::{self, Purpose};
use crate::engine::novelty::{self, SIDE_BY_SIDE, is_beside};
use crate::engine::params::{ParamSpec, ParamType, Params};
use crate::event::Env;
use crate::time::{DAY, HOUR, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::NewUserAgent,
    doc: "Accepted calls by a program (the user agent without its version) that neither the key nor its merchant's other \
          keys have used, while the usual programs go on for ten minutes and more. A new version is never a sign, and a \
          program that takes the usual one's place is a release, as is one that shops are built on. With a new network that is not expected of the key, or a first refund, it is told at \
          once, in their alert. Of a test key it is told only so: developers try programs. A program that is made to attack, or to try out \
          keys that were found, is told at its first call, and is at least `high`.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "learning",
            ty: ParamType::Duration { min: 0, max: 90 * DAY, default: 7 * DAY },
            doc: "How long a key is watched before a program can be new to it.",
        },
        ParamSpec {
            name: "min_calls",
            ty: ParamType::Count { min: 1, max: 1_000_000, default: 8 },
            doc: "Calls by the new program within a day that it takes where nothing else is new.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long without a call by the new program ends the alert.",
        },
    ],
    build: |p| Box::new(NewUserAgent::new(p)),
};

/// A program that has gone on for longer without the usual one has taken its place, however many calls it makes.
const RELEASE: Millis = 6 * HOUR;

#[derive(Debug)]
struct NewUserAgent {
    learning: Millis,
    min_calls: u64,
    quiet: Millis,
}

impl NewUserAgent {
    fn new(p: &Params) -> Self {
        NewUserAgent { learning: p.duration("learning"), min_calls: p.count("min_calls"), quiet: p.duration("quiet") }
    }

    /// The sign of a program that no shop is made of.
    fn tool(&self, sight: &Sight<'_>, word: &'static str, purpose: Purpose) -> Sign {
        let (tool, made) = match purpose {
            Purpose::FindsKeys => {
                ("finds_keys", "made to collect keys that lie in public, and to try whether they work")
            }
            Purpose::Attacks => ("attacks", "made to find weaknesses and to use them"),
        };
        let ts = sight.event.ts;
        Sign {
            opens: true,
            part: format!("tool {word}"),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AtLeast(Severity::High),
            // It says more than the new network that it comes from.
            score: 0.95,
            summary: format!("A tool of attackers and testers uses the key: {word}."),
            reason: format!("Calls came by {word}, {made}."),
            source: sight.source(),
            evidence: vec![
                ("program", word.into()),
                ("tool", tool.into()),
                ("known_calls", json!(sight.key.baseline_calls())),
            ],
        }
    }
}

impl Detector for NewUserAgent {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let (Some(novelty), Some(user_agent)) = (&sight.novelty, sight.event.user_agent.as_deref()) else {
            return Verdict::Nothing;
        };
        let (key, event) = (sight.key, sight.event);
        let ts = event.ts;
        // Whatever a key has always done, nothing needs to be known of it to tell these.
        if novelty.agent != Newness::Known
            && sight.key_env != Some(Env::Test)
            && let Some((word, purpose)) = tools::purpose_of(user_agent)
        {
            return Verdict::Sign(Box::new(self.tool(sight, word, purpose)));
        }
        if !novelty.agent.is_novel() || !key.knows_its_networks(ts) {
            return Verdict::Nothing;
        }
        let first_at = novelty.agent.first_at(ts);
        let learned = key.baseline_since().is_some_and(|since| first_at - since >= self.learning);
        let with_others = (novelty.is_elsewhere() && !novelty.is_tried_out) || novelty.is_sensitive;
        let calls = novelty.agent.calls(event.count);
        let side_by_side =
            self.min_calls <= calls && ts - first_at <= DAY && key.agents.usual_was_used_since(first_at + SIDE_BY_SIDE);
        // More calls than the key makes at all: the new program does not take the usual one's place.
        let is_beside = ts - first_at <= RELEASE
            && is_beside(key, first_at, ts, calls)
            && !key.rates.may_be_usual_burst(first_at, ts, calls as f64);
        // Developers try programs, and call a few times in a month. What shops are built on is rolled out, hour by hour.
        let is_alone = (side_by_side || is_beside)
            && !novelty.is_tried_out
            && sight.key_env != Some(Env::Test)
            && !tools::is_of_shops(user_agent);
        let family = novelty::family(user_agent);
        if !(learned && (with_others || is_alone)) {
            return Verdict::Sign(Box::new(Sign {
                part: format!("program {family}"),
                source: sight.source(),
                ..Sign::further(ts, self.quiet)
            }));
        }
        let known = key.agents.entries().iter().filter(|seen| !seen.is_young).count();
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: format!("program {family}"),
            starts_at: first_at,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: Weight::AsTheRule,
            score: 0.45,
            summary: format!("Another program uses the key: {family}."),
            reason: format!(
                "Calls came by {family}, which the key has not used before; {} until now.",
                if known == 1 { "it used one program".to_owned() } else { format!("it used {known} programs") }
            ),
            source: sight.source(),
            evidence: vec![
                ("program", family.to_string().into()),
                ("known_programs", known.into()),
                ("known_calls", json!(key.baseline_calls())),
            ],
        }))
    }
}
