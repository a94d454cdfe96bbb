//! The three cells of a store: identity, epoch, checkpoint.
//!
//! Each is an [envelope](crate::envelope). The identity goes on with:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 20 | 8 | secret | the log's 64 random bits |
//! | 28 | 8 | created | wall milliseconds |
//!
//! The epoch:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 20 | 4 | epoch | its number, from 1 |
//! | 24 | 8 | node | the node that owns it |
//! | 32 | 1 | commit rule | 0 appended, 1 flushed |
//! | 33 | 16 | boot id | the boot of the machine in which it was opened |
//! | 49 | 1 | clean | 1 if the store was closed in order |
//! | 50 | 4 | queue skips | what the epoch's opening frame names |
//!
//! The checkpoint:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 20 | 8 | flushed | first offset not known to be durable |

use backends::Backend;

use crate::codec::{Malformed, Reader, Writer};
use crate::envelope::{Envelope, HEAD_BYTES};
use crate::error::{Error, Result};
use crate::naming::{self, cell};
use crate::offset::{Epoch, Offset};

/// The format version of the store's cells.
pub const VERSION: u32 = 1;
/// The longest cell of any version, bytes.
pub const CELL_BYTES_MAX: u64 = 4096;

/// Who the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The log secret.
    pub secret: u64,
    /// When it was created, wall milliseconds.
    pub created_ms: i64,
}

/// The present epoch; durable before the epoch's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// The node that owns it.
    pub node: u64,
    /// The commit rule: 0 appended, 1 flushed.
    pub commit_rule: u8,
    /// The boot of the machine in which it was opened.
    pub boot_id: u128,
    /// Whether the store was closed in order.
    pub clean: bool,
    /// The queue skips that the epoch's opening frame names.
    pub queue_skips: u32,
}

/// The durable mark, written when the log is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// First byte not known to be durable.
    pub flushed: Offset,
}

/// A value that lives in a cell.
pub trait CellValue: Sized {
    /// The cell's name.
    const NAME: &'static str;
    /// The cell's magic.
    const MAGIC: u32;
    /// `(field, offset, size)` of the payload, in order; offsets count from the cell's first byte.
    const FIELDS: &'static [(&'static str, usize, usize)];
    /// Bytes of the payload.
    const PAYLOAD_BYTES: usize;
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn put(&self, out: &mut Writer);
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn get(r: &mut Reader<'_>) -> std::result::Result<Self, Malformed>;
}

impl CellValue for Identity {
    const NAME: &'static str = naming::IDENTITY;
    const MAGIC: u32 = u32::from_be_bytes(*b"MSI1");
    const FIELDS: &'static [(&'static str, usize, usize)] = &[("secret", 20, 8), ("created", 28, 8)];
    const PAYLOAD_BYTES: usize = 16;
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn put(&self, out: &mut Writer) {
        out.u64(self.secret).i64(self.created_ms);
    }
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn get(r: &mut Reader<'_>) -> std::result::Result<Self, Malformed> {
        Ok(Self { secret: r.u64()?, created_ms: r.i64()? })
    }
}

impl CellValue for EpochRecord {
    const NAME: &'static str = naming::EPOCH;
    const MAGIC: u32 = u32::from_be_bytes(*b"MSE1");
    const FIELDS: &'static [(&'static str, usize, usize)] = &[
        ("epoch", 20, 4),
        ("node", 24, 8),
        ("commit rule", 32, 1),
        ("boot id", 33, 16),
        ("clean", 49, 1),
        ("queue skips", 50, 4),
    ];
    const PAYLOAD_BYTES: usize = 34;
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn put(&self, out: &mut Writer) {
        out.u32(self.epoch.0).u64(self.node).u8(self.commit_rule).u128(self.boot_id);
        out.u8(u8::from(self.clean)).u32(self.queue_skips);
    }
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn get(r: &mut Reader<'_>) -> std::result::Result<Self, Malformed> {
        Ok(Self {
            epoch: Epoch(r.u32()?),
            node: r.u64()?,
            commit_rule: r.u8()?,
            boot_id: r.u128()?,
            clean: r.u8()? != 0,
            queue_skips: r.u32()?,
        })
    }
}

impl CellValue for Checkpoint {
    const NAME: &'static str = naming::CHECKPOINT;
    const MAGIC: u32 = u32::from_be_bytes(*b"MSC1");
    const FIELDS: &'static [(&'static str, usize, usize)] = &[("flushed", 20, 8)];
    const PAYLOAD_BYTES: usize = 8;
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn put(&self, out: &mut Writer) {
        out.u64(self.flushed.0);
    }
    #[allow(private_interfaces, reason = "codecs stay inside the crate")]
    fn get(r: &mut Reader<'_>) -> std::result::Result<Self, Malformed> {
        Ok(Self { flushed: Offset(r.u64()?) })
    }
}

/// The bytes of a cell.
#[must_use]
pub fn encode<V: CellValue>(value: &V) -> Vec<u8> {
    let mut payload = Writer::default();
    value.put(&mut payload);
    envelope::<V>(&what::<V>()).seal(&payload.0)
}

/// The value of a cell's bytes.
///
/// # Errors
/// As [`Envelope::open`]; `Corrupt` too if the length is another. All name the cell.
pub fn decode<V: CellValue>(bytes: &[u8]) -> Result<V> {
    let what = what::<V>();
    let envelope = envelope::<V>(&what);
    let mut r = Reader::new(envelope.open(bytes)?);
    let value = V::get(&mut r).map_err(|Malformed| envelope.corrupt("malformed"))?;
    let whole = bytes.len() == HEAD_BYTES + V::PAYLOAD_BYTES;
    r.end().ok().filter(|()| whole).ok_or_else(|| envelope.corrupt("too long"))?;
    Ok(value)
}

fn what<V: CellValue>() -> String {
    format!("cell `{}`", V::NAME)
}

fn envelope<V: CellValue>(what: &str) -> Envelope<'_> {
    Envelope { what, magic: V::MAGIC, version: VERSION, bytes_max: CELL_BYTES_MAX }
}

/// Reads a cell.
///
/// # Errors
/// Those of the medium and of [`decode`].
pub fn read<V: CellValue>(backend: &dyn Backend) -> Result<Option<V>> {
    let bytes = backend
        .read_cell(&cell(V::NAME))
        .map_err(|e| Error::io(format!("cannot read cell `{}` of {}", V::NAME, backend.describe()), e))?;
    bytes.map(|b| decode(&b)).transpose()
}

/// Writes a cell; durable when it returns.
///
/// # Errors
/// Those of the medium.
pub fn write<V: CellValue>(backend: &dyn Backend, value: &V) -> Result<()> {
    backend
        .write_cell(&cell(V::NAME), &encode(value))
        .map_err(|e| Error::io(format!("cannot write cell `{}` of {}", V::NAME, backend.describe()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_read_back_and_are_their_own_kind() {
        let record =
            EpochRecord { epoch: Epoch(7), node: 1, commit_rule: 1, boot_id: 5, clean: true, queue_skips: 2 };
        let bytes = encode(&record);
        assert_eq!(bytes.len(), HEAD_BYTES + EpochRecord::PAYLOAD_BYTES);
        assert_eq!(decode::<EpochRecord>(&bytes).unwrap(), record);
        assert!(decode::<EpochRecord>(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<EpochRecord>(&[&bytes[..], &[0]].concat()).is_err());
        let error = decode::<Checkpoint>(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "cell `checkpoint`: wrong magic");
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(&Checkpoint { flushed: Offset(0x0102_0304_0506_0708) });
        assert_eq!(&bytes[..16], b"MSC1\0\0\0\x01\0\0\0\0\0\0\0\x1c");
        assert_eq!(&bytes[20..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
