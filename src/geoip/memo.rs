//! Where the addresses of events are: looked up once, remembered in bounded room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::event::{AuthEvent, Country, NetworkKind};
use crate::geoip::GeoIp;

/// Addresses remembered. Traffic repeats few addresses; when so many have come, it begins afresh.
const ADDRESSES: usize = 65_536;

/// What an event is told of its address: country, provider, and what its network is used for.
type Known = (Option<Country>, Option<u32>, Option<NetworkKind>);

/// Fills in what the databases say of an event's address.
#[derive(Debug)]
pub struct PlaceMemo {
    geoip: Arc<GeoIp>,
    known: HashMap<IpAddr, Known>,
    /// Which databases they are from.
    edition: u64,
}

impl PlaceMemo {
    /// A memo in which nothing is known yet.
    pub fn new(geoip: Arc<GeoIp>) -> Self {
        PlaceMemo { geoip, known: HashMap::new(), edition: 0 }
    }

    /// Fills in country, provider and kind of network of the event's address. Without databases there is nothing to do.
    pub fn fill_in(&mut self, event: &mut AuthEvent<'_>) {
        let Some(address) = event.source_ip.filter(|_| !self.geoip.is_empty()) else { return };
        let edition = self.geoip.edition();
        if edition != self.edition || ADDRESSES <= self.known.len() {
            self.known.clear();
            self.edition = edition;
        }
        let known = self.known.entry(address).or_insert_with(|| {
            let place = self.geoip.look_up(address);
            (place.country.as_deref().and_then(Country::new), place.asn, place.network_kind())
        });
        (event.country, event.asn, event.network_kind) = *known;
    }
}
