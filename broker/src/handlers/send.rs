//! Sends: codes 10, 310 and 320, and what replies (324, 325) have in common with them; with names or letters for the same fields.
//!
//! Order of work: fields, checks, the rule for retry topics, the topic (made by a first send), properties, queue,
//! append. Everything up to the append happens in the order of arrival, unless a topic must be made.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use mainspring::{
    Ack, Draft, Once, OnceDraft, PERM_WRITE, Result as StoreResult, Scheduled, Stored, TopicConfig, Wait,
    record::{
        Batch, MessageId,
        layout::{
            COMPRESSED, COMPRESSION_MASK, MULTI_TAGS, PROPERTIES_BYTES_MAX, TRANSACTION_MASK,
            TRANSACTION_PREPARED,
        },
        properties,
    },
};
use tokio::time::sleep_until;

use crate::{
    broker::{Broker, Maker, when_safe},
    clients::peer::Peer,
    handlers::{
        attributes, offsets,
        outgoing::{self, Due, Keys, Prepared, STORE_ONCE, StoreOnce},
        recall, topics,
    },
    names,
    patience::Patience,
    remoting::{
        Handled, Reply, Request, Response, Sent, Value,
        codes::{VERSION_CLIENT_ATTEMPTS_MAX, request as codes, response},
    },
    traffic::Kind,
};

/// System flag bits that a producer decides: compression and many tags. The others say how a record is laid out.
const SYS_FLAG_KEPT: i32 = COMPRESSED | MULTI_TAGS | COMPRESSION_MASK;
/// Most messages in one batch.
const BATCH_MESSAGES_MAX: usize = 16_384;

/// Names of the fields of a send.
pub(crate) struct Names {
    pub(crate) group: &'static str,
    pub(crate) topic: &'static str,
    pub(crate) default_topic: &'static str,
    pub(crate) default_queues: &'static str,
    pub(crate) queue: &'static str,
    pub(crate) sys_flag: &'static str,
    pub(crate) born: &'static str,
    pub(crate) flag: &'static str,
    pub(crate) properties: &'static str,
    pub(crate) reconsume_times: &'static str,
    pub(crate) unit_mode: &'static str,
    pub(crate) attempts_max: &'static str,
    pub(crate) batch: &'static str,
}

const LONG: Names = Names {
    group: "producerGroup",
    topic: "topic",
    default_topic: "defaultTopic",
    default_queues: "defaultTopicQueueNums",
    queue: "queueId",
    sys_flag: "sysFlag",
    born: "bornTimestamp",
    flag: "flag",
    properties: "properties",
    reconsume_times: "reconsumeTimes",
    unit_mode: "unitMode",
    attempts_max: "maxReconsumeTimes",
    batch: "batch",
};

const SHORT: Names = Names {
    group: "a",
    topic: "b",
    default_topic: "c",
    default_queues: "d",
    queue: "e",
    sys_flag: "f",
    born: "g",
    flag: "h",
    properties: "i",
    reconsume_times: "j",
    unit_mode: "k",
    attempts_max: "l",
    batch: "m",
};

/// The names that a request uses.
pub(crate) fn names_of(request: &Request<'_>) -> &'static Names {
    match request.header.code {
        codes::SEND_MESSAGE | codes::SEND_REPLY_MESSAGE => &LONG,
        _ => &SHORT,
    }
}

/// One send, ready for a topic.
struct Send {
    queue: i32,
    sys_flag: i32,
    born_ms: i64,
    reconsume_times: i32,
    /// The group that failed to consume this, and what it read it from.
    failed_by: Option<(String, String)>,
    peer: Arc<Peer>,
    /// Unique key of the message, or of the batch.
    transaction_id: Option<String>,
    content: Content,
}

enum Content {
    One { flag: i32, body: Bytes, prepared: Prepared },
    Many(Vec<(i32, Bytes, Prepared)>),
}

/// Serves codes 10, 310 and 320, and stores replies.
pub(crate) fn handle(broker: &Arc<Broker>, peer: &Arc<Peer>, request: &Request<'_>) -> Handled {
    let names = names_of(request);
    let fields = request.fields();
    let topic = fields.required(names.topic)?;
    names::check_topic(topic)?;
    if names::is_reserved(topic) {
        let text = format!("the topic {topic} belongs to the system; sending to it is not allowed");
        return Err(Response::refuse(response::NO_PERMISSION, text));
    }
    let (topic, mut send) = read(broker, peer, request, names)?;
    if let Some(config) = broker.store.topic(&topic) {
        return store(broker, &mut send, &config);
    }
    let default = fields.get(names.default_topic).unwrap_or(names::DEFAULT_TOPIC);
    let queues = fields.number(names.default_queues)?.unwrap_or(4);
    let plan = topics::plan(broker, &topic, default, queues)?;
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        let config = match broker.ensure_topic(plan, Maker::Client).await {
            Ok(config) => config,
            Err(refusal) => return refusal,
        };
        let mut patience = Patience::begin();
        loop {
            match store(&broker, &mut send, &config) {
                Err(refusal) if refusal.not_yet => match patience.next_try() {
                    Some(at) => sleep_until(at).await,
                    None => return refusal,
                },
                Ok(reply) => return reply.settled().await,
                Err(refusal) => return refusal,
            }
        }
    }))
}

/// A send and the topic that it goes to, which is not always the one that it names.
fn read<'a>(
    broker: &Broker,
    peer: &Arc<Peer>,
    request: &'a Request<'_>,
    names: &Names,
) -> std::result::Result<(Cow<'a, str>, Send), Response> {
    let fields = request.fields();
    let (mut topic, mut queue) =
        (Cow::Borrowed(fields.required(names.topic)?), fields.number(names.queue)?.unwrap_or(-1));
    let reconsume_times = fields.number(names.reconsume_times)?.unwrap_or(0);
    let sys_flag = fields.number::<i32>(names.sys_flag)?.unwrap_or(0);
    let given = fields.get(names.properties).unwrap_or_default();
    check_sizes(broker, &request.body, given)?;

    let (mut dead, mut failed_by) = (false, None);
    if let Some(group) = names::group_of_retry_topic(fields.required(names.topic)?) {
        let config = broker.store.group(group).ok_or_else(|| offsets::no_group(group))?;
        let origin = properties::get(given.as_bytes(), properties::RETRY_TOPIC).unwrap_or(&topic);
        failed_by = Some((group.to_owned(), origin.to_owned()));
        let clients = fields.number(names.attempts_max)?;
        let honoured = clients.filter(|_| request.header.version >= VERSION_CLIENT_ATTEMPTS_MAX);
        let given_up = broker.store.holds_lock(group);
        if given_up || reconsume_times > honoured.unwrap_or(config.attempts_max) {
            (topic, queue, dead) = (names::dead_letter_topic(group).into(), 0, true);
        }
    }
    let is_batch = request.header.code == codes::SEND_BATCH_MESSAGE || fields.truth(names.batch);
    let (transaction_id, content) = if is_batch {
        let key = properties::get(given.as_bytes(), properties::UNIQ_KEY).map(str::to_owned);
        (key, Content::Many(read_batch(broker, &request.body, &topic)?))
    } else {
        let now_ms = || broker.store.now_ms();
        let mut prepared = outgoing::prepare(given, now_ms, &broker.settings, (&broker.ids, Keys::Make))?;
        if dead {
            prepared.due = Due::Now;
        }
        let flag = fields.number(names.flag)?.unwrap_or(0);
        refuse_transaction(sys_flag, prepared.transactional)?;
        (prepared.unique_key.take(), Content::One { flag, body: request.body.clone(), prepared })
    };
    let send = Send {
        queue,
        sys_flag: sys_flag & SYS_FLAG_KEPT,
        born_ms: fields.number(names.born)?.unwrap_or(0),
        reconsume_times,
        failed_by,
        peer: Arc::clone(peer),
        transaction_id,
        content,
    };
    Ok((topic, send))
}

fn check_sizes(broker: &Broker, body: &[u8], properties: &str) -> std::result::Result<(), Response> {
    let illegal = |text: String| Err(Response::refuse(response::MESSAGE_ILLEGAL, text));
    let most = broker.settings.message_bytes_max;
    if body.is_empty() {
        return illegal(String::from("the message has no body"));
    }
    if body.len() > most {
        return illegal(format!("the body has {} bytes, {most} are allowed", body.len()));
    }
    if properties.len() > PROPERTIES_BYTES_MAX {
        let text =
            format!("the properties have {} bytes, {PROPERTIES_BYTES_MAX} are allowed", properties.len());
        return illegal(text);
    }
    Ok(())
}

fn refuse_transaction(sys_flag: i32, marked: bool) -> std::result::Result<(), Response> {
    if marked || sys_flag & TRANSACTION_MASK == TRANSACTION_PREPARED {
        let text = "this broker does not take transactional messages yet";
        return Err(Response::refuse(response::NO_PERMISSION, text));
    }
    Ok(())
}

fn read_batch(
    broker: &Broker,
    body: &Bytes,
    topic: &str,
) -> std::result::Result<Vec<(i32, Bytes, Prepared)>, Response> {
    let illegal = |text: String| Response::refuse(response::MESSAGE_ILLEGAL, text);
    if names::is_of_failures(topic) {
        return Err(illegal(String::from("a batch cannot go to a retry topic")));
    }
    let now_ms = || broker.store.now_ms();
    let mut messages = Vec::new();
    for message in Batch::new(body) {
        let message = message.map_err(|e| illegal(format!("the batch does not decode: {e}")))?;
        let text = std::str::from_utf8(message.properties)
            .map_err(|_| illegal(String::from("the properties of a message in the batch are not UTF-8")))?;
        let prepared = outgoing::prepare(text, now_ms, &broker.settings, (&broker.ids, Keys::Leave))?;
        if prepared.due != Due::Now || prepared.transactional {
            let text = "a message in a batch cannot be delayed or part of a transaction";
            return Err(illegal(text.into()));
        }
        if messages.len() == BATCH_MESSAGES_MAX {
            return Err(illegal(format!("the batch holds more than {BATCH_MESSAGES_MAX} messages")));
        }
        messages.push((message.flag, body.slice_ref(message.body), prepared));
    }
    Ok(messages)
}

impl Send {
    /// The draft of one of its messages, for this topic and queue.
    fn draft<'a>(
        &self,
        (topic, queue): (&'a str, u32),
        flag: i32,
        body: &'a [u8],
        properties: &'a [u8],
    ) -> Draft<'a> {
        Draft {
            topic,
            queue: Some(queue),
            body,
            properties,
            flag,
            sys_flag: self.sys_flag,
            born_ms: self.born_ms,
            born_host: self.peer.born_host(),
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: 0,
        }
    }
}

/// Appends a send to a topic that exists. One that is not appended yet stays whole.
fn store(broker: &Arc<Broker>, send: &mut Send, config: &TopicConfig) -> Handled {
    let queue = choose_queue(send.queue, config)?;
    if let Some(reply) = store_once(broker, send, (config, queue))? {
        return Ok(reply);
    }
    let to = (config.name.as_str(), queue);
    match &send.content {
        Content::One { flag, body, prepared } => {
            let draft = send.draft(to, *flag, body, &prepared.text);
            let wait = wait(broker, prepared.wait);
            let due_ms = match prepared.due {
                Due::Now => {
                    let pending = broker.store.append_draft(&draft, wait)?;
                    let kind = if prepared.ordered { Kind::Fifo } else { Kind::Normal };
                    count(broker, send, &config.name, kind, [body.len()].into_iter());
                    return Ok(answer_one(broker, pending, send.transaction_id.take()));
                }
                Due::Level(level) => broker.store.level_due_ms(level),
                Due::At(at) => at,
            };
            let pending = broker.store.schedule_draft(&draft, due_ms, wait)?;
            count(broker, send, &config.name, Kind::Delay, [body.len()].into_iter());
            let key = send.transaction_id.clone().unwrap_or_default();
            let topic = config.name.clone();
            let fields = move |broker: &Broker, at| scheduled(broker, queue, at, (&topic, &key));
            Ok(answer(broker, pending, send.transaction_id.take(), fields))
        }
        Content::Many(messages) => {
            let wait = wait(broker, messages.iter().any(|(_, _, prepared)| prepared.wait));
            let drafts: Vec<Draft<'_>> = messages
                .iter()
                .map(|(flag, body, prepared)| send.draft(to, *flag, body, &prepared.text))
                .collect();
            let pending = broker.store.append_batch(&drafts, wait)?;
            count(broker, send, &config.name, Kind::Normal, messages.iter().map(|(_, body, _)| body.len()));
            Ok(answer(broker, pending, send.transaction_id.take(), many_acks))
        }
    }
}

/// Keys of the messages, where some are to be stored once; else none. A copy of a failed message has all properties of
/// the message and is another one.
fn once_keys<'a>(
    send: &'a Send,
    config: &TopicConfig,
) -> std::result::Result<Vec<Option<&'a str>>, Response> {
    let by_topic = config.attributes.get(attributes::STORE_ONCE).is_some_and(|value| value == "true");
    let all: Vec<(&Prepared, Option<&str>)> = match &send.content {
        Content::One { prepared, .. } if by_topic || prepared.once != StoreOnce::Unasked => {
            vec![(prepared, send.transaction_id.as_deref())]
        }
        Content::Many(messages)
            if by_topic || messages.iter().any(|(_, _, prepared)| prepared.once != StoreOnce::Unasked) =>
        {
            messages.iter().map(|(_, _, prepared)| (prepared, prepared.unique_key.as_deref())).collect()
        }
        _ => return Ok(Vec::new()),
    };
    if names::is_of_failures(&config.name) {
        return Ok(Vec::new());
    }
    let key = |(prepared, unique): (&'a Prepared, Option<&'a str>)| match &prepared.once {
        StoreOnce::Key(key) => Ok(Some(key.as_str())),
        StoreOnce::UniqueKey if !prepared.key_given => {
            let text = format!("the message asks by {STORE_ONCE} to be stored once and has no unique key");
            Err(Response::refuse(response::MESSAGE_ILLEGAL, text))
        }
        StoreOnce::UniqueKey => Ok(unique),
        StoreOnce::Unasked => Ok(unique.filter(|_| by_topic && prepared.key_given)),
    };
    all.into_iter().map(key).collect()
}

/// Appends a send of which messages are to be stored once; nothing where none is.
fn store_once(
    broker: &Arc<Broker>,
    send: &mut Send,
    (config, queue): (&TopicConfig, u32),
) -> std::result::Result<Option<Reply>, Response> {
    let keys = once_keys(send, config)?;
    if keys.is_empty() {
        return Ok(None);
    }
    let to = (config.name.as_str(), queue);
    let (kind, messages) = match &send.content {
        Content::One { flag, body, prepared } => {
            let due_ms = match prepared.due {
                Due::Now => None,
                Due::Level(level) => Some(broker.store.level_due_ms(level)),
                Due::At(at) => Some(at),
            };
            let kind = match due_ms {
                Some(_) => Kind::Delay,
                None if prepared.ordered => Kind::Fifo,
                None => Kind::Normal,
            };
            let draft = send.draft(to, *flag, body, &prepared.text);
            (kind, vec![OnceDraft { draft, due_ms, key: keys[0] }])
        }
        Content::Many(messages) => {
            let drafts =
                messages.iter().map(|(flag, body, prepared)| send.draft(to, *flag, body, &prepared.text));
            let drafts = drafts.zip(keys).map(|(draft, key)| OnceDraft { draft, due_ms: None, key });
            (Kind::Normal, drafts.collect())
        }
    };
    let pending = broker.store.store_once(&messages)?;
    let lengths: Vec<usize> = messages.iter().map(|message| message.draft.body.len()).collect();
    let is_one = matches!(send.content, Content::One { .. });
    let (topic, key) = (config.name.clone(), send.transaction_id.clone().unwrap_or_default());
    let fields = move |broker: &Broker, all: Vec<Once>| {
        let new = all.iter().zip(lengths).filter(|(once, _)| !once.repeated).map(|(_, length)| length);
        let new: Vec<usize> = new.collect();
        if !new.is_empty() {
            broker.traffic.sent(&topic, kind, new.into_iter());
        }
        if is_one { once_ack(broker, &all, (&topic, &key)) } else { once_acks(broker, &all) }
    };
    Ok(Some(answer(broker, pending, send.transaction_id.take(), fields)))
}

/// Counts what stands in the log now.
fn count(broker: &Broker, send: &Send, topic: &str, kind: Kind, bodies: impl Iterator<Item = usize> + Clone) {
    if let Some((group, origin)) = &send.failed_by {
        let is_dead = names::group_of_retry_topic(topic).is_none();
        broker.traffic.failed(group, origin, is_dead, bodies.clone().sum());
    }
    broker.traffic.sent(topic, kind, bodies);
}

fn choose_queue(asked: i32, config: &TopicConfig) -> std::result::Result<u32, Response> {
    if config.perm & PERM_WRITE == 0 {
        let text = format!("sending to the topic {} is not allowed", config.name);
        return Err(Response::refuse(response::NO_PERMISSION, text));
    }
    match u32::try_from(asked) {
        Ok(queue) if queue < config.write_queues.max(config.read_queues) => Ok(queue),
        Ok(queue) => {
            let text = format!("the topic {} has no queue {queue}", config.name);
            Err(Response::refuse(response::INVALID_PARAMETER, text))
        }
        Err(_) => {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            Ok(NEXT.fetch_add(1, Ordering::Relaxed) % config.write_queues.max(1))
        }
    }
}

/// A producer that does not wait for the commit rule is answered once the message stands in the log.
fn wait(broker: &Broker, asked: bool) -> Wait {
    if asked { broker.settings.acknowledge } else { Wait::Appended }
}

/// The answer to the send of one message: at once where the store has it already.
fn answer_one(broker: &Broker, pending: mainspring::Pending<Ack>, transaction_id: Option<String>) -> Reply {
    let host = broker.settings.advertised;
    when_safe(pending, move |result: StoreResult<Ack>| match result {
        Ok(ack) => Response::sent(Sent {
            id: MessageId::new(host, ack.offset.0),
            queue: ack.queue,
            queue_offset: ack.queue_offset,
            region: outgoing::REGION,
            transaction_id,
        }),
        Err(error) => error.into(),
    })
}

/// The same, with other fields.
fn answer<T: Unpin + std::marker::Send + 'static>(
    broker: &Arc<Broker>,
    pending: mainspring::Pending<T>,
    transaction_id: Option<String>,
    fields: impl FnOnce(&Broker, T) -> Response + std::marker::Send + 'static,
) -> Reply {
    let broker = Arc::clone(broker);
    when_safe(pending, move |result: StoreResult<T>| match result {
        Ok(stored) => {
            let mut response =
                fields(&broker, stored).with("MSG_REGION", outgoing::REGION).with("TRACE_ON", "true");
            if let Some(id) = transaction_id {
                response = response.with("transactionId", id);
            }
            response
        }
        Err(error) => error.into(),
    })
}

fn placed(message_id: Value, queue: u32, queue_offset: u64) -> Response {
    let mut response = Response::ok();
    response.fields.reserve_exact(6);
    response.with("msgId", message_id).with("queueId", queue).with("queueOffset", queue_offset)
}

/// Where a delayed message stands is of no use to clients, who show it only; its place in a queue comes later. The handle
/// is what it can be taken back by.
fn scheduled(broker: &Broker, queue: u32, at: Scheduled, of: (&str, &str)) -> Response {
    let (topic, unique_key) = of;
    let handle = recall::encode(topic, &broker.settings.broker_name, at.handle, unique_key);
    placed(message_id(broker, at.handle.schedule.0), queue, 0).with("recallHandle", handle)
}

fn many_acks(broker: &Broker, acks: Vec<Ack>) -> Response {
    let host = broker.settings.advertised;
    let ids: Vec<String> = acks.iter().map(|ack| MessageId::new(host, ack.offset.0).to_string()).collect();
    let (queue, queue_offset) = acks.first().map_or((0, 0), |ack| (ack.queue, ack.queue_offset));
    placed(Value::Text(ids.join(",")), queue, queue_offset)
}

/// The same for the first send and for its repeats, whatever they ask for.
fn once_ack(broker: &Broker, all: &[Once], of: (&str, &str)) -> Response {
    match all.first().map(|once| once.stored) {
        Some(Stored::Timer(at)) => scheduled(broker, at.queue, at, of),
        Some(Stored::Message(ack)) => placed(message_id(broker, ack.offset.0), ack.queue, ack.queue_offset),
        None => Response::ok(),
    }
}

/// The same for a batch, of which one may have been a timer when it was sent alone.
fn once_acks(broker: &Broker, all: &[Once]) -> Response {
    let host = broker.settings.advertised;
    let id = |once: &Once| MessageId::new(host, once.stored.offset().0).to_string();
    let ids: Vec<String> = all.iter().map(id).collect();
    let first = all.first().map(|once| (once.stored.queue(), once.stored.queue_offset().unwrap_or(0)));
    let (queue, queue_offset) = first.unwrap_or_default();
    placed(Value::Text(ids.join(",")), queue, queue_offset)
}

fn message_id(broker: &Broker, offset: u64) -> Value {
    MessageId::new(broker.settings.advertised, offset).into()
}
