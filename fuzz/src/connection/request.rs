//! Requests: what a good client sends, and what a hostile one makes of it.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use mainspring_broker::remoting::codes::request::{HEART_BEAT, PULL_MESSAGE, SEND_MESSAGE, SEND_MESSAGE_V2};
use mainspring_broker::remoting::outbox::put_json_text;

/// One request.
#[derive(Debug, Arbitrary)]
pub(crate) struct Request {
    code: Code,
    /// Bits 0 and 1 as on the wire, where one of the upper bits says so.
    flag: u8,
    binary: bool,
    opaque: Option<i32>,
    changes: Vec<Change>,
    body: Body,
}

#[derive(Debug, Arbitrary)]
enum Code {
    Send,
    Pull,
    Heartbeat,
    Known(u8),
    Below500(u16),
    Any(i32),
}

#[derive(Debug, Arbitrary)]
struct Change {
    name: u8,
    value: Option<Value>,
}

/// The value of a field.
#[derive(Debug, Arbitrary)]
enum Value {
    Known(u8),
    Number(i64),
    Small(u8),
    Text(String),
    Long(u16),
    /// A message id that the broker gave, or one like it.
    Id(u8),
    /// A number in JSON, not a string.
    Bare(i64),
}

#[derive(Debug, Arbitrary)]
enum Body {
    Empty,
    Plain(u8),
    Raw(Vec<u8>),
    Long(u16),
    Json(u8, Vec<u8>),
    Deep(u8, u16),
    Batch(Vec<(i8, u8)>),
    Compressed(u8, Vec<u8>),
}

/// Codes that a broker or a name server of RocketMQ serves.
const CODES: [i32; 83] = [
    10, 310, 320, 11, 361, 14, 15, 34, 36, 105, 41, 42, 35, 38, 17, 37, 12, 33, 29, 30, 31, 32, 21, 22, 25,
    26, 28, 39, 40, 43, 45, 46, 50, 101, 102, 103, 104, 106, 200, 201, 202, 203, 204, 205, 206, 207, 208,
    215, 216, 217, 219, 220, 221, 222, 223, 224, 300, 301, 302, 303, 304, 305, 307, 308, 309, 314, 315, 316,
    317, 318, 321, 322, 323, 324, 325, 326, 328, 350, 351, 352, 353, 200_050, 200_051,
];

/// Every field that some request has, with a value that most take.
const FIELDS: [(&str, &str); 58] = [
    ("topic", "T"),
    ("queueId", "0"),
    ("consumerGroup", "G"),
    ("producerGroup", "P"),
    ("group", "G"),
    ("clientID", "c"),
    ("clientId", "c"),
    ("queueOffset", "0"),
    ("maxMsgNums", "32"),
    ("sysFlag", "4"),
    ("commitOffset", "1"),
    ("suspendTimeoutMillis", "1000"),
    ("subscription", "*"),
    ("expressionType", "TAG"),
    ("subVersion", "1"),
    ("maxMsgBytes", "4096"),
    ("offset", "0"),
    ("delayLevel", "1"),
    ("originTopic", "T"),
    ("originMsgId", ""),
    ("maxReconsumeTimes", "2"),
    ("unitMode", "false"),
    ("timestamp", "0"),
    ("boundaryType", "LOWER"),
    ("key", "k"),
    ("maxNum", "32"),
    ("beginTimestamp", "0"),
    ("endTimestamp", "9223372036854775807"),
    ("index", "0"),
    ("count", "10"),
    ("defaultTopic", "TBW102"),
    ("defaultTopicQueueNums", "4"),
    ("readQueueNums", "4"),
    ("writeQueueNums", "4"),
    ("perm", "6"),
    ("order", "false"),
    ("topicFilterType", "SINGLE_TAG"),
    ("topicSysFlag", "0"),
    ("groupName", "G"),
    ("cleanOffset", "true"),
    ("isForce", "true"),
    ("statsName", "TOPIC_PUT_NUMS"),
    ("statsKey", "T"),
    ("bornTimestamp", "1700000000000"),
    ("flag", "0"),
    ("properties", "KEYS\u{1}k\u{2}TAGS\u{1}t\u{2}"),
    ("reconsumeTimes", "0"),
    ("batch", "false"),
    ("a", "P"),
    ("b", "T"),
    ("c", "TBW102"),
    ("d", "4"),
    ("e", "0"),
    ("f", "0"),
    ("g", "1700000000000"),
    ("h", "0"),
    ("i", "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}u\u{2}"),
    ("j", "0"),
];

/// Values that mean something to somebody.
const VALUES: [&str; 40] = [
    "",
    "T",
    "U",
    "G",
    "H",
    "*",
    "A || B",
    "a > 1 AND b IS NOT NULL",
    "SQL92",
    "TAG",
    "%RETRY%G",
    "%DLQ%G",
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRACE_TOPIC",
    "%SYS%",
    "0",
    "1",
    "-1",
    "2",
    "3",
    "4",
    "6",
    "7",
    "8",
    "16",
    "32",
    "1023",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "true",
    "false",
    "NaN",
    "DELAY\u{1}1\u{2}",
    "TIMER_DELAY_MS\u{1}50\u{2}",
    "WAIT\u{1}false\u{2}__STARTDELIVERTIME\u{1}5\u{2}",
    "UNIQ_KEY\u{1}u\u{2}DELAY\u{1}99\u{2}TAGS\u{1}A\u{2}",
];

/// Bodies that some request has.
const BODIES: [&str; 8] = [
    r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G","messageModel":"CLUSTERING","subscriptionDataSet":[{"subString":"*","subVersion":5,"tagsSet":[],"topic":"T"}]}],"producerDataSet":[{"groupName":"P"}]}"#,
    r#"{"clientID":"d","consumerDataSet":[{"groupName":"G","messageModel":0,"subscriptionDataSet":[{"expressionType":"SQL92","subString":"a > 5","subVersion":"6","topic":"T"},{"subString":"A || B","topic":"%RETRY%G"}]}],"producerDataSet":null}"#,
    r#"{"clientId":"c","consumerGroup":"G","mqSet":[{"brokerName":"b","queueId":0,"topic":"T"},{"brokerName":"b","queueId":"1","topic":"T"}]}"#,
    r#"{"topicConfigList":[{"topicName":"U","readQueueNums":4,"writeQueueNums":4,"perm":6}]}"#,
    r#"{"groupName":"H","consumeEnable":true,"retryMaxTimes":3,"retryQueueNums":1,"consumeBroadcastEnable":true}"#,
    r#"{"topicName":"U","readQueueNums":2147483647,"writeQueueNums":-1,"perm":7,"topicFilterType":"MULTI_TAG"}"#,
    r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:5}}"#,
    r#"{"a":"\ud800","b":1e999,"c":[null,true,-0.0],"b":{}}"#,
];

impl Request {
    /// A request as a good client sends it.
    #[cfg(test)]
    pub(crate) fn good(code: i32, body: &[u8]) -> Self {
        let body = Body::Raw(body.to_vec());
        Self { code: Code::Any(code), flag: 0, binary: false, opaque: None, changes: Vec::new(), body }
    }

    /// The frame, its number where the request does not say, and message ids that were seen.
    pub(crate) fn encode(&self, next: i32, ids: &[String]) -> Vec<u8> {
        let code = match self.code {
            Code::Send => SEND_MESSAGE_V2,
            Code::Pull => PULL_MESSAGE,
            Code::Heartbeat => HEART_BEAT,
            Code::Known(n) => CODES[usize::from(n) % CODES.len()],
            Code::Below500(n) => i32::from(n % 500),
            Code::Any(code) => code,
        };
        let mut fields: BTreeMap<&str, (String, bool)> = BTreeMap::new();
        for (name, value) in FIELDS {
            fields.insert(name, (value.to_owned(), false));
        }
        if code == SEND_MESSAGE {
            // In a pull this flag brings the subscription; in a message it begins a transaction.
            fields.insert("sysFlag", ("0".to_owned(), false));
        }
        for change in self.changes.iter().take(8) {
            let (name, _) = FIELDS[usize::from(change.name) % FIELDS.len()];
            match &change.value {
                Some(value) => drop(fields.insert(name, value.text(ids))),
                None => drop(fields.remove(name)),
            }
        }
        let flag = if self.flag >= 0xC0 { i32::from(self.flag & 3) } else { 0 };
        let opaque = self.opaque.unwrap_or(next);
        let header =
            if self.binary { binary(code, opaque, flag, &fields) } else { json(code, opaque, flag, &fields) };
        frame(self.binary, &header, &self.body.bytes())
    }
}

/// A frame with right lengths.
pub(crate) fn frame(binary: bool, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + header.len() + body.len());
    out.extend_from_slice(&((4 + header.len() + body.len()) as u32).to_be_bytes());
    out.extend_from_slice(&(u32::from(binary) << 24 | header.len() as u32).to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    out
}

fn json(code: i32, opaque: i32, flag: i32, fields: &BTreeMap<&str, (String, bool)>) -> Vec<u8> {
    let mut out = BytesMut::new();
    let head = format!(
        "{{\"code\":{code},\"flag\":{flag},\"language\":\"JAVA\",\"opaque\":{opaque},\"version\":479"
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b",\"extFields\":{");
    for (n, (name, (value, bare))) in fields.iter().enumerate() {
        if n > 0 {
            out.extend_from_slice(b",");
        }
        put_json_text(&mut out, name);
        out.extend_from_slice(b":");
        if *bare {
            out.extend_from_slice(value.as_bytes());
        } else {
            put_json_text(&mut out, value);
        }
    }
    out.extend_from_slice(b"}}");
    out.to_vec()
}

fn binary(code: i32, opaque: i32, flag: i32, fields: &BTreeMap<&str, (String, bool)>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(code as i16).to_be_bytes());
    out.extend_from_slice(&[0, 1, 0xDF]);
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&flag.to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes());
    let mut all = Vec::new();
    for (name, (value, _)) in fields {
        all.extend_from_slice(&(name.len() as u16).to_be_bytes());
        all.extend_from_slice(name.as_bytes());
        all.extend_from_slice(&(value.len() as u32).to_be_bytes());
        all.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(&(all.len() as u32).to_be_bytes());
    out.extend_from_slice(&all);
    out
}

impl Value {
    /// The text, and whether it stands in JSON without quotes.
    fn text(&self, ids: &[String]) -> (String, bool) {
        let text = match self {
            Self::Known(n) => VALUES[usize::from(*n) % VALUES.len()].to_owned(),
            Self::Number(n) | Self::Bare(n) => n.to_string(),
            Self::Small(n) => n.to_string(),
            Self::Text(text) => text.clone(),
            Self::Long(n) => "x".repeat(usize::from(*n)),
            Self::Id(n) if ids.is_empty() => format!("7F00000100002A9F{:016X}", u64::from(*n) << 32),
            Self::Id(n) => ids[usize::from(*n) % ids.len()].clone(),
        };
        (text, matches!(self, Self::Bare(_)))
    }
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Plain(n) => vec![*n; usize::from(*n)],
            Self::Raw(bytes) => bytes.clone(),
            Self::Long(n) => vec![7; usize::from(*n)],
            Self::Json(n, changes) => {
                let mut text = BODIES[usize::from(*n) % BODIES.len()].as_bytes().to_vec();
                for pair in changes.chunks_exact(2).take(4) {
                    let at = usize::from(pair[0]) % text.len();
                    text[at] = pair[1];
                }
                text
            }
            Self::Deep(kind, depth) => {
                let open =
                    ["[", "{\"a\":", "{\"consumerDataSet\":[{\"groupName\":", "["][usize::from(kind % 4)];
                open.repeat(usize::from(*depth) % 4_096).into_bytes()
            }
            Self::Batch(parts) => batch(parts),
            Self::Compressed(kind, bytes) => {
                let heads: [&[u8]; 3] = [&[0x78, 0x9C], &[0x28, 0xB5, 0x2F, 0xFD], &[0x04, 0x22, 0x4D, 0x18]];
                [heads[usize::from(kind % 3)], bytes].concat()
            }
        }
    }
}

/// Messages of a batch, each with a length that may be wrong and a body of so many bytes.
fn batch(parts: &[(i8, u8)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (lie, len) in parts.iter().take(40) {
        let lie = if lie.unsigned_abs() > 100 { i32::from(*lie) } else { 0 };
        let total = 22 + i32::from(*len);
        out.extend_from_slice(&(total + lie).to_be_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&i32::from(*len).to_be_bytes());
        out.extend_from_slice(&vec![5; usize::from(*len)]);
        out.extend_from_slice(&[0, 0]);
    }
    out
}
