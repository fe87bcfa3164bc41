//! Detectors: what each kind looks at. To add one: a file here, a line in [`SPECS`], a rule, a test.

use crate::alert::Kind;
use crate::engine::params::{ParamSpec, Params};

/// What a compiled rule runs.
pub trait Detector: std::fmt::Debug + Send + Sync {}

/// A detector as rules and the reference see it.
pub struct DetectorSpec {
    /// What it finds.
    pub kind: Kind,
    /// What it does, in one or two sentences, for the reference.
    pub doc: &'static str,
    /// Its parameters.
    pub params: &'static [ParamSpec],
    /// Builds it from complete, checked parameters.
    pub build: fn(&Params) -> Box<dyn Detector>,
}

/// Every detector.
pub const SPECS: &[DetectorSpec] = &[];
