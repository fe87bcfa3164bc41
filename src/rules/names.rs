//! `lists:` and `macros:`: what conditions may name. Values of a list stand in the file, or in a text file beside it.

use super::RuleFile;
use super::expr::{Compiler, ExprProblem, ListKind};
use super::read::has_sections;
use super::text::{Written, is_kebab_case};
use crate::yaml::{Entry, MapReader, Node, Position, Problem, Problems, Value};

const LISTS_MAX: usize = 200;
const MACROS_MAX: usize = 200;

const KINDS: [(&str, ListKind); 4] =
    [("cidr", ListKind::Cidr), ("asn", ListKind::Asn), ("string", ListKind::Text), ("int", ListKind::Int)];

/// A name, which file it stands in, and where.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) file: usize,
    pub(super) at: Position,
}

/// The lists and macros of a directory.
#[derive(Default)]
pub(super) struct Names {
    pub(super) compiler: Compiler,
    pub(super) lists: Vec<Named>,
    pub(super) macros: Vec<(Named, Written)>,
    /// Text files that lists have named.
    used_files: Vec<String>,
    /// What is wrong in them.
    pub(super) in_files: Vec<Problem>,
}

impl Names {
    /// Reads the sections of one file.
    pub(super) fn read(&mut self, file: usize, root: &Node, problems: &Problems, files: &[RuleFile]) {
        if !has_sections(root) {
            return;
        }
        let mut top = MapReader::new(problems, root);
        for entry in section(&mut top, "lists", LISTS_MAX) {
            self.read_list(file, entry, problems, files);
        }
        for entry in section(&mut top, "macros", MACROS_MAX) {
            let text = top.text(&entry.value);
            self.read_macro(file, entry, text, problems, files);
        }
    }

    fn read_list(&mut self, file: usize, entry: &Entry, problems: &Problems, files: &[RuleFile]) {
        let first = self.lists.iter().find(|list| list.name == entry.key);
        if !is_free(entry, first, problems, files, "list") {
            return;
        }
        self.lists.push(Named { name: entry.key.clone(), file, at: entry.key_at });
        let mut map = MapReader::new(problems, &entry.value);
        let kind = map.required_word("type", &KINDS);
        let _ = map.string("about");
        let values = map.strings("values").unwrap_or_default();
        let named = map.string("file");
        match (map.has("values"), map.has("file")) {
            (true, true) => problems.add(map.key_at("file"), "both `values` and `file` are given: keep one of them"),
            (false, false) => problems.add(entry.key_at, "the list needs `values`, or a `file` that has them"),
            _ => {}
        }
        let file_at = map.at("file");
        map.finish();
        let Some(kind) = kind else { return };
        match named {
            None => {
                let entries: Vec<&str> = values.iter().map(|(value, _)| value.as_str()).collect();
                for problem in self.compiler.add_list(&entry.key, kind, &entries).err().unwrap_or_default() {
                    let at = values.get(problem.index).map_or(entry.key_at, |(_, at)| *at);
                    match problem.hint {
                        Some(hint) => problems.add_with_hint(at, problem.message, hint),
                        None => problems.add(at, problem.message),
                    }
                }
            }
            Some(name) => self.read_list_file(file, entry, kind, (&name, file_at), problems, files),
        }
    }

    fn read_list_file(
        &mut self,
        file: usize,
        entry: &Entry,
        kind: ListKind,
        (name, at): (&str, Position),
        problems: &Problems,
        files: &[RuleFile],
    ) {
        let folder = files[file].name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let path = format!("{folder}{name}");
        let Some(text) = files.iter().find(|file| file.name == path && name.ends_with(".txt")) else {
            let shown = problems.quote(at, name);
            let hint = "it is a `.txt` file within the directory of rules, named from this file's own folder";
            problems.add_with_hint(at, format!("there is no file {shown}"), hint);
            return;
        };
        self.used_files.push(path);
        let lines: Vec<(usize, &str)> = values_of(&text.text).collect();
        let entries: Vec<&str> = lines.iter().map(|(_, value)| *value).collect();
        let wrong = self.compiler.add_list(&entry.key, kind, &entries).err().unwrap_or_default();
        if entries.is_empty() {
            problems.warn(at, format!("`{name}` has no values: nothing is in the list"), "one value a line");
        }
        let of_file = Problems::new(text.name.as_str(), &text.text);
        for problem in wrong.iter().take(10) {
            let (line, value) = lines.get(problem.index).map_or((1, ""), |(line, value)| (*line, *value));
            let before = text.text.lines().nth(line - 1).and_then(|whole| whole.find(value)).unwrap_or(0);
            let place = Position { line, column: before + 1, width: value.chars().count().max(1) };
            match &problem.hint {
                Some(hint) => of_file.add_with_hint(place, problem.message.clone(), hint.clone()),
                None => of_file.add(place, problem.message.clone()),
            }
        }
        self.in_files.extend(of_file.into_sorted());
        if let Some(more) = wrong.len().checked_sub(10).filter(|more| *more > 0) {
            problems.add(at, format!("{more} more lines of `{name}` are wrong"));
        }
    }

    fn read_macro(
        &mut self,
        file: usize,
        entry: &Entry,
        text: Option<String>,
        problems: &Problems,
        files: &[RuleFile],
    ) {
        let first = self.macros.iter().map(|(named, _)| named).find(|named| named.name == entry.key);
        if !is_free(entry, first, problems, files, "macro") {
            return;
        }
        let Some(text) = text else { return };
        self.compiler.add_macro(&entry.key, &text);
        let named = Named { name: entry.key.clone(), file, at: entry.key_at };
        self.macros.push((named, Written { text, at: entry.value.at }));
    }

    /// Once all are read: what is wrong in macros, and what nobody names.
    pub(super) fn check(&self, files: &[RuleFile], problems: &[&Problems], conditions: &[String]) {
        for (named, written) in &self.macros {
            for problem in self.compiler.check_macro(&named.name) {
                report(&problem, written, &files[named.file].text, problems[named.file]);
            }
        }
        let texts = || conditions.iter().chain(self.macros.iter().map(|(_, written)| &written.text));
        for list in &self.lists {
            let name = format!("lists.{}", list.name);
            if !texts().any(|text| has_word(text, &name)) {
                let hint = format!("a condition looks into it with `in {name}`; else take it out");
                problems[list.file].warn(list.at, format!("nobody uses the list `{}`", list.name), hint);
            }
        }
        for (named, _) in &self.macros {
            if !texts().any(|text| has_word(text, &named.name)) {
                let hint = "a condition names it as it stands; else take it out";
                problems[named.file].warn(named.at, format!("nobody uses the macro `{}`", named.name), hint);
            }
        }
    }

    /// Text files that no list names.
    pub(super) fn unused_files(&self, files: &[RuleFile]) -> Vec<Problem> {
        let is_unused = |file: &&RuleFile| file.name.ends_with(".txt") && !self.used_files.contains(&file.name);
        let tell = |file: &RuleFile| {
            let mut problem = Problem::whole(&file.name, "no list names this file")
                .with_hint("`lists: {name: {type: cidr, file: …}}` does");
            problem.is_warning = true;
            problem
        };
        files.iter().filter(is_unused).map(tell).collect()
    }
}

fn section<'a>(top: &mut MapReader<'a>, name: &'static str, max: usize) -> &'a [Entry] {
    let problems = top.problems();
    match top.node(name).map(|node| &node.value) {
        Some(Value::Map(entries)) if entries.len() <= max => entries,
        Some(Value::Map(_)) => {
            problems.add(top.key_at(name), format!("more than {max} {name}"));
            &[]
        }
        Some(_) => {
            problems.add(top.at(name), format!("expected names, each with its {}", name.trim_end_matches('s')));
            &[]
        }
        None => &[],
    }
}

fn is_free(entry: &Entry, first: Option<&Named>, problems: &Problems, files: &[RuleFile], what: &str) -> bool {
    let is_name = is_kebab_case(&entry.key.replace('_', "-")) && !entry.key.contains('-');
    if !is_name {
        let shown = problems.quote(entry.key_at, &entry.key);
        let message = format!("{shown} cannot be the name of a {what}");
        problems.add_with_hint(entry.key_at, message, "lower-case letters, digits and `_`, beginning with a letter");
        return false;
    }
    if let Some(first) = first {
        problems.add_with_hint(
            entry.key_at,
            format!("the {what} `{}` is there twice", entry.key),
            format!("the first one is {}:{}:{}", files[first.file].name, first.at.line, first.at.column),
        );
    }
    first.is_none()
}

/// The values of a text file, one a line, each with its line's number. What follows `#` is for people.
fn values_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Windows' editors begin a text with a mark that nobody sees.
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.split('#').next().unwrap_or_default().trim()));
    lines.filter(|(_, value)| !value.is_empty())
}

/// Whether a text has a name that is not a part of a longer one.
pub(super) fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(|c: char| is_part(c) && c != '.')
    })
}

/// A problem of an expression, at its place in the file.
pub(super) fn report(problem: &ExprProblem, written: &Written, file_text: &str, problems: &Problems) {
    let at = place_in(file_text, written, problem.at.start, problem.at.end);
    match &problem.hint {
        Some(hint) => problems.add_with_hint(at, problem.message.clone(), hint.clone()),
        None => problems.add(at, problem.message.clone()),
    }
}

/// Where characters of a text stand in the file, which may have folded or indented it: both are walked side by side,
/// white space aside. Where they part (quotes within quotes) the text's own place has to do.
fn place_in(file_text: &str, written: &Written, start: usize, end: usize) -> Position {
    let wanted: Vec<(usize, char)> = written.text.chars().enumerate().filter(|(_, c)| !c.is_whitespace()).collect();
    let target = wanted.iter().position(|(n, _)| start <= *n).unwrap_or(wanted.len().saturating_sub(1));
    let mut found = None;
    let mut next = 0;
    let skipped = |line: usize, column: usize| line == written.at.line && column < written.at.column;
    'lines: for (n, line) in file_text.lines().enumerate().skip(written.at.line.saturating_sub(1)) {
        let line_number = n + 1;
        // The first line of a block has only its sign (`>`, `|`), perhaps with a number or a comment.
        let is_sign = line_number == written.at.line
            && line.chars().nth(written.at.column.saturating_sub(1)).is_some_and(|c| ['>', '|'].contains(&c))
            && !written.text.trim_start().starts_with(['>', '|']);
        if is_sign {
            continue;
        }
        for (column, c) in line.chars().enumerate().map(|(column, c)| (column + 1, c)) {
            if c.is_whitespace() || skipped(line_number, column) || (next == 0 && ['"', '\''].contains(&c)) {
                continue;
            }
            let Some((_, expected)) = wanted.get(next) else { break 'lines };
            if *expected != c {
                break 'lines;
            }
            if next == target {
                found = Some((line_number, column));
                break 'lines;
            }
            next += 1;
        }
    }
    match found {
        Some((line, column)) => Position { line, column, width: (end - start).max(1) },
        None => written.at,
    }
}
