//! A key in the wrong place, or one that should be gone: most often a server that was forgotten.

use super::{Story, Telling, Words};
use crate::alert::Kind;
use crate::notify::render::evidence::Evidence;

pub(super) const ENV_MISMATCH: Words = Words {
    subject: |alert, key| match Evidence(alert).test_key_at_live() {
        true => format!("{key} is sent to the live system"),
        false => format!("{key} is sent to the test system"),
    },
    tell: |t, story| {
        t.calls_and_senders(story);
        match t.evidence.test_key_at_live() {
            true => test_key_at_live(t, story),
            false => live_key_at_test(t, story),
        }
    },
    ended: |alert, key| match Evidence(alert).test_key_at_live() {
        true => format!("Ended: your {key} is no longer sent to the live system."),
        false => format!("Ended: your {key} is no longer sent to the test system."),
    },
};

fn test_key_at_live(t: &Telling<'_>, story: &mut Story) {
    story.lead = if t.accepted > 0 {
        format!("Your {} is sent to the live system. Put the live key there.", t.key)
    } else {
        format!("Your {} is sent to the live system. These payments fail. Put the live key there.", t.key)
    };
    story.why.push("A test key moves no real money. The live system needs a live key.".to_owned());
    story.nothing = "There is nothing to do if somebody only tried something out, and no customer was paying.";
    story.steps = &[
        "Find the server and program named above.",
        "Put your live key there in place of the test key.",
        "Make one small payment and check that it works.",
    ];
    story.did = if t.accepted > 0 {
        "We blocked nothing."
    } else {
        "The live system refused these calls, as it does for every test key."
    };
}

fn live_key_at_test(t: &Telling<'_>, story: &mut Story) {
    story.lead = format!("Your {} was sent to the test system. Remove it there: it can move real money.", t.key);
    story.why.push("A live key now lies in a test system. More people can often read such a system.".to_owned());
    story.nothing = "There is nothing more to do if the key is removed and only you can read that system.";
    story.steps = &[
        "Remove the live key from the test system named above.",
        "Put a test key there.",
        "Make a new live key if others can read that system.",
        "Revoke the old live key once the new one works.",
    ];
    story.trade = "Revoking the live key first is safest. It also stops your shop until the new key is in place.";
    story.did = "We blocked nothing. The live key still works.";
    story.after = "If others could read that system, do replace the key.";
}

pub(super) const ROTATED_KEY_USE: Words = Words {
    subject: |_, key| format!("replaced {key} is still being sent"),
    tell: |t, story| {
        let facts = t.letter.key_facts(t.alert);
        let replaced = t.evidence.time("replaced_at").or(facts.and_then(|key| key.replaced_at));
        story.row("Replaced", replaced.map(|at| t.zone.at(at)));
        story.row("New key", t.evidence.text("replaced_by_hint"));
        let until = t.evidence.time("grace_until").or(facts.and_then(|key| key.grace_until));
        let is_over = until.is_some_and(|at| at <= t.alert.detected_at);
        story.row(if is_over { "Old key stopped" } else { "Old key stops" }, until.map(|at| t.zone.at(at)));
        t.calls_and_senders(story);
        let (some, all) = (t.accepted > 0, t.refused == 0);
        let what = match (some, all) {
            (true, true) => "",
            (true, false) => " Some of those calls are refused.",
            (false, _) => " Those calls are refused.",
        };
        // Who replaced it is not known. Where another alert says that it was done from an odd place, that comes first.
        let is_odd = was_replaced_oddly(t);
        story.lead = match is_odd {
            true => format!("Your {} was replaced, from a network we had not seen. Check who did it.", t.key),
            false => format!("Your replaced {} is still being sent.{what} Put the new key there.", t.key),
        };
        story.why.push("This key was replaced, and a server still sends it.".to_owned());
        story.why.push("If none of you replaced it, somebody else can sign in. Tell support at once.".to_owned());
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
    },
    ended: |_, key| format!("Ended: your replaced {key} is no longer sent. Nothing to do."),
};

/// Whether the same mail tells that the key's successor was made in an odd place.
fn was_replaced_oddly(t: &Telling<'_>) -> bool {
    let made: Vec<Evidence<'_>> = t.letter.items.iter().map(|item| Evidence(item.alert)).collect();
    made.iter().any(|made| {
        made.0.kind == Kind::KeyLifecycle && made.text("replaces").is_some() && made.text("replaces") == t.alert.key_id
    }) || t.alert.reasons.iter().any(|reason| reason.kind == Kind::KeyLifecycle)
}

pub(super) const REVOKED_KEY_USE: Words = Words {
    subject: |_, key| format!("revoked {key} is still being sent"),
    tell: |t, story| {
        let revoked = t.letter.key_facts(t.alert).and_then(|key| key.revoked_at);
        story.row("Revoked", t.evidence.time("revoked_at").or(revoked).map(|at| t.zone.at(at)));
        t.calls_and_senders(story);
        let some = t.accepted > 0;
        story.lead = if some {
            format!("Your revoked {} is still being sent, and calls were accepted. Find out who sends it.", t.key)
        } else {
            format!("Your revoked {} is still being sent. Its calls are refused. Find out who sends it.", t.key)
        };
        story.why.push("A revoked key should be in no server. Somebody or something still has it.".to_owned());
        story.why.extend(t.usual_networks());
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
    },
    ended: |_, key| format!("Ended: your revoked {key} is no longer sent. Nothing to do."),
};

pub(super) const SUSPENDED_USE: Words = Words {
    subject: |_, key| format!("{key} is sent while the account is suspended"),
    tell: |t, story| {
        story.row("Suspended", t.time("suspended_at"));
        t.calls_and_senders(story);
        let some = t.accepted > 0;
        story.lead = if some {
            format!("Your account is suspended, and your {} is still sent. Ask support.", t.key)
        } else {
            format!("Your account is suspended. Calls with your {} are refused. Ask support.", t.key)
        };
        story.why.push("While an account is suspended, its keys should take no payments.".to_owned());
        story.nothing = "There is nothing to do if you know of it and have stopped taking payments.";
        story.steps = &[
            "Ask support why the account is suspended, and what they need.",
            "Tell your customers that payments do not work for now.",
            "Stop the servers named above if they call without a pause.",
        ];
        story.did = if some {
            "We blocked nothing. Some calls were still accepted."
        } else {
            "These calls were refused, as is every call of a suspended account."
        };
    },
    ended: |_, key| format!("Ended: your {key} is no longer sent, or your account works again."),
};
