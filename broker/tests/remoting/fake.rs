//! An in-memory engine, just true enough to speak to real clients: no disk, timers on the runtime.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddrV4,
    ops::Range,
    sync::{Arc, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes, BytesMut};
use mainspring_broker::{engine::*, holds::Holds, message_id, tags::tag_code};
use parking_lot::Mutex;

struct Stored {
    record: Bytes,
    tags: i64,
    store_ms: i64,
}

#[derive(Clone)]
struct Message {
    topic: String,
    queue: u32,
    body: Vec<u8>,
    properties: String,
    flag: i32,
    sys_flag: i32,
    born_ms: i64,
    born_host: SocketAddrV4,
    reconsume_times: i32,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, TopicConfig>,
    groups: BTreeMap<String, GroupConfig>,
    queues: HashMap<(String, u32), Vec<Stored>>,
    by_offset: HashMap<u64, Message>,
    offsets: HashMap<(String, String, u32), u64>,
    tail: u64,
}

pub(crate) struct Fake {
    me: Weak<Fake>,
    host: SocketAddrV4,
    holds: Arc<Holds>,
    levels_ms: Vec<u64>,
    state: Mutex<State>,
    /// Answers to appends come from another task instead of at once.
    pub(crate) slow: bool,
    /// Every append fails so.
    pub(crate) refuse: Mutex<Option<ErrorKind>>,
}

impl Fake {
    pub(crate) fn open(host: SocketAddrV4, holds: Arc<Holds>, levels_ms: Vec<u64>, slow: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            host,
            holds,
            levels_ms,
            state: Mutex::default(),
            slow,
            refuse: Mutex::default(),
        })
    }

    fn me(&self) -> Arc<Self> {
        self.me.upgrade().unwrap()
    }

    fn check(&self) -> Result<()> {
        match *self.refuse.lock() {
            Some(kind) => Err(Error::new(kind, "the test refuses")),
            None => Ok(()),
        }
    }

    fn pending<T: Send + Unpin + 'static>(&self, value: T) -> Pending<T> {
        if !self.slow {
            return Pending::ready(value);
        }
        Pending::later(async move {
            tokio::task::yield_now().await;
            Ok(value)
        })
    }

    fn put(&self, message: Message) -> Ack {
        let now_ms = self.now_ms();
        let (ack, tags) = {
            let mut state = self.state.lock();
            let offset = state.tail;
            let key = (message.topic.clone(), message.queue);
            let queue_offset = state.queues.get(&key).map_or(0, |queue| queue.len() as u64);
            let record = encode(&message, self.host, (offset, queue_offset), now_ms);
            state.tail += record.len() as u64;
            let tags = property(&message.properties, "TAGS").map_or(0, tag_code);
            state.queues.entry(key).or_default().push(Stored { record, tags, store_ms: now_ms });
            state.by_offset.insert(offset, message.clone());
            (Ack { offset, queue: message.queue, queue_offset, store_ms: now_ms }, tags)
        };
        self.holds.arrived(&message.topic, ack.queue, ack.queue_offset + 1, tags);
        ack
    }

    fn later(&self, message: Message, due_ms: i64) -> Scheduled {
        let me = self.me();
        let wait = u64::try_from(due_ms - self.now_ms()).unwrap_or(0);
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
            me.put(message);
        });
        Scheduled { due_ms, offset: 7 }
    }
}

fn property<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split('\u{2}')
        .filter_map(|pair| pair.split_once('\u{1}'))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}

fn owned(draft: &Draft<'_>) -> Message {
    Message {
        topic: draft.topic.to_owned(),
        queue: draft.queue.unwrap_or(0),
        body: draft.body.to_vec(),
        properties: String::from_utf8(draft.properties.to_vec()).unwrap(),
        flag: draft.flag,
        sys_flag: draft.sys_flag,
        born_ms: draft.born_ms,
        born_host: draft.born_host,
        reconsume_times: draft.reconsume_times,
    }
}

fn encode(message: &Message, host: SocketAddrV4, at: (u64, u64), store_ms: i64) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(0);
    out.put_u32(0xDAA3_20A7);
    out.put_u32(crc32fast::hash(&message.body) & 0x7FFF_FFFF);
    out.put_u32(message.queue);
    out.put_i32(message.flag);
    out.put_u64(at.1);
    out.put_u64(at.0);
    out.put_i32(message.sys_flag);
    out.put_i64(message.born_ms);
    out.put_slice(&message.born_host.ip().octets());
    out.put_u32(message.born_host.port().into());
    out.put_i64(store_ms);
    out.put_slice(&host.ip().octets());
    out.put_u32(host.port().into());
    out.put_i32(message.reconsume_times);
    out.put_i64(0);
    out.put_u32(message.body.len() as u32);
    out.put_slice(&message.body);
    out.put_u8(message.topic.len() as u8);
    out.put_slice(message.topic.as_bytes());
    out.put_u16(message.properties.len() as u16);
    out.put_slice(message.properties.as_bytes());
    let len = out.len() as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out.freeze()
}

impl Engine for Fake {
    fn append_draft(&self, draft: &Draft<'_>, _wait: Wait) -> Result<Pending<Ack>> {
        assert!(draft.body != b"panic", "the test asked for it");
        self.check()?;
        Ok(self.pending(self.put(owned(draft))))
    }

    fn append_batch(&self, drafts: &[Draft<'_>], _wait: Wait) -> Result<Pending<Vec<Ack>>> {
        self.check()?;
        let acks = drafts.iter().map(|draft| self.put(owned(draft))).collect();
        Ok(self.pending(acks))
    }

    fn schedule_draft(&self, draft: &Draft<'_>, due_ms: i64, _wait: Wait) -> Result<Pending<Scheduled>> {
        self.check()?;
        Ok(self.pending(self.later(owned(draft), due_ms)))
    }

    #[allow(clippy::disallowed_methods)]
    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn level_due_ms(&self, level: i32) -> i64 {
        let index = (level.max(1) as usize - 1).min(self.levels_ms.len() - 1);
        self.now_ms() + self.levels_ms[index] as i64
    }

    fn topic(&self, name: &str) -> Option<TopicConfig> {
        self.state.lock().topics.get(name).cloned()
    }

    fn topics(&self) -> Vec<TopicConfig> {
        self.state.lock().topics.values().cloned().collect()
    }

    fn put_topic(&self, config: &TopicConfig) -> Result<()> {
        self.check()?;
        self.state.lock().topics.insert(config.name.clone(), config.clone());
        Ok(())
    }

    fn group(&self, name: &str) -> Option<GroupConfig> {
        self.state.lock().groups.get(name).cloned()
    }

    fn put_group(&self, config: &GroupConfig) -> Result<()> {
        self.check()?;
        self.state.lock().groups.insert(config.name.clone(), config.clone());
        Ok(())
    }

    fn queue_range(&self, topic: &str, queue: u32) -> Option<Range<u64>> {
        self.state.lock().queues.get(&(topic.to_owned(), queue)).map(|queue| 0..queue.len() as u64)
    }

    fn read(&self, request: &ReadRequest<'_>) -> Result<ReadResult> {
        let state = self.state.lock();
        let mut result =
            ReadResult { status: ReadStatus::NoQueue, records: Vec::new(), next: 0, min: 0, max: 0 };
        let Some(queue) = state.queues.get(&(request.topic.to_owned(), request.queue)) else {
            return Ok(result);
        };
        result.max = queue.len() as u64;
        result.next = request.from;
        result.status = match request.from.cmp(&result.max) {
            std::cmp::Ordering::Equal => ReadStatus::AtEnd,
            std::cmp::Ordering::Greater => ReadStatus::BeyondEnd,
            std::cmp::Ordering::Less => ReadStatus::NoMatch,
        };
        let mut bytes = 0;
        for stored in queue.iter().skip(request.from as usize) {
            if result.records.len() == request.max_records || bytes >= request.max_bytes {
                break;
            }
            if request.filter.matches(stored.tags) {
                bytes += stored.record.len();
                result.records.push(stored.record.clone());
                result.status = ReadStatus::Found;
            }
            result.next += 1;
        }
        Ok(result)
    }

    fn offset_by_time(&self, topic: &str, queue: u32, ms: i64) -> Option<u64> {
        let state = self.state.lock();
        let queue = state.queues.get(&(topic.to_owned(), queue))?;
        Some(queue.partition_point(|stored| stored.store_ms < ms) as u64)
    }

    fn store_time_at(&self, topic: &str, queue: u32, offset: u64) -> Option<i64> {
        let state = self.state.lock();
        Some(state.queues.get(&(topic.to_owned(), queue))?.get(offset as usize)?.store_ms)
    }

    fn commit_offset(&self, group: &str, topic: &str, queue: u32, offset: u64) -> Result<Pending<()>> {
        self.state.lock().offsets.insert((group.to_owned(), topic.to_owned(), queue), offset);
        Ok(self.pending(()))
    }

    fn committed_offset(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        self.state.lock().offsets.get(&(group.to_owned(), topic.to_owned(), queue)).copied()
    }

    fn consume_failed(&self, failure: &Failure<'_>) -> Result<Pending<FailedOutcome>> {
        self.check()?;
        let (mut message, group) = {
            let state = self.state.lock();
            let group = state.groups.get(failure.group).cloned();
            let message = state.by_offset.get(&failure.offset).cloned();
            let none = || Error::new(ErrorKind::NotFound, "no record stands there");
            (message.ok_or_else(none)?, group.ok_or_else(none)?)
        };
        if property(&message.properties, "RETRY_TOPIC").is_none() {
            message.properties.push_str(&format!("RETRY_TOPIC\u{1}{}\u{2}", message.topic));
        }
        if property(&message.properties, "ORIGIN_MESSAGE_ID").is_none() {
            let id = message_id::offset_id(self.host, failure.offset);
            message.properties.push_str(&format!("ORIGIN_MESSAGE_ID\u{1}{id}\u{2}"));
        }
        let dead = failure.delay_level < 0
            || message.reconsume_times >= failure.attempts_max.unwrap_or(group.attempts_max);
        let level = if failure.delay_level > 0 { failure.delay_level } else { 3 + message.reconsume_times };
        message.reconsume_times += 1;
        message.queue = 0;
        message.topic = format!("{}{}", if dead { "%DLQ%" } else { "%RETRY%" }, failure.group);
        let topic = TopicConfig::new(message.topic.clone(), 1);
        self.state.lock().topics.entry(message.topic.clone()).or_insert(topic);
        let outcome = if dead {
            self.put(message);
            FailedOutcome::DeadLettered
        } else {
            let due_ms = self.level_due_ms(level);
            self.later(message, due_ms);
            FailedOutcome::Retried { due_ms }
        };
        Ok(self.pending(outcome))
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}
