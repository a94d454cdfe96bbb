//! Streams that are written in one go: index files, buckets, bases.

use std::io;
use std::sync::Arc;

use backends::{Backend, StreamReader};

use crate::error::{Error, Result};
use crate::naming::StreamKind;

/// Writes a stream in one go, durably. One of that name that a crash left half-written is replaced.
pub(super) fn write_whole(
    backend: &dyn Backend,
    kind: StreamKind,
    bytes: &[u8],
) -> Result<Arc<dyn StreamReader>> {
    let name = kind.name();
    let failed = |e| Error::io(format!("cannot write {name}"), e);
    match backend.remove(&name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let len = bytes.len() as u64;
    let mut writer = backend.create(&name, len, len).map_err(failed)?;
    let window = writer.window(bytes.len()).ok_or_else(|| failed(io::ErrorKind::Other.into()))?;
    window.copy_from_slice(bytes);
    writer.publish(bytes.len());
    writer.control().seal(len).map_err(failed)?;
    Ok(writer.reader())
}
