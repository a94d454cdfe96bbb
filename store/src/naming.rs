//! The names of streams and cells: built and parsed here, nowhere else.

use backends::Name;

use crate::offset::Offset;

/// What a stream of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// A segment of the log, by its first offset.
    Segment(Offset),
    /// The index file of a sealed segment, by the segment's first offset.
    Index(Offset),
    /// The bodies of timers that outlive a segment, by the segment's first offset.
    Bucket(Offset),
    /// A base generation, by its number.
    Base(u64),
    /// The preallocated reserve from which timers fire while the disk is full.
    Reserve,
}

/// The cell with the store's identity.
pub const IDENTITY: &str = "identity";
/// The cell with the present epoch.
pub const EPOCH: &str = "epoch";
/// The cell with the checkpoint.
pub const CHECKPOINT: &str = "checkpoint";

/// Numbers in names are below this: offsets are (see [`EPOCH_MAX`](crate::offset::EPOCH_MAX)), and bases are
/// counted from 1.
const NUMBER_END: u64 = 1 << 63;

impl StreamKind {
    /// The stream's name.
    #[must_use]
    pub fn name(self) -> Name {
        let text = match self {
            Self::Segment(at) => format!("log-{:020}", at.0),
            Self::Index(at) => format!("idx-{:020}", at.0),
            Self::Bucket(at) => format!("due-{:020}", at.0),
            Self::Base(number) => format!("base-{number:020}"),
            Self::Reserve => "reserve".into(),
        };
        cell(&text)
    }

    /// What stream `name` is; `None` for one that this version does not know.
    #[must_use]
    pub fn parse(name: &Name) -> Option<Self> {
        if name.as_str() == "reserve" {
            return Some(Self::Reserve);
        }
        let (kind, number) = name.as_str().split_once('-')?;
        if number.len() != 20 {
            return None;
        }
        let number: u64 = number.parse().ok()?;
        if number >= NUMBER_END {
            return None;
        }
        match kind {
            "log" => Some(Self::Segment(Offset(number))),
            "idx" => Some(Self::Index(Offset(number))),
            "due" => Some(Self::Bucket(Offset(number))),
            "base" => Some(Self::Base(number)),
            _ => None,
        }
    }
}

/// The name of a cell.
#[must_use]
pub fn cell(text: &str) -> Name {
    #[expect(clippy::expect_used, reason = "called with the constants and formats of this file only")]
    Name::new(text).expect("a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        let at = Offset(3 << 40);
        for kind in [
            StreamKind::Segment(at),
            StreamKind::Index(at),
            StreamKind::Bucket(at),
            StreamKind::Base(7),
            StreamKind::Reserve,
        ] {
            assert_eq!(StreamKind::parse(&kind.name()), Some(kind));
        }
        assert_eq!(StreamKind::parse(&cell("log-1")), None);
        assert_eq!(StreamKind::parse(&cell("other")), None);
    }

    #[test]
    fn numbers_that_no_store_can_reach_are_not_its_own() {
        for kind in ["log", "idx", "due", "base"] {
            assert!(StreamKind::parse(&cell(&format!("{kind}-{:020}", NUMBER_END - 1))).is_some());
            for number in [NUMBER_END, u64::MAX] {
                assert_eq!(StreamKind::parse(&cell(&format!("{kind}-{number:020}"))), None);
            }
        }
    }
}
