//! From alerts to notices: what is told to whom, and what is not.

pub mod group;
