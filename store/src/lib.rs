#![cfg_attr(feature = "mmap", doc = include_str!("../../README.md"))]
//!
//! # How it works
#![doc = include_str!("../../docs/architecture.md")]

pub mod base;
pub mod bucket;
pub mod cells;
pub mod clock;
mod codec;
pub mod commitlog;
mod consumer;
pub mod engine;
pub mod envelope;
mod error;
pub mod frame;
mod groups;
pub mod hash;
mod histogram;
pub mod index;
pub mod inspect;
mod lag;
mod ledger;
mod locks;
mod message;
pub mod naming;
pub mod offset;
mod once;
mod options;
mod pending;
pub mod planted;
mod query;
mod read;
mod recent_keys;
pub mod record;
mod recovery;
mod settings;
mod shell;
mod stats;
mod store;
mod timing;
pub mod views;

pub use bytes::Bytes;

pub use clock::{Clock, ManualClock, SystemClock};
pub use commitlog::Records;
pub use consumer::{Consumer, Delivery};
pub use error::{Error, ErrorKind, Result};
pub use frame::Wait;
pub use groups::{Failed, Failure, Progress};
pub use histogram::Histogram;
pub use lag::Lag;
pub use ledger::{Explained, PAGE_MAX, TimedMessage, TimerInfo, TimerPage, TimerQuery};
pub use locks::QueueLock;
pub use message::{Ack, Cancel, Handle, Message, Scheduled, draft};
pub use offset::{Epoch, Offset};
pub use once::{Once, OnceDraft, Stored};
pub use options::{CommitRule, LEVELS_S, Observer, Options};
pub use pending::Pending;
pub use query::{KeyQuery, KeysFound};
pub use read::{ReadRequest, ReadResult, ReadStatus};
pub use record::{Draft, TagFilter};
pub use recovery::Report;
pub use settings::{
    ATTRIBUTES_BYTES_MAX, Attributes, GroupConfig, PERM_READ, PERM_WRITE, QUEUES_MAX, TopicConfig,
};
pub use stats::Stats;
pub use store::Store;
pub use views::Place;
