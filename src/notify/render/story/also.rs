//! What else is known of an alert: the reasons beside the one that names it, and that another alert has taken it over.

use super::super::when::count;
use super::{Story, Telling};
use crate::alert::{Kind, Reason};

/// The other reasons, one sentence each.
pub(super) fn sentences(t: &Telling<'_>) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    if t.evidence.is_hidden() {
        said.push("The address belongs to a service that hides who calls.".to_owned());
    }
    for reason in t.alert.reasons.iter().filter(|reason| reason.kind != t.alert.kind) {
        said.extend(sentence(reason).map(str::to_owned));
    }
    if let Some(program) = t.evidence.text("new_program").filter(|_| !has(t, Kind::NewUserAgent)) {
        said.push(format!("The program is new to us, too: {program}."));
    }
    if let Some(endpoint) = t.evidence.text("new_call").filter(|_| !has(t, Kind::NewEndpoint)) {
        said.push(first_of(&endpoint).to_owned());
    }
    said
}

fn has(t: &Telling<'_>, kind: Kind) -> bool {
    t.alert.reasons.iter().any(|reason| reason.kind == kind)
}

fn sentence(reason: &Reason) -> Option<&'static str> {
    Some(match reason.kind {
        Kind::NewIp => "It was also used from a network that we had not seen.",
        Kind::IpFanout => "It is also used from many new networks at once.",
        Kind::ImpossibleTravel => "It was also used in two countries at the same time.",
        Kind::NewUserAgent => match () {
            () if reason.text.contains("collect keys") => "It is also used by a program that collects leaked keys.",
            () if reason.text.contains("find weaknesses") => "It is also used by a program made for attacks.",
            () => "It is also used by a program that is new to us.",
        },
        Kind::NewEndpoint => first_of(&reason.text),
        Kind::OffHours => "It is also used at an hour at which it always rests.",
        Kind::ClientSideUse => "It also seems to be in a page or an app, where anyone can read it.",
        Kind::DormantAwake => "It was also used again after a long rest.",
        Kind::Spike => "It also makes more calls than usual.",
        Kind::ErrorBurst => "Many of its calls are also refused.",
        Kind::KeyLifecycle => "It was also made from a place that we had not seen.",
        _ => return None,
    })
}

fn first_of(endpoint: &str) -> &'static str {
    match (endpoint.contains("refund"), endpoint.contains("payout")) {
        (true, true) => "It also made its first refund and its first payout.",
        (true, false) => "It also made its first refund.",
        (false, true) => "It also made its first payout.",
        (false, false) => "It also moved money out for the first time.",
    }
}

/// What has grown since it was told last, in a merchant's words.
pub(super) fn grown(t: &Telling<'_>, told_as: Option<Kind>, also: &[String]) -> String {
    const GROWN: &str = "This has grown since our last mail about it.";
    match told_as {
        Some(kind) if kind != t.alert.kind => {
            let before = (super::words(kind).subject)(t.alert, &t.key);
            format!("{GROWN} That one said: {}.", super::lower_first(&before))
        }
        _ if !also.is_empty() => format!("{GROWN} By now we know this, too. {}", also.join(" ")),
        _ => {
            let so_far = match (t.accepted, t.refused) {
                (0, 0) => return GROWN.to_owned(),
                (accepted, 0) => format!("{} accepted", calls_were(accepted)),
                (0, refused) => format!("{} refused", calls_were(refused)),
                (accepted, refused) => format!("{} accepted and {} refused", calls_were(accepted), calls_were(refused)),
            };
            format!("{GROWN} By now {so_far}.")
        }
    }
}

fn calls_were(n: i64) -> String {
    format!("{} {}", count(n, "call"), if n == 1 { "was" } else { "were" })
}

/// The last words about an alert of one merchant's that many have: it is over as theirs alone, and goes on.
pub(super) fn taken_over(t: &Telling<'_>, taker: Kind, story: &mut Story) {
    let (lead, after) = match taker {
        Kind::KeyScan => (
            "Ended as yours alone: the same strangers used keys of many merchants.",
            "Replace the key if you have not done it: they have it. We follow the rest as one matter for all merchants.",
        ),
        _ => (
            "Ended as yours alone: many merchants have this now. The cause does not lie with you.",
            "You need to undo nothing. We follow it as one matter for all merchants.",
        ),
    };
    story.lead = lead.to_owned();
    story.row("Began", Some(t.zone.at(t.alert.starts_at)));
    story.row("Followed for all since", t.alert.ends_at.map(|end| t.zone.at(end)));
    story.after = after;
}
