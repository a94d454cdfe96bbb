//! Consumer groups: progress, and what happens to messages whose consumption failed.

use std::sync::Arc;

use crate::engine::{OpDraft, Placement, QueueChoice, RecordDraft};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Op, OpKind, Wait};
use crate::offset::Offset;
use crate::pending::Pending;
use crate::planted::{self, Bug};
use crate::record::layout::{DEAD_LETTER_PREFIX, RETRY_PREFIX};
use crate::record::{Draft, Limits, Record, properties};
use crate::settings::{self, GroupConfig, QUEUES_MAX, TopicConfig};
use crate::store::{Store, attributes_payload, topic_payload};
use crate::timing::timed_properties;

/// The delay level of a first failure; each later one is a level higher.
const FIRST_LEVEL: i32 = 3;

/// A consumption that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The group that failed.
    pub group: &'a str,
    /// The log position of the record that it was given.
    pub offset: Offset,
    /// Negative: dead letter at once. 0: the level follows from the failures before. Else this level.
    pub delay_level: i32,
    /// Failures after which it is a dead letter; `None` takes the group's.
    pub attempts_max: Option<i32>,
    /// The message id that the client names, if it does; must be that of the record.
    pub origin_message_id: Option<&'a str>,
    /// The topic that the client names, if it does; must be that of the record.
    pub origin_topic: Option<&'a str>,
}

/// How far a group has come in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue: u32,
    /// The first offset that it has not consumed.
    pub offset: u64,
}

/// What became of a message whose consumption failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It comes again at this owner time, milliseconds.
    Again(i64),
    /// It went to the dead-letter topic.
    DeadLetter,
    /// The group has retries switched off.
    Dropped,
}

impl Store {
    /// A group's settings, shared with the store.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Arc<GroupConfig>> {
        self.core().views.read().group(name).cloned()
    }

    /// All groups, by name.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupConfig> {
        self.core().views.read().groups().cloned().collect()
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups_known(&self) -> usize {
        self.core().views.read().groups.len()
    }

    /// Creates or changes a group, and waits until that is committed.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::Invalid`] for a bad name, more than [`QUEUES_MAX`] retry queues, or too many
    /// attributes.
    pub fn put_group(&self, config: &GroupConfig) -> Result<()> {
        self.usable()?;
        let bad = |why: String| Error::new(ErrorKind::Invalid, format!("group `{}`: {why}", config.name));
        crate::record::check_topic(&config.name).map_err(|e| bad(e.to_string()))?;
        if config.retry_queues > QUEUES_MAX {
            return Err(bad(format!("it has at most {QUEUES_MAX} retry queues")));
        }
        settings::check_attributes(&config.attributes).map_err(bad)?;
        let (kind, payload) = Op::Group { name: &config.name, config: Some(config.clone()) }.payload();
        let attributes = attributes_payload(true, &config.name, &config.attributes);
        let mut ops = vec![OpDraft::Plain(kind, &payload)];
        ops.extend(attributes.iter().map(|payload| OpDraft::Plain(OpKind::Attributes, payload)));
        let end = self.core().append(Wait::Committed, &mut ops)?.end;
        self.pending(Wait::Committed, end, ()).wait()
    }

    /// Deletes a group's settings, with its progress or without, in one frame, and waits until that is committed.
    /// Its retry and dead-letter topics are topics like any other and stay.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn delete_group(&self, name: &str, with_progress: bool) -> Result<()> {
        self.usable()?;
        let (kind, payload) = Op::Group { name, config: None }.payload();
        let (clear, cleared) = Op::Clear { group: name, topic: "" }.payload();
        let mut ops = vec![OpDraft::Plain(kind, &payload)];
        if with_progress && !name.is_empty() {
            ops.push(OpDraft::Plain(clear, &cleared));
        }
        let end = self.core().append(Wait::Committed, &mut ops)?.end;
        self.pending(Wait::Committed, end, ()).wait()
    }

    /// A group's progress in all queues, in order of topic and queue.
    #[must_use]
    pub fn progress(&self, group: &str) -> Vec<Progress> {
        let views = self.core().views.read();
        let entry =
            |(topic, queue, offset): (&str, u32, u64)| Progress { topic: topic.into(), queue, offset };
        views.progress(group).map(entry).collect()
    }

    /// The groups that have progress on a topic, in order.
    #[must_use]
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        self.core().views.read().groups_of(topic)
    }

    /// Sets a group's progress in many queues, in one frame: all of it or none.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::TooLarge`] for more than fits a frame.
    pub fn set_progress(&self, group: &str, progress: &[Progress]) -> Result<Pending<()>> {
        self.usable()?;
        if progress.is_empty() {
            return Ok(self.pending(Wait::Appended, Offset(0), ()));
        }
        let payload = |p: &Progress| {
            Op::Offset { group, topic: &p.topic, queue: p.queue, offset: p.offset }.payload().1
        };
        let payloads: Vec<_> = progress.iter().map(payload).collect();
        let mut ops: Vec<_> = payloads.iter().map(|p| OpDraft::Plain(OpKind::Offset, p)).collect();
        let end = self.core().submit(Wait::Committed, &mut ops)?.end;
        Ok(self.pending(Wait::Committed, end, ()))
    }

    /// Forgets progress: a group's on a topic, a group's on every topic, or every group's on a topic.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::Invalid`] where neither is named.
    pub fn clear_progress(&self, group: Option<&str>, topic: Option<&str>) -> Result<Pending<()>> {
        self.usable()?;
        let named = |name: Option<&str>| name.is_some_and(|name| !name.is_empty());
        if !named(group) && !named(topic) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "progress of all groups on all topics is never forgotten",
            ));
        }
        let op = Op::Clear { group: group.unwrap_or_default(), topic: topic.unwrap_or_default() };
        let (kind, payload) = op.payload();
        let end = self.core().submit(Wait::Committed, &mut [OpDraft::Plain(kind, &payload)])?.end;
        Ok(self.pending(Wait::Committed, end, ()))
    }

    /// Says that a group consumed a queue up to `offset` (exclusive). The last commit in log order counts.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn commit_offset(&self, group: &str, topic: &str, queue: u32, offset: u64) -> Result<Pending<()>> {
        let op = Op::Offset { group, topic, queue, offset };
        let (kind, payload) = op.payload();
        let end = self.core().submit(Wait::Appended, &mut [OpDraft::Plain(kind, &payload)])?.end;
        Ok(self.pending(Wait::Appended, end, ()))
    }

    /// A group's progress in a queue: the first offset that it has not consumed.
    #[must_use]
    pub fn committed_offset(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        self.core().views.read().offset(group, topic, queue)
    }

    /// A group failed to consume a message: it comes again later, or becomes a dead letter. One frame.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no message of that id and topic stands at the offset, or the group is
    /// unknown; else as [`Store::append`].
    pub fn consume_failed(&self, failure: &Failure<'_>) -> Result<Pending<Failed>> {
        self.consume_failed_at(failure, None)
    }

    /// The same, together with the consumer's progress: (topic, queue, offset).
    pub(crate) fn consume_failed_at(
        &self,
        failure: &Failure<'_>,
        progress: Option<(&str, u32, u64)>,
    ) -> Result<Pending<Failed>> {
        let bytes = self.record_at(failure.offset)?;
        let invalid = |what: &str| Error::new(ErrorKind::NotFound, what).at(failure.offset);
        let record = Record::parse(&bytes).map_err(|e| invalid(&e.to_string()))?;
        check_origin(failure, &record)?;
        let group = self.group(failure.group).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("group `{}` is unknown", failure.group))
        })?;
        if group.retry_queues == 0 {
            if let Some((topic, queue, offset)) = progress {
                self.commit_offset(failure.group, topic, queue, offset)?.wait()?;
            }
            return Ok(self.pending(Wait::Appended, Offset(0), Failed::Dropped));
        }
        self.append_failure(failure, &group, &record, progress)
    }

    fn append_failure(
        &self,
        failure: &Failure<'_>,
        group: &GroupConfig,
        record: &Record<'_>,
        progress: Option<(&str, u32, u64)>,
    ) -> Result<Pending<Failed>> {
        let attempts = record.reconsume_times();
        let dead = failure.delay_level < 0 || attempts >= failure.attempts_max.unwrap_or(group.attempts_max);
        let (prefix, queues) =
            if dead { (DEAD_LETTER_PREFIX, 1) } else { (RETRY_PREFIX, group.retry_queues) };
        let topic = format!("{prefix}{}", failure.group);
        let properties = retry_properties(record, dead);
        let reset = planted::is(Bug::RetryCountReset);
        let draft = Draft {
            topic: &topic,
            queue: None,
            properties: &properties,
            reconsume_times: if reset { 0 } else { attempts + 1 },
            ..record.fields()
        };
        let limits = Limits { body_bytes_max: draft.body.len() };
        let refused = |e| Error::new(ErrorKind::Invalid, format!("the copy for `{topic}`: {e}"));
        let prepared = draft.prepare(&limits).map_err(refused)?;
        let message =
            RecordDraft { record: prepared, queue: QueueChoice::Turn, placed: Placement::default() };
        let level = if failure.delay_level == 0 { FIRST_LEVEL + attempts } else { failure.delay_level };
        let due_ms = self.level_due_ms(level);
        let mut ops = Vec::with_capacity(3);
        let config = topic_payload(&TopicConfig::new(topic.clone(), queues));
        if self.core().appender.lock().topic_queues(&topic).is_none() {
            ops.push(OpDraft::Topic(&topic, queues, &config));
        }
        ops.push(if dead { OpDraft::Append(message) } else { OpDraft::Schedule { due_ms, draft: message } });
        let progress = progress.map(|(topic, queue, offset)| {
            Op::Offset { group: failure.group, topic, queue, offset }.payload().1
        });
        ops.extend(progress.iter().map(|payload| OpDraft::Plain(OpKind::Offset, payload)));
        let end = self.core().submit(Wait::Committed, &mut ops)?.end;
        let outcome = if dead { Failed::DeadLetter } else { Failed::Again(due_ms) };
        Ok(self.pending(Wait::Committed, end, outcome))
    }
}

fn check_origin(failure: &Failure<'_>, record: &Record<'_>) -> Result<()> {
    let other = |what: &str| {
        let text = format!("the message at this offset has another {what} than the client names");
        Err(Error::new(ErrorKind::NotFound, text).at(failure.offset))
    };
    let own_topic = record.property(properties::RETRY_TOPIC).unwrap_or(record.topic());
    if failure.origin_topic.is_some_and(|t| t != own_topic && t != record.topic()) {
        return other("topic");
    }
    let id = record.message_id().to_string();
    let own_id = |named: &str| {
        named == id
            || record.uniq_key() == Some(named)
            || record.property(properties::ORIGIN_MESSAGE_ID) == Some(named)
    };
    if failure.origin_message_id.is_some_and(|named| !named.is_empty() && !own_id(named)) {
        return other("id");
    }
    Ok(())
}

/// A retry copy keeps every property, and says where the message comes from.
fn retry_properties(record: &Record<'_>, dead: bool) -> Vec<u8> {
    let id = record.message_id().to_string();
    let topic = record.property(properties::RETRY_TOPIC).unwrap_or(record.topic());
    let origin = record.property(properties::ORIGIN_MESSAGE_ID).unwrap_or(&id);
    let set = [
        (properties::RETRY_TOPIC, topic),
        (properties::ORIGIN_MESSAGE_ID, origin),
        (properties::WAIT, "false"),
    ];
    let edited = properties::edit(record.raw_properties(), &set, &[properties::DELAY]);
    if dead { edited } else { timed_properties(&edited) }
}
