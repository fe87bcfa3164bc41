//! Named lists: what `in lists.office` looks into. Sorted once, looked up in logarithmic time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::schema::Type;

/// The most entries of one list.
pub const ENTRIES_MAX: usize = 100_000;

/// What a named list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Networks and addresses: `203.0.113.0/24`, `2001:db8::1`.
    Cidr,
    /// Numbers of providers: `64500`, `AS64500`.
    Asn,
    /// Texts.
    Text,
    /// Whole numbers.
    Int,
}

impl ListKind {
    /// What a message calls its entries.
    pub fn noun(self) -> &'static str {
        match self {
            ListKind::Cidr => "networks",
            ListKind::Asn => "numbers of providers",
            ListKind::Text => "texts",
            ListKind::Int => "numbers",
        }
    }

    /// Whether values of a type can be looked up in it.
    pub(super) fn holds(self, ty: Type) -> bool {
        match self {
            ListKind::Cidr => ty == Type::Ip,
            ListKind::Asn | ListKind::Int => ty == Type::Int,
            ListKind::Text => ty == Type::Text,
        }
    }
}

/// A compiled list.
#[derive(Clone, Debug)]
pub(super) enum List {
    Nets(Arc<Nets>),
    Ints(ListKind, Arc<[i64]>),
    Texts(Arc<[Box<str>]>),
}

impl List {
    pub(super) fn kind(&self) -> ListKind {
        match self {
            List::Nets(_) => ListKind::Cidr,
            List::Ints(kind, _) => *kind,
            List::Texts(_) => ListKind::Text,
        }
    }
}

/// An entry of a list that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListProblem {
    /// Which entry, from 0.
    pub index: usize,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// A list without entries.
pub(super) fn empty(kind: ListKind) -> List {
    match kind {
        ListKind::Cidr => List::Nets(Arc::new(Nets::new(Vec::new()))),
        ListKind::Asn | ListKind::Int => List::Ints(kind, Arc::from([])),
        ListKind::Text => List::Texts(Arc::from([])),
    }
}

/// Reads the entries of a list; all that are wrong are reported.
pub(super) fn compile(kind: ListKind, entries: &[&str]) -> Result<List, Vec<ListProblem>> {
    if ENTRIES_MAX < entries.len() {
        let message = format!("a list of {} entries, at most {ENTRIES_MAX} are allowed", entries.len());
        return Err(vec![ListProblem { index: ENTRIES_MAX, message, hint: None }]);
    }
    let mut problems = Vec::new();
    let mut note_with = |index: usize, what: &str, hint: Option<String>| {
        problems.push(ListProblem { index, message: what.to_owned(), hint });
    };
    let list = match kind {
        ListKind::Cidr => {
            let mut nets = Vec::with_capacity(entries.len());
            for (index, entry) in entries.iter().enumerate() {
                match parse_cidr(entry.trim()) {
                    Ok(net) => nets.push(net),
                    Err(problem) => {
                        let meant = network_meant(entry.trim()).filter(|_| problem == NetProblem::Bits);
                        note_with(index, problem.words(), meant.map(|net| format!("did you mean `{net}`?")));
                    }
                }
            }
            List::Nets(Arc::new(Nets::new(nets)))
        }
        ListKind::Asn | ListKind::Int => {
            let mut ints = Vec::with_capacity(entries.len());
            for (index, entry) in entries.iter().enumerate() {
                let entry = entry.trim();
                let number = match kind {
                    ListKind::Asn => {
                        let digits = entry.strip_prefix("AS").or_else(|| entry.strip_prefix("as")).unwrap_or(entry);
                        digits.parse::<u32>().ok().map(i64::from)
                    }
                    _ => entry.parse::<i64>().ok(),
                };
                match number {
                    Some(number) => ints.push(number),
                    None if kind == ListKind::Asn => {
                        note_with(index, "expected a provider's number such as `64500`", None)
                    }
                    None => note_with(index, "expected a whole number", None),
                }
            }
            List::Ints(kind, sorted(ints))
        }
        ListKind::Text => List::Texts(sorted(entries.iter().map(|entry| Box::from(*entry)).collect())),
    };
    if problems.is_empty() { Ok(list) } else { Err(problems) }
}

/// A set that can be searched.
pub(super) fn sorted<T: Ord>(mut members: Vec<T>) -> Arc<[T]> {
    members.sort_unstable();
    members.dedup();
    members.into()
}

/// Networks as ranges of addresses, sorted and without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nets {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Nets {
    pub(super) fn new(nets: Vec<Net>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                Net::V4(first, last) => v4.push((first, last)),
                Net::V6(first, last) => v6.push((first, last)),
            }
        }
        Nets { v4: merged(v4), v6: merged(v6) }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => is_within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => is_within(&self.v6, u128::from(address)),
        }
    }
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn is_within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).is_some_and(|before| address <= ranges[before].1)
}

/// First and last address of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    V4(u32, u32),
    V6(u128, u128),
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NetProblem {
    Address,
    /// The byte where the length begins.
    Length(usize),
    /// Bits are set beyond the length.
    Bits,
}

impl NetProblem {
    pub(super) fn words(self) -> &'static str {
        match self {
            NetProblem::Address => "expected a network such as `203.0.113.0/24`, or an address",
            NetProblem::Length(_) => "expected a length of 0 to 32 (IPv4) or 0 to 128 (IPv6) after the `/`",
            NetProblem::Bits => "the address has bits set beyond the network's length",
        }
    }
}

/// Reads `203.0.113.0/24`; an address alone is a network of one.
pub(super) fn parse_cidr(text: &str) -> Result<Net, NetProblem> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| NetProblem::Address)?;
    let wrong = NetProblem::Length(text.find('/').map_or(0, |slash| slash + 1));
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => bits,
        Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse::<u32>().map_err(|_| wrong)?,
        Some(_) => return Err(wrong),
    };
    if bits < length {
        return Err(wrong);
    }
    match address {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(length).unwrap_or(0);
            let first = u32::from(address);
            if first & rest == 0 { Ok(Net::V4(first, first | rest)) } else { Err(NetProblem::Bits) }
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(length).unwrap_or(0);
            let first = u128::from(address);
            if first & rest == 0 { Ok(Net::V6(first, first | rest)) } else { Err(NetProblem::Bits) }
        }
    }
}

/// The network that a text with bits beyond its length lies in.
pub(super) fn network_meant(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(length).unwrap_or(0);
            format!("{}/{length}", Ipv4Addr::from(u32::from(address) & !rest))
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(length).unwrap_or(0);
            format!("{}/{length}", Ipv6Addr::from(u128::from(address) & !rest))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_their_networks() {
        let entries = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "0.0.0.0/32", "2001:db8::/32", "255.255.255.255"];
        let Ok(List::Nets(nets)) = compile(ListKind::Cidr, &entries) else { panic!() };
        for (address, want) in [
            ("10.255.255.255", true),
            ("10.1.2.3", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("255.255.255.255", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::", false),
        ] {
            assert_eq!(nets.contains(address.parse().unwrap()), want, "{address}");
        }
        let everything = Nets::new(vec![parse_cidr("0.0.0.0/0").unwrap(), parse_cidr("::/0").unwrap()]);
        assert!(everything.contains("8.8.8.8".parse().unwrap()) && everything.contains("::1".parse().unwrap()));
    }

    #[test]
    fn every_wrong_entry_is_reported() {
        let problems = compile(ListKind::Cidr, &["10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "office"]).unwrap_err();
        assert_eq!(problems.iter().map(|p| p.index).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(network_meant("10.0.0.1/8").unwrap(), "10.0.0.0/8");
        assert_eq!(compile(ListKind::Asn, &["AS64500", "64501", "ASX", "-1"]).unwrap_err().len(), 2);
        assert_eq!(compile(ListKind::Int, &["-1", "1.5"]).unwrap_err().len(), 1);
    }
}
