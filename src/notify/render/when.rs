//! Times, durations and counts as people read them. One message uses one zone.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// The zone of a message: the merchant's own, else UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// The zone that an IANA name stands for; UTC where it is none.
    pub fn named(name: Option<&str>) -> Self {
        Zone(name.and_then(|name| name.trim().parse().ok()).unwrap_or(Tz::UTC))
    }

    /// Its IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// `Mon 23 Nov 2026, 09:00 +01:00`.
    pub fn at(self, at: Millis) -> String {
        self.format(at, "%a %-d %b %Y, %H:%M %:z")
    }

    /// `Mon 23 Nov 2026`.
    pub fn day(self, at: Millis) -> String {
        self.format(at, "%a %-d %b %Y")
    }

    fn format(self, at: Millis, pattern: &str) -> String {
        let utc: DateTime<Utc> = DateTime::from_timestamp_millis(at).unwrap_or_default();
        let text = self.0.from_utc_datetime(&utc.naive_utc()).format(pattern).to_string();
        text.replace("+00:00", "UTC")
    }
}

/// `3 days`, `2 hours 5 minutes`, `40 seconds`: at most two units.
pub fn duration(millis: Millis) -> String {
    let millis = millis.max(0);
    let (first, second) = match millis {
        m if m >= 2 * DAY => ((m / DAY, "day"), (m % DAY / HOUR, "hour")),
        m if m >= HOUR => ((m / HOUR, "hour"), (m % HOUR / MINUTE, "minute")),
        m if m >= MINUTE => ((m / MINUTE, "minute"), (0, "")),
        m => ((m / SECOND, "second"), (0, "")),
    };
    match second {
        (0, _) => count(first.0, first.1),
        (n, unit) => format!("{} {}", count(first.0, first.1), count(n, unit)),
    }
}

/// `1 call`, `1,204 calls`.
pub fn count(n: i64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `1,204`.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    if n < 0 { format!("-{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_offset() {
        let at = 1_795_420_800_000; // 2026-11-23T08:00:00Z
        for (zone, want) in [
            (Some("Europe/Berlin"), "Mon 23 Nov 2026, 09:00 +01:00"),
            (Some("Asia/Kolkata"), "Mon 23 Nov 2026, 13:30 +05:30"),
            (Some("Mars/Base"), "Mon 23 Nov 2026, 08:00 UTC"),
            (None, "Mon 23 Nov 2026, 08:00 UTC"),
        ] {
            assert_eq!(Zone::named(zone).at(at), want);
        }
    }

    #[test]
    fn numbers_and_durations_read_well() {
        assert_eq!(
            [number(0), number(999), number(1_000), number(1_234_567), count(1, "call"), count(2, "call")],
            ["0", "999", "1,000", "1,234,567", "1 call", "2 calls"]
        );
        for (millis, want) in [
            (40 * SECOND, "40 seconds"),
            (MINUTE, "1 minute"),
            (2 * HOUR + 5 * MINUTE, "2 hours 5 minutes"),
            (DAY, "24 hours"),
            (3 * DAY, "3 days"),
            (-5, "0 seconds"),
        ] {
            assert_eq!(duration(millis), want);
        }
    }
}
