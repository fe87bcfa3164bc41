//! A text's layout: what stands where, so that it can be set anew and nothing of it is lost. Columns and indices count
//! characters, lines from 0.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// A value and the characters that it takes.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// The first character, and the one after the last.
    pub(super) span: (usize, usize),
    /// The line that it begins on, and the one that it ends on.
    pub(super) lines: (usize, usize),
}

/// What a piece is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing is written.
    Empty,
    /// A word without quotes.
    Plain,
    /// A text in quotes, and what it comes to.
    Quoted(String),
    /// The lines under `>` or `|`.
    Block,
    /// `[…]`
    FlowList(Vec<Piece>),
    /// `{…}`
    FlowMap(Vec<(Piece, Piece)>),
    /// `- …`
    List(Vec<Piece>),
    /// `name: …`
    Map(Vec<(Piece, Piece)>),
}

impl Piece {
    pub(super) fn is_block(&self) -> bool {
        matches!(self.kind, Kind::List(_) | Kind::Map(_))
    }

    pub(super) fn is_one_line(&self) -> bool {
        self.lines.0 == self.lines.1
    }
}

/// A text cut in characters.
pub(super) struct Source {
    pub(super) chars: Vec<char>,
    /// Where each line begins.
    pub(super) starts: Vec<usize>,
    /// What belongs to a scalar: no comment begins there.
    in_scalar: Vec<bool>,
}

/// A comment that shares its line with something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    /// Its column.
    pub(super) column: usize,
    /// From `#` on.
    pub(super) text: String,
}

enum Frame {
    List(Vec<Piece>, bool, usize, usize),
    Map(Vec<(Piece, Piece)>, Option<Piece>, bool, usize, usize),
}

impl Source {
    /// The text of a line, without its end.
    pub(super) fn line(&self, line: usize) -> String {
        let from = self.starts[line];
        let to = self.starts.get(line + 1).map_or(self.chars.len(), |next| next - 1);
        self.chars[from..to].iter().collect::<String>().trim_end_matches('\n').to_owned()
    }

    pub(super) fn slice(&self, (from, to): (usize, usize)) -> String {
        self.chars[from..to].iter().collect()
    }

    pub(super) fn n_lines(&self) -> usize {
        self.starts.len() - usize::from(self.starts.last() == Some(&self.chars.len()))
    }

    fn line_of(&self, index: usize) -> usize {
        self.starts.partition_point(|start| *start <= index).saturating_sub(1)
    }

    /// The comment of a line.
    pub(super) fn comment(&self, line: usize) -> Option<Comment> {
        let from = self.starts[line];
        let to = self.starts.get(line + 1).copied().unwrap_or(self.chars.len());
        let is_comment = |at: &usize| {
            self.chars[*at] == '#' && !self.in_scalar[*at] && (*at == from || self.chars[*at - 1].is_whitespace())
        };
        let at = (from..to).find(is_comment)?;
        let text: String = self.chars[at..to].iter().collect();
        Some(Comment { column: at - from, text: text.trim_end().to_owned() })
    }

    /// Reads a text that [`super::parse`] has found good. The error names a line.
    pub(super) fn read(text: &str) -> Result<(Source, Option<Piece>), (usize, &'static str)> {
        let chars: Vec<char> = text.chars().collect();
        let starts = std::iter::once(0).chain((1..=chars.len()).filter(|at| chars[at - 1] == '\n')).collect();
        let mut source = Source { in_scalar: vec![false; chars.len()], chars, starts };
        let mut stack: Vec<Frame> = Vec::new();
        let mut root = None;
        let mut parser = Parser::new_from_str(text);
        while let Some(Ok((event, span))) = parser.next_event() {
            let (from, to) = (span.start.index(), span.end.index());
            let line = source.line_of(from);
            // What stands in lines of its own begins with nothing; its first item may well begin with a bracket.
            let is_flow = from != to;
            let piece = match event {
                Event::DocumentStart(true) => return Err((line, "this mark of a document cannot be kept")),
                Event::Scalar(text, style, ..) => {
                    let piece = source.scalar(&text, style, from, to);
                    if matches!(piece.kind, Kind::Block)
                        && source.sign(piece.lines.0).contains(|c: char| c == '+' || c.is_ascii_digit())
                    {
                        return Err((piece.lines.0, "a block with `+` or a number cannot be set anew"));
                    }
                    piece
                }
                Event::SequenceStart(..) => {
                    stack.push(Frame::List(Vec::new(), is_flow, from, line));
                    continue;
                }
                Event::MappingStart(..) => {
                    stack.push(Frame::Map(Vec::new(), None, is_flow, from, line));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                    Some(frame) => source.close(frame, to),
                    None => continue,
                },
                _ => continue,
            };
            match stack.last_mut() {
                None => root = Some(piece),
                Some(Frame::List(items, ..)) => items.push(piece),
                Some(Frame::Map(entries, key, ..)) => match key.take() {
                    None => *key = Some(piece),
                    Some(key) => entries.push((key, piece)),
                },
            }
        }
        Ok((source, root))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, from: usize, to: usize) -> Piece {
        let (kind, to) = match style {
            ScalarStyle::Plain if from == to => (Kind::Empty, to),
            ScalarStyle::Plain => (Kind::Plain, to),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                (Kind::Quoted(text.to_owned()), self.end_of_quotes(from))
            }
            ScalarStyle::Literal | ScalarStyle::Folded => (Kind::Block, to),
        };
        let (mut first, mut masked, mut last) = (self.line_of(from), (from, to), to);
        if matches!(kind, Kind::Block) {
            // It begins with its sign, and its lines are its own, to their ends.
            let content = first;
            while first > 0 && (first == content || self.line(first).trim().is_empty()) {
                first -= 1;
            }
            while last > from && self.chars[last - 1].is_whitespace() {
                last -= 1;
            }
            masked = (self.starts[first + 1], last.max(self.starts[first + 1]));
        }
        self.in_scalar[masked.0..masked.1].iter_mut().for_each(|inside| *inside = true);
        let last = self.line_of(last.saturating_sub(1).max(from.min(last)));
        Piece { kind, span: (from, to), lines: (first, last.max(first)) }
    }

    /// What begins the block of a line: `>` or `|`, and what follows but for a comment.
    pub(super) fn sign(&self, line: usize) -> String {
        let end = self.comment(line).map_or(usize::MAX, |comment| comment.column);
        let written: String = self.line(line).chars().take(end).collect();
        written.rfind(['>', '|']).map_or_else(String::new, |at| written[at..].trim_end().to_owned())
    }

    /// Where a text in quotes ends.
    fn end_of_quotes(&self, from: usize) -> usize {
        let quote = self.chars[from];
        let mut at = from + 1;
        while at < self.chars.len() {
            match self.chars[at] {
                '\\' if quote == '"' => at += 1,
                c if c == quote && quote == '\'' && self.chars.get(at + 1) == Some(&'\'') => at += 1,
                c if c == quote => return at + 1,
                _ => {}
            }
            at += 1;
        }
        self.chars.len()
    }

    fn close(&self, frame: Frame, to: usize) -> Piece {
        let (kind, is_flow, from, line, last) = match frame {
            Frame::List(items, is_flow, from, line) => {
                let last = items.last().map_or(line, |item| item.lines.1);
                (if is_flow { Kind::FlowList(items) } else { Kind::List(items) }, is_flow, from, line, last)
            }
            Frame::Map(entries, _, is_flow, from, line) => {
                let last = entries.last().map_or(line, |(key, value)| key.lines.1.max(value.lines.1));
                (if is_flow { Kind::FlowMap(entries) } else { Kind::Map(entries) }, is_flow, from, line, last)
            }
        };
        let last = if is_flow { self.line_of(to.saturating_sub(1)) } else { last };
        Piece { kind, span: (from, to), lines: (line, last) }
    }
}
