//! `active:` of a rule: the hours in which it opens alerts, on the clock of a zone that the rule must name.

use chrono::{DateTime, Datelike, Timelike, Utc};
use chrono_tz::Tz;

use crate::time::{MINUTE, Millis};
use crate::yaml::{MapReader, closest};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Spans of hours in one rule.
pub(super) const MAX_SPANS: usize = 24;
const MINUTES_A_DAY: u16 = 24 * 60;

/// Days and hours on a zone's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveHours {
    zone: Tz,
    /// Monday first.
    days: [bool; 7],
    /// Minutes of the day, from and to; a span that ends before it begins goes on after midnight.
    spans: Vec<(u16, u16)>,
}

impl ActiveHours {
    /// Whether a moment lies in them. A span that goes on after midnight belongs to the day on which it began.
    pub fn contains(&self, at: Millis) -> bool {
        let Some(utc) = DateTime::<Utc>::from_timestamp_millis(at) else { return false };
        let local = utc.with_timezone(&self.zone);
        let minute = (local.hour() * 60 + local.minute()) as u16;
        let today = local.weekday().num_days_from_monday() as usize;
        let yesterday = (today + 6) % 7;
        self.spans.iter().any(|&(from, to)| match from < to {
            true => self.days[today] && (from..to).contains(&minute),
            false => (self.days[today] && from <= minute) || (self.days[yesterday] && minute < to),
        })
    }

    /// The next times that they begin and end, as their zone's clock shows them: what a person checks them by.
    pub fn next(&self, from: Millis, n: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut begun = None;
        let first = from.div_euclid(MINUTE) * MINUTE;
        for at in (0..i64::from(MINUTES_A_DAY) * 15).map(|minute| first + minute * MINUTE) {
            match (self.contains(at), begun) {
                (true, None) => begun = Some(at),
                (false, Some(since)) => {
                    found.push(format!("{} to {}", self.show(since, "%a %-d %b %H:%M"), self.show(at, "%a %H:%M %:z")));
                    begun = None;
                }
                _ => {}
            }
            if found.len() == n {
                break;
            }
        }
        found
    }

    fn show(&self, at: Millis, form: &str) -> String {
        let utc = DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default();
        utc.with_timezone(&self.zone).format(form).to_string()
    }

    /// For a rule's hash.
    pub(super) fn text(&self) -> String {
        format!("{} {:?} {:?}", self.zone, self.days, self.spans)
    }
}

/// Every name that `zone` may have.
pub(super) fn zones() -> impl Iterator<Item = &'static str> {
    chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
}

/// Reads `active:`. `None` only where a problem was noted.
pub(super) fn read_active(mut map: MapReader<'_>) -> Option<ActiveHours> {
    let zone = if !map.has("zone") && (map.has("hours") || map.has("days")) {
        let hint = "the zone that the hours are meant in, such as `zone: Europe/Zurich`";
        map.problems().add_with_hint(map.at("zone"), "missing field `active.zone`", hint);
        map.string("zone")
    } else {
        map.required_string("zone")
    };
    let zone_at = map.at("zone");
    let zone = zone.and_then(|name| match name.parse::<Tz>() {
        Ok(zone) => Some(zone),
        Err(_) => {
            let shown = map.problems().quote(zone_at, &name);
            let hint = match closest(&name, zones()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a name of the IANA database, such as `Europe/Zurich` or `UTC`".into(),
            };
            map.problems().add_with_hint(zone_at, format!("unknown time zone {shown}"), hint);
            None
        }
    });
    let days = read_days(&mut map);
    let spans = read_hours(&mut map);
    map.finish();
    Some(ActiveHours { zone: zone?, days: days?, spans: spans? })
}

fn read_days(map: &mut MapReader<'_>) -> Option<[bool; 7]> {
    let Some(named) = map.strings("days") else { return (!map.has("days")).then_some([true; 7]) };
    let mut days = [false; 7];
    let day_at = |name: &str| DAYS.iter().position(|day| name.to_ascii_lowercase().starts_with(day));
    for (text, at) in &named {
        let ends: Vec<Option<usize>> = text.splitn(2, '-').map(|name| day_at(name.trim())).collect();
        match ends[..] {
            [Some(day)] => days[day] = true,
            [Some(from), Some(to)] => (0..=(to + 7 - from) % 7).for_each(|n| days[(from + n) % 7] = true),
            _ => {
                let shown = map.problems().quote(*at, text);
                map.problems().add_with_hint(
                    *at,
                    format!("{shown} is no day"),
                    "write `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, or a span such as `mon-fri`",
                );
                return None;
            }
        }
    }
    if named.is_empty() {
        map.problems().add_with_hint(map.key_at("days"), "an empty list of days", "leave `days` out for every day");
        return None;
    }
    Some(days)
}

fn read_hours(map: &mut MapReader<'_>) -> Option<Vec<(u16, u16)>> {
    let Some(named) = map.strings("hours") else { return (!map.has("hours")).then(|| vec![(0, MINUTES_A_DAY)]) };
    let mut spans = Vec::new();
    for (text, at) in named.iter().take(MAX_SPANS) {
        let ends = text.split_once('-').map(|(from, to)| (minute_of(from), minute_of(to)));
        match ends {
            Some((Some(from), Some(to))) if from != to && from < MINUTES_A_DAY => spans.push((from, to)),
            _ => {
                let shown = map.problems().quote(*at, text);
                map.problems().add_with_hint(
                    *at,
                    format!("{shown} is no span of hours"),
                    "such as `08:00-18:00`, or `22:00-06:00` over midnight",
                );
                return None;
            }
        }
    }
    if spans.is_empty() || MAX_SPANS < named.len() {
        map.problems().add(map.key_at("hours"), format!("`hours` has from 1 to {MAX_SPANS} spans"));
        return None;
    }
    Some(spans)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_plain = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let (hour, minute): (u16, u16) = (is_plain(hour).then(|| hour.parse().ok())??, minute.parse().ok()?);
    let at = hour * 60 + minute;
    (minute < 60 && at <= MINUTES_A_DAY).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_rfc3339;

    fn hours(days: [bool; 7], spans: &[(u16, u16)], zone: Tz) -> ActiveHours {
        ActiveHours { zone, days, spans: spans.to_vec() }
    }

    #[test]
    fn the_zones_clock_counts_on_both_sides_of_a_change() {
        let office =
            hours([true, true, true, true, true, false, false], &[(8 * 60, 18 * 60)], chrono_tz::Europe::Zurich);
        for (at, expected) in [
            ("2026-10-23T06:00:00Z", true), // Friday 08:00, summer time
            ("2026-10-23T05:59:00Z", false),
            ("2026-10-23T16:00:00Z", false), // 18:00
            ("2026-10-24T10:00:00Z", false), // Saturday
            ("2026-10-26T06:30:00Z", false), // Monday 07:30, winter time
            ("2026-10-26T07:00:00Z", true),
        ] {
            assert_eq!(office.contains(parse_rfc3339(at).unwrap()), expected, "{at}");
        }
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_it_began() {
        let friday = hours([false, false, false, false, true, false, false], &[(22 * 60, 6 * 60)], Tz::UTC);
        for (at, expected) in [
            ("2026-10-23T05:00:00Z", false), // Friday morning: Thursday's night
            ("2026-10-23T22:00:00Z", true),
            ("2026-10-24T05:59:00Z", true),
            ("2026-10-24T06:00:00Z", false),
        ] {
            assert_eq!(friday.contains(parse_rfc3339(at).unwrap()), expected, "{at}");
        }
        let from = parse_rfc3339("2026-10-21T12:00:00Z").unwrap();
        assert_eq!(
            friday.next(from, 2),
            ["Fri 23 Oct 22:00 to Sat 06:00 +00:00", "Fri 30 Oct 22:00 to Sat 06:00 +00:00"]
        );
    }
}
