//! A CSV table to rows: which column is which field, and cells to values. Only this file names the reader's crate.

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::row::{DATES, FIELDS, LISTS, facts_of};
use super::{Parsed, Reading, Wrong};
use crate::event::redact::Masker;
use crate::yaml::closest;

/// Characters of a column's name that a message quotes.
const QUOTED_MAX: usize = 40;

/// Which column is which field, where the names differ.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Between two cells.
    pub delimiter: u8,
    /// Our field, and the file's name for it.
    pub map: Vec<(&'static str, String)>,
    /// Columns that say nothing to us.
    pub ignore: Vec<String>,
}

/// Reads the whole table.
pub(super) fn read(bytes: &[u8], reading: &Reading<'_>) -> Parsed {
    let mut parsed = Parsed::default();
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(reading.columns.delimiter).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut header: Option<Vec<Column>> = None;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return parsed,
            // Of a text in memory every byte is a table of some sort; this is for what a later reader may refuse.
            Err(_) => {
                parsed.give_up(Wrong::at(reader.position().line(), "cannot be read as CSV"));
                return parsed;
            }
        }
        let line = record.position().map_or(1, csv::Position::line);
        let Some(columns) = &header else {
            let columns = name_columns(&record, line, reading, &mut parsed);
            if parsed.is_hopeless {
                return parsed;
            }
            header = Some(columns);
            continue;
        };
        if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        parsed.rows += 1;
        match facts(&record, columns, reading) {
            Ok(facts) => parsed.facts.extend(facts),
            Err(wrong) => parsed.refuse(Wrong { line, ..wrong }),
        }
    }
}

/// A column of the table.
struct Column {
    /// What it holds; `None` = nothing for us.
    field: Option<&'static str>,
    /// Its name as it may be shown.
    shown: String,
}

fn name_columns(header: &ByteRecord, line: u64, reading: &Reading<'_>, parsed: &mut Parsed) -> Vec<Column> {
    let Columns { delimiter, map, ignore } = &reading.columns;
    let names: Vec<String> = header.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
    let mut columns: Vec<Column> = Vec::new();
    for name in &names {
        let shown = shown(name, reading.masker);
        let mapped = map.iter().find(|(_, column)| column == name).map(|(field, _)| *field);
        let is_free = |field: &&'static str| !map.iter().any(|(ours, _)| ours == field);
        let own = || FIELDS.into_iter().find(|field| field == name).filter(is_free);
        let field = mapped.or_else(|| own().filter(|_| !ignore.contains(name)));
        let taken = map.iter().find(|(ours, _)| ours == name).filter(|_| field.is_none() && !ignore.contains(name));
        if let Some((_, other)) = taken {
            let other = self::shown(other, reading.masker);
            let message = format!("column `{shown}`: the command line takes `{shown}` from the column `{other}`");
            parsed.give_up(Wrong::at(line, message).hint(format!("keep one of them: `--ignore '{shown}'`")));
        } else if field.is_none() && !ignore.contains(name) {
            parsed.give_up(unknown(name, &shown, names.len(), *delimiter).at_line(line));
        }
        if let Some(field) = field
            && let Some(first) = columns.iter().find(|column| column.field == Some(field))
        {
            let message = format!("two columns are `{field}`: `{}` and `{shown}`", first.shown);
            parsed.give_up(Wrong::at(line, message).hint("keep one of them, or give the other one another name"));
        }
        columns.push(Column { field, shown });
    }
    for name in map.iter().map(|(_, column)| column).chain(ignore).filter(|name| !names.contains(name)) {
        let shown = shown(name, reading.masker);
        let wrong = Wrong::at(line, format!("there is no column `{shown}`, which the command line names"));
        let near = closest(name, names.iter().map(String::as_str)).map(|near| self::shown(near, reading.masker));
        parsed.give_up(match near {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => wrong,
        });
    }
    columns
}

fn unknown(name: &str, shown: &str, n_columns: usize, delimiter: u8) -> Wrong {
    let wrong = Wrong::at(0, format!("unknown column `{shown}`"));
    if n_columns == 1 {
        for (other, word) in [(b';', "';'"), (b'\t', "tab"), (b',', "','")] {
            if other != delimiter && name.as_bytes().contains(&other) {
                return wrong.hint(format!("the cells seem to be parted otherwise: add `--delimiter {word}`"));
            }
        }
    }
    match closest(name, FIELDS) {
        Some(field) => wrong.hint(format!(
            "did you mean `{field}`? Then add `--map '{field}={shown}'`; without it, `--ignore '{shown}'`"
        )),
        None => wrong.hint(format!(
            "the first row names our fields (docs/import.md); add `--map FIELD='{shown}'`, or `--ignore '{shown}'`"
        )),
    }
}

impl Wrong {
    fn at_line(self, line: u64) -> Wrong {
        Wrong { line, ..self }
    }
}

/// A name from the file: masked, as a table without a first row of names has its secrets there.
fn shown(name: &str, masker: &Masker) -> String {
    let masked = masker.mask_text(name);
    let mut text: String = masked.chars().take(QUOTED_MAX).filter(|c| !c.is_control()).collect();
    if QUOTED_MAX < masked.chars().count() {
        text.push('…');
    }
    text
}

fn facts(
    record: &ByteRecord,
    columns: &[Column],
    reading: &Reading<'_>,
) -> Result<Vec<crate::event::facts::Fact>, Wrong> {
    if record.len() != columns.len() {
        let message = format!("{} cells, but the first row names {} columns", record.len(), columns.len());
        return Err(Wrong::at(0, message).hint("a cell with a comma or a line break in it needs quotes"));
    }
    let mut row = Map::new();
    for (cell, column) in record.iter().zip(columns) {
        let Some(field) = column.field else { continue };
        let Ok(text) = std::str::from_utf8(cell) else {
            let message = format!("column `{}`: not UTF-8", column.shown);
            return Err(Wrong::at(0, message).hint("`iconv -f ISO-8859-1 -t UTF-8` rewrites an older encoding"));
        };
        let text = text.trim();
        if !text.is_empty() {
            row.insert(field.to_owned(), value(field, text));
        }
    }
    facts_of(&row, reading).map_err(|fault| {
        let column = columns.iter().find(|column| column.field.is_some() && column.field == fault.field);
        let other = column.filter(|column| Some(column.shown.as_str()) != fault.field);
        let place = other.map(|column| format!(" (column `{}`)", column.shown)).unwrap_or_default();
        Wrong { line: 0, column: None, message: fault.message + &place, hint: fault.hint }
    })
}

fn value(field: &str, text: &str) -> Value {
    if LISTS.contains(&field) {
        return text.split(';').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
    }
    match text.parse::<i64>() {
        Ok(millis) if DATES.contains(&field) => millis.into(),
        _ => text.into(),
    }
}
