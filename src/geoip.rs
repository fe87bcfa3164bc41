//! What MMDB databases say of an address: country, provider, and whether it hides who calls.
//!
//! Events and alerts are enriched with it, and conditions may ask for it; a known network stays known whatever an update
//! says. Files are read into memory and checked whole. A mapped file that somebody cuts short would end the process.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use maxminddb::Reader;
use serde_json::Value as Json;

use crate::alert::{Alert, Source};
use crate::config::load::reason;
use crate::event::facts::Fact;
use crate::event::{Country, NetworkKind};
use crate::time::{Millis, SECOND};

pub mod memo;

/// The largest database that is read, in bytes.
pub const BYTES_MAX: u64 = 1 << 30;
/// Longest name of a provider or country that is kept.
const NAME_MAX: usize = 60;

/// What is known of an address. What no database says is absent, never "new" or "unknown".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 code.
    pub country: Option<String>,
    /// In English.
    pub country_name: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Who runs it.
    pub organisation: Option<String>,
    /// A proxy, a VPN or Tor.
    pub anonymous: bool,
    /// A hosting provider's.
    pub hosting: bool,
}

/// A database in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its file.
    pub path: PathBuf,
    /// Its type, such as `GeoLite2-ASN`.
    pub kind: String,
    /// When its maker built it.
    pub built_at: Millis,
    /// Whether it has a field that is used here.
    pub is_useful: bool,
}

/// What looking for replaced files came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// A new file is in use.
    Reloaded(Described),
    /// A new file cannot be used; the former one stays.
    Refused(PathBuf, String),
}

struct Database {
    described: Described,
    reader: Reader<Vec<u8>>,
    seen: Seen,
}

/// How a file looked when it was read, or last refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    length: u64,
    modified: Option<std::time::SystemTime>,
    inode: u64,
}

/// Databases in the order in which they are asked.
pub struct GeoIp {
    databases: RwLock<Vec<Database>>,
    is_empty: bool,
    /// Raised when a database is replaced.
    edition: AtomicU64,
}

impl Default for GeoIp {
    fn default() -> Self {
        GeoIp { databases: RwLock::default(), is_empty: true, edition: AtomicU64::new(1) }
    }
}

impl std::fmt::Debug for GeoIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.described()).finish()
    }
}

impl GeoIp {
    /// Reads these files. The error names the one that is wrong, and why.
    pub fn open(paths: &[PathBuf]) -> Result<GeoIp, String> {
        let databases = paths.iter().map(|path| read(path).map_err(|what| format!("{}: {what}", path.display())));
        let databases: Vec<Database> = databases.collect::<Result<_, _>>()?;
        Ok(GeoIp { is_empty: databases.is_empty(), databases: RwLock::new(databases), edition: AtomicU64::new(1) })
    }

    /// Whether there is no database.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Another number after a database was replaced.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// The databases in use.
    pub fn described(&self) -> Vec<Described> {
        self.read().iter().map(|database| database.described.clone()).collect()
    }

    /// What is known of an address. What the first database does not say, the next may.
    pub fn look_up(&self, address: IpAddr) -> Place {
        let mut place = Place::default();
        for database in self.read().iter() {
            let found = database.reader.lookup(address).ok().and_then(|found| found.decode::<Json>().ok().flatten());
            if let Some(record) = found {
                place.add(&record);
            }
        }
        place
    }

    /// Looks whether files were replaced, and takes the new ones up. One that is damaged or half written is refused once.
    pub fn reload_replaced(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        let current: Vec<(PathBuf, Seen)> =
            self.read().iter().map(|database| (database.described.path.clone(), database.seen)).collect();
        for (at, (path, seen)) in current.into_iter().enumerate() {
            let Ok(now) = look(&path) else { continue };
            if now == seen {
                continue;
            }
            // Read without the lock: lookups go on meanwhile.
            let read = read(&path);
            let mut databases = self.databases.write().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = databases.get_mut(at) else { continue };
            match read {
                Ok(new) => {
                    changes.push(Change::Reloaded(new.described.clone()));
                    *database = new;
                    self.edition.fetch_add(1, Ordering::Release);
                }
                Err(what) => {
                    database.seen = now;
                    changes.push(Change::Refused(path, what));
                }
            }
        }
        changes
    }

    /// Says of the alert's networks where they are, as looked up now.
    pub fn enrich(&self, alert: &mut Alert) {
        if self.is_empty {
            return;
        }
        if let Some(source) = &mut alert.source
            && let Ok(address) = source.address.parse()
        {
            let place = self.look_up(address);
            *source = Source {
                country: place.country,
                asn: place.asn,
                organisation: place.organisation,
                ..std::mem::take(source)
            };
        }
        for list in ["sources", "known"] {
            let entries = alert.evidence.get_mut(list).and_then(Json::as_array_mut);
            for entry in entries.into_iter().flatten() {
                self.enrich_entry(entry);
            }
        }
    }

    /// Says where the one who made a key was, as looked up now.
    pub fn fill_in(&self, fact: &mut Fact) {
        if self.is_empty {
            return;
        }
        let address = fact.actor_ip.as_deref().and_then(|text| text.parse().ok());
        fact.actor_country = address.and_then(|address| Country::new(self.look_up(address).country.as_deref()?));
    }

    fn enrich_entry(&self, entry: &mut Json) {
        // A network alone becomes an entry with its name, where something is known of it.
        let text = match &*entry {
            Json::String(network) => Some(network.clone()),
            entry => ["address", "network"].iter().find_map(|name| entry.get(name)?.as_str().map(str::to_owned)),
        };
        let Some(text) = text else { return };
        let Ok(address) = text.split('/').next().unwrap_or_default().parse() else { return };
        let place = self.look_up(address);
        let said = [
            ("provider", place.organisation),
            ("country", place.country_name.or(place.country)),
            ("hides", place.anonymous.then(|| "VPN, proxy or Tor".to_owned())),
        ];
        if said.iter().all(|(_, what)| what.is_none()) {
            return;
        }
        if entry.is_string() {
            *entry = serde_json::json!({"network": text});
        }
        if let Some(fields) = entry.as_object_mut() {
            fields.extend(said.into_iter().filter_map(|(name, what)| Some((name.to_owned(), what?.into()))));
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Database>> {
        self.databases.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Adds what a record says and no earlier one did. MaxMind's names first, then those of other makers.
    fn add(&mut self, record: &Json) {
        let text = |pointers: &[&str]| {
            let mut found = pointers.iter().filter_map(|at| record.pointer(at)?.as_str());
            found.find(|text| !text.is_empty()).map(|text| text.chars().take(NAME_MAX).collect::<String>())
        };
        let flag = |names: &[&str]| {
            names.iter().any(|name| {
                let of = |value: Option<&Json>| value.is_some_and(|v| v.as_bool().unwrap_or(v.as_u64() == Some(1)));
                of(record.get(name)) || of(record.pointer(&format!("/traits/{name}")))
            })
        };
        let iso = ["/country/iso_code", "/registered_country/iso_code", "/country_code", "/country"];
        let is_code = |code: &String| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        self.country = self.country.take().or_else(|| text(&iso).filter(is_code));
        let names = ["/country/names/en", "/registered_country/names/en", "/country_name"];
        self.country_name = self.country_name.take().or_else(|| text(&names));
        self.asn = self.asn.or_else(|| {
            ["/autonomous_system_number", "/traits/autonomous_system_number", "/asn"].iter().find_map(|at| {
                let number = record.pointer(at)?;
                let written = || number.as_str()?.trim_start_matches("AS").parse().ok();
                number.as_u64().or_else(written).and_then(|n| u32::try_from(n).ok())
            })
        });
        let organisations = [
            "/autonomous_system_organization",
            "/traits/autonomous_system_organization",
            "/organization",
            "/isp",
            "/as_name",
        ];
        self.organisation = self.organisation.take().or_else(|| text(&organisations));
        self.anonymous |= flag(&[
            "is_anonymous",
            "is_anonymous_vpn",
            "is_anonymous_proxy",
            "is_public_proxy",
            "is_residential_proxy",
            "is_tor_exit_node",
        ]);
        self.hosting |= flag(&["is_hosting_provider"]);
    }

    /// What its network is used for. To hide who calls, servers are rented: that says more.
    pub fn network_kind(&self) -> Option<NetworkKind> {
        if self.anonymous { Some(NetworkKind::Anonymiser) } else { self.hosting.then_some(NetworkKind::Hosting) }
    }

    /// `Hetzner Online GmbH (AS24940), DE`; empty where nothing is known.
    pub fn words(organisation: Option<&str>, asn: Option<u32>, country: Option<&str>) -> String {
        let provider = match (organisation, asn) {
            (Some(name), Some(asn)) => Some(format!("{name} (AS{asn})")),
            (Some(name), None) => Some(name.to_owned()),
            (None, Some(asn)) => Some(format!("AS{asn}")),
            (None, None) => None,
        };
        provider.into_iter().chain(country.map(str::to_owned)).collect::<Vec<_>>().join(", ")
    }
}

fn look(path: &Path) -> std::io::Result<Seen> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path)?;
    Ok(Seen { length: file.len(), modified: file.modified().ok(), inode: file.ino() })
}

fn read(path: &Path) -> Result<Database, String> {
    let of_file = |error: std::io::Error| reason(&error);
    let seen = look(path).map_err(of_file)?;
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(of_file)?;
    if BYTES_MAX < bytes.len() as u64 {
        return Err(format!("it is larger than {} MiB", BYTES_MAX >> 20));
    }
    let reader = Reader::from_source(bytes).map_err(|_| "it is no MMDB database, or only a part of one".to_owned())?;
    reader.verify().map_err(|error| format!("it is damaged: {error}"))?;
    let metadata = reader.metadata();
    // GeoIP2 and GeoLite2 name the table; other makers' names are tried for what they hold.
    let useless = ["Domain", "Connection-Type", "DensityIncome", "User-Count"];
    let is_useful = !useless.iter().any(|word| metadata.database_type.contains(word));
    let described = Described {
        path: path.to_owned(),
        kind: metadata.database_type.chars().filter(|c| c.is_ascii_graphic()).take(NAME_MAX).collect(),
        built_at: i64::try_from(metadata.build_epoch).unwrap_or(0).saturating_mul(SECOND),
        is_useful,
    };
    Ok(Database { described, reader, seen })
}
