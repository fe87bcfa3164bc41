//! Time as the whole project writes it: milliseconds since 1970 (UTC), RFC 3339 text, and durations such as `5m` or `90d`.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since 1970-01-01T00:00:00Z. Event time unless a name says `wall`.
pub type Millis = i64;

/// One second, in [`Millis`].
pub const SECOND: Millis = 1_000;
/// One minute, in [`Millis`].
pub const MINUTE: Millis = 60 * SECOND;
/// One hour, in [`Millis`].
pub const HOUR: Millis = 60 * MINUTE;
/// One day of 24 hours, in [`Millis`].
pub const DAY: Millis = 24 * HOUR;

/// The earliest and latest instants that an event may carry (years 1970 to 9999); others are rejected.
pub const RANGE: std::ops::Range<Millis> = 0..253_402_300_800_000;

/// RFC 3339 in UTC with milliseconds, as alert records carry it: `2026-11-23T08:00:00.000Z`.
pub fn rfc3339(at: Millis) -> String {
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Parses RFC 3339 with any offset. `None` where the text is no time stamp or lies outside [`RANGE`].
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let at = match parse_fixed_utc(text.as_bytes()) {
        Some(at) => at,
        None => DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis(),
    };
    RANGE.contains(&at).then_some(at)
}

/// The form nearly every producer sends, `YYYY-MM-DDTHH:MM:SS[.fff…]Z`, without the general parser's cost.
fn parse_fixed_utc(b: &[u8]) -> Option<Millis> {
    if b.len() < 20
        || b[b.len() - 1] != b'Z'
        || b[4] != b'-'
        || b[7] != b'-'
        || b[10] != b'T'
        || b[13] != b':'
        || b[16] != b':'
    {
        return None;
    }
    let n = |at: usize, len: usize| -> Option<i64> {
        b[at..at + len].iter().try_fold(0i64, |acc, c| c.is_ascii_digit().then(|| acc * 10 + i64::from(c - b'0')))
    };
    let (year, month, day, hour, minute, second) = (n(0, 4)?, n(5, 2)?, n(8, 2)?, n(11, 2)?, n(14, 2)?, n(17, 2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = &b[19..b.len() - 1];
    let millis = match fraction {
        [] => 0,
        [b'.', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            (0..3).fold(0, |acc, i| acc * 10 + digits.get(i).map_or(0, |c| i64::from(c - b'0')))
        }
        _ => return None,
    };
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let days = i64::from(date.to_epoch_days());
    Some(days * DAY + hour * HOUR + minute * MINUTE + second * SECOND + millis)
}

/// Parses `500ms`, `30s`, `5m`, `2h`, `90d`, `2w` and sums such as `1h30m`. `None` where it is none of these.
pub fn parse_duration(text: &str) -> Option<Millis> {
    let mut total: Millis = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: Millis = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            "w" => 7 * DAY,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[letters..];
    }
    Some(total)
}

/// The day of the month, 1 to 31, that clocks of UTC show at a time.
pub fn day_of_month(at: Millis) -> u32 {
    use chrono::Datelike;
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().day()
}

/// How far clocks of an IANA zone are ahead of UTC at a time; 0 where there is no such zone.
pub fn zone_offset(zone: Option<&str>, at: Millis) -> Millis {
    use chrono::{Offset, TimeZone};
    let Some(zone) = zone.and_then(|name| name.parse::<chrono_tz::Tz>().ok()) else { return 0 };
    let utc = DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * SECOND
}

/// The shortest exact text of a duration, as [`parse_duration`] reads it: `5m`, `1h30m`, `90d`.
pub fn duration_text(mut millis: Millis) -> String {
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "ms")] {
        if millis >= unit {
            text.push_str(&format!("{}{name}", millis / unit));
            millis %= unit;
        }
    }
    text
}

/// Whole days since 1970 (UTC) that contain `at`.
pub fn day_of(at: Millis) -> i32 {
    at.div_euclid(DAY) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_are_read_in_every_usual_form() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-23T08:00:00Z", Some(1_795_420_800_000)),
            ("2026-11-23T08:00:00.5Z", Some(1_795_420_800_500)),
            ("2026-11-23T08:00:00.123456789Z", Some(1_795_420_800_123)),
            ("2026-11-23T09:00:00.250+01:00", Some(1_795_420_800_250)),
            ("2026-02-30T00:00:00Z", None),
            ("2026-11-23 25:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text), want, "{text}");
        }
    }

    #[test]
    fn durations_round_trip() {
        for (text, want) in [
            ("5m", Some(5 * MINUTE)),
            ("90d", Some(90 * DAY)),
            ("1h30m", Some(90 * MINUTE)),
            ("250ms", Some(250)),
            ("5", None),
            ("m", None),
            ("5 m", None),
        ] {
            assert_eq!(parse_duration(text), want, "{text}");
            if let Some(millis) = want {
                assert_eq!(duration_text(millis), text);
            }
        }
    }
}
