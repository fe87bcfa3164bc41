//! The databases of addresses: whether they open, and how old they are.

use std::path::PathBuf;
use std::slice::from_ref;

use super::{Check, Finding, age};
use crate::geoip::GeoIp;
use crate::time::{DAY, Millis, rfc3339};

/// Older ones name too many networks' former owners.
const OLD: Millis = 60 * DAY;

/// A finding for each database.
pub(super) fn examine(databases: &[PathBuf], now: Millis) -> Vec<Finding> {
    let check = Check::Geoip;
    if databases.is_empty() {
        let found = "none configured; geoip.databases would add country and provider to alerts";
        return vec![Finding::ok(check, "geoip", found)];
    }
    let one = |path: &PathBuf| {
        let at = format!("geoip {}", path.display());
        let described = match GeoIp::open(from_ref(path)) {
            Ok(opened) => opened.described().into_iter().next(),
            Err(text) => {
                let why = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned();
                return Finding::fail(
                    check,
                    at,
                    why,
                    "put the database there again, or take it out of geoip.databases",
                );
            }
        };
        let Some(database) = described else { return Finding::fail(check, at, "it is empty", "check geoip.databases") };
        let old = now - database.built_at;
        let built = &rfc3339(database.built_at)[..10];
        let found = format!("{}, built {built}, {} ago", database.kind, age(old));
        if !database.is_useful {
            let hint = "nothing in it is used: take it out of geoip.databases, or use a Country, City or ASN database";
            return Finding::warn(check, at, found, hint);
        }
        if OLD < old {
            let hint = "replace the file (`geoipupdate`, or your supplier's way); it is taken up without a restart";
            return Finding::warn(check, at, found, hint);
        }
        Finding::ok(check, at, found)
    };
    databases.iter().map(one).collect()
}
