//! No bytes make the decoder panic, and what it takes off a buffer is what was put there.
#![allow(clippy::cast_possible_truncation, reason = "numbers here are small")]

use bytes::{Buf, BytesMut};
use mainspring::record::Batch;
use mainspring_broker::{
    clients::heartbeat::Heartbeat,
    remoting::{Encoding, Header, Outbox, Response, frame},
};
use proptest::prelude::*;

fn decode_all(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(found)) = frame::decode(&mut buffer) {
        if let Ok(header) = Header::parse(&found) {
            let _ = header.fields.number::<i32>("queueId");
        }
        let _ = Heartbeat::parse(&found.body);
        let _ = Batch::new(&found.body).count();
    }
}

/// Bytes that look like a frame, so that the parsers behind the lengths see them.
fn framed(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + header.len() + body.len()) as u32).to_be_bytes().to_vec();
    bytes.extend((header.len() as u32 | u32::from(kind) << 24).to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        decode_all(&bytes);
    }

    #[test]
    fn random_headers_never_panic(
        kind in 0u8..3,
        header in proptest::collection::vec(any::<u8>(), 0..300),
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        decode_all(&framed(kind, &header, &body));
    }

    #[test]
    fn nearly_right_headers_never_panic(
        json in r#"\{("(code|flag|extFields|opaque|version|remark|x)":("[a-z0-9]{0,3}"|-?[0-9]{1,12}|null|\{\}|\[\]|\{"a":1\}),?){0,6}\}?"#,
    ) {
        decode_all(&framed(0, json.as_bytes(), b"{\"clientID\":7,\"consumerDataSet\":[{}]}"));
    }

    #[test]
    fn answers_decode_to_what_was_answered(
        code in any::<i16>(),
        opaque in any::<i32>(),
        remark in proptest::option::of(".{0,40}"),
        text in ".{0,80}",
        number in any::<i64>(),
        body in proptest::collection::vec(any::<u8>(), 0..2000),
        binary in any::<bool>(),
    ) {
        let encoding = if binary { Encoding::Binary } else { Encoding::Json };
        let mut response = Response::ok().with("text", text.clone()).with("number", number).with_body(body.clone());
        response.code = i32::from(code);
        response.remark = remark.clone().map(Into::into);
        let mut outbox = Outbox::default();
        outbox.push_response(encoding, opaque, response);
        let mut bytes = BytesMut::from(&outbox.copy_to_bytes(outbox.remaining())[..]);
        let found = frame::decode(&mut bytes).unwrap().unwrap();
        let header = Header::parse(&found).unwrap();
        prop_assert_eq!((header.code, header.opaque), (i32::from(code), opaque));
        prop_assert_eq!(header.remark.as_deref().unwrap_or(""), remark.as_deref().unwrap_or(""));
        prop_assert_eq!(header.fields.get("text"), Some(text.as_str()));
        prop_assert_eq!(header.fields.number::<i64>("number").unwrap(), Some(number));
        prop_assert_eq!(&found.body[..], &body[..]);
        prop_assert!(bytes.is_empty());
    }
}
