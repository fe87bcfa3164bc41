//! stub
use std::io::{self, Write};
use crate::time::Millis;
pub struct Plan { pub seed: u64, pub keys: u32, pub days: u32, pub starts_at: Millis, pub incidents: Incidents }
pub enum Incidents { None, Spread, Listed(Vec<Planted>) }
pub struct Planted { pub kind: Kind, pub at: Millis }
#[derive(Clone, Copy)]
pub enum Kind { RevokedKeyUse, NewIp, EnvMismatchTestAtLive, EnvMismatchLiveAtTest, StaleKey, Spike, RotatedKeyUse }
impl Kind { pub fn as_str(self) -> &'static str { "x" } }
pub struct Label { pub kind: Kind, pub also: Vec<Kind>, pub merchant_id: Option<String>, pub key_id: Option<String>, pub starts_at: Millis, pub ends_at: Millis, pub what: String }
pub struct Labels { pub incidents: Vec<Label> }
pub fn simulate(_plan: &Plan, _events: &mut dyn Write, _facts: &mut dyn Write) -> io::Result<Labels> { Ok(Labels { incidents: vec![] }) }
