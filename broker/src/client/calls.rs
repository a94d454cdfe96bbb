//! The calls that the tools need, by their codes.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Client, ClientError, Result};
use crate::{
    names,
    remoting::codes::{request as codes, response},
};

/// A pull may be held, and says what it wants.
const PULL_FLAGS: &str = "6";

/// Name service and broker.
#[derive(Debug)]
pub struct Dialed {
    /// The name service.
    pub names: Client,
    /// The broker.
    pub broker: Client,
}

/// A message to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its queue; negative lets the broker choose.
    pub queue: i32,
    /// Its properties, as the protocol writes them.
    pub properties: &'a str,
    /// Its body.
    pub body: &'a [u8],
    /// When it was made, milliseconds since the Unix epoch.
    pub born_ms: i64,
}

/// A message that the broker has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its offset message id.
    pub message_id: String,
    /// Its queue.
    pub queue: u32,
    /// Its offset there; nothing for a message that is delayed.
    pub offset: u64,
    /// How a delayed message can be taken back, as the broker wrote it.
    pub recall_handle: Option<String>,
}

/// A pull.
#[derive(Debug, Clone, Copy)]
pub struct PullRequest<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue: u32,
    /// The first offset.
    pub from: u64,
    /// Messages at most.
    pub most: u32,
    /// How long the broker may wait for messages, milliseconds.
    pub hold_ms: u64,
    /// Which tags: `*` or `a || b`.
    pub tags: &'a str,
}

/// What a pull gave.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Records, one behind the other.
    pub records: Bytes,
    /// Where to go on.
    pub next: u64,
}

impl Dialed {
    /// Asks the name service where its broker is, and connects to it.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`] and [`Client::ask`].
    pub fn dial(name_service: &str) -> Result<Self> {
        let mut names = Client::connect(name_service)?;
        let strict = [("acceptStandardJsonOnly", "true")];
        let cluster = names.ask(codes::GET_BROKER_CLUSTER_INFO, &strict, b"")?.json()?;
        let brokers = cluster["brokerAddrTable"].as_object();
        let address = brokers.and_then(|all| all.values().find_map(|one| one["brokerAddrs"]["0"].as_str()));
        let none = || ClientError::Malformed(format!("the name service at {name_service} knows no broker"));
        let broker = Client::connect(address.ok_or_else(none)?)?;
        Ok(Self { names, broker })
    }

    /// The names of all topics.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn topics(&mut self) -> Result<Vec<String>> {
        let list = self.names.ask(codes::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[], b"")?.json()?;
        let names = list["topicList"].as_array().into_iter().flatten();
        Ok(names.filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    /// A topic's settings as the broker writes them; `None` if there is no such topic.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn topic(&mut self, name: &str) -> Result<Option<Value>> {
        let answer = self.broker.call(codes::GET_TOPIC_CONFIG, &[("topic", name)], b"")?;
        if answer.code == response::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        answer.done()?.json().map(Some)
    }

    /// The oldest offset and the end of each of these queues.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn ranges(&mut self, topic: &str, queues: u32) -> Result<Vec<(u64, u64)>> {
        let mut ranges = Vec::new();
        for queue in 0..queues {
            let queue = queue.to_string();
            let fields = [("topic", topic), ("queueId", &queue)];
            let min = self.broker.ask(codes::GET_MIN_OFFSET, &fields, b"")?.number("offset")?;
            let max = self.broker.ask(codes::GET_MAX_OFFSET, &fields, b"")?.number("offset")?;
            ranges.push((min, max));
        }
        Ok(ranges)
    }

    /// The first offset of a queue stored at `ms` or later.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn offset_by_time(&mut self, topic: &str, queue: u32, ms: i64) -> Result<u64> {
        let (queue, ms) = (queue.to_string(), ms.to_string());
        let fields = [("topic", topic), ("queueId", &queue), ("timestamp", &ms)];
        self.broker.ask(codes::SEARCH_OFFSET_BY_TIMESTAMP, &fields, b"")?.number("offset")
    }

    /// How far a group is in a queue; `None` if it never said.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn progress(&mut self, group: &str, topic: &str, queue: u32) -> Result<Option<u64>> {
        let queue = queue.to_string();
        let fields = [("consumerGroup", group), ("topic", topic), ("queueId", &queue)];
        let answer = self.broker.call(codes::QUERY_CONSUMER_OFFSET, &fields, b"")?;
        if answer.code == response::QUERY_NOT_FOUND {
            return Ok(None);
        }
        answer.done()?.number("offset").map(Some)
    }

    /// Says that a group is so far in a queue.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn commit(&mut self, group: &str, topic: &str, queue: u32, offset: u64) -> Result<()> {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let fields =
            [("consumerGroup", group), ("topic", topic), ("queueId", &queue), ("commitOffset", &offset)];
        self.broker.ask(codes::UPDATE_CONSUMER_OFFSET, &fields, b"").map(drop)
    }

    /// Says that this client consumes a topic for a group; to be repeated every 30 s.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn heartbeat(&mut self, client: &str, group: &str, topic: &str, now_ms: i64) -> Result<()> {
        let body = json!({
            "clientID": client,
            "producerDataSet": [],
            "consumerDataSet": [{
                "groupName": group,
                "consumeType": "CONSUME_ACTIVELY",
                "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
                "unitMode": false,
                "subscriptionDataSet": [{
                    "classFilterMode": false, "codeSet": [], "expressionType": "TAG", "subString": "*",
                    "subVersion": now_ms, "tagsSet": [], "topic": topic,
                }],
            }],
        });
        self.broker.ask(codes::HEART_BEAT, &[], body.to_string().as_bytes()).map(drop)
    }

    /// Asks for JSON by one of our own codes.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn private(&mut self, code: i32, fields: &[(&str, &str)]) -> Result<Value> {
        self.broker.ask(code, fields, b"")?.json()
    }
}

impl Client {
    /// Queues a send; gives its number.
    pub fn queue_send(&mut self, message: &Outgoing<'_>) -> i32 {
        let (queue, born) = (message.queue.to_string(), message.born_ms.to_string());
        let fields = [
            ("a", "mainspring_tools"),
            ("b", message.topic),
            ("c", names::DEFAULT_TOPIC),
            ("d", "4"),
            ("e", &queue),
            ("f", "0"),
            ("g", &born),
            ("h", "0"),
            ("i", message.properties),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        self.queue(codes::SEND_MESSAGE_V2, &fields, message.body)
    }

    /// Queues a pull; gives its number.
    pub fn queue_pull(&mut self, pull: &PullRequest<'_>) -> i32 {
        let (queue, from, most) = (pull.queue.to_string(), pull.from.to_string(), pull.most.to_string());
        let hold = pull.hold_ms.to_string();
        let fields = [
            ("consumerGroup", pull.group),
            ("topic", pull.topic),
            ("queueId", &queue),
            ("queueOffset", &from),
            ("maxMsgNums", &most),
            ("sysFlag", PULL_FLAGS),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", &hold),
            ("subscription", pull.tags),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        self.queue(codes::PULL_MESSAGE, &fields, b"")
    }
}

impl Answer {
    /// What a send came to.
    ///
    /// # Errors
    ///
    /// As [`Answer::done`] and [`Answer::number`].
    pub fn sent(self) -> Result<Sent> {
        let answer = self.done()?;
        Ok(Sent {
            queue: answer.number("queueId")?,
            offset: answer.number("queueOffset")?,
            message_id: answer.fields.get("msgId").cloned().unwrap_or_default(),
            recall_handle: answer.fields.get("recallHandle").cloned(),
        })
    }

    /// What a pull gave; nothing but a place to go on where there is no message, or not there.
    ///
    /// # Errors
    ///
    /// As [`Answer::done`] and [`Answer::number`].
    pub fn pulled(self) -> Result<Pulled> {
        let next = self.number("nextBeginOffset");
        match self.code {
            response::SUCCESS => Ok(Pulled { records: self.body, next: next? }),
            response::PULL_NOT_FOUND | response::PULL_RETRY_IMMEDIATELY | response::PULL_OFFSET_MOVED => {
                Ok(Pulled { records: Bytes::new(), next: next? })
            }
            _ => self.done().and_then(|_| Err(ClientError::Malformed(String::from("a pull's answer")))),
        }
    }
}
