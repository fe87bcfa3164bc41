//! Reads `brand`.

use super::mail::read_address;
use crate::brand::Brand;
use crate::yaml::{MapReader, Position};

/// The longest name of a gateway, in characters.
const NAME_MAX: usize = 40;
/// The longest way to say where the keys are.
const KEY_PAGE_MAX: usize = 120;
/// The longest link, in bytes.
const LINK_MAX: usize = 200;
/// Prefixes in one list.
const PREFIXES_MAX: usize = 16;
/// Shorter prefixes would mask ordinary words.
const PREFIX_MIN: usize = 3;
/// The longest prefix.
const PREFIX_MAX: usize = 32;

/// Caibo's where the section is absent. One that is there is whole: nobody wants half of another's words.
pub(super) fn read_brand(map: Option<MapReader<'_>>) -> Brand {
    let Some(mut map) = map else { return Brand::default() };
    map.require("name");
    map.require("support");
    map.require("key_page");
    map.require("keys");
    let brand = Brand {
        name: words(&mut map, "name", NAME_MAX),
        support: read_address(&mut map, "support").unwrap_or_default(),
        key_page: words(&mut map, "key_page", KEY_PAGE_MAX),
        link: link(&mut map),
        ..read_keys(map.map("keys"))
    };
    map.finish();
    brand
}

fn words(map: &mut MapReader<'_>, name: &'static str, max: usize) -> String {
    let text = map.string(name).unwrap_or_default();
    let length = text.chars().count();
    if max < length {
        map.problems().add(map.at(name), format!("too long: {length} characters, at most {max}"));
    }
    if text.contains(char::is_control) || text.contains("{{") {
        map.problems().add(map.at(name), "one line of plain words is expected");
    }
    text
}

fn link(map: &mut MapReader<'_>) -> Option<String> {
    let link = map.string("link")?;
    let host = link.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let is_host = !host.is_empty() && host.contains('.') && !host.contains('@');
    let is_plain = link.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'`{}|\\".contains(&byte));
    if !is_host || !is_plain || LINK_MAX < link.len() {
        let message = format!("expected an https:// address of at most {LINK_MAX} characters");
        map.problems().add_with_hint(map.at("link"), message, "such as `https://dashboard.example.com/keys`");
    }
    Some(link)
}

fn read_keys(mut map: MapReader<'_>) -> Brand {
    let live = read_prefixes(&mut map, "live");
    let test = read_prefixes(&mut map, "test");
    if live.is_empty() && test.is_empty() && !map.has("live") && !map.has("test") {
        map.problems().add_with_hint(
            map.at("live"),
            "`keys` says nothing: give `live`, `test` or both",
            "such as `live: [acme_live_]`: by them keys are recognised and masked wherever they turn up",
        );
    }
    for (prefix, at) in &test {
        if let Some((other, _)) = live.iter().find(|(other, _)| other.starts_with(prefix) || prefix.starts_with(other))
        {
            let message = format!("a key beginning with `{prefix}` could also be a live key (`{other}`)");
            map.problems().add_with_hint(*at, message, "write both out to where they differ");
        }
    }
    map.finish();
    let texts = |list: Vec<(String, Position)>| list.into_iter().map(|(text, _)| text).collect();
    Brand { live_keys: texts(live), test_keys: texts(test), ..Brand::default() }
}

fn read_prefixes(map: &mut MapReader<'_>, name: &'static str) -> Vec<(String, Position)> {
    let prefixes = map.strings(name).unwrap_or_default();
    if PREFIXES_MAX < prefixes.len() {
        map.problems().add(map.at(name), format!("more than {PREFIXES_MAX} prefixes"));
    }
    for (prefix, at) in &prefixes {
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !(PREFIX_MIN..=PREFIX_MAX).contains(&prefix.len()) || !is_plain {
            let message =
                format!("a prefix has {PREFIX_MIN} to {PREFIX_MAX} letters, digits, `_` or `-`, as keys begin with it");
            map.problems().add_with_hint(*at, message, "such as `acme_live_`; never a whole key");
        }
    }
    prefixes
}
