//! Calls that stay out or are refused: something broke.

use super::super::evidence::Evidence;
use super::super::when::{count, number};
use super::{Story, Telling, Words};

pub(super) const DROP: Words = Words {
    subject: |_, key| format!("{key}: far fewer calls than usual"),
    tell: |t, story| {
        let observed = t.evidence.count("observed").unwrap_or(0);
        story.row("Calls", Some(t.in_window(number(observed))));
        story.row("Usual", t.evidence.expected().map(|usual| t.in_window(usual)));
        story.row("Last call", t.time("last_used_at").or_else(|| t.time("last_at")));
        story.lead = match (t.evidence.window(), t.evidence.expected()) {
            (Some(window), Some(usual)) => {
                let calls = if observed == 0 { "no call".to_owned() } else { count(observed, "call") };
                format!("Your {} made {calls} in {window}; usual is {usual}. Check that your shop works.", t.key)
            }
            _ => format!("Your {} makes far fewer calls than usual. Check that your shop works.", t.key),
        };
        story.why.extend(t.evidence.odds().map(|odds| format!("So few calls come {odds} for this key.")));
        story.nothing = "There is nothing to do if you stopped your shop yourself, or it is a holiday.";
        story.steps = &[
            "Open your shop and make one small payment.",
            "If it fails, look at your server's log for errors since the last call.",
            "Undo what you released or changed at that time.",
            "Tell support the time of the last call if you cannot find the reason.",
        ];
        story.did = "We changed nothing. The gateway works for others.";
    },
    ended: |_, key| format!("Ended: your {key} makes its usual calls again. Nothing to do."),
};

pub(super) const ERROR_BURST: Words = Words {
    subject: |_, key| format!("{key}: many calls are refused"),
    tell: |t, story| {
        t.count_and_senders("Refused", story);
        story.row("Reason", t.evidence.refused_why());
        story.why.extend(t.evidence.odds().map(|odds| format!("So many refusals come {odds} for this key.")));
        story.did = "The gateway refused these calls. We changed nothing.";
        if t.evidence.is_by_strangers() {
            by_strangers(t, story);
        } else {
            by_its_own(t, story);
        }
    },
    ended: |alert, key| match Evidence(alert).is_by_strangers() {
        true => format!("Ended: others no longer try your {key}."),
        false => format!("Ended: calls with your {key} are accepted again. Nothing to do."),
    },
};

fn by_strangers(t: &Telling<'_>, story: &mut Story) {
    story.lead = format!("Others try your {}. Calls from networks that are not yours are refused.", t.key);
    story.why.push("Whoever sends these calls has your key, or a part of it.".to_owned());
    story.nothing = "There is nothing to do if a partner of yours tried something out.";
    story.steps = &[
        "Ask whether a partner or an agency of yours sends these calls.",
        "If nobody knows them, make a new key in the Control Panel (Profile Settings, API Key).",
        "Put the new key on your server and check that one payment works.",
        "Revoke the old key.",
        "Tell support what you found and give them the reference.",
    ];
    story.after = "If nobody of yours knows these calls, do replace the key.";
}

fn by_its_own(t: &Telling<'_>, story: &mut Story) {
    story.nothing = "There is nothing to do if you know of it and are at work on it.";
    if t.evidence.is_rate_limited() {
        story.lead = format!("Your {} calls more often than it may, and is refused. Let it call less often.", t.key);
        story.steps = &[
            "Look for a program that repeats failed calls without a pause.",
            "Let it wait after each refusal, and longer each time.",
            "Ask support if your shop needs so many calls.",
        ];
        return;
    }
    story.lead = format!("Many calls with your {} are refused. These payments fail. Check what changed.", t.key);
    story.steps = if t.evidence.is_about_header() {
        &[
            "Look up what was released or changed when the refusals began. Undo it if you can.",
            "Check that your program sends the whole key in the header X-API-Key.",
            "Make one small payment and check that it works.",
            "Tell support the reason given above if you cannot find the cause.",
        ]
    } else {
        &[
            "Look up what was released or changed when the refusals began. Undo it if you can.",
            "Make one small payment and check that it works.",
            "Tell support what stands above as the reason if you cannot find the cause.",
        ]
    };
}
