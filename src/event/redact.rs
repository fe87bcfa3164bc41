//! Masks whatever looks like a secret, in any text, before anything else sees it.
//!
//! Most texts are clean, so masking starts with one cheap look ([`Masker::traits_of`]): every pattern below contains
//! one of a few rare pairs of bytes. Only a text that has one is read thoroughly (`redact/patterns.rs`), with
//! percent-encoding and JSON escapes undone, so that `caibo%5Flive%5Fsk%5F…` and `\u005f` hide nothing.
//! Masking is idempotent: what it writes, it never masks again.

use std::borrow::Cow;

use crate::event::Env;

mod flat;
pub(crate) mod patterns;

use flat::Flat;
use patterns::Depth;

/// The prefixes of Caibo's own keys.
pub const CAIBO_PREFIXES: [&str; 2] = ["caibo_live_sk_", "caibo_test_sk_"];

/// Stands for what was taken out.
pub const MASK: &str = "…";

/// A key of the gateway has at least so many characters after its prefix.
const KEY_CHARS_MIN: usize = 16;
/// And at most so many; longer ones are someone else's text.
const KEY_CHARS_MAX: usize = 256;
/// A hint shows the last four characters of secrets at least this long.
const SHOW_TAIL_FROM: usize = 20;
/// What a hint shows of the secret.
const TAIL: usize = 4;
/// From so many characters on, a token in free text may be a secret by its looks alone.
const TOKEN_MIN: usize = 32;

/// Finds and masks secrets. Built once; masking itself only reads it.
#[derive(Clone)]
pub struct Masker {
    prefixes: Vec<Prefix>,
    /// For each byte, the patterns that it may begin a pair of, and in the upper half those that it may end one of: those
    /// that `a` may begin and `b` may end are the ones that the pair `a`, `b` may belong to.
    pairs: Box<[u16; 256]>,
}

#[derive(Clone)]
struct Prefix {
    text: String,
    env: Option<Env>,
}

/// What may be kept of a raw key.
pub(crate) struct KeyLooks {
    /// Prefix and last characters, or the length of a malformed key.
    pub(crate) hint: String,
    /// From the prefix.
    pub(crate) env: Option<Env>,
    /// Of a malformed key nothing else is kept.
    pub(crate) is_well_formed: bool,
}

impl Default for Masker {
    fn default() -> Self {
        Masker::new(&CAIBO_PREFIXES)
    }
}

impl Masker {
    /// A masker for keys with these prefixes, besides the patterns that everybody's secrets have.
    /// Prefixes under three characters would mask ordinary words and are left out.
    pub fn new(prefixes: &[&str]) -> Self {
        Masker::for_keys(prefixes.iter().map(|text| ((*text).to_owned(), env_of_words(text))))
    }

    /// The same, where it is known to which environment a prefix belongs.
    pub fn for_keys(prefixes: impl IntoIterator<Item = (String, Option<Env>)>) -> Self {
        let prefixes: Vec<Prefix> = prefixes
            .into_iter()
            .filter(|(text, _)| 3 <= text.len() && text.is_ascii())
            .map(|(text, env)| Prefix { text, env })
            .collect();
        let pairs = Box::new(pair_table(&prefixes));
        Masker { prefixes, pairs }
    }

    /// Masks a free text: user agent, referer, reason, a whole broken message.
    pub fn mask_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.mask(Cow::Borrowed(text), Depth::FreeText)
    }

    /// Masks an identifier. Long random tokens are what identifiers are made of, so they stay.
    pub fn mask_id<'a>(&self, id: &'a str) -> Cow<'a, str> {
        self.mask(Cow::Borrowed(id), Depth::Id)
    }

    /// Masks a message that may be anything: lossy text, control characters as spaces, at most `bytes_max` bytes.
    /// It is cut after masking, so a cut never shows a part of a secret. NUL bytes are left out: UTF-16 becomes legible.
    pub fn mask_bytes(&self, bytes: &[u8], bytes_max: usize) -> String {
        let window = bytes_max.saturating_mul(4);
        let is_whole = bytes.len() <= window;
        let seen = if is_whole { bytes } else { &bytes[..window] };
        let text: String = String::from_utf8_lossy(seen)
            .chars()
            .filter(|c| *c != '\0')
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let mut masked = self.mask_text(&text).into_owned();
        if !is_whole {
            // A secret that the window cut may have been too short to be recognised.
            masked.truncate(masked.rfind(|c: char| c.is_ascii_whitespace() || c == ',').unwrap_or(0));
        }
        masked.truncate(floor_char_boundary(&masked, bytes_max));
        masked
    }

    pub(crate) fn mask<'a>(&self, text: Cow<'a, str>, depth: Depth) -> Cow<'a, str> {
        self.mask_with(self.traits_of(text.as_bytes()), text, depth)
    }

    /// Masks a text whose traits are known already.
    #[inline]
    pub(crate) fn mask_with<'a>(&self, traits: u8, text: Cow<'a, str>, depth: Depth) -> Cow<'a, str> {
        let is_free_text = depth == Depth::FreeText;
        let needs_a_look = traits & !CONTROL != 0 || is_free_text && has_long_token(text.as_bytes());
        if needs_a_look { self.mask_thoroughly(text, depth) } else { text }
    }

    #[cold]
    fn mask_thoroughly<'a>(&self, mut text: Cow<'a, str>, depth: Depth) -> Cow<'a, str> {
        // Taking one secret out can join what stood around it, so look again until nothing is found.
        for _ in 0..4 {
            let flat = Flat::of(text.as_bytes());
            let found = self.secrets_in(&flat, depth);
            if found.is_empty() {
                return text;
            }
            let mut masked = String::with_capacity(text.len());
            let mut kept_to = 0;
            for secret in found {
                masked.push_str(text.get(kept_to..flat.at[secret.start]).unwrap_or_default());
                masked.push_str(&secret.replacement);
                kept_to = flat.at[secret.end];
            }
            masked.push_str(text.get(kept_to..).unwrap_or_default());
            text = Cow::Owned(masked);
        }
        text
    }

    /// Which patterns `text` may hold, as bits. [`CONTROL`] = it may hold a control character.
    #[inline]
    pub(crate) fn traits_of(&self, text: &[u8]) -> u8 {
        let (mut traits, mut begun) = (0, 0);
        for byte in text {
            let pair = self.pairs[usize::from(*byte)];
            traits |= begun & (pair >> 8);
            begun = pair;
        }
        (traits | begun & (self.pairs[0] >> 8)) as u8
    }

    /// Prefix and secret of a whole key of the gateway's. Anything else may be another system's secret.
    fn split_key<'k>(&self, key: &'k str) -> Option<(&Prefix, &'k str)> {
        let (prefix, secret) =
            self.prefixes.iter().find_map(|prefix| Some((prefix, key.strip_prefix(prefix.text.as_str())?)))?;
        let is_whole = (KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&secret.len()) && secret.bytes().all(is_key_char);
        is_whole.then_some((prefix, secret))
    }

    /// Whether the text is a known prefix and enough key characters, and nothing else.
    pub(crate) fn is_key(&self, text: &str) -> bool {
        self.split_key(text).is_some()
    }

    /// What may be kept of a raw key.
    pub(crate) fn looks_of_key(&self, key: &str) -> KeyLooks {
        match self.split_key(key) {
            Some((prefix, secret)) => {
                let hint = hint_of(&prefix.text, secret.as_bytes());
                KeyLooks { hint, env: prefix.env, is_well_formed: true }
            }
            None => KeyLooks { hint: malformed_hint(key), env: None, is_well_formed: false },
        }
    }

    /// The environment that a hint's prefix names.
    pub(crate) fn env_of_hint(&self, hint: &str) -> Option<Env> {
        self.prefixes.iter().find(|prefix| hint.starts_with(prefix.text.as_str()))?.env
    }

    /// A producer's hint as it may be kept: at most four characters of a secret, nothing of a malformed key.
    pub(crate) fn tidy_hint<'a>(&self, hint: Cow<'a, str>) -> Cow<'a, str> {
        let masked = self.mask(hint, Depth::FreeText);
        let known = self.prefixes.iter().find(|prefix| masked.starts_with(prefix.text.as_str()));
        let has_mark = [MASK, "...", "**"].iter().any(|mark| masked.contains(mark));
        let tail = masked.rsplit(['…', '.', '*']).next().unwrap_or_default();
        let shows_little = masked.len() <= 8 || has_mark && tail.len() <= 8 && !masked.contains("……");
        if shows_little || known.is_none() && masked.contains(' ') {
            return masked;
        }
        Cow::Owned(known.map_or_else(|| malformed_hint(&masked), |prefix| format!("{}{MASK}", prefix.text)))
    }
}

fn malformed_hint(key: &str) -> String {
    format!("malformed, {} characters", key.chars().count())
}

/// The key's prefix and, of a long secret, its last four characters: `caibo_live_sk_…9f2c`.
fn hint_of(prefix: &str, secret: &[u8]) -> String {
    let mut hint = format!("{}{MASK}", prefix.to_ascii_lowercase());
    if SHOW_TAIL_FROM <= secret.len() {
        hint.extend(secret[secret.len() - TAIL..].iter().map(|byte| char::from(*byte)));
    }
    hint
}

fn env_of_words(prefix: &str) -> Option<Env> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.contains("live") || prefix.contains("prod") {
        Some(Env::Live)
    } else if prefix.contains("test") || prefix.contains("sandbox") {
        Some(Env::Test)
    } else {
        None
    }
}

fn is_key_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The largest boundary of a character that is at most `at`.
pub(crate) fn floor_char_boundary(text: &str, at: usize) -> usize {
    if text.len() <= at {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// Bit of a byte that may begin a control character; not a sign of a secret.
pub(crate) const CONTROL: u8 = 1 << 6;

/// The pairs of bytes without which no pattern can match, a bit for each group of pairs.
fn pair_table(prefixes: &[Prefix]) -> [u16; 256] {
    const PREFIX_END: u8 = 1;
    const JWT: u8 = 1 << 1;
    const AWS: u8 = 1 << 2;
    const PEM: u8 = 1 << 3;
    const SCHEME_END: u8 = 1 << 4;
    const NAME_END: u8 = 1 << 5;
    const ENCODED: u8 = 1 << 7;
    let (mut first, mut second) = ([0; 256], [CONTROL | ENCODED; 256]);
    let mut add = |bit: u8, firsts: &[u8], seconds: &[u8]| {
        for byte in firsts {
            first[byte.to_ascii_lowercase() as usize] |= bit;
            first[byte.to_ascii_uppercase() as usize] |= bit;
        }
        for byte in seconds {
            second[byte.to_ascii_lowercase() as usize] |= bit;
            second[byte.to_ascii_uppercase() as usize] |= bit;
        }
    };
    for text in prefixes.iter().map(|p| p.text.as_bytes()).chain(patterns::OTHERS_PREFIX_STEMS) {
        add(PREFIX_END, &text[text.len() - 2..text.len() - 1], &text[text.len() - 1..]);
    }
    add(PEM, b"-", b"-");
    add(SCHEME_END, b"rc", b" \t\n\r+:");
    // The last letters of the names in `patterns::NAMES`, and what may stand between a name and its value.
    add(NAME_END, b"yndt\"' \t\r\n", b":=");
    add(ENCODED, b"%\\", b"");
    // `eyJ`, `AKIA` and `ASIA` are written in one case only.
    for (bit, firsts, then) in [(JWT, &b"y"[..], b'J'), (AWS, b"KS", b'I')] {
        firsts.iter().for_each(|byte| first[*byte as usize] |= bit);
        second[then as usize] |= bit;
    }
    for byte in (0..0x20).chain([0x7f, 0xC2]) {
        first[byte as usize] |= CONTROL;
    }
    std::array::from_fn(|byte| u16::from(first[byte]) | u16::from(second[byte]) << 8)
}

/// Whether a run of token characters is long enough to be a secret by its looks. Looks at one byte in a few.
fn has_long_token(text: &[u8]) -> bool {
    let mut end = TOKEN_MIN;
    while end <= text.len() {
        match text[end - TOKEN_MIN..end].iter().rposition(|byte| !patterns::is_token_char(*byte)) {
            None => return true,
            Some(gap) => end += gap + 1,
        }
    }
    false
}
