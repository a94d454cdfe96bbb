//! The directory: its entries, made durable one by one, its lock and its cells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backends::{Lock, Name, check};
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{Access, FlockOperation, access, flock, fsync};
use rustix::io::Errno;

use crate::Writes;
use crate::errors::full;
use crate::map::Pages;
use crate::naming::{self, Kind};
use crate::registry::Registry;

/// Guards the names in the directory and what of them is in use.
pub(crate) type Entries<'a> = MutexGuard<'a, Registry>;

/// One open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
    handle: File,
    /// Whether this process holds the lock.
    locked: AtomicBool,
    /// How bytes come into the files.
    pub(crate) writes: Writes,
    /// Whether flushes are large at present; what is created is prepared for it.
    pub(crate) bulk: AtomicBool,
    /// Held while a stream is created.
    pub(crate) creating: Mutex<()>,
    pub(crate) entries: Mutex<Registry>,
}

impl Dir {
    pub(crate) fn open(path: &Path, writes: Writes) -> io::Result<Self> {
        create_dirs(path).map_err(|error| about(path, "cannot create the directory", &error))?;
        if !path.is_dir() {
            return Err(io::Error::new(
                ErrorKind::NotADirectory,
                format!("{} is not a directory", path.display()),
            ));
        }
        let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        access(path, all).map_err(|errno| about(path, "cannot write to the directory", &errno.into()))?;
        let handle = File::open(path)?;
        let locked = AtomicBool::new(false);
        Ok(Self {
            path: path.to_path_buf(),
            handle,
            locked,
            writes,
            bulk: AtomicBool::new(false),
            creating: Mutex::new(()),
            entries: Mutex::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory's own file, for what is asked of the file system.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// How space is to be prepared at present.
    pub(crate) fn pages(&self) -> Pages {
        match self.writes {
            Writes::Copied => Pages::Copied,
            Writes::InPlace if self.bulk.load(Ordering::Relaxed) => Pages::Large,
            Writes::InPlace => Pages::Small,
        }
    }

    pub(crate) fn file(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// The entries, for one who holds the directory's lock.
    pub(crate) fn entries(&self) -> io::Result<Entries<'_>> {
        if !self.locked.load(Ordering::Acquire) {
            let text = format!("the lock of {} is not held", self.path.display());
            return Err(io::Error::new(ErrorKind::PermissionDenied, text));
        }
        Ok(self.entries.lock())
    }

    pub(crate) fn rename(&self, entries: &Entries<'_>, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))?;
        self.sync(entries)
    }

    /// Makes the entries durable as they are.
    pub(crate) fn sync(&self, _: &Entries<'_>) -> io::Result<()> {
        Ok(fsync(&self.handle)?)
    }

    pub(crate) fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        let _entries = self.entries()?;
        match fs::read(self.file(&Kind::Cell.file(name))) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write_cell(&self, name: &Name, value: &[u8]) -> io::Result<()> {
        check::cell(value)?;
        let entries = self.entries()?;
        let new = Kind::NewCell.file(name);
        if let Err(error) = self.write_new(&new, value) {
            // It would only be overwritten by the next one.
            let _ = fs::remove_file(self.file(&new));
            return Err(full(error));
        }
        self.rename(&entries, &new, &Kind::Cell.file(name))
    }

    fn write_new(&self, file: &str, value: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.file(file))?;
        file.write_all(value)?;
        file.sync_all()
    }

    /// Takes the lock, and clears away what creations left that a crash cut short.
    pub(crate) fn lock(self: &Arc<Self>) -> io::Result<Held> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(self.file(naming::LOCK))?;
        if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            return Err(holder_error(&self.path, &mut file, errno));
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?.file_name();
            if let Some((_, Kind::NewStream | Kind::NewCell)) = naming::parse(&entry) {
                fs::remove_file(self.path.join(entry))?;
            }
        }
        self.locked.store(true, Ordering::Release);
        Ok(Held { dir: Arc::clone(self), _file: file })
    }
}

/// Somebody else holds the lock of `path`: who, as `lock` says.
pub(crate) fn holder_error(path: &Path, lock: &mut File, errno: Errno) -> io::Error {
    let mut holder = String::new();
    let _ = lock.read_to_string(&mut holder); // unreadable: the holder stays unnamed
    let text = format!("{} is locked by process {}: {errno}", path.display(), holder.trim());
    io::Error::new(io::Error::from(errno).kind(), text)
}

/// The lock; closing the file releases it.
#[derive(Debug)]
pub(crate) struct Held {
    dir: Arc<Dir>,
    _file: File,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.dir.locked.store(false, Ordering::Release);
    }
}

/// Creates `path` and what is missing above it, each entry durable.
fn create_dirs(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dirs(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    Ok(fsync(File::open(parent)?)?)
}

fn about(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}
