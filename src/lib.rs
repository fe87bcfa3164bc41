//! keywatch: watches how merchants' API keys are used at a payment gateway.
//!
//! Read in this order: [`event`] (what comes in), [`engine`] (the pure core), [`pipeline`] (the shell around it),
//! [`store`], [`notify`]. `ARCHITECTURE.md` has the picture and the laws.

pub mod alert;
pub mod alerting;
pub mod app;
pub mod bench;
pub mod brand;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod geoip;
pub mod health;
pub mod http;
pub mod import;
pub mod lab;
pub mod metrics;
pub mod notify;
pub mod pipeline;
pub mod replay;
pub mod rules;
pub mod simulate;
pub mod source;
pub mod status;
pub mod store;
pub mod time;
pub mod wall;
pub mod yaml;
