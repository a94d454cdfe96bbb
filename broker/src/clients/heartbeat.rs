//! The body of a heartbeat (34), from any client: Java writes enums as names, C++ as numbers.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Error;

use crate::loose;

/// Bytes of a heartbeat: it is kept in parts until its client goes.
pub const BYTES_MAX: usize = 1 << 20;
/// Bytes of a client's id and of each name: all of them are kept once a group.
const NAME_BYTES_MAX: usize = 512;
/// Producer and consumer groups in one heartbeat, and topics that one group wants.
const GROUPS_MAX: usize = 1024;

/// A word of RocketMQ's. Aliased, since serde would have a reference borrow from its input.
pub type Word = &'static str;

/// What a client says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Heartbeat {
    /// The client's id.
    #[serde(rename = "clientID", default, deserialize_with = "loose::text")]
    pub client_id: String,
    /// Producer groups.
    #[serde(rename = "producerDataSet", default, deserialize_with = "loose::list")]
    pub producers: Vec<ProducerData>,
    /// Consumer groups.
    #[serde(rename = "consumerDataSet", default, deserialize_with = "loose::list")]
    pub consumers: Vec<ConsumerData>,
    /// Stands for all that the client wants; 0 from clients that do not know of fingerprints.
    #[serde(rename = "heartbeatFingerprint", default, deserialize_with = "loose::number")]
    pub fingerprint: i64,
    /// Subscriptions are left out, not given up.
    #[serde(rename = "withoutSub", default, deserialize_with = "loose::truth")]
    pub without_subscriptions: bool,
}

impl Heartbeat {
    /// Parses a body.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, has another shape, or holds more than a client has reason to name.
    pub fn parse(body: &[u8]) -> serde_json::Result<Self> {
        if body.len() > BYTES_MAX {
            return Err(Error::custom(format!("it has {} bytes, {BYTES_MAX} are allowed", body.len())));
        }
        let beat: Self = serde_json::from_slice(body)?;
        beat.check().map_err(Error::custom)?;
        Ok(beat)
    }

    fn check(&self) -> Result<(), String> {
        if self.producers.len() + self.consumers.len() > GROUPS_MAX
            || self.consumers.iter().any(|group| group.subscriptions.len() > GROUPS_MAX)
        {
            return Err(format!("it names more than {GROUPS_MAX} groups, or topics of one group"));
        }
        let groups = self.producers.iter().map(|group| &group.group_name);
        let groups = groups.chain(self.consumers.iter().map(|group| &group.group_name));
        let topics = self.consumers.iter().flat_map(|group| &group.subscriptions).map(|wanted| &wanted.topic);
        let mut names = groups.chain(topics).chain([&self.client_id]);
        if names.any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(format!("it holds a name above {NAME_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

/// One producer group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// Its name.
    #[serde(deserialize_with = "loose::text")]
    pub group_name: String,
}

/// One consumer group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Its name.
    #[serde(deserialize_with = "loose::text")]
    pub group_name: String,
    /// How its members get messages, by RocketMQ's name.
    #[serde(deserialize_with = "consume_type")]
    pub consume_type: Word,
    /// Where its members begin without progress, by RocketMQ's name.
    #[serde(rename = "consumeFromWhere", deserialize_with = "from_where")]
    pub from_where: Word,
    /// Each message to one member, or to all.
    #[serde(deserialize_with = "message_model")]
    pub message_model: MessageModel,
    /// What it wants.
    #[serde(rename = "subscriptionDataSet", deserialize_with = "loose::list")]
    pub subscriptions: Vec<SubscriptionData>,
}

/// What a group wants of one topic.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// The topic.
    #[serde(deserialize_with = "loose::text")]
    pub topic: String,
    /// The expression.
    #[serde(deserialize_with = "loose::text")]
    pub sub_string: String,
    /// Version of the subscription: a time.
    #[serde(deserialize_with = "loose::number")]
    pub sub_version: i64,
    /// Language of the expression; absent means tags.
    #[serde(deserialize_with = "loose::text")]
    expression_type: String,
}

impl SubscriptionData {
    /// Language of the expression.
    #[must_use]
    pub fn expression_type(&self) -> ExpressionType {
        ExpressionType::parse(Some(&self.expression_type))
    }
}

/// Language of a subscription's expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpressionType {
    /// Tags joined by `||`.
    Tag,
    /// A condition over properties.
    Sql92,
    /// Anything else, by its name.
    Other(String),
}

impl ExpressionType {
    /// Reads a name; none or an empty one means tags.
    #[must_use]
    pub fn parse(name: Option<&str>) -> Self {
        match name {
            None | Some("" | "TAG") => Self::Tag,
            Some("SQL92") => Self::Sql92,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

/// How a group shares messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageModel {
    /// Every member gets every message.
    Broadcasting,
    /// Each message goes to one member.
    #[default]
    Clustering,
}

fn message_model<'de, D: Deserializer<'de>>(input: D) -> Result<MessageModel, D::Error> {
    let text = loose::text(input)?;
    Ok(if text == "BROADCASTING" || text == "0" {
        MessageModel::Broadcasting
    } else {
        MessageModel::Clustering
    })
}

/// How members of a group get messages, by ordinal.
const CONSUME_TYPES: [&str; 3] = ["CONSUME_ACTIVELY", PUSHED, "CONSUME_POP"];

/// What push consumers say of how they get messages.
pub const PUSHED: &str = "CONSUME_PASSIVELY";

/// Where members of a group begin, by ordinal.
const FROM_WHERE: [&str; 6] = [
    "CONSUME_FROM_LAST_OFFSET",
    "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
    "CONSUME_FROM_MIN_OFFSET",
    "CONSUME_FROM_MAX_OFFSET",
    "CONSUME_FROM_FIRST_OFFSET",
    "CONSUME_FROM_TIMESTAMP",
];

/// The name that a text gives or numbers; the first of all where it does neither.
fn named(text: &str, names: &'static [&'static str]) -> &'static str {
    let numbered = text.parse::<usize>().ok().and_then(|ordinal| names.get(ordinal));
    names.iter().find(|name| **name == text).or(numbered).or(names.first()).copied().unwrap_or_default()
}

fn consume_type<'de, D: Deserializer<'de>>(input: D) -> Result<&'static str, D::Error> {
    Ok(named(&loose::text(input)?, &CONSUME_TYPES))
}

fn from_where<'de, D: Deserializer<'de>>(input: D) -> Result<&'static str, D::Error> {
    Ok(named(&loose::text(input)?, &FROM_WHERE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_java() {
        let text = r#"{"clientID":"192.0.2.2@i17686x3","consumerDataSet":[{"consumeFromWhere":
            "CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G","messageModel":"BROADCASTING",
            "subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"SQL92",
            "subString":"a > 5","subVersion":1795321268607,"tagsSet":["TagA"],"topic":"T"}],"unitMode":false}],
            "heartbeatFingerprint":0,"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}],"withoutSub":false}"#;
        let beat = Heartbeat::parse(text.as_bytes()).unwrap();
        assert_eq!((beat.client_id.as_str(), beat.producers.len()), ("192.0.2.2@i17686x3", 1));
        let consumer = &beat.consumers[0];
        assert_eq!(consumer.message_model, MessageModel::Broadcasting);
        assert_eq!(
            (consumer.consume_type, consumer.from_where),
            ("CONSUME_PASSIVELY", "CONSUME_FROM_LAST_OFFSET")
        );
        assert_eq!(consumer.subscriptions[0].expression_type(), ExpressionType::Sql92);
    }

    #[test]
    fn reads_cpp() {
        let text = "{\"clientID\":\"c\",\"consumerDataSet\":[{\"consumeFromWhere\":0,\"consumeType\":1,\
            \"groupName\":\"G\",\"messageModel\":1,\"subscriptionDataSet\":[{\"codeSet\":[\"0\"],\"subString\":\"A\",\
            \"subVersion\":\"1795321268607\",\"tagsSet\":[\"A\"],\"topic\":\"T\"}],\"unitMode\":false}],\
            \"producerDataSet\":null}\n";
        let beat = Heartbeat::parse(text.as_bytes()).unwrap();
        let consumer = &beat.consumers[0];
        assert_eq!(consumer.message_model, MessageModel::Clustering);
        assert_eq!(consumer.subscriptions[0].sub_version, 1_795_321_268_607);
        assert_eq!(consumer.subscriptions[0].expression_type(), ExpressionType::Tag);
        assert!(beat.producers.is_empty());
    }

    #[test]
    fn refuses_more_than_a_client_has_reason_to_name() {
        let parsed = |client: usize, groups: usize, topics: usize| {
            let (client, group) = ("c".repeat(client), r#"{"groupName":"P"}"#);
            let topic = r#"{"topic":"T","subString":"*"}"#;
            let text = format!(
                r#"{{"clientID":"{client}","producerDataSet":[{}],"consumerDataSet":[{{"groupName":"G",
                "subscriptionDataSet":[{}]}}]}}"#,
                vec![group; groups].join(","),
                vec![topic; topics].join(",")
            );
            Heartbeat::parse(text.as_bytes()).map_err(|error| error.to_string())
        };
        assert!(parsed(512, 1023, 1024).is_ok());
        for (client, groups, topics, why) in
            [(513, 1, 1, "512 bytes"), (1, 1024, 1, "1024 groups"), (1, 1, 1025, "1024 groups")]
        {
            assert!(parsed(client, groups, topics).unwrap_err().contains(why), "{why}");
        }
        assert!(Heartbeat::parse(&[b' '; BYTES_MAX + 1]).unwrap_err().to_string().contains("allowed"));
    }

    #[test]
    fn refuses_nonsense() {
        let deep = "[".repeat(50_000);
        for bad in ["", "7", r#"{"consumerDataSet":7}"#, &deep] {
            assert!(Heartbeat::parse(bad.as_bytes()).is_err());
        }
    }
}
