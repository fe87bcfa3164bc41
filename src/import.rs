//! Facts from a file, for gateways that cannot publish key events: reads all of it, and says all that is wrong.
//!
//! Pure: text in, facts and complaints out. What is merged where is `plan`'s to say, and `cli::import` writes it.

use crate::event::auth::Decoder;
use crate::event::facts::Fact;
use crate::event::redact::Masker;
use crate::time::Millis;

pub mod plan;
mod row;
mod table;

pub use row::FIELDS;
pub use table::Columns;

/// The largest file.
pub const BYTES_MAX: u64 = 512 << 20;
/// Complaints that are kept; more are counted.
const WRONG_MAX: usize = 20;

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table whose first row names the columns.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// What the file does not say itself.
pub struct Reading<'a> {
    /// How it is written; where absent, a file that begins with `{` is JSON lines.
    pub form: Option<Form>,
    /// Which column is which field.
    pub columns: Columns,
    /// When the file was true: the date of rows without one.
    pub ts: Option<Millis>,
    /// Wall time: a date far ahead of it is a slip.
    pub now: Millis,
    /// Whether fingerprints mean anything after this run: a secret for them is configured.
    pub has_fingerprint_secret: bool,
    /// Reads a fact.
    pub decoder: &'a Decoder,
    /// Masks what a message quotes of the file.
    pub masker: &'a Masker,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1, where it is known.
    pub column: Option<u64>,
    /// What is wrong, without anything of the row's content.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The facts, in the order of the file.
    pub facts: Vec<Fact>,
    /// Rows or lines that were looked at.
    pub rows: u64,
    /// Those with something wrong.
    pub bad_rows: u64,
    /// What is wrong, the first of it.
    pub wrong: Vec<Wrong>,
    /// The file as a whole cannot be read: there is nothing to be had by leaving rows out.
    pub is_hopeless: bool,
}

impl Parsed {
    fn refuse(&mut self, wrong: Wrong) {
        self.bad_rows += 1;
        self.note(wrong);
    }

    fn give_up(&mut self, wrong: Wrong) {
        self.is_hopeless = true;
        self.note(wrong);
    }

    fn note(&mut self, wrong: Wrong) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push(wrong);
        }
    }
}

impl Wrong {
    fn at(line: u64, message: impl Into<String>) -> Wrong {
        Wrong { line, column: None, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Wrong {
        Wrong { hint: Some(hint.into()), ..self }
    }
}

/// Reads a whole file.
pub fn parse(bytes: &[u8], reading: &Reading<'_>) -> Parsed {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let form = reading.form.unwrap_or(if first == Some(&b'{') { Form::JsonLines } else { Form::Csv });
    match (form, first) {
        (_, None) => Parsed::default(),
        (_, Some(b'[')) => {
            let mut parsed = Parsed::default();
            parsed.give_up(
                Wrong::at(1, "a JSON array: expected one JSON object a line, or CSV")
                    .hint("`jq -c '.[]'` writes it so"),
            );
            parsed
        }
        (Form::Csv, _) => table::read(bytes, reading),
        (Form::JsonLines, _) => read_lines(bytes, reading),
    }
}

fn read_lines(bytes: &[u8], reading: &Reading<'_>) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        parsed.rows += 1;
        let read = match serde_json::from_slice(line) {
            Ok(row) => row::facts_of(&row, reading),
            // The decoder says better what is no object, and where.
            Err(_) => row::decode(line, reading).map(|fact| vec![fact]),
        };
        match read {
            Ok(facts) => parsed.facts.extend(facts),
            Err(fault) => {
                let wrong = Wrong { line: number, column: fault.column, message: fault.message, hint: fault.hint };
                parsed.refuse(wrong);
            }
        }
    }
    parsed
}

/// All that is wrong, as a terminal shows it: a line each, and what is to be done about several of them once.
pub fn render(parsed: &Parsed, file: &str, word: &str) -> String {
    let mut text = String::new();
    for (i, wrong) in parsed.wrong.iter().enumerate() {
        let place = match wrong.column {
            Some(column) => format!("{file}:{}:{column}", wrong.line),
            None => format!("{file}:{}", wrong.line),
        };
        text.push_str(&format!("{word}: {place}: {}\n", wrong.message));
        let is_last_of_its_kind = parsed.wrong.get(i + 1).is_none_or(|next| next.hint != wrong.hint);
        if let Some(hint) = wrong.hint.as_ref().filter(|_| is_last_of_its_kind) {
            text.push_str(&format!("hint: {hint}\n"));
        }
    }
    let hidden = parsed.bad_rows.saturating_sub(parsed.wrong.len() as u64);
    if hidden > 0 {
        text.push_str(&format!("{word}: {file}: {hidden} more are not shown\n"));
    }
    text
}
