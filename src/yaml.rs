//! YAML text → a tree of nodes that know their place. Strict and bounded; nothing here knows what the text is about.
//!
//! What reads the tree is [`MapReader`]; what is wrong is gathered in [`Problems`] and shown all at once. Only this file
//! names the parser's crate.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

pub mod format;
mod layout;
mod problem;
mod read;
pub mod schema;
mod suggest;

pub use problem::{Problem, Problems, is_secret_name, render};
pub use read::{Fault, MapReader, check_count, check_duration, check_number, known_words};
pub use suggest::closest;

/// The largest text that is read.
pub const MAX_BYTES: usize = 1 << 20;
/// How deep lists and fields may nest.
pub const MAX_DEPTH: usize = 32;

/// How many fields a group may have.
pub const MAX_FIELDS: usize = 1_000;

/// A place in a text. Line and column count from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
}

impl Position {
    /// The first character.
    pub const START: Position = Position { line: 1, column: 1, width: 1 };
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it starts.
    pub at: Position,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A single text, number or word.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// Fields.
    Map(Vec<Entry>),
}

/// A text as it was written. What type it has is for the reader to say: `no` and `007` stay what they are.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The text that counts.
    pub text: String,
    /// The text as the file has it, before anything was put in its place. Only this may be shown.
    pub raw: String,
    /// In quotes, or a block: never empty-as-absent, never a number.
    pub quoted: bool,
    /// What should have been put in is missing, and that was said: readers leave it alone.
    pub is_broken: bool,
}

/// One field of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Where the name stands.
    pub key_at: Position,
    /// Its value.
    pub value: Node,
}

impl Scalar {
    /// Whether nothing was written: empty, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        !self.quoted && matches!(self.raw.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Whether something from outside the file was put in.
    pub fn is_substituted(&self) -> bool {
        self.text != self.raw
    }
}

/// Reads one document. `None` where the text cannot be understood as a whole; then there is a problem that says why.
pub fn parse(text: &str, problems: &Problems) -> Option<Node> {
    if MAX_BYTES < text.len() {
        problems.add(Position::START, format!("the file is larger than {} KiB", MAX_BYTES / 1024));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { problems, stack: Vec::new(), root: None };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                report_syntax(&error, problems);
                return None;
            }
        }
    }
    Some(builder.root.unwrap_or_else(|| null(Position::START)))
}

fn null(at: Position) -> Node {
    Node {
        value: Value::Scalar(Scalar { text: String::new(), raw: String::new(), quoted: false, is_broken: false }),
        at,
    }
}

/// A list or map that is still open.
enum Frame {
    List { at: Position, items: Vec<Node> },
    Map { at: Position, entries: Vec<Entry>, key: Option<(String, Position)> },
}

struct Builder<'a> {
    problems: &'a Problems,
    stack: Vec<Frame>,
    root: Option<Node>,
}

impl Builder<'_> {
    /// Takes in one event. `None` = what follows cannot be understood any more.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = self.position(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) if self.root.is_some() => {
                self.problems.add(at, "a second document starts here: one document a file");
                return None;
            }
            Event::DocumentStart(_) => {}
            Event::Alias(_) => {
                self.problems.add(at, "aliases (`*name`) are not supported: write the value out");
                self.push(null(at))?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(at, anchor, tag.is_some());
                let text = text.into_owned();
                let quoted = style != ScalarStyle::Plain;
                self.push(Node {
                    value: Value::Scalar(Scalar { raw: text.clone(), text, quoted, is_broken: false }),
                    at,
                })?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(at, anchor, tag.is_some());
                self.open(Frame::List { at, items: Vec::new() }, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(at, anchor, tag.is_some());
                self.open(Frame::Map { at, entries: Vec::new(), key: None }, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.stack.pop()? {
                    Frame::List { at, items } => Node { value: Value::List(items), at },
                    Frame::Map { at, entries, .. } => Node { value: Value::Map(entries), at },
                };
                self.push(node)?;
            }
        }
        Some(())
    }

    fn open(&mut self, frame: Frame, at: Position) -> Option<()> {
        if let Some(Frame::Map { key: None, .. }) = self.stack.last() {
            self.problems.add(at, "a field's name must be a single word, not a list or fields");
            return None;
        }
        if MAX_DEPTH <= self.stack.len() {
            self.problems.add(at, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        self.stack.push(frame);
        Some(())
    }

    fn push(&mut self, node: Node) -> Option<()> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match key.take() {
                None => {
                    let Value::Scalar(scalar) = node.value else { return None };
                    *key = Some((scalar.text, node.at));
                }
                Some((_, key_at)) if MAX_FIELDS <= entries.len() => {
                    self.problems.add(key_at, format!("more than {MAX_FIELDS} fields"));
                    return None;
                }
                Some((name, key_at)) => match entries.iter().find(|e| e.key == name) {
                    Some(first) => self.problems.add_with_hint(
                        key_at,
                        format!("field {} is given twice", self.problems.quote(key_at, &name)),
                        format!("the first one is on line {}", first.key_at.line),
                    ),
                    None => entries.push(Entry { key: name, key_at, value: placed(node, key_at) }),
                },
            },
        }
        Some(())
    }

    fn refuse_extras(&self, at: Position, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.problems.add(at, "anchors (`&name`) are not supported: write the value out where it is needed");
        }
        if tagged {
            self.problems.add(at, "tags (`!name`) are not supported");
        }
    }

    fn position(&self, span: Span) -> Position {
        let (line, column) = (span.start.line().max(1), span.start.col() + 1);
        let width = match span.end.line() == span.start.line() {
            true => span.end.col().saturating_sub(span.start.col()),
            false => self.problems.line_width(line).saturating_sub(span.start.col()),
        };
        Position { line, column, width: width.max(1) }
    }
}

/// Where nothing was written, the field's name is the place to show.
fn placed(mut node: Node, key_at: Position) -> Node {
    if let Value::Scalar(scalar) = &node.value
        && scalar.is_null()
        && scalar.raw.is_empty()
    {
        node.at = key_at;
    }
    node
}

/// The parser's own words, with a hint for the slips that people make.
fn report_syntax(error: &ScanError, problems: &Problems) {
    let info = error.info().trim();
    let at = Position { line: error.marker().line().max(1), column: error.marker().col() + 1, width: 1 };
    let hint = if info.contains("tab") {
        Some("indent with spaces, not tabs")
    } else if info.contains("mapping values are not allowed") || info.contains("illegal placement of ':'") {
        Some("a text that contains `: ` needs quotes; a field under another one is indented by two spaces")
    } else if info.contains("quoted scalar") {
        Some("check that the quotes are closed")
    } else if info.contains("simple key expect") || info.contains("expected key") {
        Some("each line is `name: value`; fields of one group start in the same column")
    } else if info.contains("flow") || info.contains("bracket") {
        Some("check that every `[` and `{` is closed")
    } else {
        None
    };
    let message = format!("not valid YAML: {info}");
    match hint {
        Some(hint) => problems.add_with_hint(at, message, hint),
        None => problems.add(at, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let problems = Problems::new("x.yml", text);
        let _ = parse(text, &problems);
        let got: Vec<String> =
            problems.into_sorted().iter().map(|p| format!("{}:{} {}", p.line, p.column, p.message)).collect();
        assert_eq!(got.join("\n"), expect, "{}", text.chars().take(100).collect::<String>());
    }

    #[test]
    fn what_is_not_plain_yaml_is_refused() {
        check("", "");
        check("# nothing\n", "");
        check("\u{feff}a: 1\r\nb: 2\r\n", "");
        check(
            "a: &x 1\nb: *x\n",
            "1:4 anchors (`&name`) are not supported: write the value out where it is needed\n2:4 aliases (`*name`) are not supported: write the value out",
        );
        check("a: !!str 1\n", "1:4 tags (`!name`) are not supported");
        check("a: 1\n---\nb: 2\n", "2:1 a second document starts here: one document a file");
        check("a: 1\nb: 2\na: 3\n", "3:1 field `a` is given twice");
        check("[a, b]: 3\n", "1:1 a field's name must be a single word, not a list or fields");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        check(&"a".repeat(MAX_BYTES + 1), "1:1 the file is larger than 1024 KiB");
        check(&"[".repeat(MAX_DEPTH + 1), "1:33 nested deeper than 32 levels");
        check(&"[".repeat(MAX_BYTES), "1:256 not valid YAML: recursion limit exceeded");
        let deep: String = (0..40).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        check(&deep, "33:33 nested deeper than 32 levels");
    }

    #[test]
    fn the_worst_texts_take_no_long_time() {
        let wide: String = (0..100_000).map(|i| format!("a{i}: \n")).collect();
        check(&wide, "1001:1 more than 1000 fields");
        for text in ["://", "a:", "@", "'", "- ", "{", "a: &a", "? ", "\t", "password=", "\"\\", "|\n", "#"] {
            let text = text.repeat(MAX_BYTES / text.len());
            let problems = Problems::new("x.yml", &text);
            let _ = parse(&text, &problems);
            let _ = problems.into_sorted();
        }
    }

    #[test]
    fn nodes_know_their_place() {
        let text = "a:\n  b: [1, 'two']\n  c:\n";
        let problems = Problems::new("x.yml", text);
        let root = parse(text, &problems).unwrap();
        let Value::Map(top) = &root.value else { panic!("{root:?}") };
        let Value::Map(fields) = &top[0].value.value else { panic!("{root:?}") };
        assert_eq!(fields[0].key_at, Position { line: 2, column: 3, width: 1 });
        let Value::List(items) = &fields[0].value.value else { panic!("{root:?}") };
        assert_eq!(items[1].at, Position { line: 2, column: 10, width: 5 });
        assert_eq!(fields[1].value.at, fields[1].key_at);
    }
}
