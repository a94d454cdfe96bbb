//! How far an open got.

/// Whoever shows it selects by this: a name of its own, wherever the code stands.
const TARGET: &str = "mainspring::recovery";

/// How far one part of an open got, told to whoever watches the events.
pub(super) struct Progress {
    part: &'static str,
    done_bytes: u64,
    to_do_bytes: u64,
}

impl Progress {
    pub(super) fn new(part: &'static str, bytes: impl Iterator<Item = u64>) -> Self {
        Self { part, done_bytes: 0, to_do_bytes: bytes.sum() }
    }

    pub(super) fn done(&mut self, bytes: u64) {
        if bytes > 0 {
            self.done_bytes += bytes;
            let Self { part, done_bytes, to_do_bytes } = self;
            tracing::info!(target: TARGET, part, done_bytes, to_do_bytes, "recovering");
        }
    }
}
