//! Reads `source.format`, `source.mapping` and `source.trusted_proxies`.

use crate::event::mapping::{FIELDS, Format, Mapping, PRESETS, Take, preset};
use crate::event::proxies::Cidr;
use crate::yaml::{MapReader, Node, Value, closest, known_words};

/// The most proxies that are named.
const PROXIES_MAX: usize = 1_000;

pub(super) fn read_format(map: &mut MapReader<'_>) -> Format {
    let name = map.string("format");
    let Some(mut mapping) = map.optional_map("mapping") else {
        let Some(name) = name else { return Format::Native };
        if let Some(mapping) = preset(&name) {
            return Format::Mapped(mapping);
        }
        if name != "native" {
            let names = PRESETS.map(|(name, _)| name);
            let hint = match closest(&name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "for another form write `mapping:` instead (docs/connect.md)".to_owned(),
            };
            map.problems().add_with_hint(map.at("format"), format!("expected one of {}", known_words(names)), hint);
        }
        return Format::Native;
    };
    if name.is_some() {
        map.problems().add_with_hint(
            map.key_at("format"),
            "both `format` and `mapping` are given: keep one of them",
            "a preset is a mapping; docs/connect.md says where each looks",
        );
    }
    let records = mapping.string("records").filter(|pointer| check_pointer(&mapping, "records", pointer));
    let mut fields = Vec::new();
    let mut reader = mapping.map("fields");
    for field in FIELDS {
        if let Some(node) = reader.node(field)
            && let Some(take) = read_take(&reader, field, node)
        {
            fields.push((field, take));
        }
    }
    reader.require("ts");
    if !["outcome", "status"].iter().any(|name| reader.has(name)) {
        reader.problems().add_with_hint(
            mapping.at("fields"),
            "nothing says whether a call was accepted",
            "map `outcome`, or `status`: 401, 403 and 429 are refusals",
        );
    }
    reader.finish();
    mapping.finish();
    Format::Mapped(Mapping { records, names_access_keys: false, fields })
}

fn check_pointer(map: &MapReader<'_>, name: &str, pointer: &str) -> bool {
    let is_one = pointer.starts_with('/');
    if !is_one {
        map.problems().add_with_hint(
            map.at(name),
            "expected a JSON pointer, which begins with `/`",
            format!("such as `/{pointer}`; `~1` stands for a `/` in a name"),
        );
    }
    is_one
}

/// A pointer, a list of pointers, `{value: …}`, or `{pointer: …, words: {…}}`.
fn read_take(map: &MapReader<'_>, field: &'static str, node: &Node) -> Option<Take> {
    let pointer = |node: &Node| {
        let text = map.text(node)?;
        let ok = text.starts_with('/');
        if !ok {
            map.problems().add_with_hint(
                node.at,
                "expected a JSON pointer, which begins with `/`",
                format!(
                    "write `/{}`, or `{field}: {{value: {text}}}` for what is always the same",
                    text.strip_prefix("$.").unwrap_or(&text).replace('.', "/")
                ),
            );
        }
        ok.then_some(text)
    };
    match &node.value {
        Value::Scalar(_) => Some(Take::Pointers(vec![pointer(node)?])),
        Value::List(items) => Some(Take::Pointers(items.iter().filter_map(pointer).collect())),
        Value::Map(_) => {
            let mut inner = MapReader::new(map.problems(), node);
            let always = inner.string("value");
            let at = inner.node("pointer").and_then(pointer);
            let words = inner.optional_map("words").map(|words| {
                let word = |entry: &crate::yaml::Entry| Some((entry.key.clone(), words.text(&entry.value)?));
                words.free_entries().iter().filter_map(word).collect::<Vec<_>>()
            });
            let take = match (always, at, words) {
                (Some(always), None, None) => Some(Take::Always(always)),
                (None, Some(at), Some(words)) => Some(Take::Words(at, words)),
                (None, Some(at), None) => Some(Take::Pointers(vec![at])),
                _ => {
                    map.problems().add(node.at, "expected `value`, or `pointer` and `words`");
                    None
                }
            };
            inner.finish();
            take
        }
    }
}

pub(super) fn read_proxies(map: &mut MapReader<'_>) -> Vec<Cidr> {
    let Some(texts) = map.strings("trusted_proxies") else { return Vec::new() };
    if texts.len() > PROXIES_MAX {
        map.problems().add(map.at("trusted_proxies"), format!("more than {PROXIES_MAX} networks"));
    }
    let mut proxies = Vec::new();
    for (text, at) in texts {
        match Cidr::parse(&text) {
            Ok(cidr) => proxies.push(cidr),
            Err(what) => map.problems().add(at, what),
        }
    }
    proxies
}
