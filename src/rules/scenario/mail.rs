//! The mail about an alert of a test, as its first receiver would get it.

use std::collections::BTreeMap;

use crate::alert::{Alert, Audience, Receiver};
use crate::brand::Brand;
use crate::event::facts::{FactBook, KeyFacts};
use crate::notify::render::{Content, Item, Letter, render};

/// Renders it from what the test's facts say. The words are those of the default brand.
pub(super) fn mail_of(alert: &Alert, facts: &FactBook) -> Content {
    let known = alert.key_id.as_deref().and_then(|id| Some((id.to_owned(), facts.key(id)?.clone())));
    let keys: BTreeMap<String, KeyFacts> = known.into_iter().collect();
    let merchant_id = alert.merchant_id.as_deref().unwrap_or_default();
    let receiver = match alert.audience {
        Audience::Merchant | Audience::Both => Receiver::Merchant,
        Audience::Support => Receiver::Support,
        Audience::Operations => Receiver::Operations,
    };
    let mut content = render(&Letter {
        receiver,
        pass_on: false,
        merchant_id,
        merchant: facts.merchant(merchant_id),
        keys: &keys,
        items: vec![Item { alert, worse: false, told_as: None }],
        subject_of: alert,
        subject_more: 0,
        still_firing: 0,
        max_alerts: 1,
        link: None,
        now: alert.detected_at,
    });
    let brand = Brand::default();
    (content.subject, content.text) = (brand.fill(&content.subject), brand.fill(&content.text));
    content
}
