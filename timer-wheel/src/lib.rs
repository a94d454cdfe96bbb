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
//! assert_eq!(wheel.cancel(lunch), Some("lunch"));
//! assert_eq!(wheel.cancel(lunch), None);
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
//!   timers inserted overdue.
//!
//! # How it works
//!
//! 11 levels of 64 slots each look at 6 bits of the due time. A timer's level is that of the highest bit in
//! which its due time and the wheel's position differ, its slot the due time's digit at that level. So the
//! place of a timer is a function of its due time and the position, written place(due, position) below.
//!
//! A slot is a queue of eight-byte entries (cell index, low half of the due time) in chunks. Timers
//! themselves lie in an arena and are touched when they are inserted, cancelled or fired; a cascade reads
//! entries in sequence and appends them elsewhere (a small one, whose timers fire soon, also reads their
//! cells ahead, many at a time). For eight-byte items a timer takes 24 bytes in
//! the arena, 8 in a queue, and one bit. Cancelled timers leave their entry behind; a slot with more than
//! one dead entry per two live ones (plus 8) is compacted, so the memory for `n` timers waiting at most is
//! bounded by that for 1.5 `n`.
//!
//! # Invariants, and why they hold
//!
//! 1. *No timer in the levels is due before the position*, and *every timer in the levels is at
//!    place(due, position).* An insertion establishes both (a timer due before the position goes to a heap
//!    beside the levels). The position moves to a time `p` only if no timer in the levels is due before `p`.
//!    Let the first occupied slot of the lowest occupied level be `S`; every other occupied slot starts
//!    after `S` has ended, as it is later on the same level or outside the slot of that level's parent. `p`
//!    is at most the earliest due time, which is in `S`; so `p` lies in no occupied slot except possibly
//!    `S`. For a slot that does not contain `p` nothing changes: `p` still agrees with it on all higher
//!    digits and differs at its own. If `p` lies in `S`, all timers of `S` are placed anew.
//! 2. *Timers with equal due times are queued in order of insertion.* By 1 they are all in the same slot at
//!    any time, so an insertion appends behind all of them. When `S` is placed anew, `S` was on the lowest
//!    occupied level, so the lower levels it is spread over are empty, and appending in queue order keeps
//!    that order. Compaction keeps queue order too.
//! 3. *A slot is marked occupied if and only if it holds a live entry.* The slot is emptied, dead entries
//!    and all, by whoever takes the last live one.
//! 4. *The heap comes first.* Its timers are due before the position was when they were inserted, hence
//!    before the position now, hence by 1 before all timers in the levels; among themselves they are
//!    ordered by (due, insertion).
//!
//! # What it is not
//!
//! Not a scheduler (no clock, no threads, no callbacks kept), not durable, not shared between threads: one
//! owner, `&mut`. The work is amortised, not bounded per call: entering a slot of a high level moves all
//! timers in it, and a cancellation now and then walks over its slot. Memory is reused, never given back
//! before the wheel is dropped.

#![forbid(unsafe_code)]

mod arena;
mod chunk;
mod level;
#[cfg(any(test, feature = "model"))]
pub mod model;
#[cfg(test)]
mod tests;
mod wheel;

pub use arena::Key;
pub use wheel::Wheel;
