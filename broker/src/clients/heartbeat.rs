//! The body of a heartbeat (34), from any client: Java writes enums as names, C++ as numbers.

use serde::{Deserialize, Deserializer};

use crate::loose;

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
    /// If the text is not JSON or has another shape.
    pub fn parse(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
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
const CONSUME_TYPES: [&str; 3] = ["CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"];

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
    fn refuses_nonsense() {
        let deep = "[".repeat(50_000);
        for bad in ["", "7", r#"{"consumerDataSet":7}"#, &deep] {
            assert!(Heartbeat::parse(bad.as_bytes()).is_err());
        }
    }
}
