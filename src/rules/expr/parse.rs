//! Text → [`Syntax`]. Only this file knows the parser's crate.
//!
//! The parser is recursive and knows no bounds, so the text is looked through first: how long it is, how deep it nests.

use cel_core::parser::{ParseOptions, parse_with_options};
use cel_core::{BinaryOp, Expr, SpannedExpr, UnaryOp};

use super::problem::{Found, quoted};
use super::syntax::{Comparison, Node, Operation, Span, Syntax};

/// The longest text, in bytes.
pub const BYTES_MAX: usize = 4096;
/// How deep brackets may nest.
pub const DEPTH_MAX: usize = 32;
/// How many `?` a text may have: each nests within the one before.
const CHOICES_MAX: usize = 32;
/// How many `!` and `-` may follow each other.
const SIGNS_MAX: usize = 8;
/// How many operators of one kind may follow each other without brackets, `&&` and `||` apart.
const CHAIN_MAX: usize = 100;

/// Reads a text. What is wrong goes to `found`; where nothing can be made of it the answer is `None`.
pub(super) fn parse(text: &str, found: &mut Found) -> Option<Syntax> {
    if BYTES_MAX < text.len() {
        let len = text.len();
        found.add(0..0, format!("the condition is {len} bytes long, at most {BYTES_MAX} are allowed"));
        return None;
    }
    if let Err((at, message)) = measure(text) {
        found.add(at, message);
        return None;
    }
    let result = parse_with_options(text, ParseOptions::without_macros());
    for error in &result.errors {
        explain(text, error.span.clone(), &error.message, found);
    }
    if !result.errors.is_empty() {
        return None;
    }
    Some(Reader { text, found, chain: 0 }.read(&result.ast?))
}

/// Whether the parser can be let loose on a text. Texts within the text are skipped as the parser's lexer does: where the
/// two would differ, the lexer refuses the text before anything nests.
fn measure(text: &str) -> Result<(), (Span, String)> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut choices, mut signs) = (0, 0usize, 0, 0);
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => choices += 1,
            b'!' | b'-' => signs += 1,
            b'/' if bytes.get(at) == Some(&b'/') => at += text[at..].find('\n').unwrap_or(text.len() - at),
            b'`' => at += text[at..].find('`').map_or(text.len() - at, |end| end + 1),
            b'"' | b'\'' => at = skip_text(text, start, false),
            c if c.is_ascii_alphabetic() || c == b'_' => {
                let word = text[start..].bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count();
                let prefix = &text[start..start + word];
                let is_prefix = matches!(prefix, "r" | "R" | "b" | "B") || is_raw_bytes(prefix);
                let quote = start + word;
                // `1e5r"` would be a raw text to the lexer, and is none to us.
                let is_after_number = 0 < start && bytes[start - 1].is_ascii_digit();
                if is_after_number && matches!(bytes.get(quote), Some(b'"' | b'\'')) {
                    return Err((quote..quote + 1, "did not expect a text directly after a number".into()));
                }
                at = match bytes.get(quote) {
                    Some(b'"' | b'\'') if is_prefix => skip_text(text, quote, prefix.contains(['r', 'R'])),
                    _ => quote,
                };
            }
            _ => {}
        }
        if !matches!(bytes[start], b'!' | b'-') && !bytes[start].is_ascii_whitespace() {
            signs = 0;
        }
        let one = start..start + 1;
        if DEPTH_MAX < depth {
            return Err((one, format!("brackets nest more than {DEPTH_MAX} deep")));
        }
        if CHOICES_MAX < choices {
            return Err((one, format!("more than {CHOICES_MAX} `?`")));
        }
        if SIGNS_MAX < signs {
            return Err((one, format!("more than {SIGNS_MAX} signs in a row")));
        }
    }
    Ok(())
}

fn is_raw_bytes(prefix: &str) -> bool {
    prefix.len() == 2 && prefix.contains(['r', 'R']) && prefix.contains(['b', 'B'])
}

/// Where the text that begins with the quote at `quote` has ended.
fn skip_text(text: &str, quote: usize, is_raw: bool) -> usize {
    let bytes = text.as_bytes();
    let one = &bytes[quote..=quote];
    let is_triple = bytes[quote..].starts_with(&one.repeat(3));
    let end = if is_triple { one.repeat(3) } else { one.to_vec() };
    let mut at = quote + end.len();
    while at < bytes.len() {
        if bytes[at..].starts_with(&end) {
            return at + end.len();
        }
        at += if bytes[at] == b'\\' && !is_raw { 2 } else { 1 };
    }
    // Not closed, or cut within a character by a `\`: the lexer will say so.
    bytes.len()
}

/// The parser's complaint in our words.
fn explain(text: &str, at: Span, words: &str, found: &mut Found) {
    if text.trim().is_empty() {
        return found.add_with_hint(
            0..text.len(),
            "the condition is empty",
            "for example `event.outcome == \"denied\"`",
        );
    }
    let (start, end) = (at.start.min(text.len()), at.end.min(text.len()).max(at.start.min(text.len())));
    let piece = text.get(start..end).unwrap_or_default();
    let rest = text.get(start..).unwrap_or_default();
    if let Some(word) = words.strip_suffix("' is a reserved word and cannot be used as an identifier") {
        return found.add(start..end, format!("`{}` is a reserved word of CEL", word.trim_start_matches('\'')));
    }
    if rest.trim().is_empty() {
        let missing = words.strip_prefix("expected '").and_then(|rest| rest.split('\'').next());
        let message = match missing {
            Some(missing) => format!("the condition ends too early: `{missing}` is missing"),
            None => "the condition ends too early".into(),
        };
        return found.add(start..start, message);
    }
    let hint = match rest.split_whitespace().next().unwrap_or_default() {
        "and" => Some("and is written `&&`"),
        "or" => Some("or is written `||`"),
        "not" => Some("not is written `!`"),
        word if word.starts_with("=~") => Some("a pattern is written `text.matches(\"…\")`"),
        word if word.starts_with('=') => Some("to compare, write `==`"),
        word if word.starts_with('&') => Some("and is written `&&`"),
        word if word.starts_with('|') => Some("or is written `||`"),
        word if word.starts_with("<>") || word.starts_with('>') => Some("unequal is written `!=`"),
        _ => None,
    };
    let first = rest.chars().next().unwrap_or_default();
    let (at, message) = match first {
        '"' | '\'' if piece.len() <= 3 => {
            let line = rest.split('\n').next().unwrap_or_default().trim_end().len();
            let escape = bad_escape(rest).map(|within| start + within);
            match escape {
                Some(from) => (from..from + 2, "an escape that CEL does not have".into()),
                None => (start..start + line, "the text is not closed".into()),
            }
        }
        '0'..='9' => (start..end.max(start + 1), format!("{} is too large, or no number", quoted(piece))),
        _ => {
            let end = if piece.is_empty() { start + first.len_utf8() } else { end };
            let shown = quoted(&text[start..end]);
            match words.strip_prefix("expected '").and_then(|rest| rest.split('\'').next()) {
                Some(missing) => (start..end, format!("expected `{missing}`, found {shown}")),
                None => (start..end, format!("did not expect {shown} here")),
            }
        }
    };
    let hint = match hint {
        None if message.starts_with("an escape") => {
            Some("write `\\\\` for one `\\`, or a raw text: `r\"\\d+\"`".to_owned())
        }
        hint => hint.map(str::to_owned),
    };
    found.push(at, message, hint);
}

/// Where a text has an escape that there is none of.
fn bad_escape(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote || c == '\n' {
            return None;
        }
        if c == '\\' {
            let (_, escaped) = chars.next()?;
            if !r#"\/"'`abfnrtv?xXuU0123"#.contains(escaped) {
                return escaped.is_ascii().then_some(at);
            }
        }
    }
    None
}

/// Turns the parser's tree into ours, and refuses what we do not have by its name.
struct Reader<'a> {
    text: &'a str,
    found: &'a mut Found,
    /// How many operators the part stands below.
    chain: usize,
}

impl Reader<'_> {
    fn read(&mut self, expr: &SpannedExpr) -> Syntax {
        self.chain += 1;
        let node = if CHAIN_MAX < self.chain {
            self.refuse(&expr.span, format!("more than {CHAIN_MAX} operators nest"), "use brackets, or shorten it")
        } else {
            self.node(expr)
        };
        self.chain -= 1;
        Syntax { node, at: expr.span.clone() }
    }

    fn boxed<const N: usize>(&mut self, exprs: [&SpannedExpr; N]) -> Box<[Syntax; N]> {
        Box::new(exprs.map(|expr| self.read(expr)))
    }

    fn refuse(&mut self, at: &Span, message: impl Into<String>, hint: &str) -> Node {
        self.found.push(at.clone(), message.into(), (!hint.is_empty()).then(|| hint.to_owned()));
        Node::Broken
    }

    fn node(&mut self, expr: &SpannedExpr) -> Node {
        let at = &expr.span;
        match &expr.node {
            Expr::Null => Node::Null,
            Expr::Bool(value) => Node::Bool(*value),
            Expr::Int(value) => Node::Int(*value),
            Expr::Float(value) => Node::Double(*value),
            Expr::String(value) => Node::Text(value.clone()),
            Expr::UInt(_) => self.refuse(at, "unsigned numbers are not supported", "leave out the `u`"),
            Expr::Bytes(_) => self.refuse(at, "bytes are not supported", "write a text, without the `b`"),
            Expr::Ident(name) | Expr::RootIdent(name) => Node::Name(vec![name.clone()]),
            Expr::List(elements) => Node::List(elements.iter().map(|element| self.read(&element.expr)).collect()),
            Expr::Map(_) => self.refuse(at, "maps (`{…}`) are not supported", ""),
            Expr::Struct { .. } => self.refuse(at, "messages (`Name{…}`) are not supported", ""),
            Expr::Unary { op: UnaryOp::Neg, expr } => Node::Negate(Box::new(self.read(expr))),
            Expr::Unary { op: UnaryOp::Not, expr } => Node::Not(Box::new(self.read(expr))),
            Expr::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), .. } => {
                let parts = flatten(expr, *op).into_iter().map(|part| self.read(part)).collect();
                if *op == BinaryOp::And { Node::All(parts) } else { Node::Any(parts) }
            }
            Expr::Binary { op, left, right } => self.binary(*op, left, right),
            Expr::Ternary { cond, then_expr, else_expr } => Node::If(self.boxed([cond, then_expr, else_expr])),
            Expr::Member { expr: of, field, optional } => match self.read(of).node {
                _ if *optional => self.refuse(at, "`.?` is not supported", "`has(…)` tests whether a field is there"),
                Node::Name(mut path) => {
                    path.push(field.clone());
                    Node::Name(path)
                }
                Node::Broken => Node::Broken,
                _ => {
                    let message = format!("{} has no fields", quoted(&self.text[of.span.clone()]));
                    self.refuse(at, message, "a function is called with brackets: `x.size()`")
                }
            },
            Expr::Index { .. } => self.refuse(at, "`[…]` on a value is not supported", "use `in` to look into a list"),
            Expr::Call { expr: callee, args } => self.call(callee, args, at),
            Expr::Comprehension(_) | Expr::MemberTestOnly { .. } | Expr::Bind { .. } | Expr::Error => {
                self.refuse(at, "this is not supported", "")
            }
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &SpannedExpr, right: &SpannedExpr) -> Node {
        let parts = self.boxed([left, right]);
        let compare = |comparison, parts| Node::Compare(comparison, parts);
        let reckon = |operation, parts| Node::Arithmetic(operation, parts);
        match op {
            BinaryOp::Eq => compare(Comparison::Equal, parts),
            BinaryOp::Ne => compare(Comparison::Unequal, parts),
            BinaryOp::Lt => compare(Comparison::Less, parts),
            BinaryOp::Le => compare(Comparison::LessOrEqual, parts),
            BinaryOp::Gt => compare(Comparison::Greater, parts),
            BinaryOp::Ge => compare(Comparison::GreaterOrEqual, parts),
            BinaryOp::In => Node::In(parts),
            BinaryOp::Add => reckon(Operation::Add, parts),
            BinaryOp::Sub => reckon(Operation::Subtract, parts),
            BinaryOp::Mul => reckon(Operation::Multiply, parts),
            BinaryOp::Div => reckon(Operation::Divide, parts),
            BinaryOp::Mod => reckon(Operation::Remainder, parts),
            BinaryOp::And => Node::All(Vec::from(*parts)),
            BinaryOp::Or => Node::Any(Vec::from(*parts)),
        }
    }

    fn call(&mut self, callee: &SpannedExpr, args: &[SpannedExpr], at: &Span) -> Node {
        let mut all: Vec<Syntax> = Vec::with_capacity(args.len() + 1);
        let (name, name_at, is_method) = match &callee.node {
            Expr::Ident(name) | Expr::RootIdent(name) => (name, callee.span.clone(), false),
            Expr::Member { expr, field, .. } => {
                // What would be the name of a loop's variable has no meaning of its own.
                if LOOPS.contains(&field.as_str()) {
                    let message = format!("`{field}` is not supported: a condition has no loops");
                    return self.refuse(&(callee.span.end - field.len()..callee.span.end), message, "use `in`");
                }
                all.push(self.read(expr));
                (field, callee.span.end.saturating_sub(field.len())..callee.span.end, true)
            }
            _ => return self.refuse(at, "only a function can be called", ""),
        };
        all.extend(args.iter().map(|arg| self.read(arg)));
        Node::Call { name: name.clone(), name_at, is_method, args: all }
    }
}

/// Macros of CEL that loop over a list.
const LOOPS: [&str; 8] = ["all", "exists", "exists_one", "existsOne", "map", "filter", "transformList", "transformMap"];

/// The parts of `a && b && c`, which the parser nests to the left.
fn flatten(expr: &SpannedExpr, op: BinaryOp) -> Vec<&SpannedExpr> {
    let (mut parts, mut open) = (Vec::new(), vec![expr]);
    while let Some(expr) = open.pop() {
        match &expr.node {
            Expr::Binary { op: this, left, right } if *this == op => {
                open.push(right);
                open.push(left);
            }
            _ => parts.push(expr),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_nest_too_deep_is_refused_before_the_parser_sees_it() {
        for text in [
            "(".repeat(33),
            "[".repeat(4096),
            "f(".repeat(2000),
            "!".repeat(9),
            "- ".repeat(9),
            format!("{}1", "true ? 1 : ".repeat(33)),
            format!("{}1", "true ? ".repeat(33)),
            format!("r\"\\\"{}", "(".repeat(40)),
            format!("1e5r\"\\\"{}", "(".repeat(40)),
            format!("'\\'{}'{}", ")".repeat(40), "(".repeat(40)),
            format!("\"\"{}", "{".repeat(33)),
            format!("'''a' ) '''{}", "(".repeat(33)),
        ] {
            assert!(measure(&text).is_err(), "{text}");
        }
        for text in ["\"((((((((((((((((((((((((((((((((((((((((((\"", "a - -1 - -1 - -1 - -1 - -1 - -1 - -1 - -1 - -1"]
        {
            assert_eq!(measure(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn long_chains_of_and_do_not_nest() {
        let mut found = Found::default();
        let text = vec!["a"; 800].join(" && ");
        let Some(Syntax { node: Node::All(parts), .. }) = parse(&text, &mut found) else { panic!() };
        assert_eq!(parts.len(), 800);
        assert!(parse(&vec!["1"; 800].join(" + "), &mut found).is_some() && !found.is_empty());
    }
}
