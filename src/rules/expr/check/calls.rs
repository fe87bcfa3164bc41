//! Functions: what they take, what they give.

use std::sync::Arc;

use super::super::clock::{self, Part, Zone};
use super::super::lists::Nets;
use super::super::pattern::Pattern;
use super::super::problem::quoted;
use super::super::schema::{self, Type};
use super::super::syntax::{Node, Span, Syntax};
use super::super::tree::{Bool, Int, Text};
use super::arithmetic::of_whole;
use super::{Checker, Value, folded};
use crate::time::SECOND;
use crate::yaml::closest;

/// A function that conditions may call.
#[derive(Clone, Copy, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: &'static str,
    /// What it takes and gives.
    pub usage: &'static str,
    /// What it does, for the reference.
    pub doc: &'static str,
    /// A condition that calls it.
    pub example: &'static str,
}

const fn function(name: &'static str, usage: &'static str, doc: &'static str, example: &'static str) -> FunctionSpec {
    FunctionSpec { name, usage, doc, example }
}

/// Every function, in the order of the reference.
#[rustfmt::skip]
pub const FUNCTIONS: &[FunctionSpec] = &[
    function("has", "has(field) → bool", "Whether a field is there; of a list, whether it is not empty.", "!has(event.user_agent)"),
    function("startsWith", "string.startsWith(string) → bool", "", r#"event.path.startsWith("/v1/refunds")"#),
    function("endsWith", "string.endsWith(string) → bool", "", r#"event.origin.endsWith(".example.com")"#),
    function("contains", "string.contains(string) → bool", "", r#"event.user_agent.contains("curl")"#),
    function("matches", "string.matches(string) → bool", "Whether a pattern (RE2's syntax) is found anywhere in the text. The pattern is written out; `(?i)` at its beginning ignores case.", r#"event.user_agent.matches(r"(?i)^python-requests/2\.[0-9]+")"#),
    function("lowerAscii", "string.lowerAscii() → string", "The text with the letters A to Z in lower case.", r#"event.user_agent.lowerAscii().contains("postman")"#),
    function("lower", "string.lower() → string", "The same as `lowerAscii`; ours.", r#"event.method.lower() == "delete""#),
    function("size", "string.size() → int, list.size() → int", "Characters of a text, elements of a list; also `size(x)`.", "event.user_agent.size() < 5"),
    function("inCidr", "ip.inCidr(string) → bool", "Whether an address lies in a network; also `inCidr(ip, string)`; ours.", r#"event.source_ip.inCidr("203.0.113.0/24")"#),
    function("duration", "duration(string) → duration", "A duration in `h`, `m`, `s`, `ms`, `us`, `ns`, and in `d` and `w`, which are ours.", r#"event.ts - key.last_accepted > duration("30d")"#),
    function("timestamp", "timestamp(string) → timestamp, timestamp(int) → timestamp", "A time as RFC 3339 writes it, or seconds since 1970.", r#"event.ts >= timestamp("2026-12-01T00:00:00Z")"#),
    function("getHours", "timestamp.getHours(zone) → int, duration.getHours() → int", "Hour of the day, 0 to 23. Of a duration: whole hours.", r#"event.ts.getHours("Europe/Zurich") < 6"#),
    function("getMinutes", "timestamp.getMinutes(zone) → int, duration.getMinutes() → int", "Minute, 0 to 59. Of a duration: whole minutes.", "event.ts.getMinutes() == 0"),
    function("getSeconds", "timestamp.getSeconds(zone) → int, duration.getSeconds() → int", "Second, 0 to 59. Of a duration: whole seconds.", "(event.ts - key.last_seen).getSeconds() < 2"),
    function("getMilliseconds", "timestamp.getMilliseconds(zone) → int", "Thousandths of the second.", "event.ts.getMilliseconds() == 0"),
    function("getDayOfWeek", "timestamp.getDayOfWeek(zone) → int", "0 is Sunday, 6 is Saturday.", "event.ts.getDayOfWeek(merchant.timezone) in [0, 6]"),
    function("getDate", "timestamp.getDate(zone) → int", "Day of the month, from 1.", r#"event.ts.getDate("UTC") == 1"#),
    function("getDayOfMonth", "timestamp.getDayOfMonth(zone) → int", "Day of the month, from 0.", r#"event.ts.getDayOfMonth("UTC") == 0"#),
    function("getDayOfYear", "timestamp.getDayOfYear(zone) → int", "Day of the year, from 0.", r#"event.ts.getDayOfYear("UTC") < 7"#),
    function("getMonth", "timestamp.getMonth(zone) → int", "Month, from 0.", r#"event.ts.getMonth("UTC") == 11"#),
    function("getFullYear", "timestamp.getFullYear(zone) → int", "Year.", r#"event.ts.getFullYear("UTC") >= 2027"#),
    function("int", "int(double) → int, int(timestamp) → int", "Without the fraction; seconds since 1970.", "int(features.usual_day) > 1000"),
    function("double", "double(int) → double", "With a fraction.", "double(features.calls_1h) > features.usual_1h * 4.0"),
];

/// Functions of CEL that there are none of here, and why.
const ABSENT: &[(&str, &str)] = &[
    ("dyn", "every value has a type here"),
    ("type", "every value has a type here"),
    ("uint", "unsigned numbers are not supported"),
    ("bytes", "bytes are not supported"),
    ("string", "numbers and times are compared as such"),
    ("bool", "compare with `==`"),
];

impl Checker<'_> {
    pub(super) fn call(&mut self, name: &str, name_at: &Span, is_method: bool, args: &[Syntax], at: &Span) -> Value {
        match (name, args) {
            ("all" | "exists" | "exists_one" | "map" | "filter", _) => {
                return self.wrong_with_hint(
                    name_at,
                    format!("`{name}` is not supported: a condition has no loops"),
                    "use `in`",
                );
            }
            ("has", [field]) if !is_method => return self.has(field),
            _ => {}
        }
        let checked: Vec<Value> = args.iter().map(|arg| self.check(arg)).collect();
        let Some(spec) = FUNCTIONS.iter().find(|function| function.name == name) else {
            return self.unknown_function(name, name_at, at);
        };
        if checked.iter().any(|value| matches!(value, Value::Broken)) {
            return Value::Broken;
        }
        let part = match name {
            "getHours" => Some(Part::Hours),
            "getMinutes" => Some(Part::Minutes),
            "getSeconds" => Some(Part::Seconds),
            "getMilliseconds" => Some(Part::Milliseconds),
            "getDayOfWeek" => Some(Part::DayOfWeek),
            "getDate" => Some(Part::Date),
            "getDayOfMonth" => Some(Part::DayOfMonth),
            "getDayOfYear" => Some(Part::DayOfYear),
            "getMonth" => Some(Part::Month),
            "getFullYear" => Some(Part::FullYear),
            _ => None,
        };
        let mut values = checked.into_iter();
        match (name, is_method, values.next(), values.next(), values.next()) {
            (_, true, Some(Value::Int(of, ty)), zone, None) if part.is_some() => {
                let Some(part) = part else { return Value::Broken };
                match (ty, zone) {
                    (Type::Time, zone) => self.part(part, of, zone, args),
                    (Type::Duration, None) if clock::unit(part).is_some() => {
                        Value::Int(Int::Units(Box::new(of), clock::unit(part).unwrap_or(1)).folded(), Type::Int)
                    }
                    _ => self.misused(spec, at),
                }
            }
            ("startsWith", true, Some(Value::Text(a)), Some(Value::Text(b)), None) => {
                Value::Bool(folded(Bool::StartsWith(Box::new([a, b]))))
            }
            ("endsWith", true, Some(Value::Text(a)), Some(Value::Text(b)), None) => {
                Value::Bool(folded(Bool::EndsWith(Box::new([a, b]))))
            }
            ("contains", true, Some(Value::Text(a)), Some(Value::Text(b)), None) => self.contains(a, b, args),
            ("matches", _, Some(Value::Text(text)), Some(Value::Text(pattern)), None) => {
                self.matches(text, &pattern, &args[0].at, &args[1].at)
            }
            ("lowerAscii" | "lower", true, Some(Value::Text(text)), None, None) => {
                Value::Text(Text::Lower(Box::new(text)).folded())
            }
            ("size", _, Some(Value::Text(text)), None, None) => Value::Int(Int::Size(text).folded(), Type::Int),
            ("size", _, Some(Value::Texts(list)), None, None) => Value::Int(Int::Count(list), Type::Int),
            ("size", _, Some(Value::List(elements)), None, None) => {
                Value::Int(Int::Const(i64::try_from(elements.len()).ok()), Type::Int)
            }
            ("inCidr", _, Some(Value::Ip), Some(Value::Text(Text::Const(Some(text)))), None) => {
                let nets = self.cidr(&text, &args[1].at).into_iter().collect();
                Value::Bool(Bool::InNets(Arc::new(Nets::new(nets))))
            }
            ("duration", false, Some(Value::Text(Text::Const(Some(text)))), None, None) => {
                self.duration(&text, &args[0].at)
            }
            ("timestamp", false, Some(Value::Text(Text::Const(Some(text)))), None, None) => {
                match clock::parse_time(&text) {
                    Some(at) => Value::Int(Int::Const(Some(at)), Type::Time),
                    None => {
                        let message = format!("{} is no time", quoted(&text));
                        self.wrong_with_hint(&args[0].at, message, "write it as `2026-11-23T08:00:00Z`")
                    }
                }
            }
            ("timestamp", false, Some(Value::Int(of, Type::Int)), None, None) => {
                let millis = Int::Arithmetic(
                    super::super::syntax::Operation::Multiply,
                    Box::new([of, Int::Const(Some(SECOND))]),
                );
                Value::Int(Int::Time(Box::new(millis)).folded(), Type::Time)
            }
            ("timestamp", false, Some(Value::Int(of, Type::Time)), None, None) => Value::Int(of, Type::Time),
            ("int", false, Some(Value::Int(of, Type::Int)), None, None) => Value::Int(of, Type::Int),
            ("int", false, Some(Value::Int(of, Type::Time)), None, None) => {
                Value::Int(Int::Units(Box::new(of), SECOND).folded(), Type::Int)
            }
            ("int", false, Some(Value::Double(of)), None, None) => {
                Value::Int(Int::Truncate(Box::new(of)).folded(), Type::Int)
            }
            ("double", false, Some(Value::Int(of, Type::Int)), None, None) => Value::Double(of_whole(of)),
            ("double", false, Some(Value::Double(of)), None, None) => Value::Double(of),
            _ => self.misused(spec, at),
        }
    }

    fn misused(&mut self, spec: &FunctionSpec, at: &Span) -> Value {
        let message = format!("`{}` does not go with what it is given here", spec.name);
        let zone = if spec.usage.contains("zone") { "; zone is for example \"Europe/Zurich\"" } else { "" };
        self.wrong_with_hint(at, message, format!("{}{zone}; for example `{}`", spec.usage, spec.example))
    }

    fn unknown_function(&mut self, name: &str, name_at: &Span, at: &Span) -> Value {
        if let Some((_, why)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
            return self.wrong(at, format!("`{name}` is not supported: {why}"));
        }
        let known = || FUNCTIONS.iter().map(|function| function.name);
        let message = format!("there is no function {}", quoted(name));
        match closest(name, known()) {
            Some(known) => self.wrong_with_hint(name_at, message, format!("did you mean `{known}`?")),
            None => self.wrong_with_hint(
                name_at,
                message,
                format!("known functions: {}", known().collect::<Vec<_>>().join(", ")),
            ),
        }
    }

    fn has(&mut self, field: &Syntax) -> Value {
        let Node::Name(path) = &field.node else {
            if matches!(field.node, Node::Broken) {
                return Value::Broken;
            }
            let message = format!("`has` needs a field, {} is none", self.quote(&field.at));
            return self.wrong(&field.at, message);
        };
        let Some(spec) = schema::find(&path.join(".")) else {
            // Says what is unknown; a macro or a list is no field.
            return match self.name(path, &field.at) {
                Value::Broken => Value::Broken,
                _ => self.wrong(&field.at, format!("`has` needs a field, {} is none", quoted(&path.join(".")))),
            };
        };
        self.needs = self.needs.and(spec.needs);
        if !spec.optional && spec.ty() != Type::Texts {
            if self.compiler.is_strict {
                self.found.add(field.at.clone(), format!("`{}` is never absent", spec.name));
            }
            return Value::Bool(Bool::Const(Some(true)));
        }
        Value::Bool(Bool::Has(spec.read))
    }

    fn contains(&mut self, text: Text, what: Text, args: &[Syntax]) -> Value {
        if let (Text::Lower(inner), Some(want)) = (&text, what.constant()) {
            if want.bytes().any(|c| c.is_ascii_uppercase()) {
                if self.compiler.is_strict {
                    let message = format!("a text in lower case never has {}", quoted(want));
                    self.found.add_with_hint(
                        args[1].at.clone(),
                        message,
                        format!("write `{:?}`", want.to_ascii_lowercase()),
                    );
                }
            } else if let Some(pattern) = Pattern::of_lower(want)
                && !matches!(**inner, Text::Lower(_) | Text::Const(_))
            {
                return Value::Bool(Bool::Matches((**inner).clone(), pattern));
            }
        }
        Value::Bool(folded(Bool::Contains(Box::new([text, what]))))
    }

    fn matches(&mut self, text: Text, pattern: &Text, of: &Span, at: &Span) -> Value {
        let Some(pattern) = pattern.constant() else {
            return self
                .wrong(at, "the pattern must be written out, so that it can be checked when the rules are read");
        };
        if matches!(text, Text::Lower(_)) {
            let message = format!("{} cannot be searched for a pattern", self.quote(of));
            return self.wrong_with_hint(of, message, "let the pattern ignore case instead: `matches(\"(?i)…\")`");
        }
        match Pattern::new(pattern) {
            Ok(pattern) => Value::Bool(folded(Bool::Matches(text, pattern))),
            Err((place, complaint)) => {
                let byte = |place: usize| pattern.char_indices().nth(place).map_or(pattern.len(), |(byte, _)| byte);
                let place = place.map_or(at.clone(), |place| self.inside(at, byte(place)..byte(place + 1)));
                let message = format!("the pattern is wrong: {complaint}");
                if complaint.contains("group") || complaint.contains("class") || complaint.contains("repetition") {
                    let hint = r#"to find such a character itself write a backslash before it, in `r"…"`: `r"curl\("`"#;
                    return self.wrong_with_hint(&place, message, hint);
                }
                self.wrong(&place, message)
            }
        }
    }

    fn duration(&mut self, text: &str, at: &Span) -> Value {
        match clock::parse_duration(text) {
            Ok(millis) => Value::Int(Int::Const(Some(millis)), Type::Duration),
            Err(byte) => {
                let place = self.inside(at, byte..text.len());
                let place = if place.is_empty() { at.clone() } else { place };
                self.wrong_with_hint(
                    &place,
                    format!("{} is no duration", quoted(text)),
                    "for example `5m`, `1h30m`, `90d`",
                )
            }
        }
    }

    /// A part of a time, by the clock of a zone.
    fn part(&mut self, part: Part, of: Int, zone: Option<Value>, args: &[Syntax]) -> Value {
        let zone = match zone {
            None => Zone::Utc,
            Some(Value::Text(Text::Const(Some(name)))) => match Zone::named(&name) {
                Some(zone) => zone,
                None => {
                    let hint = match Zone::closest(&name) {
                        Some(name) => format!("did you mean `\"{name}\"`?"),
                        None => "for example \"Europe/Zurich\", \"UTC\" or \"+02:00\"".into(),
                    };
                    return self.wrong_with_hint(&args[1].at, format!("there is no time zone {}", quoted(&name)), hint);
                }
            },
            Some(Value::Text(Text::Field(field))) => Zone::Field(field),
            Some(other) => {
                let message = format!(
                    "a time zone is a written text or a field, {} is {}",
                    self.quote(&args[1].at),
                    other.noun()
                );
                return self.wrong(&args[1].at, message);
            }
        };
        Value::Int(Int::Part(part, Box::new(of), zone).folded(), Type::Int)
    }
}
