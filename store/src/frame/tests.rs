use super::*;

fn sealed(ops: &[Op<'_>], at: Offset) -> Vec<u8> {
    let payloads: Vec<_> = ops.iter().map(Op::payload).collect();
    let body: usize = payloads.iter().map(|(_, p)| OP_HEAD_BYTES + aligned(p.len())).sum();
    let mut frame = vec![0xee; HEADER_BYTES + body];
    let mut place = HEADER_BYTES;
    for (kind, payload) in &payloads {
        let room = OP_HEAD_BYTES + aligned(payload.len());
        let out = &mut frame[place..place + room];
        write_head(out, *kind, payload.len());
        out[OP_HEAD_BYTES..OP_HEAD_BYTES + payload.len()].copy_from_slice(payload);
        place += room;
    }
    let header = Header {
        wait: Wait::Flushed,
        feature_level: 1,
        len: u32::try_from(frame.len()).unwrap(),
        ops: u32::try_from(ops.len()).unwrap(),
        at,
        owner_ms: 1_700_000_000_000,
        flushed: Offset(at.0 - 8),
        committed: Offset(at.0 - 16),
    };
    header.seal(0x1122_3344_5566_7788, &mut frame);
    frame
}

fn some_ops() -> Vec<Op<'static>> {
    vec![
        Op::Cancel { due_ms: 5, schedule: Offset(77) },
        Op::Offset { group: "g", topic: "orders", queue: 3, offset: 9 },
        Op::Topic { name: "orders", config: Some(crate::TopicConfig::new("orders", 4)) },
        Op::Topic { name: "orders", config: None },
        Op::Group { name: "g", config: Some(crate::GroupConfig::new("g")) },
        Op::Trim { start: Offset(99) },
        Op::Digest { at: Offset(1), digest: 2 },
        Op::ClockStep { from_ms: 1, to_ms: 2 },
        Op::Segment { previous_end: Offset(4) },
    ]
}

#[test]
fn frames_read_back() {
    let at = Epoch(1).first().plus(64);
    let bytes = sealed(&some_ops(), at);
    let frame = Frame::parse(&bytes, 0x1122_3344_5566_7788, at).unwrap();
    let ops: Vec<_> = frame.ops().map(Result::unwrap).collect();
    assert_eq!(ops, some_ops());
    assert_eq!(frame.header.ops, 9);
    assert_eq!(frame.end(), at.plus(bytes.len() as u64));
}

#[test]
fn every_flipped_bit_is_told() {
    let at = Epoch(1).first().plus(64);
    let bytes = sealed(&some_ops()[..2], at);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::parse(&bad, 0x1122_3344_5566_7788, at).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Frame::parse(&bytes[..len], 0x1122_3344_5566_7788, at).is_err(), "length {len}");
    }
}

#[test]
fn a_frame_of_another_log_place_or_epoch_is_none() {
    let at = Epoch(1).first().plus(64);
    let bytes = sealed(&some_ops()[..1], at);
    assert_eq!(Frame::parse(&bytes, 1, at).unwrap_err(), BadFrame::Secret);
    assert_eq!(Frame::parse(&bytes, 0x1122_3344_5566_7788, at.plus(8)).unwrap_err(), BadFrame::Position);
    assert_eq!(Frame::parse(&bytes[1..], 0x1122_3344_5566_7788, at).unwrap_err(), BadFrame::Magic);
}

#[test]
fn golden_bytes() {
    let at = Epoch(1).first().plus(64);
    let bytes = sealed(&[Op::Trim { start: Offset(0x0100_0000_0000) }], at);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        &hex[..24],
        "4d53463101010001".to_owned().as_str().to_owned().as_str().to_owned() + "00000050"
    );
    assert_eq!(
        &hex[32..],
        "112233445566778800000001000000010000010000000040\
         0000018bcfe568000000010000000038000001000000003\
         00a000000000000080000010000000000"
    );
}
