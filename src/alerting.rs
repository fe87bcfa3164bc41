//! (being written)
pub mod group;
