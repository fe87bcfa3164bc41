//! Notices: alerts rendered for the people who read them, and their delivery.

use serde::{Deserialize, Serialize};

pub mod deliver;
pub mod mail;
pub mod render;

/// One rendered message. The same notice is always rendered once and kept, so a retry sends the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Derived from group, receiver and revision: `<…@keywatch>` without the brackets.
    pub message_id: String,
    /// `Message-ID` of the case's first mail, where this is a later one.
    pub in_reply_to: Option<String>,
    /// Addresses.
    pub to: Vec<String>,
    /// At most 60 characters, no brackets.
    pub subject: String,
    /// The whole message as text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}
