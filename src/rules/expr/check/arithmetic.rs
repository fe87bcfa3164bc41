//! Sums, products and signs: of numbers, of times and durations.

use super::super::schema::Type;
use super::super::syntax::{Operation, Span, Syntax};
use super::super::tree::{Double, Int, Text};
use super::{Checker, Value};

impl Checker<'_> {
    pub(super) fn negate(&mut self, of: &Syntax) -> Value {
        match self.check(of) {
            Value::Broken => Value::Broken,
            Value::Int(value, ty @ (Type::Int | Type::Duration)) => {
                Value::Int(Int::Negate(Box::new(value)).folded(), ty)
            }
            Value::Double(value) => Value::Double(Double::Negate(Box::new(value)).folded()),
            other => {
                let message = format!("`-` needs a number, {} is {}", self.quote(&of.at), other.noun());
                self.wrong(&of.at, message)
            }
        }
    }

    pub(super) fn reckon(&mut self, op: Operation, a: (Value, &Span), b: (Value, &Span), at: &Span) -> Value {
        use Operation::{Add, Subtract};
        use Type::{Duration, Int as Whole, Time};
        let ((a, a_at), (b, b_at)) = (a, b);
        match (a, b) {
            (Value::Broken, _) | (_, Value::Broken) => Value::Broken,
            (Value::Int(a, ta), Value::Int(b, tb)) => {
                let ty = match (ta, op, tb) {
                    (Whole, _, Whole) => Whole,
                    (Time, Subtract, Time) => Duration,
                    (Time, Add | Subtract, Duration) | (Duration, Add, Time) => Time,
                    (Duration, Add | Subtract, Duration) => Duration,
                    _ => return self.cannot(op, (ta.noun(), a_at), (tb.noun(), b_at), at),
                };
                self.whole(op, a, b, ty, at)
            }
            (Value::Double(a), Value::Double(b)) => self.fractions(op, a, b, at),
            (Value::Double(a), Value::Int(b, Whole)) => self.fractions(op, a, of_whole(b), at),
            (Value::Int(a, Whole), Value::Double(b)) => self.fractions(op, of_whole(a), b, at),
            (Value::Text(Text::Const(Some(a))), Value::Text(Text::Const(Some(b)))) if op == Add => {
                Value::Text(Text::Const(Some(format!("{a}{b}").into())))
            }
            (Value::Text(_), Value::Text(_)) if op == Add => {
                self.wrong(at, "texts can be joined only where both are written out")
            }
            (a, b) => self.cannot(op, (a.noun(), a_at), (b.noun(), b_at), at),
        }
    }

    fn whole(&mut self, op: Operation, a: Int, b: Int, ty: Type, at: &Span) -> Value {
        let by_zero = matches!(op, Operation::Divide | Operation::Remainder) && b == Int::Const(Some(0));
        let are_known = matches!((&a, &b), (Int::Const(Some(_)), Int::Const(Some(_))));
        let sum = Int::Arithmetic(op, Box::new([a, b]));
        let sum = match ty {
            Type::Time => Int::Time(Box::new(sum)),
            Type::Duration => Int::Duration(Box::new(sum)),
            _ => sum,
        };
        let sum = sum.folded();
        if self.compiler.is_strict && by_zero {
            return self.wrong(at, "divides by zero, so it never has a value");
        }
        if self.compiler.is_strict && are_known && sum == Int::Const(None) {
            let message = match ty {
                Type::Time => "the time lies outside the years 1 to 9999, so it never has a value",
                Type::Duration => "the duration is beyond ten thousand years, so it never has a value",
                _ => "the result does not fit in 64 bits, so it never has a value",
            };
            return self.wrong(at, message);
        }
        Value::Int(sum, ty)
    }

    fn fractions(&mut self, op: Operation, a: Double, b: Double, at: &Span) -> Value {
        if op == Operation::Remainder {
            return self.wrong(at, "`%` needs whole numbers");
        }
        Value::Double(Double::Arithmetic(op, Box::new([a, b])).folded())
    }

    fn cannot(&mut self, op: Operation, a: (&str, &Span), b: (&str, &Span), at: &Span) -> Value {
        let (sign, one, other) = (op.sign(), self.quote(a.1), self.quote(b.1));
        let message = format!("`{sign}` does not go with {one}, {}, and {other}, {}", a.0, b.0);
        let times = [Type::Time.noun(), Type::Duration.noun()];
        if times.contains(&a.0) != times.contains(&b.0) {
            return self.wrong_with_hint(at, message, "a duration is written `duration(\"5m\")`");
        }
        self.wrong(at, message)
    }
}

/// A whole number where one with a fraction is needed.
pub(super) fn of_whole(value: Int) -> Double {
    Double::Of(Box::new(value)).folded()
}
