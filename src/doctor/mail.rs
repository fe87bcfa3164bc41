//! Where mail goes: whether it could be handed over, and whether anybody gets it.

use super::{Check, Finding, disk};
use crate::config::{MailConfig, MailTransport, SmtpConfig, SmtpTls};
use crate::notify::mail::Transport;

/// The transport, and who receives.
pub(super) async fn examine(config: &MailConfig) -> Vec<Finding> {
    let transport = match &config.transport {
        MailTransport::None => Finding::warn(
            Check::Mail,
            "mail",
            "mail.transport is `none`: nobody is told of anything",
            "set mail.transport.smtp; until then `keywatch alerts list` shows what was found",
        ),
        MailTransport::Files { directory } => {
            let at = format!("mail files {}", directory.display());
            match disk::folder_is_writable(directory) {
                Ok(()) if directory.exists() => Finding::ok(Check::Mail, at, "can be written"),
                Ok(()) => Finding::ok(Check::Mail, at, "will be made at the start"),
                Err(why) => {
                    let hint = "set mail.transport.files.directory to a folder that keywatch's user may write";
                    Finding::fail(Check::Mail, at, why, hint)
                }
            }
        }
        MailTransport::Smtp(smtp) => log_in(config, smtp).await,
    };
    vec![transport, receivers(config)]
}

async fn log_in(config: &MailConfig, smtp: &SmtpConfig) -> Finding {
    let at = format!("mail server {}:{}", smtp.host, smtp.port);
    // Of this transport, connecting makes nothing: it reads the certificates that are named.
    let answer = match Transport::connect(config) {
        Ok(transport) => transport.try_login().await,
        Err(text) => return Finding::fail(Check::Mail, at, text, "mend that field"),
    };
    let (tls, login) = match (smtp.tls, &smtp.username) {
        (SmtpTls::None, user) => ("no TLS", user),
        (SmtpTls::Starttls, user) => ("STARTTLS", user),
        (SmtpTls::Implicit, user) => ("TLS", user),
    };
    let found = match login {
        Some(user) => format!("answers, {tls}, logged in as `{user}`"),
        None => format!("answers, {tls}, no login"),
    };
    match answer {
        Err(text) => {
            let (found, hint) = explained(&text);
            Finding::fail(Check::Mail, at, found, hint)
        }
        Ok(()) if smtp.tls == SmtpTls::None && login.is_some() => Finding::warn(
            Check::Mail,
            at,
            found,
            "the password goes in the clear: set mail.transport.smtp.tls to starttls",
        ),
        Ok(()) => Finding::ok(Check::Mail, at, found),
    }
}

/// What the server or the connection said, and what to do about it.
fn explained(text: &str) -> (String, String) {
    let has = |part: &str| text.contains(part);
    let (said, fields) = match text.rsplit_once(" (check ") {
        Some((said, fields)) => (said, Some(fields.trim_end_matches(')'))),
        None => text.split_once("; ").map_or((text, None), |(said, _)| (said, None)),
    };
    let hint = if has("UnknownIssuer") {
        "the certificate is signed by an authority that keywatch does not trust: set mail.transport.smtp.ca_file to that \
         authority's PEM file"
            .to_owned()
    } else if has("NotValidForName") || has("not valid for name") {
        "the certificate is for another host name: set mail.transport.smtp.host to the name that it is for".to_owned()
    } else if has("Expired") || has("expired") {
        "the certificate is over: renew it on the mail server, or look at this machine's clock".to_owned()
    } else if has("InvalidContentType") || has("corrupt message") {
        "this port does not begin with TLS: set mail.transport.smtp.tls to starttls, or use the port for implicit TLS (465)"
            .to_owned()
    } else if has("offers no STARTTLS") {
        "use the server's port for submission (587), or set mail.transport.smtp.tls to implicit or none".to_owned()
    } else if has("no answer from") {
        "set mail.transport.smtp.tls to implicit where the port is one for TLS (465); else look for a firewall"
            .to_owned()
    } else if let Some(fields) = fields {
        format!("check {fields}")
    } else {
        "check mail.transport.smtp.host and port, and that the server runs".to_owned()
    };
    (said.to_owned(), hint)
}

fn receivers(config: &MailConfig) -> Finding {
    let (check, at) = (Check::Receivers, "receivers");
    match (config.support.is_empty(), config.operations.is_empty()) {
        (false, false) => {
            let n = |n: usize| super::count(n, "address", "addresses");
            let found =
                format!("{} for support, {} for operations", n(config.support.len()), n(config.operations.len()));
            Finding::ok(check, at, found)
        }
        (true, false) => Finding::warn(
            check,
            at,
            "nobody for support: alerts that only a human can judge reach no one",
            "set mail.support",
        ),
        (false, true) => {
            Finding::warn(check, at, "nobody for operations: summaries of old news reach no one", "set mail.operations")
        }
        (true, true) => Finding::warn(check, at, "nobody but the merchants", "set mail.support and mail.operations"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mail_server_says_names_the_field() {
        for (text, said, hint) in [
            (
                "log in to m:587: permanent error (535): no (check mail.transport.smtp: username, password)",
                "log in to m:587: permanent error (535): no",
                "check mail.transport.smtp: username, password",
            ),
            (
                "start TLS with m:587: Connection error: invalid peer certificate: UnknownIssuer (check mail.transport.smtp: \
                 host, ca_file)",
                "start TLS with m:587: Connection error: invalid peer certificate: UnknownIssuer",
                "the certificate is signed by an authority that keywatch does not trust: set mail.transport.smtp.ca_file to \
                 that authority's PEM file",
            ),
            (
                "m:25 offers no STARTTLS; mail.transport.smtp.tls asks for it",
                "m:25 offers no STARTTLS",
                "use the server's port for submission (587), or set mail.transport.smtp.tls to implicit or none",
            ),
            (
                "reach m:25: Connection error: refused",
                "reach m:25: Connection error: refused",
                "check mail.transport.smtp.host and port, and that the server runs",
            ),
        ] {
            assert_eq!(explained(text), (said.to_owned(), hint.to_owned()));
        }
    }
}
