//! The binary form of a header, for peers that send it.
//!
//! ```text
//! i16 code | u8 language | i16 version | i32 opaque | i32 flag
//! i32 length, remark | i32 length, repeated { i16 length, name, i32 length, value }
//! ```
//!
//! A length of 0 means absent. Codes above 16 bits do not fit; clients send them truncated.

use std::borrow::Cow;

use super::{
    frame::FrameError,
    header::{Fields, Header},
};

/// Names of the languages by their number on the wire.
const LANGUAGES: [&str; 13] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS",
    "RUST",
];

/// Parses a binary header.
///
/// # Errors
///
/// [`FrameError::Header`] if a length leads outside of the header or a text is not UTF-8.
pub fn parse(bytes: &[u8]) -> Result<Header<'_>, FrameError> {
    let mut input = Input(bytes);
    let code = i32::from(i16::from_be_bytes(input.array()?));
    let [language] = input.array()?;
    let version = i32::from(i16::from_be_bytes(input.array()?));
    let opaque = i32::from_be_bytes(input.array()?);
    let flag = i32::from_be_bytes(input.array()?);
    let remark_len = input.long_length()?;
    let remark = input.text(remark_len)?;
    let fields_len = input.long_length()?;
    let mut rest = Input(input.take(fields_len)?);
    let mut fields = Fields::default();
    while !rest.0.is_empty() {
        let name_len = usize::from(u16::from_be_bytes(rest.array()?));
        let name = rest.text(name_len)?;
        let value_len = rest.long_length()?;
        let value = rest.text(value_len)?;
        if !fields.push(Cow::Borrowed(name), Cow::Borrowed(value)) {
            return Err(wrong("too many fields"));
        }
    }
    let language = LANGUAGES.get(usize::from(language)).copied().unwrap_or("OTHER");
    let remark = (!remark.is_empty()).then_some(Cow::Borrowed(remark));
    Ok(Header { code, language: Cow::Borrowed(language), version, opaque, flag, remark, fields })
}

fn wrong(why: &str) -> FrameError {
    FrameError::Header(why.to_owned())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], FrameError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(|| wrong("a length leads outside"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let head = self.0.first_chunk::<N>().ok_or_else(|| wrong("it ends early"))?;
        self.0 = &self.0[N..];
        Ok(*head)
    }

    fn long_length(&mut self) -> Result<usize, FrameError> {
        usize::try_from(i32::from_be_bytes(self.array()?)).map_err(|_| wrong("a length is negative"))
    }

    fn text(&mut self, n: usize) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.take(n)?).map_err(|_| wrong("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = vec![0, 10, 1, 0, 63, 0, 0, 0, 9, 0, 0, 0, 2];
        bytes.extend_from_slice(&[0, 0, 0, 2, b'o', b'k', 0, 0, 0, 12, 0, 5]);
        bytes.extend_from_slice(b"topic\0\0\0\x01T");
        bytes
    }

    #[test]
    fn reads_a_header() {
        let bytes = sample();
        let header = parse(&bytes).unwrap();
        assert_eq!((header.code, header.version, header.opaque, header.flag), (10, 63, 9, 2));
        assert_eq!((header.language.as_ref(), header.remark.as_deref()), ("CPP", Some("ok")));
        assert_eq!(header.fields.get("topic"), Some("T"));
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
