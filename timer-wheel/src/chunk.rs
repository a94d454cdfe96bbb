//! Chunked queues: the memory behind every slot of the wheel.
//!
//! A queue is a chain of fixed chunks of timers. Whoever walks it reads memory in sequence and finds all of
//! a timer there: that is why a cascade costs a few nanoseconds a timer where a chain of links through the
//! timers costs one cache miss each. Chunks come from one pool and go back to it when they have been read;
//! the pool only grows.

/// Entries in one chunk: with the link, 2008 bytes for items of eight.
///
/// Large, because each hop to the next chunk waits for memory; not a power of two together with the link,
/// because then the starts of all chunks would compete for a few sets of the cache.
pub(crate) const CHUNK: u16 = 125;

/// "No chunk".
const NIL: u32 = u32::MAX;

/// One queued timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<T> {
    pub(crate) item: T,
    /// Which timer it is, to ask whether it was cancelled.
    pub(crate) index: u32,
    /// Low half of the due time; the slot supplies the rest, as it spans at most 32 bits.
    pub(crate) due_low: u32,
}

/// The link to the next run of entries, and a run of entries. In this order, so that a queue of a few entries
/// touches one cache line.
#[derive(Debug)]
#[repr(C)]
struct Chunk<T> {
    next: u32,
    entries: [Entry<T>; CHUNK as usize],
}

/// All chunks, in use or free.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    chunks: Vec<Chunk<T>>,
    /// First free chunk; free chunks are linked by `next`, last freed first so that they stay in cache.
    free: u32,
}

impl<T: Copy> Pool<T> {
    /// A pool with memory reserved for `chunks` chunks.
    pub(crate) fn with_capacity(chunks: usize) -> Self {
        Self { chunks: Vec::with_capacity(chunks), free: NIL }
    }

    /// A chunk with no successor; its entries hold whatever they held before, or `item` if it is new.
    fn take(&mut self, item: T) -> u32 {
        if self.free == NIL {
            return self.grow(item);
        }
        let chunk = self.free;
        self.free = std::mem::replace(&mut self.chunks[chunk as usize].next, NIL);
        chunk
    }

    #[cold]
    fn grow(&mut self, item: T) -> u32 {
        let chunk = u32::try_from(self.chunks.len()).unwrap_or(NIL);
        // There are fewer chunks than timers plus slots, and indices run out first.
        assert!(chunk != NIL, "timer wheel: too many chunks");
        let entry = Entry { item, index: NIL, due_low: 0 };
        self.chunks.push(Chunk { next: NIL, entries: [entry; CHUNK as usize] });
        chunk
    }

    /// Chunks, in use or free.
    #[cfg(test)]
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    fn give(&mut self, chunk: u32) {
        self.chunks[chunk as usize].next = self.free;
        self.free = chunk;
    }
}

/// A first-in, first-out queue of entries.
#[derive(Debug)]
pub(crate) struct Queue {
    head: u32,
    tail: u32,
    /// Next entry to read in `head`.
    head_at: u16,
    /// Next entry to write in `tail`; `CHUNK` when a new chunk is needed, also when there is none yet.
    tail_at: u16,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: NIL, tail: NIL, head_at: 0, tail_at: CHUNK }
    }
}

/// Entries taken off a queue together, oldest first.
pub(crate) struct Run<T> {
    entries: [Entry<T>; CHUNK as usize],
    from: u16,
    to: u16,
}

impl<T> Run<T> {
    #[inline]
    pub(crate) fn entries(&self) -> &[Entry<T>] {
        &self.entries[usize::from(self.from)..usize::from(self.to)]
    }
}

impl<T: Copy> Run<T> {
    /// Keeps those that `keep` wants, in order.
    ///
    /// Without a branch on the answer: it is no more foreseeable than a coin.
    #[inline]
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        let mut to = self.from;
        for at in self.from..self.to {
            let entry = self.entries[usize::from(at)];
            self.entries[usize::from(to)] = entry;
            to += u16::from(keep(entry.index));
        }
        self.to = to;
    }
}

impl Queue {
    /// Appends `entry`. O(1).
    #[inline]
    pub(crate) fn push<T: Copy>(&mut self, pool: &mut Pool<T>, entry: Entry<T>) {
        if self.tail_at == CHUNK {
            self.extend(pool, entry.item);
        }
        pool.chunks[self.tail as usize].entries[usize::from(self.tail_at)] = entry;
        self.tail_at += 1;
    }

    // Gets the item only: with a reference to the whole entry, which was put together field by field, the
    // processor would have to wait for those writes before it can copy the entry to the chunk.
    fn extend<T: Copy>(&mut self, pool: &mut Pool<T>, item: T) {
        let chunk = pool.take(item);
        if self.tail == NIL {
            self.head = chunk;
        } else {
            pool.chunks[self.tail as usize].next = chunk;
        }
        self.tail = chunk;
        self.tail_at = 0;
    }

    /// Takes the oldest entry. O(1); a chunk that has been read to its end goes back to the pool.
    #[inline]
    pub(crate) fn pop<T: Copy>(&mut self, pool: &mut Pool<T>) -> Option<Entry<T>> {
        if self.head == NIL {
            return None;
        }
        let entry = pool.chunks[self.head as usize].entries[usize::from(self.head_at)];
        self.head_at += 1;
        let end = if self.head == self.tail { self.tail_at } else { CHUNK };
        if self.head_at == end {
            self.drop_head(pool);
        }
        Some(entry)
    }

    /// Takes the oldest entries, a chunk of them. O(their number); their chunk goes back to the pool first,
    /// so that what is queued elsewhere meanwhile finds it in cache.
    #[inline]
    pub(crate) fn pop_run<T: Copy>(&mut self, pool: &mut Pool<T>) -> Option<Run<T>> {
        if self.head == NIL {
            return None;
        }
        let to = if self.head == self.tail { self.tail_at } else { CHUNK };
        let run = Run { entries: pool.chunks[self.head as usize].entries, from: self.head_at, to };
        self.drop_head(pool);
        Some(run)
    }

    fn drop_head<T: Copy>(&mut self, pool: &mut Pool<T>) {
        let next = pool.chunks[self.head as usize].next;
        pool.give(self.head);
        if self.head == self.tail {
            *self = Self::default();
        } else {
            self.head = next;
            self.head_at = 0;
        }
    }

    /// The entries, oldest first.
    pub(crate) fn iter<'a, T: Copy>(&self, pool: &'a Pool<T>) -> impl Iterator<Item = Entry<T>> + use<'a, T> {
        let (tail, tail_at) = (self.tail, self.tail_at);
        let (mut chunk, mut at) = (self.head, self.head_at);
        std::iter::from_fn(move || {
            if chunk == NIL || (chunk == tail && at == tail_at) {
                return None;
            }
            let entry = pool.chunks[chunk as usize].entries[usize::from(at)];
            at += 1;
            if at == CHUNK && chunk != tail {
                chunk = pool.chunks[chunk as usize].next;
                at = 0;
            }
            Some(entry)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u32) -> Entry<u64> {
        Entry { item: index.into(), index, due_low: index }
    }

    #[test]
    fn an_entry_has_no_gaps() {
        assert_eq!(size_of::<Entry<u64>>(), 16);
    }

    #[test]
    fn a_queue_keeps_order_and_returns_its_chunks() {
        let mut pool = Pool::with_capacity(0);
        let mut queue = Queue::default();
        for round in 0..5 {
            for i in 0..500 {
                queue.push(&mut pool, entry(i));
            }
            assert!(queue.iter(&pool).map(|e| e.index).eq(0..500), "round {round}");
            for i in 0..500 {
                assert_eq!(queue.pop(&mut pool), Some(entry(i)));
            }
            assert_eq!(queue.pop(&mut pool), None);
        }
        assert_eq!(pool.chunks(), 500_usize.div_ceil(usize::from(CHUNK)));
    }

    #[test]
    fn runs_and_single_entries_mix() {
        let mut pool = Pool::with_capacity(0);
        for (len, before) in [(1, 0), (125, 0), (125, 124), (126, 0), (300, 3), (300, 125), (375, 130)] {
            let mut queue = Queue::default();
            (0..len).for_each(|i| queue.push(&mut pool, entry(i)));
            let mut seen: Vec<u32> = Vec::new();
            seen.extend((0..before).filter_map(|_| queue.pop(&mut pool)).map(|e| e.index));
            while let Some(run) = queue.pop_run(&mut pool) {
                assert!(!run.entries().is_empty());
                seen.extend(run.entries().iter().map(|e| e.index));
                queue.push(&mut pool, entry(1000));
                assert_eq!(queue.iter(&pool).last(), Some(entry(1000)));
                seen.retain(|i| *i < 1000);
                if seen.len() == len as usize {
                    break;
                }
            }
            assert!(seen.into_iter().eq(0..len), "{len} entries, {before} of them one by one");
        }
    }

    #[test]
    fn a_queue_read_to_the_end_of_a_full_chunk_is_empty() {
        let mut pool = Pool::with_capacity(0);
        let mut queue = Queue::default();
        for i in 0..u32::from(CHUNK) {
            queue.push(&mut pool, entry(i));
        }
        assert_eq!(queue.iter(&pool).count(), usize::from(CHUNK));
        while queue.pop(&mut pool).is_some() {}
        assert_eq!(queue.iter(&pool).count(), 0);
        queue.push(&mut pool, entry(7));
        assert_eq!(queue.pop(&mut pool), Some(entry(7)));
    }
}
