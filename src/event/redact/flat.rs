//! A text with percent-encoding and JSON escapes undone, that remembers where each byte came from.

/// The undone text. It need not be UTF-8.
pub(super) struct Flat {
    pub(super) bytes: Vec<u8>,
    /// Where in the source each byte began, and at last the source's length.
    pub(super) at: Vec<usize>,
}

impl Flat {
    pub(super) fn of(source: &[u8]) -> Flat {
        let mut flat = Flat { bytes: Vec::with_capacity(source.len()), at: Vec::with_capacity(source.len() + 1) };
        let mut at = 0;
        while at < source.len() {
            let (byte, length) = match source[at] {
                b'%' => percent(&source[at..]),
                b'\\' => escape(&source[at..]),
                byte => (byte, 1),
            };
            flat.bytes.push(byte);
            flat.at.push(at);
            at += length;
        }
        flat.at.push(source.len());
        flat
    }
}

/// `%5f`, also encoded again (`%255f`).
fn percent(source: &[u8]) -> (u8, usize) {
    let mut at = 1;
    while source[at..].starts_with(b"25") && hex_pair(&source[at + 2..]).is_some() {
        at += 2;
    }
    match hex_pair(&source[at..]) {
        Some(byte) => (byte, at + 2),
        None => (b'%', 1),
    }
}

/// `\u005f`, `\"`, `\/`, `\x5f`, `\n`, with any number of backslashes: JSON within JSON.
fn escape(source: &[u8]) -> (u8, usize) {
    let at = source.iter().take_while(|byte| **byte == b'\\').count();
    match source.get(at) {
        Some(&byte @ (b'"' | b'\'' | b'/')) => (byte, at + 1),
        Some(b'n' | b'r' | b't') => (b' ', at + 1),
        Some(b'x') => hex_pair(&source[at + 1..]).map_or((b'\\', at), |byte| (byte, at + 3)),
        Some(b'u') => match (source.get(at + 1..at + 3), hex_pair(source.get(at + 3..).unwrap_or_default())) {
            (Some(b"00"), Some(byte)) => (byte, at + 5),
            _ => (b'\\', at),
        },
        _ => (b'\\', at),
    }
}

fn hex_pair(source: &[u8]) -> Option<u8> {
    let &[high, low] = source.first_chunk::<2>()?;
    let value = char::from(high).to_digit(16)? << 4 | char::from(low).to_digit(16)?;
    u8::try_from(value).ok()
}
