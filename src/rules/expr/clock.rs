//! Parts of a time in a zone, and times and durations as CEL writes them.

use chrono::{DateTime, Datelike, FixedOffset, Offset, Timelike, Utc};
use chrono_tz::Tz;

use super::scope::{Scope, TextField};
use super::tree::{DURATION_MAX, YEAR_ONE};
use crate::time::{DAY, HOUR, MINUTE, Millis, RANGE, SECOND};

/// Which part of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// Whose clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Zone {
    Utc,
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(Tz),
    /// The zone that a field names, if it names one.
    Field(TextField),
}

impl Zone {
    /// The zone that a text names: IANA's name, or `+02:00`.
    pub(super) fn named(text: &str) -> Option<Zone> {
        if text == "UTC" {
            return Some(Zone::Utc);
        }
        fixed(text).map(Zone::Fixed).or_else(|| text.parse().ok().map(Zone::Named))
    }

    /// The name of the zone nearest to a word that is none.
    pub(super) fn closest(text: &str) -> Option<&'static str> {
        crate::yaml::closest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
    }
}

/// `+02:00`, `-02:30`, or `02:00` for east.
fn fixed(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number =
        |text: &str| (text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit())).then(|| text.parse::<i32>());
    let (hours, minutes) = (number(hours)?.ok()?, number(minutes)?.ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

impl Part {
    /// The part of a time that a zone's clock shows.
    pub(super) fn of(self, at: Millis, zone: &Zone, scope: &Scope<'_>) -> Option<i64> {
        let utc = DateTime::<Utc>::from_timestamp_millis(at)?;
        let offset = match zone {
            Zone::Utc => FixedOffset::east_opt(0)?,
            Zone::Fixed(seconds) => FixedOffset::east_opt(*seconds)?,
            Zone::Named(zone) => utc.with_timezone(zone).offset().fix(),
            Zone::Field(field) => match Zone::named(field.read(scope)?)? {
                Zone::Named(zone) => utc.with_timezone(&zone).offset().fix(),
                Zone::Fixed(seconds) => FixedOffset::east_opt(seconds)?,
                _ => FixedOffset::east_opt(0)?,
            },
        };
        let there = utc.with_timezone(&offset);
        Some(match self {
            Part::FullYear => i64::from(there.year()),
            Part::Month => i64::from(there.month0()),
            Part::Date => i64::from(there.day()),
            Part::DayOfMonth => i64::from(there.day0()),
            Part::DayOfWeek => i64::from(there.weekday().num_days_from_sunday()),
            Part::DayOfYear => i64::from(there.ordinal0()),
            Part::Hours => i64::from(there.hour()),
            Part::Minutes => i64::from(there.minute()),
            Part::Seconds => i64::from(there.second()),
            Part::Milliseconds => at.rem_euclid(SECOND),
        })
    }

    /// The smallest and largest value.
    pub(super) fn bounds(self) -> (i64, i64) {
        match self {
            Part::FullYear => (1, 9999),
            Part::Month => (0, 11),
            Part::Date => (1, 31),
            Part::DayOfMonth => (0, 30),
            Part::DayOfWeek => (0, 6),
            Part::DayOfYear => (0, 365),
            Part::Hours => (0, 23),
            Part::Minutes | Part::Seconds => (0, 59),
            Part::Milliseconds => (0, 999),
        }
    }
}

/// RFC 3339, from the year 1 to 9999. What is finer than a millisecond is cut off.
pub(super) fn parse_time(text: &str) -> Option<Millis> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    let at = at.timestamp_millis();
    (YEAR_ONE..RANGE.end).contains(&at).then_some(at)
}

/// `5m`, `1h30m`, `-1.5h`; `d` and `w` are ours. Else the byte where it goes wrong.
pub(super) fn parse_duration(text: &str) -> Result<Millis, usize> {
    let signed = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut at = text.len() - signed.len();
    if signed.is_empty() {
        return Err(at);
    }
    let mut nanos: i128 = 0;
    while at < text.len() {
        let run = |from: usize, is: fn(&u8) -> bool| text.as_bytes()[from..].iter().take_while(|c| is(c)).count();
        let whole = run(at, u8::is_ascii_digit);
        let mut end = at + whole;
        let fraction = if text[end..].starts_with('.') { run(end + 1, u8::is_ascii_digit) } else { 0 };
        let (digits, fraction_at) = (&text[at..end], end + 1);
        if text[end..].starts_with('.') {
            end = fraction_at + fraction;
        }
        if whole + fraction == 0 || 18 < whole || 9 < fraction {
            return Err(at);
        }
        let letters = run(end, |c| c.is_ascii_alphabetic());
        let unit: i128 = match &text[end..end + letters] {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => i128::from(SECOND) * 1_000_000,
            "m" => i128::from(MINUTE) * 1_000_000,
            "h" => i128::from(HOUR) * 1_000_000,
            "d" => i128::from(DAY) * 1_000_000,
            "w" => i128::from(7 * DAY) * 1_000_000,
            _ => return Err(end),
        };
        let number = |text: &str| text.parse::<i128>().unwrap_or(0);
        nanos += number(digits) * unit;
        if fraction > 0 {
            nanos += number(&text[fraction_at..end]) * unit / 10i128.pow(fraction as u32);
        }
        at = end + letters;
    }
    let nanos = if text.starts_with('-') { -nanos } else { nanos };
    // What CEL's durations may be: ten thousand years.
    i64::try_from(nanos / 1_000_000).ok().filter(|millis| millis.unsigned_abs() <= DURATION_MAX.unsigned_abs()).ok_or(0)
}

/// The parts that are read from a duration are whole units of it.
pub(super) fn unit(part: Part) -> Option<Millis> {
    match part {
        Part::Hours => Some(HOUR),
        Part::Minutes => Some(MINUTE),
        Part::Seconds => Some(SECOND),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_cel_writes_them_and_in_days() {
        for (text, want) in [
            ("5m", Ok(5 * MINUTE)),
            ("1h30m", Ok(90 * MINUTE)),
            ("-1.5h", Ok(-90 * MINUTE)),
            ("2w1d", Ok(15 * DAY)),
            ("0.25s", Ok(250)),
            ("1500us", Ok(1)),
            (".5s", Ok(500)),
            ("5", Err(1)),
            ("5x", Err(1)),
            ("1h 30m", Err(2)),
            ("1hé", Err(2)),
            ("", Err(0)),
            ("-", Err(1)),
            ("h", Err(0)),
            ("1.h", Ok(HOUR)),
            ("320000000000s", Err(0)),
            ("99999999999999999999s", Err(0)),
        ] {
            assert_eq!(parse_duration(text), want, "{text}");
        }
    }

    #[test]
    fn zones_are_names_or_offsets() {
        for text in ["UTC", "Europe/Zurich", "+02:00", "-09:30", "02:00"] {
            assert!(Zone::named(text).is_some(), "{text}");
        }
        for text in ["Europe/Zürich", "+2:00", "+24:00", "", "é"] {
            assert_eq!(Zone::named(text), None, "{text}");
        }
        assert_eq!(Zone::closest("Europe/Zurch"), Some("Europe/Zurich"));
    }
}
