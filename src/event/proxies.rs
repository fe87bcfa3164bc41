//! The client behind trusted proxies.

use core::net::IpAddr;

/// Hops looked at: a header of any length comes from anybody.
const HOPS_MAX: usize = 32;

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    first: u128,
    bits: u8,
    is_v4: bool,
}

impl Cidr {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Cidr, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| "expected a network such as 10.0.0.0/8 or 2001:db8::/32".to_owned())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or_else(|| format!("expected a prefix of 0 to {width} bits after the `/`"))?,
        };
        let cidr = Cidr { first: number(address), bits, is_v4: address.is_ipv4() };
        let rest = if bits == width { 0 } else { number(address) << (128 - width + bits) >> (128 - width + bits) };
        match rest {
            0 => Ok(cidr),
            rest => {
                let first = number(address) ^ rest;
                let network = match address {
                    IpAddr::V4(_) => IpAddr::V4((first as u32).into()),
                    IpAddr::V6(_) => IpAddr::V6(first.into()),
                };
                Err(format!(
                    "{address} is one address in a network: write `{network}/{bits}`, or `{address}` for it alone"
                ))
            }
        }
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        let width = if self.is_v4 { 32 } else { 128 };
        self.is_v4 == address.is_ipv4()
            && (self.bits == 0 || number(address) >> (width - self.bits) == self.first >> (width - self.bits))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The client's address: `peer`, or where that is a trusted proxy, the last hop of X-Forwarded-For that is none. Each proxy
/// appends who called it, so the list is believed from its end, as far as trusted hops reach. What is no address ends it.
pub fn client(peer: IpAddr, forwarded_for: &str, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|cidr| cidr.contains(address));
    let mut client = peer;
    for hop in forwarded_for.rsplit(',').take(HOPS_MAX) {
        if !is_trusted(client) {
            break;
        }
        match address_of(hop.trim()) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().ok();
    address.or_else(|| hop.parse::<core::net::SocketAddr>().ok().map(|a| a.ip())).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_hop_that_nobody_trusts() {
        let trusted: Vec<Cidr> =
            ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"].map(|c| Cidr::parse(c).unwrap()).to_vec();
        for (peer, header, want) in [
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
            ("203.0.113.9", "6.6.6.6", "203.0.113.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
            ("10.0.0.1", "junk, 10.1.1.1", "10.1.1.1"),
            ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8:1::5", "[2001:db8:9::1]:443", "2001:db8:9::1"),
            ("192.0.2.7", "::ffff:203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "10.0.0.2,10.0.0.3", "10.0.0.2"),
        ] {
            let found = client(peer.parse().unwrap(), header, &trusted);
            assert_eq!(found, want.parse::<IpAddr>().unwrap(), "{peer} {header}");
        }
        let long = vec!["10.1.1.1"; 500].join(",");
        assert_eq!(
            client("10.0.0.1".parse().unwrap(), &format!("203.0.113.9,{long}"), &trusted).to_string(),
            "10.1.1.1"
        );
    }

    #[test]
    fn networks_are_read_or_refused() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::1/128", "::1", "::2"),
        ] {
            let cidr = Cidr::parse(text).unwrap();
            assert!(cidr.contains(inside.parse().unwrap()) && !cidr.contains(outside.parse().unwrap()), "{text}");
        }
        for (text, what) in [
            ("10.0.0.1/8", "write `10.0.0.0/8`"),
            ("2001:db8::1/32", "write `2001:db8::/32`"),
            ("10.0.0.0/33", "0 to 32 bits"),
            ("10.0.0/8", "expected a network"),
            ("proxy", "expected a network"),
        ] {
            assert!(Cidr::parse(text).unwrap_err().contains(what), "{text}: {:?}", Cidr::parse(text));
        }
    }
}
