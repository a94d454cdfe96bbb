//! Bytes on their way out: headers written in place, bodies kept as slices.
//!
//! Strict on the way out: compact JSON, every field a JSON string, the `remark` key always present, `extFields` always
//! an object. Large pieces of a body are never copied; small ones are, since a slice of its own costs more.

use std::{collections::VecDeque, fmt::Write as _, io::IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use mainspring::record::message_id::CHARS_V6;

use super::{
    codes::{FLAG_ONE_WAY, FLAG_RESPONSE, SERVER_VERSION},
    command::{Body, Response, Sent, Value},
    frame::Encoding,
    plain::plain_bytes,
};

/// Pieces below this many bytes are copied beside the header.
const COPY_BELOW: usize = 512;

/// Room that is made for a JSON header at once.
const JSON_BYTES: usize = 512;

/// A queue of bytes to write to one connection; a [`Buf`] for vectored writes.
#[derive(Debug, Default)]
pub struct Outbox {
    ready: VecDeque<Piece>,
    tail: BytesMut,
    len: usize,
    /// Bytes of `ready` that are memory of our own.
    owned: usize,
}

/// A part of what waits to be written.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Memory of our own that goes when this does; none for a slice of the log.
    owned: usize,
}

/// Fields of a header: those of a send's answer, and others.
type Fields<'a> = (Option<&'a Sent>, &'a [(&'static str, Value)]);

/// What stands in a header besides fields.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    code: i32,
    opaque: i32,
    flag: i32,
    remark: Option<&'a str>,
}

impl Outbox {
    /// Bytes not written yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that are held until they are written; slices of the log are none, for they are there anyway.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.owned + self.tail.len()
    }

    /// Gives back memory that nothing stands in.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Whether all of it is [`chunk`](Buf::chunk).
    #[must_use]
    pub fn is_one_piece(&self) -> bool {
        self.ready.len() + usize::from(!self.tail.is_empty()) <= 1
    }

    /// Adds the answer to request `opaque`.
    pub fn push_response(&mut self, encoding: Encoding, opaque: i32, response: Response) {
        let Response { code, remark, sent, fields, body, not_yet: _, held: _ } = response;
        let head = Head { code, opaque, flag: FLAG_RESPONSE, remark: remark.as_deref() };
        self.push(encoding, head, (sent.as_deref(), &fields), body);
    }

    /// Adds a request to the client; nobody answers a one-way one.
    pub fn push_request(&mut self, encoding: Encoding, opaque: i32, one_way: bool, request: Response) {
        let Response { code, fields, body, .. } = request;
        let flag = if one_way { FLAG_ONE_WAY } else { 0 };
        self.push(encoding, Head { code, opaque, flag, remark: None }, (None, &fields), body);
    }

    fn push(&mut self, encoding: Encoding, head: Head<'_>, fields: Fields<'_>, body: Body) {
        let start = self.tail.len();
        self.tail.put_u64(0);
        let kind = match encoding {
            Encoding::Json => {
                put_json(&mut self.tail, head, fields);
                0
            }
            Encoding::Binary => {
                put_binary(&mut self.tail, head, fields);
                1
            }
        };
        let header_len = low_u32(self.tail.len() - start - 8);
        let total = header_len + 4 + low_u32(body.len());
        self.tail[start..start + 4].copy_from_slice(&total.to_be_bytes());
        self.tail[start + 4..start + 8].copy_from_slice(&(header_len | kind << 24).to_be_bytes());
        self.len += self.tail.len() - start;
        match body {
            Body::Empty => {}
            Body::Whole(piece) => {
                let owned = piece.len();
                self.push_piece(piece, owned);
            }
            Body::Slices(pieces) => pieces.into_iter().for_each(|piece| self.push_piece(piece, 0)),
        }
    }

    fn push_piece(&mut self, piece: Bytes, owned: usize) {
        self.len += piece.len();
        if piece.len() < COPY_BELOW {
            self.tail.extend_from_slice(&piece);
        } else {
            if !self.tail.is_empty() {
                let bytes = self.tail.split().freeze();
                self.push_ready(Piece { owned: bytes.len(), bytes });
            }
            self.push_ready(Piece { bytes: piece, owned });
        }
    }

    fn push_ready(&mut self, piece: Piece) {
        self.owned += piece.owned;
        self.ready.push_back(piece);
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.ready.front().map_or(&self.tail[..], |piece| &piece.bytes[..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        for (slot, piece) in
            slices.iter_mut().zip(self.ready.iter().map(|piece| &piece.bytes[..]).chain(tail))
        {
            *slot = IoSlice::new(piece);
            n += 1;
        }
        n
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advance by {count} of {}", self.len);
        self.len -= count;
        while let Some(front) = self.ready.front_mut() {
            if count < front.bytes.len() {
                front.bytes.advance(count);
                return;
            }
            count -= front.bytes.len();
            self.owned -= front.owned;
            self.ready.pop_front();
        }
        self.tail.advance(count);
        if self.tail.is_empty() {
            self.tail.clear();
        }
    }
}

/// Lengths here are bounded by the limits of frames and reads, far below 32 bits.
fn low_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn put_json(out: &mut BytesMut, head: Head<'_>, (sent, fields): Fields<'_>) {
    out.reserve(JSON_BYTES);
    out.put_slice(b"{\"code\":");
    put_int(out, head.code);
    out.put_slice(b",\"extFields\":{");
    if let Some(sent) = sent {
        put_sent(out, sent);
    }
    for (i, (name, value)) in fields.iter().enumerate() {
        // Names are ours, as fixed texts are, and hold nothing to escape.
        out.put_slice(if i > 0 || sent.is_some() { b",\"" } else { b"\"" });
        out.put_slice(name.as_bytes());
        out.put_slice(b"\":");
        match value {
            Value::Text(text) => put_json_text(out, text),
            plain => {
                out.put_u8(b'"');
                put_plain(out, plain);
                out.put_u8(b'"');
            }
        }
    }
    out.put_slice(b"},\"flag\":");
    put_int(out, head.flag);
    out.put_slice(b",\"language\":\"JAVA\",\"opaque\":");
    put_int(out, head.opaque);
    out.put_slice(b",\"remark\":");
    match head.remark {
        Some(text) => put_json_text(out, text),
        None => out.put_slice(b"null"),
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    put_int(out, SERVER_VERSION);
    out.put_u8(b'}');
}

/// The same as for a list of these fields, in a few pieces.
fn put_sent(out: &mut BytesMut, sent: &Sent) {
    out.put_slice(b"\"msgId\":\"");
    out.put_slice(sent.id.put(&mut [0; CHARS_V6]).as_bytes());
    out.put_slice(b"\",\"queueId\":\"");
    put_int(out, sent.queue);
    out.put_slice(b"\",\"queueOffset\":\"");
    put_int(out, sent.queue_offset);
    out.put_slice(b"\",\"MSG_REGION\":\"");
    out.put_slice(sent.region.as_bytes());
    out.put_slice(b"\",\"TRACE_ON\":\"true\"");
    if let Some(id) = &sent.transaction_id {
        out.put_slice(b",\"transactionId\":");
        put_json_text(out, id);
    }
}

/// Those fields as a list.
fn listed(sent: &Sent) -> impl Iterator<Item = (&'static str, Value)> {
    let id = sent.transaction_id.clone();
    [
        ("msgId", Value::from(sent.id)),
        ("queueId", sent.queue.into()),
        ("queueOffset", sent.queue_offset.into()),
        ("MSG_REGION", sent.region.into()),
        ("TRACE_ON", "true".into()),
    ]
    .into_iter()
    .chain(id.map(|id| ("transactionId", id.into())))
}

fn put_binary(out: &mut BytesMut, head: Head<'_>, (sent, fields): Fields<'_>) {
    // Codes are 16 bits in this form; larger ones are sent truncated, as clients do.
    out.put_slice(&head.code.to_be_bytes()[2..]);
    out.put_u8(0);
    out.put_slice(&SERVER_VERSION.to_be_bytes()[2..]);
    out.put_i32(head.opaque);
    out.put_i32(head.flag);
    let remark = head.remark.unwrap_or_default();
    out.put_u32(low_u32(remark.len()));
    out.put_slice(remark.as_bytes());
    let start = out.len();
    out.put_u32(0);
    sent.into_iter().flat_map(listed).for_each(|(name, value)| put_binary_field(out, name, &value));
    fields.iter().for_each(|(name, value)| put_binary_field(out, name, value));
    let len = low_u32(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn put_binary_field(out: &mut BytesMut, name: &str, value: &Value) {
    out.put_slice(&low_u32(name.len()).to_be_bytes()[2..]);
    out.put_slice(name.as_bytes());
    let at = out.len();
    out.put_u32(0);
    put_plain(out, value);
    let len = low_u32(out.len() - at - 4);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// The text of a value, without quotes.
fn put_plain(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Int(n) => put_int(out, *n),
        Value::Bool(b) => out.put_slice(if *b { b"true" } else { b"false" }),
        Value::Static(text) => out.put_slice(text.as_bytes()),
        Value::Text(text) => out.put_slice(text.as_bytes()),
        Value::MessageId(id) => out.put_slice(id.put(&mut [0; CHARS_V6]).as_bytes()),
    }
}

fn put_int(out: &mut BytesMut, number: impl itoa::Integer) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_fmt(out: &mut BytesMut, args: std::fmt::Arguments<'_>) {
    // Writing to memory that grows does not fail.
    let _ = out.write_fmt(args);
}

/// Writes a JSON string with its quotes.
pub fn put_json_text(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_bytes(rest));
        out.put_slice(plain);
        let Some((byte, behind)) = special.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.put_slice(&[b'\\', *byte]),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            _ => put_fmt(out, format_args!("\\u{byte:04x}")),
        }
        rest = behind;
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use mainspring::record::MessageId;

    use super::*;
    use crate::remoting::{frame, header::Header};

    fn drain(outbox: &mut Outbox) -> BytesMut {
        BytesMut::from(&outbox.copy_to_bytes(outbox.remaining())[..])
    }

    #[test]
    fn writes_what_it_reads() {
        let host: std::net::SocketAddr = "127.0.0.1:10911".parse().unwrap();
        for encoding in [Encoding::Json, Encoding::Binary] {
            let mut outbox = Outbox::default();
            let response = Response::refuse(13, "say \"no\"\n\u{1}é")
                .with("queueId", 3u32)
                .with("ok", true)
                .with("text", String::from("a\\b"))
                .with("msgId", MessageId::new(host, 255))
                .with_body(vec![7u8; 2000]);
            outbox.push_response(encoding, 42, response);
            let mut bytes = drain(&mut outbox);
            assert!(outbox.is_empty());
            let read = frame::decode(&mut bytes).unwrap().unwrap();
            assert!(bytes.is_empty());
            assert_eq!((read.encoding, read.body.len()), (encoding, 2000));
            let header = Header::parse(&read).unwrap();
            assert_eq!((header.code, header.opaque, header.flag, header.version), (13, 42, 1, 479));
            assert_eq!(header.remark.as_deref(), Some("say \"no\"\n\u{1}é"));
            assert_eq!(header.fields.get("queueId"), Some("3"));
            assert_eq!(header.fields.get("ok"), Some("true"));
            assert_eq!(header.fields.get("text"), Some("a\\b"));
            assert_eq!(header.fields.get("msgId"), Some("7F00000100002A9F00000000000000FF"));
        }
    }

    #[test]
    fn every_field_is_a_string_and_remark_is_there() {
        let mut outbox = Outbox::default();
        outbox.push_response(Encoding::Json, 5, Response::ok().with("offset", 9u64));
        let bytes = drain(&mut outbox);
        assert_eq!(
            std::str::from_utf8(&bytes[8..]).unwrap(),
            concat!(
                r#"{"code":0,"extFields":{"offset":"9"},"flag":1,"language":"JAVA","opaque":5,"remark":null,"#,
                r#""serializeTypeCurrentRPC":"JSON","version":479}"#
            )
        );
    }

    #[test]
    fn answers_to_sends_are_as_their_fields_would_be() {
        let id = MessageId::new(std::net::SocketAddr::from(([10, 0, 0, 1], 10911)), 77);
        for transaction_id in [None, Some(String::from("a\"b"))] {
            let sent = Sent { id, queue: 3, queue_offset: 1 << 40, region: "R", transaction_id };
            for encoding in [Encoding::Json, Encoding::Binary] {
                let (mut in_pieces, mut as_list) = (Outbox::default(), Outbox::default());
                let list = Response { fields: listed(&sent).collect(), ..Response::ok() };
                in_pieces.push_response(encoding, 5, Response::sent(sent.clone()).with("more", true));
                as_list.push_response(encoding, 5, list.with("more", true));
                assert_eq!(drain(&mut in_pieces), drain(&mut as_list));
            }
        }
    }

    #[test]
    fn slices_of_the_log_cost_no_memory_of_their_own() {
        let mut outbox = Outbox::default();
        let mut response = Response::ok();
        response.body = Body::Slices(vec![Bytes::from(vec![1; 5_000])]);
        outbox.push_response(Encoding::Json, 0, response);
        assert!((100..500).contains(&outbox.owned()), "{}", outbox.owned());
        outbox.push_response(Encoding::Json, 1, Response::ok().with_body(vec![7u8; 2_000]));
        assert!((2_200..3_000).contains(&outbox.owned()), "{}", outbox.owned());
        outbox.advance(outbox.len());
        outbox.shrink();
        assert_eq!(outbox.owned(), 0);
    }

    #[test]
    fn survives_writes_of_any_length() {
        let mut outbox = Outbox::default();
        let big = Bytes::from(vec![1u8; 5000]);
        for opaque in 0..3 {
            let mut response = Response::ok();
            response.body = Body::Slices(vec![big.clone(), Bytes::from_static(b"small"), big.clone()]);
            outbox.push_response(Encoding::Json, opaque, response);
        }
        let mut seen = BytesMut::new();
        let mut step = 1;
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let n = outbox.chunks_vectored(&mut slices);
            let all: Vec<u8> = slices[..n].iter().flat_map(|slice| slice.iter().copied()).collect();
            assert_eq!(all.len(), outbox.len());
            let count = step.min(outbox.len());
            seen.extend_from_slice(&all[..count]);
            outbox.advance(count);
            step += 97;
        }
        for opaque in 0..3 {
            let read = frame::decode(&mut seen).unwrap().unwrap();
            assert_eq!(Header::parse(&read).unwrap().opaque, opaque);
            assert_eq!(read.body.len(), 10_005);
        }
        assert!(seen.is_empty());
    }
}
