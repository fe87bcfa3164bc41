//! What rules with a condition of their own have found: their summary is the fact.

use super::super::when::number;
use super::{Story, Telling, Words, capital, lower_first};
use crate::alert::Alert;

pub(super) const THRESHOLD: Words = Words {
    subject,
    tell: |t, story| {
        story.row("Such calls", t.evidence.count("observed").map(|n| t.in_window(number(n))));
        tell(t, story);
    },
    ended,
};

pub(super) const CUSTOM: Words = Words { subject, tell, ended };

fn subject(alert: &Alert, key: &str) -> String {
    format!("{key}: {}", lower_first(alert.summary.trim_end_matches('.')))
}

fn tell(t: &Telling<'_>, story: &mut Story) {
    t.calls_and_senders(story);
    let what = t.alert.summary.trim_end_matches('.');
    story.lead =
        format!("{}: {}. Check that this is your doing.", capital(&format!("your {}", t.key)), lower_first(what));
    story.why.push("Calls such as these are worth a look.".to_owned());
    story.why.extend(t.usual_networks());
    story.nothing = "There is nothing to do if you know these calls.";
    story.steps = &[
        "Check whether these calls come from your own servers.",
        "Replace the key if they do not.",
        "Tell support what you found and give them the reference.",
    ];
    story.did = "We blocked nothing.";
}

fn ended(_: &Alert, key: &str) -> String {
    format!("Ended: no more such calls with your {key}.")
}
