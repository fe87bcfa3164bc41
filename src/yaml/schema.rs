//! JSON Schema (draft-07, which yaml-language-server knows best) from tables of fields. It knows nothing about what a file
//! is about.
//!
//! A schema is as strict as it can be without marking what its loader takes, but for two slips that an editor should show: a
//! field whose value is still to be written, and a bare `true` or `false` where a text is meant.

use serde_json::{Map, Value, json};

use crate::time::{Millis, duration_text};

/// A duration such as `5m` or `1h30m`.
pub const DURATION: &str = "^([0-9]+(ms|s|m|h|d|w))+$";

/// What a field may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// Any text that is not empty.
    Text,
    /// Anything that is no list and has no fields: an identifier, say.
    Value,
    /// A text of at most so many characters.
    Short(u64),
    /// A text of a form: a regular expression, and what to say where it does not fit.
    Shape(&'static str, &'static str),
    /// One of a few words, each with what it means; empty where the word says it.
    Word(&'static [(&'static str, &'static str)]),
    /// A whole number.
    Count(u64, u64),
    /// A number.
    Number(f64, f64),
    /// A duration.
    Duration(Millis, Millis),
    /// A list: of what, the fewest and the most.
    List(&'static Type, u64, Option<u64>),
    /// One, or a list of them.
    OneOrMore(&'static Type),
    /// Fields of a group that the same schema defines.
    Group(&'static str),
    /// Names of a form, each with its value.
    Names(&'static str, &'static Type),
    /// Something that the schema's maker fills in.
    Other(&'static str),
}

/// One field of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub ty: Type,
    /// Whether its group needs it.
    pub is_required: bool,
    /// What counts where it is absent, as one would write it.
    pub default: Option<&'static str>,
    /// How it may look.
    pub example: Option<&'static str>,
    /// What it means; code between backticks.
    pub doc: &'static str,
}

impl Field {
    /// What counts where it is absent.
    pub const fn or(self, default: &'static str) -> Field {
        Field { default: Some(default), ..self }
    }

    /// Its group needs it.
    pub const fn required(self) -> Field {
        Field { is_required: true, ..self }
    }

    /// How it may look.
    pub const fn such_as(self, example: &'static str) -> Field {
        Field { example: Some(example), ..self }
    }
}

/// A field that may be absent.
pub const fn field(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field { name, ty, is_required: false, default: None, example: None, doc }
}

/// A group and its fields.
pub type Group = (&'static str, &'static [Field]);

/// What every schema begins with.
pub fn root(title: &str, description: &str) -> Map<String, Value> {
    let mut root = Map::new();
    root.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    root.insert("title".into(), title.into());
    root.insert("description".into(), description.into());
    root
}

/// Fields with these names, and no others.
pub fn object(properties: Map<String, Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("additionalProperties".into(), false.into());
    schema
}

/// The schema of a group: its fields.
pub fn group(fields: &[Field]) -> Map<String, Value> {
    let mut schema = object(fields.iter().map(|field| (field.name.to_owned(), described(field))).collect());
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

/// The definitions of groups. Whoever comments out all fields of a group has not made a mistake: where it need not be there
/// it may have none.
pub fn definitions(groups: &[Group]) -> Map<String, Value> {
    let fields = || groups.iter().flat_map(|(_, fields)| fields.iter());
    let is_optional =
        |name: &str| fields().any(|field| !field.is_required && matches!(field.ty, Type::Group(of) if of == name));
    let define = |(name, fields): &Group| {
        let mut schema = Value::Object(group(fields));
        if is_optional(name) {
            or_nothing(&mut schema);
        }
        ((*name).to_owned(), schema)
    };
    groups.iter().map(define).collect()
}

/// A reference to a definition.
pub fn defined(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

fn described(field: &Field) -> Value {
    let mut schema = match field.ty {
        // What stands beside `$ref` is not read in draft-07.
        Type::Group(name) | Type::Other(name) => json!({"allOf": [defined(name)]}),
        ty => of_type(ty),
    };
    if !field.is_required && matches!(field.ty, Type::List(..) | Type::Names(..)) {
        or_nothing(&mut schema);
    }
    if let Some(example) = field.example {
        schema["examples"] = json!([example]);
    }
    let default = field.default.map(|default| match field.ty {
        Type::Count(..) | Type::Number(..) => serde_json::from_str(default).unwrap_or_default(),
        _ => Value::from(default),
    });
    tell(&mut schema, &with_range(field.doc, field.ty), default);
    schema
}

/// Says what something means and what counts where it is absent, to whoever shows Markdown and to others.
pub fn tell(schema: &mut Value, doc: &str, default: Option<Value>) {
    let mut doc = doc.to_owned();
    if let Some(default) = default {
        let shown = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        doc += &format!(" Default: `{shown}`.");
        schema["default"] = default;
    }
    schema["description"] = doc.replace('`', "").into();
    schema["markdownDescription"] = doc.into();
}

/// A sentence about what numbers and durations lie between.
pub fn with_range(doc: &str, ty: Type) -> String {
    match ty {
        Type::Duration(min, max) => format!("{doc} From `{}` to `{}`.", duration_text(min), duration_text(max)),
        Type::Count(min, max) => format!("{doc} From `{min}` to `{max}`."),
        Type::Number(min, max) => format!("{doc} From `{min}` to `{max}`."),
        _ => doc.to_owned(),
    }
}

/// Lets a field have a name and no value, which counts as absent.
pub fn or_nothing(schema: &mut Value) {
    match (schema.get("type").cloned(), schema.get_mut("anyOf")) {
        (Some(Value::Array(mut types)), _) => {
            types.push("null".into());
            schema["type"] = types.into();
        }
        (Some(ty), _) => schema["type"] = json!([ty, "null"]),
        (None, Some(Value::Array(forms))) => forms.push(json!({"type": "null"})),
        (None, _) => {}
    }
}

/// The schema of a type.
pub fn of_type(ty: Type) -> Value {
    match ty {
        Type::Text => text(),
        Type::Value => json!({"type": ["string", "number", "boolean"], "pattern": r"\S"}),
        Type::Short(max) => {
            let mut schema = text();
            schema["maxLength"] = max.into();
            schema
        }
        Type::Shape(pattern, otherwise) => shape(pattern, otherwise),
        Type::Word(words) => word(words.iter().copied()),
        Type::Count(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Type::Number(min, max) => json!({"type": "number", "minimum": min, "maximum": max}),
        Type::Duration(..) => shape(DURATION, "expected a duration such as 5m, 1h30m or 90d"),
        Type::List(item, min, max) => list(of_type(*item), min, max),
        Type::OneOrMore(item) => json!({"anyOf": [of_type(*item), list(of_type(*item), 0, None)]}),
        Type::Group(name) | Type::Other(name) => defined(name),
        Type::Names(pattern, value) => {
            json!({"type": "object", "patternProperties": {pattern: of_type(*value)}, "additionalProperties": false})
        }
    }
}

/// One of some words, each with what it means.
pub fn word<'a>(words: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Value {
    let names: Vec<&str> = words.clone().map(|(word, _)| word).collect();
    let docs: Vec<&str> = words.map(|(_, doc)| doc).collect();
    // Without a type: an editor would say the same thing twice.
    let mut schema = json!({"enum": names});
    if docs.iter().any(|doc| !doc.is_empty()) {
        schema["enumDescriptions"] = docs.iter().map(|doc| doc.replace('`', "")).collect();
        schema["markdownEnumDescriptions"] = docs.into();
    }
    schema
}

/// A list of so many items.
pub fn list(items: Value, min: u64, max: Option<u64>) -> Value {
    let mut schema = json!({"type": "array", "items": items, "errorMessage": "expected a list"});
    if min > 0 {
        schema["minItems"] = min.into();
    }
    if let Some(max) = max {
        schema["maxItems"] = max.into();
    }
    schema
}

/// A field that must be absent here, and why.
pub fn not_here(why: &str) -> Value {
    json!({"type": "null", "errorMessage": why, "doNotSuggest": true})
}

/// YAML takes `007` for a number; readers take what is written.
fn text() -> Value {
    json!({
        "type": ["string", "number"],
        "pattern": r"\S",
        "errorMessage": "expected a text",
        "patternErrorMessage": "expected a text, found an empty one",
    })
}

fn shape(pattern: &str, otherwise: &str) -> Value {
    json!({"type": "string", "pattern": pattern, "errorMessage": otherwise, "patternErrorMessage": otherwise})
}
