//! A scanner for one flat JSON object: a single pass, any order of fields, any whitespace, full JSON validity.
//!
//! Made for messages whose values are short texts and numbers. Nested values are validated and skipped. A text
//! without escapes is lent from the message; one with escapes is read into a text of its own.

use std::borrow::Cow;

/// How deep values may nest, the object itself included. The same bound as serde_json's.
const DEPTH_MAX: usize = 127;

/// The value of one field.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Value<'a> {
    #[default]
    Null,
    Bool,
    /// As it was written; the grammar was checked.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// The whole array as it was written, brackets included.
    Array(&'a str),
    Object,
}

impl Value<'_> {
    /// What was found, in words for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object => "an object",
        }
    }
}

/// Where and how a message stopped being JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The byte where reading stopped.
    pub(crate) at: usize,
    /// What was expected there.
    pub(crate) expected: &'static str,
}

/// Reads one object and hands every field to `each`, in order. A name may come twice.
#[inline]
pub(crate) fn scan_object<'a>(text: &'a str, mut each: impl FnMut(&str, Value<'a>)) -> Result<(), Broken> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    if !scanner.next_is(b'{') {
        return Err(scanner.broken("an object"));
    }
    if !scanner.next_is(b'}') {
        loop {
            let name = scanner.name()?;
            let value = scanner.value(1)?;
            each(&name, value);
            if scanner.next_is(b',') {
                continue;
            }
            if scanner.next_is(b'}') {
                break;
            }
            return Err(scanner.broken("`,` or `}`"));
        }
    }
    scanner.skip_whitespace();
    if scanner.at < scanner.bytes.len() { Err(scanner.broken("the end of the message")) } else { Ok(()) }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn broken(&self, expected: &'static str) -> Broken {
        Broken { at: self.at, expected }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` if it comes next, after any whitespace.
    #[inline]
    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_whitespace();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[inline(always)]
    fn name(&mut self) -> Result<Cow<'a, str>, Broken> {
        if !self.next_is(b'"') {
            return Err(self.broken("a field name"));
        }
        let name = self.string()?;
        if !self.next_is(b':') {
            return Err(self.broken("`:`"));
        }
        Ok(name)
    }

    #[inline(always)]
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Broken> {
        self.skip_whitespace();
        if self.peek() != Some(b'"') {
            return self.value_but_string(depth);
        }
        self.at += 1;
        self.string().map(Value::Text)
    }

    /// Apart from [`Self::value`], which nearly always finds a string and is so kept small enough to be inlined.
    #[inline(never)]
    fn value_but_string(&mut self, depth: usize) -> Result<Value<'a>, Broken> {
        let start = self.at;
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Value::Number(self.since(start)))
            }
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool),
            Some(b'f') => self.word("false", Value::Bool),
            Some(b'[') => {
                self.skip_array(depth + 1)?;
                Ok(Value::Array(self.since(start)))
            }
            Some(b'{') => {
                self.skip_object(depth + 1)?;
                Ok(Value::Object)
            }
            _ => Err(self.broken("a value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, Broken> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.broken("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), Broken> {
        self.enter(depth)?;
        if self.next_is(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if self.next_is(b']') {
                return Ok(());
            }
            if !self.next_is(b',') {
                return Err(self.broken("`,` or `]`"));
            }
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), Broken> {
        self.enter(depth)?;
        if self.next_is(b'}') {
            return Ok(());
        }
        loop {
            self.name()?;
            self.value(depth)?;
            if self.next_is(b'}') {
                return Ok(());
            }
            if !self.next_is(b',') {
                return Err(self.broken("`,` or `}`"));
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), Broken> {
        if DEPTH_MAX < depth {
            return Err(self.broken("less nesting"));
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.broken("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), Broken> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a string from behind its opening quote to behind its closing one.
    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'a, str>, Broken> {
        let start = self.at;
        self.at = end_of_plain(self.bytes, start);
        match self.peek() {
            Some(b'"') => {
                let text = self.since(start);
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => self.string_with_escapes(start).map(Cow::Owned),
            _ => Err(self.broken("the end of a string")),
        }
    }

    #[cold]
    fn string_with_escapes(&mut self, start: usize) -> Result<String, Broken> {
        let mut text = String::from(self.since(start));
        loop {
            let plain = self.at;
            self.at = end_of_plain(self.bytes, plain);
            text.push_str(self.since(plain));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escaped = self.escape()?;
                    text.push(escaped);
                }
                _ => return Err(self.broken("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.broken("an escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, Broken> {
        let first = self.four_hex_digits()?;
        let code = match first {
            0xD800..=0xDBFF if self.bytes[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                let second = self.four_hex_digits()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.broken("the second half of a character"));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.broken("a whole character"))
    }

    fn four_hex_digits(&mut self) -> Result<u32, Broken> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for &digit in digits {
            let Some(value) = char::from(digit).to_digit(16) else { return Err(self.broken("four hex digits")) };
            code = code << 4 | value;
        }
        if digits.len() < 4 {
            return Err(self.broken("four hex digits"));
        }
        self.at += 4;
        Ok(code)
    }
}

/// The first quote, backslash or control character from `at` on, or the end. Eight bytes at a step.
#[inline(always)]
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // A byte's high bit is set where the byte matched; carries can only spoil bytes above the first match.
        let found = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}
