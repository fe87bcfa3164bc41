//! `client_side_use`: a secret key that lies in a page or an app, where everybody can read it.
//!
//! A browser says so itself: it sends `Origin` or `Referer`, which a server has no reason to send. A user agent alone
//! says less, since some programs of servers call themselves `Mozilla`: it counts where the calls come from several
//! networks at once that are new, as visitors' do, of a key whose networks are otherwise settled.

use std::num::NonZeroU32;

use crate::alert::{Kind, Severity};
use crate::engine::baseline::networks::Seen;
use crate::engine::detect::{Detector, DetectorSpec, Fires, Sight, Sign, Verdict, Weight};
use crate::engine::novelty::Known;
use crate::engine::params::{ParamSpec, ParamType};
use crate::event::{AuthEvent, Env};
use crate::time::{DAY, HOUR, Millis};

/// How rules and the reference see it.
pub const SPEC: DetectorSpec = DetectorSpec {
    kind: Kind::ClientSideUse,
    doc: "Accepted use of a secret key from a browser or an app: with an `Origin` or a `Referer` of a page, or with a \
          browser's or a mobile system's user agent from `visitors` new networks within a day, of providers that the key does not use \
          (three times as many where its own servers use the same program). At least `high` for a live key.",
    fires: Fires::OnAccepted,
    params: &[
        ParamSpec {
            name: "visitors",
            ty: ParamType::Count { min: 1, max: 32, default: 3 },
            doc: "New networks within a day that it takes where only the user agent tells.",
        },
        ParamSpec {
            name: "quiet",
            ty: ParamType::Duration { min: HOUR, max: 30 * DAY, default: DAY },
            doc: "How long without another such call ends the alert.",
        },
    ],
    build: |p| Box::new(ClientSideUse { visitors: p.count("visitors") as usize, quiet: p.duration("quiet") }),
};

#[derive(Debug)]
struct ClientSideUse {
    visitors: usize,
    quiet: Millis,
}

/// What shows that a call does not come from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Page,
    Browser,
    App,
}

impl Detector for ClientSideUse {
    fn on_event(&self, sight: &Sight<'_>) -> Verdict {
        let Some(mark) = mark(sight.event).filter(|_| sight.accepted()) else { return Verdict::Nothing };
        if mark != Mark::Page && !self.are_visitors(sight) {
            return Verdict::Nothing;
        }
        let (word, reason) = match mark {
            Mark::Page => ("page", "An accepted call names a page that it was made from, as only browsers do."),
            Mark::Browser => ("browser", "Accepted calls with a browser's user agent came from several new networks."),
            Mark::App => ("app", "Accepted calls with a mobile app's user agent came from several new networks."),
        };
        let ts = sight.event.ts;
        let mut evidence: Vec<(&'static str, serde_json::Value)> = vec![("mark", word.into())];
        evidence.extend(page(sight.event).map(|page| ("page", page.into())));
        let is_live = sight.key_env == Some(Env::Live);
        Verdict::Sign(Box::new(Sign {
            opens: true,
            part: String::new(),
            starts_at: ts,
            last_at: ts,
            quiet: Some(self.quiet),
            severity: if is_live { Weight::AtLeast(Severity::High) } else { Weight::AsTheRule },
            score: if mark == Mark::Page { 0.9 } else { 0.7 },
            summary: "The secret key is used from a browser or an app.".into(),
            reason: reason.into(),
            source: sight.source(),
            evidence,
        }))
    }
}

impl ClientSideUse {
    /// Whether the call is one of several that come from new networks at once, of a key whose networks were settled.
    fn are_visitors(&self, sight: &Sight<'_>) -> bool {
        let (Some(network), Some(novelty)) = (sight.network, &sight.novelty) else { return false };
        let (ts, key) = (sight.event.ts, sight.key);
        let is_known = key.networks.trusts(network) || sight.merchant.networks.trusts(network);
        // Servers of a provider that the key uses come and go.
        if !key.knows_its_networks(ts) || is_known || novelty.provider == Known::Yes || novelty.is_near {
            return false;
        }
        let today = |first_at: Millis| ts - DAY < first_at;
        let is_elsewhere = |seen: &Seen| !key.networks.is_akin(seen.network, seen.place.asn.map(NonZeroU32::get));
        let entries = key.networks.entries();
        let others =
            entries.iter().filter(|s| s.suspect && today(s.first_at) && s.network != network && is_elsewhere(s));
        let came_before = entries.iter().filter(|s| s.suspect && !today(s.first_at)).count();
        let visitors = if novelty.is_usual_program() { 3 * self.visitors } else { self.visitors };
        visitors <= others.count() + 1 && came_before <= 2
    }
}

fn mark(event: &AuthEvent<'_>) -> Option<Mark> {
    let says_page = |text: &Option<std::borrow::Cow<'_, str>>| {
        text.as_deref().is_some_and(|text| text.contains("://") || text == "null")
    };
    if says_page(&event.origin) || says_page(&event.referer) {
        return Some(Mark::Page);
    }
    of_agent(event.user_agent.as_deref()?)
}

/// The page that a call names, by its host: a mail shows it, and no program is to make a link of it.
fn page(event: &AuthEvent<'_>) -> Option<String> {
    let named = event.origin.as_deref().filter(|text| text.contains("://")).or(event.referer.as_deref())?;
    let (scheme, rest) = named.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    Some(if scheme.starts_with("http") { host.to_owned() } else { format!("{scheme}://{host}") })
}

/// What calls itself `Mozilla` and is a robot, a link preview, a monitor or a library.
const PROGRAMS: [&str; 12] = [
    "bot",
    "crawl",
    "spider",
    "compatible;",
    "headless",
    "monitor",
    "preview",
    "webhook",
    "java",
    "python",
    "php",
    "curl",
];

fn of_agent(agent: &str) -> Option<Mark> {
    // A browser names its engine.
    let is_browser = agent.starts_with("Mozilla/5.0 (")
        && ["AppleWebKit/", "Gecko/", "Trident/"].iter().any(|engine| agent.contains(engine));
    if is_browser {
        let lower = agent.to_ascii_lowercase();
        return (!PROGRAMS.iter().any(|word| lower.contains(word))).then_some(Mark::Browser);
    }
    let is_app = agent.starts_with("Dalvik/") || agent.starts_with("okhttp/") || agent.contains(" CFNetwork/");
    is_app.then_some(Mark::App)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_from_a_program() {
        for (agent, want) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
                Some(Mark::Browser),
            ),
            ("Mozilla/5.0 (Windows NT 10.0; rv:121.0) Gecko/20100101 Firefox/121.0", Some(Mark::Browser)),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", None),
            ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0)", None),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", None),
            ("Mozilla/5.0", None),
            ("Shop/3 CFNetwork/1490.0.4 Darwin/23.2.0", Some(Mark::App)),
            ("Dalvik/2.1.0 (Linux; U; Android 14)", Some(Mark::App)),
            ("okhttp/4.12.0", Some(Mark::App)),
            ("curl/8.5.0", None),
            ("shop-plugin/1.2", None),
        ] {
            assert_eq!(of_agent(agent), want, "{agent}");
        }
    }

    #[test]
    fn a_page_is_named_by_its_host() {
        for (origin, referer, is_page, want) in [
            (Some("https://shop.example"), None, true, Some("shop.example")),
            (None, Some("https://shop.example/pay/4711?x=1"), true, Some("shop.example")),
            (Some("null"), None, true, None),
            (Some("capacitor://localhost"), None, true, Some("capacitor://localhost")),
            (Some("shop"), None, false, None),
            (None, None, false, None),
        ] {
            let event = AuthEvent {
                origin: origin.map(Into::into),
                referer: referer.map(Into::into),
                ..AuthEvent::at(0, "k", None)
            };
            assert_eq!(mark(&event) == Some(Mark::Page), is_page, "{origin:?} {referer:?}");
            assert_eq!(page(&event).as_deref(), want, "{origin:?} {referer:?}");
        }
    }
}
