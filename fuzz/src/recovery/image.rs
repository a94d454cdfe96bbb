//! Everything that a medium holds, as bytes that can be changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::Arbitrary;
use backends::{Backend, Cells, FaultyBackend, MemoryBackend, Name, Streams};

/// One stream: all bytes that can be read, and whether it is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    sealed: bool,
}

/// The streams and cells of a medium.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    streams: BTreeMap<Name, Stream>,
    cells: BTreeMap<Name, Vec<u8>>,
}

/// A change of an image. Streams and cells are chosen by number, positions among the bytes in use.
#[derive(Debug, Clone, Arbitrary)]
pub(super) enum Mutation {
    Flip {
        stream: u8,
        at: u16,
        mask: u8,
    },
    Zero {
        stream: u8,
        at: u16,
        len: u16,
    },
    Truncate {
        stream: u8,
        at: u16,
    },
    /// Two ranges of one stream change places.
    Swap {
        stream: u8,
        a: u16,
        b: u16,
        len: u8,
    },
    /// A range of one stream stands in another.
    Copy {
        from: u8,
        to: u8,
        at: u16,
        len: u16,
    },
    Remove {
        stream: u8,
    },
    /// Two streams change their contents.
    Exchange {
        a: u8,
        b: u8,
    },
    /// A stream is as an earlier round left it, or gone if it was not there.
    Old {
        stream: u8,
        round: u8,
    },
    /// A stream is not sealed any more.
    Open {
        stream: u8,
    },
    /// A stream has another number in its name.
    Rename {
        stream: u8,
        number: u64,
    },
    FlipCell {
        cell: u8,
        at: u8,
        mask: u8,
    },
    RemoveCell {
        cell: u8,
    },
    OldCell {
        cell: u8,
        round: u8,
    },
}

fn pick<V>(map: &BTreeMap<Name, V>, number: u8) -> Option<&Name> {
    map.keys().nth(usize::from(number) % map.len().max(1))
}

impl Stream {
    /// Bytes up to the last one that is not zero.
    fn used(&self) -> usize {
        self.bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1)
    }

    fn place(&self, at: u16) -> usize {
        usize::from(at) * self.used() / (1 << 16)
    }

    fn range(&self, at: u16, len: usize) -> std::ops::Range<usize> {
        let start = self.place(at);
        start..(start + len).min(self.bytes.len())
    }
}

impl Image {
    pub(super) fn of(medium: &FaultyBackend) -> Self {
        let streams = medium.streams().into_iter().filter_map(|info| {
            let bytes = medium.dump(&info.name)?;
            Some((info.name, Stream { bytes, sealed: info.sealed }))
        });
        Self { streams: streams.collect(), cells: medium.cells() }
    }

    /// The image of a memory medium that nobody holds.
    pub(super) fn of_memory(medium: &MemoryBackend, cells: &[&str]) -> Self {
        let mut image = Self::default();
        for info in medium.list().expect("memory lists") {
            let reader = medium.open(&info.name).expect("memory opens");
            let bytes = reader.read(0..info.len).expect("memory reads").to_vec();
            image.streams.insert(info.name, Stream { bytes, sealed: info.sealed });
        }
        for name in cells.iter().filter_map(|name| Name::new(name)) {
            if let Some(value) = medium.read_cell(&name).expect("memory reads") {
                image.cells.insert(name, value);
            }
        }
        image
    }

    /// A medium that holds this.
    pub(super) fn medium(&self) -> Arc<MemoryBackend> {
        let medium = MemoryBackend::new();
        for (name, stream) in &self.streams {
            let len = stream.bytes.len() as u64;
            let mut writer = medium.create(name, len.max(1), len).expect("memory creates");
            writer.window(stream.bytes.len()).expect("reserved").copy_from_slice(&stream.bytes);
            writer.publish(stream.bytes.len());
            if stream.sealed {
                writer.control().seal(len).expect("memory seals");
            }
        }
        for (name, value) in &self.cells {
            medium.write_cell(name, value).expect("memory writes");
        }
        let _: &dyn Backend = &medium;
        Arc::new(medium)
    }

    pub(super) fn has_identity(&self) -> bool {
        self.cells.keys().any(|name| name.as_str() == "identity")
    }

    /// Changes the image; false where that changed nothing.
    pub(super) fn mutate(&mut self, mutation: &Mutation, earlier: &[Self]) -> bool {
        let before = self.clone();
        match mutation {
            Mutation::FlipCell { cell, at, mask } => {
                let value = pick(&self.cells, *cell).cloned().and_then(|name| self.cells.get_mut(&name));
                if let Some(value) = value.filter(|v| !v.is_empty()) {
                    let len = value.len();
                    value[usize::from(*at) % len] ^= mask;
                }
            }
            Mutation::RemoveCell { cell } => {
                let name = pick(&self.cells, *cell).cloned();
                name.map(|name| self.cells.remove(&name));
            }
            Mutation::OldCell { cell, round } => {
                let Some(name) = pick(&self.cells, *cell).cloned() else { return false };
                let old = earlier.get(usize::from(*round) % earlier.len().max(1));
                match old.and_then(|image| image.cells.get(&name)) {
                    Some(value) => drop(self.cells.insert(name, value.clone())),
                    None => drop(self.cells.remove(&name)),
                }
            }
            other => self.mutate_stream(other, earlier),
        }
        *self != before
    }

    fn mutate_stream(&mut self, mutation: &Mutation, earlier: &[Self]) {
        use Mutation::{Copy, Exchange, Flip, Old, Open, Remove, Rename, Swap, Truncate, Zero};
        let number = match mutation {
            Flip { stream, .. } | Zero { stream, .. } | Truncate { stream, .. } | Swap { stream, .. } => {
                stream
            }
            Remove { stream } | Old { stream, .. } | Open { stream } | Rename { stream, .. } => stream,
            Copy { to, .. } => to,
            Exchange { a, .. } => a,
            Mutation::FlipCell { .. } | Mutation::RemoveCell { .. } | Mutation::OldCell { .. } => return,
        };
        let Some(name) = pick(&self.streams, *number).cloned() else { return };
        let Some(mut stream) = self.streams.remove(&name) else { return };
        match mutation {
            Flip { at, mask, .. } => {
                let at = stream.place(*at);
                stream.bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= mask);
            }
            Zero { at, len, .. } => {
                let range = stream.range(*at, usize::from(*len));
                stream.bytes[range].fill(0);
            }
            Truncate { at, .. } => stream.bytes.truncate(stream.place(*at)),
            Swap { a, b, len, .. } => {
                let (a, b) = (stream.place(*a), stream.place(*b));
                let len = usize::from(*len).min(stream.bytes.len() - a.max(b));
                (0..len).for_each(|i| stream.bytes.swap(a + i, b + i));
            }
            Copy { from, at, len, .. } => {
                let source = pick(&self.streams, *from).and_then(|name| self.streams.get(name));
                let source = source.cloned().unwrap_or_else(|| stream.clone());
                let (from, to) = (source.range(*at, usize::from(*len)), stream.range(*at, usize::from(*len)));
                let len = from.len().min(to.len());
                stream.bytes[to.start..to.start + len]
                    .copy_from_slice(&source.bytes[from.start..from.start + len]);
            }
            Exchange { b, .. } => {
                let other = pick(&self.streams, *b).cloned().and_then(|name| self.streams.get_mut(&name));
                other.into_iter().for_each(|other| std::mem::swap(other, &mut stream));
            }
            Old { round, .. } => {
                let old = earlier.get(usize::from(*round) % earlier.len().max(1));
                let Some(old) = old.and_then(|image| image.streams.get(&name)) else { return };
                stream = old.clone();
            }
            Open { .. } => stream.sealed = false,
            Rename { number, .. } => {
                let (kind, _) = name.as_str().split_once('-').unwrap_or(("log", ""));
                let renamed = Name::new(&format!("{kind}-{number:020}")).unwrap_or(name);
                self.streams.insert(renamed, stream);
                return;
            }
            _ => return,
        }
        self.streams.insert(name, stream);
    }
}
