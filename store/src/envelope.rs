//! What cells, bases and due buckets start with: who they are, and the check that tells damage from another version.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | magic | `MSI1` identity, `MSE1` epoch, `MSC1` checkpoint, `MSB1` base, `MSD1` due bucket |
//! | 4 | 4 | version | 1; 2 for a base with later parts |
//! | 8 | 8 | length | bytes that the checksum covers, counted from the magic on, its own 4 included |
//! | 16 | 4 | checksum | CRC-32C of all of them but its own 4 |
//!
//! The checksum is looked at before the version: a wrong one is damage, whatever the version says. So this head is
//! the same in every version.

use crate::codec::{Malformed, Reader, Writer, fill};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{checksum, checksum_more};

/// Bytes of the head.
pub const HEAD_BYTES: usize = 20;

/// `(field, offset, size)` of the head, in order.
pub const FIELDS: &[(&str, usize, usize)] =
    &[("magic", 0, 4), ("version", 4, 4), ("length", 8, 8), ("checksum", SUM, 4)];

const _: () = assert!(fill(FIELDS, 0, HEAD_BYTES));

/// Where the checksum stands.
const SUM: usize = 16;

/// One kind of structure.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// What errors call it.
    pub what: &'a str,
    /// What it starts with.
    pub magic: u32,
    /// The one version that is known.
    pub version: u32,
    /// Bytes that its checksum covers at most, head included.
    pub bytes_max: u64,
}

impl Envelope<'_> {
    /// The head and, behind it, `body`.
    #[must_use]
    pub fn seal(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(HEAD_BYTES + body.len()));
        out.u32(self.magic).u32(self.version).u64((HEAD_BYTES + body.len()) as u64);
        let sum = checksum_more(checksum(&out.0), body);
        out.u32(sum).bytes(body);
        out.0
    }

    /// How many bytes, from the head's first on, [`open`](Self::open) needs.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the check, if `head` is too short or not of this kind, or if its length is below
    /// the head's own or above the maximum.
    pub fn length(&self, head: &[u8]) -> Result<u64> {
        self.head(head).map(|(_, length, _)| length)
    }

    /// Version, length and checksum.
    fn head(&self, bytes: &[u8]) -> Result<(u32, u64, u32)> {
        let mut r = Reader::new(bytes);
        let fields = (|| Ok::<_, Malformed>((r.u32()?, r.u32()?, r.u64()?, r.u32()?)))();
        let (magic, version, length, sum) = fields.map_err(|Malformed| self.corrupt("cut short"))?;
        if magic != self.magic {
            return Err(self.corrupt("wrong magic"));
        }
        if !(HEAD_BYTES as u64..=self.bytes_max).contains(&length) {
            return Err(self.corrupt("impossible length"));
        }
        Ok((version, length, sum))
    }

    /// What stands behind the head, once it is checked. `bytes` may go on behind it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the check; [`ErrorKind::Version`] naming both versions, for one that passes
    /// every check and has another version.
    pub fn open<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let (version, length, sum) = self.head(bytes)?;
        let whole = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        let (head, body) = whole.ok_or_else(|| self.corrupt("cut short"))?.split_at(HEAD_BYTES);
        if checksum_more(checksum(&head[..SUM]), body) != sum {
            return Err(self.corrupt("checksum differs"));
        }
        if version != self.version {
            let text = format!("{}: format version {version}, this build knows {}", self.what, self.version);
            return Err(Error::new(ErrorKind::Version, text));
        }
        Ok(body)
    }

    /// The error for a check that fails.
    pub(crate) fn corrupt(&self, check: &str) -> Error {
        Error::new(ErrorKind::Corrupt, format!("{}: {check}", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Envelope<'_> = Envelope { what: "thing", magic: 0x4D53_5831, version: 1, bytes_max: 64 };

    #[test]
    fn golden_bytes() {
        let bytes = KIND.seal(b"body");
        assert_eq!(&bytes[..SUM], b"MSX1\0\0\0\x01\0\0\0\0\0\0\0\x18");
        assert_eq!(bytes[SUM..HEAD_BYTES], checksum(&[&bytes[..SUM], b"body"].concat()).to_be_bytes());
        assert_eq!(&bytes[HEAD_BYTES..], b"body");
    }

    #[test]
    fn what_is_sealed_can_be_opened_and_what_follows_is_not_its_own() {
        let mut bytes = KIND.seal(b"body");
        assert_eq!(KIND.open(&bytes).unwrap(), b"body");
        bytes.extend_from_slice(b"more");
        assert_eq!(KIND.open(&bytes).unwrap(), b"body");
        assert_eq!(KIND.open(&KIND.seal(b"")).unwrap(), b"");
    }

    #[test]
    fn only_a_whole_one_of_another_version_is_of_another_version() {
        let mut other = Envelope { version: 7, ..KIND }.seal(b"body");
        let error = KIND.open(&other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Version);
        assert_eq!(error.to_string(), "thing: format version 7, this build knows 1");
        other[HEAD_BYTES] ^= 1;
        assert_eq!(KIND.open(&other).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn every_check_is_named() {
        let good = KIND.seal(b"body");
        let told = |bytes: &[u8]| KIND.open(bytes).unwrap_err().to_string();
        assert_eq!(told(&good[..HEAD_BYTES - 1]), "thing: cut short");
        assert_eq!(told(&good[..good.len() - 1]), "thing: cut short");
        assert_eq!(told(&Envelope { magic: 5, ..KIND }.seal(b"body")), "thing: wrong magic");
        let long = Envelope { bytes_max: u64::MAX, ..KIND }.seal(&[0; 65 - HEAD_BYTES]);
        assert_eq!(told(&long), "thing: impossible length");
        let mut short = good.clone();
        short[8..SUM].copy_from_slice(&(HEAD_BYTES as u64 - 1).to_be_bytes());
        assert_eq!(told(&short), "thing: impossible length");
        let mut wrong = good;
        wrong[SUM] ^= 0x80;
        assert_eq!(told(&wrong), "thing: checksum differs");
    }
}
