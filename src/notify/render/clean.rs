//! Text that others wrote, made safe to show: one line, bounded, no hidden characters, no links, no keys.
//!
//! User agents, paths and names come from whoever calls the gateway. Mail programs turn anything that looks like an
//! address into a link, so such text is broken up: a stranger must not be able to send a link in our name.

/// One line of at most `max` characters without control and direction characters, and with whole keys masked.
pub fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    let mut space = false;
    for c in text.chars().take(max.saturating_mul(4)) {
        if c.is_whitespace() || c.is_control() {
            space = true;
        } else if !is_hidden(c) {
            if space && !out.is_empty() {
                out.push(' ');
            }
            space = false;
            out.push(c);
        }
    }
    cut(&mask_keys(&out), max)
}

/// [`clean`], and nothing in it that a mail program would turn into a link.
pub fn foreign(text: &str, max: usize) -> String {
    let chars: Vec<char> = clean(text, max).chars().collect();
    let mut out = String::with_capacity(chars.len() + 8);
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| chars[j]);
        let after = chars.get(i + 1).copied();
        match c {
            '.' if before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphabetic) => {
                out.push_str("[.]")
            }
            ':' if after == Some('/') => out.push_str("[:]"),
            '@' => out.push_str("[at]"),
            _ => out.push(c),
        }
    }
    out
}

/// At most `max` characters; what is cut ends with an ellipsis.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// For HTML text and attribute values.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// A word for a POSIX shell: people paste our commands, and an identifier may have been chosen by a stranger.
/// One that is no plain word is quoted, and shown as [`foreign`] text: better a command that finds nothing than a link.
pub fn shell_word(text: &str) -> String {
    let text = clean(text, 200);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", foreign(&text, 200).replace('\'', "'\\''"))
    }
}

/// Characters that change how the others are shown, or show nothing.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A whole key has no business here. Should one arrive all the same, only its form and last four characters stay.
fn mask_keys(text: &str) -> String {
    const MARKS: [&str; 4] = ["_live_", "_test_", "-live-", "-test-"];
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let Some((start, prefix)) = MARKS.iter().filter_map(|p| lower[at..].find(p).map(|i| (at + i, p))).min() else {
            break;
        };
        let mut body = start + prefix.len();
        // `caibo_live_sk_`: a short word more before the secret begins.
        let more = lower[body..].bytes().take_while(u8::is_ascii_lowercase).count();
        if more <= 4 && matches!(lower.as_bytes().get(body + more), Some(b'_' | b'-')) {
            body += more + 1;
        }
        let len: usize = text[body..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "_-=+/%".contains(*c))
            .map(char::len_utf8)
            .sum();
        out.push_str(&text[at..body]);
        if len > 8 {
            out.push('…');
            out.push_str(&text[body + len - 4..body + len]);
        } else {
            out.push_str(&text[body..body + len]);
        }
        at = body + len;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_is_one_harmless_line() {
        for (text, want) in [
            ("curl/8.5.0", "curl/8.5.0"),
            ("a\r\nBcc: x\t y", "a Bcc: x y"),
            ("see https://evil.example/x", "see https[:]//evil[.]example/x"),
            ("pay@evil.example", "pay[at]evil[.]example"),
            ("abc\u{202e}gnp.exe\u{200b}", "abcgnp[.]exe"),
            ("caibo_live_sk_0123456789abcdef9f2c!", "caibo_live_sk_…9f2c!"),
            ("Caibo_LIVE_sk_0123456789abcdef9f2c", "Caibo_LIVE_sk_…9f2c"),
            ("caibo_live_sk_…9f2c", "caibo_live_sk_…9f2c"),
            ("x caibo_test_sk_", "x caibo_test_sk_"),
        ] {
            assert_eq!(foreign(text, 200), want);
        }
        assert_eq!(foreign(&"é".repeat(500), 10), format!("{}…", "é".repeat(9)));
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn pasted_words_stay_words() {
        for (text, want) in [
            ("key_81", "key_81"),
            ("k; rm -rf ~", "'k; rm -rf ~'"),
            ("it's", r"'it'\''s'"),
            ("-x", "'-x'"),
            ("$(id)\nls", "'$(id) ls'"),
        ] {
            assert_eq!(shell_word(text), want);
        }
    }
}
