//! JSON headers as clients write them, in one pass: an object of texts and whole numbers without white space inside, and
//! in it one of fields.
//!
//! Everything else is left to the general parser in [`header`](super::header), which takes four times as long. What is
//! read here is read in the same way there; a test compares the two.

use std::borrow::Cow;

use super::header::{Fields, Header, decimal};

/// A text with escapes is expected to be no longer than this.
const ESCAPED_BYTES: usize = 512;
/// Fields of a send.
const FIELDS: usize = 16;

/// Parses a header; `None` for one that needs the general parser.
pub(super) fn parse(text: &[u8]) -> Option<Header<'_>> {
    let text = text.trim_ascii_end();
    // Looked for once, so that no text within needs to.
    let has_control = text.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ';
    let mut input = Input { text: std::str::from_utf8(text).ok().filter(|_| !has_control)?, at: 0 };
    let mut header = Header::default();
    input.expect(b'{')?;
    loop {
        match input.key()? {
            "code" => header.code = input.number()?,
            "version" => header.version = input.number()?,
            "opaque" => header.opaque = input.number()?,
            "flag" => header.flag = input.number()?,
            "language" => header.language = input.text()?,
            "remark" => header.remark = Some(input.text()?),
            "extFields" => header.fields = input.fields()?,
            "serializeTypeCurrentRPC" => drop(input.text()?),
            _ => return None,
        }
        if input.ends_object()? {
            return input.rest().is_empty().then_some(header);
        }
    }
}

/// Without control characters.
struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        byte
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then_some(())
    }

    /// Whether the object ends here, rather than goes on behind a comma.
    #[inline]
    fn ends_object(&mut self) -> Option<bool> {
        match self.byte()? {
            b'}' => Some(true),
            b',' => Some(false),
            _ => None,
        }
    }

    fn fields(&mut self) -> Option<Fields<'a>> {
        let mut fields = Fields::with_capacity(FIELDS);
        self.expect(b'{')?;
        if self.rest().first() == Some(&b'}') {
            self.at += 1;
            return Some(fields);
        }
        loop {
            // Most are named by a letter and are texts.
            let (name, value) = if let Some([b'"', b'a'..=b'z', b'"', b':', b'"']) = self.rest().first_chunk()
            {
                let name = self.at + 1;
                self.at += 5;
                (self.text.get(name..=name)?, self.text_behind_quote()?)
            } else {
                let name = self.key()?;
                let is_text = self.rest().first()? == &b'"';
                (name, if is_text { self.text()? } else { self.digits()?.into() })
            };
            if !fields.push(Cow::Borrowed(name), value) {
                return None;
            }
            if self.ends_object()? {
                return Some(fields);
            }
        }
    }

    /// A key without escapes, and the colon behind it.
    #[inline]
    fn key(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let (key, end) = self.plain()?;
        self.expect(b':')?;
        (end == b'"').then_some(key)
    }

    /// The text up to a quote or backslash, and which of them it is.
    #[inline(always)]
    fn plain(&mut self) -> Option<(&'a str, u8)> {
        let rest = self.rest();
        let len = special(rest);
        let end = *rest.get(len)?;
        // What is special is one byte long, so this is a boundary of characters.
        let plain = self.text.get(self.at..self.at + len)?;
        self.at += len + 1;
        Some((plain, end))
    }

    #[inline]
    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        self.text_behind_quote()
    }

    #[inline]
    fn text_behind_quote(&mut self) -> Option<Cow<'a, str>> {
        match self.plain()? {
            (text, b'"') => Some(Cow::Borrowed(text)),
            (first, _) => self.escaped(first).map(Cow::Owned),
        }
    }

    /// The rest of a text behind its first backslash. Surrogates are left to the general parser.
    #[inline(never)]
    fn escaped(&mut self, first: &str) -> Option<String> {
        let mut text = String::with_capacity(first.len() + self.rest().len().min(ESCAPED_BYTES));
        text.push_str(first);
        loop {
            text.push(match self.byte()? {
                b'u' => self.hex().and_then(char::from_u32)?,
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                byte @ (b'"' | b'\\' | b'/') => char::from(byte),
                _ => return None,
            });
            let (plain, end) = self.plain()?;
            text.push_str(plain);
            if end == b'"' {
                return Some(text);
            }
        }
    }

    #[inline]
    fn hex(&mut self) -> Option<u32> {
        // The separators of properties.
        if let Some(&[b'0', b'0', b'0', digit @ b'0'..=b'9']) = self.rest().first_chunk() {
            self.at += 4;
            return Some(u32::from(digit - b'0'));
        }
        (0..4).try_fold(0, |code, _| Some(code << 4 | char::from(self.byte()?).to_digit(16)?))
    }

    /// A whole number that is not negative, as it is written.
    fn digits(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at += self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.text.get(start..self.at)?;
        // More of them may not be a whole number any more, and one with zeros in front is no number.
        let usual = (1..=18).contains(&digits.len()) && (digits.len() == 1 || !digits.starts_with('0'));
        usual.then_some(digits)
    }

    fn number(&mut self) -> Option<i32> {
        let negative = self.rest().first() == Some(&b'-');
        self.at += usize::from(negative);
        let number = decimal(self.digits()?)?;
        match (negative, number) {
            (true, 0) => None,
            (true, n) => i32::try_from(-n).ok(),
            (false, n) => i32::try_from(n).ok(),
        }
    }
}

const ONES: u64 = u64::MAX / 255;

/// Has the high bit of each byte that is 0; bytes above one that is may have it too.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Bytes before the first quote or backslash.
#[inline(always)]
fn special(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        let found = found & (ONES << 7);
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let last = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\'));
    bytes.len() - rest.len() + last.count()
}

/// Bytes before the first quote, backslash or control character.
#[inline]
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*word);
        let control = x.wrapping_sub(ONES * 0x20) & !x;
        let special = control | zeros(x ^ (ONES * u64::from(b'"'))) | zeros(x ^ (ONES * u64::from(b'\\')));
        let special = special & (ONES << 7);
        if special != 0 {
            return i * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    words.len() * 8 + rest.iter().take_while(plain).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the Java client 5 writes a send.
    const JAVA_SEND: &str = concat!(
        r#"{"code":310,"extFields":{"a":"g","b":"T","c":"TBW102","d":"4","e":"0","f":"0","g":"1795321267159","h":"0","#,
        r#""i":"UNIQ_KEY\u0001FD0000\u0002WAIT\u0001true\u0002","j":"0","k":"false","m":"false","n":"b"},"flag":0,"#,
        r#""language":"JAVA","opaque":17,"serializeTypeCurrentRPC":"JSON","version":475}"#
    );

    #[test]
    fn reads_what_clients_write() {
        let header = parse(JAVA_SEND.as_bytes()).unwrap();
        assert_eq!(Header::parse_any_json(JAVA_SEND.as_bytes()).unwrap(), header);
        assert_eq!((header.code, header.opaque, header.fields.len()), (310, 17, 13));
        assert_eq!(header.fields.get("i"), Some("UNIQ_KEY\u{1}FD0000\u{2}WAIT\u{1}true\u{2}"));
        let empty = parse(br#"{"code":-3,"extFields":{},"remark":"a\"b\\"}"#).unwrap();
        assert_eq!((empty.code, empty.fields.len(), empty.remark.as_deref()), (-3, 0, Some("a\"b\\")));
    }

    #[test]
    fn leaves_the_rest_to_the_general_parser() {
        for other in [
            "",
            "{",
            "{}",
            "{\"code\":1}}",
            "{\"code\":1}\u{b}",
            "{ \"code\":1}",
            r#"{"code":01}"#,
            r#"{"code":-0}"#,
            r#"{"code":1.5}"#,
            r#"{"code":99999999999}"#,
            r#"{"code":"1"}"#,
            r#"{"remark":null}"#,
            r#"{"remark":"\ud83d\ude00"}"#,
            r#"{"new":1}"#,
            r#"{"extFields":{"a":true}}"#,
            r#"{"extFields":{"a":-1}}"#,
            r#"{"extFields":{"a":1"#,
            "{\"remark\":\"\u{1}\"}",
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn finds_what_is_special_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1F] {
            for at in 0..40 {
                let mut bytes = [b'!'; 40];
                bytes[at] = special;
                assert_eq!(plain_bytes(&bytes), at);
                bytes[39] = special;
                assert_eq!(plain_bytes(&bytes), at);
            }
        }
        assert_eq!(plain_bytes("é\u{7f}\u{80}~ !#[]".as_bytes()), "é\u{7f}\u{80}~ !#[]".len());
    }

    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            "[ -~]{0,20}".prop_map(|text| format!("\"{text}\"")),
            "-?[0-9]{1,21}",
            Just(String::from("null")),
        ]
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_alike(
            keys in prop::collection::vec(("code|flag|opaque|version|language|remark", scalar()), 0..5),
            fields in prop::collection::vec(("[a-c\\\\\"]{0,3}", scalar()), 0..5),
            cut in 0..400usize,
        ) {
            let object = |pairs: &[(String, String)]| {
                pairs.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",")
            };
            let mut text = format!("{{\"extFields\":{{{}}},{}}}", object(&fields), object(&keys));
            for text in [text.clone(), { text.truncate(text.floor_char_boundary(cut)); text }] {
                if let Some(header) = parse(text.as_bytes()) {
                    prop_assert_eq!(Header::parse_any_json(text.as_bytes()).unwrap(), header);
                }
            }
        }
    }
}
