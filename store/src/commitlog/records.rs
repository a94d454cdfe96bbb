//! What a read gives: records as parts of as few slices of the log as hold them.

use std::fmt;

use bytes::Bytes;

/// Where a record is: in which slice, from where, how long.
#[derive(Debug, Clone, Copy)]
struct Span {
    run: u32,
    from: u32,
    len: u32,
}

/// Whole records, in order. They share memory with the log where the medium allows it, and keep it.
#[derive(Clone, Default)]
pub struct Records {
    runs: Vec<Bytes>,
    spans: Vec<Span>,
}

impl Records {
    pub(super) fn with_capacity(records: usize) -> Self {
        Self { runs: Vec::new(), spans: Vec::with_capacity(records) }
    }

    /// Adds a slice; what is added next are records in it.
    pub(super) fn push_run(&mut self, run: Bytes) {
        self.runs.push(run);
    }

    /// Adds a record of the last slice.
    ///
    /// # Panics
    /// If it does not lie within that slice.
    #[inline]
    pub(super) fn push(&mut self, from: u64, len: u32) {
        let run = self.runs.last().map_or(0, Bytes::len);
        assert!(from + u64::from(len) <= run as u64, "a record lies within its slice");
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a slice is at most a read, below 4 GiB; counts are fewer"
        )]
        let (run, from) = ((self.runs.len() - 1) as u32, from as u32);
        self.spans.push(Span { run, from, len });
    }

    /// Adds a record that is a slice of its own.
    pub(crate) fn push_slice(&mut self, record: Bytes) {
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.runs.push(record);
        self.push(0, len);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all records together.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.spans.iter().map(|span| span.len as usize).sum()
    }

    /// The records' bytes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        self.spans.iter().map(|span| &self.runs[span.run as usize][span.range()])
    }

    /// The records as slices of their own, in order; each keeps the memory it is in.
    pub fn slices(&self) -> impl ExactSizeIterator<Item = Bytes> + '_ {
        self.spans.iter().map(|span| self.runs[span.run as usize].slice(span.range()))
    }
}

impl Span {
    #[inline]
    fn range(self) -> std::ops::Range<usize> {
        self.from as usize..self.from as usize + self.len as usize
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slices()).finish()
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Records {}
