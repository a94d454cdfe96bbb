//! Names of topics and groups that mean something to RocketMQ, and which names may be given.

use std::borrow::Cow;

use crate::remoting::{Response, codes::response};

/// Topic that stands for "any topic that does not exist yet".
pub const DEFAULT_TOPIC: &str = "TBW102";
/// Before the group in the name of its retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Before the group in the name of its dead-letter topic.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// Longest name of a topic.
pub const TOPIC_BYTES_MAX: usize = 127;

/// Topics that only the broker writes to.
const RESERVED: [&str; 6] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// Whether clients may not send to a topic of this name.
#[must_use]
pub fn is_reserved(topic: &str) -> bool {
    RESERVED.contains(&topic) || topic == "rmq_sys_wheel_timer"
}

/// Checks that a name can be a topic's.
///
/// # Errors
///
/// The refusal to send: 13 for its length, 1 for its characters.
pub fn check_topic(topic: &str) -> Result<(), Response> {
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
        let text = format!("a topic's name has 1 to {TOPIC_BYTES_MAX} characters, this one {}", topic.len());
        return Err(Response::refuse(response::MESSAGE_ILLEGAL, text));
    }
    if !topic.bytes().all(is_name_byte) {
        let text = format!("the topic {} holds characters outside of [%|a-zA-Z0-9_-]", shown(topic));
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(())
}

/// Checks that a name can be a group's.
#[must_use]
pub fn is_group(group: &str) -> bool {
    let longest = TOPIC_BYTES_MAX - RETRY_PREFIX.len();
    (1..=longest).contains(&group.len()) && group.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-')
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
        assert!(is_group("g") && !is_group("") && !is_group(&"g".repeat(121)));
        assert_eq!(shown("a\u{1b}[2J"), "a\\u{1b}[2J");
    }
}
