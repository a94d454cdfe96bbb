//! Restamps an encoded record in place: nothing that is patched is covered by the body checksum.

use std::net::SocketAddrV4;

use super::draft::{host_bytes, put};
use super::layout::{
    BODY, BORN_HOST_V6, HOST_V6_EXTRA, PHYSICAL_OFFSET, QUEUE_OFFSET, STORE_HOST, STORE_HOST_V6, STORE_MS,
    SYS_FLAG,
};
use super::{Cursor, RecordError};

/// Gives a record that was encoded earlier, such as a timer's, its place in queue and log and its store time.
///
/// # Errors
///
/// [`RecordError::Short`] if the bytes are no record's; nothing is changed then.
pub fn patch(
    record: &mut [u8],
    queue_offset: u64,
    physical_offset: u64,
    store_ms: i64,
) -> Result<(), RecordError> {
    let (_, shift) = hosts(record)?;
    put(record, QUEUE_OFFSET, queue_offset.to_be_bytes());
    put(record, PHYSICAL_OFFSET, physical_offset.to_be_bytes());
    put(record, STORE_MS + shift, store_ms.to_be_bytes());
    Ok(())
}

/// Replaces the address that clients are told, in the copy of a record that is sent to them.
///
/// # Errors
///
/// [`RecordError::Short`] if the bytes are no record's, [`RecordError::Range`] if its store host is IPv6;
/// nothing is changed then.
pub fn patch_store_host(record: &mut [u8], host: SocketAddrV4) -> Result<(), RecordError> {
    let (sys_flag, shift) = hosts(record)?;
    if sys_flag & STORE_HOST_V6 != 0 {
        let found = u64::from(sys_flag.cast_unsigned());
        return Err(RecordError::Range {
            field: "sys flag",
            at: SYS_FLAG,
            found,
            min: 0,
            max: found & !0x20,
        });
    }
    put(record, STORE_HOST + shift, host_bytes(host));
    Ok(())
}

/// The sys flag, and by how much the born host moves the fields behind it.
fn hosts(record: &[u8]) -> Result<(i32, usize), RecordError> {
    let short = |need| RecordError::Short { field: "record", at: 0, need, have: record.len() };
    let sys_flag = record.get(SYS_FLAG..).and_then(|rest| Cursor::new(rest).i32()).ok_or(short(BODY))?;
    let shift = if sys_flag & BORN_HOST_V6 == 0 { 0 } else { HOST_V6_EXTRA };
    if record.len() < BODY + shift {
        return Err(short(BODY + shift));
    }
    Ok((sys_flag, shift))
}
