//! Names of streams and cells.

use std::fmt;

/// A name of a stream or cell: 1 to 64 of `a-z`, `0-9`, `-`, not starting with `-`.
///
/// Such a name is a safe file name and object key everywhere, and sorts the same on every medium.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks `text` and wraps it; `None` if it is not a name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let ok = (1..=Self::MAX_LEN).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        ok.then(|| Self(text.into()))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
