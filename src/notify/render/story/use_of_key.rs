//! Calls that are accepted and not as usual: somebody else may have the key.

use super::super::when::{count, number};
use super::misuse::{REPLACE, TRADE};
use super::{Words, also};

pub(super) const NEW_IP: Words = Words {
    subject: |_, key| format!("{key} used from a new network"),
    tell: |t, story| {
        story.row("Used from", t.sources());
        t.calls(story);
        story.lead = format!("Your {} was used from a network we had not seen. Check that it is yours.", t.key);
        story.why.extend(t.usual_networks());
        story.why.extend(t.evidence.nearest());
        story.why.extend(t.watched());
        story.why.extend(t.evidence.odds().map(|odds| format!("For this key, a new network comes {odds}.")));
        story.nothing = match also::sentences(t).is_empty() {
            true => "There is nothing to do if you moved a server, made a new release, or an agency works there.",
            false => "There is nothing to do if you know who made these calls, and why.",
        };
        story.steps = REPLACE;
        story.trade = TRADE;
        story.did = "We blocked nothing.";
        story.after = "If you did not know the network, the steps of our first mail still hold.";
    },
    ended: |_, key| format!("Ended: no more calls from the new network with your {key}."),
};

pub(super) const SPIKE: Words = Words {
    subject: |_, key| format!("{key}: more calls than usual"),
    tell: |t, story| {
        t.count_and_senders("Calls", story);
        story.lead = match (t.evidence.count("observed"), t.usual()) {
            (Some(n), Some(usual)) => {
                let calls = t.in_window(count(n, "call"));
                format!("Your {} made {calls}; usual is {usual}. Check that this is your doing.", t.key)
            }
            _ => format!("Your {} makes more calls than usual. Check that this is your doing.", t.key),
        };
        let declined = t.evidence.count("declined_payments").zip(t.evidence.count("of_calls"));
        if let Some((declined, calls)) = declined {
            story.row("Declined payments", Some(format!("{} of {}", number(declined), count(calls, "call"))));
            story.why.push(
                "Most of these payments were declined. Somebody may be trying out stolen cards in your shop.".into(),
            );
        }
        story.why.extend(t.evidence.odds().map(|odds| format!("So many calls come {odds} for this key.")));
        story.why.extend(t.usual_networks());
        story.why.extend(t.watched());
        story.nothing = match declined {
            Some(_) => "There is nothing to do if you tried out cards yourself.",
            None => "There is nothing to do if you run a sale, an import or a campaign.",
        };
        story.steps = &[
            "Check what you released or started at that time.",
            "Look for a program that repeats failed calls without a pause.",
            "Replace the key if the calls come from a network that is not yours.",
        ];
        story.did = "We blocked nothing.";
    },
    ended: |_, key| format!("Ended: calls with your {key} are back to usual. Nothing to do."),
};

pub(super) const CLIENT_SIDE_USE: Words = Words {
    subject: |_, key| format!("{key} is used from a browser or an app"),
    tell: |t, story| {
        story.row("Page", t.evidence.text("page"));
        t.calls_and_senders(story);
        story.lead = format!("Your secret {} is in a page or an app. Anyone can read it there. Replace it.", t.key);
        story
            .why
            .push("A secret key belongs on your server only. In a page or an app every visitor can take it.".into());
        story.why.extend(t.usual_networks());
        story.nothing = "There is nothing to do if you only tried it out yourself, and it is in no page or app.";
        story.steps = &[
            "Move the calls with this key from the page or app to your server.",
            "Make a new key in the Control Panel (Profile Settings, API Key).",
            "Put the new key on your server and check that one payment works.",
            "Revoke the old key.",
            "Review payments and refunds since the first call.",
        ];
        story.trade = TRADE;
        story.did = "We blocked nothing. The key still works.";
        story.after = "If the key was in a page or an app, do replace it.";
    },
    ended: |_, key| format!("Ended: no more calls from browsers or apps with your {key}."),
};

pub(super) const DORMANT_AWAKE: Words = Words {
    subject: |_, key| format!("{key} is used again after a long rest"),
    tell: |t, story| {
        let unused = t.evidence.count("unused_days").map(|days| count(days, "day"));
        story.row("Last used before", t.time("last_used_at"));
        story.row("Not used for", unused.clone());
        t.calls_and_senders(story);
        story.lead = match unused {
            Some(days) => format!("Your {} was used again after {days}. Check that this is your doing.", t.key),
            None => format!("Your {} was used again after a long time. Check that this is your doing.", t.key),
        };
        story.why.push("A key that rests for long is easily forgotten, and found by others.".to_owned());
        story.why.extend(t.usual_networks());
        story.nothing = "There is nothing to do if you started something again, such as a yearly job.";
        story.steps = &[
            "Ask whoever runs your shop whether they use this key again.",
            "Make a new key in the Control Panel (Profile Settings, API Key) if nobody does.",
            "Revoke the old key.",
            "Review payments and refunds since the first call.",
        ];
        story.did = "We blocked nothing.";
        story.after = "If nobody of yours used the key, the steps of our first mail still hold.";
    },
    ended: |_, key| format!("Ended: a day has passed since your {key} was used again."),
};
