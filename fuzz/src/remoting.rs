//! `remoting_header`: frames and headers of RocketMQ's protocol, on any bytes and in any pieces.

use bytes::{Buf, BytesMut};
use mainspring_broker::remoting::frame::{FRAME_BYTES_MAX, FrameError, HEADER_BYTES_MAX, decode, missing};
use mainspring_broker::remoting::{Encoding, Frame, Header, Outbox, Response, binary};

use crate::put;

/// The first byte chooses: a stream of bytes, one header, or a frame around the rest whose lengths are right.
pub fn remoting_header(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 5 {
        0 => stream(rest),
        1 => stream(&framed(rest)),
        2 => header(&Header::parse_json(rest)),
        3 => header(&binary::parse(rest)),
        _ => answer(&String::from_utf8_lossy(rest)),
    }
}

/// Frames one after the other, each behind its kind and a two-byte length.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(([kind, high, low], more)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high & 0x0f, *low])).min(more.len());
        let header = (len * usize::from(high >> 4) / 15) as u32;
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        put(&mut out, start, &(4 + len as u32).to_be_bytes());
        put(&mut out, start + 4, &(u32::from(kind & 1) << 24 | header).to_be_bytes());
        out.extend_from_slice(&more[..len]);
        rest = &more[len..];
    }
    out
}

fn frames(buffer: &mut BytesMut, out: &mut Vec<Frame>) -> Option<FrameError> {
    loop {
        let before = buffer.clone();
        match decode(buffer) {
            Ok(Some(frame)) => {
                assert_eq!(before.len() - buffer.len(), frame.len() + 8, "a frame takes its own bytes");
                assert!(frame.len() <= FRAME_BYTES_MAX && frame.header.len() <= HEADER_BYTES_MAX);
                out.push(frame);
            }
            Ok(None) => {
                assert!(*buffer == before, "what is not whole is left alone");
                assert!(missing(buffer) <= FRAME_BYTES_MAX + 4);
                return None;
            }
            Err(error) => return Some(error),
        }
    }
}

/// The same frames come out however the bytes come in.
fn stream(bytes: &[u8]) {
    let mut whole = Vec::new();
    let error = frames(&mut BytesMut::from(bytes), &mut whole);
    let (mut pieces, mut buffer, mut late) = (Vec::new(), BytesMut::new(), None);
    for piece in bytes.chunks(1 + bytes.first().map_or(0, |b| usize::from(*b) % 13)) {
        buffer.extend_from_slice(piece);
        late = frames(&mut buffer, &mut pieces);
        if late.is_some() {
            break;
        }
    }
    assert_eq!(error, late, "an error does not depend on the pieces");
    assert_eq!(whole.len(), pieces.len());
    for (one, other) in whole.iter().zip(&pieces) {
        assert_eq!((one.encoding, &one.header, &one.body), (other.encoding, &other.header, &other.body));
        header(&Header::parse(one));
    }
}

fn header(parsed: &Result<Header<'_>, FrameError>) {
    let header = match parsed {
        Ok(header) => header,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let _ = (header.is_response(), header.is_one_way());
    for name in ["topic", "queueId", "b", ""] {
        let text = header.fields.get(name);
        let number = header.fields.number::<i32>(name);
        assert!(text.is_some() || matches!(number, Ok(None)), "a field that is not there is no number");
        let _ = (
            header.fields.required(name),
            header.fields.required_number::<u64>(name),
            header.fields.truth(name),
        );
    }
}

/// What is answered can be read back, in both forms.
fn answer(text: &str) {
    for encoding in [Encoding::Json, Encoding::Binary] {
        let response =
            Response::refuse(13, text.to_owned()).with("text", text.to_owned()).with_body(vec![7; 3]);
        let mut outbox = Outbox::default();
        outbox.push_response(encoding, 42, response);
        let bytes = outbox.copy_to_bytes(outbox.remaining());
        let mut read = Vec::new();
        assert_eq!(frames(&mut BytesMut::from(&bytes[..]), &mut read), None);
        let [frame] = read.as_slice() else { panic!("{} frames for one answer", read.len()) };
        let header = Header::parse(frame).expect("an answer can be read");
        assert_eq!((header.code, header.opaque, &frame.body[..]), (13, 42, &[7; 3][..]));
        assert_eq!(header.remark.as_deref().unwrap_or_default(), text);
        assert_eq!(header.fields.get("text"), Some(text));
    }
}
