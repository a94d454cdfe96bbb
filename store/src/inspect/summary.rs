//! What is in a store at rest, as values.

use backends::StreamInfo;

use super::image::{Image, rule};
use crate::base::Buckets;
use crate::error::{Error, Result};
use crate::index::IndexFile;
use crate::naming::StreamKind;
use crate::offset::{Epoch, Offset};
use crate::settings::{GroupConfig, TopicConfig};
use crate::views::Views;

/// A store at rest.
#[derive(Debug, Clone)]
pub struct Summary {
    /// When it was created, wall milliseconds.
    pub created_ms: i64,
    /// The epoch that appended last; `None` if nothing was ever appended.
    pub epoch: Option<EpochInfo>,
    /// First position of the log.
    pub start: Offset,
    /// Where the log ends.
    pub end: Offset,
    /// Below it everything was durable once.
    pub mark: Offset,
    /// The last owner time, milliseconds.
    pub owner_ms: Option<i64>,
    /// Why an open would be read-only, if it would.
    pub damage: Option<String>,
    /// The log's segments.
    pub segments: Vec<SegmentInfo>,
    /// Index files.
    pub indexes: Vec<IndexInfo>,
    /// Bases.
    pub bases: Vec<BaseInfo>,
    /// Due buckets.
    pub buckets: Vec<BucketInfo>,
    /// Topics that have settings.
    pub topics: Vec<TopicInfo>,
    /// Consumer groups.
    pub groups: Vec<GroupConfig>,
    /// Progress of groups.
    pub progress: Vec<Progress>,
    /// Pending timers.
    pub timers: usize,
}

/// An epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochInfo {
    /// Its number.
    pub epoch: Epoch,
    /// When messages counted as kept: `appended` or `flushed`.
    pub commit_rule: &'static str,
    /// Whether the store was closed in order.
    pub clean: bool,
    /// How many times queues went on by 2^22.
    pub queue_skips: u32,
}

/// A segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its first position.
    pub start: Offset,
    /// Where its frames end; `None` if it is no part of the log.
    pub end: Option<Offset>,
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether it is sealed.
    pub sealed: bool,
}

/// An index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// The segment it is of.
    pub segment: Offset,
    /// Bytes of its file.
    pub bytes: u64,
    /// Queues, units and keys in it; why it cannot be read, if so.
    pub counts: std::result::Result<(u32, u32, u32), String>,
    /// Store times of the first and the last message, owner milliseconds.
    pub store_ms: Option<(i64, i64)>,
}

/// A base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseInfo {
    /// Its number.
    pub number: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// First position that is not folded in, and the log's start in it; why it cannot be read, if so.
    pub at: std::result::Result<(Offset, Offset), String>,
}

/// A due bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketInfo {
    /// The segment that its timers were scheduled in.
    pub segment: Offset,
    /// Bytes of its file.
    pub bytes: u64,
    /// Timers in it; `None` if it cannot be read.
    pub timers: Option<u32>,
}

/// A topic and where its queues begin and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its settings.
    pub config: TopicConfig,
    /// The oldest offset and the end of each queue that was used, by number.
    pub queues: Vec<std::ops::Range<u64>>,
}

/// A group's progress in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue: u32,
    /// The first offset that it has not consumed.
    pub offset: u64,
    /// The queue's end.
    pub end: u64,
}

/// Sums an image up.
///
/// # Errors
/// The medium's.
pub fn summary(image: &Image) -> Result<Summary> {
    let list = image
        .backend
        .list()
        .map_err(|e| Error::io(format!("cannot list {}", image.backend.describe()), e))?;
    let views = &image.views;
    let mut summary = Summary {
        created_ms: image.identity.created_ms,
        epoch: image.epoch.map(|e| EpochInfo {
            epoch: e.epoch,
            commit_rule: rule(e.commit_rule),
            clean: e.clean,
            queue_skips: e.queue_skips,
        }),
        start: views.start,
        end: image.report().end,
        mark: image.report().mark,
        owner_ms: views.owner_ms,
        damage: image.damage.as_ref().map(ToString::to_string),
        segments: Vec::new(),
        indexes: Vec::new(),
        bases: Vec::new(),
        buckets: Vec::new(),
        topics: topics(views),
        groups: views.groups().cloned().collect(),
        progress: progress(views),
        timers: views.timers.count(),
    };
    for info in &list {
        match StreamKind::parse(&info.name) {
            Some(StreamKind::Segment(start)) => summary.segments.push(segment(image, start, info)),
            Some(StreamKind::Index(at)) => summary.indexes.push(index(image, at, info)),
            Some(StreamKind::Base(number)) => summary.bases.push(base(image, number, info)),
            Some(StreamKind::Bucket(at)) => summary.buckets.push(BucketInfo {
                segment: at,
                bytes: info.len,
                timers: image.buckets.get(&at).map(|bucket| bucket.entries),
            }),
            Some(StreamKind::Reserve) | None => {}
        }
    }
    Ok(summary)
}

fn topics(views: &Views) -> Vec<TopicInfo> {
    let used = views.topics().filter_map(|topic| {
        let config = topic.config.as_deref()?.clone();
        Some(TopicInfo { config, queues: topic.queues.iter().map(|q| q.start()..q.end).collect() })
    });
    used.collect()
}

fn progress(views: &Views) -> Vec<Progress> {
    let progress = views.offsets.iter().map(|((group, topic, queue), offset)| Progress {
        group: group.clone(),
        topic: topic.clone(),
        queue: *queue,
        offset: *offset,
        end: views.queue_range(topic, *queue).map_or(0, |range| range.end),
    });
    progress.collect()
}

fn segment(image: &Image, start: Offset, info: &StreamInfo) -> SegmentInfo {
    let end = image.log.find(start).filter(|segment| segment.start == start).and_then(|s| s.end());
    SegmentInfo { start, end, bytes: info.len, sealed: info.sealed }
}

fn index(image: &Image, segment: Offset, info: &StreamInfo) -> IndexInfo {
    let opened = image.backend.open(&info.name).map_err(|e| e.to_string());
    let opened = opened.and_then(|reader| IndexFile::open(reader).map_err(|e| e.to_string()));
    let header = opened.as_ref().ok().map(IndexFile::header).copied();
    let counts = opened.map(|index| (index.header().queues, index.header().units, index.header().keys));
    let store_ms = header.map(|h| (h.first_store_ms, h.last_store_ms));
    IndexInfo { segment, bytes: info.len, counts, store_ms }
}

fn base(image: &Image, number: u64, info: &StreamInfo) -> BaseInfo {
    let at = thaw(image, info).map(|views| (views.applied, views.start)).map_err(|e| e.to_string());
    BaseInfo { number, bytes: info.len, at }
}

fn thaw(image: &Image, info: &StreamInfo) -> Result<Views> {
    let buckets: &Buckets = &image.buckets;
    let failed = |e| Error::io(format!("cannot read {}", info.name), e);
    let reader = image.backend.open(&info.name).map_err(failed)?;
    let bytes = reader.read(0..reader.published()).map_err(failed)?;
    Views::thaw(&bytes, buckets, image.identity.created_ms)
}
