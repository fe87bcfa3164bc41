//! What GeoIP databases would say of the simulated networks.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::simulate::mmdb::{Entry, Value, write};
use crate::simulate::network::{PROVIDERS, Provider, Trade, v4_of, v6_of};

/// 10 September 2026: the same bytes every time.
const BUILT_AT: u64 = 1_788_998_400;

/// A database of the form of GeoLite2-ASN.
pub fn asn_database() -> Vec<u8> {
    write(
        "GeoLite2-ASN",
        &entries(|p| {
            Value::Map(vec![
                ("autonomous_system_number".into(), Value::Uint32(p.asn)),
                ("autonomous_system_organization".into(), Value::Text(p.name.into())),
            ])
        }),
        BUILT_AT,
    )
}

/// A database of the form of GeoLite2-Country. Ways to hide say so.
pub fn country_database() -> Vec<u8> {
    write(
        "GeoLite2-Country",
        &entries(|p| {
            let names = Value::Map(vec![("en".into(), Value::Text(p.country_name.into()))]);
            let country = Value::Map(vec![("iso_code".into(), Value::Text(p.country.into())), ("names".into(), names)]);
            let mut fields = vec![("country".to_owned(), country)];
            if p.trade == Trade::Anonymiser {
                fields.push(("traits".into(), Value::Map(vec![("is_anonymous_proxy".into(), Value::Boolean(true))])));
            }
            Value::Map(fields)
        }),
        BUILT_AT,
    )
}

fn entries(value: impl Fn(&Provider) -> Value) -> Vec<Entry> {
    let of = |(at, provider): (usize, &Provider)| {
        let v4 = Entry { first: in_v6(v4_of(at)), bits: 96 + 18, value: value(provider) };
        [v4, Entry { first: v6_of(at), bits: 42, value: value(provider) }]
    };
    PROVIDERS.iter().enumerate().flat_map(of).collect()
}

fn in_v6(address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(u32::from(address)))
}
