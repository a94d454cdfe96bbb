//! The bodies that Java's administration writes and reads with fastjson, which are no JSON: a map from queues has whole
//! objects as its keys, `{{"brokerName":"b","queueId":0,"topic":"t"}:5}`, and one from numbers bare numbers.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::outbox::put_json_text;

/// A queue in such a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueName<'a> {
    /// Name of the broker set.
    pub broker: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Number of the queue.
    pub queue: u32,
}

/// Writes a queue as an object.
pub fn put_queue(out: &mut BytesMut, name: QueueName<'_>) {
    out.put_slice(b"{\"brokerName\":");
    put_json_text(out, name.broker);
    out.put_slice(format!(",\"queueId\":{},\"topic\":", name.queue).as_bytes());
    put_json_text(out, name.topic);
    out.put_u8(b'}');
}

/// Writes a map from queues to offsets.
pub fn put_offsets<'a>(out: &mut BytesMut, entries: impl IntoIterator<Item = (QueueName<'a>, u64)>) {
    out.put_u8(b'{');
    for (i, (name, offset)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        put_queue(out, name);
        out.put_slice(format!(":{offset}").as_bytes());
    }
    out.put_u8(b'}');
}

/// The text of what the outermost object has under `key`. The text is not looked into further than brackets and strings.
#[must_use]
pub fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let bytes = text.as_bytes();
    let (mut depth, mut last_text, mut start) = (0u32, "", None);
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        match byte {
            b'"' => {
                let end = end_of_text(bytes, i)?;
                if depth == 1 && start.is_none() {
                    last_text = text.get(i + 1..end)?;
                }
                i = end;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return text.get(start?..i).map(str::trim);
                }
            }
            b':' if depth == 1 && start.is_none() && last_text == key => start = Some(i + 1),
            b',' if depth == 1 && start.is_some() => return text.get(start?..i).map(str::trim),
            _ => {}
        }
        i += 1;
    }
    None
}

/// The text with quotes around keys that are bare numbers, so that a parser of JSON takes it.
#[must_use]
pub fn quote_keys(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut out, mut copied, mut i) = (String::new(), 0, 0);
    while let Some(byte) = bytes.get(i) {
        if *byte == b'"' {
            let Some(end) = end_of_text(bytes, i) else { break };
            i = end;
        } else if matches!(byte, b'{' | b',') {
            let start = i + 1;
            let digits = bytes.iter().skip(start).take_while(|b| b.is_ascii_digit() || **b == b'-').count();
            if digits > 0 && bytes.get(start + digits) == Some(&b':') {
                out.extend([&text[copied..start], "\"", &text[start..start + digits], "\""]);
                copied = start + digits;
                i = start + digits;
            }
        }
        i += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Position of the quote that ends the text which begins at `start`.
fn end_of_text(bytes: &[u8], start: usize) -> Option<usize> {
    let mut escaped = false;
    for (i, byte) in bytes.iter().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_keys() {
        let mut out = BytesMut::new();
        let name = |queue| QueueName { broker: "b", topic: "%RETRY%\"", queue };
        put_offsets(&mut out, [(name(0), 5), (name(1), 7)]);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            concat!(
                r#"{{"brokerName":"b","queueId":0,"topic":"%RETRY%\""}:5,"#,
                r#"{"brokerName":"b","queueId":1,"topic":"%RETRY%\""}:7}"#
            )
        );
    }

    #[test]
    fn bare_numbers_become_keys() {
        let bare = r#"{"t":{"b":{"brokerAddrs":{0:"h:1",-1:"{2:é\"",31:[1,2,{3:4}]}}}}"#;
        let quoted = r#"{"t":{"b":{"brokerAddrs":{"0":"h:1","-1":"{2:é\"","31":[1,2,{"3":4}]}}}}"#;
        assert_eq!(quote_keys(bare), quoted);
        for same in [quoted, "", "{", "{1", "[1,2]", r#"{"1:"#, r#"{"a":1,"b":-2}"#] {
            assert!(matches!(quote_keys(same), Cow::Borrowed(text) if text == same), "{same}");
        }
    }

    #[test]
    fn finds_what_stands_under_a_key() {
        let text = r#" {"a":"messageQueueTable","x":{"messageQueueTable":1},"messageQueueTable" : {{"q":"}\""}:5} ,"b":2}"#;
        assert_eq!(value_of(text, "messageQueueTable"), Some(r#"{{"q":"}\""}:5}"#));
        assert_eq!((value_of(text, "b"), value_of(text, "c")), (Some("2"), None));
        for bad in ["", "{", "}", r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, "[]", r#"{"é":"\"#] {
            assert_eq!(value_of(bad, "a"), None, "{bad}");
        }
    }
}
