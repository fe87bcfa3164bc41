//! The language of conditions: a subset of CEL (Common Expression Language) over one event and what is known around it.
//!
//! A [`Compiler`] turns a text into a [`Condition`], or into every [`ExprProblem`] it has, with places. A condition is a tree
//! of typed nodes that read fields from a [`Scope`]: no loops, no allocation, nothing that can fail. Its [`Prefilter`] says
//! which events it can be true for at all, its [`Needs`] what must be at hand.
//!
//! # Absent fields
//!
//! Most fields may be absent. CEL calls reading one an error, and lets `false && error` be false and `true || error` be true.
//! We keep exactly that and say "no value" for error, as we do for a division by zero: a comparison with what is absent has no
//! value, and neither has its opposite. At the top, no value is not true. So where CEL has an answer it is ours.
//!
//! # The parser
//!
//! `cel-core` (0.5) parses: a recursive descent of 1,500 lines that gives a tree with the place of every node, can leave macros
//! unexpanded (so that `has` and what we refuse are seen as they were written), and adds `logos` to our dependencies. `cel`
//! (0.15) is the larger project, but its parser is generated for ANTLR: it brings that runtime, keeps places in a table beside
//! the tree, expands macros at once, and its errors know a line and a column but no extent. Neither's checker would do: `cel`
//! has none, `cel-core`'s knows no absent fields, words of a field, or lists, and its messages are not ours. `cel`'s evaluator is
//! what ours is held against (`tests/expr_differential.rs`). The parser is recursive without a bound, so `parse` measures first.

use std::collections::BTreeMap;

mod check;
mod clock;
mod lists;
mod parse;
mod pattern;
mod prefilter;
mod problem;
mod syntax;
mod tree;

pub mod schema;
pub mod scope;

pub use check::{FUNCTIONS, FunctionSpec};
pub use lists::{ENTRIES_MAX, ListKind, ListProblem};
pub use parse::{BYTES_MAX, DEPTH_MAX};
pub use pattern::Pattern;
pub use prefilter::{Prefilter, TextNeed};
pub use problem::ExprProblem;
pub use schema::Needs;
pub use scope::Scope;

/// The most parts of a condition, those of its macros included.
pub const NODES_MAX: usize = 2000;
/// How deep macros may name each other.
pub const MACROS_DEPTH_MAX: usize = 8;

/// Compiles conditions that share named lists and macros.
#[derive(Clone, Debug)]
pub struct Compiler {
    lists: BTreeMap<String, lists::List>,
    macros: BTreeMap<String, String>,
    /// Whether what is always or never true is a problem.
    is_strict: bool,
}

impl Default for Compiler {
    fn default() -> Self {
        Compiler::new()
    }
}

impl Compiler {
    /// Knows the fields, and no lists or macros yet.
    pub fn new() -> Self {
        Compiler { lists: BTreeMap::new(), macros: BTreeMap::new(), is_strict: true }
    }

    /// Accepts what is always or never true, and words that a field never is: for comparisons with other evaluators.
    pub fn lenient(mut self) -> Self {
        self.is_strict = false;
        self
    }

    /// Adds a list that conditions name as `lists.NAME`; one of the same name is replaced.
    pub fn add_list(&mut self, name: &str, kind: ListKind, entries: &[&str]) -> Result<(), Vec<ListProblem>> {
        let (list, wrong) = match lists::compile(kind, entries) {
            Ok(list) => (list, Vec::new()),
            // It stays there without entries: whoever names it has not misspelt it.
            Err(wrong) => (lists::empty(kind), wrong),
        };
        self.lists.insert(name.to_owned(), list);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Adds a macro: a name that stands for an expression. It is checked where it is used, and by [`Compiler::check_macro`].
    pub fn add_macro(&mut self, name: &str, text: &str) {
        self.macros.insert(name.to_owned(), text.to_owned());
    }

    /// What is wrong with a macro, with places in its own text.
    pub fn check_macro(&self, name: &str) -> Vec<ExprProblem> {
        let Some((name, text)) = self.macros.get_key_value(name) else { return Vec::new() };
        match check::Checker::new(self, text).run(Some(name)) {
            Ok(_) => Vec::new(),
            Err(found) => found.into_sorted(text),
        }
    }

    /// Compiles a condition; else everything that is wrong with it, ordered by place.
    pub fn compile(&self, text: &str) -> Result<Condition, Vec<ExprProblem>> {
        match check::Checker::new(self, text).run(None) {
            Ok(checked) => Ok(Condition {
                prefilter: Prefilter::of(&checked.root),
                root: checked.root,
                needs: checked.needs,
                n_nodes: checked.n_nodes,
            }),
            Err(found) => Err(found.into_sorted(text)),
        }
    }
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Condition {
    root: tree::Bool,
    prefilter: Prefilter,
    needs: Needs,
    n_nodes: usize,
}

impl Condition {
    /// Whether it is true of an event. What has no value is not.
    pub fn matches(&self, scope: &Scope<'_>) -> bool {
        self.root.value(scope) == Some(true)
    }

    /// True, false, or without a value because something absent was asked for.
    pub fn value(&self, scope: &Scope<'_>) -> Option<bool> {
        self.root.value(scope)
    }

    /// Which events it may be true for.
    pub fn prefilter(&self) -> &Prefilter {
        &self.prefilter
    }

    /// What must be at hand to ask it.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Parts of the text that it was made from, macros included: what it can cost at most, in units of one step.
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }
}
