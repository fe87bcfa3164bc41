//! What is wrong with a text, where, and what to write instead. Secrets are masked before anything can show them.

use std::cell::{Cell, RefCell};
use std::fmt;

use super::Position;
use super::suggest::distance;

/// Problems that are told of one file.
const MAX_PROBLEMS: usize = 100;
/// Characters of a line that are shown.
const MAX_SHOWN: usize = 120;
/// Characters of a value that are quoted in a message.
const MAX_QUOTED: usize = 60;
/// Characters of a name that are looked at.
const MAX_NAME: usize = 40;
/// Problems that are kept to be ordered.
const MAX_KEPT: usize = 1_000;
const MASK: &str = "***";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the option of the command line.
    pub file: String,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The line, with secrets masked and what a terminal must not see taken out.
    pub line_text: Box<str>,
    /// Where in `line_text` to point (from 0), and how wide.
    pub underline: (u32, u32),
    /// Allowed, and probably not meant.
    pub is_warning: bool,
}

impl Problem {
    /// A problem with a file as a whole, or with something that is no file.
    pub fn whole(file: impl Into<String>, message: impl Into<String>) -> Self {
        Problem {
            file: file.into(),
            line: 0,
            column: 0,
            message: message.into(),
            hint: None,
            line_text: Box::default(),
            underline: (0, 0),
            is_warning: false,
        }
    }

    /// With a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.is_warning { "warning" } else { "error" };
        if self.line == 0 {
            writeln!(f, "{level}: {}: {}", self.file, self.message)?;
        } else {
            writeln!(f, "{level}: {}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            let (from, width) = self.underline;
            writeln!(f, "{gutter} |")?;
            writeln!(f, "{}", format!("{number} | {}", self.line_text).trim_end())?;
            writeln!(f, "{gutter} | {}{}", " ".repeat(from as usize), "^".repeat(width as usize))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// All problems as the terminal shows them.
pub fn render(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// The problems of one text, gathered while it is read.
#[derive(Debug)]
pub struct Problems {
    file: String,
    lines: Vec<Line>,
    found: RefCell<Vec<Problem>>,
    /// How many were not kept.
    dropped: Cell<usize>,
}

/// A line that may be shown.
#[derive(Debug)]
struct Line {
    /// Characters, masked and without control characters.
    shown: Vec<char>,
    /// The column (from 0) from where it is masked.
    masked_from: Option<usize>,
    /// Characters of the line itself.
    width: usize,
}

impl Problems {
    /// None yet.
    pub fn new(file: impl Into<String>, text: &str) -> Self {
        Problems { file: file.into(), lines: mask(text), found: RefCell::default(), dropped: Cell::new(0) }
    }

    /// The name of the text.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// One more.
    pub fn add(&self, at: Position, message: impl Into<String>) {
        self.push(at, message.into(), None, false);
    }

    /// One more, with what to do.
    pub fn add_with_hint(&self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.push(at, message.into(), Some(hint.into()), false);
    }

    /// Something that is allowed, and probably not meant.
    pub fn warn(&self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.push(at, message.into(), Some(hint.into()), true);
    }

    /// A piece of the text as a message may quote it: `***` where it is, or stands beside, a secret.
    pub fn quote(&self, at: Position, text: &str) -> String {
        let masked = self.line(at.line).and_then(|line| line.masked_from);
        if masked.is_some_and(|from| from < at.column) {
            return format!("`{MASK}`");
        }
        let mut shown: String = text.chars().take(MAX_QUOTED).map(harmless).collect();
        if MAX_QUOTED < text.chars().count() {
            shown.push('…');
        }
        format!("`{shown}`")
    }

    /// All of them, ordered by their place.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|p| (p.line, p.column));
        let more = found.len().saturating_sub(MAX_PROBLEMS) + self.dropped.get();
        if 0 < more {
            found.truncate(MAX_PROBLEMS);
            found.push(Problem::whole(self.file, format!("{more} more problems are not shown")));
        }
        found
    }

    /// Characters in a line.
    pub(super) fn line_width(&self, line: usize) -> usize {
        self.line(line).map_or(0, |line| line.width)
    }

    fn line(&self, line: usize) -> Option<&Line> {
        self.lines.get(line.checked_sub(1)?)
    }

    fn push(&self, at: Position, message: String, hint: Option<String>, is_warning: bool) {
        if MAX_KEPT <= self.found.borrow().len() {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        let (line_text, (from, width)) = self.excerpt(at);
        let underline = (u32::try_from(from).unwrap_or(0), u32::try_from(width).unwrap_or(1));
        let line_text = line_text.into_boxed_str();
        let (file, line, column) = (self.file.clone(), at.line, at.column);
        let problem = Problem { file, line, column, message, hint, line_text, underline, is_warning };
        self.found.borrow_mut().push(problem);
    }

    /// The line and where to underline it. Long lines are cut around the place.
    fn excerpt(&self, at: Position) -> (String, (usize, usize)) {
        let Some(line) = self.line(at.line) else { return (String::new(), (0, 1)) };
        let start = (at.column - 1).min(line.masked_from.unwrap_or(line.shown.len())).min(line.shown.len());
        let width = at.width.min(line.shown.len().saturating_sub(start)).max(1);
        let cut = if start + width <= MAX_SHOWN { 0 } else { start.saturating_sub(MAX_SHOWN / 3) };
        let mut text: String = if 0 < cut { "…".into() } else { String::new() };
        text.extend(line.shown.iter().skip(cut).take(MAX_SHOWN));
        if cut + MAX_SHOWN < line.shown.len() {
            text.push('…');
        }
        let from = start - cut + usize::from(0 < cut);
        (text, (from, width.min(MAX_SHOWN + 1 - from.min(MAX_SHOWN))))
    }
}

/// Whether a field of this name holds something that must not be shown. Misspelt names count too: `pasword: …` is the
/// likeliest line to be reported.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if name.ends_with("_file") || name.ends_with(".location") {
        return false;
    }
    const PARTS: [&str; 10] =
        ["passw", "passphrase", "secret", "token", "pwd", "credential", "jaas", "oauthbearer.config", "api_key", "pem"];
    let joined: String = name.chars().filter(|c| !matches!(c, '_' | '.' | '-')).collect();
    if PARTS.iter().any(|part| name.contains(part) || joined.contains(part)) {
        return true;
    }
    name.split(['_', '.', '-']).any(|word| {
        let word: Vec<char> = word.chars().collect();
        [("password", 6, 2), ("secret", 5, 2), ("token", 4, 1)].into_iter().any(|(secret, shortest, slips)| {
            shortest <= word.len() && word.len() < 16 && distance(&word, &secret.chars().collect::<Vec<_>>()) <= slips
        })
    })
}

/// The value of an address of a server may hold a password.
fn is_url_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(['_', '.', '-']).next_back().is_some_and(|last| matches!(last, "url" | "uri" | "ulr" | "dsn"))
}

/// Control characters and those that turn the direction of writing could make a terminal lie.
fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Masks the lines of a text whose syntax may be broken: it goes by the look of each line, and hides rather too much.
/// From a secret's name on, everything is masked until a line that clearly is another field.
fn mask(text: &str) -> Vec<Line> {
    let mut secret: Option<Open> = None;
    let mut lines = Vec::new();
    let mut before = "";
    for line in split_lines(text) {
        let chars: Vec<char> = line.chars().collect();
        let indent = chars.iter().take_while(|c| c.is_whitespace()).count();
        if let Some(open) = &mut secret
            && !open.goes_on(&chars, indent)
        {
            secret = None;
        }
        let masked_from = match &secret {
            Some(_) => Some(indent),
            None => find_secret(&chars, before).map(|(name, value)| {
                secret = Some(Open::new(&chars, name, value));
                value
            }),
        }
        .filter(|from| *from < chars.len());
        let mut shown: Vec<char> = chars.iter().copied().map(harmless).collect();
        if let Some(from) = masked_from {
            shown.truncate(from);
            shown.extend(MASK.chars());
        }
        lines.push(Line { shown, masked_from, width: chars.len() });
        let word = line.trim();
        before = if word.len() <= MAX_NAME && word.chars().all(is_name_char) { word } else { "" };
    }
    lines
}

/// A secret whose value may go on in the next line.
struct Open {
    /// Column of the field's name.
    name: usize,
    /// The quote that was opened and not closed.
    quote: Option<char>,
}

impl Open {
    fn new(line: &[char], name: usize, value: usize) -> Self {
        let quote = line.get(value).copied().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.filter(|quote| !closes(&line[value + 1..], *quote));
        Open { name, quote }
    }

    /// Whether the line still belongs to the secret.
    fn goes_on(&mut self, line: &[char], indent: usize) -> bool {
        if let Some(quote) = self.quote {
            if closes(line, quote) {
                self.quote = None;
            }
            return true;
        }
        let rest = &line[indent..];
        if rest.is_empty() || self.name < indent {
            return true;
        }
        match rest[0] {
            '#' | '}' | ']' => false,
            '-' => self.name <= indent,
            _ => !looks_like_field(rest),
        }
    }
}

fn closes(rest: &[char], quote: char) -> bool {
    let mut chars = rest.iter().peekable();
    while let Some(c) = chars.next() {
        if *c == '\\' && quote == '"' {
            chars.next();
        } else if *c == quote {
            if quote == '\'' && chars.peek() == Some(&&'\'') {
                chars.next();
            } else {
                return true;
            }
        }
    }
    false
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// `name:` at the start, quoted or not.
fn looks_like_field(rest: &[char]) -> bool {
    let rest = rest.strip_prefix(&['"']).or_else(|| rest.strip_prefix(&['\''])).unwrap_or(rest);
    let name = rest.iter().take_while(|c| is_name_char(**c)).count();
    let mut after = rest[name..].iter().skip_while(|c| matches!(c, '"' | '\'')).peekable();
    0 < name && after.next() == Some(&':') && after.peek().is_none_or(|c| c.is_whitespace())
}

/// The first field of a line that must not be shown: columns of its name and of its value. A password within an
/// address (`scheme://user:password@host`) counts too, whatever the field is called.
///
/// `before` is the line above where it is a single word: a name that was torn apart is still one.
fn find_secret(line: &[char], before: &str) -> Option<(usize, usize)> {
    let indent = line.iter().take_while(|c| c.is_whitespace()).count();
    let last_at_sign = line.iter().rposition(|c| *c == '@');
    let skip = |from: usize, what: fn(char) -> bool| from + line[from..].iter().take_while(|c| what(**c)).count();
    // The last characters that a name could have, whatever stands between them: `pas&sword` is meant as a name too.
    let mut letters: String = before.chars().collect();
    let mut at = 0;
    while at < line.len() {
        let c = line[at];
        if line[at..].starts_with(&[':', '/', '/'])
            && last_at_sign.is_some_and(|sign| at + 3 < sign)
            && let Some(colon) = line[at + 3..].iter().position(|c| *c == ':')
        {
            return Some((indent, at + 3 + colon + 1));
        }
        if matches!(c, ':' | '=') && is_secret_name(&letters) {
            return Some((indent, skip(at + 1, char::is_whitespace)));
        }
        if !is_name_char(c) {
            at += 1;
            continue;
        }
        let end = skip(at, is_name_char);
        let name: String = line[at..end].iter().collect();
        letters.push_str(&name);
        let surplus = letters.char_indices().rev().nth(MAX_NAME - 1).map_or(0, |(from, _)| from);
        letters.drain(..surplus);
        let after = skip(skip(end, |c| matches!(c, '"' | '\'')), char::is_whitespace);
        let is_separated = matches!(line.get(after), Some(':' | '='));
        let value = if is_separated { skip(after + 1, char::is_whitespace) } else { after };
        let is_hidden_url = || is_url_name(&name) && is_separated && !is_harmless_url(&line[value..]);
        if (is_secret_name(&name) && (is_separated || after == line.len())) || is_hidden_url() {
            return Some((at, value));
        }
        at = end;
    }
    None
}

/// Files have no password, and a name of the environment is none.
fn is_harmless_url(value: &[char]) -> bool {
    let value: String = value.iter().skip_while(|c| matches!(c, '"' | '\'')).collect();
    value.starts_with("sqlite:") || value.starts_with("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_even_misspelt() {
        for name in [
            "password",
            "pasword",
            "passwd",
            "sasl.password",
            "fingerprint_secret",
            "fingerprint_sercet",
            "TOKEN",
            "tokne",
            "ssl.key.pem",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["password_file", "username", "ssl.key.location", "brokers", "timeout", "url"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn no_spelling_of_a_secret_is_shown() {
        for text in [
            "password: hunter2",
            "password:hunter2",
            "  - password: \"a hunter2\"",
            "{user: x, 'password' : hunter2, more: y}",
            "{user: x, password: a,hunter2: y}",
            "\"password\"\n  : hunter2",
            "? password\n: hunter2",
            "password:\n  hunter2",
            "password:\n- hunter2",
            "password: |\n  first\n  hunter2",
            "password: 'open\nhunter2: x\nhunter2'",
            "# password: hunter2",
            "pasword = hunter2",
            "url: postgres//me:hunter2@db",
            "url: >\n  postgres://me:hunter2@db",
            "broker: kafka://me:hun@hunter2@db",
            "properties:\n  sasl.jaas.config: x password=\"hunter2\"",
            "[password: x,\nhunter2]",
            "pas&sword: hunter2",
            "pass:word: hunter2",
            "pass word: hunter2",
            "pass\nword: hunter2",
        ] {
            let problems = Problems::new("x.yml", text);
            for (i, line) in problems.lines.iter().enumerate() {
                let shown: String = line.shown.iter().collect();
                assert!(!shown.contains("hunter2"), "{text}\n{shown}");
                let source: Vec<char> = split_lines(text).nth(i).unwrap().chars().collect();
                let source: String = source.iter().collect();
                if let Some(found) = source.find("hunter2") {
                    let at = Position { line: i + 1, column: source[..found].chars().count() + 1, width: 7 };
                    assert_eq!(problems.quote(at, "hunter2"), "`***`", "{text}");
                }
            }
        }
    }

    #[test]
    fn what_follows_a_secret_is_shown_again() {
        let text = "a:\n  password: x\n  user: me\n- token: x\n- user: you\nstore: {url: \"sqlite:x.db\"}\nurl: ${URL}";
        let shown: Vec<String> = mask(text).iter().map(|line| line.shown.iter().collect()).collect();
        assert_eq!(
            shown.join("\n"),
            "a:\n  password: ***\n  user: me\n- token: ***\n- user: you\nstore: {url: \"sqlite:x.db\"}\nurl: ${URL}"
        );
    }

    #[test]
    fn long_and_hostile_lines_stay_readable() {
        let text = format!("{}\u{1b}[31mx\u{202e}y", "a".repeat(500));
        let problems = Problems::new("x.yml", &text);
        problems.add(Position { line: 1, column: 501, width: 3 }, "here");
        let shown = problems.into_sorted()[0].to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[2].chars().count() < 140, "{shown}");
        assert_eq!(lines[3].find('^').unwrap(), lines[2].chars().position(|c| c == '\u{fffd}').unwrap());
    }
}
