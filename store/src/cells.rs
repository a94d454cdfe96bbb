//! The three cells of a store: identity, epoch, checkpoint.
//!
//! All start alike:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | magic | `MSI1` identity, `MSE1` epoch, `MSC1` checkpoint |
//! | 4 | 4 | version | 1 |
//! | 8 | 4 | checksum | CRC-32C of everything behind this field |
//!
//! The identity goes on with:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 12 | 8 | secret | the log's 64 random bits |
//! | 20 | 8 | created | wall milliseconds |
//!
//! The epoch:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 12 | 4 | epoch | its number, from 1 |
//! | 16 | 8 | node | the node that owns it |
//! | 24 | 1 | commit rule | 0 appended, 1 flushed |
//! | 25 | 16 | boot id | the boot of the machine in which it was opened |
//! | 41 | 1 | clean | 1 if the store was closed in order |
//! | 42 | 4 | queue skips | what the epoch's opening frame names |
//!
//! The checkpoint:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 12 | 8 | flushed | first offset not known to be durable |

use backends::Backend;

use crate::codec::{Malformed, Reader, Writer, fill};
use crate::error::{Error, ErrorKind, Result};
use crate::naming::{self, cell};
use crate::offset::{Epoch, Offset};

/// The format version of the store's cells.
pub const VERSION: u32 = 1;
/// Bytes in front of a cell's payload.
pub const HEAD_BYTES: usize = 12;

/// `(field, offset, size)` of what all cells start with, in order.
pub const HEAD_FIELDS: &[(&str, usize, usize)] = &[("magic", 0, 4), ("version", 4, 4), ("checksum", 8, 4)];

const _: () = assert!(fill(HEAD_FIELDS, HEAD_BYTES));

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
    const FIELDS: &'static [(&'static str, usize, usize)] = &[("secret", 12, 8), ("created", 20, 8)];
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
        ("epoch", 12, 4),
        ("node", 16, 8),
        ("commit rule", 24, 1),
        ("boot id", 25, 16),
        ("clean", 41, 1),
        ("queue skips", 42, 4),
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
    const FIELDS: &'static [(&'static str, usize, usize)] = &[("flushed", 12, 8)];
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
    let mut out = Writer::default();
    out.u32(V::MAGIC).u32(VERSION).u32(crc32c::crc32c(&payload.0)).bytes(&payload.0);
    out.0
}

/// The value of a cell's bytes.
///
/// # Errors
/// [`ErrorKind::Version`] for another version, [`ErrorKind::Corrupt`] for anything else; both name the cell.
pub fn decode<V: CellValue>(bytes: &[u8]) -> Result<V> {
    let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("cell `{}`: {what}", V::NAME));
    let mut r = Reader::new(bytes);
    let head = (|| Ok::<_, Malformed>((r.u32()?, r.u32()?, r.u32()?)))();
    let Ok((magic, version, sum)) = head else {
        return Err(corrupt("cut short"));
    };
    if magic != V::MAGIC {
        return Err(corrupt("this is no such cell (wrong magic)"));
    }
    if version != VERSION {
        let text = format!("cell `{}` has format version {version}, this build knows {VERSION}", V::NAME);
        return Err(Error::new(ErrorKind::Version, text));
    }
    if crc32c::crc32c(r.rest()) != sum {
        return Err(corrupt("checksum differs"));
    }
    let value = V::get(&mut r).map_err(|Malformed| corrupt("malformed"))?;
    r.end().map_err(|Malformed| corrupt("too long"))?;
    Ok(value)
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
    fn cells_read_back_and_damage_is_told() {
        let record =
            EpochRecord { epoch: Epoch(7), node: 1, commit_rule: 1, boot_id: 5, clean: true, queue_skips: 2 };
        let bytes = encode(&record);
        assert_eq!(bytes.len(), HEAD_BYTES + EpochRecord::PAYLOAD_BYTES);
        assert_eq!(decode::<EpochRecord>(&bytes).unwrap(), record);
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            let kind = decode::<EpochRecord>(&bad).unwrap_err().kind();
            let version_field = (4..8).contains(&i);
            assert_eq!(kind, if version_field { ErrorKind::Version } else { ErrorKind::Corrupt }, "byte {i}");
        }
        assert!(decode::<EpochRecord>(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<Checkpoint>(&bytes).is_err());
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(&Checkpoint { flushed: Offset(0x0102_0304_0506_0708) });
        assert_eq!(&bytes[..8], b"MSC1\0\0\0\x01");
        assert_eq!(&bytes[12..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
