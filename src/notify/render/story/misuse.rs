//! Calls that are accepted and new for the key in some way: signs that somebody else may have it.

use super::super::evidence::Evidence;
use super::super::when::{count, number};
use super::{Story, Telling, Words};

/// What to do when somebody else may have the key.
pub(super) const REPLACE: &[&str] = &[
    "Make a new key in the Control Panel (Profile Settings, API Key).",
    "Put the new key on your server and check that one payment works.",
    "Revoke the old key.",
    "Review payments and refunds since the first call.",
    "Tell support what you found and give them the reference.",
];
pub(super) const TRADE: &str =
    "Revoking the old key first is safest. It also stops your shop until the new key is in place.";

/// What the kinds have in common.
fn tell(t: &Telling<'_>, story: &mut Story) {
    t.calls_and_senders(story);
    advise(t, story);
}

/// What to do about it, and why it is said.
fn advise(t: &Telling<'_>, story: &mut Story) {
    story.why.extend(t.usual_networks());
    story.why.extend(t.watched());
    story.steps = REPLACE;
    story.trade = TRADE;
    story.did = "We blocked nothing.";
    story.after = "If you did not know these calls, the steps of our first mail still hold.";
}

pub(super) const IP_FANOUT: Words = Words {
    subject: |_, key| format!("{key} used from many new networks"),
    tell: |t, story| {
        let many = t.evidence.count("observed").map(|n| t.in_window(count(n, "network")));
        story.row("New networks", many);
        story.lead = format!("Your {} is used from many networks at once. Others may have it. Replace it.", t.key);
        story.why.push("A key that lies in a public place, a page or an app is used like this.".to_owned());
        tell(t, story);
        story.nothing = "There is nothing to do if your own programs run in all these places.";
    },
    ended: |_, key| format!("Ended: no more calls from new networks with your {key}."),
};

pub(super) const IMPOSSIBLE_TRAVEL: Words = Words {
    subject: |_, key| format!("{key} used in two countries at once"),
    tell: |t, story| {
        let (new, usual) = (t.evidence.country("country"), t.evidence.country("usual_country"));
        story.row("New country", new.clone());
        story.row("Usual country", usual.clone());
        story.lead = match (new, usual) {
            (Some(new), Some(usual)) => {
                format!("Your {} was used in {new} and {usual} at once. Check that both are yours.", t.key)
            }
            _ => format!("Your {} was used in two countries at the same time. Check that both are yours.", t.key),
        };
        story.why.push("Your usual servers went on calling meanwhile, so this is no move.".to_owned());
        tell(t, story);
        story.nothing = "There is nothing to do if a server, an agency or a service works for you in that country.";
    },
    ended: |_, key| format!("Ended: no more calls from the new country with your {key}."),
};

pub(super) const NEW_USER_AGENT: Words = Words {
    subject: |alert, key| match Evidence(alert).text("tool").as_deref() {
        Some("finds_keys") => format!("{key} found by a program that collects leaked keys"),
        Some(_) => format!("{key} used by a program made for attacks"),
        None => format!("{key} used by another program"),
    },
    tell: |t, story| {
        story.row("Program", t.evidence.text("program"));
        match t.evidence.text("tool").as_deref() {
            Some("finds_keys") => {
                story.lead =
                    format!("A program that collects leaked keys tried your {}, and it worked. Replace it.", t.key);
                story.why.push("Such programs try keys that lie in public code, pages or apps.".to_owned());
                tell(t, story);
                story.nothing = "There is nothing to do if you searched your own code for keys. Take the key out there all the same.";
            }
            Some(_) => {
                story.lead = format!("A program made for attacks uses your {}. Check that you started it.", t.key);
                story.why.push("Such programs look for weaknesses. Testers use them, and so do thieves.".to_owned());
                tell(t, story);
                story.nothing = "There is nothing to do if somebody tests the security of your shop for you.";
            }
            None => {
                story.lead = format!("A program that is new to us uses your {}. Check that it is yours.", t.key);
                story.why.push("Your usual program goes on beside it, so this is no new version.".to_owned());
                tell(t, story);
                story.nothing = "There is nothing to do if you started a new program, a script or a test.";
            }
        }
    },
    ended: |_, key| format!("Ended: no more calls by the new program with your {key}."),
};

pub(super) const NEW_ENDPOINT: Words = Words {
    subject: |_, key| format!("{key}: first refunds or payouts"),
    tell: |t, story| {
        story.row("New calls", t.evidence.texts("endpoints").or_else(|| t.evidence.text("endpoint")));
        story.lead = format!("Your {} was used to move money out for the first time. Check that you did it.", t.key);
        story.why.push("This key was never used for such calls before.".to_owned());
        let such = t.evidence.count("calls_to_it");
        match such {
            // Calls before the third are in that number, and in no other.
            Some(n) if t.accepted + t.refused < n => {
                let first = t.evidence.first_call().unwrap_or(t.alert.starts_at);
                story.row("First call", Some(t.zone.at(first)));
                story.row("Last call", t.time("last_at"));
                story.row("Such calls", such.map(number));
            }
            _ => t.calls(story),
        }
        story.row("Sent from", t.sources());
        advise(t, story);
        story.nothing = "There is nothing to do if you began to refund or pay out by program.";
        story.trade = "If the money is not yours to move, revoke the key first. It stops your shop until the new key is in place.";
    },
    ended: |_, key| format!("Ended: no more calls of the new kind with your {key}."),
};

pub(super) const OFF_HOURS: Words = Words {
    subject: |_, key| format!("{key} used at an unusual hour"),
    tell: |t, story| {
        t.count_and_senders("Calls", story);
        story.lead = format!("Your {} was used at an hour at which it always rests. Check that it was you.", t.key);
        story.why.extend(t.evidence.odds().map(|odds| format!("So many calls at this hour come {odds} for this key.")));
        advise(t, story);
        story.nothing = "There is nothing to do if somebody worked late, or a job now runs at another time.";
    },
    ended: |_, key| format!("Ended: no more calls at unusual hours with your {key}."),
};
