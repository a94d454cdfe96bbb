//! Chunked queues: the memory behind every slot of the wheel and behind the free list.
//!
//! A queue is a chain of fixed chunks of eight-byte entries. Reading a queue is a sequential walk that
//! never waits for the timer itself: that is why a cascade costs a few nanoseconds per timer where a
//! chain of pointers through the timers costs one cache miss each. Chunks come from one pool and go back
//! to it when they have been read; the pool only grows.

/// Entries in one chunk: with the link, 1008 bytes.
///
/// Large, because each hop to the next chunk waits for memory; not a power of two together with the link,
/// because then the starts of all chunks would compete for a few sets of the cache.
pub(crate) const CHUNK: u16 = 125;

/// "No chunk".
const NIL: u32 = u32::MAX;

/// One queued timer: its index in the arena, and the low 32 bits of its due time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Index of the timer in the arena.
    pub(crate) index: u32,
    /// Low half of the due time; the slot supplies the rest where it spans at most 32 bits.
    pub(crate) due_low: u32,
}

/// A run of entries and the link to the next run.
#[derive(Debug)]
struct Chunk {
    next: u32,
    entries: [Entry; CHUNK as usize],
}

/// All chunks, in use or free.
#[derive(Debug)]
pub(crate) struct Pool {
    chunks: Vec<Chunk>,
    /// First free chunk; free chunks are linked by `next`, last freed first so that they stay in cache.
    free: u32,
}

impl Pool {
    /// A pool with memory reserved for `chunks` chunks.
    pub(crate) fn with_capacity(chunks: usize) -> Self {
        Self { chunks: Vec::with_capacity(chunks), free: NIL }
    }

    /// A chunk with no successor; its entries hold whatever they held before.
    fn take(&mut self) -> u32 {
        if self.free == NIL {
            return self.grow();
        }
        let chunk = self.free;
        self.free = std::mem::replace(&mut self.chunks[chunk as usize].next, NIL);
        chunk
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let chunk = u32::try_from(self.chunks.len()).unwrap_or(NIL);
        // There are fewer chunks than timers plus slots, and the arena refuses the timer first.
        assert!(chunk != NIL, "timer wheel: too many chunks");
        self.chunks.push(Chunk { next: NIL, entries: [Entry::default(); CHUNK as usize] });
        chunk
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

impl Queue {
    /// Appends `entry`. O(1).
    #[inline]
    pub(crate) fn push(&mut self, pool: &mut Pool, entry: Entry) {
        if self.tail_at == CHUNK {
            self.extend(pool);
        }
        pool.chunks[self.tail as usize].entries[usize::from(self.tail_at)] = entry;
        self.tail_at += 1;
    }

    fn extend(&mut self, pool: &mut Pool) {
        let chunk = pool.take();
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
    pub(crate) fn pop(&mut self, pool: &mut Pool) -> Option<Entry> {
        if self.head == NIL {
            return None;
        }
        let chunk = &pool.chunks[self.head as usize];
        let entry = chunk.entries[usize::from(self.head_at)];
        let next = chunk.next;
        self.head_at += 1;
        if self.head == self.tail {
            if self.head_at == self.tail_at {
                pool.give(self.head);
                *self = Self::default();
            }
        } else if self.head_at == CHUNK {
            pool.give(self.head);
            self.head = next;
            self.head_at = 0;
        }
        Some(entry)
    }

    /// The entries, oldest first.
    pub(crate) fn iter<'a>(&self, pool: &'a Pool) -> impl Iterator<Item = Entry> + use<'a> {
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

/// A last-in, first-out list of free arena indices.
///
/// It lives in the chunks that the timers' own entries gave back: an index is either queued in a slot or
/// here, so both together never need more than eight bytes per timer.
#[derive(Debug)]
pub(crate) struct Stack {
    top: u32,
    len: u16,
}

impl Default for Stack {
    fn default() -> Self {
        Self { top: NIL, len: CHUNK }
    }
}

impl Stack {
    /// Adds a free index. O(1).
    #[inline]
    pub(crate) fn push(&mut self, pool: &mut Pool, index: u32) {
        if self.len == CHUNK {
            let chunk = pool.take();
            pool.chunks[chunk as usize].next = self.top;
            self.top = chunk;
            self.len = 0;
        }
        pool.chunks[self.top as usize].entries[usize::from(self.len)] = Entry { index, due_low: 0 };
        self.len += 1;
    }

    /// The indices that come next, when the list has just reached a chunk of them.
    #[inline]
    pub(crate) fn fresh_chunk<'a>(&self, pool: &'a Pool) -> Option<&'a [Entry]> {
        (self.len == CHUNK && self.top != NIL).then(|| &pool.chunks[self.top as usize].entries[..])
    }

    /// Takes the index freed last. O(1).
    #[inline]
    pub(crate) fn pop(&mut self, pool: &mut Pool) -> Option<u32> {
        if self.top == NIL {
            return None;
        }
        self.len -= 1;
        let chunk = &pool.chunks[self.top as usize];
        let (entry, next) = (chunk.entries[usize::from(self.len)], chunk.next);
        if self.len == 0 {
            pool.give(self.top);
            self.top = next;
            self.len = CHUNK;
        }
        Some(entry.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u32) -> Entry {
        Entry { index, due_low: index }
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
        assert_eq!(pool.chunks.len(), 500_usize.div_ceil(usize::from(CHUNK)));
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

    #[test]
    fn the_stack_returns_the_last_index_first() {
        let mut pool = Pool::with_capacity(0);
        let mut stack = Stack::default();
        for _ in 0..3 {
            (0..500).for_each(|i| stack.push(&mut pool, i));
            for i in (0..500).rev() {
                assert_eq!(stack.pop(&mut pool), Some(i));
            }
            assert_eq!(stack.pop(&mut pool), None);
        }
        assert_eq!(pool.chunks.len(), 500_usize.div_ceil(usize::from(CHUNK)));
    }
}
