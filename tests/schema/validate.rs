//! A validator for the part of JSON Schema (draft-07) that our schemas use. Panics at any other word.

use std::cell::RefCell;
use std::collections::HashMap;

use keywatch::yaml::{self, Problems};
use regex::Regex;
use serde_json::{Number, Value};

/// What is wrong, each with its place. Empty = valid.
pub fn validate(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    Validator { definitions: &schema["definitions"], patterns: RefCell::default() }
        .check(schema, value, "", &mut wrong);
    wrong
}

struct Validator<'a> {
    definitions: &'a Value,
    patterns: RefCell<HashMap<String, Regex>>,
}

impl Validator<'_> {
    fn fits(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).is_match(text)
    }

    fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        let mut wrong = Vec::new();
        self.check(schema, value, "", &mut wrong);
        wrong.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let Value::Object(words) = schema else { panic!("{schema} is no schema") };
        let each = |list: &Value| list.as_array().unwrap().clone();
        for (word, says) in words {
            let is_right = match word.as_str() {
                "$schema" | "title" | "description" | "default" | "definitions" | "examples" => true,
                // Words of editors.
                "markdownDescription" | "enumDescriptions" | "markdownEnumDescriptions" => true,
                "errorMessage" | "patternErrorMessage" | "doNotSuggest" => true,
                "then" | "else" => words.contains_key("if"),
                "$ref" => {
                    let name = says.as_str().unwrap().strip_prefix("#/definitions/").unwrap();
                    self.check(&self.definitions[name], value, at, wrong);
                    true
                }
                "const" => value == says,
                "type" => match says {
                    Value::String(ty) => is_of(ty, value),
                    types => each(types).iter().any(|ty| is_of(ty.as_str().unwrap(), value)),
                },
                "enum" => each(says).contains(value),
                "pattern" => {
                    value.as_str().is_none_or(|text| Regex::new(says.as_str().unwrap()).unwrap().is_match(text))
                }
                "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= says.as_u64().unwrap()),
                "minimum" => value.as_f64().is_none_or(|n| n >= says.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|n| n <= says.as_f64().unwrap()),
                "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= says.as_u64().unwrap()),
                "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= says.as_u64().unwrap()),
                "maxProperties" => value.as_object().is_none_or(|fields| fields.len() as u64 <= says.as_u64().unwrap()),
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.check(says, item, at, wrong);
                    }
                    true
                }
                "properties" => {
                    for (name, schema) in says.as_object().unwrap() {
                        if let Some(field) = value.get(name) {
                            self.check(schema, field, &format!("{at}/{name}"), wrong);
                        }
                    }
                    true
                }
                "patternProperties" => {
                    for (pattern, schema) in says.as_object().unwrap() {
                        let pattern = Regex::new(pattern).unwrap();
                        let named = value.as_object().into_iter().flatten().filter(|(name, _)| pattern.is_match(name));
                        named.for_each(|(name, field)| self.check(schema, field, &format!("{at}/{name}"), wrong));
                    }
                    true
                }
                "dependencies" => {
                    let has = |name: &str| value.get(name).is_some();
                    let mut all = says.as_object().unwrap().iter().filter(|(name, _)| has(name));
                    all.all(|(_, needed)| each(needed).iter().all(|name| has(name.as_str().unwrap())))
                }
                "additionalProperties" => {
                    let known = |name: &str| {
                        words.get("properties").is_some_and(|known| known.get(name).is_some())
                            || words.get("patternProperties").is_some_and(|known| {
                                known.as_object().unwrap().keys().any(|pattern| self.fits(pattern, name))
                            })
                    };
                    let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                    for (name, field) in others {
                        match says {
                            Value::Bool(false) => wrong.push(format!("{at}/{name}: unknown")),
                            schema => self.check(schema, field, &format!("{at}/{name}"), wrong),
                        }
                    }
                    true
                }
                "required" => value
                    .as_object()
                    .is_none_or(|fields| each(says).iter().all(|name| fields.contains_key(name.as_str().unwrap()))),
                "anyOf" => each(says).iter().any(|schema| self.is_valid(schema, value)),
                "allOf" => {
                    each(says).iter().for_each(|schema| self.check(schema, value, at, wrong));
                    true
                }
                "not" => !self.is_valid(says, value),
                "if" => {
                    let branch = if self.is_valid(says, value) { "then" } else { "else" };
                    if let Some(schema) = words.get(branch) {
                        self.check(schema, value, at, wrong);
                    }
                    true
                }
                other => panic!("`{other}` is no word that this validator knows"),
            };
            if !is_right {
                wrong.push(format!("{at}: {word} {says}"));
            }
        }
    }
}

fn is_of(ty: &str, value: &Value) -> bool {
    match ty {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    }
}

/// A file as an editor sees it: plain scalars have the types of YAML 1.2. `None` where it is no YAML.
pub fn of_yaml(text: &str) -> Option<Value> {
    let problems = Problems::new("x.yml", text);
    let node = yaml::parse(text, &problems)?;
    problems.is_empty().then(|| of_node(&node))
}

fn of_node(node: &yaml::Node) -> Value {
    match &node.value {
        yaml::Value::List(items) => items.iter().map(of_node).collect(),
        yaml::Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), of_node(&entry.value))).collect(),
        yaml::Value::Scalar(scalar) if scalar.is_null() => Value::Null,
        yaml::Value::Scalar(scalar) if scalar.quoted => scalar.text.clone().into(),
        yaml::Value::Scalar(scalar) => match scalar.text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            text => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => Number::from_f64(n).map_or_else(|| text.into(), Value::Number),
                _ => text.into(),
            },
        },
    }
}

/// Names, without the ending, and texts of a folder's files, ordered. Tests of rules end in `.test.yml`, rules only in `.yml`.
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(String, String)> = paths
        .filter_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let stem = name.strip_suffix(ending)?;
            (!stem.ends_with(".test")).then(|| (stem.to_owned(), std::fs::read_to_string(&path).unwrap()))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}
