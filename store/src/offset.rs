//! Log positions and epochs.

use std::fmt;

/// Bytes of the offset space that one epoch owns.
pub const EPOCH_BYTES: u64 = 1 << 40;

/// Highest epoch: offsets stay below 2^63, so that they fit the signed fields of RocketMQ's formats.
pub const EPOCH_MAX: u32 = (1 << 23) - 1;

/// A term of ownership of the log. Counted from 1 and never used twice; 0 stands for "none yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The first offset of this epoch.
    #[must_use]
    pub const fn first(self) -> Offset {
        Offset(self.0 as u64 * EPOCH_BYTES)
    }

    /// The next epoch, `None` at the end of the offset space.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if self.0 >= EPOCH_MAX { None } else { Some(Self(self.0 + 1)) }
    }
}

/// A byte position in the log. Ends are exclusive: a cursor is the first byte that is *not yet* so.
///
/// An offset names its epoch (`offset / 2^40`) and never comes to name other bytes. Differences of offsets are
/// not sizes: segments and epochs leave gaps.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The epoch that owns this offset.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 / EPOCH_BYTES) as u32)
    }

    /// This offset `bytes` further, within one frame or segment.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch().0, self.0 % EPOCH_BYTES)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_names_its_epoch() {
        let last = Epoch(EPOCH_MAX);
        assert_eq!(Epoch(3).first().plus(17).epoch(), Epoch(3));
        assert_eq!(Epoch(2).first().to_string(), "2:0");
        assert_eq!(last.next(), None);
        assert!(i64::try_from(last.first().0 + EPOCH_BYTES - 1).is_ok());
    }
}
