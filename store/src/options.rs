//! What can be set when a store is opened.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::FRAME_BYTES_MAX;

/// When a frame counts as committed: shown to consumers and acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CommitRule {
    /// Once it stands in the log. A process kill loses nothing, a power cut the last flush interval.
    Appended,
    /// Once it is on this node's disk. Neither a process kill nor a power cut loses anything.
    #[default]
    Flushed,
}

/// Learns of new messages. Called after they are visible, from the thread that applied them; must not block.
pub trait Observer: Send + Sync {
    /// A message became visible in a queue, whose next offset is now `next_offset`.
    fn arrived(&self, topic: &str, queue: u32, next_offset: u64, tags: i64);
}

/// The options of a store. Sizes are bytes, times milliseconds.
#[derive(Clone)]
pub struct Options {
    /// When a frame is committed. Default: flushed. Loses at most `flush_interval_ms` under `Appended`.
    pub commit: CommitRule,
    /// Bytes of a segment, a multiple of 4096 from 64 KiB to 1 GiB. Default: 256 MiB. Kept per epoch.
    pub segment_bytes: u64,
    /// Bytes of disk reserved ahead of the tail at a time, from 64 KiB. Default: 16 MiB.
    pub reserve_bytes: u64,
    /// Longest message body, from 1 byte to what a frame holds. Default: 4 MiB.
    pub message_bytes_max: usize,
    /// Bytes that may be appended and not flushed, to 256 MiB, but always one frame; more appends are `Busy` until a
    /// flush is done. Default: 64 MiB.
    pub unflushed_bytes_max: u64,
    /// Under `Appended`: how long a frame may wait for its flush, from 1. Default: 500 ms. What a power cut loses.
    pub flush_interval_ms: u64,
    /// Messages older than this may be trimmed, segment by segment. Default: 72 h. `None`: never.
    pub retention_ms: Option<u64>,
    /// Above this many bytes of log the oldest segments are trimmed. Default: none.
    pub retention_bytes: Option<u64>,
    /// Timers due within this of a segment's seal are not copied out of it. Default: 10 min. Trim waits for them.
    pub near_horizon_ms: u64,
    /// Bytes preallocated so that timers fire while the disk is full. Default: 32 MiB. 0: none.
    pub fire_reserve_bytes: u64,
    /// Whether an append waits, on its caller's thread, for space that is being prepared. Default: yes. Else whatever
    /// gives a [`Pending`](crate::Pending) is refused as [`Preparing`](ErrorKind::Preparing) at once, for callers that
    /// must not block; what waits to be committed by itself waits for space as well.
    pub wait_for_space: bool,
    /// Under `Appended`: whether those who append see to it with [`Store::catch_up`](crate::Store::catch_up) that it is
    /// applied, once for many appends, so that no thread is woken for each. Default: no. What nobody catches up with
    /// is visible within a second.
    pub callers_apply: bool,
    /// Whether a first message creates its topic. Default: yes.
    pub auto_create_topics: bool,
    /// Queues of a topic that is created so, from 1 to 1024. Default: 4.
    pub default_queues: u32,
    /// The delay of each level, from level 1. Default: RocketMQ's 18 levels. 1 to 64 of them.
    pub level_delays_ms: Vec<u64>,
    /// Failures after which a message goes to the dead-letter topic, for groups created on first use. Default: 16.
    pub attempts_max: i32,
    /// How long a message that is stored once is remembered, milliseconds of the owner's time.
    pub once_window_ms: u64,
    /// How many of them are remembered at most; about 170 bytes of memory each.
    pub once_keys_max: u32,
    /// The address that records name as their broker. Default: 127.0.0.1:10911.
    pub store_host: SocketAddrV4,
    /// The node's number. Default: 1.
    pub node: u64,
    /// Told of new messages. Default: nobody.
    pub observer: Option<Arc<dyn Observer>>,
    /// Whether the store runs on threads of its own, or is driven by [`Store::step`](crate::Store::step).
    /// Default: on threads.
    pub threads: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("commit", &self.commit)
            .field("segment_bytes", &self.segment_bytes)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// RocketMQ's delay levels, seconds.
pub const LEVELS_S: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

impl Default for Options {
    fn default() -> Self {
        Self {
            commit: CommitRule::Flushed,
            segment_bytes: 256 << 20,
            reserve_bytes: 16 << 20,
            message_bytes_max: 4 << 20,
            unflushed_bytes_max: 64 << 20,
            flush_interval_ms: 500,
            retention_ms: Some(72 * 3600 * 1000),
            retention_bytes: None,
            near_horizon_ms: 10 * 60 * 1000,
            fire_reserve_bytes: 32 << 20,
            wait_for_space: true,
            callers_apply: false,
            auto_create_topics: true,
            default_queues: 4,
            level_delays_ms: LEVELS_S.iter().map(|s| s * 1000).collect(),
            attempts_max: 16,
            once_window_ms: 600_000,
            once_keys_max: 1 << 18,
            store_host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 10911),
            node: 1,
            observer: None,
            threads: true,
        }
    }
}

/// `tail - flushed` may not exceed this: the search for the durable mark goes so far.
pub(crate) const UNFLUSHED_BYTES_LIMIT: u64 = 256 << 20;

impl Options {
    /// The longest frame: 8 MiB or a quarter of a segment.
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        usize::try_from(self.segment_bytes / 4)
            .map_or(FRAME_BYTES_MAX, |quarter| quarter.min(FRAME_BYTES_MAX))
    }

    /// The longest body that fits a frame with its properties and heads.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        self.message_bytes_max
            .min(self.frame_bytes_max().saturating_sub(RECORD_HEADROOM.min(self.frame_bytes_max() / 2)))
    }

    /// The delay of a level, clamped to the table; `None` for levels below 1.
    #[must_use]
    pub fn level_delay_ms(&self, level: i32) -> Option<u64> {
        let index = usize::try_from(level.checked_sub(1)?).ok()?;
        self.level_delays_ms.get(index.min(self.level_delays_ms.len().saturating_sub(1))).copied()
    }

    /// Checks every option against its range.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with all problems in one message.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, text: &str| {
            if !ok {
                problems.push(text.to_owned());
            }
        };
        let segment_ok =
            (64 << 10..=1 << 30).contains(&self.segment_bytes) && self.segment_bytes.is_multiple_of(4096);
        check(segment_ok, "segment_bytes must be a multiple of 4096 from 64 KiB to 1 GiB");
        check(self.reserve_bytes >= 64 << 10, "reserve_bytes must be at least 64 KiB");
        check(self.message_bytes_max >= 1, "message_bytes_max must be at least 1");
        check(
            (2 * self.frame_bytes_max() as u64..=UNFLUSHED_BYTES_LIMIT).contains(&self.unflushed_bytes_max),
            "unflushed_bytes_max must be from two frames (half a segment, or 16 MiB) to 256 MiB",
        );
        check(self.flush_interval_ms >= 1, "flush_interval_ms must be at least 1");
        check((1..=1024).contains(&self.default_queues), "default_queues must be from 1 to 1024");
        check((1..=64).contains(&self.level_delays_ms.len()), "level_delays_ms must hold 1 to 64 levels");
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Invalid, format!("options: {}", problems.join("; "))))
        }
    }
}

/// What a record and its frame need beside the body: properties, names, heads.
const RECORD_HEADROOM: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_problems_are_told_at_once() {
        assert!(Options::default().validate().is_ok());
        let bad = Options { segment_bytes: 5, default_queues: 0, ..Options::default() };
        let text = bad.validate().unwrap_err().to_string();
        assert!(text.contains("segment_bytes") && text.contains("default_queues"), "{text}");
    }

    #[test]
    fn levels_are_clamped() {
        let o = Options::default();
        assert_eq!(o.level_delay_ms(0), None);
        assert_eq!(o.level_delay_ms(1), Some(1000));
        assert_eq!(o.level_delay_ms(19), Some(7_200_000));
        assert_eq!(o.level_delay_ms(-1), None);
    }
}
