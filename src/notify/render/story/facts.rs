//! What is known of a key, and what follows from it: its age, its rest, its replacement.

use super::Words;
use crate::notify::render::evidence::Evidence;
use crate::notify::render::when::{count, number};

pub(super) const STALE_KEY: Words = Words {
    subject: |_, key| format!("{key} is not in use"),
    tell: |t, story| {
        let created = t.letter.key_facts(t.alert).and_then(|key| key.created_at);
        story.row("Created", created.map(|at| t.zone.at(at)));
        story.row("Last call", Some(t.time("last_used_at").unwrap_or_else(|| "none that we have seen".to_owned())));
        let unused = t.evidence.count("unused_days").map(|days| count(days, "day"));
        story.row("Not used for", unused.clone());
        story.lead = match unused {
            Some(days) => format!("Your {} was not used for {days}. Revoke it if you do not need it.", t.key),
            None => format!("Your {} is not in use. Revoke it if you do not need it.", t.key),
        };
        story.why.push("A key that nobody uses can still be taken and used by others.".to_owned());
        story.why.extend(t.watched());
        story.nothing = "There is nothing to do if you keep it for something that runs seldom.";
        story.steps = &[
            "Ask whoever runs your shop whether anything needs this key.",
            "Revoke it in the Control Panel (Profile Settings, API Key).",
        ];
        story.did = "We blocked nothing. The key still works.";
    },
    ended: |_, key| format!("Ended: your {key} is in use again, or revoked. Nothing to do."),
};

pub(super) const KEY_EXPOSED: Words = Words {
    subject: |_, key| format!("{key} was found where others can read it"),
    tell: |t, story| {
        story.row("Found", t.time("exposed_at").or_else(|| Some(t.zone.at(t.alert.starts_at))));
        story.row("Where", t.evidence.text("exposed_reason"));
        story.lead = format!("Your {} was found where others can read it. Replace it today.", t.key);
        story.why.push("Whoever has read the key can use it in your name until it is revoked.".to_owned());
        story.why.push("To delete the place is not enough. Copies of it are kept by others.".to_owned());
        story.nothing = "There is nothing to do if you have revoked this key since.";
        story.steps = &[
            "Make a new key in the Control Panel (Profile Settings, API Key).",
            "Put the new key on your server and check that one payment works.",
            "Revoke the old key.",
            "Remove the key from the place where it was found.",
            "Review payments and refunds since then.",
        ];
        story.trade = "Revoking the old key first is safest. It also stops your shop until the new key is in place.";
        story.did = "We blocked nothing. The key still works.";
    },
    ended: |_, key| format!("Ended: your {key} that others could read is revoked or replaced."),
};

pub(super) const EXPIRING_KEY: Words = Words {
    subject: |_, key| format!("{key} will stop soon and is in use"),
    tell: |t, story| {
        let expires = t.evidence.time("expires_at").or(t.letter.key_facts(t.alert).and_then(|key| key.expires_at));
        story.row("Stops", expires.map(|at| t.zone.at(at)));
        story.row("Sent from", t.sources());
        story.lead = match expires {
            Some(at) => format!("Your {} stops on {}. Put a new key in its place before.", t.key, t.zone.day(at)),
            None => format!("Your {} stops soon. Put a new key in its place before.", t.key),
        };
        story.why.push("Your shop still uses this key. Its payments fail once the key has stopped.".to_owned());
        story.nothing = "There is nothing to do if the program that uses it will be gone by then.";
        story.steps = &[
            "Make a new key in the Control Panel (Profile Settings, API Key).",
            "Put the new key on every server that uses the old one.",
            "Make one small payment and check that it works.",
        ];
        story.did = "We blocked nothing. The key works until then.";
    },
    ended: |_, key| format!("Ended: your {key} was replaced or revoked, or has stopped."),
};

pub(super) const ROTATION_OVERDUE: Words = Words {
    subject: |_, key| format!("{key} is old and should be replaced"),
    tell: |t, story| {
        let created = t.evidence.time("created_at").or(t.letter.key_facts(t.alert).and_then(|key| key.created_at));
        let age = t.evidence.count("age_days").map(|days| count(days, "day"));
        story.row("Created", created.map(|at| t.zone.at(at)));
        story.row("Age", age.clone());
        story.lead = match age {
            Some(days) => format!("Your {} is {days} old. Plan a day to replace it.", t.key),
            None => format!("Your {} is old. Plan a day to replace it.", t.key),
        };
        story.why.push("The longer a key is used, the more people and programs have seen it.".to_owned());
        story.nothing = "There is nothing to do if you have a day for it already.";
        story.steps = &[
            "Choose a quiet hour.",
            "Make a new key in the Control Panel (Profile Settings, API Key).",
            "Put the new key on every server that uses the old one.",
            "Make one small payment and check that it works.",
            "Revoke the old key.",
        ];
        story.did = "We blocked nothing. The key still works.";
    },
    ended: |_, key| format!("Ended: your {key} was replaced or revoked. Nothing to do."),
};

pub(super) const ROTATION_UNPROVEN: Words = Words {
    subject: |_, key| format!("new {key} is not doing the work yet"),
    tell: |t, story| {
        let until = t.evidence.time("grace_until");
        story.row("Old key", t.evidence.text("replaces_hint").or(t.evidence.text("replaces")));
        story.row("Old key stops", until.map(|at| t.zone.at(at)));
        let lately = |name: &str| t.evidence.count(name).map(number);
        story.row("Lately, calls with the old key", lately("calls_of_old_key"));
        story.row("Lately, calls with the new key", lately("calls_of_new_key"));
        let stops = until.map_or_else(|| "soon".to_owned(), |at| format!("on {}", t.zone.day(at)));
        story.lead = format!("Your old key stops {stops}. Put the new {} in its place before.", t.key);
        story.why.push("Your shop still works with the old key. Its payments fail once that has stopped.".to_owned());
        story.nothing = "There is nothing to do if you no longer need what uses the old key.";
        story.steps = &[
            "Put the new key on every server that uses the old one.",
            "Make one small payment and check that it works.",
            "Tell support before the old key stops if you need more time.",
        ];
        story.did = "We blocked nothing. Both keys work until then.";
    },
    ended: |alert, key| match (alert.ends_at, Evidence(alert).time("grace_until")) {
        (Some(ended), Some(until)) if until <= ended => {
            format!(
                "Ended: the old key has stopped. Payments fail where your shop does not use the new {key}. Check that."
            )
        }
        _ => format!("Ended: your new {key} does the work. Nothing to do."),
    },
};

pub(super) const KEY_LIFECYCLE: Words = Words {
    subject: |_, key| format!("{key} was made from a new network"),
    tell: |t, story| {
        let made = t.evidence.time("made_at").unwrap_or(t.alert.starts_at);
        let (verb, name) = match t.evidence.text("replaces") {
            Some(_) => ("Replaced", "Replaced from"),
            None => ("Made", "Made from"),
        };
        story.row(verb, Some(t.zone.at(made)));
        story.row(name, t.sources());
        story.row("In place of", t.evidence.text("replaces"));
        story.row("By", t.evidence.text("actor"));
        story.row("Keys were made before from", t.evidence.texts("places_before"));
        story.lead = format!("A new key, {}, was made from a network we had not seen. Check that it was you.", t.key);
        story.why.push("Whoever makes a key in your Control Panel can take payments and pay out.".to_owned());
        story.nothing = "There is nothing to do if one of you made it, from home or on a journey.";
        story.steps = &[
            "Ask everybody who can sign in to your Control Panel.",
            "Change the password of the Control Panel if nobody made this key.",
            "Revoke this key, and make another, in the Control Panel (Profile Settings, API Key).",
            "Review payments, refunds and payouts since then.",
            "Tell support what you found and give them the reference.",
        ];
        story.did = "We blocked nothing. The key works.";
        story.after = "If none of you made the key, the steps of our first mail still hold.";
    },
    ended: |_, key| format!("Ended: a day has passed since your {key} was made."),
};
