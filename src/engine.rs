//! The pure core: events, facts and rules in; findings, states and timers out. It has no clock and cannot fail.

pub mod detect;
pub mod params;
