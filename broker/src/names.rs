//! Names of topics and groups that mean something to RocketMQ, and which names clients may give.

use std::borrow::Cow;

use mainspring::record::{
    RecordError, check_topic as check_record_topic,
    layout::{DEAD_LETTER_PREFIX, RETRY_PREFIX, TOPIC_BYTES_MAX},
};

use crate::remoting::{Response, codes::response};

/// Topic that stands for "any topic that does not exist yet".
pub const DEFAULT_TOPIC: &str = "TBW102";
/// What follows the cluster's name in the topic of replies.
pub const REPLY_SUFFIX: &str = "_REPLY_TOPIC";
/// Group that tools read as: it leaves no trace.
pub const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// Topic that clients with message traces write to.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Topic that nobody writes to: its attributes are the key-value settings of the name service.
pub(crate) const SETTINGS_TOPIC: &str = "rmq_sys_kv_config";
/// Longest name of a group: its retry topic still has a name that every client reads.
const GROUP_BYTES_MAX: usize = TOPIC_BYTES_MAX - RETRY_PREFIX.len();

/// Topics that only the broker writes to.
const RESERVED: [&str; 8] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "rmq_sys_wheel_timer",
    SETTINGS_TOPIC,
];

/// Whether clients may not send to a topic of this name.
#[must_use]
pub fn is_reserved(topic: &str) -> bool {
    RESERVED.contains(&topic)
}

/// Checks that a name can be a topic's.
///
/// # Errors
///
/// The refusal to send: 13 for its length, 1 for its characters.
pub fn check_topic(topic: &str) -> Result<(), Response> {
    check_record_topic(topic).map_err(|error| match error {
        RecordError::Range { min, max, found, .. } => {
            let text = format!("a topic's name has {min} to {max} characters, this one {found}");
            Response::refuse(response::MESSAGE_ILLEGAL, text)
        }
        _ => {
            let text = format!("the topic {} holds characters outside of [%|a-zA-Z0-9_-]", shown(topic));
            Response::refuse(response::SYSTEM_ERROR, text)
        }
    })
}

/// Checks that a name can be a group's.
#[must_use]
pub fn is_group(group: &str) -> bool {
    group.len() <= GROUP_BYTES_MAX && check_record_topic(group).is_ok()
}

/// The group whose retry topic this is.
#[must_use]
pub fn group_of_retry_topic(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX)
}

/// Whether the topic holds the failed messages of a group: those to be tried again, or those given up on.
#[must_use]
pub fn is_of_failures(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX) || topic.starts_with(DEAD_LETTER_PREFIX)
}

/// A name for an error text: short, and without anything that moves a terminal.
#[must_use]
pub fn shown(name: &str) -> Cow<'_, str> {
    if name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().take(64).flat_map(char::escape_default).collect())
}

/// Name of a group's retry topic.
#[must_use]
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// Name of a group's dead-letter topic.
#[must_use]
pub fn dead_letter_topic(group: &str) -> String {
    format!("{DEAD_LETTER_PREFIX}{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for good in ["T", "%RETRY%ns%g", "a|b-c_d", "RMQ_SYS_TRACE_TOPIC"] {
            assert!(check_topic(good).is_ok() && !is_reserved(good), "{good}");
        }
        assert_eq!(check_topic("").unwrap_err().code, 13);
        assert_eq!(check_topic(&"t".repeat(128)).unwrap_err().code, 13);
        assert_eq!(check_topic("a b").unwrap_err().code, 1);
        assert!(is_reserved("SCHEDULE_TOPIC_XXXX"));
        assert!(is_group("g") && is_group(&"g".repeat(119)));
        assert!(!is_group("") && !is_group(&"g".repeat(121)) && !is_group("a b"));
        assert_eq!(group_of_retry_topic("%RETRY%ns%g"), Some("ns%g"));
        assert_eq!(shown("a\u{1b}[2J"), "a\\u{1b}[2J");
    }
}
