//! What a condition says, before anyone asks what it means: our own tree, of the part of CEL that we have.

use std::ops::Range;

/// A piece of the text, in bytes.
pub type Span = Range<usize>;

/// A part of a condition and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Syntax {
    /// What it is.
    pub node: Node,
    /// Where it stands.
    pub at: Span,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `true`
    Bool(bool),
    /// `42`
    Int(i64),
    /// `0.5`
    Double(f64),
    /// `"live"`
    Text(String),
    /// `null`
    Null,
    /// `event.path`, or one word.
    Name(Vec<String>),
    /// `[1, 2]`
    List(Vec<Syntax>),
    /// `!x`
    Not(Box<Syntax>),
    /// `-x`
    Negate(Box<Syntax>),
    /// `a && b && c`
    All(Vec<Syntax>),
    /// `a || b || c`
    Any(Vec<Syntax>),
    /// `a ? b : c`
    If(Box<[Syntax; 3]>),
    /// `a == b`
    Compare(Comparison, Box<[Syntax; 2]>),
    /// `a in b`
    In(Box<[Syntax; 2]>),
    /// `a + b`
    Arithmetic(Operation, Box<[Syntax; 2]>),
    /// `f(x)`, or `x.f()`: what stands before the point comes first.
    Call {
        /// The function's name.
        name: String,
        /// Where the name stands.
        name_at: Span,
        /// Whether the first argument stood before the point.
        is_method: bool,
        /// The arguments.
        args: Vec<Syntax>,
    },
    /// Something that has been reported.
    Broken,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// What holds of `b` and `a` where this holds of `a` and `b`.
    pub fn flipped(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }

    /// Whether it asks for more than equality.
    pub fn is_order(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::Unequal)
    }

    /// Whether it holds for values in this order.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Unequal => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// What is reckoned from two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operation {
    /// As it is written.
    pub fn sign(self) -> char {
        match self {
            Operation::Add => '+',
            Operation::Subtract => '-',
            Operation::Multiply => '*',
            Operation::Divide => '/',
            Operation::Remainder => '%',
        }
    }
}
