//! The binary as a person meets it: what it says when it cannot run, and how it stops.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(clippy::cast_possible_truncation, reason = "numbers here are small")]
#![allow(
    clippy::disallowed_methods,
    reason = "another process has its own clock, so these tests wait for real"
)]

#[path = "process/full_disk.rs"]
mod full_disk;
#[path = "process/idle.rs"]
mod idle;
#[path = "process/rest.rs"]
mod rest;
#[path = "process/run.rs"]
mod run;
#[path = "process/tools.rs"]
mod tools;
#[path = "process/watched.rs"]
mod watched;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use run::{Ended, Served, serve};
use tempfile::tempdir;

/// Asserts how a start failed, and that each of these stands in what was said.
fn assert_told(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

fn refused(data: &Path, more: &[&str]) -> Ended {
    serve(data, more).output()
}

#[test]
fn a_directory_in_use_names_the_process_that_has_it() {
    let dir = tempdir().unwrap();
    let first = Served::start(dir.path(), &[]);
    let pid = first.pid().to_string();
    let directory = dir.path().display().to_string();
    let told = refused(dir.path(), &[]);
    assert_told(&told, 1, &["locked", &format!("process {pid}"), &directory, "--data-dir"]);
    first.stop();
    // Nothing of it was harmed.
    Served::start(dir.path(), &[]).stop();
}

#[test]
fn a_directory_of_another_version_is_left_alone() {
    let dir = tempdir().unwrap();
    Served::start(dir.path(), &[]).stop();
    let cell = dir.path().join("identity.cell");
    let mut bytes = fs::read(&cell).unwrap();
    bytes[4..8].copy_from_slice(&2u32.to_be_bytes());
    // Sealed as another version would: a wrong checksum is damage, whatever the version says.
    let sum = crc32c(bytes[..16].iter().chain(&bytes[20..]));
    bytes[16..20].copy_from_slice(&sum.to_be_bytes());
    fs::write(&cell, &bytes).unwrap();
    let before = listing(dir.path());
    let told = refused(dir.path(), &[]);
    assert_told(&told, 1, &["version 2", &dir.path().display().to_string(), "--data-dir"]);
    assert_eq!(listing(dir.path()), before);
    assert_eq!(fs::read(&cell).unwrap(), bytes);
}

/// CRC-32C, bit by bit.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0x82F6_3B78 & (sum & 1).wrapping_neg());
    !bytes.fold(!0u32, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[test]
fn a_damaged_identity_is_told_and_left_alone() {
    let dir = tempdir().unwrap();
    Served::start(dir.path(), &[]).stop();
    let cell = dir.path().join("identity.cell");
    let mut bytes = fs::read(&cell).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&cell, &bytes).unwrap();
    assert_told(&refused(dir.path(), &[]), 1, &["identity", "checksum", &dir.path().display().to_string()]);
    assert_eq!(fs::read(&cell).unwrap(), bytes);
}

fn listing(dir: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> =
        entries.map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().len())).collect();
    names.retain(|(name, _)| name != "lock");
    names.sort();
    names
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    for below in [file.clone(), file.join("data"), "/proc/mainspring".into(), "/proc/1/fdinfo/data".into()] {
        let told = refused(&below, &[]);
        assert_told(&told, 1, &[&below.display().to_string(), "--data-dir"]);
    }
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

/// A mount that is read-only binds everybody, the superuser too.
#[test]
fn a_read_only_directory_is_told() {
    let dir = tempdir().unwrap();
    let Some(mount) = full_disk::Mount::tmpfs(dir.path(), "ro") else {
        eprintln!("SKIPPED: this user may not mount, so there is no read-only directory to try");
        return;
    };
    assert_told(&refused(dir.path(), &[]), 1, &[&dir.path().display().to_string(), "--data-dir"]);
    drop(mount);
}

#[test]
fn a_port_in_use_names_the_flag() {
    let dir = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--broker-listen", "--namesrv-listen"] {
        assert_told(&refused(dir.path(), &[flag, &address]), 1, &[&address, "in use", flag]);
    }
    // Ports come first: a broker that cannot listen does not touch the directory.
    assert_eq!(listing(dir.path()), []);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("mainspring.toml");
    let path = file.display().to_string();
    let cases: [(&str, &[&str]); 9] = [
        ("brokr_listen = \"127.0.0.1:0\"", &["brokr_listen", "did you mean \"broker_listen\"?"]),
        ("max_atempts = 3", &["max_atempts", "did you mean \"max_attempts\"?"]),
        ("commit = \"sometimes\"", &["sometimes", "appended", "flushed", "line 1"]),
        ("default_queues = 0", &["default_queues", "1 to 1024"]),
        ("data_dir = ", &["line 1"]),
        ("segment_bytes = \"5parsec\"", &["5parsec", "256MiB"]),
        ("retention = \"3 fortnights\"", &["3 fortnights", "72h", "none", "line 1"]),
        ("retention_byte = \"1GiB\"", &["retention_byte", "did you mean \"retention_bytes\"?"]),
        ("near_horizon = \"2d\"", &["near_horizon", "0s to 24h"]),
    ];
    for (text, parts) in cases {
        fs::write(&file, text).unwrap();
        let told = refused(&data, &["--config", &path]);
        assert_told(&told, 2, parts);
    }
    fs::write(&file, [0xFF, 0xFE, 0x00]).unwrap();
    assert_told(&refused(&data, &["--config", &path]), 2, &[&path, "UTF-8"]);
    let none = dir.path().join("none.toml").display().to_string();
    assert_told(&refused(&data, &["--config", &none]), 2, &[&none, "No such file"]);
    let directory = dir.path().display().to_string();
    assert_told(&refused(&data, &["--config", &directory]), 2, &[&directory, "directory"]);
    assert_told(&refused(&data, &["--max-atempts", "3"]), 2, &["--max-atempts", "--max-attempts"]);
    assert!(!data.exists());
    // Out of the store's own range: told before anything is made.
    assert_told(&refused(&data, &["--segment-bytes", "5"]), 1, &["segment_bytes", "4096"]);
}

#[test]
fn a_misspelt_environment_variable_is_named() {
    let dir = tempdir().unwrap();
    let ended = serve(dir.path(), &[]).env("MAINSPRING_MAX_ATEMPTS", "3").output();
    assert_told(&ended, 2, &["MAINSPRING_MAX_ATEMPTS", "MAINSPRING_MAX_ATTEMPTS"]);
}

#[test]
fn signals_stop_in_order_and_say_so() {
    for (signal, name) in [("TERM", "SIGTERM"), ("INT", "interrupt")] {
        let dir = tempdir().unwrap();
        let served = Served::start(dir.path(), &[]);
        let mut client = served.client();
        assert_eq!(client.put("T", b"kept").code, 0);
        let ended = served.signal(signal);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for part in [name, "answering what is under way", "everything is on disk"] {
            assert!(ended.stdout.contains(part), "{part} in {}", ended.stdout);
        }
        let again = Served::start(dir.path(), &[]);
        assert_eq!(again.client().pull("T", 0), [b"kept"]);
        let ended = again.stop();
        assert!(!ended.stderr.contains("recovered"), "{}", ended.stderr);
    }
}

/// While a client that does not read its answers holds up the stop, a second signal ends it; nothing is lost by that.
#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    assert_eq!(served.client().put("T", &vec![7; 1 << 20]).code, 0);
    let mut deaf = TcpStream::connect(served.broker_at).unwrap();
    for n in 0..64 {
        let header = format!(
            concat!(
                r#"{{"code":11,"opaque":{},"extFields":{{"consumerGroup":"G","topic":"T","queueId":"0","#,
                r#""queueOffset":"0","maxMsgNums":"1","sysFlag":"4","subscription":"*"}}}}"#
            ),
            n
        );
        deaf.write_all(&run::frame(header.as_bytes(), &[])).unwrap();
    }
    // Its first answer is on the way, so its requests are.
    deaf.read_exact(&mut [0; 4]).unwrap();
    let ended = served.signal_twice("INT");
    assert_eq!(ended.code, Some(1), "{} {}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("stopped at once"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("everything is on disk"), "{}", ended.stdout);
    drop(deaf);
    let again = Served::start(dir.path(), &[]);
    assert_eq!(again.client().end("T"), 1);
    assert!(again.stop().stderr.contains("is recovered"));
}

#[test]
fn a_killed_broker_says_that_it_recovers_and_has_everything() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let mut client = served.client();
    for i in 0..100 {
        assert_eq!(client.put("T", format!("m{i}").as_bytes()).code, 0);
    }
    served.kill();
    let again = Served::start(dir.path(), &[]);
    assert_eq!(again.client().pull("T", 0).len(), 32);
    assert_eq!(again.client().end("T"), 100);
    let ended = again.stop();
    assert!(ended.stderr.contains("is recovered"), "{}", ended.stderr);
}

#[test]
fn nobody_reads_what_it_says() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]).deaf();
    let mut client = served.client();
    assert_eq!(client.put("T", b"kept").code, 0);
    assert_eq!(served.signal("TERM").code, Some(0));
    let again = Served::start(dir.path(), &[]);
    assert_eq!(again.client().pull("T", 0), [b"kept"]);
    again.stop();
}

/// Bytes without any sense, and frames with some, over many connections: the broker serves the next client.
#[test]
fn random_bytes_do_no_harm() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let mut state = 7u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let len = (random() % 300) as usize;
        let noise: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        let frame = match round % 4 {
            0 => noise,
            1 => run::frame(&noise, &[]),
            2 => run::frame(b"{\"code\":310,\"extFields\":{\"b\":\"Noise\"},\"opaque\":1}", &noise),
            _ => {
                let header = format!("{{\"code\":{},\"opaque\":1}}", random() % 400);
                run::frame(header.as_bytes(), &noise)
            }
        };
        served.throw(if round % 2 == 0 { served.broker_at } else { served.names_at }, &frame);
    }
    let mut client = served.client();
    assert_eq!(client.put("T", b"still here").code, 0);
    assert_eq!(client.pull("T", 0), [b"still here"]);
    let ended = served.stop();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Too many connections are closed at once and told of, but not each; the others are served, and a place that is left
/// can be had again.
#[test]
fn connections_beyond_the_maximum_are_refused() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &["--max-connections", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| served.client()).collect();
    for client in &mut clients {
        assert_eq!(client.put("T", b"served").code, 0);
    }
    for _ in 0..50 {
        assert!(run::is_refused(served.broker_at) && run::is_refused(served.names_at));
    }
    assert_eq!(clients[2].put("T", b"still served").code, 0);
    clients.pop();
    let left = Instant::now();
    while run::is_refused(served.broker_at) {
        assert!(left.elapsed() < Duration::from_secs(30), "a place that was left is not given again");
    }
    let ended = served.stop();
    let told = ended.stderr.matches("max_connections are open").count();
    assert!((1..50).contains(&told), "{told} lines: {}", ended.stderr);
}
