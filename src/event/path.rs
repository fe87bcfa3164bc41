//! Paths as endpoints: `/v1/payments/pay_8c1d22a0?expand=all` is one use of `/v1/payments/{id}`.

use std::borrow::Cow;

use crate::event::redact::floor_char_boundary;

/// Stands for every identifier.
const ID: &str = "{id}";
/// The longest path that is kept.
const PATH_BYTES_MAX: usize = 256;
/// A segment with a digit is an identifier from this length on.
const ID_WITH_DIGIT_MIN: usize = 8;

/// The path without query and fragment, identifiers folded, at most 256 bytes.
pub(crate) fn fold_path(path: Cow<'_, str>) -> Cow<'_, str> {
    let path = keep(path, |path| before_query(without_host(path)));
    if !path.split('/').any(is_identifier) {
        return keep(path, |path| &path[..floor_char_boundary(path, PATH_BYTES_MAX)]);
    }
    let mut folded = String::with_capacity(path.len() + ID.len());
    for (i, segment) in path.split('/').enumerate() {
        let segment = if is_identifier(segment) { ID } else { segment };
        if PATH_BYTES_MAX < folded.len() + 1 + segment.len() {
            break;
        }
        if 0 < i {
            folded.push('/');
        }
        folded.push_str(segment);
    }
    Cow::Owned(folded)
}

/// Which things a path names: a hash of its identifiers (FNV-1a; Fowler, Noll and Vo). None where it names none, or has a template's
/// placeholders for them.
pub(crate) fn things_of(path: &str) -> Option<u32> {
    const BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let is_placeholder = |segment: &str| segment.starts_with(':') || segment.contains(['{', '}', '<', '>', '*']);
    let mut things = None;
    for segment in before_query(without_host(path)).split('/').filter(|segment| is_identifier(segment)) {
        if is_placeholder(segment) {
            return None;
        }
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME);
        things = Some(segment.bytes().fold(things.unwrap_or(BASIS), hash));
    }
    things
}

/// A referer without its query, its fragment, and a user's name and password.
pub(crate) fn trim_referer(referer: Cow<'_, str>) -> Cow<'_, str> {
    let referer = keep(referer, before_query);
    let Some((scheme, rest)) = referer.split_once("://") else { return referer };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => Cow::Owned(format!("{scheme}://{}", &rest[at + 1..])),
        None => referer,
    }
}

/// The same text cut to a part of it, still borrowed if it was.
pub(crate) fn keep<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(whole) => Cow::Borrowed(part(whole)),
        Cow::Owned(whole) => {
            let kept = part(&whole);
            if kept.len() == whole.len() { Cow::Owned(whole) } else { Cow::Owned(kept.to_owned()) }
        }
    }
}

fn before_query(text: &str) -> &str {
    match text.bytes().position(|byte| byte == b'?' || byte == b'#') {
        Some(end) => &text[..end],
        None => text,
    }
}

fn without_host(path: &str) -> &str {
    if path.starts_with('/') {
        return path;
    }
    let Some((_, rest)) = path.split_once("://") else { return path };
    rest.find('/').map_or("/", |start| &rest[start..])
}

/// Whether a segment names one thing rather than a kind of things.
fn is_identifier(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let Some(&first) = bytes.first() else { return false };
    let (mut has_digit, mut has_letter, mut is_odd, mut separator) = (false, false, false, None);
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => has_digit = true,
            b'a'..=b'z' | b'A'..=b'Z' => has_letter = true,
            b'_' => separator = Some(i),
            // What no resource's name contains: templates, encoded text, addresses, masked secrets.
            b'%' | b'@' | b'=' | b'*' | b'{' | b'}' | b'<' | b'>' | b' ' | b'"' | b'\\' | 0x80.. => is_odd = true,
            _ => {}
        }
    }
    if is_odd || first == b':' || has_digit && (!has_letter || ID_WITH_DIGIT_MIN <= bytes.len()) {
        return true;
    }
    let suffix = separator.map_or(&[][..], |at| &bytes[at + 1..]);
    let has_digit_in_suffix = has_digit && suffix.iter().any(u8::is_ascii_digit);
    4 <= suffix.len() && has_digit_in_suffix
        || 8 <= suffix.len() && is_mixed_case(suffix)
        || 16 <= bytes.len() && (is_mixed_case(bytes) && !is_words(bytes) || bytes.iter().all(u8::is_ascii_hexdigit))
}

fn is_mixed_case(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_lowercase) && bytes.iter().skip(1).any(u8::is_ascii_uppercase)
}

/// `listPaymentMethods`: at most one capital in three, never two together.
fn is_words(bytes: &[u8]) -> bool {
    let capitals = bytes.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    capitals * 3 <= bytes.len() && !bytes.windows(2).any(|pair| pair.iter().all(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_folded_and_names_are_not() {
        for (path, want) in [
            ("/v1/payments", "/v1/payments"),
            ("/v1/payments/", "/v1/payments/"),
            ("/v1/payments/pay_8c1d", "/v1/payments/{id}"),
            ("/v1/payments/pay_8c1d22a0ff/refunds", "/v1/payments/{id}/refunds"),
            ("/v1/payments/42", "/v1/payments/{id}"),
            ("/v1/payments/42.50", "/v1/payments/{id}"),
            ("/v1/customers/cus_NffrFeUfNVhW", "/v1/customers/{id}"),
            ("/v1/orders/9f1c2f9e-7b3a-4a9e-8a53-0d5e2f1f6f11", "/v1/orders/{id}"),
            ("/v1/orders/deadbeefdeadbeef", "/v1/orders/{id}"),
            ("/v1/orders/aBcdEFghIJklMNop", "/v1/orders/{id}"),
            ("/v1/listPaymentMethods", "/v1/listPaymentMethods"),
            ("/v1/bank_accounts/verify", "/v1/bank_accounts/verify"),
            ("/v1/keys/caibo_live_sk_…9f2c", "/v1/keys/{id}"),
            ("/v1/{payment_id}/:order", "/v1/{id}/{id}"),
            ("/v1/people/a@b.example", "/v1/people/{id}"),
            ("/v1/payments%3Fapi_key=x", "/v1/{id}"),
            ("/oauth2/token?grant=x#y", "/oauth2/token"),
            ("https://api.caibo.digital/v1/payments?x=1", "/v1/payments"),
            ("https://api.caibo.digital", "/"),
            ("*", "{id}"),
            ("", ""),
        ] {
            assert_eq!(fold_path(Cow::Borrowed(path)), want, "{path}");
            assert_eq!(fold_path(Cow::Owned(path.to_owned())), want, "{path}");
            assert_eq!(fold_path(Cow::Borrowed(want)), want, "folding {path} twice");
        }
        assert!(matches!(fold_path(Cow::Borrowed("/v1/payments?x")), Cow::Borrowed(_)));
        assert_eq!(fold_path(Cow::Owned("/é".repeat(300))), "/{id}".repeat(51), "cut between segments");
        assert_eq!(fold_path(Cow::Owned("/".to_owned() + &"x".repeat(300))).len(), PATH_BYTES_MAX);
    }

    #[test]
    fn the_things_of_a_path_are_told_apart() {
        let of = |path: &str| things_of(path);
        for (one, other) in [
            ("/v1/payments/pay_8c1d22a0", "/v1/payments/pay_8c1d22a1"),
            ("/v1/payments/pay_8c1d22a0/refunds/42", "/v1/payments/pay_8c1d22a0/refunds/43"),
        ] {
            assert!(of(one).is_some() && of(one) != of(other), "{one} {other}");
        }
        let same = ["https://api.caibo.digital/v1/payments/pay_8c1d22a0?x=1", "/v1/payments/pay_8c1d22a0/capture"];
        assert_eq!(of(same[0]), of(same[1]));
        for path in ["/v1/payments", "/v1/payments/{id}", "/v1/payments/:payment_id", "/v1/42/<order>", "*", ""] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn a_referer_keeps_the_place_only() {
        for (referer, want) in [
            ("https://shop.example/checkout?token=abc#x", "https://shop.example/checkout"),
            ("https://user:pass@shop.example/a@b", "https://shop.example/a@b"),
            ("https://shop.example", "https://shop.example"),
            ("shop", "shop"),
        ] {
            assert_eq!(trim_referer(Cow::Borrowed(referer)), want, "{referer}");
        }
    }
}
