//! The JSON Schema of rule files, made of the tables that their readers and detectors have. It cannot see the range of a
//! duration, what a condition says, other files, or a field that `defaults` would bring.

use serde_json::{Map, Value, json};

use super::active::zones;
use super::expr::schema::FIELDS;
use super::fields::{FILE, GROUPS, NAME_LENGTH};
use super::scenario;
use crate::engine::detect::{DetectorSpec, Fires};
use crate::engine::params::{ParamSpec, ParamType};
use crate::time::duration_text;
use crate::yaml::schema::{
    Type, defined, definitions, group, not_here, object, of_type, or_nothing, root, tell, with_range, word,
};

/// The schema of rule files, for these detectors.
pub fn schema(specs: &[DetectorSpec]) -> Value {
    let mut all = definitions(GROUPS);
    for name in ["rule", "exception"] {
        all[name]["properties"]["name"]["maxLength"] = NAME_LENGTH.into();
    }
    // An editor offers these two once the kind is one that has them.
    let offered_later = ["group_by", "missing"].map(|name| {
        let known = json!({"doNotSuggest": true});
        (name.to_owned(), std::mem::replace(&mut all["rule"]["properties"][name], known))
    });
    all["rule"]["allOf"] = specs.iter().map(|spec| for_kind(spec, &offered_later)).collect();
    all["list"]["anyOf"] = json!([{"required": ["values"]}, {"required": ["file"]}]);
    all["list"]["if"] = json!({"required": ["values", "file"]});
    all["list"]["then"] = json!({"properties": {"file": not_here("both values and file are given: keep one of them")}});
    // Nothing in it is no answer to which hours.
    all["active"]["type"] = "object".into();
    all.insert("file".into(), group(FILE).into());
    all.insert("kind".into(), word(specs.iter().map(|spec| (spec.kind.as_str(), spec.doc))));
    let mut condition_field = condition_field();
    condition_field["errorMessage"] = "no field of events, keys or merchants that a condition may name".into();
    all.insert("condition_field".into(), condition_field);
    all.insert(
        "zone".into(),
        json!({
            "type": "string",
            "enum": zones().collect::<Vec<_>>(),
            "errorMessage": "no name of the IANA database of time zones, such as Europe/Zurich",
        }),
    );
    all.insert("params".into(), json!({"type": ["object", "null"]}));
    all.insert("any_params".into(), any_params(specs));
    for spec in specs {
        let properties = spec.params.iter().map(|param| (param.name.to_owned(), parameter(param))).collect();
        let mut params = Value::Object(object(properties));
        or_nothing(&mut params);
        params["doNotSuggest"] = true.into();
        all.insert(format!("params_{}", spec.kind.as_str()), params);
    }
    let mut whole = root("keywatch rules", "A rule, or sections of rules; docs/reference/rules.md says more");
    let sections: Vec<Value> = FILE.iter().map(|field| json!({"required": [field.name]})).collect();
    whole.insert("if".into(), json!({"type": "object", "anyOf": sections}));
    whole.insert("then".into(), defined("file"));
    whole.insert("else".into(), defined("rule"));
    whole.insert("definitions".into(), all.into());
    Value::Object(whole)
}

/// The schema of rule files as it is printed.
pub fn text(specs: &[DetectorSpec]) -> String {
    format!("{:#}\n", schema(specs))
}

/// The schema of tests of rules, as it is printed.
pub fn text_for_tests() -> String {
    format!("{:#}\n", scenario::schema::schema())
}

/// What a kind asks of a rule.
fn for_kind(spec: &DetectorSpec, grouping: &[(String, Value)]) -> Value {
    let kind = spec.kind.as_str();
    let mut properties = Map::new();
    properties.insert("params".into(), defined(&format!("params_{kind}")));
    let mut then = Map::new();
    match spec.fires {
        Fires::OnCondition => {
            then.insert("required".into(), json!(["condition"]));
            properties.extend(grouping.iter().cloned());
            // What becomes of events without a field must be said.
            let is_grouped =
                json!({"properties": {"group_by": {"type": "array", "minItems": 1}}, "required": ["group_by"]});
            then.insert("if".into(), is_grouped);
            then.insert("then".into(), json!({"required": ["missing"]}));
        }
        Fires::OnEvents | Fires::OnAccepted | Fires::OnSource => {
            properties.insert("group_by".into(), not_here("a rule of this kind has groups of its own"));
        }
        Fires::Together => {
            let why = "a rule of this kind looks at many keys at once: leave it out";
            for name in ["group_by", "condition", "severity_when", "exceptions", "match", "active"] {
                properties.insert(name.into(), not_here(why));
            }
            let nothing = json!({"pattern": "^(0+(ms|s|m|h|d|w))+$", "patternErrorMessage": why, "doNotSuggest": true});
            properties.insert("for".into(), nothing.clone());
            properties.insert("keep_firing_for".into(), nothing);
        }
        Fires::ByTime => {
            properties.insert("group_by".into(), not_here("a rule of this kind has groups of its own"));
            let why = "a rule of this kind fires once, by time: leave it out";
            properties.insert("active".into(), not_here(why));
            let nothing = json!({"pattern": "^(0+(ms|s|m|h|d|w))+$", "patternErrorMessage": why, "doNotSuggest": true});
            properties.insert("for".into(), nothing);
        }
    }
    then.insert("properties".into(), properties.into());
    json!({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then})
}

fn parameter(param: &ParamSpec) -> Value {
    let (ty, default) = of_param(param.ty);
    let mut schema = of_type(ty);
    tell(&mut schema, &with_range(param.doc, ty), Some(default));
    schema
}

/// A parameter's type and default.
fn of_param(ty: ParamType) -> (Type, Value) {
    match ty {
        ParamType::Duration { min, max, default } => (Type::Duration(min, max), duration_text(default).into()),
        ParamType::Count { min, max, default } => (Type::Count(min, max), default.into()),
        ParamType::Number { min, max, default } => (Type::Number(min, max), default.into()),
    }
}

/// Parameters where the kind is not known: those of all kinds. What a name means in the kinds that have it stands together.
fn any_params(specs: &[DetectorSpec]) -> Value {
    let of = |name: &str| -> Vec<(&str, &ParamSpec)> {
        let all = specs.iter().flat_map(|spec| spec.params.iter().map(move |param| (spec.kind.as_str(), param)));
        all.filter(|(_, param)| param.name == name).collect()
    };
    let mut properties = Map::new();
    for param in specs.iter().flat_map(|spec| spec.params) {
        let kinds = of(param.name);
        let mut forms: Vec<Value> = kinds.iter().map(|(_, param)| of_type(of_param(param.ty).0)).collect();
        forms.dedup();
        let mut schema = match forms.len() {
            1 => forms.remove(0),
            _ => json!({"anyOf": forms}),
        };
        let docs =
            kinds.iter().map(|(kind, param)| format!("`{kind}`: {}", with_range(param.doc, of_param(param.ty).0)));
        tell(&mut schema, &docs.collect::<Vec<_>>().join(" "), None);
        properties.insert(param.name.to_owned(), schema);
    }
    let mut schema = Value::Object(object(properties));
    or_nothing(&mut schema);
    schema
}

/// Fields that an exception may compare.
fn condition_field() -> Value {
    word(FIELDS.iter().map(|field| (field.name, field.doc)))
}
