//! Tag expressions: `*`, or names joined by `||`, selected by the hash that queue entries carry.

/// Java's `String.hashCode`, sign-extended: the tag code of RocketMQ's consume queues.
#[must_use]
pub fn tag_code(tag: &str) -> i64 {
    let hash =
        tag.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    i64::from(hash)
}

/// Which tags a consumer wants; compares codes, so a reader with exact needs compares the text again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagFilter {
    /// Sorted codes; empty means every message.
    codes: Vec<i64>,
}

impl TagFilter {
    /// Selects everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Parses `*`, an empty text, or `a || b`.
    #[must_use]
    pub fn parse(expression: &str) -> Self {
        let text = expression.trim();
        if text.is_empty() || text == "*" {
            return Self::all();
        }
        let mut codes: Vec<i64> =
            text.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(tag_code).collect();
        codes.sort_unstable();
        codes.dedup();
        Self { codes }
    }

    /// Whether a message with this tag code is selected.
    #[must_use]
    pub fn matches(&self, code: i64) -> bool {
        self.codes.is_empty() || self.codes.binary_search(&code).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_java_does() {
        assert_eq!(tag_code("TagA"), 2_598_919);
        assert_eq!(tag_code(""), 0);
        assert_eq!(tag_code("polygenelubricants"), i64::from(i32::MIN));
    }

    #[test]
    fn selects_by_expression() {
        let filter = TagFilter::parse(" TagA || TagB ||");
        assert!(filter.matches(tag_code("TagA")) && filter.matches(tag_code("TagB")));
        assert!(!filter.matches(tag_code("TagC")) && !filter.matches(0));
        assert!(TagFilter::parse("*").matches(0) && TagFilter::parse("").matches(7));
    }
}
