//! What the files in the directory look like, and what happens where they are not as they should be.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use backends::{Backend, Cells, Name, StreamWriter, Streams};
use backends_mmap::MmapBackend;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn append(writer: &mut dyn StreamWriter, bytes: &[u8]) {
    writer.window(bytes.len()).unwrap().copy_from_slice(bytes);
    writer.publish(bytes.len());
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// File descriptors and mappings of this process that lie in `dir`.
fn held(dir: &Path) -> (usize, usize) {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let open = links.filter(|link| link.starts_with(dir)).count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    (open, maps.lines().filter(|line| line.contains(dir.to_str().unwrap())).count())
}

#[test]
fn a_stream_is_one_file_that_its_seal_renames() {
    let dir = tempfile::tempdir().unwrap();
    let backend = MmapBackend::open(dir.path()).unwrap();
    let _lock = backend.lock().unwrap();
    let mut writer = backend.create(&name("a"), 1 << 20, 8192).unwrap();
    backend.write_cell(&name("a"), b"value").unwrap();
    assert_eq!(files(dir.path()), ["a.cell", "a.open", "lock"]);
    append(&mut *writer, b"hello");
    assert_eq!(fs::metadata(dir.path().join("a.open")).unwrap().len(), 8192);
    writer.control().seal(5).unwrap();
    assert_eq!(files(dir.path()), ["a.cell", "a.stream", "lock"]);
    assert_eq!(fs::read(dir.path().join("a.stream")).unwrap(), b"hello");
    assert_eq!(fs::read(dir.path().join("a.cell")).unwrap(), b"value");
    let pid = fs::read_to_string(dir.path().join("lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
}

#[test]
fn a_refused_lock_names_the_process_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let holder = MmapBackend::open(dir.path()).unwrap();
    let _lock = holder.lock().unwrap();
    let refused = MmapBackend::open(dir.path()).unwrap().lock().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
}

#[test]
fn nothing_works_without_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let backend = MmapBackend::open(dir.path()).unwrap();
    assert_eq!(backend.list().unwrap_err().kind(), ErrorKind::PermissionDenied);
    drop(backend.lock().unwrap());
    assert_eq!(backend.create(&name("a"), 10, 10).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(files(dir.path()), ["lock"]);
}

#[test]
fn missing_directories_are_created_and_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    MmapBackend::open(dir.path().join("one/two/three")).unwrap();
    assert!(dir.path().join("one/two/three").is_dir());
    fs::write(dir.path().join("file"), b"").unwrap();
    let error = MmapBackend::open(dir.path().join("file")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert!(error.to_string().contains("file"), "{error}");
    let error = MmapBackend::open(dir.path().join("file/below")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
}

#[test]
fn alien_files_are_left_alone_and_half_made_ones_are_cleared() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["notes.txt", "A.open", "a.open.bak", "x.open-new", "x.cell-new"] {
        fs::write(dir.path().join(file), b"?").unwrap();
    }
    fs::create_dir(dir.path().join("b.open")).unwrap();
    let backend = MmapBackend::open(dir.path()).unwrap();
    let _lock = backend.lock().unwrap();
    assert_eq!(backend.list().unwrap(), []);
    assert_eq!(files(dir.path()), ["A.open", "a.open.bak", "b.open", "lock", "notes.txt"]);
}

#[test]
fn a_seal_cut_short_leaves_a_shorter_stream_that_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let backend = MmapBackend::open(dir.path()).unwrap();
    let _lock = backend.lock().unwrap();
    append(&mut *backend.create(&name("a"), 1 << 20, 1 << 20).unwrap(), b"hello");
    fs::File::options().write(true).open(dir.path().join("a.open")).unwrap().set_len(5).unwrap();
    let writer = backend.reopen(&name("a"), 5).unwrap();
    writer.control().seal(5).unwrap();
    assert_eq!(fs::read(dir.path().join("a.stream")).unwrap(), b"hello");
}

#[test]
fn files_and_mappings_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    {
        let backend = MmapBackend::open(&path).unwrap();
        let _lock = backend.lock().unwrap();
        drop(backend.create(&name("open"), 1 << 20, 8192).unwrap());
        let mut writer = backend.create(&name("sealed"), 1 << 20, 8192).unwrap();
        append(&mut *writer, b"hello");
        writer.control().seal(5).unwrap();
    }
    for round in 0..1000 {
        let backend = MmapBackend::open(&path).unwrap();
        let _lock = backend.lock().unwrap();
        let mut writer = backend.reopen(&name("open"), round).unwrap();
        append(&mut *writer, b"x");
        let reader = backend.open(&name("sealed")).unwrap();
        let slice = reader.read(0..5).unwrap();
        drop(reader);
        if round % 100 == 0 {
            // Directory, lock and the open stream's file; the sealed one is held by its mapping alone.
            assert_eq!(held(&path), (3, 2));
        }
        assert_eq!(slice, &b"hello"[..]);
    }
    assert_eq!(held(&path), (0, 0));
}

#[test]
fn readers_of_one_stream_share_a_mapping_which_slices_keep() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let backend = MmapBackend::open(&path).unwrap();
    let _lock = backend.lock().unwrap();
    let mut writer = backend.create(&name("a"), 1 << 20, 8192).unwrap();
    append(&mut *writer, b"hello");
    let readers: Vec<_> = (0..10).map(|_| backend.open(&name("a")).unwrap()).collect();
    assert_eq!(held(&path).1, 1);
    let slice = readers[0].read(1..4).unwrap();
    drop((writer, readers));
    assert_eq!(backend.reopen(&name("a"), 0).unwrap_err().kind(), ErrorKind::InvalidInput);
    backend.remove(&name("a")).unwrap();
    assert_eq!(slice, &b"ell"[..]);
    assert_eq!(held(&path).1, 1);
    drop(slice);
    assert_eq!(held(&path).1, 0);
}

#[test]
fn the_reserve_is_allocated_space() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let backend = MmapBackend::open(dir.path()).unwrap();
    let _lock = backend.lock().unwrap();
    let writer = backend.create(&name("a"), 64 << 20, 1 << 20).unwrap();
    let bytes = || fs::metadata(dir.path().join("a.open")).map(|m| (m.len(), m.blocks() * 512)).unwrap();
    assert!(bytes().0 == 1 << 20 && bytes().1 >= 1 << 20, "{:?}", bytes());
    writer.control().reserve(20 << 20).unwrap();
    assert!(bytes().0 == 20 << 20 && bytes().1 >= 20 << 20, "{:?}", bytes());
}
