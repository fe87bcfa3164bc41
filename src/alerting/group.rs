//! Decides what one receiver is told of one merchant's alerts, and when to stay silent.
//!
//! Pure. The caller locks the group's row, reads its cases, calls [`plan`], and stores what it answers in the same
//! transaction, so that every alert is told once whatever crashes in between.

use std::collections::BTreeMap;

use crate::alert::{Alert, Kind, Receiver, Severity, State, hex};
use crate::event::facts::{KeyFacts, MerchantFacts};
use crate::notify::Mail;
use crate::notify::render::{Content, Item, Letter, OldNews, order, render, render_operations_summary};
use crate::store::{Group, GroupCase, NoticePlan};
use crate::time::Millis;
use sha2::{Digest, Sha256};

/// Alerts that one mail shows; the others are counted in a line.
pub const ALERTS_PER_MAIL: usize = 10;

/// Why a notice is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The group's first notice.
    First,
    /// Alerts that this receiver has not heard of.
    NewAlerts,
    /// One that it has heard of is worse.
    Worse,
    /// One that it has heard of ended, others go on.
    Resolved,
    /// The last of those that it has heard of ended.
    AllResolved,
}

impl Why {
    /// The word used in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::First => "first",
            Why::NewAlerts => "new_alerts",
            Why::Worse => "worse",
            Why::Resolved => "resolved",
            Why::AllResolved => "all_resolved",
        }
    }
}

/// A notice, and why it is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Why.
    pub why: Why,
    /// Rule of the most important alert.
    pub rule: String,
    /// Its severity.
    pub severity: Severity,
    /// What to store.
    pub plan: NoticePlan,
}

/// What a plan needs to know beside the alerts.
#[derive(Clone, Copy, Debug)]
pub struct NoticeContext<'a> {
    /// The merchant, where facts know it.
    pub merchant: Option<&'a MerchantFacts>,
    /// Its keys by ID: names and dates.
    pub keys: &'a BTreeMap<String, KeyFacts>,
    /// Sender address; its domain names our messages.
    pub from: &'a str,
    /// Addresses of support.
    pub support: &'a [String],
    /// Addresses of operations.
    pub operations: &'a [String],
    /// The one link of merchants' mails.
    pub link: Option<&'a str>,
    /// Alerts shown at most, [`ALERTS_PER_MAIL`].
    pub max_alerts: usize,
}

/// What is to be said of one alert.
enum Tell {
    Nothing,
    New,
    Worse,
    Ended,
}

/// The notice that is due, if any.
pub fn plan(group: &Group, cases: &[GroupCase], ctx: &NoticeContext<'_>, now: Millis) -> Option<Decision> {
    let (mut due, mut still_firing): (Vec<(&GroupCase, Tell)>, usize) = (Vec::new(), 0);
    for case in cases {
        match tell(case) {
            Tell::Nothing => still_firing += usize::from(case.told.is_some() && case.alert.state == State::Firing),
            what => due.push((case, what)),
        }
    }
    due.sort_by(|a, b| order(&a.0.alert).cmp(&order(&b.0.alert)));
    let (lead, _) = due.first()?;
    let why = reason(group, cases, &due, still_firing);
    let (subject_of, subject_more) = subject_of(lead, cases, &due);

    let contacts = ctx.merchant.map_or(&[][..], |merchant| &merchant.contacts);
    let pass_on = group.receiver == Receiver::Merchant && contacts.is_empty();
    let to = match group.receiver {
        Receiver::Merchant if !pass_on => contacts,
        Receiver::Merchant | Receiver::Support if !ctx.support.is_empty() => ctx.support,
        _ => ctx.operations,
    };
    let Content { subject, text, html } = render(&Letter {
        receiver: group.receiver,
        pass_on,
        merchant_id: &group.merchant_id,
        merchant: ctx.merchant,
        keys: ctx.keys,
        items: due
            .iter()
            .map(|(case, what)| Item { alert: &case.alert, worse: matches!(what, Tell::Worse), told_as: case.told_as })
            .collect(),
        subject_of: &subject_of,
        subject_more,
        still_firing,
        max_alerts: ctx.max_alerts,
        link: ctx.link,
        now,
    });
    Some(Decision {
        why,
        rule: lead.alert.rule.clone(),
        severity: lead.alert.severity,
        plan: NoticePlan {
            mail: Mail {
                message_id: message_id(&notice_id(group), ctx.from),
                in_reply_to: lead.first_notice.as_deref().map(|first| message_id(first, ctx.from)),
                to: to.to_vec(),
                subject,
                text,
                html,
            },
            told: due
                .iter()
                .map(|(case, _)| (case.alert.alert_id.clone(), case.alert.revision, case.alert.state))
                .collect(),
        },
    })
}

/// The mail to operations about alerts that were too old to be mailed. Its name comes from what it counts.
pub fn plan_old_news(old: &OldNews, ctx: &NoticeContext<'_>, now: Millis) -> Mail {
    let Content { subject, text, html } = render_operations_summary(old, now);
    let name = format!("old-news/{}/{}/{}", old.oldest, old.newest, old.count);
    Mail {
        message_id: message_id(&name, ctx.from),
        in_reply_to: None,
        to: ctx.operations.to_vec(),
        subject,
        text,
        html,
    }
}

/// Name of the group's next notice: group and revision.
pub fn notice_id(group: &Group) -> String {
    format!("{}/{}", group.id, group.revision + 1)
}

/// `Message-ID` of a notice, without brackets. A name that already is a `Message-ID` of ours stays as it is.
pub fn message_id(notice: &str, from: &str) -> String {
    if notice.starts_with("kw-") && notice.contains('@') {
        return notice.to_owned();
    }
    let domain = from.rsplit_once('@').map_or("keywatch.invalid", |(_, domain)| domain.trim_end_matches('>').trim());
    format!("kw-{}@{domain}", hex(&Sha256::digest(notice.as_bytes())[..12]))
}

fn tell(case: &GroupCase) -> Tell {
    let alert = &case.alert;
    match (case.told, alert.state) {
        (None | Some((_, State::Resolved)), State::Resolved) => Tell::Nothing,
        (None | Some((_, State::Resolved)), State::Firing) => Tell::New,
        (Some((_, State::Firing)), State::Resolved) => Tell::Ended,
        (Some((revision, State::Firing)), State::Firing) => {
            let worse = alert.revision > revision
                && case.told_as.is_none_or(|(severity, kind)| alert.severity > severity || alert.kind != kind);
            if worse { Tell::Worse } else { Tell::Nothing }
        }
    }
}

fn reason(group: &Group, cases: &[GroupCase], due: &[(&GroupCase, Tell)], still_firing: usize) -> Why {
    if group.revision == 0 && cases.iter().all(|case| case.told.is_none()) {
        Why::First
    } else if due.iter().any(|(_, what)| matches!(what, Tell::New)) {
        Why::NewAlerts
    } else if due.iter().any(|(_, what)| matches!(what, Tell::Worse)) {
        Why::Worse
    } else if still_firing > 0 {
        Why::Resolved
    } else {
        Why::AllResolved
    }
}

/// The alert that names the mail, and how many more its subject counts. A mail about a case that was told before
/// keeps the subject of its first mail (mail programs split a conversation where the subject changes): of all cases
/// that began in that mail, the one that named it. Ends and rises don't count here, as they change.
fn subject_of(lead: &GroupCase, cases: &[GroupCase], due: &[(&GroupCase, Tell)]) -> (Alert, usize) {
    let together: Vec<&GroupCase> = match &lead.first_notice {
        Some(first) => cases.iter().filter(|case| case.first_notice.as_ref() == Some(first)).collect(),
        None => due.iter().map(|(case, _)| *case).filter(|case| case.first_notice.is_none()).collect(),
    };
    let steady = |case: &&GroupCase| {
        let (_, severity, rank, starts_at, id) = order(&case.alert);
        (severity, rank, starts_at, id.to_owned())
    };
    let named = together.iter().copied().min_by_key(steady).unwrap_or(lead);
    (Alert { kind: first_kind(named), ..named.alert.clone() }, together.len().saturating_sub(1))
}

/// The kind that a case was first told as. What was told last is known; before that it may have been the kind that it
/// opened with, where such a kind is told at once.
fn first_kind(case: &GroupCase) -> Kind {
    use Kind::{ClientSideUse, DormantAwake, ImpossibleTravel, IpFanout, NewIp};
    let (alert, Some(_)) = (&case.alert, &case.first_notice) else { return case.alert.kind };
    let opened = Kind::from_word(&alert.rule.replace('-', "_")).filter(|kind| {
        matches!(kind, ClientSideUse | DormantAwake | ImpossibleTravel | IpFanout | NewIp)
            && alert.reasons.iter().any(|reason| reason.kind == *kind)
    });
    opened.or(case.told_as.map(|(_, kind)| kind)).unwrap_or(alert.kind)
}
