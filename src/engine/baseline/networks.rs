//! Networks: addresses folded to the prefix that usually belongs to one party, and a bounded book of those seen.

use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::engine::subject::reserve_little;
use crate::event::{AuthEvent, Country};
use crate::time::{DAY, Millis};

/// A key that wanders within so many providers is at home there.
const PROVIDERS_OF_A_HOME: usize = 2;
/// With so many networks of each, on the whole.
const NETWORKS_OF_PROVIDERS: usize = 3;

/// A network: /24 of IPv4, /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(u64);

const V6_TAG: u64 = 1 << 63;

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Network(u64::from(u32::from(v4) >> 8)),
            IpAddr::V6(v6) => Network(V6_TAG | (u128::from(v6) >> 80) as u64),
        }
    }

    /// The number it is stored under.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether another network lies within the same /16 of IPv4 or /32 of IPv6.
    pub fn is_beside(self, other: Network) -> bool {
        let far = if self.0 & V6_TAG == 0 { 8 } else { 16 };
        self.0 >> far == other.0 >> far
    }

    /// The same of the /12 or the /28: the ranges of clouds are about as wide.
    pub fn is_in_range_of(self, other: Network) -> bool {
        let far = if self.0 & V6_TAG == 0 { 12 } else { 20 };
        self.0 >> far == other.0 >> far
    }

    /// The network of a stored number.
    pub fn from_bits(bits: u64) -> Self {
        Network(bits)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 & V6_TAG == 0 {
            let bits = (self.0 << 8) as u32;
            write!(f, "{}/24", std::net::Ipv4Addr::from(bits))
        } else {
            write!(f, "{}/48", std::net::Ipv6Addr::from(u128::from(self.0 & !V6_TAG) << 80))
        }
    }
}

/// Where a network is, as far as databases say. What they do not say is not known, and so never new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its country.
    pub country: Option<Country>,
    /// The number of its provider; 0 is nobody's (RFC 7607).
    pub asn: Option<NonZeroU32>,
}

/// So many trusted networks in the same /16 (/32 of IPv6), and another one there is most likely of the same provider.
const NEIGHBOURS: usize = 2;
/// The same of the /12 (/28), which a pool of servers may be spread over.
const OF_A_POOL: usize = 4;

impl Whereabouts {
    /// Of an event's address.
    pub fn of(event: &AuthEvent<'_>) -> Self {
        Whereabouts { country: event.country, asn: event.asn.and_then(NonZeroU32::new) }
    }
}

/// One network in a book.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Which.
    pub network: Network,
    /// First accepted use.
    pub first_at: Millis,
    /// Last accepted use.
    pub last_at: Millis,
    /// Accepted calls.
    pub calls: u64,
    /// Held out of what the merchant's other keys trust, until it has lasted.
    pub suspect: bool,
    /// Where it is.
    pub place: Whereabouts,
}

impl Seen {
    /// A trusted network with calls at one time, of which no database says anything.
    pub fn once(network: Network, at: Millis, calls: u64) -> Self {
        Seen { network, first_at: at, last_at: at, calls, suspect: false, place: Whereabouts::default() }
    }
}

/// What two networks have in common, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shares {
    /// The provider.
    Provider,
    /// The addresses around: /16 of IPv4, /32 of IPv6.
    Neighbourhood,
    /// The country.
    Country,
}

impl Shares {
    /// In evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Shares::Provider => "provider",
            Shares::Neighbourhood => "neighbourhood",
            Shares::Country => "country",
        }
    }
}

/// How a provider or a country compares with those of the networks that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Familiar {
    /// No database says where the networks are.
    Unknown,
    /// So many trusted networks are there.
    Known(usize),
    /// None is.
    New,
}

/// The networks that accepted calls came from, at most `cap` of them: when full, the one unused for longest goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkBook {
    seen: Vec<Seen>,
}

impl NetworkBook {
    /// A book with these entries.
    pub fn from_entries(seen: Vec<Seen>) -> Self {
        NetworkBook { seen }
    }

    /// The entries, in the order they were first seen.
    pub fn entries(&self) -> &[Seen] {
        &self.seen
    }

    /// The entry of a network.
    pub fn get(&self, network: Network) -> Option<&Seen> {
        self.seen.iter().find(|s| s.network == network)
    }

    /// Whether a network is known and trusted.
    pub fn trusts(&self, network: Network) -> bool {
        self.get(network).is_some_and(|s| !s.suspect)
    }

    /// Counts accepted calls from a network. Returns true where the book was full and forgot another for it.
    pub fn learn(&mut self, new: Seen, cap: usize) -> bool {
        if let Some(seen) = self.seen.iter_mut().find(|s| s.network == new.network) {
            seen.first_at = seen.first_at.min(new.first_at);
            seen.last_at = seen.last_at.max(new.last_at);
            seen.calls = seen.calls.saturating_add(new.calls);
            // A network that moves to another owner keeps the place that it was learned with, as long as it is known.
            seen.place.country = seen.place.country.or(new.place.country);
            seen.place.asn = seen.place.asn.or(new.place.asn);
            return false;
        }
        let full = self.seen.len() >= cap;
        if full && let Some(oldest) = (0..self.seen.len()).min_by_key(|&i| (self.seen[i].last_at, self.seen[i].network))
        {
            self.seen.remove(oldest);
        }
        reserve_little(&mut self.seen);
        self.seen.push(new);
        full
    }

    /// Trusts a network from now on.
    pub fn clear(&mut self, network: Network) {
        if let Some(seen) = self.seen.iter_mut().find(|s| s.network == network) {
            seen.suspect = false;
        }
    }

    /// The country that all trusted networks are in; none where they are in several, or one of them is not known.
    pub fn only_country(&self) -> Option<Country> {
        let mut trusted = self.seen.iter().filter(|seen| !seen.suspect).map(|seen| seen.place.country);
        let first = trusted.next()??;
        trusted.all(|country| country == Some(first)).then_some(first)
    }

    fn familiar<T: PartialEq>(&self, of: Option<T>, read: impl Fn(&Seen) -> Option<T>) -> Familiar {
        let Some(of) = of else { return Familiar::Unknown };
        let trusted = self.seen.iter().filter(|seen| !seen.suspect);
        let (mut known, mut is_known_of_all) = (0, true);
        for seen in trusted {
            match read(seen) {
                Some(place) => known += usize::from(place == of),
                None => is_known_of_all = false,
            }
        }
        match (known, is_known_of_all) {
            (0, true) => Familiar::New,
            (0, false) => Familiar::Unknown,
            (n, _) => Familiar::Known(n),
        }
    }

    /// How a provider compares with those of the trusted networks.
    pub fn provider(&self, asn: Option<u32>) -> Familiar {
        self.familiar(asn.and_then(NonZeroU32::new), |seen| seen.place.asn)
    }

    /// How a country compares with those of the trusted networks.
    pub fn country(&self, country: Option<Country>) -> Familiar {
        self.familiar(country, |seen| seen.place.country)
    }

    /// Whether all trusted networks belong to one or two providers, and they are many: whatever network comes next, it is theirs.
    pub fn wanders_within_providers(&self) -> bool {
        let (mut asns, mut networks): (Vec<NonZeroU32>, usize) = (Vec::new(), 0);
        for seen in self.seen.iter().filter(|seen| !seen.suspect) {
            networks += 1;
            match seen.place.asn {
                None => return false,
                Some(asn) if asns.contains(&asn) => {}
                Some(_) if PROVIDERS_OF_A_HOME <= asns.len() => return false,
                Some(asn) => asns.push(asn),
            }
        }
        0 < networks && NETWORKS_OF_PROVIDERS * asns.len() <= networks
    }

    /// The trusted network that is most like another one, with what they share; of those alike the most used.
    pub fn nearest(&self, network: Network, place: Whereabouts) -> Option<(&Seen, Shares)> {
        let shares = |seen: &Seen| {
            if place.asn.is_some() && seen.place.asn == place.asn {
                Some(Shares::Provider)
            } else if network.is_beside(seen.network) {
                Some(Shares::Neighbourhood)
            } else {
                (place.country.is_some() && seen.place.country == place.country).then_some(Shares::Country)
            }
        };
        let trusted = self.seen.iter().filter(|seen| !seen.suspect && seen.network != network);
        trusted
            .filter_map(|seen| Some((seen, shares(seen)?)))
            .min_by_key(|(seen, shares)| (*shares, std::cmp::Reverse(seen.calls), seen.network))
    }

    /// Whether several trusted networks lie around another one, or more in the wider range around it.
    pub fn is_near(&self, network: Network) -> bool {
        let trusted = || self.seen.iter().filter(|seen| !seen.suspect && seen.network != network);
        NEIGHBOURS <= trusted().filter(|seen| network.is_beside(seen.network)).count()
            || OF_A_POOL <= trusted().filter(|seen| network.is_in_range_of(seen.network)).count()
    }

    /// Whether a network is of a provider whose networks are trusted, as far as that can be told: by databases, else by what is
    /// around it.
    pub fn is_akin(&self, network: Network, asn: Option<u32>) -> bool {
        match asn {
            Some(_) => matches!(self.provider(asn), Familiar::Known(_)),
            None => self.is_near(network),
        }
    }

    /// Days since `since` on which networks were seen for the first time, but for `network`'s.
    pub fn days_with_new_ones(&self, since: Millis, network: Network) -> usize {
        let new = self.seen.iter().filter(|seen| since < seen.first_at && seen.network != network);
        let mut days: Vec<i64> = new.map(|seen| seen.first_at.div_euclid(DAY)).collect();
        days.sort_unstable();
        days.dedup();
        days.len()
    }

    /// Whether a trusted network was used at `at` or later.
    pub fn home_was_used_since(&self, at: Millis) -> bool {
        self.seen.iter().any(|seen| !seen.suspect && at <= seen.last_at)
    }

    /// Networks that are not trusted yet and were first seen after `since`.
    pub fn suspects_since(&self, since: Millis) -> usize {
        self.seen.iter().filter(|seen| seen.suspect && since < seen.first_at).count()
    }

    /// Networks first seen after `since`.
    pub fn new_since(&self, since: Millis) -> usize {
        self.seen.iter().filter(|s| s.first_at > since).count()
    }

    /// The chance that the next call comes from a network not seen before: the share of calls from networks that were
    /// seen exactly once (Good, "The population frequencies of species", Biometrika 40, 1953, eq. 9).
    pub fn novelty(&self) -> f64 {
        let total: u64 = self.seen.iter().map(|s| s.calls).sum();
        let once = self.seen.iter().filter(|s| s.calls == 1).count();
        if total == 0 { 1.0 } else { once as f64 / total as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_its_network() {
        for (address, want) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            let network = Network::of(address.parse().unwrap());
            assert_eq!(network.to_string(), want);
            assert_eq!(Network::from_bits(network.to_bits()), network);
        }
    }

    #[test]
    fn a_place_is_new_only_where_every_other_is_known() {
        let place = |n: u32, asn: Option<u32>, suspect: bool| Seen {
            place: Whereabouts { country: None, asn: asn.and_then(NonZeroU32::new) },
            suspect,
            ..Seen::once(Network::of(IpAddr::V4((n << 8).into())), 0, 1)
        };
        for (seen, want) in [
            (vec![], Familiar::New),
            (vec![place(1, Some(7), false), place(2, Some(7), false)], Familiar::Known(2)),
            (vec![place(1, Some(7), true)], Familiar::New),
            (vec![place(1, Some(8), false)], Familiar::New),
            (vec![place(1, Some(8), false), place(2, None, false)], Familiar::Unknown),
            (vec![place(1, Some(7), false), place(2, None, false)], Familiar::Known(1)),
        ] {
            let book = NetworkBook::from_entries(seen.clone());
            assert_eq!(book.provider(Some(7)), want, "{seen:?}");
            assert_eq!(book.provider(None), Familiar::Unknown);
        }
    }

    #[test]
    fn the_nearest_network_shares_the_most() {
        let whereabouts =
            |country: &str, asn: u32| Whereabouts { country: Country::new(country), asn: NonZeroU32::new(asn) };
        let at = |address: &str, place: Whereabouts, calls: u64| Seen {
            place,
            ..Seen::once(Network::of(address.parse().unwrap()), 0, calls)
        };
        let book = NetworkBook::from_entries(vec![
            at("192.0.2.1", whereabouts("DE", 1), 900),
            at("198.51.7.1", whereabouts("FR", 2), 5),
            at("203.0.113.1", whereabouts("FR", 3), 70),
            Seen { suspect: true, ..at("203.0.114.1", whereabouts("DE", 1), 5_000) },
            at("2001:db8:1::1", whereabouts("NL", 4), 1),
        ]);
        for (address, country, asn, want) in [
            ("100.64.0.1", "DE", 1, Some(("192.0.2.0/24", Shares::Provider))),
            ("198.51.100.9", "US", 9, Some(("198.51.7.0/24", Shares::Neighbourhood))),
            ("100.64.0.1", "FR", 9, Some(("203.0.113.0/24", Shares::Country))),
            ("2001:db8:ffff::1", "US", 9, Some(("2001:db8:1::/48", Shares::Neighbourhood))),
            ("100.64.0.1", "US", 9, None),
            ("100.64.0.1", "", 0, None),
        ] {
            let network = Network::of(address.parse().unwrap());
            let nearest = book.nearest(network, whereabouts(country, asn));
            let nearest = nearest.map(|(seen, shares)| (seen.network.to_string(), shares));
            assert_eq!(nearest, want.map(|(network, shares)| (network.to_owned(), shares)), "{address} {country}");
        }
    }

    #[test]
    fn a_full_book_forgets_what_was_unused_for_longest() {
        let net = |n: u32| Network::of(IpAddr::V4((n << 8).into()));
        let seen = |n: u32, at: Millis| Seen::once(net(n), at, 1);
        let mut book = NetworkBook::default();
        for n in 0..4 {
            assert!(!book.learn(seen(n, i64::from(n)), 4));
        }
        book.learn(seen(0, 100), 4);
        assert!(book.learn(seen(9, 101), 4));
        assert!(book.get(net(1)).is_none(), "net 1 was unused for longest");
        assert!(book.get(net(0)).is_some());
        assert_eq!(book.entries().len(), 4);
    }
}
