//! Finding messages by key: through the index files of sealed segments, and the keys of those that have none yet.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::hash::key_hash;
use crate::index::IndexFile;
use crate::message::Handle;
use crate::offset::Offset;
use crate::record::Record;
use crate::store::Store;

/// What to find.
#[derive(Debug, Clone, Copy)]
pub struct KeyQuery<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key.
    pub key: &'a str,
    /// Only messages whose unique key it is; else also those that have it among their KEYS.
    pub unique: bool,
    /// The oldest store time, owner milliseconds.
    pub from_ms: i64,
    /// The newest store time, owner milliseconds, inclusive.
    pub to_ms: i64,
    /// Messages at most.
    pub max_records: usize,
    /// Bytes of records at most; the first message always comes.
    pub max_bytes: usize,
}

impl KeyQuery<'_> {
    fn wants(&self, record: &Record<'_>) -> bool {
        record.topic() == self.topic
            && (record.uniq_key() == Some(self.key)
                || (!self.unique && record.keys().any(|key| key == self.key)))
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysFound {
    /// Whole records, newest first.
    pub records: Vec<Bytes>,
    /// Everything stored up to this owner time was looked at, milliseconds; 0 for an empty log.
    pub through_ms: i64,
    /// Everything below was looked at.
    pub through: Offset,
}

/// A segment with messages of the topic, and its index file once it has one.
type Part = (Offset, Option<Arc<IndexFile>>);

impl Store {
    /// Finds messages of a topic by key, newest first. A message whose queue slot is a blank is none.
    ///
    /// # Cost
    /// A search in each index file whose times overlap. The first query since the open reads the segments that have
    /// no index file yet, mostly one; what it keeps for later queries is 16 bytes a key, at most 64 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the log offset if stored bytes fail a check, or the medium's.
    pub fn find_by_key(&self, query: &KeyQuery<'_>) -> Result<KeysFound> {
        let core = self.core();
        let (parts, applied, through_ms): (Vec<Part>, _, _) = {
            let views = core.views.read();
            (views.parts(query.topic), views.applied, views.owner_ms.unwrap_or_default())
        };
        let mut found = KeysFound { records: Vec::new(), through_ms, through: applied };
        if query.max_records == 0 || query.from_ms > query.to_ms {
            return Ok(found);
        }
        let hash = key_hash(query.topic, query.key);
        let mut room = query.max_bytes;
        for (segment, index) in parts.iter().rev() {
            let candidates = match index {
                Some(index) if index.header().first_store_ms > query.to_ms => continue,
                Some(index) if index.header().last_store_ms < query.from_ms => break,
                Some(index) => self.indexed(*segment, index, hash)?,
                None => self.recent(&parts, *segment, applied, hash)?,
            };
            if !self.collect(query, &candidates, &mut room, &mut found.records)? {
                break;
            }
        }
        Ok(found)
    }

    fn indexed(&self, segment: Offset, index: &IndexFile, hash: u64) -> Result<Vec<Offset>> {
        let positions = match index.find_key(hash) {
            Ok(positions) => positions,
            Err(error) => {
                tracing::error!(%segment, %error, "an index file is damaged; it is built again");
                let damaged = |e| Error::new(ErrorKind::Corrupt, format!("index of segment {segment}: {e}"));
                self.rebuild_index(segment)?.find_key(hash).map_err(damaged)?
            }
        };
        Ok(positions.into_iter().map(Offset).collect())
    }

    fn recent(&self, parts: &[Part], segment: Offset, applied: Offset, hash: u64) -> Result<Vec<Offset>> {
        let mut recent = self.inner.recent_keys.lock();
        if let Some((indexed, _)) = parts.iter().rev().find(|(_, index)| index.is_some()) {
            recent.indexed(*indexed);
        }
        recent.find(&self.core().log, segment, applied, hash)
    }

    /// Takes those of one segment that are wanted, newest first. False once no older one can be wanted.
    fn collect(
        &self,
        query: &KeyQuery<'_>,
        candidates: &[Offset],
        room: &mut usize,
        records: &mut Vec<Bytes>,
    ) -> Result<bool> {
        // Store times never go back along the log.
        let (mut low, mut high) = (0, candidates.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.stored_ms(candidates[middle])? {
                stored if stored <= query.to_ms => low = middle + 1,
                _ => high = middle,
            }
        }
        for at in candidates[..low].iter().rev() {
            if self.stored_ms(*at)? < query.from_ms {
                return Ok(false);
            }
            let bytes = match self.record_at(*at) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let wanted = Record::parse(&bytes).is_ok_and(|record| query.wants(&record));
            if !wanted {
                continue;
            }
            if !records.is_empty() && bytes.len() > *room {
                return Ok(false);
            }
            *room = room.saturating_sub(bytes.len());
            records.push(bytes);
            if records.len() == query.max_records {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The store time of the record at a position where one was written.
    fn stored_ms(&self, at: Offset) -> Result<i64> {
        let damaged = |why: String| Error::new(ErrorKind::Corrupt, why).at(at);
        let log = &self.core().log;
        let head = match log.slice(at, 4) {
            // Trimmed meanwhile, so older than all that is there.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(i64::MIN),
            other => other?,
        };
        let size = head.first_chunk::<4>().map_or(0, |size| u32::from_be_bytes(*size));
        let record = log.slice(at, u64::from(size))?;
        Ok(Record::parse(&record).map_err(|e| damaged(e.to_string()))?.store_ms())
    }

    /// The message at a log position that a client names: one that a queue shows at exactly that position, or one
    /// whose timer was scheduled there and is pending, as it will be delivered.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for anything else, or the log's errors.
    pub fn message_at(&self, offset: Offset) -> Result<Bytes> {
        match self.record_at(offset) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.pending_at(offset)?.ok_or(error),
            other => other,
        }
    }

    fn pending_at(&self, schedule: Offset) -> Result<Option<Bytes>> {
        let core = self.core();
        let Some(timer) = core.views.read().timers.get(schedule).copied() else { return Ok(None) };
        let buckets = core.applier.lock().upkeep().buckets().clone();
        self.timed_record(Handle { due_ms: timer.due_ms, schedule }, &timer, &buckets).map(Some)
    }
}
