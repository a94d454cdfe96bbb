//! Consumer groups: progress, and what happens to messages whose consumption failed.

use crate::engine::{OpDraft, Placement, QueueChoice, RecordDraft};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Op, OpKind, Wait};
use crate::offset::Offset;
use crate::pending::Pending;
use crate::planted::{self, Bug};
use crate::record::layout::{DEAD_LETTER_PREFIX, RETRY_PREFIX};
use crate::record::{Draft, Limits, Record, properties};
use crate::settings::{GroupConfig, TopicConfig};
use crate::store::{Store, topic_payload};
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
