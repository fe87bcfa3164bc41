//! The simulated internet: providers with an ASN, a country and 64 networks each, all in ranges that nobody owns.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::simulate::random::Random;

/// What a provider sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trade {
    /// Servers.
    Hosting,
    /// Lines of shops and offices.
    Access,
    /// Mobile phones.
    Mobile,
    /// Ways to hide.
    Anonymiser,
}

/// One provider. Its networks are /24s of a /18 in 100.64.0.0/10 (RFC 6598), and /48s in 2001:db8::/32 (RFC 3849).
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// Name of the organisation.
    pub name: &'static str,
    /// Autonomous system, from the numbers for documentation (RFC 5398).
    pub asn: u32,
    /// ISO 3166 code.
    pub country: &'static str,
    /// The country's English name.
    pub country_name: &'static str,
    /// What it sells.
    pub trade: Trade,
}

/// Networks of each provider.
pub const NETWORKS: u64 = 64;

const fn provider(
    name: &'static str,
    asn: u32,
    country: &'static str,
    country_name: &'static str,
    trade: Trade,
) -> Provider {
    Provider { name, asn, country, country_name, trade }
}

/// Every provider; the place in the list is its place in the address ranges.
pub const PROVIDERS: &[Provider] = &[
    provider("Northwind Hosting", 64496, "DE", "Germany", Trade::Hosting),
    provider("Rheincloud", 64497, "DE", "Germany", Trade::Hosting),
    provider("Meuse Datacenters", 64498, "NL", "Netherlands", Trade::Hosting),
    provider("Seine Serveurs", 64499, "FR", "France", Trade::Hosting),
    provider("Thames Compute", 64500, "GB", "United Kingdom", Trade::Hosting),
    provider("Vistula Cloud", 64501, "PL", "Poland", Trade::Hosting),
    provider("Hudson Functions", 64502, "US", "United States", Trade::Hosting),
    provider("Columbia Compute", 64503, "US", "United States", Trade::Hosting),
    provider("Elbe Telekom", 64504, "DE", "Germany", Trade::Access),
    provider("Amstel Fiber", 64505, "NL", "Netherlands", Trade::Access),
    provider("Loire Télécom", 64506, "FR", "France", Trade::Access),
    provider("Severn Broadband", 64507, "GB", "United Kingdom", Trade::Access),
    provider("Oder Net", 64508, "PL", "Poland", Trade::Access),
    provider("Ohio Cable", 64509, "US", "United States", Trade::Access),
    provider("Elbe Mobil", 64510, "DE", "Germany", Trade::Mobile),
    provider("Amstel Mobile", 64511, "NL", "Netherlands", Trade::Mobile),
    provider("Severn Mobile", 65536, "GB", "United Kingdom", Trade::Mobile),
    provider("Ohio Wireless", 65537, "US", "United States", Trade::Mobile),
    provider("Cheap Boxes", 65538, "LT", "Lithuania", Trade::Hosting),
    provider("Harbour Servers", 65539, "SG", "Singapore", Trade::Hosting),
    provider("Andes Hosting", 65540, "CL", "Chile", Trade::Hosting),
    provider("Mask VPN", 65541, "PA", "Panama", Trade::Anonymiser),
    provider("Onion Exits", 65542, "SE", "Sweden", Trade::Anonymiser),
    provider("Bosporus Net", 65543, "TR", "Türkiye", Trade::Access),
];

/// The first address of the IPv4 range.
const V4: u32 = u32::from_be_bytes([100, 64, 0, 0]);

/// One network of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Place in [`PROVIDERS`].
    pub provider: u8,
    /// Which of its networks.
    pub network: u8,
    /// IPv6 instead of IPv4.
    pub v6: bool,
}

impl Place {
    /// One of a provider's networks, IPv4.
    pub fn of(provider: usize, random: &mut Random) -> Place {
        Place { provider: provider as u8, network: random.below(NETWORKS) as u8, v6: false }
    }

    /// One of its addresses.
    pub fn address(self, host: u64) -> IpAddr {
        if self.v6 {
            let prefix = [0x2001, 0xdb8, (u16::from(self.provider) << 6) | u16::from(self.network), 0];
            let host = host as u16;
            return IpAddr::V6(Ipv6Addr::new(prefix[0], prefix[1], prefix[2], 0, 0, 0, host, 1));
        }
        let network = V4 | u32::from(self.provider) << 14 | u32::from(self.network) << 8;
        IpAddr::V4(Ipv4Addr::from(network | (1 + (host % 254) as u32)))
    }
}

/// The IPv4 /18 of a provider: its first address.
pub fn v4_of(provider: usize) -> Ipv4Addr {
    Ipv4Addr::from(V4 | (provider as u32) << 14)
}

/// The IPv6 /42 of a provider: its first address.
pub fn v6_of(provider: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, (provider as u16) << 6, 0, 0, 0, 0, 0)
}

/// The providers of a trade, in a country where one is asked for.
pub fn providers(trade: Trade, country: Option<&str>) -> Vec<usize> {
    let fits = |p: &Provider| p.trade == trade && country.is_none_or(|country| p.country == country);
    (0..PROVIDERS.len()).filter(|at| fits(&PROVIDERS[*at])).collect()
}
