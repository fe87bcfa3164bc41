//! The configuration's JSON Schema (draft-07, which yaml-language-server reads), made of the table of fields.
//!
//! It is as strict as a schema can be and never stricter than the loader, so that an editor marks nothing that runs. It
//! cannot see the range of a duration, what a variable of the environment holds, or whether a file exists.

use serde_json::{Map, Value, json};

use super::fields::{FIELDS, Field, Type};
use crate::event::mapping;
use crate::time::duration_text;
use crate::yaml::schema::{DURATION, object, or_nothing, root};

/// A text that takes something from the environment: what it comes to is for the loader to judge.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}";

/// The schema of the whole file.
pub fn schema() -> Value {
    let mut whole = root("keywatch configuration", "keywatch.yml; docs/reference/config.md says more");
    whole.extend(section(""));
    Value::Object(whole)
}

/// The schema as it is printed.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// A section with its fields; the file as a whole is the one without a name.
fn section(path: &str) -> Map<String, Value> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in FIELDS {
        let Some(name) = field.path.strip_prefix(&prefix).filter(|name| !name.contains('.')) else { continue };
        properties.insert(name.to_owned(), described(field));
        if field.is_required {
            required.push(name);
        }
    }
    let mut schema = object(properties);
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    if let Value::Object(conditions) = conditions(path) {
        schema.extend(conditions);
    }
    schema
}

fn described(field: &Field) -> Value {
    let mut schema = match field.ty {
        Type::Section => Value::Object(section(field.path)),
        ty => of_type(ty),
    };
    // A field that has a name and no value counts as absent.
    if !field.is_required {
        or_nothing(&mut schema);
    }
    let mut doc = field.doc.to_owned();
    match field.ty {
        Type::Duration(min, max) => doc += &format!(" From {} to {}.", duration_text(min), duration_text(max)),
        Type::Count(min, max) => doc += &format!(" From {min} to {max}."),
        _ => {}
    }
    if let Some(default) = field.default {
        doc += &format!(" Default: {default}.");
        let value = match field.ty {
            Type::Flag | Type::Count(..) => serde_json::from_str(default).unwrap_or_default(),
            _ => Value::from(default),
        };
        schema["default"] = value;
    }
    schema["description"] = doc.into();
    schema
}

fn of_type(ty: Type) -> Value {
    let variable = || json!({"type": "string", "pattern": VARIABLE});
    match ty {
        Type::Section => json!({"type": "object"}),
        Type::Text => any_text(),
        Type::Shape(pattern) => shape(pattern),
        Type::Word(words) => json!({"anyOf": [{"type": "string", "enum": words}, variable()]}),
        Type::Flag => json!({"anyOf": [{"type": "boolean"}, variable()]}),
        Type::Count(min, max) => {
            json!({"anyOf": [{"type": "integer", "minimum": min, "maximum": max}, variable()]})
        }
        Type::Duration(..) => shape(DURATION),
        Type::List(pattern, min, max) => {
            let mut list = json!({"type": "array", "items": shape(pattern), "minItems": min});
            if let Some(max) = max {
                list["maxItems"] = max.into();
            }
            list
        }
        Type::Properties => {
            json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
        }
        Type::Places => {
            let places = mapping::FIELDS.map(|field| (field.to_owned(), place()));
            let mut schema = Value::Object(object(places.into_iter().collect()));
            schema["required"] = json!(["ts"]);
            schema["anyOf"] = json!([{"required": ["outcome"]}, {"required": ["status"]}]);
            schema
        }
    }
}

/// YAML takes `007` or `true` for something else; the loader reads what is written.
fn any_text() -> Value {
    json!({"type": ["string", "number", "boolean"], "pattern": r"\S"})
}

fn shape(pattern: &str) -> Value {
    json!({"type": "string", "pattern": format!("{pattern}|{VARIABLE}")})
}

/// Where a field of an event lies.
fn place() -> Value {
    let pointer = shape("^/");
    json!({"anyOf": [
        pointer,
        {"type": "array", "items": pointer},
        {"type": "object", "properties": {"value": any_text()}, "required": ["value"], "additionalProperties": false},
        {
            "type": "object",
            "properties": {"pointer": pointer, "words": {"type": "object", "additionalProperties": any_text()}},
            "required": ["pointer"],
            "additionalProperties": false
        },
        {"type": "null"}
    ]})
}

/// What the fields of a section ask of each other.
fn conditions(path: &str) -> Value {
    let not_both = |a: &str, b: &str| json!({"not": {"properties": {a: given(), b: given()}, "required": [a, b]}});
    let password = || json!({"anyOf": [needs("password"), needs("password_file")]});
    let where_given = |name: &str, then: Value| json!({"if": needs(name), "then": then});
    match path {
        "brand.keys" => json!({"anyOf": [{"required": ["live"]}, {"required": ["test"]}]}),
        "source" => json!({"allOf": [
            not_both("format", "mapping"),
            not_both("fingerprint_secret", "fingerprint_secret_file"),
        ]}),
        "source.kafka.security" => {
            let tls = json!({"properties": {"tls": {"enum": [true], "type": "boolean"}}, "required": ["tls"]});
            let tls = json!({"anyOf": [tls, {"properties": {"tls": {"type": "string"}}, "required": ["tls"]}]});
            let logs_in = json!({"properties": {"sasl_mechanism": {"enum": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]}}, "required": ["sasl_mechanism"]});
            json!({"allOf": [
                not_both("password", "password_file"),
                where_given("ca_file", tls.clone()),
                where_given("certificate_file", json!({"allOf": [tls.clone(), needs("key_file")]})),
                where_given("key_file", json!({"allOf": [tls, needs("certificate_file")]})),
                where_given("username", needs("sasl_mechanism")),
                where_given("password", needs("sasl_mechanism")),
                where_given("password_file", needs("sasl_mechanism")),
                {"if": logs_in, "then": {"allOf": [needs("username"), password()]}},
            ]})
        }
        "store" => not_both("url", "url_file"),
        "mail" => json!({
            "if": {"properties": {"transport": {"type": "object", "required": ["smtp"]}}, "required": ["transport"]},
            "then": {"allOf": [needs("from"), needs("support")]},
        }),
        "mail.transport" => json!({"maxProperties": 1}),
        "mail.transport.smtp" => json!({"allOf": [
            not_both("password", "password_file"),
            where_given("username", password()),
            where_given("password", needs("username")),
            where_given("password_file", needs("username")),
            {"not": {"properties": {"tls": {"enum": ["none"]}, "ca_file": given()}, "required": ["tls", "ca_file"]}},
        ]}),
        _ => Value::Null,
    }
}

/// Anything but nothing.
fn given() -> Value {
    json!({"not": {"type": "null"}})
}

/// A field that is there, with a value.
fn needs(name: &str) -> Value {
    json!({"properties": {name: given()}, "required": [name]})
}
