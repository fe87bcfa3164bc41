//! Writes small databases in MaxMind's format, version 2.0 (<https://maxmind.github.io/MaxMind-DB/>): a binary search
//! tree over address bits, a data section, and metadata.

use std::net::Ipv6Addr;

/// A value of the data section.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `utf8_string`
    Text(String),
    /// `uint32`
    Uint32(u32),
    /// `uint16`
    Uint16(u16),
    /// `boolean`
    Boolean(bool),
    /// `uint64`
    Uint64(u64),
    /// `map`
    Map(Vec<(String, Value)>),
    /// `array`
    Array(Vec<Value>),
}

/// A network and what is known of it. IPv4 networks lie in `::/96`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// First address.
    pub first: Ipv6Addr,
    /// Length of the prefix, of 128 bits.
    pub bits: u8,
    /// What is known.
    pub value: Value,
}

/// A node's side: nothing, another node, or a place in the data section.
#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(u32),
    Data(u32),
}

/// The bytes of a database of this type. Networks must not overlap. `built_at` is in seconds since 1970.
pub fn write(database_type: &str, entries: &[Entry], built_at: u64) -> Vec<u8> {
    let mut nodes = vec![[Side::Nothing; 2]];
    let mut data = Vec::new();
    for entry in entries {
        let at = data.len() as u32;
        encode(&entry.value, &mut data);
        let address = u128::from(entry.first);
        let bit = |n: u8| (address >> (127 - n) & 1) as usize;
        let mut node = 0usize;
        for n in 0..entry.bits.max(1) - 1 {
            node = match nodes[node][bit(n)] {
                Side::Node(next) => next as usize,
                _ => {
                    let next = nodes.len();
                    nodes.push([Side::Nothing; 2]);
                    nodes[node][bit(n)] = Side::Node(next as u32);
                    next
                }
            };
        }
        nodes[node][bit(entry.bits.max(1) - 1)] = Side::Data(at);
    }
    let count = nodes.len() as u32;
    let mut bytes = Vec::with_capacity(nodes.len() * 8 + data.len() + 256);
    for sides in &nodes {
        for side in sides {
            // "Search tree": the number of nodes = not found; above it, 16 bytes of separator and the data.
            let record = match side {
                Side::Nothing => count,
                Side::Node(node) => *node,
                Side::Data(at) => count + 16 + at,
            };
            bytes.extend_from_slice(&record.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let text = |text: &str| Value::Text(text.to_owned());
    let metadata = Value::Map(vec![
        ("binary_format_major_version".into(), Value::Uint16(2)),
        ("binary_format_minor_version".into(), Value::Uint16(0)),
        ("build_epoch".into(), Value::Uint64(built_at)),
        ("database_type".into(), text(database_type)),
        ("description".into(), Value::Map(vec![("en".into(), text("Simulated networks"))])),
        ("ip_version".into(), Value::Uint16(6)),
        ("languages".into(), Value::Array(vec![text("en")])),
        ("node_count".into(), Value::Uint32(count)),
        ("record_size".into(), Value::Uint16(32)),
    ]);
    encode(&metadata, &mut bytes);
    bytes
}

/// "Data field format": a control byte with type and size, then the payload.
fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Uint16(n) => number(5, u64::from(*n), out),
        // Type 14, behind a type byte of its own; the size is the value.
        Value::Boolean(yes) => out.extend([u8::from(*yes), 14 - 7]),
        Value::Uint32(n) => number(6, u64::from(*n), out),
        Value::Uint64(n) => number(9, *n, out),
        Value::Map(fields) => {
            control(7, fields.len(), out);
            for (name, value) in fields {
                encode(&Value::Text(name.clone()), out);
                encode(value, out);
            }
        }
        Value::Array(items) => {
            control(11, items.len(), out);
            items.iter().for_each(|item| encode(item, out));
        }
    }
}

/// Big-endian, without leading zeros.
fn number(kind: u8, n: u64, out: &mut Vec<u8>) {
    let bytes = n.to_be_bytes();
    let skip = (n.leading_zeros() / 8) as usize;
    control(kind, 8 - skip, out);
    out.extend_from_slice(&bytes[skip..]);
}

/// Types above 7 are "extended": a byte of their own after the control byte. Sizes from 29 need further bytes.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (low, more): (u8, Vec<u8>) = match size {
        0..29 => (size as u8, Vec::new()),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, ((size - 285).min(65_535) as u16).to_be_bytes().to_vec()),
    };
    if kind <= 7 {
        out.push(kind << 5 | low);
    } else {
        out.push(low);
        out.push(kind - 7);
    }
    out.extend_from_slice(&more);
}
