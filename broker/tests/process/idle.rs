//! Connections in their thousands that do nothing: what each costs, and that the others do not notice.

use std::{fs, net::TcpStream, path::Path, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::tempdir;

use crate::run::Served;

/// Connections in the test that always runs.
const SOME: u64 = 1_000;
/// Descriptors besides those of connections, here and there.
const OTHERS: u64 = 200;
/// Most bytes of the broker's own memory that a connection without traffic may take.
const BYTES_EACH_MAX: u64 = 8 * 1024;

/// Allows this process, and those that it starts, as many descriptors as it may; gives how many connections that is.
fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.map_or(u64::MAX, |most| most.saturating_sub(OTHERS))
}

fn anonymous_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Opens so many connections, half of which have asked something, and gives what each costs.
fn cost_of(connections: u64) -> u64 {
    let dir = tempdir().unwrap();
    let most = (connections + 10).to_string();
    let served = Served::start(dir.path(), &["--max-connections", &most]);
    let mut good = served.client();
    assert_eq!(good.put("T", b"before").code, 0);
    let before = anonymous_bytes(served.pid());
    let mut idle: Vec<TcpStream> = Vec::new();
    for n in 0..connections {
        let mut stream = TcpStream::connect(served.broker_at).unwrap();
        if n % 2 == 0 {
            let header = br#"{"code":9999,"flag":0,"language":"JAVA","opaque":1,"version":1,"extFields":{}}"#;
            std::io::Write::write_all(&mut stream, &crate::run::frame(header, b"")).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            assert!(std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap() > 0);
        }
        idle.push(stream);
    }
    // All of them are served, and whoever has something to do is not kept.
    for stream in idle.iter().rev().take(3) {
        assert!(stream.take_error().unwrap().is_none());
    }
    for n in 0..50u8 {
        assert_eq!(good.put("T", &[n]).code, 0);
    }
    let each = (anonymous_bytes(served.pid()).saturating_sub(before)) / connections;
    drop(idle);
    assert_eq!(good.put("T", b"after").code, 0);
    served.stop();
    each
}

#[test]
fn connections_without_traffic_cost_little() {
    let connections = SOME.min(descriptors());
    let each = cost_of(connections);
    println!("{connections} connections without traffic, {each} bytes each");
    assert!(each <= BYTES_EACH_MAX, "{each} bytes each");
}

/// `cargo test -p mainspring-broker --test process -- --ignored ten_thousand --nocapture`
#[test]
#[ignore = "needs some ten thousand file descriptors"]
fn ten_thousand_connections_without_traffic() {
    let connections = 10_000.min(descriptors());
    let each = cost_of(connections);
    println!("{connections} connections without traffic, {each} bytes each");
    assert_eq!(connections, 10_000, "this user may not open enough descriptors: raise the hard limit");
    assert!(each <= BYTES_EACH_MAX, "{each} bytes each");
}
