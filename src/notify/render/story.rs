//! What each kind of alert means, in a merchant's words. One table of texts, so that they can be read side by side.

use super::Letter;
use super::clean::{cut, foreign};
use super::evidence::Evidence;
use super::when::{count, duration, number};
use crate::alert::{Alert, Kind, State};

/// One alert told to its merchant.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Subject, at most 60 characters; the same for every mail about the case.
    pub subject: String,
    /// Fact and whether to act, for the first 100 characters.
    pub lead: String,
    /// Names and values of what happened.
    pub happened: Vec<(String, String)>,
    /// Why it is told.
    pub why: Vec<String>,
    /// When there is nothing to do.
    pub nothing: &'static str,
    /// What to do where the rule has no runbook.
    pub steps: &'static [&'static str],
    /// What comes with the steps: the price of stopping a key, whom to ask.
    pub trade: &'static str,
    /// What we did.
    pub did: &'static str,
    /// What stays to do after the end.
    pub after: &'static str,
}

/// How a key is named in running text: `live key …9f2c`.
pub fn key_name(alert: &Alert) -> String {
    let Some(hint) = alert.key_hint.as_deref().map(|hint| foreign(hint, 60)).filter(|hint| !hint.is_empty()) else {
        return match &alert.key_id {
            Some(id) => format!("key {}", cut(&foreign(id, 40), 20)),
            None => "key".to_owned(),
        };
    };
    let class = if hint.contains("_live_") {
        "live "
    } else if hint.contains("_test_") {
        "test "
    } else {
        ""
    };
    let tail = hint.rsplit_once('…').map_or_else(|| cut(&hint, 16), |(_, tail)| format!("…{}", cut(tail, 8)));
    format!("{class}key {tail}")
}

/// Subject without the merchant: fact and key. Depends on nothing that changes while a case goes on, but its kind.
pub fn subject(alert: &Alert) -> String {
    let key = key_name(alert);
    let fact = match alert.kind {
        Kind::NewIp => format!("{key} used from a new network"),
        Kind::EnvMismatch if Evidence(alert).test_key_at_live() => format!("{key} is sent to the live system"),
        Kind::EnvMismatch => format!("{key} is sent to the test system"),
        Kind::RotatedKeyUse => format!("replaced {key} is still being sent"),
        Kind::RevokedKeyUse => format!("revoked {key} is still being sent"),
        Kind::StaleKey => format!("{key} is not in use"),
        Kind::Spike => format!("{key}: more calls than usual"),
        Kind::Threshold | Kind::Custom => format!("{key}: {}", lower_first(alert.summary.trim_end_matches('.'))),
    };
    cut(&capital(&fact).replace(['[', ']', '(', ')', '<', '>', '{', '}'], ""), 60)
}

/// The story of one alert.
pub fn story(letter: &Letter<'_>, alert: &Alert) -> Story {
    let evidence = Evidence(alert);
    let (key, zone) = (key_name(alert), letter.zone());
    let mut story = Story { subject: subject(alert), happened: letter.key_rows(alert), ..Story::default() };
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            story.happened.push((name.to_owned(), value));
        }
    };
    let time = |name: &str| evidence.time(name).map(|at| zone.at(at));
    let facts = letter.key_facts(alert);
    let refused = evidence.count("refused").unwrap_or(0);
    let accepted = evidence.count("accepted");

    match alert.kind {
        Kind::NewIp => {
            let (sources, more) = evidence.sources();
            row("Used from", Some(listed(sources, more)).filter(|text| !text.is_empty()));
        }
        Kind::Spike => {
            row("Calls", evidence.count("observed").map(|n| in_window(number(n), &evidence)));
            row("Usual", evidence.expected().map(|usual| in_window(usual, &evidence)));
        }
        Kind::RotatedKeyUse => {
            let replaced = evidence.time("replaced_at").or(facts.and_then(|key| key.replaced_at));
            row("Replaced", replaced.map(|at| zone.at(at)));
            row("New key", evidence.text("replaced_by_hint"));
            let until = evidence.time("grace_until").or(facts.and_then(|key| key.grace_until));
            row(
                if until.is_some_and(|at| at <= alert.detected_at) { "Old key stopped" } else { "Old key stops" },
                until.map(|at| zone.at(at)),
            );
        }
        Kind::RevokedKeyUse => {
            row("Revoked", evidence.time("revoked_at").or(facts.and_then(|key| key.revoked_at)).map(|at| zone.at(at)));
        }
        Kind::StaleKey => {
            row("Created", facts.and_then(|key| key.created_at).map(|at| zone.at(at)));
            row("Last call", Some(time("last_used_at").unwrap_or_else(|| "none that we have seen".to_owned())));
            row("Not used for", evidence.count("unused_days").map(|days| count(days, "day")));
        }
        Kind::Threshold => {
            row("Such calls", evidence.count("observed").map(|n| in_window(number(n), &evidence)));
        }
        Kind::EnvMismatch | Kind::Custom => {}
    }
    if alert.kind != Kind::StaleKey {
        row("First call", time("first_at").or_else(|| Some(zone.at(alert.starts_at))));
        row("Last call", time("last_at"));
        row("Calls accepted", accepted.map(number));
        row("Calls refused", evidence.count("refused").map(number));
        row("Mostly called", evidence.text("endpoint"));
        if alert.kind != Kind::NewIp {
            let (sources, more) = evidence.sources();
            row("Sent from", Some(listed(sources, more)).filter(|text| !text.is_empty()));
        }
    }

    let usual_networks = usual_networks(&evidence);
    let watched = evidence.time("watched_since").map(|at| format!("We have watched this key since {}.", zone.day(at)));
    match alert.kind {
        Kind::NewIp => {
            story.lead = format!("Your {key} was used from a network we had not seen. Check that it is yours.");
            story.why.extend(usual_networks);
            story.why.extend(watched);
            story.why.extend(evidence.odds().map(|odds| format!("For this key, a new network comes {odds}.")));
            story.nothing =
                "There is nothing to do if you moved a server, made a new release, or an agency works there.";
            story.steps = &[
                "Make a new key in the Control Panel (Profile Settings, API Key).",
                "Put the new key on your server and check that one payment works.",
                "Revoke the old key.",
                "Review payments and refunds since the first call.",
                "Tell support what you found and give them the reference.",
            ];
            story.trade =
                "Revoking the old key first is safest. It also stops your shop until the new key is in place.";
            story.did = "We blocked nothing.";
            story.after = "If you did not know the network, the steps of our first mail still hold.";
        }
        Kind::EnvMismatch if evidence.test_key_at_live() => {
            story.lead = if accepted.unwrap_or(0) > 0 {
                format!("Your {key} is sent to the live system. Put the live key there.")
            } else {
                format!("Your {key} is sent to the live system. These payments fail. Put the live key there.")
            };
            story.why.push("A test key moves no real money. The live system needs a live key.".to_owned());
            story.nothing = "There is nothing to do if somebody only tried something out, and no customer was paying.";
            story.steps = &[
                "Find the server and program named above.",
                "Put your live key there in place of the test key.",
                "Make one small payment and check that it works.",
            ];
            story.did = if accepted.unwrap_or(0) > 0 {
                "We blocked nothing."
            } else {
                "The live system refused these calls, as it does for every test key."
            };
        }
        Kind::EnvMismatch => {
            story.lead = format!("Your {key} was sent to the test system. Remove it there: it can move real money.");
            story
                .why
                .push("A live key now lies in a test system. More people can often read such a system.".to_owned());
            story.nothing = "There is nothing more to do if the key is removed and only you can read that system.";
            story.steps = &[
                "Remove the live key from the test system named above.",
                "Put a test key there.",
                "Make a new live key if others can read that system.",
                "Revoke the old live key once the new one works.",
            ];
            story.trade =
                "Revoking the live key first is safest. It also stops your shop until the new key is in place.";
            story.did = "We blocked nothing. The live key still works.";
            story.after = "If others could read that system, do replace the key.";
        }
        Kind::RotatedKeyUse => {
            let (some, all) = (accepted.unwrap_or(0) > 0, refused == 0);
            story.lead = match (some, all) {
                (true, true) => format!("Your replaced {key} is still being sent. Put the new key there."),
                (true, false) => {
                    format!(
                        "Your replaced {key} is still being sent. Some of those calls are refused. Put the new key there."
                    )
                }
                (false, _) => {
                    format!("Your replaced {key} is still being sent. Those calls are refused. Put the new key there.")
                }
            };
            story.why.push("You replaced this key, and a server still sends it.".to_owned());
            let fails = match (some, all) {
                (true, true) => "The old key should have stopped. Its calls can fail at any time.",
                (true, false) => "The old key should have stopped. Some of its calls fail.",
                (false, _) => "Its calls fail.",
            };
            story.why.push(fails.to_owned());
            story.nothing = "There is nothing to do if that server is no longer needed.";
            story.steps = &[
                "Find the servers named above.",
                "Put the new key there.",
                "Make one call and check that it is accepted.",
            ];
            story.did = if some {
                "We blocked nothing. Calls with the replaced key were still accepted."
            } else {
                "Calls with the replaced key are refused. We changed nothing else."
            };
        }
        Kind::RevokedKeyUse => {
            let some = accepted.unwrap_or(0) > 0;
            story.lead = if some {
                format!("Your revoked {key} is still being sent, and calls were accepted. Find out who sends it.")
            } else {
                format!("Your revoked {key} is still being sent. Its calls are refused. Find out who sends it.")
            };
            story.why.push("A revoked key should be in no server. Somebody or something still has it.".to_owned());
            story.why.extend(usual_networks);
            story.nothing = "There is nothing to do if the server is yours and is no longer needed.";
            story.steps = &[
                "Check whether the network named above is yours.",
                "Put a new key there if it is your server.",
                "Tell support if you do not know the network.",
            ];
            story.did = if some {
                "We blocked nothing. Calls with the revoked key were still accepted."
            } else {
                "Calls with the revoked key are refused. Your other keys work as before."
            };
        }
        Kind::StaleKey => {
            story.lead = match evidence.count("unused_days") {
                Some(days) => {
                    format!("Your {key} was not used for {}. Revoke it if you do not need it.", count(days, "day"))
                }
                None => format!("Your {key} is not in use. Revoke it if you do not need it."),
            };
            story.why.push("A key that nobody uses can still be taken and used by others.".to_owned());
            story.why.extend(watched);
            story.nothing = "There is nothing to do if you keep it for something that runs seldom.";
            story.steps = &[
                "Ask whoever runs your shop whether anything needs this key.",
                "Revoke it in the Control Panel (Profile Settings, API Key).",
            ];
            story.did = "We blocked nothing. The key still works.";
        }
        Kind::Spike => {
            story.lead = match (evidence.count("observed"), evidence.expected()) {
                (Some(n), Some(usual)) => {
                    let calls = in_window(count(n, "call"), &evidence);
                    format!("Your {key} made {calls}; usual is {usual}. Check that this is your doing.")
                }
                _ => format!("Your {key} makes more calls than usual. Check that this is your doing."),
            };
            story.why.extend(evidence.odds().map(|odds| format!("So many calls come {odds} for this key.")));
            story.why.extend(usual_networks);
            story.why.extend(watched);
            story.nothing = "There is nothing to do if you run a sale, an import or a campaign.";
            story.steps = &[
                "Check what you released or started at that time.",
                "Look for a program that repeats failed calls without a pause.",
                "Replace the key if the calls come from a network that is not yours.",
            ];
            story.did = "We blocked nothing.";
        }
        Kind::Threshold | Kind::Custom => {
            let what = alert.summary.trim_end_matches('.');
            story.lead =
                format!("{}: {}. Check that this is your doing.", capital(&format!("your {key}")), lower_first(what));
            story.why.push("Calls such as these are worth a look.".to_owned());
            story.why.extend(usual_networks);
            story.nothing = "There is nothing to do if you know these calls.";
            story.steps = &[
                "Check whether these calls come from your own servers.",
                "Replace the key if they do not.",
                "Tell support what you found and give them the reference.",
            ];
            story.did = "We blocked nothing.";
        }
    }
    if story.why.is_empty() {
        story.why.push("This is not usual for this key.".to_owned());
    }
    if alert.state == State::Resolved {
        story.lead = ended_lead(alert, &key);
        story.happened.push(("Began".to_owned(), zone.at(alert.starts_at)));
        if let Some(end) = alert.ends_at {
            story.happened.push(("Ended".to_owned(), zone.at(end)));
            story.happened.push(("Lasted".to_owned(), duration(end - alert.starts_at)));
        }
    }
    story
}

/// The first words of a case's last mail.
fn ended_lead(alert: &Alert, key: &str) -> String {
    match alert.kind {
        Kind::NewIp => format!("Ended: no more calls from the new network with your {key}."),
        Kind::EnvMismatch if Evidence(alert).test_key_at_live() => {
            format!("Ended: your {key} is no longer sent to the live system.")
        }
        Kind::EnvMismatch => format!("Ended: your {key} is no longer sent to the test system."),
        Kind::RotatedKeyUse => format!("Ended: your replaced {key} is no longer sent. Nothing to do."),
        Kind::RevokedKeyUse => format!("Ended: your revoked {key} is no longer sent. Nothing to do."),
        Kind::StaleKey => format!("Ended: your {key} is in use again, or revoked. Nothing to do."),
        Kind::Spike => format!("Ended: calls with your {key} are back to usual. Nothing to do."),
        Kind::Threshold | Kind::Custom => format!("Ended: no more such calls with your {key}."),
    }
}

fn usual_networks(evidence: &Evidence<'_>) -> Option<String> {
    let known = evidence.known();
    (!known.is_empty()).then(|| format!("Its usual networks: {}.", listed(known, evidence.known_hidden())))
}

fn in_window(what: String, evidence: &Evidence<'_>) -> String {
    evidence.window().map_or_else(|| what.clone(), |window| format!("{what} in {window}"))
}

/// `a; b; and 3 more`.
pub fn listed(mut items: Vec<String>, more: usize) -> String {
    if more > 0 {
        items.push(format!("and {} more", number(more as i64)));
    }
    items.join("; ")
}

/// With its first letter large.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// With its first letter small.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
