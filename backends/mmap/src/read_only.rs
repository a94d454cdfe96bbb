//! The same directory for one who only looks: nothing in it is created, changed or removed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backends::{Backend, Cells, Lock, Name, StreamInfo, StreamReader, StreamWriter, Streams};
use rustix::fs::{FlockOperation, flock};

use crate::Reader;
use crate::dir::holder_error;
use crate::map::Region;
use crate::naming::{self, Kind};

/// The streams and cells of a directory that exists, for reading.
///
/// What would change anything fails with `ReadOnlyFilesystem`. As long as [`Backend::lock`] is held no store can be
/// opened there, so files stay as they are; many may look at once.
#[derive(Debug, Clone)]
pub struct ReadOnlyBackend {
    path: PathBuf,
}

impl ReadOnlyBackend {
    /// Looks at a directory.
    ///
    /// # Errors
    /// `NotFound` or `NotADirectory`, naming it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_path_buf();
        let told = |kind, what: &str| io::Error::new(kind, format!("{} {what}", path.display()));
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Self { path }),
            Ok(_) => Err(told(ErrorKind::NotADirectory, "is not a directory")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(told(ErrorKind::NotFound, "does not exist"))
            }
            Err(error) => Err(told(error.kind(), &format!("cannot be looked at: {error}"))),
        }
    }

    fn refuse<T>(&self) -> io::Result<T> {
        let text = format!("{} is only looked at", self.path.display());
        Err(io::Error::new(ErrorKind::ReadOnlyFilesystem, text))
    }
}

/// Keeps others from writing while it lives.
#[derive(Debug)]
struct Looking {
    _file: Option<File>,
}

impl Lock for Looking {}

impl Streams for ReadOnlyBackend {
    fn create(&self, _: &Name, _: u64, _: u64) -> io::Result<Box<dyn StreamWriter>> {
        self.refuse()
    }

    fn reopen(&self, _: &Name, _: u64) -> io::Result<Box<dyn StreamWriter>> {
        self.refuse()
    }

    fn open(&self, name: &Name) -> io::Result<Arc<dyn StreamReader>> {
        for kind in [Kind::Sealed, Kind::Open] {
            let file = match File::open(self.path.join(kind.file(name))) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let region = Region::read_only(&file, file.metadata()?.len())?;
            return Ok(Arc::new(Reader { region }));
        }
        Err(io::Error::new(ErrorKind::NotFound, format!("no stream {name} in {}", self.describe())))
    }

    fn list(&self) -> io::Result<Vec<StreamInfo>> {
        naming::streams(&self.path)
    }

    fn remove(&self, _: &Name) -> io::Result<()> {
        self.refuse()
    }
}

impl Cells for ReadOnlyBackend {
    fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(Kind::Cell.file(name))) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_cell(&self, _: &Name, _: &[u8]) -> io::Result<()> {
        self.refuse()
    }
}

impl Backend for ReadOnlyBackend {
    /// Keeps stores from being opened here; shared with others that only look.
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        let mut file = match File::open(self.path.join(naming::LOCK)) {
            Ok(file) => file,
            // No store was ever opened here, or somebody copied its other files.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Box::new(Looking { _file: None }));
            }
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Box::new(Looking { _file: Some(file) })),
            Err(errno) => Err(holder_error(&self.path, &mut file, errno)),
        }
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }
}
