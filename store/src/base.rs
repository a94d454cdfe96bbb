//! The base: the folded state of everything before an offset B. Two generations are kept.
//!
//! An [envelope](crate::envelope) around all of it:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 20 | 8 | B | first offset that is not folded in; names the epoch |
//! | 28 | 8 | start | first offset of the log that it may refer to |
//! | 36 | 8 | digest | of the state at B |
//!
//! The state follows, in this order, each list behind its count (8 bytes):
//!
//! | part | entry |
//! |---|---|
//! | clock | has 1, owner time 8 |
//! | queues | skips 4, segment bytes 8 |
//! | topics | name text, has settings 1, settings, queues 4, end 8 each |
//! | groups | name text, settings |
//! | offsets | group text, topic text, queue 4, offset 8 |
//! | voids | position 8 |
//! | cancelled | schedule offset 8, due 8 |
//! | timers in the log | schedule offset 8, due 8, size 4 |
//! | buckets | segment 8, entries 4, bitmap of the pending ones |
//! | last segment digest | has 1, end 8, digest 8 |
//! | locks | group text, topic text, queue 4, client text, until 8 |
//! | attributes | of 1, name text, count 8, then each: attribute text, value text |
//! | keys | key 16, until 8, position 8, timed 1, due 8, queue 4, queue offset 8, store time 8, topic 8 |
//!
//! A base of version 1 ends with the last segment digest. Version 2 is written only where a part behind it has entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::bucket::Bucket;
use crate::codec::{Malformed, Reader, Writer, fill};
use crate::envelope::{Envelope, HEAD_BYTES};
use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::planted::{self, Bug};
use crate::settings::{self, GroupConfig, TopicConfig};
use crate::views::{Lease, Place, Timers, Views};

/// `MSB1`.
pub const MAGIC: u32 = u32::from_be_bytes(*b"MSB1");
/// The format version of bases.
pub const VERSION: u32 = 1;
/// The format version of bases that hold what version 1 has no place for.
pub const LATER_VERSION: u32 = 2;
/// Bytes of the header, envelope included.
pub const HEADER_BYTES: usize = 44;
/// The longest base, bytes: it is read into memory whole.
pub const BASE_BYTES_MAX: u64 = 1 << 32;

/// `(field, offset, size)` of the header behind the envelope's head, in order.
pub const HEADER_FIELDS: &[(&str, usize, usize)] = &[("B", 20, 8), ("start", 28, 8), ("digest", 36, 8)];

const _: () = assert!(fill(HEADER_FIELDS, HEAD_BYTES, HEADER_BYTES));

/// What a base is wrapped in.
pub const ENVELOPE: Envelope<'_> =
    Envelope { what: "base", magic: MAGIC, version: VERSION, bytes_max: BASE_BYTES_MAX };

/// The same for later versions.
pub const LATER: Envelope<'_> = Envelope { version: LATER_VERSION, ..ENVELOPE };

/// What the base in these bytes is wrapped in, by the version that it names.
fn envelope(bytes: &[u8]) -> Envelope<'static> {
    if bytes.get(4..8) == Some(&VERSION.to_be_bytes()) { ENVELOPE } else { LATER }
}

/// A base that is ready to be written.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// First offset that is not folded in.
    pub at: Offset,
    /// The log's start in it.
    pub start: Offset,
    /// Segments whose buckets it names.
    pub buckets: Vec<Offset>,
    /// The stream's bytes.
    pub bytes: Vec<u8>,
}

/// A base that is on the medium.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// First offset that is not folded in.
    pub at: Offset,
    /// The log's start in it.
    pub start: Offset,
    /// Segments whose buckets it names.
    pub buckets: Vec<Offset>,
}

/// The buckets that are known, by the segment they are of.
pub type Buckets = BTreeMap<Offset, Bucket>;

impl Views {
    /// The digest of the whole state at `applied`.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut out = Writer::default();
        self.encode_settings(&mut out);
        out.u64(self.start.0).u64(self.applied.0).u64(self.timers.count() as u64).u64(self.timers.digest());
        if self.encode_later(&mut out) {
            out.u64(self.once.len() as u64).u64(self.once.digest());
        }
        xxh3_64(&out.0)
    }

    fn encode_settings(&self, out: &mut Writer) {
        out.u8(u8::from(self.owner_ms.is_some())).i64(self.owner_ms.unwrap_or(0));
        out.u32(self.queue_skips).u64(self.segment_bytes);
        out.u64(self.topics.len() as u64);
        for topic in self.topics() {
            out.text(&topic.name).u8(u8::from(topic.config.is_some()));
            topic.config.iter().for_each(|c| c.encode(out));
            out.u32(u32::try_from(topic.queues.len()).unwrap_or(u32::MAX));
            for queue in &topic.queues {
                out.u64(queue.end);
            }
        }
        out.u64(self.groups.len() as u64);
        for group in self.groups.values() {
            out.text(&group.name);
            group.encode(out);
        }
        let keep_offsets = !planted::is(Bug::OffsetBelowPromised);
        out.u64(if keep_offsets { self.offsets.len() as u64 } else { 0 });
        for ((group, topic, queue), offset) in self.offsets.iter().filter(|_| keep_offsets) {
            out.text(group).text(topic).u32(*queue).u64(*offset);
        }
        out.u64(self.voids.len() as u64);
        for at in &self.voids {
            out.u64(at.0);
        }
        out.u64(self.timers.cancelled().len() as u64);
        for (schedule, at) in self.timers.cancelled() {
            out.u64(schedule.0).i64(at);
        }
    }

    /// What version 1 has no place for, but the keys; nothing where there is none of it, keys included. True if there is.
    fn encode_later(&self, out: &mut Writer) -> bool {
        let (locks, attributes) = (self.locks.iter(), self.attributes());
        if locks.len() == 0 && attributes.is_empty() && self.once.is_empty() {
            return false;
        }
        out.u64(locks.len() as u64);
        for ((group, topic, queue), lease) in locks {
            out.text(group).text(topic).u32(*queue).text(&lease.client).i64(lease.until_ms);
        }
        out.u64(attributes.len() as u64);
        for (of_group, name, attributes) in attributes {
            out.u8(u8::from(of_group)).text(name);
            settings::write_attributes(out, settings::borrowed(attributes).into_iter());
        }
        true
    }

    fn decode_later(&mut self, r: &mut Reader<'_>) -> std::result::Result<(), Malformed> {
        for _ in 0..r.u64()? {
            let key = (r.text()?.to_owned(), r.text()?.to_owned(), r.u32()?);
            self.locks.insert(key, Lease { client: r.text()?.to_owned(), until_ms: r.i64()? });
        }
        for _ in 0..r.u64()? {
            let (of_group, name) = (r.u8()? != 0, r.text()?);
            let attributes = settings::owned(&settings::read_attributes(r)?);
            self.set_attributes(of_group, name, attributes);
        }
        self.once.decode(r)
    }

    /// Whether a pending timer's record lies below the log's start and in no bucket: then there is no base.
    #[must_use]
    pub(crate) fn lacks_bodies(&self) -> bool {
        self.timers.first_logged().is_some_and(|at| at < self.start) && !planted::is(Bug::BaseBelowStart)
    }

    /// The state as a base. `None` while a timer's record lies below the log's start and in no bucket.
    ///
    /// It looks at every timer, so nobody may wait for this state meanwhile.
    #[must_use]
    pub fn freeze(&self, buckets: &Buckets) -> Option<Snapshot> {
        if self.lacks_bodies() {
            return None;
        }
        let mut out = Writer::default();
        out.u64(self.applied.0).u64(self.start.0).u64(self.digest());
        self.encode_settings(&mut out);
        out.u64(self.timers.logged_count() as u64);
        for (schedule, pending) in self.timers.logged(Offset(0)..Offset(u64::MAX)) {
            out.u64(schedule.0).i64(pending.due_ms).u32(pending.size);
        }
        let bitmaps = self.bitmaps(buckets);
        out.u64(bitmaps.len() as u64);
        for (segment, (entries, bitmap)) in &bitmaps {
            out.u64(segment.0).u32(*entries).bytes(bitmap);
        }
        let (at, digest) = self.segment_digest.unwrap_or_default();
        out.u8(u8::from(self.segment_digest.is_some())).u64(at.0).u64(digest);
        let later = self.encode_later(&mut out);
        if later {
            self.once.encode(&mut out);
        }
        let bytes = if later { LATER } else { ENVELOPE }.seal(&out.0);
        if bytes.len() as u64 > BASE_BYTES_MAX {
            tracing::error!(
                bytes = bytes.len(),
                "the state is too large for a base; the log cannot be trimmed"
            );
            return None;
        }
        let buckets = bitmaps.into_keys().collect();
        Some(Snapshot { at: self.applied, start: self.start, buckets, bytes })
    }

    /// Uses a bucket for the timers that pend in it.
    ///
    /// # Errors
    /// The medium's; nothing was changed.
    pub(crate) fn adopt(&mut self, bucket: &Bucket) -> Result<()> {
        for (slot, entry) in (0..).zip(bucket.directory()?) {
            self.timers.moved(entry.schedule, bucket.segment, slot);
        }
        Ok(())
    }

    fn bitmaps(&self, buckets: &Buckets) -> BTreeMap<Offset, (u32, Vec<u8>)> {
        let mut bitmaps: BTreeMap<Offset, (u32, Vec<u8>)> = BTreeMap::new();
        for (_, pending) in self.timers.iter() {
            let Place::Bucket { segment, slot } = pending.place else { continue };
            let entries = buckets.get(&segment).map_or(0, |b| b.entries);
            let bytes = usize::try_from(entries.div_ceil(8)).unwrap_or(0);
            let (_, bitmap) = bitmaps.entry(segment).or_insert_with(|| (entries, vec![0; bytes]));
            if let Some(byte) = bitmap.get_mut((slot / 8) as usize) {
                *byte |= 1 << (slot % 8);
            }
        }
        bitmaps
    }

    /// The state of a base; the buckets it names must be among `buckets`.
    ///
    /// # Errors
    /// As [`Envelope::open`]; `Corrupt` too if the state is malformed or has another digest; or a bucket's error.
    pub fn thaw(bytes: &[u8], buckets: &Buckets, now_ms: i64) -> Result<Self> {
        let envelope = envelope(bytes);
        let mut r = Reader::new(envelope.open(bytes)?);
        let mut views = Self::empty(now_ms);
        let digest = views.decode(&mut r, buckets).map_err(|e| e.unwrap_or_else(|| corrupt("malformed")))?;
        let later = if envelope.version == VERSION { Ok(()) } else { views.decode_later(&mut r) };
        later.and_then(|()| r.end()).map_err(|Malformed| corrupt("malformed"))?;
        if views.digest() != digest {
            return Err(corrupt("the state's digest differs").at(views.applied));
        }
        Ok(views)
    }

    fn decode(&mut self, r: &mut Reader<'_>, buckets: &Buckets) -> std::result::Result<u64, Option<Error>> {
        let none = |Malformed| None;
        self.applied = Offset(r.u64().map_err(none)?);
        self.start = Offset(r.u64().map_err(none)?);
        let digest = r.u64().map_err(none)?;
        self.decode_settings(r).map_err(none)?;
        let mut timers = Timers::new(self.owner_ms.unwrap_or(0));
        for (schedule, at) in self.timers.cancelled() {
            timers.remember_cancelled(schedule, at);
        }
        self.timers = timers;
        for _ in 0..r.u64().map_err(none)? {
            let fields = (|| Ok::<_, Malformed>((r.u64()?, r.i64()?, r.u32()?)))().map_err(none)?;
            self.pend(Offset(fields.0), fields.1, fields.2, Place::Log).map_err(none)?;
        }
        for _ in 0..r.u64().map_err(none)? {
            self.decode_bucket(r, buckets)?;
        }
        let last = (|| Ok::<_, Malformed>((r.u8()?, r.u64()?, r.u64()?)))().map_err(none)?;
        self.segment_digest = (last.0 != 0).then_some((Offset(last.1), last.2));
        Ok(digest)
    }

    fn decode_settings(&mut self, r: &mut Reader<'_>) -> std::result::Result<(), Malformed> {
        let (has, owner_ms) = (r.u8()?, r.i64()?);
        self.owner_ms = (has != 0).then_some(owner_ms);
        (self.queue_skips, self.segment_bytes) = (r.u32()?, r.u64()?);
        for _ in 0..r.u64()? {
            let (name, has) = (r.text()?, r.u8()?);
            let topic = self.topic_index(name);
            let config = if has == 0 { None } else { Some(TopicConfig::decode(name, r)?) };
            self.topics[topic].config = config.map(Arc::new);
            for queue in 0..r.u32()? {
                self.queue_mut(topic, queue as usize).end = r.u64()?;
            }
        }
        for _ in 0..r.u64()? {
            let name = r.text()?;
            self.groups.insert(name.to_owned(), Arc::new(GroupConfig::decode(name, r)?));
        }
        for _ in 0..r.u64()? {
            let (group, topic, queue) = (r.text()?.to_owned(), r.text()?.to_owned(), r.u32()?);
            self.offsets.insert((group, topic, queue), r.u64()?);
        }
        for _ in 0..r.u64()? {
            self.voids.insert(Offset(r.u64()?));
        }
        for _ in 0..r.u64()? {
            let (schedule, at) = (Offset(r.u64()?), r.i64()?);
            self.timers.remember_cancelled(schedule, at);
        }
        Ok(())
    }

    /// A timer of a base; the same one twice is none of ours.
    fn pend(
        &mut self,
        schedule: Offset,
        due_ms: i64,
        size: u32,
        place: Place,
    ) -> std::result::Result<(), Malformed> {
        if self.timers.get(schedule).is_some() {
            return Err(Malformed);
        }
        self.timers.insert(schedule, due_ms, size, place);
        Ok(())
    }

    fn decode_bucket(
        &mut self,
        r: &mut Reader<'_>,
        buckets: &Buckets,
    ) -> std::result::Result<(), Option<Error>> {
        let none = |Malformed| None;
        let (segment, entries) = (Offset(r.u64().map_err(none)?), r.u32().map_err(none)?);
        let bitmap = r.take(entries.div_ceil(8) as usize).map_err(none)?;
        let missing = || corrupt("names a due bucket that is not there").at(segment);
        let bucket = buckets.get(&segment).filter(|b| b.entries == entries).ok_or_else(|| Some(missing()))?;
        for (slot, entry) in bucket.directory().map_err(Some)?.iter().enumerate() {
            if bitmap[slot / 8] & (1 << (slot % 8)) != 0 {
                let slot = u32::try_from(slot).unwrap_or(u32::MAX);
                let place = Place::Bucket { segment, slot };
                self.pend(entry.schedule, entry.due_ms, entry.size, place).map_err(none)?;
            }
        }
        Ok(())
    }
}

fn corrupt(what: &str) -> Error {
    ENVELOPE.corrupt(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same timer twice, in a base with right checksums, tripped an assertion of the timers: found by the
    /// fuzz target `recovery`, which gave two buckets the same contents.
    #[test]
    fn the_same_timer_twice_is_refused() {
        let mut views = Views::empty(0);
        views.timers.insert(Offset(1 << 40), 5, 100, Place::Log);
        let base = views.freeze(&Buckets::new()).unwrap().bytes;
        assert!(Views::thaw(&base, &Buckets::new(), 0).is_ok());
        // Behind the list of one timer stand an empty list of buckets and the last segment's digest.
        let list = base.len() - (8 + 17) - (8 + 20);
        let timer = base[list + 8..list + 28].to_vec();
        let mut bad = base.clone();
        bad[list..list + 8].copy_from_slice(&2_u64.to_be_bytes());
        bad.splice(list + 28..list + 28, timer);
        let bad = ENVELOPE.seal(&bad[HEAD_BYTES..]);
        let error = Views::thaw(&bad, &Buckets::new(), 0).unwrap_err();
        assert!(error.to_string().contains("malformed"), "{error}");
    }
}
