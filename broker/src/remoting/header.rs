//! The header of a command: tolerant on the way in.
//!
//! Clients disagree about JSON. C++ writes numbers where Java writes strings, booleans as `"1"`, a line feed after the
//! text, and empty strings for what it does not have; all of it is read here. Unknown keys are skipped.
//! A header borrows from its frame; only texts with escapes are copied.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    codes::{FLAG_ONE_WAY, FLAG_RESPONSE},
    frame::FrameError,
};

/// Most entries of `extFields` that are read.
pub const FIELDS_MAX: usize = 1024;

/// A parsed header.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header<'a> {
    /// Request code, or response code in an answer.
    pub code: i32,
    /// Name of the peer's language as it calls it.
    pub language: Cow<'a, str>,
    /// Ordinal of the peer's version.
    pub version: i32,
    /// Correlation number.
    pub opaque: i32,
    /// Bit 0 answer, bit 1 one-way.
    pub flag: i32,
    /// Text of an answer.
    pub remark: Option<Cow<'a, str>>,
    /// The command's own fields.
    pub fields: Fields<'a>,
}

impl<'a> Header<'a> {
    /// Parses a JSON header by the general parser alone.
    ///
    /// # Errors
    ///
    /// [`FrameError::Header`] with the position where the text stops being one.
    pub(super) fn parse_any_json(text: &'a [u8]) -> Result<Self, FrameError> {
        let mut input = serde_json::Deserializer::from_slice(text);
        let header = HeaderSeed.deserialize(&mut input).map_err(|e| FrameError::Header(e.to_string()))?;
        input.end().map_err(|e| FrameError::Header(e.to_string()))?;
        Ok(header)
    }

    /// Whether this is an answer.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether nobody waits for an answer.
    #[must_use]
    pub fn is_one_way(&self) -> bool {
        self.flag & FLAG_ONE_WAY != 0
    }
}

/// A required field is missing, or a field does not hold what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Its name on the wire.
    pub name: String,
    /// The value found, if any.
    pub found: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            None => write!(f, "the field {} is missing", self.name),
            Some(value) => write!(f, "the field {} cannot be {value:?}", self.name),
        }
    }
}

impl std::error::Error for FieldError {}

/// The command's own fields: names and texts, in the order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    all: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// By letter, the place behind the last field that has it as its name; 0 where none has. Most sends name theirs so.
    letters: [u16; 26],
}

/// A number of at most 18 digits and nothing else, as nearly all are: it needs no look at its sign or size.
#[inline]
pub(super) fn decimal(text: &str) -> Option<i64> {
    let digit = |byte: u8| Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
    let usual = (1..=18).contains(&text.len());
    usual.then(|| text.bytes().try_fold(0, |n, byte| Some(n * 10 + i64::from(digit(byte)?)))).flatten()
}

/// The place of a name of one letter among all such names.
#[inline]
fn letter(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(usize::from(letter - b'a')),
        _ => None,
    }
}

impl<'a> Fields<'a> {
    /// None yet, and room for so many.
    #[must_use]
    pub fn with_capacity(fields: usize) -> Self {
        Self { all: Vec::with_capacity(fields), letters: [0; 26] }
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a field; the last of equal names counts. False once [`FIELDS_MAX`] is reached.
    #[inline]
    pub fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> bool {
        let Some(place) = u16::try_from(self.all.len() + 1).ok().filter(|n| usize::from(*n) <= FIELDS_MAX)
        else {
            return false;
        };
        if let Some(letter) = letter(&name) {
            self.letters[letter] = place;
        }
        self.all.push((name, value));
        true
    }

    /// All fields, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The text of a field.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<&str> {
        match letter(name) {
            Some(letter) => {
                let place = usize::from(self.letters[letter]).checked_sub(1)?;
                self.all.get(place).map(|(_, value)| value.as_ref())
            }
            None => self.find(name),
        }
    }

    fn find(&self, name: &str) -> Option<&str> {
        // Most names differ in length or first byte, which is cheaper to see than a call that compares them.
        let alike = |key: &str| {
            key.len() == name.len() && key.as_bytes().first() == name.as_bytes().first() && key == name
        };
        self.all.iter().rev().find(|(key, _)| alike(key)).map(|(_, value)| value.as_ref())
    }

    /// The text of a field that must be there and not empty.
    ///
    /// # Errors
    ///
    /// [`FieldError`] otherwise.
    pub fn required(&self, name: &str) -> Result<&str, FieldError> {
        let found = self.get(name).filter(|text| !text.is_empty());
        found.ok_or_else(|| FieldError { name: name.to_owned(), found: None })
    }

    /// A number; `None` where the field is absent or empty.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the text is no number of type `T`.
    pub fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, FieldError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        if let Some(number) = decimal(text).and_then(|number| T::try_from(number).ok()) {
            return Ok(Some(number));
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse().ok().and_then(|number| T::try_from(number).ok());
        let found = Some(text.chars().take(40).collect());
        number.map(Some).ok_or_else(|| FieldError { name: name.to_owned(), found })
    }

    /// A number that must be there.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the field is absent or no number of type `T`.
    pub fn required_number<T: TryFrom<i64>>(&self, name: &str) -> Result<T, FieldError> {
        self.number(name)?.ok_or_else(|| FieldError { name: name.to_owned(), found: None })
    }

    /// A truth value: `true` or `1`, whatever else is false.
    #[must_use]
    pub fn truth(&self, name: &str) -> bool {
        self.get(name).is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"))
    }
}

struct HeaderSeed;

impl<'de> DeserializeSeed<'de> for HeaderSeed {
    type Value = Header<'de>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the header object of a command")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut header = Header::default();
        while let Some(key) = map.next_key_seed(Key)? {
            match key.as_ref() {
                "code" => header.code = map.next_value_seed(Number)?,
                "version" => header.version = map.next_value_seed(Number)?,
                "opaque" => header.opaque = map.next_value_seed(Number)?,
                "flag" => header.flag = map.next_value_seed(Number)?,
                "language" => header.language = map.next_value_seed(Text)?.unwrap_or_default(),
                "remark" => header.remark = map.next_value_seed(Text)?,
                "extFields" => header.fields = map.next_value_seed(FieldsSeed)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(header)
    }
}

/// A key of an object, borrowed where it holds no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Any scalar as text; null, lists and objects as nothing.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a truth value or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A 32-bit number, also written as text; null is 0.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = i32;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 32-bit number")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<i32, E> {
        i32::try_from(value).map_err(|_| E::custom(format_args!("{value} does not fit into 32 bits")))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<i32, E> {
        i32::try_from(value).map_err(|_| E::custom(format_args!("{value} does not fit into 32 bits")))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i32, E> {
        text.trim().parse().map_err(|_| E::custom("a text that is no 32-bit number"))
    }

    fn visit_unit<E>(self) -> Result<i32, E> {
        Ok(0)
    }
}

/// The object of fields, or null.
struct FieldsSeed;

impl<'de> DeserializeSeed<'de> for FieldsSeed {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields, or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::with_capacity(16);
        while let Some(name) = map.next_key_seed(Key)? {
            if let Some(value) = map.next_value_seed(Text)?
                && !fields.push(name, value)
            {
                return Err(serde::de::Error::custom(format_args!("more than {FIELDS_MAX} fields")));
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the C++ 1.2 client writes a send: numbers in the fields, empty credentials, a line feed at the end.
    const CPP_SEND: &str = concat!(
        r#"{"code":10,"extFields":{"AccessKey":"","OnsChannel":"","Signature":"","batch":"1","bornTimestamp":"#,
        r#""1795321346406","defaultTopic":"TBW102","defaultTopicQueueNums":4,"flag":0,"producerGroup":"g","#,
        r#""properties":"KEYS\u0001k\u0002","queueId":1,"reconsumeTimes":"0","sysFlag":0,"topic":"T","unitMode":"0"},"#,
        r#""flag":0,"language":"CPP","opaque":7,"version":63}"#,
        "\n"
    );

    #[test]
    fn reads_what_cpp_writes() {
        let header = Header::parse_json(CPP_SEND.as_bytes()).unwrap();
        assert_eq!((header.code, header.opaque, header.version), (10, 7, 63));
        assert_eq!(header.language, "CPP");
        assert_eq!(header.fields.number::<i32>("queueId").unwrap(), Some(1));
        assert_eq!(header.fields.required_number::<i64>("bornTimestamp").unwrap(), 1_795_321_346_406);
        assert!(header.fields.truth("batch") && !header.fields.truth("unitMode"));
        assert_eq!(header.fields.get("properties"), Some("KEYS\u{1}k\u{2}"));
        assert!(header.fields.required("AccessKey").is_err());
    }

    #[test]
    fn reads_odd_scalars() {
        let text = br#"{"code":"34","flag":2,"opaque":-1,"remark":null,"new":{"a":[1,{}]},"extFields":
            {"b":true,"n":null,"x":1.5,"l":[1],"a":"1","a":"2","empty":""}}"#;
        let header = Header::parse_json(text).unwrap();
        assert_eq!((header.code, header.opaque), (34, -1));
        assert!(header.is_one_way() && !header.is_response());
        assert_eq!(header.fields.get("b"), Some("true"));
        assert_eq!((header.fields.get("n"), header.fields.get("l")), (None, None));
        assert_eq!((header.fields.get("a"), header.fields.get("c")), (Some("2"), None));
        assert_eq!(header.fields.number::<i64>("empty").unwrap(), None);
        assert!(header.fields.number::<i64>("x").is_err());
        assert!(Header::parse_json(br#"{"code":1,"extFields":null}"#).unwrap().fields.is_empty());
    }

    #[test]
    fn refuses_what_is_no_header() {
        let deep = "[".repeat(100_000);
        let nested = format!(r#"{{"extFields":{{"a":{deep}"#);
        let mut many = String::from(r#"{"extFields":{"#);
        for i in 0..=FIELDS_MAX {
            many.push_str(&format!("\"{i}\":1,"));
        }
        many.push_str(r#""z":1}}"#);
        for bad in
            ["", "{", "[]", "7", "{} x", r#"{"code":1e99}"#, r#"{"code":99999999999}"#, &deep, &nested, &many]
        {
            assert!(Header::parse_json(bad.as_bytes()).is_err(), "{}", bad.get(..20).unwrap_or(bad));
        }
        assert!(Header::parse_json(b"{\"language\":\"\xFF\"}").is_err());
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let header = Header::parse_json(br#"{"extFields":{"q":"many","big":"4294967296"}}"#).unwrap();
        assert_eq!(header.fields.required("t").unwrap_err().to_string(), "the field t is missing");
        let wrong = header.fields.number::<i32>("q").unwrap_err();
        assert_eq!(wrong.to_string(), "the field q cannot be \"many\"");
        assert!(header.fields.number::<i32>("big").is_err());
        assert_eq!(header.fields.number::<u64>("big").unwrap(), Some(1 << 32));
    }
}
