//! The typed parameters of detectors: each detector describes its own, the rule compiler checks them against a file.

use crate::time::Millis;

/// One parameter of a detector, as the reference and the rule compiler see it.
#[derive(Clone, Copy, Debug)]
pub struct ParamSpec {
    /// The field's name in a rule's `params`.
    pub name: &'static str,
    /// Type, range and default.
    pub ty: ParamType,
    /// What it does, with unit, in one sentence.
    pub doc: &'static str,
}

/// Type, range (both ends included) and default of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum ParamType {
    /// A duration such as `90d`.
    Duration {
        /// Smallest allowed, milliseconds.
        min: Millis,
        /// Largest allowed, milliseconds.
        max: Millis,
        /// Used where the rule says nothing.
        default: Millis,
    },
    /// A whole number.
    Count {
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
        /// Used where the rule says nothing.
        default: u64,
    },
    /// A number.
    Number {
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
        /// Used where the rule says nothing.
        default: f64,
    },
}

/// The value of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamValue {
    /// Milliseconds.
    Duration(Millis),
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
}

impl ParamType {
    /// The default as a value.
    pub fn default_value(self) -> ParamValue {
        match self {
            ParamType::Duration { default, .. } => ParamValue::Duration(default),
            ParamType::Count { default, .. } => ParamValue::Count(default),
            ParamType::Number { default, .. } => ParamValue::Number(default),
        }
    }
}

/// A detector's parameters, complete: what the rule left out has its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Params(Vec<(&'static str, ParamValue)>);

impl Params {
    /// All defaults of `specs`.
    pub fn defaults(specs: &[ParamSpec]) -> Self {
        Params(specs.iter().map(|spec| (spec.name, spec.ty.default_value())).collect())
    }

    /// Replaces one value. The caller has checked name, type and range against the spec.
    pub fn set(&mut self, name: &str, value: ParamValue) {
        let slot = self.0.iter_mut().find(|(n, _)| *n == name);
        assert!(slot.is_some(), "parameter `{name}` is not in the detector's list");
        if let Some((_, old)) = slot {
            *old = value;
        }
    }

    /// Name and value of each, in the detector's order.
    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, ParamValue)> {
        self.0.iter()
    }

    /// A duration in milliseconds.
    pub fn duration(&self, name: &str) -> Millis {
        match self.get(name) {
            ParamValue::Duration(value) => value,
            other => unreachable!("parameter `{name}` is {other:?}, not a duration"),
        }
    }

    /// A whole number.
    pub fn count(&self, name: &str) -> u64 {
        match self.get(name) {
            ParamValue::Count(value) => value,
            other => unreachable!("parameter `{name}` is {other:?}, not a count"),
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            ParamValue::Number(value) => value,
            other => unreachable!("parameter `{name}` is {other:?}, not a number"),
        }
    }

    fn get(&self, name: &str) -> ParamValue {
        match self.0.iter().find(|(n, _)| *n == name) {
            Some((_, value)) => *value,
            None => unreachable!("parameter `{name}` is not in the detector's list"),
        }
    }
}
