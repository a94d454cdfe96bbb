//! Checking every file of a store at rest.
//!
//! Each file is checked by itself first, so that one that is damaged hides nothing in another. Then the log is folded
//! as an open would do it; that finds what no single file shows (a torn tail or damage, a missing segment, a state that
//! differs from a digest), and gives what index files are built again from.

use std::collections::BTreeMap;
#[cfg(feature = "mmap")]
use std::path::Path;
use std::sync::Arc;

use backends::{Backend, StreamInfo, StreamReader};
use bytes::Bytes;

use super::lock;
use crate::base::Buckets;
use crate::bucket::Bucket;
use crate::cells::{self, CellValue, Checkpoint, EpochRecord, Identity};
use crate::commitlog::scan;
use crate::engine::build_index;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ALIGN, Frame, MAGIC};
use crate::index::{IndexError, IndexFile};
use crate::naming::{StreamKind, cell};
use crate::offset::Offset;
use crate::recovery::{self, Surveyed};
use crate::views::Views;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The stream or cell; empty where it is about the store as a whole.
    pub file: String,
    /// Where in the file, bytes, where that is known.
    pub at: Option<u64>,
    /// Which position of the log it is about, where it is about one.
    pub offset: Option<Offset>,
    /// What is wrong.
    pub what: String,
    /// Whether anything is lost or doubtful. What a crash may leave (an unfinished file, a torn tail) is not: the next
    /// open clears it away.
    pub damage: bool,
}

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files, cells included.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Frames of the log.
    pub frames: u64,
    /// Index files that were built again and compared.
    pub indexes: u64,
    /// Records in due buckets.
    pub bucket_records: u64,
}

/// What a check of a whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// How much was checked.
    pub checked: Checked,
    /// What was found, in order of the files' names.
    pub findings: Vec<Finding>,
}

impl Verified {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.damage)
    }
}

/// Checks every file of the store on `backend`; `progress` is told of bytes done and bytes to do.
///
/// # Errors
/// [`ErrorKind::Locked`] naming the process that has it open, [`ErrorKind::NotFound`] where there is no store,
/// [`ErrorKind::Version`] for one of another version, or the medium's.
pub fn verify(backend: &Arc<dyn Backend>, progress: impl FnMut(u64, u64)) -> Result<Verified> {
    let _lock = lock(&**backend)?;
    let mut list = backend.list().map_err(|e| Error::io(format!("cannot list {}", backend.describe()), e))?;
    // The reserve holds space and nothing else; what this version does not know it cannot check.
    list.retain(|info| StreamKind::parse(&info.name).is_some_and(|kind| kind != StreamKind::Reserve));
    let to_do = list.iter().map(|info| info.len).sum();
    let mut check = Check { backend: &**backend, to_do, progress, verified: Verified::default() };
    let secret = check.cells(list.is_empty())?;
    let buckets = check.buckets(&list)?;
    for info in &list {
        match StreamKind::parse(&info.name) {
            Some(StreamKind::Segment(start)) => check.segment(info, start, secret)?,
            Some(StreamKind::Base(_)) => check.base(info, &buckets)?,
            Some(StreamKind::Index(at)) => check.index(info, at)?,
            _ => {}
        }
        check.done(info.len);
    }
    if secret.is_some() {
        check.whole(&list)?;
    }
    let mut verified = check.verified;
    verified.findings.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
    verified.findings.dedup_by(|b, a| (&a.file, a.offset, &a.what) == (&b.file, b.offset, &b.what));
    Ok(verified)
}

/// Checks every file of the store in a directory.
///
/// # Errors
/// As [`verify`].
#[cfg(feature = "mmap")]
pub fn verify_dir(path: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<Verified> {
    let backend = backends_mmap::ReadOnlyBackend::open(path).map_err(super::no_directory)?;
    let backend: Arc<dyn Backend> = Arc::new(backend);
    verify(&backend, progress)
}

struct Check<'a, P> {
    backend: &'a dyn Backend,
    to_do: u64,
    progress: P,
    verified: Verified,
}

/// What stops a check: another version, or a medium that fails. Everything else is a finding.
fn fatal(error: Error) -> Result<String> {
    match error.kind() {
        ErrorKind::Version | ErrorKind::Io => Err(error),
        _ => Ok(error.to_string()),
    }
}

impl<P: FnMut(u64, u64)> Check<'_, P> {
    fn done(&mut self, bytes: u64) {
        self.verified.checked.files += 1;
        self.verified.checked.bytes += bytes;
        (self.progress)(self.verified.checked.bytes, self.to_do);
    }

    fn find(&mut self, file: &str, at: Option<u64>, what: String) -> &mut Finding {
        let finding = Finding { file: file.to_owned(), at, offset: None, what, damage: true };
        self.verified.findings.push(finding);
        let last = self.verified.findings.len() - 1;
        &mut self.verified.findings[last]
    }

    fn cell<V: CellValue>(&mut self) -> Result<Option<V>> {
        let name = cell(V::NAME);
        let read = self.backend.read_cell(&name);
        let Some(bytes) = read.map_err(|e| Error::io(format!("cannot read cell `{name}`"), e))? else {
            return Ok(None);
        };
        self.to_do += bytes.len() as u64;
        self.done(bytes.len() as u64);
        match cells::decode::<V>(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let what = fatal(error)?;
                self.find(V::NAME, Some(0), what);
                Ok(None)
            }
        }
    }

    /// Checks the cells; the log's secret, if it is known.
    fn cells(&mut self, empty: bool) -> Result<Option<u64>> {
        let identity = self.cell::<Identity>()?;
        self.cell::<EpochRecord>()?;
        self.cell::<Checkpoint>()?;
        if identity.is_none() && self.verified.findings.iter().all(|found| found.file != Identity::NAME) {
            if empty {
                let text = format!("{} holds no store", self.backend.describe());
                return Err(Error::new(ErrorKind::NotFound, text));
            }
            self.find(Identity::NAME, None, "the store's identity is missing".to_owned());
        }
        Ok(identity.map(|identity| identity.secret))
    }

    fn reader(&self, info: &StreamInfo) -> Result<Arc<dyn StreamReader>> {
        self.backend.open(&info.name).map_err(|e| Error::io(format!("cannot open {}", info.name), e))
    }

    fn bytes(&self, info: &StreamInfo) -> Result<Bytes> {
        let reader = self.reader(info)?;
        let read = reader.read(0..reader.published());
        read.map_err(|e| Error::io(format!("cannot read {}", info.name), e))
    }

    /// An unfinished file that only ever appears whole; false if it is none.
    fn is_unfinished(&mut self, info: &StreamInfo) -> bool {
        if !info.sealed {
            let what = "was being written when the store ended; the next open removes it".to_owned();
            self.find(info.name.as_str(), None, what).damage = false;
        }
        !info.sealed
    }

    fn buckets(&mut self, list: &[StreamInfo]) -> Result<Buckets> {
        let mut buckets = BTreeMap::new();
        for info in list {
            let Some(StreamKind::Bucket(at)) = StreamKind::parse(&info.name) else { continue };
            if self.is_unfinished(info) {
                continue;
            }
            match Bucket::open(self.reader(info)?) {
                Ok(bucket) if bucket.segment == at => {
                    self.bucket_records(info, &bucket)?;
                    buckets.insert(at, bucket);
                }
                Ok(bucket) => {
                    let what = format!("it is the due bucket of segment {}", bucket.segment);
                    self.find(info.name.as_str(), Some(0), what);
                }
                Err(error) => {
                    let what = fatal(error)?;
                    self.find(info.name.as_str(), Some(0), what);
                }
            }
        }
        Ok(buckets)
    }

    fn bucket_records(&mut self, info: &StreamInfo, bucket: &Bucket) -> Result<()> {
        for (slot, entry) in (0..).zip(bucket.directory()?) {
            self.verified.checked.bucket_records += 1;
            if let Err(error) = bucket.record(slot) {
                let what = fatal(error)?;
                self.find(info.name.as_str(), Some(entry.position), what).offset = Some(entry.schedule);
            }
        }
        Ok(())
    }

    fn base(&mut self, info: &StreamInfo, buckets: &Buckets) -> Result<()> {
        if self.is_unfinished(info) {
            return Ok(());
        }
        if let Err(error) = Views::thaw(&self.bytes(info)?, buckets, 0) {
            let offset = error.offset();
            let what = fatal(error)?;
            self.find(info.name.as_str(), Some(0), what).offset = offset;
        }
        Ok(())
    }

    /// Checks an index file's own checksums.
    fn index(&mut self, info: &StreamInfo, segment: Offset) -> Result<()> {
        if self.is_unfinished(info) {
            return Ok(());
        }
        let checked = IndexFile::open(self.reader(info)?).and_then(|index| {
            let wrong = index.header().segment_start != segment.0;
            index.units(0, index.header().units)?;
            index.find_key(0)?;
            Ok(wrong.then(|| Offset(index.header().segment_start)))
        });
        match checked {
            Ok(None) => {}
            Ok(Some(of)) => {
                self.find(info.name.as_str(), Some(0), format!("it is the index of segment {of}"));
            }
            Err(IndexError::Io(error)) => return Err(Error::io(format!("cannot read {}", info.name), error)),
            Err(error) => {
                let at = match error {
                    IndexError::Corrupt { at, .. } => at,
                    _ => 0,
                };
                self.find(info.name.as_str(), Some(at), error.to_string());
            }
        }
        Ok(())
    }

    /// Checks every frame of a sealed segment; where one that is not sealed ends, the whole decides.
    fn segment(&mut self, info: &StreamInfo, start: Offset, secret: Option<u64>) -> Result<()> {
        let Some(secret) = secret else { return Ok(()) };
        let bytes = self.bytes(info)?;
        let mut skip = 0;
        loop {
            let rest = bytes.get(skip..).unwrap_or_default();
            let walk = scan::walk(rest, secret, start.plus(skip as u64));
            self.verified.checked.frames += walk.frames;
            let Some(bad) = walk.bad.filter(|_| info.sealed) else { return Ok(()) };
            let at = usize::try_from(walk.end.0 - start.0).unwrap_or(usize::MAX);
            let finding = self.find(info.name.as_str(), Some(at as u64), bad.to_string());
            finding.offset = Some(walk.end);
            match next_frame(&bytes, secret, start, at + ALIGN) {
                Some(next) => skip = next,
                None => return Ok(()),
            }
        }
    }

    /// Checks what no single file shows.
    fn whole(&mut self, list: &[StreamInfo]) -> Result<()> {
        let survey = match recovery::survey(self.backend) {
            Ok(survey) => survey,
            Err(error) => {
                let offset = error.offset();
                let what = fatal(error)?;
                let file = offset.and_then(|at| file_of(list, at)).unwrap_or_default();
                // A damaged cell was found before, and an open says the same.
                if self.verified.is_sound() || !file.is_empty() {
                    self.find(&file, None, what).offset = offset;
                }
                return Ok(());
            }
        };
        self.log_end(&survey, list);
        self.indexes(&survey, list)
    }

    fn log_end(&mut self, survey: &Surveyed, list: &[StreamInfo]) {
        let end = survey.report.end;
        if let Some(damage) = &survey.damage {
            let at = damage.offset().unwrap_or(end);
            let file = file_of(list, at).unwrap_or_default();
            let in_file = segment_of(list, at).map(|(start, _)| at.0 - start.0);
            self.find(&file, in_file, damage.to_string()).offset = Some(at);
        } else if survey.report.left_out.0 > 0 {
            let (frames, bytes) = survey.report.left_out;
            let what = format!(
                "the log ends here, above the durable mark {}; {frames} frames ({bytes} bytes) behind are left out",
                survey.report.mark
            );
            let file = file_of(list, end).unwrap_or_default();
            let finding = self.find(&file, None, what);
            (finding.offset, finding.damage) = (Some(end), false);
        }
    }

    /// Builds each index file again and compares. Below the start the state no longer knows what was void.
    fn indexes(&mut self, survey: &Surveyed, list: &[StreamInfo]) -> Result<()> {
        for info in list.iter().filter(|info| info.sealed) {
            let Some(StreamKind::Index(at)) = StreamKind::parse(&info.name) else { continue };
            let segment = survey.log.find(at).filter(|s| s.start == at && at >= survey.views.start);
            let Some((segment, end)) = segment.and_then(|s| s.end().map(|end| (s, end))) else { continue };
            let voids = survey.views.voids_in(at, end);
            let Ok(built) = build_index(survey.log.secret(), &segment, &voids) else {
                continue; // the segment's own damage was found
            };
            self.verified.checked.indexes += 1;
            let found = self.bytes(info)?;
            if found != built {
                let at = found.iter().zip(&built).take_while(|(a, b)| a == b).count() as u64;
                let known = self.verified.findings.iter().any(|found| found.file == info.name.as_str());
                if !known {
                    let what = "differs from the index that the segment gives".to_owned();
                    self.find(info.name.as_str(), Some(at), what).offset = Some(segment.start);
                }
            }
        }
        Ok(())
    }
}

/// The next position at or behind `from` where a frame stands.
fn next_frame(bytes: &[u8], secret: u64, start: Offset, from: usize) -> Option<usize> {
    let magic = MAGIC.to_be_bytes();
    (from.next_multiple_of(ALIGN)..bytes.len()).step_by(ALIGN).find(|at| {
        let rest = &bytes[*at..];
        rest.starts_with(&magic) && Frame::parse(rest, secret, start.plus(*at as u64)).is_ok()
    })
}

/// The segment whose file holds this position.
fn segment_of(list: &[StreamInfo], at: Offset) -> Option<(Offset, &StreamInfo)> {
    let mut segments = list.iter().filter_map(|info| match StreamKind::parse(&info.name) {
        Some(StreamKind::Segment(start)) => Some((start, info)),
        _ => None,
    });
    segments.rfind(|(start, info)| *start <= at && at <= start.plus(info.len))
}

fn file_of(list: &[StreamInfo], at: Offset) -> Option<String> {
    segment_of(list, at).map(|(_, info)| info.name.as_str().to_owned())
}
