//! What is remembered about normal use, in bounded room and independent of any rule.

pub mod negative_binomial;
pub mod networks;
pub mod rates;
pub mod tally;
