//! Which operation meets which fault, what was injected, and the trace of it all.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::Name;

/// What a call asks of the medium. The first group changes it and is counted by
/// [`ops`](super::FaultyBackend::ops).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the call of that name")]
pub enum OpKind {
    Create,
    Reopen,
    Remove,
    Publish,
    Reserve,
    Flush,
    Seal,
    WriteCell,
    Open,
    List,
    Read,
    ReadCell,
}

impl OpKind {
    /// Whether it is counted: a crash at any other is the same as one just before the next counted one.
    #[must_use]
    pub fn changes(self) -> bool {
        self <= Self::WriteCell
    }
}

/// What happens to an operation instead of success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error of the medium. A flush or seal poisons its stream and leaves its pages readable, clean and, a
    /// seeded part of them, not on the disk; a cell write leaves the old or the new value; anything else has
    /// changed nothing. A publish cannot fail.
    Io,
    /// No space: `StorageFull` and nothing changed; to a flush or seal it is [`Fault::Io`].
    Full,
    /// A flush, or the flush of a seal, that says it succeeded and did nothing; anything else just succeeds.
    Lie,
    /// The operation and all later ones fail with [`Crashed`]; what the operation did by then is decided by
    /// [`crash`](super::FaultyBackend::crash) or [`kill`](super::FaultyBackend::kill).
    Crash,
}

/// The error of a medium that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated machine has crashed")
    }
}

impl std::error::Error for Crashed {}

impl Crashed {
    /// Whether `error` says that the medium crashed.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// How often each thing was injected, over the whole life of a medium, crashes included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Injected {
    /// Calls that failed with an error of the medium, by [`Fault::Io`] or an unreadable range.
    pub io_errors: u64,
    /// Calls that failed with `StorageFull`, by [`Fault::Full`] or the capacity.
    pub full: u64,
    /// Flushes and seals that failed.
    pub failed_flushes: u64,
    /// Flushes and seals that lied.
    pub lies: u64,
    /// Sectors that a failed flush marked clean without writing them.
    pub sectors_dropped: u64,
    /// Operations that were cut short by [`Fault::Crash`].
    pub cut_operations: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Kills.
    pub kills: u64,
    /// Un-flushed sectors that a power cut took back to what was durable.
    pub sectors_lost: u64,
    /// Un-flushed sectors of which a power cut left an older version.
    pub sectors_old: u64,
    /// Un-flushed sectors that a power cut left as they were.
    pub sectors_kept: u64,
    /// Sectors and cells that were damaged.
    pub damages: u64,
}

/// Faults to come, and the counts.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    at: BTreeMap<u64, Fault>,
    next: Vec<(OpKind, Fault)>,
    pub(super) ops: u64,
    /// While it is held nothing of a kind meets its fault.
    pub(super) held: bool,
}

impl Schedule {
    pub(super) fn at(&mut self, op: u64, fault: Fault) {
        self.at.insert(op, fault);
    }

    pub(super) fn next(&mut self, kind: OpKind, fault: Fault) {
        self.next.push((kind, fault));
    }

    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.next.clear();
    }

    /// Counts an operation and gives the fault that it meets.
    pub(super) fn take(&mut self, kind: OpKind) -> Option<Fault> {
        if kind.changes() {
            self.ops += 1;
            if let Some(fault) = self.at.remove(&(self.ops - 1)) {
                return Some(fault);
            }
        }
        if self.held {
            return None;
        }
        let index = self.next.iter().position(|(next, _)| *next == kind)?;
        Some(self.next.remove(index).1)
    }
}

/// What happened, as a hash, and in words if asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    pub(super) hash: u64,
    pub(super) lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn note(&mut self, kind: OpKind, name: Option<&Name>, args: [u64; 2], fault: Option<Fault>) {
        let text = name.map_or("", Name::as_str);
        for word in [kind as u64, fault.map_or(0, |fault| fault as u64 + 1), args[0], args[1]] {
            self.mix(word);
        }
        self.bytes(text.as_bytes());
        if let Some(lines) = &mut self.lines {
            let fault = fault.map_or(String::new(), |fault| format!(" {fault:?}"));
            lines.push(format!("{kind:?} {text} {} {}{fault}", args[0], args[1]));
        }
    }

    pub(super) fn event(&mut self, what: &str, seed: u64) {
        self.bytes(what.as_bytes());
        self.mix(seed);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{what} {seed}"));
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn mix(&mut self, word: u64) {
        self.hash = Rng::new(self.hash.rotate_left(5) ^ word).next();
    }
}

/// SplitMix64: small, seeded, the same everywhere.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is small.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}
