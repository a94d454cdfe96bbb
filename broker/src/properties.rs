//! RocketMQ's property text: `name 0x01 value 0x02`, repeated.
//!
//! Pairs without a separator, without a name or with an empty value count as absent, as clients treat them.

/// Between a name and its value.
const NAME_END: char = '\u{1}';
/// After a value.
const PAIR_END: char = '\u{2}';

/// Names of properties that the broker reads or writes.
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub mod name {
    pub const CLUSTER: &str = "CLUSTER";
    pub const DELAY: &str = "DELAY";
    pub const MSG_REGION: &str = "MSG_REGION";
    pub const POP_CK: &str = "POP_CK";
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    pub const TRACE_ON: &str = "TRACE_ON";
    pub const TRAN_MSG: &str = "TRAN_MSG";
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    pub const WAIT: &str = "WAIT";
}

/// The pairs of a property text.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(PAIR_END)
        .filter_map(|pair| pair.split_once(NAME_END))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

/// The value of one property.
#[must_use]
pub fn get<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    pairs(text).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Appends one pair.
pub fn put(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(NAME_END);
    out.push_str(value);
    out.push(PAIR_END);
}

/// Appends the pairs of `text` whose names are not in `without`, as written and in order.
pub fn copy(out: &mut String, text: &str, without: &[&str]) {
    for (name, value) in pairs(text) {
        if !without.contains(&name) {
            put(out, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_rebuilds() {
        let text = "KEYS\u{1}a b\u{2}POP_CK\u{1}x\u{2}EMPTY\u{1}\u{2}broken\u{2}\u{1}v\u{2}TAGS\u{1}t";
        assert_eq!(pairs(text).count(), 3);
        assert_eq!((get(text, "TAGS"), get(text, "EMPTY")), (Some("t"), None));
        let mut out = String::new();
        copy(&mut out, text, &["POP_CK"]);
        put(&mut out, "CLUSTER", "c");
        assert_eq!(out, "KEYS\u{1}a b\u{2}TAGS\u{1}t\u{2}CLUSTER\u{1}c\u{2}");
    }

    #[test]
    fn a_value_may_hold_the_separator_of_names() {
        assert_eq!(get("A\u{1}x\u{1}y\u{2}", "A"), Some("x\u{1}y"));
    }
}
