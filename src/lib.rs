//! keywatch: watches how merchants' API keys are used at a payment gateway.
//!
//! Read in this order: [`event`] (what comes in), [`engine`] (the pure core), [`pipeline`] (the shell around it),
//! [`store`], [`notify`]. `ARCHITECTURE.md` has the picture and the laws.

pub mod time;
pub mod alert;
pub mod event;
pub mod engine;
pub mod rules;
pub mod yaml;
pub mod config;
pub mod alerting;
pub mod notify;
pub mod store;
pub mod source;
