//! Which country a time zone is of.
//!
//! `zones.txt` has the zones and their older names with the code of their country, from `zone.tab` and the links of the time zone
//! database (IANA, 2025b; in the public domain).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Country;

const ZONES: &str = include_str!("zones.txt");

/// The country of an IANA time zone such as `Europe/Zurich`; none of zones that are of no country, or of no zone.
pub fn country_of(zone: &str) -> Option<Country> {
    // Asked for at calls from networks that are not known.
    static COUNTRIES: LazyLock<HashMap<&str, Country>> = LazyLock::new(|| ZONES.lines().filter_map(read).collect());
    COUNTRIES.get(zone).copied()
}

fn read(line: &'static str) -> Option<(&'static str, Country)> {
    let (zone, code) = line.split_once(' ')?;
    Some((zone, Country::new(code)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_of_a_country_under_each_of_their_names() {
        for (zone, want) in [
            ("Europe/Zurich", Some("CH")),
            ("Europe/Kyiv", Some("UA")),
            ("Europe/Kiev", Some("UA")),
            ("America/Argentina/Salta", Some("AR")),
            ("Singapore", Some("SG")),
            ("Europe", None),
            ("Europe/Zur", None),
            ("UTC", None),
            ("Etc/GMT+1", None),
            ("", None),
        ] {
            assert_eq!(country_of(zone).map(|country| country.as_str().to_owned()).as_deref(), want, "{zone}");
        }
        assert!(ZONES.lines().all(|line| read(line).is_some()));
    }
}
