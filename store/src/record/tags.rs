//! Tag codes and the filter over them.
//!
//! The code of a tag is Java's `String.hashCode`: `h = 31 * h + unit` over UTF-16 units with 32-bit
//! wraparound, sign-extended to 64 bits; 0 without a tag. Different tags may share a code, so clients compare
//! the text again.

/// The code of a tag, as a consume-queue unit holds it.
pub fn code(tag: &str) -> i64 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = if tag.is_ascii() {
        tag.bytes().fold(0, |hash, byte| step(hash, u16::from(byte)))
    } else {
        tag.encode_utf16().fold(0, step)
    };
    i64::from(hash)
}

/// Which tags a reader wants, by code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    /// Sorted and unique; `None` wants everything.
    codes: Option<Box<[i64]>>,
}

impl TagFilter {
    /// Wants every record, tagged or not.
    pub const fn all() -> Self {
        Self { codes: None }
    }

    /// Reads `a || b || c`; `*` and blank want everything. An expression of separators alone wants nothing.
    pub fn parse(expression: &str) -> Self {
        let blank = |c: char| c <= ' ';
        let expression = expression.trim_matches(blank);
        if expression.is_empty() || expression == "*" {
            return Self::all();
        }
        let tags = expression.split("||").map(|tag| tag.trim_matches(blank)).filter(|tag| !tag.is_empty());
        let mut codes: Vec<i64> = tags.map(code).collect();
        codes.sort_unstable();
        codes.dedup();
        Self { codes: Some(codes.into_boxed_slice()) }
    }

    /// Whether everything is wanted.
    pub const fn is_all(&self) -> bool {
        self.codes.is_none()
    }

    /// Whether a unit with this tag code is wanted.
    pub fn matches(&self, code: i64) -> bool {
        match &self.codes {
            None => true,
            Some(codes) => codes.binary_search(&code).is_ok(),
        }
    }
}

impl Default for TagFilter {
    fn default() -> Self {
        Self::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_java() {
        assert_eq!(code(""), 0);
        assert_eq!(code("a"), 97);
        assert_eq!(code("TagA"), 2_598_919);
        assert_eq!(code("polygenelubricants"), i64::from(i32::MIN));
        assert_eq!(code("é"), 233);
        // Two UTF-16 units: 31 * 0xD83D + 0xDE00.
        assert_eq!(code("\u{1F600}"), 31 * 0xD83D + 0xDE00);
    }

    #[test]
    fn filter_reads_expressions() {
        for all in ["", "*", "  ", " * "] {
            assert!(TagFilter::parse(all).is_all(), "{all:?}");
            assert!(TagFilter::parse(all).matches(0));
        }
        let filter = TagFilter::parse(" TagA||  b || || TagA");
        assert!(filter.matches(code("TagA")) && filter.matches(code("b")));
        assert!(!filter.matches(0) && !filter.matches(code("c")));
        assert!(!TagFilter::parse("||").matches(0));
        assert_eq!(TagFilter::default(), TagFilter::all());
    }
}
