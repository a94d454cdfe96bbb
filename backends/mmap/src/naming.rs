//! Names of files: built and parsed here and nowhere else.
//!
//! ```text
//! lock             held by flock, holds the process id of the last holder
//! NAME.open        a stream that is not sealed; its size is the reserved length
//! NAME.stream      a sealed stream; its size is the sealed length
//! NAME.cell        a cell; the file is the value
//! NAME.open-new    a stream or
//! NAME.cell-new    a cell value that is being created; left by a crash, removed when the lock is taken
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use backends::{Name, StreamInfo};

/// The lock file. It has no extension, so no stream or cell can have its name.
pub(crate) const LOCK: &str = "lock";

/// What a file in the directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Sealed,
    Cell,
    NewStream,
    NewCell,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Open, Self::Sealed, Self::Cell, Self::NewStream, Self::NewCell];

    const fn extension(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "stream",
            Self::Cell => "cell",
            Self::NewStream => "open-new",
            Self::NewCell => "cell-new",
        }
    }

    /// The name of the file of this kind that belongs to `name`.
    pub(crate) fn file(self, name: &Name) -> String {
        format!("{name}.{}", self.extension())
    }
}

/// What `file` is and whose, `None` if this crate did not name it.
pub(crate) fn parse(file: &OsStr) -> Option<(Name, Kind)> {
    let (stem, extension) = file.to_str()?.split_once('.')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
    Some((Name::new(stem)?, kind))
}

/// The streams in a directory, sorted by name.
pub(crate) fn streams(path: &Path) -> io::Result<Vec<StreamInfo>> {
    let mut streams = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (name, sealed) = match parse(&entry.file_name()) {
            Some((name, Kind::Sealed)) => (name, true),
            Some((name, Kind::Open)) => (name, false),
            _ => continue,
        };
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            streams.push(StreamInfo { name, len: metadata.len(), sealed });
        }
    }
    // Sealed first where somebody copied files: it is the one that `find` finds.
    streams.sort_by(|a, b| a.name.cmp(&b.name).then(b.sealed.cmp(&a.sealed)));
    streams.dedup_by(|b, a| a.name == b.name);
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_parsed() {
        for name in ["a", "lock", "open-new", "0-"].map(|text| Name::new(text).unwrap()) {
            for kind in Kind::ALL {
                assert_eq!(parse(OsStr::new(&kind.file(&name))), Some((name.clone(), kind)));
            }
        }
    }

    #[test]
    fn alien_files_are_not_parsed() {
        for file in ["lock", "a", "a.", ".open", "A.open", "a.open.open", "a.b.open", "-a.cell", "a.opened"] {
            assert_eq!(parse(OsStr::new(file)), None, "{file}");
        }
    }
}
