//! The times that logs write: RFC 3339, seconds, milliseconds or finer since 1970, and the common log format's.

use crate::time::{Millis, parse_rfc3339};

/// Reads a time. Numbers are told apart by their size: no log of today writes seconds above 10¹¹.
pub(super) fn millis(text: &str) -> Option<Millis> {
    if let Ok(number) = text.parse::<f64>() {
        let millis = match number {
            n if n < 0.0 || !n.is_finite() => return None,
            n if n < 1e11 => n * 1e3,
            n if n < 1e14 => n,
            n if n < 1e17 => n / 1e3,
            n => n / 1e6,
        };
        return Some(millis.round() as Millis);
    }
    parse_rfc3339(text).or_else(|| common_log(text))
}

/// `10/Oct/2000:13:55:36 -0700`
fn common_log(text: &str) -> Option<Millis> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, clock) = text.split_once(':')?;
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let (clock, zone) = clock.split_once(' ')?;
    let (hours, minutes) = (zone.get(..3)?, zone.get(3..)?);
    parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}{hours}:{minutes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_time_is_read() {
        for (text, want) in [
            ("2024-09-19T22:10:38.123Z", Some(1_726_783_838_123)),
            ("2024-09-20T00:10:38+02:00", Some(1_726_783_838_000)),
            ("1726783838", Some(1_726_783_838_000)),
            ("1726783838.123", Some(1_726_783_838_123)),
            ("1726783838123", Some(1_726_783_838_123)),
            ("1726783838123456", Some(1_726_783_838_123)),
            ("1726783838123456789", Some(1_726_783_838_123)),
            ("10/Oct/2000:13:55:36 -0700", Some(971_211_336_000)),
            ("10/Okt/2000:13:55:36 -0700", None),
            ("yesterday", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(millis(text), want, "{text}");
        }
    }
}
