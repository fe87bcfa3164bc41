//! What is about a source network and no key of anybody's: told to support.

use super::super::when::number;
use super::Words;

pub(super) const KEY_SCAN: Words = Words {
    subject: |_, _| "one source tries many keys".to_owned(),
    tell: |t, story| {
        story.row("Tries", t.evidence.count("observed").map(|n| t.in_window(number(n))));
        story.row("Different keys", t.evidence.count("different_keys").map(number));
        story.row("Merchants", t.evidence.count("merchants").filter(|n| *n > 0).map(number));
        t.calls_and_senders(story);
        story.lead = "One source tries many keys.".to_owned();
        story.why.push("Somebody is trying a list of keys.".to_owned());
        story.nothing = "There is nothing to do if it is a test or a platform that you know.";
        story.steps = &[
            "Look whether any call from this network was accepted, and tell that key's merchant.",
            "Block the network at the gateway's edge if it goes on.",
        ];
        story.did = "We blocked nothing.";
    },
    ended: |_, _| "Ended: no more tries from this source.".to_owned(),
};

pub(super) const MALFORMED_KEY: Words = Words {
    subject: |_, _| "calls without a key of ours".to_owned(),
    tell: |t, story| {
        story.row("Calls", t.evidence.count("observed").map(|n| t.in_window(number(n))));
        t.calls_and_senders(story);
        story.lead = "One source keeps calling without a key of ours.".to_owned();
        story.why.push("Nobody knows whose these calls are.".to_owned());
        story.nothing = "There is nothing to do if a merchant is trying out a new integration.";
        story.steps = &["Block the network at the gateway's edge if it goes on and nobody knows it."];
        story.did = "We blocked nothing.";
    },
    ended: |_, _| "Ended: no more such calls from this source.".to_owned(),
};
