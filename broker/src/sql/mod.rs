//! The SQL92 filter of RocketMQ: a condition over a message's properties, read once and asked for each message.
//!
//! - `words` cuts the text into words with their positions.
//! - `parser` builds the tree and refuses what can have no meaning, naming the position.
//! - `eval` asks the tree; it allocates nothing.
//!
//! # Meaning
//!
//! Logic has three values. A property that a message does not have is NULL; a comparison with NULL is NULL, and only TRUE
//! selects. Properties are texts. Compared with a number, or by `<`, `<=`, `>`, `>=` and BETWEEN, a text counts as the
//! number that it spells, and as NULL where it spells none. Compared with TRUE or FALSE it counts as TRUE where it spells
//! that. CONTAINS, STARTSWITH, ENDSWITH and their NOT forms are FALSE for NULL and for an empty text to look for, as in
//! RocketMQ.
//!
//! RocketMQ fails on a text that is no number and then leaves the message out whatever stands around; and it compares
//! `NOT a = 1` as `(NOT a) = 1`, which is refused here.

mod eval;
mod parser;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;

/// Bytes of the longest expression.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// How deep parentheses and operators may be nested.
pub const DEPTH_MAX: usize = 64;
/// Different properties that one expression may name.
pub const PROPERTIES_MAX: usize = 64;

/// An expression that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// Names of properties, sorted.
    names: Box<[Box<str>]>,
    root: Node,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// [`SqlError`], naming the position.
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        parser::parse(text)
    }

    /// Whether a message with these properties, as they stand in its record, is selected.
    #[must_use]
    pub fn selects(&self, properties: &[u8]) -> bool {
        eval::selects(&self.names, &self.root, properties)
    }
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Where, in bytes from the start of the text.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

impl SqlError {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}", self.what, self.at)
    }
}

impl std::error::Error for SqlError {}

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// A property, by its number among the names.
    Property(u16),
    Text(Box<str>),
    Whole(i64),
    Decimal(f64),
    Truth(bool),
    Null,
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Compare(Comparison, Box<(Self, Self)>),
    IsNull(Box<Self>),
    /// A property and the texts, sorted.
    In(u16, Box<[Box<str>]>),
    Search {
        how: Search,
        negated: bool,
        within: Box<Self>,
        text: Box<str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    Contains,
    StartsWith,
    EndsWith,
}
