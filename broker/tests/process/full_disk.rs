//! A disk that is really full: a small file system in memory, and a file that takes the rest of it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tempfile::tempdir;

use crate::run::{Client, Served};

/// A mounted file system, unmounted when this is dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `None` where this user may not mount.
    pub(crate) fn tmpfs(at: &Path, options: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success()).then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that a failed test killed may hold it for a moment.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Takes all space that is left, so that nothing more can be had.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

/// Sends until it is refused; gives how many were acknowledged and the refusal.
fn send_until_refused(
    client: &mut Client,
    acknowledged: &mut BTreeSet<Vec<u8>>,
    size: usize,
) -> (i32, String) {
    loop {
        let mut body = format!("m{:06}-", acknowledged.len()).into_bytes();
        body.resize(size.max(8), b'.');
        let answer = client.put("T", &body);
        if answer.code != 0 {
            return (answer.code, answer.remark);
        }
        acknowledged.insert(body);
        assert!(acknowledged.len() < 100_000, "the disk never fills");
    }
}

fn everything(client: &mut Client, topic: &str) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    loop {
        let more = client.pull(topic, found.len() as u64);
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// While the disk is full sends are refused and pulls go on; once there is space again sends go on and timers that were
/// due meanwhile fire. Nothing that was acknowledged is lost, also not over a restart.
#[test]
fn a_full_disk_loses_nothing_and_heals() {
    for commit in ["flushed", "appended"] {
        let dir = tempdir().unwrap();
        let Some(_mount) = Mount::tmpfs(dir.path(), "size=24m") else {
            eprintln!("SKIPPED: this user may not mount, so there is no full disk to try");
            return;
        };
        let data = dir.path().join("data");
        let filler = dir.path().join("filler");
        let served = Served::start(&data, &["--segment-bytes", "4MiB", "--commit", commit]);
        let mut client = served.client();
        let mut acknowledged = BTreeSet::new();
        let timer = client.put_with("D", "TIMER_DELAY_MS\u{1}3000\u{2}", b"due while full");
        assert_eq!((timer.code, timer.remark.as_str()), (0, ""));
        let scheduled = Instant::now();
        assert_eq!(client.put("T", b"m000000-").code, 0);
        acknowledged.insert(b"m000000-".to_vec());
        fill(&filler);
        for size in [64 << 10, 1000, 8] {
            let (code, remark) = send_until_refused(&mut client, &mut acknowledged, size);
            assert_eq!(code, 14, "{remark}");
            assert!(remark.contains("full") || remark.contains("no space"), "{remark}");
        }
        // A pull is served at once while the disk is full, and sees all that was acknowledged.
        let asked = Instant::now();
        assert!(!served.client().pull("T", 0).is_empty());
        assert!(asked.elapsed() < Duration::from_secs(2), "a pull took {:?}", asked.elapsed());
        std::thread::sleep(Duration::from_millis(3500).saturating_sub(scheduled.elapsed()));
        assert_eq!(client.put("T", &vec![b'.'; 64 << 10]).code, 14);

        fs::remove_file(&filler).unwrap();
        let freed = Instant::now();
        while client.put("T", b"after").code != 0 {
            assert!(freed.elapsed() < Duration::from_secs(10), "sends do not go on");
            std::thread::sleep(Duration::from_millis(50));
        }
        acknowledged.insert(b"after".to_vec());
        while client.pull("D", 0) != [b"due while full"] {
            assert!(freed.elapsed() < Duration::from_secs(10), "the timer does not fire");
            std::thread::sleep(Duration::from_millis(50));
        }
        let found = everything(&mut client, "T");
        assert_eq!(found.len(), acknowledged.len(), "each once");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), acknowledged);
        let ended = served.stop();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        let again = Served::start(&data, &["--segment-bytes", "4MiB"]);
        let found = everything(&mut again.client(), "T");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), acknowledged);
        assert_eq!(again.client().pull("D", 0), [b"due while full"]);
        again.stop();
    }
}

/// Waits for what must come, however slow the machine is.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where the disk had room for the reserve, timers fire while nothing else can be written.
#[test]
fn timers_fire_while_the_disk_is_full() {
    let dir = tempdir().unwrap();
    let Some(_mount) = Mount::tmpfs(dir.path(), "size=72m") else {
        eprintln!("SKIPPED: this user may not mount, so there is no full disk to try");
        return;
    };
    // On a slow machine the disk may not be full before a timer is due; a later one is then.
    let fired = [3, 20, 90].into_iter().any(|seconds| fires_while_full(&dir.path().join("data"), seconds));
    assert!(fired, "the disk was never full before a timer was due");
}

/// Schedules a timer, fills the disk, and sees it fire before there is space again; false if it was due too soon.
fn fires_while_full(data: &Path, seconds: u32) -> bool {
    let _ = fs::remove_dir_all(data);
    let filler = data.with_file_name("filler");
    let served = Served::start(data, &["--segment-bytes", "4MiB"]);
    let mut client = served.client();
    // What is reserved is so from the first append on.
    assert_eq!(client.put("T", b"first").code, 0);
    until("there is no reserve", || data.join("reserve.open").exists());
    let delay = format!("TIMER_DELAY_MS\u{1}{}\u{2}", seconds * 1000);
    assert_eq!(client.put_with("D", &delay, &[b'd'; 100_000]).code, 0);
    fill(&filler);
    let mut acknowledged = BTreeSet::new();
    for size in [64 << 10, 8] {
        assert_eq!(send_until_refused(&mut client, &mut acknowledged, size).0, 14);
    }
    let pending = client.pull("D", 0).is_empty();
    if pending {
        until("the timer does not fire", || !client.pull("D", 0).is_empty());
        assert_eq!(client.put("T", &[b'.'; 64 << 10]).code, 14, "it fired while the disk was full");
    }
    fs::remove_file(&filler).unwrap();
    until("sends do not go on", || client.put("T", b"after").code == 0);
    assert_eq!(client.pull("D", 0).len(), 1);
    served.stop();
    pending
}

/// Many who send to a full disk and are refused keep nobody else from an answer.
#[test]
fn others_are_served_while_sends_are_refused() {
    let dir = tempdir().unwrap();
    let Some(_mount) = Mount::tmpfs(dir.path(), "size=24m") else {
        eprintln!("SKIPPED: this user may not mount, so there is no full disk to try");
        return;
    };
    let served = Served::start(&dir.path().join("data"), &["--segment-bytes", "4MiB"]);
    let mut other = served.client();
    assert_eq!(other.put("T", b"first").code, 0);
    assert!(!other.pull("T", 0).is_empty());
    let filler = dir.path().join("filler");
    fill(&filler);
    assert_eq!(send_until_refused(&mut other, &mut BTreeSet::new(), 64 << 10).0, 14);
    let done = AtomicBool::new(false);
    let refused: usize = std::thread::scope(|scope| {
        let send = || {
            let (mut client, mut refused) = (served.client(), 0);
            while !done.load(Ordering::Relaxed) {
                refused += usize::from(client.put("T", &vec![b'.'; 64 << 10]).code == 14);
            }
            refused
        };
        let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        for _ in 0..200 {
            assert_eq!(other.end("T"), other.end("T"));
            assert!(!other.pull("T", 0).is_empty());
        }
        done.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert!(refused > 0, "nobody was refused");
    fs::remove_file(&filler).unwrap();
    served.stop();
}
