//! Reading and writing fixed-width integers and short texts. All integers are big endian.

use byteorder::{BigEndian, ByteOrder};

/// Whether fields follow each other from `start` on without a gap, and end at `bytes`.
pub(crate) const fn fill(fields: &[(&str, usize, usize)], start: usize, bytes: usize) -> bool {
    let mut end = start;
    let mut i = 0;
    while i < fields.len() {
        if fields[i].1 != end {
            return false;
        }
        end += fields[i].2;
        i += 1;
    }
    end == bytes
}

/// The bytes ended before the value did, or a text is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A cursor over untrusted bytes; every read is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(head)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(BigEndian::read_u16)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(BigEndian::read_u32)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.take(4).map(BigEndian::read_i32)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.take(8).map(BigEndian::read_u64)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.take(8).map(BigEndian::read_i64)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        self.take(16).map(BigEndian::read_u128)
    }

    /// A text behind a two-byte length.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.u16()?;
        std::str::from_utf8(self.take(usize::from(len))?).map_err(|_| Malformed)
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Builds a payload.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u128(&mut self, value: u128) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text behind a two-byte length; names are checked to be far shorter before they get here.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.u16(len).bytes(&text.as_bytes()[..usize::from(len)])
    }
}
