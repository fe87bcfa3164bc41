//! Which country a time zone is of.
//!
//! `zones.txt` has the zones and their older names with the code of their country, from `zone.tab` and the links of the time zone
//! database (IANA, 2025b; in the public domain).

use super::Country;

const ZONES: &str = include_str!("zones.txt");

/// The country of an IANA time zone such as `Europe/Zurich`; none of zones that are of no country, or of no zone.
pub fn country_of(zone: &str) -> Option<Country> {
    let country = ZONES.lines().find_map(|line| line.strip_prefix(zone)?.strip_prefix(' '))?;
    Country::new(country)
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
        assert!(ZONES.lines().all(|line| line.split_once(' ').is_some_and(|(_, code)| Country::new(code).is_some())));
    }
}
