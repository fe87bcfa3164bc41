//! Sets a text anew: indentation, spaces, quotes, and the order of known fields. What cannot be kept is refused, with its line.
//!
//! Nothing is taken on trust: what comes out is read again, and must have the same values and the same comments, and be set
//! already.

use std::collections::BTreeSet;

use super::layout::{Kind, Piece, Source};
use super::schema::{Field, Group, Type};
use super::{Node, Position, Problem, Problems, Value, parse};

/// How far fields of a group and items of a list stand in.
const STEP: usize = 2;

/// What a file may hold: its fields, and the groups that they name. Fields of groups are brought in the tables' order; those of
/// the file itself are left as they are, but for a file that is one group.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Fields of the file.
    pub file: &'a [Field],
    /// Groups.
    pub groups: &'a [Group],
    /// The group that the file is where it has none of its fields.
    pub whole: Option<&'a str>,
}

/// The text as it should be. What is wrong with it, or cannot be kept.
pub fn format(name: &str, text: &str, tables: Tables<'_>) -> Result<String, Vec<Problem>> {
    let done = once(name, text, tables)?;
    let refuse = |why: &str| {
        let problem = Problem::whole(name, format!("this file cannot be formatted: {why}"));
        vec![problem.with_hint("format it by hand; it was left as it is")]
    };
    let same = once(name, &done, tables).is_ok_and(|again| again == done);
    match (meaning(text) == meaning(&done), comments(text) == comments(&done), same) {
        (true, true, true) => Ok(done),
        (false, ..) => Err(refuse("what it says would change")),
        (_, false, _) => Err(refuse("a comment would be lost")),
        _ => Err(refuse("it does not come to rest")),
    }
}

/// The values of a text, whatever the order of its fields.
fn meaning(text: &str) -> Option<String> {
    fn told(node: &Node) -> String {
        match &node.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing".into(),
            Value::Scalar(scalar) => format!("{:?}", scalar.text),
            Value::List(items) => format!("[{}]", items.iter().map(told).collect::<Vec<_>>().join(",")),
            Value::Map(entries) => {
                let mut all: Vec<String> = entries.iter().map(|e| format!("{:?}:{}", e.key, told(&e.value))).collect();
                all.sort_unstable();
                format!("{{{}}}", all.join(","))
            }
        }
    }
    parse(text, &Problems::new("", text)).map(|root| told(&root))
}

/// The comments of a text, sorted.
fn comments(text: &str) -> Option<Vec<String>> {
    let (source, _) = Source::read(&normal(text)).ok()?;
    let mut all: Vec<String> = (0..source.n_lines()).filter_map(|line| Some(source.comment(line)?.text)).collect();
    all.sort_unstable();
    Some(all)
}

/// With one kind of line end, also after the last line.
fn normal(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn once(name: &str, text: &str, tables: Tables<'_>) -> Result<String, Vec<Problem>> {
    let problems = Problems::new(name, text);
    let root = parse(text, &problems);
    let refuse = |line: usize, why: &str| {
        let at = Position { line: line + 1, column: 1, width: 1 };
        problems.add_with_hint(at, why, "format these lines by hand; the file was left as it is");
    };
    let text = normal(text);
    let told = if root.is_none() || !problems.is_empty() {
        None
    } else if let Some(line) = text
        .lines()
        .position(|line| line.starts_with(['%', '\u{feff}']) || line.starts_with("...") || line.contains('\r'))
    {
        refuse(line, "this line cannot be kept");
        None
    } else {
        match Source::read(&text) {
            Err((line, why)) => {
                refuse(line, why);
                None
            }
            Ok((source, root)) => set(&source, root.as_ref(), tables, &refuse),
        }
    };
    told.ok_or_else(|| problems.into_sorted())
}

fn set(source: &Source, root: Option<&Piece>, tables: Tables<'_>, refuse: &dyn Fn(usize, &str)) -> Option<String> {
    let mut setter = Setter { source, tables, out: Vec::new(), kept: BTreeSet::new() };
    let all = setter.own(0, source.n_lines());
    match root.map(|root| (&root.kind, root)) {
        None | Some((Kind::Empty, _)) => setter.put_own(&all, 0, true),
        Some((Kind::Map(entries), root)) => {
            let fields = setter.fields_of_root(entries);
            let lead = setter.own(0, root.lines.0);
            let tail = setter.own(root.lines.1 + 1, source.n_lines());
            // What stands above the first field is about the file.
            setter.put_own(&lead, 0, true);
            setter.map(entries, 0, fields, &tail);
        }
        Some((_, root)) => {
            refuse(root.lines.0, "only a file whose fields stand in lines of their own can be formatted");
            return None;
        }
    }
    if let Some(line) =
        (0..source.n_lines()).find(|line| source.comment(*line).is_some() && !setter.kept.contains(line))
    {
        refuse(line, "this comment cannot be kept in its place");
        return None;
    }
    while setter.out.last().is_some_and(String::is_empty) {
        setter.out.pop();
    }
    Some(setter.out.iter().map(|line| format!("{line}\n")).collect())
}

/// A line without a value: empty, or a comment.
#[derive(Clone, Debug)]
struct Own {
    line: usize,
    /// Column and text; `None` = an empty line.
    comment: Option<(usize, String)>,
}

/// An entry with the lines above it, and those at the end of what it holds.
struct Placed<'p> {
    entry: &'p (Piece, Piece),
    lead: Vec<Own>,
    inner: Vec<Own>,
}

struct Setter<'a> {
    source: &'a Source,
    tables: Tables<'a>,
    out: Vec<String>,
    /// Lines whose comments have been set.
    kept: BTreeSet<usize>,
}

type Fields<'a> = Option<&'a [Field]>;

impl<'a> Setter<'a> {
    /// Lines without a value, of those from one to before another.
    fn own(&self, from: usize, to: usize) -> Vec<Own> {
        let own = |line: usize| match self.source.line(line).trim() {
            "" => Some(Own { line, comment: None }),
            text if text.starts_with('#') => {
                let comment = self.source.comment(line)?;
                Some(Own { line, comment: Some((comment.column, comment.text)) })
            }
            _ => None,
        };
        (from..to.max(from)).filter_map(own).collect()
    }

    /// Sets such lines; of several empty ones one stays, of those at the start of a group none.
    fn put_own(&mut self, lines: &[Own], indent: usize, is_first: bool) {
        let mut may_be_empty = !is_first;
        for own in lines {
            match &own.comment {
                None if may_be_empty && self.out.last().is_some_and(|line| !line.is_empty()) => {
                    self.out.push(String::new())
                }
                None => {}
                Some((_, text)) => {
                    self.out.push(format!("{}{text}", " ".repeat(indent)));
                    self.kept.insert(own.line);
                    may_be_empty = true;
                }
            }
        }
    }

    fn group(&self, name: &str) -> Fields<'a> {
        self.tables.groups.iter().find(|(group, _)| *group == name).map(|(_, fields)| *fields)
    }

    fn fields_of_root(&self, entries: &[(Piece, Piece)]) -> Fields<'a> {
        let is_named =
            |(key, _): &(Piece, Piece)| self.tables.file.iter().any(|field| field.name == self.source.slice(key.span));
        match self.tables.whole {
            Some(whole) if !entries.iter().any(is_named) => self.group(whole),
            _ => Some(self.tables.file),
        }
    }

    /// The fields that stand under a type.
    fn under(&self, ty: Type) -> Fields<'a> {
        match ty {
            Type::Group(name) => self.group(name),
            Type::List(item, ..) | Type::Names(_, item) => self.under(*item),
            _ => None,
        }
    }

    fn order(&self, fields: Fields<'_>, key: &Piece) -> usize {
        let name = self.source.slice(key.span);
        let is_file = fields.is_some_and(|fields| std::ptr::eq(fields, self.tables.file));
        let fields = fields.filter(|_| !is_file);
        fields.map_or(0, |fields| fields.iter().position(|field| field.name == name).unwrap_or(fields.len()))
    }

    /// Of lines between two elements, those that belong to the end of the first: they stand further in than the elements do.
    fn split<'o>(&self, between: &'o [Own], column: usize, first: &Piece) -> (&'o [Own], &'o [Own]) {
        // An item that was taken out of a list may stand no further in than the list's name.
        let is_item = |text: &str| matches!(first.kind, Kind::List(_)) && text[1..].trim_start().starts_with("- ");
        let stays = |own: &Own| own.comment.as_ref().is_some_and(|(at, text)| *at <= column && !is_item(text));
        let last_inner = between.iter().take_while(|own| !stays(own)).filter(|own| own.comment.is_some()).count();
        if !first.is_block() || last_inner == 0 {
            return between.split_at(0);
        }
        let end = between.iter().enumerate().filter(|(_, own)| own.comment.is_some()).nth(last_inner - 1);
        between.split_at(end.map_or(0, |(place, _)| place + 1))
    }

    fn column(&self, piece: &Piece) -> usize {
        piece.span.0 - self.source.starts[piece.lines.0]
    }

    fn map(&mut self, entries: &[(Piece, Piece)], indent: usize, fields: Fields<'a>, tail: &[Own]) {
        let mut all: Vec<Placed<'_>> = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let lead = match place.checked_sub(1).map(|before| &entries[before].1) {
                None => Vec::new(),
                Some(before) => {
                    let end = before.lines.1.max(entries[place - 1].0.lines.1);
                    let between = self.own(end + 1, entry.0.lines.0);
                    let (inner, outer) = self.split(&between, self.column(&entry.0), before);
                    if let Some(last) = all.last_mut() {
                        last.inner = inner.to_vec();
                    }
                    outer.to_vec()
                }
            };
            all.push(Placed { entry, lead, inner: Vec::new() });
        }
        let Some((key, value)) = entries.last() else { return };
        let (inner, outer) = self.split(tail, self.column(key), value);
        if let Some(last) = all.last_mut() {
            last.inner = inner.to_vec();
        }
        all.sort_by_key(|placed| self.order(fields, &placed.entry.0));
        for (nth, Placed { entry: (key, value), lead, inner }) in all.iter().enumerate() {
            self.put_own(lead, indent, nth == 0);
            let name = self.source.slice(key.span);
            let ty = fields.and_then(|fields| fields.iter().find(|field| field.name == name)).map(|field| field.ty);
            // Groups under names of one's own keep their order.
            let under = ty.filter(|ty| !matches!(ty, Type::Names(..))).and_then(|ty| self.under(ty));
            self.value(&format!("{}{name}:", " ".repeat(indent)), key.lines.0, value, indent, under, inner);
        }
        self.put_own(outer, indent, false);
    }

    fn list(&mut self, items: &[Piece], indent: usize, fields: Fields<'a>, tail: &[Own]) {
        let Some(last) = items.last() else { return };
        // Where the dashes stand. One may have its line to itself.
        let column_of = |item: &Piece| self.source.line(item.lines.0).chars().take_while(|c| *c == ' ').count();
        let column = items.iter().map(column_of).min().unwrap_or(0);
        let (end, outer) = self.split(tail, column, last);
        for (place, item) in items.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| &items[before]);
            let between = before.map_or_else(Vec::new, |before| self.own(before.lines.1 + 1, item.lines.0));
            let (_, lead) = before.map_or((&[][..], &between[..]), |before| self.split(&between, column, before));
            self.put_own(lead, indent, place == 0);
            let inner = match items.get(place + 1) {
                Some(next) => {
                    let between = self.own(item.lines.1 + 1, next.lines.0);
                    self.split(&between, column, item).0.to_vec()
                }
                None => end.to_vec(),
            };
            let dash = format!("{}-", " ".repeat(indent));
            match &item.kind {
                Kind::Map(entries) => {
                    let mut within =
                        Setter { source: self.source, tables: self.tables, out: Vec::new(), kept: BTreeSet::new() };
                    within.map(entries, indent + STEP, fields, &inner);
                    self.kept.append(&mut within.kept);
                    // Comments above the first field stand above its dash.
                    let is_comment = |line: &String| line.trim_start().starts_with('#');
                    let first = within.out.iter().position(|line| !is_comment(line)).unwrap_or(0);
                    for (n, line) in within.out.into_iter().enumerate() {
                        let line = match n.cmp(&first) {
                            std::cmp::Ordering::Less => format!("{}{}", " ".repeat(indent), line.trim_start()),
                            std::cmp::Ordering::Equal => format!("{dash} {}", line.trim_start()),
                            std::cmp::Ordering::Greater => line,
                        };
                        self.out.push(line);
                    }
                }
                _ => self.value(&dash, item.lines.0, item, indent, None, &inner),
            }
        }
        self.put_own(outer, indent, false);
    }

    /// Sets what follows a name or a dash.
    fn value(&mut self, head: &str, line: usize, value: &Piece, indent: usize, under: Fields<'a>, inner: &[Own]) {
        let inside = " ".repeat(indent + STEP);
        match &value.kind {
            Kind::Map(entries) => {
                self.put(head.to_owned(), line);
                let lead = self.own(line + 1, value.lines.0);
                self.put_own(&lead, indent + STEP, true);
                self.map(entries, indent + STEP, under, inner);
            }
            Kind::List(items) => {
                self.put(head.to_owned(), line);
                let lead = self.own(line + 1, value.lines.0);
                self.put_own(&lead, indent + STEP, true);
                self.list(items, indent + STEP, under, inner);
            }
            Kind::Empty => self.put(head.to_owned(), line),
            Kind::Block => {
                self.put(format!("{head} {}", self.source.sign(line)), line);
                let lines: Vec<String> = (line + 1..=value.lines.1).map(|line| self.source.line(line)).collect();
                let depth = |line: &String| line.chars().take_while(|c| *c == ' ').count();
                let least = lines.iter().filter(|line| !line.trim().is_empty()).map(depth).min().unwrap_or(0);
                for line in lines {
                    let text: String = line.chars().skip(least).collect();
                    self.out.push(if line.trim().is_empty() { String::new() } else { format!("{inside}{text}") });
                }
            }
            _ if value.is_one_line() => {
                let text = self.inline(value);
                self.put(format!("{head} {text}"), value.lines.1);
            }
            _ => {
                let first = self.source.line(value.lines.0);
                let from = value.span.0 - self.source.starts[value.lines.0];
                let text: String = first.chars().skip(from).collect();
                self.out.push(format!("{head} {}", text.trim_end()));
                self.kept.insert(value.lines.0);
                for line in value.lines.0 + 1..=value.lines.1 {
                    let text = self.source.line(line);
                    let (text, outside) = (text.trim(), " ".repeat(indent));
                    let indent = if text.starts_with([']', '}']) { &outside } else { &inside };
                    self.out.push(if text.is_empty() { String::new() } else { format!("{indent}{text}") });
                    self.kept.insert(line);
                }
            }
        }
    }

    /// A line, with the comment that it had.
    fn put(&mut self, text: String, line: usize) {
        match self.source.comment(line) {
            Some(comment) if self.kept.insert(line) => {
                let written = self.source.line(line);
                let before: String = written.chars().take(comment.column).collect();
                let gap = before.chars().rev().take_while(|c| c.is_whitespace()).count().max(1);
                self.out.push(format!("{text}{}{}", " ".repeat(gap), comment.text));
            }
            _ => self.out.push(text),
        }
    }

    /// A value in one line.
    fn inline(&self, piece: &Piece) -> String {
        match &piece.kind {
            Kind::Quoted(text) if is_plain(text) => text.clone(),
            Kind::FlowList(items) if items.iter().all(|item| !matches!(item.kind, Kind::Empty)) => {
                format!("[{}]", items.iter().map(|item| self.inline(item)).collect::<Vec<_>>().join(", "))
            }
            Kind::FlowMap(entries) if entries.iter().all(|(_, value)| !matches!(value.kind, Kind::Empty)) => {
                let entry =
                    |(key, value): &(Piece, Piece)| format!("{}: {}", self.source.slice(key.span), self.inline(value));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
            _ => self.source.slice(piece.span),
        }
    }
}

/// Whether a text is the same without its quotes, wherever it stands and whoever reads it. Where in doubt it is not.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _-./@".contains(c))
        && !text.ends_with(' ')
        && !text.contains("  ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}
