//! A hierarchical timer wheel: exact order, exact times, O(1) insert and cancel, and nothing paid for empty
//! time.
//!
//! Times are `u64` ticks, one millisecond each by convention, over the full 64 bits. The wheel has no clock
//! and no thread: its owner tells it the time and takes out what is due.
//!
//! ```
//! use timer_wheel::Wheel;
//!
//! let mut wheel = Wheel::new(1_000);
//! wheel.insert(1_500, "second");
//! let lunch = wheel.insert(90_000, "lunch");
//! wheel.insert(1_200, "first");
//! wheel.insert(1_500, "third");
//!
//! assert_eq!(wheel.next_due(), Some(1_200));
//! assert!(wheel.cancel(lunch));
//! assert!(!wheel.cancel(lunch));
//!
//! assert_eq!(wheel.pop(1_499), Some((1_200, "first")));
//! assert_eq!(wheel.pop(1_499), None);
//! let mut fired = Vec::new();
//! wheel.advance(2_000, |due, item| fired.push((due, item)));
//! assert_eq!(fired, [(1_500, "second"), (1_500, "third")]);
//! ```
//!
//! # What it promises
//!
//! - Timers come out ordered by (due, insertion), also those inserted when they were overdue already.
//! - Never early: `pop(now)` returns only timers with `due <= now`.
//! - A key names one timer: after it fired or was cancelled the key is refused.
//! - Once warm, no operation allocates; with [`Wheel::with_capacity`] it is warm from the start, but for
//!   timers inserted overdue or beyond the last level.
//!
//! # How it works
//!
//! Five levels of 256 slots each look at 8 bits of the due time. A timer's level is that of the highest bit
//! in which its due time and the wheel's position differ, its slot the due time's digit at that level. So
//! the place of a timer is a function of its due time and the position, written place(due, position) below.
//! Timers that differ from the position above bit 40 (it changes there every 34 years) are *far*: they wait
//! in a heap until the position has come to them.
//!
//! A slot is a queue, in chunks, of 16-byte entries that hold all of a timer: item, index, low half of the
//! due time. So cascades and expiry read memory in sequence. What is looked up by index is small enough for
//! a processor's cache: one bit a timer that says whether it waits, and for each 32 timers, inserted one after
//! the other, their generation and how many are left. A key holds its due time, so that a cancellation finds
//! the slot without reading the timer; it clears the bit and leaves the entry behind.
//!
//! # Memory
//!
//! For items of eight bytes a timer takes 16 bytes and 2.3 bits; if it is the only one left of its 32, 9
//! bytes in place of the bits. A slot with more than one dead entry per two live ones (plus 8) is compacted, so
//! the memory for at most `n` timers waiting is bounded by that for 1.5 `n`, whatever is inserted and cancelled.
//! A far or overdue timer takes 32 bytes.
//!
//! # Invariants, and why they hold
//!
//! 1. *No timer in the levels is due before the position*, *every timer in the levels is at
//!    place(due, position)*, and *a timer is far if and only if it has no such place.* An insertion establishes
//!    them (a timer due before the position goes to a heap of its own). The position moves to a time `p` only
//!    if no timer outside that heap is due before `p`. If the levels are empty, `p` is at most the due time of
//!    the first far timer; those that then have a place leave the heap, and they are its first ones.
//!    Otherwise let the first occupied slot of the lowest occupied level be `S`; every other occupied slot
//!    starts after `S` has ended, as it is later on the same level or outside the slot of that level's
//!    parent. `p` is at most the earliest due time, which is in `S`; so `p` lies in no occupied slot except
//!    possibly `S`. For a slot that does not contain `p` nothing changes: `p` still agrees with it on all
//!    higher digits and differs at its own. If `p` lies in `S`, all timers of `S` are placed anew.
//! 2. *Timers with equal due times are queued in order of insertion.* By 1 they are all in the same slot, or
//!    all far, at any time, so an insertion appends behind all of them. When `S` is placed anew, `S` was on
//!    the lowest occupied level, so the lower levels it is spread over are empty, and appending in queue
//!    order keeps that order. Compaction keeps queue order too, and the heap is ordered by (due, insertion).
//! 3. *A slot is marked occupied if and only if it holds a live entry.* The slot is emptied, dead entries
//!    and all, by whoever takes the last live one.
//! 4. *Overdue timers come first.* They are due before the position was when they were inserted, hence
//!    before the position now, hence by 1 before all others; among themselves they are ordered by (due,
//!    insertion).
//! 5. *An index is given to another timer only when no entry with it is queued*, because its 32 are counted
//!    until each has left its queue. So a set bit always means the timer of the entry at hand.
//!
//! # What it is not
//!
//! Not a scheduler (no clock, no threads, no callbacks kept), not durable, not shared between threads: one
//! owner, `&mut`. The work is amortised, not bounded per call: entering a slot of a high level moves all
//! timers in it, and a cancellation now and then walks over its slot. Memory is reused, never given back
//! before the wheel is dropped.

#![forbid(unsafe_code)]

mod chunk;
mod heap;
mod level;
#[cfg(any(test, feature = "model"))]
pub mod model;
#[cfg(test)]
mod tests;
mod waiting;
mod wheel;

pub use waiting::Key;
pub use wheel::Wheel;
