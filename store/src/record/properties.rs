//! The properties of a message: `name 0x01 value 0x02` repeated, the last `0x02` optional.
//!
//! Reading is tolerant, as clients are: a pair without separator, name or value, or that is not UTF-8, is not
//! there. Where a name stands twice, the last one counts.

use memchr::{memchr, memrchr_iter};

/// Stands between name and value.
pub const NAME_END: u8 = 0x01;
/// Stands after each value.
pub const VALUE_END: u8 = 0x02;

/// Words by which the message can be queried, separated by blanks.
pub const KEYS: &str = "KEYS";
/// The tag.
pub const TAGS: &str = "TAGS";
/// Whether the producer waits until the message is stored.
pub const WAIT: &str = "WAIT";
/// Delay level, 1 to 18.
pub const DELAY: &str = "DELAY";
/// The producer's unique id of the message.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// Original topic of a retry or dead letter.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Offset message id of the first delivery.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Failed deliveries, as a client's resend carries them.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Limit of failed deliveries, as a client's resend carries it.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// Topic to which a delayed or half message will go.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// Queue to which a delayed or half message will go.
pub const REAL_QID: &str = "REAL_QID";
/// `true` on a half message.
pub const TRAN_MSG: &str = "TRAN_MSG";
/// Producer group of a half message.
pub const PGROUP: &str = "PGROUP";
/// The producer's id of a transaction.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// Checks of a half message so far.
pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// Seconds before a half message is first checked.
pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// Due time of a timer, ms since 1970.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// Delay of a timer in seconds.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Delay of a timer in ms.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Due time of a timer as the reference broker keeps it.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// Unique key of the timer that this message deletes.
pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
/// Region, set by the broker.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether tracing is on, set by the broker.
pub const TRACE_ON: &str = "TRACE_ON";
/// Cluster, set by the broker.
pub const CLUSTER: &str = "CLUSTER";
/// Namespace of the producer.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
/// Messages in an inner batch.
pub const INNER_NUM: &str = "INNER_NUM";
/// First queue offset of an inner batch.
pub const INNER_BASE: &str = "INNER_BASE";
/// Handle of a popped message.
pub const POP_CK: &str = "POP_CK";
/// First time that a message was popped.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Order group of a message.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Original topic of a dead letter.
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Original offset message id of a dead letter.
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// What the name of a property starts with that is not to be stored.
pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";

/// The pairs in order.
pub fn pairs(raw: &[u8]) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    raw_pairs(raw).filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?)))
}

/// The value of a property; of the last one where the name stands twice.
pub fn get<'a>(raw: &'a [u8], name: &str) -> Option<&'a str> {
    let first = *name.as_bytes().first()?;
    let begins = |at: &usize| *at == 0 || raw[*at - 1] == VALUE_END;
    // Few bytes are the first of the name, so this is sooner than a look at each pair.
    memrchr_iter(first, raw).filter(begins).find_map(|at| {
        let value = raw[at..].strip_prefix(name.as_bytes())?.strip_prefix(&[NAME_END])?;
        let value = &value[..memchr(VALUE_END, value).unwrap_or(value.len())];
        str::from_utf8(value).ok().filter(|value| !value.is_empty())
    })
}

/// The words of [`KEYS`].
pub fn keys(raw: &[u8]) -> impl Iterator<Item = &str> {
    get(raw, KEYS).unwrap_or_default().split(' ').filter(|word| !word.is_empty())
}

/// Appends one pair as it is: for names and values that were read, so that no separator can be misplaced.
pub fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    put_bytes(out, name.as_bytes(), value.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.push(NAME_END);
    out.extend_from_slice(value);
    out.push(VALUE_END);
}

/// Builds properties from pairs. A pair with an empty name or value is left out; so are separators within.
pub fn build<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        push(&mut out, name, value);
    }
    out
}

/// The properties with some set and some removed.
///
/// What is set goes to the end, in the order given, and replaces every pair of its name; an empty value
/// removes. A separator within a name or value that is set is left out. All other pairs keep their order and
/// bytes; malformed ones are dropped.
///
/// # Cost
///
/// One allocation, one pass; meant for before the append.
pub fn edit(raw: &[u8], set: &[(&str, &str)], remove: &[&str]) -> Vec<u8> {
    let added: usize = set.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut out = Vec::with_capacity(raw.len() + 1 + added);
    for (name, value) in raw_pairs(raw) {
        let is = |other: &str| other.as_bytes() == name;
        if set.iter().any(|(other, _)| is(other)) || remove.iter().any(|other| is(other)) {
            continue;
        }
        put_bytes(&mut out, name, value);
    }
    for (name, value) in set {
        push(&mut out, name, value);
    }
    out
}

fn raw_pairs(raw: &[u8]) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
    raw.split(|byte| *byte == VALUE_END).filter_map(|pair| {
        let (name, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == NAME_END)?)?;
        let value = value.get(1..)?;
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

fn push(out: &mut Vec<u8>, name: &str, value: &str) {
    let text = |part: &str| part.bytes().any(|byte| byte != NAME_END && byte != VALUE_END);
    if !text(name) || !text(value) {
        return;
    }
    let keep = |byte: &u8| *byte != NAME_END && *byte != VALUE_END;
    out.extend(name.bytes().filter(keep));
    out.push(NAME_END);
    out.extend(value.bytes().filter(keep));
    out.push(VALUE_END);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_is_malformed() {
        let raw =
            b"a\x011\x02\x02novalue\x01\x02noseparator\x02\x01noname\x02bad\x01\xFF\x02b\x012\x013\x02a\x014";
        assert_eq!(pairs(raw).collect::<Vec<_>>(), [("a", "1"), ("b", "2\x013"), ("a", "4")]);
        assert_eq!(get(raw, "a"), Some("4"));
        assert_eq!(get(raw, "novalue"), None);
        assert_eq!(get(raw, "bad"), None);
        assert_eq!(pairs(b"").count(), 0);
    }

    #[test]
    fn keys_are_split_at_blanks() {
        assert_eq!(keys(b"KEYS\x01 k1  k2 \x02").collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(keys(b"").count(), 0);
    }

    #[test]
    fn what_is_read_can_be_put_again() {
        let raw = b"a\x011\x02b\x012\x013\x02broken\x02c\x014";
        let mut out = Vec::new();
        pairs(raw).filter(|(name, _)| *name != "a").for_each(|(name, value)| put(&mut out, name, value));
        assert_eq!(out, b"b\x012\x013\x02c\x014\x02");
    }

    #[test]
    fn edits() {
        let raw = b"a\x011\x02b\x012\x02a\x013\x02c\x014";
        assert_eq!(edit(raw, &[], &[]), b"a\x011\x02b\x012\x02a\x013\x02c\x014\x02");
        assert_eq!(edit(raw, &[("a", "x"), ("d", "y")], &["c"]), b"b\x012\x02a\x01x\x02d\x01y\x02");
        assert_eq!(edit(raw, &[("b", "")], &[]), b"a\x011\x02a\x013\x02c\x014\x02");
        assert_eq!(edit(b"", &[("a", "x\x02y\x01z")], &[]), b"a\x01xyz\x02");
    }

    proptest! {
        #[test]
        fn the_last_pair_of_a_name_is_got(raw in "((K|KE|EK)?\u{1}?[KEé]{0,2}(K\u{1})?\u{2}?){0,8}", name in "[KE]{1,2}") {
            let last = pairs(raw.as_bytes()).rev().find(|(found, _)| *found == name);
            prop_assert_eq!(get(raw.as_bytes(), &name), last.map(|(_, value)| value));
        }

        #[test]
        fn build_round_trip(sent in prop::collection::vec(("[a-zé_]{1,6}", "[ -~é]{1,12}"), 0..10)) {
            let raw = build(sent.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(&edit(&raw, &[], &[]), &raw);
            prop_assert!(pairs(&raw).eq(sent.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
        }

        #[test]
        fn edit_then_get(raw in prop::collection::vec(0_u8..4, 0..40), value in "[a-z]{1,4}") {
            let edited = edit(&raw, &[("\x03", &value)], &["\0"]);
            prop_assert_eq!(get(&edited, "\x03"), Some(value.as_str()));
            prop_assert_eq!(get(&edited, "\0"), None);
            prop_assert_eq!(get(&edited, "\0\0"), get(&raw, "\0\0"));
        }
    }
}
