//! [`Syntax`] → typed nodes: names are resolved, types checked, constants worked out, and what can never be true is told.

mod arithmetic;
mod calls;
mod compare;
mod impossible;
mod within;

pub use calls::{FUNCTIONS, FunctionSpec};
pub(super) use compare::other_words;

use super::lists::List;
use super::problem::{Found, quoted};
use super::schema::{self, FIELDS, FieldSpec, Needs, Read, Type};
use super::scope::TextsField;
use super::syntax::{Node, Span, Syntax};
use super::tree::{Bool, Double, Int, Text, with_nothing};
use super::{Compiler, MACROS_DEPTH_MAX, NODES_MAX, parse};
use crate::yaml::closest;

/// A checked part.
#[derive(Clone, Debug)]
enum Value {
    Bool(Bool),
    /// A whole number, or what is kept as one.
    Int(Int, Type),
    Double(Double),
    Text(Text),
    Ip,
    Texts(TextsField),
    List(Vec<(Value, Span)>),
    Named(List),
    Null,
    /// It has been reported.
    Broken,
}

impl Value {
    fn noun(&self) -> &'static str {
        match self {
            Value::Bool(_) => Type::Bool.noun(),
            Value::Int(_, ty) => ty.noun(),
            Value::Double(_) => Type::Double.noun(),
            Value::Text(_) => Type::Text.noun(),
            Value::Ip => Type::Ip.noun(),
            Value::Texts(_) => Type::Texts.noun(),
            Value::List(_) | Value::Named(_) => "a list",
            Value::Null => "`null`",
            Value::Broken => "",
        }
    }
}

/// What has no value, in place of what has been reported.
const BROKEN: Bool = Bool::Const(None);

/// Checks one text, and the macros that it names.
pub(super) struct Checker<'a> {
    compiler: &'a Compiler,
    text: &'a str,
    found: Found,
    needs: Needs,
    n_nodes: usize,
    /// Macros that are being read.
    open: Vec<&'a str>,
}

/// A condition that passed.
pub(super) struct Checked {
    pub(super) root: Bool,
    pub(super) needs: Needs,
    pub(super) n_nodes: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(compiler: &'a Compiler, text: &'a str) -> Self {
        Checker { compiler, text, found: Found::default(), needs: Needs::EVENT, n_nodes: 0, open: Vec::new() }
    }

    /// Reads and checks the whole text, which stands for a macro named `macro_name` where there is one.
    pub(super) fn run(mut self, macro_name: Option<&'a str>) -> Result<Checked, Found> {
        self.open.extend(macro_name);
        let Some(syntax) = parse::parse(self.text, &mut self.found) else { return Err(self.found) };
        let value = self.check(&syntax);
        let root = match value {
            // A macro may be of any type; its own text has no condition to answer.
            _ if macro_name.is_some() && !matches!(value, Value::Bool(_)) => BROKEN,
            value => self.as_bool(value, &syntax.at, "a condition"),
        };
        if let (Bool::Const(answer), true) = (&root, self.compiler.is_strict && macro_name.is_none())
            && self.found.is_empty()
        {
            let message = match answer {
                Some(true) => "the condition is always true",
                Some(false) => "the condition is never true",
                None => "the condition never has a value, so it is never true",
            };
            self.found.add(syntax.at.clone(), message);
        }
        match self.found.is_empty() {
            true => Ok(Checked { root, needs: self.needs, n_nodes: self.n_nodes }),
            false => Err(self.found),
        }
    }

    /// Something is wrong at a place.
    fn wrong(&mut self, at: &Span, message: impl Into<String>) -> Value {
        self.found.add(at.clone(), message);
        Value::Broken
    }

    fn wrong_with_hint(&mut self, at: &Span, message: impl Into<String>, hint: impl Into<String>) -> Value {
        self.found.add_with_hint(at.clone(), message, hint);
        Value::Broken
    }

    /// A piece of the text as a message quotes it.
    fn quote(&self, at: &Span) -> String {
        quoted(self.text.get(at.clone()).unwrap_or_default())
    }

    fn check(&mut self, syntax: &Syntax) -> Value {
        self.n_nodes += 1;
        if NODES_MAX < self.n_nodes {
            if self.n_nodes == NODES_MAX + 1 {
                let message = format!("the condition has more than {NODES_MAX} parts, those of its macros included");
                return self.wrong(&syntax.at, message);
            }
            return Value::Broken;
        }
        let at = &syntax.at;
        match &syntax.node {
            Node::Broken => Value::Broken,
            Node::Bool(value) => Value::Bool(Bool::Const(Some(*value))),
            Node::Int(value) => Value::Int(Int::Const(Some(*value)), Type::Int),
            Node::Double(value) => Value::Double(Double::Const(Some(*value))),
            Node::Text(value) => Value::Text(Text::Const(Some(value.as_str().into()))),
            Node::Null => Value::Null,
            Node::Name(path) => self.name(path, at),
            Node::List(elements) => {
                let checked = elements.iter().map(|element| (self.check(element), element.at.clone())).collect();
                Value::List(checked)
            }
            Node::Not(of) => {
                let value = self.bool(of, "`!`");
                Value::Bool(negated(value))
            }
            Node::Negate(of) => self.negate(of),
            Node::All(parts) => self.all(parts),
            Node::Any(parts) => self.any(parts, at),
            Node::If(parts) => self.choice(parts),
            Node::Compare(comparison, parts) => {
                let [left, right] = &**parts;
                let (a, b) = (self.check(left), self.check(right));
                let value = folded(self.compare(*comparison, (a, left), (b, right)));
                self.told(value, at)
            }
            Node::In(parts) => {
                let [left, right] = &**parts;
                let (a, b) = (self.check(left), self.check(right));
                let value = folded(self.is_in((a, left), (b, right)));
                self.told(value, at)
            }
            Node::Arithmetic(operation, parts) => {
                let [left, right] = &**parts;
                let (a, b) = (self.check(left), self.check(right));
                self.reckon(*operation, (a, &left.at), (b, &right.at), at)
            }
            Node::Call { name, name_at, is_method, args } => self.call(name, name_at, *is_method, args, at),
        }
    }

    /// A comparison, after what is odd about it has been told.
    fn told(&mut self, value: Bool, at: &Span) -> Value {
        if self.compiler.is_strict && self.found.is_empty() {
            self.tell_impossible(&value, at);
        }
        Value::Bool(value)
    }

    fn bool(&mut self, syntax: &Syntax, by: &str) -> Bool {
        let value = self.check(syntax);
        self.as_bool(value, &syntax.at, by)
    }

    fn as_bool(&mut self, value: Value, at: &Span, by: &str) -> Bool {
        match value {
            Value::Bool(value) => value,
            Value::Broken => BROKEN,
            other => {
                let message = format!("{by} needs true or false, {} is {}", self.quote(at), other.noun());
                let hint = match other {
                    Value::Text(_) | Value::Int(..) | Value::Double(_) | Value::Ip => Some("compare it: `… == …`"),
                    Value::Texts(_) | Value::List(_) | Value::Named(_) => Some("look into it: `… in …`"),
                    _ => None,
                };
                self.found.push(at.clone(), message, hint.map(str::to_owned));
                BROKEN
            }
        }
    }

    /// A field, a named list, or a macro.
    fn name(&mut self, path: &[String], at: &Span) -> Value {
        let whole = path.join(".");
        if let Some(field) = schema::find(&whole) {
            self.needs = self.needs.and(field.needs);
            return value_of(field);
        }
        match path {
            [group, name] if group == "lists" => match self.compiler.lists.get(name) {
                Some(list) => Value::Named(list.clone()),
                None => {
                    let known = self.compiler.lists.keys().map(String::as_str);
                    let hint = closest(name, known).map(|name| format!("did you mean `lists.{name}`?"));
                    self.found.push(at.clone(), format!("there is no list {}", quoted(name)), hint);
                    Value::Broken
                }
            },
            [name] if self.compiler.macros.contains_key(name) => self.expand(name, at),
            _ => self.unknown(path, &whole, at),
        }
    }

    fn unknown(&mut self, path: &[String], whole: &str, at: &Span) -> Value {
        let message = format!("unknown field {}", quoted(whole));
        let fields = || FIELDS.iter().map(|field| field.name);
        let group = format!("{}.", path[0]);
        let in_group: Vec<&str> = fields().filter(|name| name.starts_with(&group)).collect();
        let macros = self.compiler.macros.keys().map(String::as_str);
        if let Some((spec, last)) = path.split_last().map(|(last, before)| (schema::find(&before.join(".")), last))
            && let Some(spec) = spec
        {
            let message = format!("`{}` is {} and has no field {}", spec.name, spec.ty().noun(), quoted(last));
            let is_function = FUNCTIONS.iter().any(|function| function.name == last);
            let hint = is_function.then(|| format!("a function is called with brackets: `{whole}(…)`"));
            self.found.push(at.clone(), message, hint);
            return Value::Broken;
        }
        let last_word = path.last().map_or("", String::as_str);
        let hint = if let Some(name) = closest(whole, fields().chain(macros)) {
            format!("did you mean `{name}`?")
        } else if !in_group.is_empty() && path.len() > 1 {
            let short = in_group.iter().map(|name| &name[group.len()..]);
            format!("known fields of `{}`: {}", path[0], short.collect::<Vec<_>>().join(", "))
        } else if let Some(name) = fields().find(|name| name.split('.').nth(1) == Some(last_word)) {
            format!("did you mean `{name}`?")
        } else if path.len() == 1 && self.is_beside_text(at) {
            format!("a text stands in quotes: `\"{last_word}\"`")
        } else {
            "fields begin with `event.`, `key.`, `merchant.` or `features.`, lists with `lists.`".into()
        };
        self.wrong_with_hint(at, message, hint)
    }

    /// Whether the word stands behind a comparison, where a text is likely to be meant.
    fn is_beside_text(&self, at: &Span) -> bool {
        self.text[..at.start].trim_end().ends_with(['=', '[', ','])
    }

    /// What a macro's name stands for.
    fn expand(&mut self, name: &str, at: &Span) -> Value {
        let Some((name, text)) = self.compiler.macros.get_key_value(name) else { return Value::Broken };
        if self.open.contains(&name.as_str()) {
            let path = self.open.iter().skip_while(|open| *open != name).copied().chain([name.as_str()]);
            let path = path.collect::<Vec<_>>().join(" → ");
            return self.wrong(at, format!("the macro `{name}` stands for itself: {path}"));
        }
        if MACROS_DEPTH_MAX <= self.open.len() {
            return self.wrong(at, format!("macros nest more than {MACROS_DEPTH_MAX} deep"));
        }
        self.open.push(name);
        let outer_text = std::mem::replace(&mut self.text, text);
        let outer_found = std::mem::take(&mut self.found);
        let value = match parse::parse(text, &mut self.found) {
            Some(syntax) => self.check(&syntax),
            None => Value::Broken,
        };
        self.text = outer_text;
        let inner = std::mem::replace(&mut self.found, outer_found);
        self.found.take_within(inner, name, at);
        self.open.pop();
        value
    }

    fn all(&mut self, parts: &[Syntax]) -> Value {
        let checked = self.parts(parts, "`&&`");
        if self.compiler.is_strict && self.found.is_empty() {
            self.tell_constants(&checked);
            self.tell_contradictions(&checked);
        }
        Value::Bool(joined(checked, true))
    }

    fn any(&mut self, parts: &[Syntax], at: &Span) -> Value {
        let checked = self.parts(parts, "`||`");
        if self.compiler.is_strict && self.found.is_empty() {
            self.tell_constants(&checked);
            self.tell_tautologies(&checked, at);
        }
        Value::Bool(joined(checked, false))
    }

    fn parts(&mut self, parts: &[Syntax], by: &str) -> Vec<(Bool, Span)> {
        parts.iter().map(|part| (self.bool(part, by), part.at.clone())).collect()
    }

    fn choice(&mut self, parts: &[Syntax; 3]) -> Value {
        let condition = self.bool(&parts[0], "what stands before `?`");
        if self.compiler.is_strict && self.found.is_empty() {
            self.tell_constants(&[(condition.clone(), parts[0].at.clone())]);
        }
        match (self.check(&parts[1]), self.check(&parts[2])) {
            (Value::Broken, _) | (_, Value::Broken) => Value::Broken,
            (Value::Bool(a), Value::Bool(b)) => Value::Bool(folded(Bool::If(Box::new([condition, a, b])))),
            (Value::Int(a, ty), Value::Int(b, other)) if ty == other => {
                Value::Int(Int::If(Box::new((condition, a, b))).folded(), ty)
            }
            (Value::Double(a), Value::Double(b)) => Value::Double(Double::If(Box::new((condition, a, b))).folded()),
            (Value::Text(a), Value::Text(b)) => Value::Text(Text::If(Box::new((condition, a, b))).folded()),
            (a, b) => {
                let (one, other) = (self.quote(&parts[1].at), self.quote(&parts[2].at));
                let at = parts[1].at.start..parts[2].at.end;
                self.wrong(&at, format!("`?:` chooses between {one}, {}, and {other}, {}", a.noun(), b.noun()))
            }
        }
    }
}

fn value_of(field: &FieldSpec) -> Value {
    match field.read {
        Read::Bool(read) => Value::Bool(Bool::Field(read)),
        Read::Int(read) => Value::Int(Int::Field(read), field.ty()),
        Read::Double(read) => Value::Double(Double::Field(read)),
        Read::Text(read) => Value::Text(Text::Field(read)),
        Read::Word(read) => Value::Text(Text::Word(read)),
        Read::Ip => Value::Ip,
        Read::Texts(read) => Value::Texts(read),
    }
}

/// The opposite.
fn negated(value: Bool) -> Bool {
    match value {
        Bool::Not(of) => *of,
        Bool::Const(value) => Bool::Const(value.map(|value| !value)),
        value => Bool::Not(Box::new(value)),
    }
}

/// Itself, or its answer where it reads nothing.
fn folded(value: Bool) -> Bool {
    if value.is_constant() { Bool::Const(with_nothing(|scope| value.value(scope))) } else { value }
}

/// `&&` (`what` is true) or `||` of parts: without those that change nothing, and the cheapest first.
fn joined(parts: Vec<(Bool, Span)>, what: bool) -> Bool {
    let mut flat = Vec::with_capacity(parts.len());
    for (part, _) in parts {
        match part {
            Bool::All(inner) if what => flat.extend(inner),
            Bool::Any(inner) if !what => flat.extend(inner),
            part => flat.push(part),
        }
    }
    if flat.contains(&Bool::Const(Some(!what))) {
        return Bool::Const(Some(!what));
    }
    flat.retain(|part| *part != Bool::Const(Some(what)));
    flat.sort_by_key(Bool::cost);
    match flat.len() {
        0 => Bool::Const(Some(what)),
        1 => flat.remove(0),
        _ if what => folded(Bool::All(flat.into())),
        _ => folded(Bool::Any(flat.into())),
    }
}
