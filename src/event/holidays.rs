//! Public holidays by country.
//!
//! `holidays.txt` has those that a whole country keeps, moving ones as far as they are known, from the Python library `holidays` (0.109,
//! MIT licence; `dev/holidays` writes it). A line has a country, a year or `every`, and days as month and day.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::Country;
use crate::time::{DAY, parse_rfc3339};

const HOLIDAYS: &str = include_str!("holidays.txt");
/// What `every` stands for: the years that the file was written for.
const YEARS: RangeInclusive<i32> = 2024..=2032;

/// The holidays of a country: days since 1970 on its own clock, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holidays(&'static [u16]);

impl Holidays {
    /// None at all.
    pub const NONE: Holidays = Holidays(&[]);

    /// Those of a country from 2024 to 2032; none before, after, or where nothing is known of it.
    pub fn of(country: Country) -> Holidays {
        static KNOWN: LazyLock<HashMap<Country, Vec<u16>>> = LazyLock::new(read_all);
        KNOWN.get(&country).map_or(Holidays::NONE, |days| Holidays(days))
    }

    /// Whether a day is one; days since 1970.
    pub fn has(self, day: i64) -> bool {
        u16::try_from(day).is_ok_and(|day| self.0.binary_search(&day).is_ok())
    }
}

fn read_all() -> HashMap<Country, Vec<u16>> {
    let mut known: HashMap<Country, Vec<u16>> = HashMap::new();
    for (country, days) in HOLIDAYS.lines().filter_map(read) {
        known.entry(country).or_default().extend(days);
    }
    known.values_mut().for_each(|days| days.sort_unstable());
    known
}

/// A line's country and days.
fn read(line: &str) -> Option<(Country, Vec<u16>)> {
    let mut words = line.split(' ');
    let (country, years) = (Country::new(words.next()?)?, words.next()?);
    let years = if years == "every" { YEARS } else { years.parse().map(|year| year..=year).ok()? };
    let days: Vec<(&str, &str)> = words.map(|word| word.split_at_checked(2)).collect::<Option<_>>()?;
    let dates =
        years.flat_map(|year| days.iter().map(move |(month, day)| since_1970(&format!("{year}-{month}-{day}"))));
    Some((country, dates.collect::<Option<_>>()?))
}

fn since_1970(date: &str) -> Option<u16> {
    u16::try_from(parse_rfc3339(&format!("{date}T00:00:00Z"))? / DAY).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_keep_their_own_holidays() {
        let day = |date: &str| i64::from(since_1970(date).unwrap());
        for (country, date, want) in [
            ("DE", "2027-03-26", true),
            ("DE", "2027-03-25", false),
            ("DE", "2024-12-25", true),
            ("DE", "2032-12-25", true),
            ("DE", "2033-12-25", false),
            ("DE", "2023-12-25", false),
            ("US", "2026-11-26", true),
            ("GB", "2026-11-26", false),
            ("SA", "2026-09-23", true),
            ("ZZ", "2026-01-01", false),
        ] {
            assert_eq!(Holidays::of(Country::new(country).unwrap()).has(day(date)), want, "{country} {date}");
        }
        assert!(!Holidays::NONE.has(day("2026-01-01")) && !Holidays::of(Country::new("DE").unwrap()).has(-1));
    }

    #[test]
    fn every_line_is_read() {
        assert_eq!(HOLIDAYS.lines().find(|line| read(line).is_none()), None);
        let known = read_all();
        assert_eq!(known.len(), 245, "as docs/kinds/drop.md says");
        assert!(known.values().all(|days| days.is_sorted_by(|a, b| a < b)));
    }
}
