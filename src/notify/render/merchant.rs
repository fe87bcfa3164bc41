//! The mail to a merchant: what happened, why it is unusual, when it is nothing, what to do, what we did, the reference.

use super::doc::Block;
use super::evidence::Evidence;
use super::steps::fitting;
use super::story::{Story, grown, lower_first, story, subject};
use super::{Item, Letter};
use crate::alert::{Kind, State};
use crate::notify::render::clean::{clean, foreign};
use crate::notify::render::when::count;

/// Steps shown of one alert.
const STEPS_MAX: usize = 5;

/// The blocks of a merchant's mail. `pass_on`: it goes to support, as the merchant has no contact address.
pub fn blocks(letter: &Letter<'_>, shown: &[Item<'_>], hidden: usize, pass_on: bool) -> Vec<Block> {
    let mut out = Vec::new();
    if pass_on {
        out.push(Block::Para(
            "This merchant has no contact address, so this mail comes to support. Please pass it on.".to_owned(),
        ));
    }
    match shown {
        [one] if hidden == 0 => {
            let story = story(letter, one.alert);
            out.push(Block::Lead(story.lead.clone()));
            push_one(letter, one, &story, &mut out);
        }
        _ => push_several(letter, shown, hidden, &mut out),
    }
    push_still(letter, &mut out);
    push_reference(letter, shown, hidden, &mut out);
    out
}

fn push_several(letter: &Letter<'_>, shown: &[Item<'_>], hidden: usize, out: &mut Vec<Block>) {
    let firing = shown.iter().filter(|item| item.alert.state == State::Firing).count();
    let all = count((shown.len() + hidden) as i64, "thing");
    let first = shown.first().map(|item| story(letter, item.alert).lead).unwrap_or_default();
    let mut takers = shown.iter().map(|item| Evidence(item.alert).taken_over_by());
    let taker = takers.next().flatten().filter(|first| takers.all(|taker| taker == Some(*first)));
    out.push(Block::Lead(match firing {
        0 if taker == Some(Kind::KeyScan) => format!(
            "Ended as yours alone: {all} about your keys. The same strangers used keys of many merchants. Replace your keys \
             if you have not done it."
        ),
        0 if taker.is_some() => format!(
            "Ended as yours alone: {all} about your keys. Many merchants have this now. The cause does not lie with you."
        ),
        0 => format!(
            "Ended: {all} about your keys. The steps of our first mails still hold where you have not done them."
        ),
        _ => format!("Check {all} about your keys. {first}"),
    }));
    out.push(Block::Bullets(
        shown
            .iter()
            .map(|item| {
                if Evidence(item.alert).taken_over_by().is_some() {
                    format!("Followed for all merchants: {}", lower_first(&subject(item.alert)))
                } else if item.alert.state == State::Resolved {
                    format!("Ended: {}", lower_first(&subject(item.alert)))
                } else {
                    subject(item.alert)
                }
            })
            .collect(),
    ));
    if hidden > 0 {
        out.push(Block::Para(hidden_line(hidden)));
    }
    for item in shown {
        let story = story(letter, item.alert);
        out.push(Block::Heading(story.subject.clone()));
        out.push(Block::Para(story.lead.clone()));
        push_one(letter, item, &story, out);
    }
}

fn push_one(letter: &Letter<'_>, item: &Item<'_>, story: &Story, out: &mut Vec<Block>) {
    if item.worse {
        out.push(Block::Para(grown(letter, item, story)));
    }
    out.push(Block::Heading("What happened".to_owned()));
    out.push(Block::Facts(story.happened.clone()));
    if item.alert.state == State::Resolved {
        if !story.after.is_empty() {
            out.push(Block::Para(story.after.to_owned()));
        }
        return;
    }
    out.push(Block::Heading("Why we tell you".to_owned()));
    out.extend(story.why.iter().cloned().map(Block::Para));
    out.push(Block::Para(story.nothing.to_owned()));
    out.push(Block::Heading("Otherwise, do this".to_owned()));
    let steps: Vec<String> = match item.alert.runbook.as_slice() {
        [] => story.steps.iter().map(|step| (*step).to_owned()).collect(),
        _ => fitting(item.alert).take(STEPS_MAX).map(|step| clean(step, 240)).collect(),
    };
    out.push(Block::Steps(steps));
    if fitting(item.alert).nth(STEPS_MAX).is_some() {
        out.push(Block::Para("There are more steps than fit here. Ask support for the rest.".to_owned()));
    }
    if !story.trade.is_empty() {
        out.push(Block::Para(story.trade.to_owned()));
    }
    if letter.asks_for_owner(item.alert) {
        out.push(Block::Para("If somebody else runs your shop's software, send this mail to them.".to_owned()));
    }
    out.push(Block::Heading("What we did".to_owned()));
    out.push(Block::Para(story.did.to_owned()));
}

fn push_still(letter: &Letter<'_>, out: &mut Vec<Block>) {
    if letter.still_firing > 0 {
        let what = count(letter.still_firing as i64, "other thing");
        let verb = if letter.still_firing == 1 { "goes" } else { "go" };
        out.push(Block::Para(format!("{what} that we told you of before still {verb} on.")));
    }
}

fn push_reference(letter: &Letter<'_>, shown: &[Item<'_>], hidden: usize, out: &mut Vec<Block>) {
    out.push(Block::Heading("Reference".to_owned()));
    let references: Vec<String> = shown.iter().map(|item| foreign(&item.alert.alert_id, 60)).collect();
    let mut rows = vec![("Reference".to_owned(), references.join(", "))];
    rows.push(("Merchant".to_owned(), letter.merchant_name()));
    rows.push(("Written".to_owned(), letter.zone().at(letter.now)));
    rows.push(("Time zone".to_owned(), letter.zone().name().to_owned()));
    out.push(Block::Facts(rows));
    if hidden > 0 && shown.len() == 1 {
        out.push(Block::Para(hidden_line(hidden)));
    }
    out.push(Block::Para(
        "To check that this mail is genuine, give support the reference. Use an address that you already know."
            .to_owned(),
    ));
    out.push(Block::Para(match letter.link {
        None => "This mail has no links. We never ask you for a key.".to_owned(),
        Some(link) => format!("Your keys: {link}. This mail has no other link. We never ask you for a key."),
    }));
}

fn hidden_line(hidden: usize) -> String {
    let (what, verb) = (count(hidden as i64, "more thing"), if hidden == 1 { "is" } else { "are" });
    format!("{what} {verb} not shown here. Support can tell you about them.")
}
