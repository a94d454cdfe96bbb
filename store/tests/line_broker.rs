//! The example of a broker on the crate, spoken to over its socket.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[allow(dead_code, unreachable_pub, missing_docs, reason = "it is a program, used here as a module")]
#[path = "../examples/line_broker.rs"]
mod line_broker;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use line_broker::{Shards, serve};

struct Line(BufReader<TcpStream>);

impl Line {
    fn to(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    fn say(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

fn start(dir: &Path) -> (Shards, SocketAddr) {
    let shards = Shards::open(dir, 2).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = shards.clone();
    std::thread::spawn(move || serve(&listener, &served));
    (shards, address)
}

#[test]
fn a_broker_of_lines_keeps_everything_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (shards, address) = start(dir.path());
    let mut line = Line::to(address);
    assert_eq!(line.say("SEND jobs first of all"), "OK 1 0 0");
    assert_eq!(line.say("SEND tasks elsewhere"), "OK 0 0 0", "another topic, another store");
    let timer = line.say("LATER 3600000 jobs much later");
    let (_, handle) = timer.split_once(' ').unwrap();
    assert!(timer.starts_with("TIMER 1:"), "{timer}");
    assert!(line.say("LATER 1 jobs soon").starts_with("TIMER 1:"));
    assert_eq!(line.say("SUB g jobs"), "OK");
    assert_eq!(line.say("NEXT 10000"), "MSG 0 1 first of all");
    assert_eq!(line.say("NEXT 10000"), "MSG 1 1 soon");
    assert_eq!(line.say("ACK 0"), "OK");
    shards.close().unwrap();
    drop((shards, line));

    let (shards, address) = start(dir.path());
    let mut line = Line::to(address);
    assert_eq!(line.say(&format!("CANCEL {handle}")), "CANCELLED");
    assert_eq!(line.say("SUB g jobs"), "OK");
    assert_eq!(line.say("NEXT 10000"), "MSG 0 1 soon", "it was never acknowledged");
    assert_eq!(line.say("NACK 0"), "AGAIN");
    assert_eq!(line.say("NEXT 1"), "NONE", "it comes again after its back-off");
    shards.close().unwrap();
}

#[test]
fn what_makes_no_sense_is_told_and_the_broker_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (shards, address) = start(dir.path());
    let mut line = Line::to(address);
    for (said, part) in [
        ("", "no command is called ``"),
        ("JUMP", "`JUMP`"),
        ("SEND alone", "SEND topic text"),
        ("SEND a\u{7}b text", "topic"),
        ("LATER soon jobs x", "`soon` is not a number"),
        ("CANCEL 7:1-0000000000000001", "no such shard"),
        ("CANCEL 0:zero", "`zero` is not the handle of a timer"),
        ("NEXT 1", "SUB comes first"),
    ] {
        let answer = line.say(said);
        assert!(answer.starts_with("ERR ") && answer.contains(part), "{said}: {answer}");
    }
    assert_eq!(line.say("SUB g jobs"), "OK");
    assert!(line.say("ACK 7").contains("no message 7 is open"));
    assert!(Line::to(address).say("SUB g jobs").starts_with("ERR "), "one member of a group at a time");
    assert!(line.say(&"x".repeat(70_000)).contains("65536 bytes"));
    assert!(line.say("SEND jobs on it goes").starts_with("OK "));
    shards.close().unwrap();
}
