//! Reads `mail`.

use std::ops::RangeInclusive;

use super::Files;
use super::kafka::is_host;
use crate::brand::Brand;
use crate::config::{MailConfig, MailTransport, SmtpConfig, SmtpTls};
use crate::time::{DAY, MINUTE, Millis, SECOND};
use crate::yaml::{MapReader, Node, Position, Value};

/// How long a failing delivery may be tried.
const GIVE_UP: RangeInclusive<Millis> = MINUTE..=30 * DAY;

/// The transports, each as a hint writes it.
const TRANSPORTS: [(&str, &str); 3] = [
    ("none", "write transport: {none: {}}"),
    ("files", "write transport: {files: {directory: outbox}}"),
    ("smtp", "write transport: {smtp: {host: mail.example.com}}"),
];

pub(super) fn read_mail(mut map: MapReader<'_>, files: &Files<'_>, brand: &Brand) -> Option<MailConfig> {
    let from = read_address(&mut map, "from");
    let reply_to = read_address(&mut map, "reply_to");
    let support = read_addresses(&mut map, "support");
    let operations = read_addresses(&mut map, "operations");
    let give_up_after = map.duration("give_up_after", GIVE_UP).unwrap_or(DAY);
    let transport_at = map.key_at("transport");
    let transport = match map.node("transport") {
        Some(Node { value: Value::Scalar(scalar), at }) if TRANSPORTS.iter().any(|(name, _)| *name == scalar.text) => {
            let hint = TRANSPORTS.iter().find(|(name, _)| *name == scalar.text).map_or("", |(_, hint)| hint);
            map.problems().add_with_hint(*at, "expected fields (`name: value`), found only a transport's name", hint);
            None
        }
        _ => read_transport(map.map("transport"), transport_at, files),
    };
    for (name, hint) in TRANSPORTS {
        if map.has(name) {
            map.node(name);
            map.problems().add_with_hint(map.key_at(name), format!("`{name}` belongs under `transport`"), hint);
        }
    }
    if let Some(MailTransport::Smtp(_)) = transport {
        if !map.has("support") {
            map.problems().add_with_hint(
                transport_at,
                "mail is sent, but `mail.support` names nobody",
                "add `support: [support@…]`: somebody must get what merchants do not",
            );
        }
        if !map.has("from") {
            map.problems().add(transport_at, "mail is sent, but `mail.from` does not say from whom");
        }
    }
    map.finish();
    Some(MailConfig {
        from: from.unwrap_or_else(|| "keywatch@localhost".into()),
        reply_to: reply_to.unwrap_or_else(|| brand.support.clone()),
        support,
        operations,
        link: brand.link.clone(),
        transport: transport?,
        give_up_after,
    })
}

pub(super) fn read_address(map: &mut MapReader<'_>, name: &'static str) -> Option<String> {
    let address = map.string(name)?;
    check_address(map, &address, map.at(name));
    Some(address)
}

fn read_addresses(map: &mut MapReader<'_>, name: &'static str) -> Vec<String> {
    let Some(addresses) = map.strings(name) else { return Vec::new() };
    for (address, at) in &addresses {
        check_address(map, address, *at);
    }
    if addresses.is_empty() {
        map.problems().add(map.key_at(name), format!("`{name}` is an empty list: name somebody, or leave it out"));
    }
    addresses.into_iter().map(|(address, _)| address).collect()
}

fn check_address(map: &MapReader<'_>, address: &str, at: Position) {
    let bare = match address.split_once('<') {
        Some((name, rest)) if !name.contains(char::is_control) => rest.strip_suffix('>').unwrap_or(""),
        _ => address,
    };
    let is_right = bare.len() <= 254
        && !bare.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'))
        && bare
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    if !is_right {
        map.problems().add(at, "expected a mail address such as `support@example.com`");
    }
}

/// `None` only where a problem was noted.
fn read_transport(mut map: MapReader<'_>, at: Position, files: &Files<'_>) -> Option<MailTransport> {
    let none = map.optional_map("none").map(|none| {
        none.finish();
        MailTransport::None
    });
    let to_files = map.optional_map("files").map(|mut to_files| {
        let directory = match to_files.has("directory") {
            true => files.path(&mut to_files, "directory"),
            false => {
                to_files.require("directory");
                None
            }
        };
        to_files.finish();
        MailTransport::Files { directory: directory.unwrap_or_default() }
    });
    let smtp = map.optional_map("smtp").map(|smtp| MailTransport::Smtp(read_smtp(smtp, files)));
    let mut given = [none, to_files, smtp].into_iter().flatten();
    let transport = given.next();
    if given.next().is_some() {
        map.problems().add(at, "more than one transport is given: keep one of `none`, `files`, `smtp`");
    }
    map.finish();
    Some(transport.unwrap_or(MailTransport::None))
}

fn read_smtp(mut map: MapReader<'_>, files: &Files<'_>) -> SmtpConfig {
    let host = map.required_string("host").unwrap_or_default();
    if !host.is_empty() && !is_host(&host) && host.parse::<std::net::IpAddr>().is_err() {
        map.problems().add(map.at("host"), "expected the name of a host, without a port");
    }
    let words = [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
    let tls = map.word("tls", &words).unwrap_or(SmtpTls::Starttls);
    let default_port = match tls {
        SmtpTls::Starttls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    let smtp = SmtpConfig {
        port: map.count("port", 1..=65_535).map_or(default_port, |port| port as u16),
        tls,
        ca_file: files.path(&mut map, "ca_file"),
        username: map.string("username"),
        password: files.secret(&mut map, "password", "password_file"),
        timeout: map.duration("timeout", SECOND..=10 * MINUTE).unwrap_or(30 * SECOND),
        host,
    };
    let problems = map.problems();
    let password = ["password", "password_file"].into_iter().find(|name| map.has(name));
    match (map.has("username"), password) {
        (true, None) => problems.add(map.key_at("username"), "`username` needs `password` or `password_file`"),
        (false, Some(name)) => problems.add(map.key_at(name), format!("`{name}` needs `username`")),
        _ => {}
    }
    if tls == SmtpTls::None {
        if map.has("username") && !is_loopback(&smtp.host) {
            problems.add_with_hint(
                map.at("tls"),
                "`tls: none` with a username would send the password in the clear",
                "use `starttls` or `implicit`",
            );
        }
        if map.has("ca_file") {
            problems.add(map.key_at("ca_file"), "`ca_file` has no effect with `tls: none`");
        }
    }
    map.finish();
    smtp
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
