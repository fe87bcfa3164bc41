//! What secrets look like. Works on undone text ([`super::flat`]), so each pattern is written once.

use super::flat::Flat;
use super::{MASK, Masker, TAIL, TOKEN_MIN, hint_of, is_key_char};

/// How suspicious to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Long random tokens are ordinary.
    Id,
    /// Long random tokens are secrets.
    FreeText,
}

/// A secret in undone text, and what is written in its place.
pub(super) struct Secret {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) replacement: String,
}

/// Prefixes of other systems' secret keys.
const OTHERS_PREFIXES: [&str; 4] = ["sk_live_", "sk_test_", "rk_live_", "rk_test_"];
/// What each of [`OTHERS_PREFIXES`] must contain, for the first cheap look.
pub(super) const OTHERS_PREFIX_STEMS: [&[u8]; 1] = [b"k_"];

/// Ends of names whose values are secrets. Their last letters are known to the first cheap look.
const NAMES: [&str; 12] = [
    "api_key",
    "apikey",
    "api-key",
    "api key",
    "password",
    "passwd",
    "pwd",
    "token",
    "secret",
    "authorization",
    "private_key",
    "secret_key",
];

/// Schemes of an `Authorization` header: what follows them is the secret.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// So many key characters after a prefix make a secret.
const SECRET_CHARS_MIN: usize = 8;
/// How far the parts of a JSON web token are looked for.
const JWT_HEAD_MAX: usize = 512;

impl Masker {
    /// Every secret, in order, without overlaps.
    pub(super) fn secrets_in(&self, flat: &Flat, depth: Depth) -> Vec<Secret> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < flat.bytes.len() {
            match self.secret_at(flat, at, depth) {
                Some(secret) => {
                    at = secret.end.max(at + 1);
                    found.push(secret);
                }
                None => at += 1,
            }
        }
        found
    }

    fn secret_at(&self, flat: &Flat, at: usize, depth: Depth) -> Option<Secret> {
        let text = flat.bytes.as_slice();
        let pattern =
            self.pattern_at(text, at).or_else(|| self.named_at(flat, at)).or_else(|| self.scheme_at(text, at));
        if pattern.is_some() || depth == Depth::Id {
            return pattern;
        }
        self.random_at(text, at)
    }

    /// A secret that is known by itself.
    fn pattern_at(&self, text: &[u8], at: usize) -> Option<Secret> {
        self.prefixed_at(text, at)
            .or_else(|| jwt_at(text, at))
            .or_else(|| aws_at(text, at))
            .or_else(|| pem_at(text, at))
    }

    /// `caibo_live_sk_…`, `sk_live_…`
    fn prefixed_at(&self, text: &[u8], at: usize) -> Option<Secret> {
        let own = self.prefixes.iter().map(|prefix| prefix.text.as_str());
        for prefix in own.chain(OTHERS_PREFIXES) {
            if !starts_with(&text[at..], prefix) {
                continue;
            }
            let secret = run(&text[at + prefix.len()..], is_key_char);
            if SECRET_CHARS_MIN <= secret.len() {
                let end = at + prefix.len() + secret.len();
                return Some(Secret { start: at, end, replacement: hint_of(prefix, secret) });
            }
        }
        None
    }

    /// Whether the text is a masked key already.
    pub(crate) fn is_hint(&self, text: &[u8]) -> bool {
        let own = self.prefixes.iter().map(|prefix| prefix.text.as_str());
        own.chain(OTHERS_PREFIXES).any(|prefix| {
            text.strip_prefix(prefix.as_bytes())
                .and_then(|rest| rest.strip_prefix(MASK.as_bytes()))
                .is_some_and(|tail| tail.len() <= TAIL && tail.iter().copied().all(is_key_char))
        })
    }

    /// `api_key=X`, `"password": "X"`, `X-API-Key: X`
    fn named_at(&self, flat: &Flat, at: usize) -> Option<Secret> {
        let text = flat.bytes.as_slice();
        if !matches!(text[at].to_ascii_lowercase(), b'a' | b'p' | b't' | b's') {
            return None;
        }
        let name = NAMES.iter().find(|name| starts_with(&text[at..], name))?;
        let mut start = value_start(text, at + name.len())?;
        let end = if is_quote(text[start - 1]) {
            end_of_quoted(flat, start)
        } else {
            let value = run(&text[start..], |byte| !ends_value(byte));
            if SCHEMES.iter().any(|scheme| value.eq_ignore_ascii_case(scheme.as_bytes())) {
                start += value.len();
                start += run(&text[start..], is_gap).len();
            }
            start + run(&text[start..], |byte| !ends_value(byte)).len()
        };
        let value = &text[start..end];
        if value.is_empty() || value == MASK.as_bytes() || self.is_hint(value) || is_nothing(value) {
            return None;
        }
        Some(self.masked(text, start, end))
    }

    /// `Bearer X`, `Basic X`
    fn scheme_at(&self, text: &[u8], at: usize) -> Option<Secret> {
        let scheme = SCHEMES.iter().find(|scheme| starts_with(&text[at..], scheme))?;
        let gap = run(&text[at + scheme.len()..], |byte| is_gap(byte) || byte == b':' || byte == b'+').len();
        let start = at + scheme.len() + gap;
        let token = run(&text[start..], |byte| is_key_char(byte) || b"._~+/=".contains(&byte));
        let is_word = token.len() < NO_WORD_FROM && token.iter().all(u8::is_ascii_lowercase);
        if gap == 0 || token.len() < 6 || is_word {
            return None;
        }
        Some(self.masked(text, start, start + token.len()))
    }

    /// The secret from `start` to `end`, or further where a pattern reaches further, as a private key with spaces does.
    fn masked(&self, text: &[u8], start: usize, end: usize) -> Secret {
        match self.pattern_at(text, start) {
            Some(known) => Secret { end: known.end.max(end), ..known },
            None => Secret { start, end, replacement: MASK.to_owned() },
        }
    }

    /// A long token that no person wrote.
    fn random_at(&self, text: &[u8], at: usize) -> Option<Secret> {
        if !is_token_char(text[at]) || at.checked_sub(1).is_some_and(|before| is_token_char(text[before])) {
            return None;
        }
        let token = run(&text[at..], is_token_char);
        let end = at + token.len();
        if !looks_random(token) || (at..end).any(|inside| self.pattern_at(text, inside).is_some()) {
            return None;
        }
        Some(Secret { start: at, end, replacement: MASK.to_owned() })
    }
}

/// "Basic authentication" is prose; so many lower-case letters in a row are not.
const NO_WORD_FROM: usize = 20;

/// `eyJ….….…`, and the same cut short.
fn jwt_at(text: &[u8], at: usize) -> Option<Secret> {
    if !text[at..].starts_with(b"eyJ") || at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric()) {
        return None;
    }
    let head_area = &text[at..text.len().min(at + JWT_HEAD_MAX)];
    let head = run(head_area, is_key_char).len();
    if head < 10 || text.get(at + head) != Some(&b'.') {
        return None;
    }
    let rest = run(&text[at + head..], |byte| is_key_char(byte) || byte == b'.' || byte == b'=').len();
    Some(Secret { start: at, end: at + head + rest, replacement: MASK.to_owned() })
}

/// `AKIA` and sixteen capitals or digits: an access key's ID, which names the secret beside it.
fn aws_at(text: &[u8], at: usize) -> Option<Secret> {
    let is_marked = text[at..].starts_with(b"AKIA") || text[at..].starts_with(b"ASIA");
    if !is_marked || at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric()) {
        return None;
    }
    let id = run(&text[at..], |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (id.len() == 20).then(|| Secret { start: at, end: at + id.len(), replacement: MASK.to_owned() })
}

/// A private key block, to its end or to the text's.
fn pem_at(text: &[u8], at: usize) -> Option<Secret> {
    let rest = &text[at..];
    if !rest.starts_with(b"-----BEGIN ") {
        return None;
    }
    let label = run(&rest[11..], |byte| byte != b'-').len();
    if !rest[11..11 + label].ends_with(b"PRIVATE KEY") {
        return None;
    }
    let end = match memchr::memmem::find(rest, b"-----END ") {
        Some(foot) => {
            let foot = foot + 9;
            let label = run(&rest[foot..], |byte| byte != b'-').len();
            foot + label + run(&rest[foot + label..], |byte| byte == b'-').len()
        }
        None => rest.len(),
    };
    Some(Secret { start: at, end: at + end, replacement: "[private key]".to_owned() })
}

/// Where the value begins that follows a name: behind an optional quote, a `:` or `=`, and another quote.
fn value_start(text: &[u8], name_end: usize) -> Option<usize> {
    let skip = |at: usize, quotes: usize| {
        let mut at = at;
        at += run(&text[at..text.len().min(at + quotes)], is_quote).len();
        at + run(&text[at..text.len().min(at + 8)], is_gap).len()
    };
    let separator = skip(name_end, 1);
    if !matches!(text.get(separator), Some(b':' | b'=')) {
        return None;
    }
    let gap = run(&text[separator + 1..], |byte| is_gap(byte) || byte == b'[').len();
    let start = separator + 1 + gap;
    Some(start + usize::from(text.get(start).is_some_and(|byte| is_quote(*byte))))
}

/// Where a quoted value ends: at the same quote, escaped no more than the opening one was.
fn end_of_quoted(flat: &Flat, start: usize) -> usize {
    let written_length = |at: usize| flat.at[at + 1] - flat.at[at];
    let (quote, length) = (flat.bytes[start - 1], written_length(start - 1));
    let closes = |at: &usize| flat.bytes[*at] == quote && written_length(*at) <= length;
    (start..flat.bytes.len()).find(closes).unwrap_or(flat.bytes.len())
}

fn is_nothing(value: &[u8]) -> bool {
    matches!(value, b"null" | b"true" | b"false" | b"none" | b"None" | b"-")
}

fn is_quote(byte: u8) -> bool {
    byte == b'"' || byte == b'\''
}

fn is_gap(byte: u8) -> bool {
    byte == b' ' || byte == b'\t' || byte == b'\n' || byte == b'\r'
}

fn ends_value(byte: u8) -> bool {
    is_gap(byte) || is_quote(byte) || b",;&<>(){}[]|`#".contains(&byte)
}

/// Characters of base64 (the URL's alphabet and `+`) and of hex. Not `/`, or every path would be one token.
pub(super) fn is_token_char(byte: u8) -> bool {
    is_key_char(byte) || byte == b'+'
}

fn starts_with(text: &[u8], lower_case: &str) -> bool {
    text.get(..lower_case.len()).is_some_and(|head| head.eq_ignore_ascii_case(lower_case.as_bytes()))
}

fn run(text: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    &text[..text.iter().position(|byte| !belongs(*byte)).unwrap_or(text.len())]
}

/// Random text changes between letters, capitals and digits far more often than words do. UUIDs are names.
fn looks_random(token: &[u8]) -> bool {
    if token.len() < TOKEN_MIN || is_uuid(token) {
        return false;
    }
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => Some(0),
        b'a'..=b'z' => Some(1),
        b'A'..=b'Z' => Some(2),
        _ => None,
    };
    let (mut changes, mut digit_changes, mut before) = (0, 0, None);
    for class in token.iter().filter_map(class) {
        if before.is_some_and(|before| before != class) {
            changes += 1;
            digit_changes += usize::from(before == Some(0) || class == 0);
        }
        before = Some(class);
    }
    token.len() * 2 <= changes * 5 || token.len() <= digit_changes * 6
}

fn is_uuid(token: &[u8]) -> bool {
    token.len() == 36
        && token.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
