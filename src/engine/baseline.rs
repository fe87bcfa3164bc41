//! What is remembered about normal use, in bounded room and independent of any rule.

mod cohorts;
pub mod declines;
pub mod negative_binomial;
pub mod networks;
pub mod profile;
pub mod rates;
pub mod refusals;
pub mod scatter;
pub mod tally;
pub mod values;
