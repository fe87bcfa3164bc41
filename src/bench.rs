//! `keywatch bench`: how fast and how small the program is on this machine, against its own budget.
//!
//! Every measurement goes through the code that runs in the service. Clocks are read once a batch, and a fixed
//! yardstick is measured in the same run where one makes sense: a noisy machine changes figures, hardly their ratios.

pub mod checkpoint;
pub mod engine;
pub mod ground;
pub mod kafka;
mod lesson;
pub mod machine;
pub mod memory;
pub mod report;
pub mod restart;
pub mod rules;
pub mod traffic;
