//! The tools against a running broker: what they print, for people and for scripts, and their exit codes.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::tempdir;

use crate::run::{Ended, Following, Served, tool};

impl Served {
    /// Runs a tool on this broker.
    fn run(&self, arguments: &[&str]) -> Ended {
        tool(arguments).env("NAMESRV_ADDR", &self.names_at.to_string()).output()
    }

    /// What a tool that must succeed prints.
    fn told(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// The JSON objects that a tool that must succeed prints.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        lines(&self.told(&[arguments, &["-o", "json"]].concat()))
    }

    /// Asserts how a tool failed.
    fn fails(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        assert_failed(&self.run(arguments), code, parts);
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

pub(crate) fn assert_failed(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{} {}", ended.stdout, ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// The three lines of the greeting, as a shell runs them, in their order.
#[test]
fn what_is_to_be_tried_next_works_as_printed() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let greeting = served.greeting.clone();
    let next: Vec<&str> = greeting.lines().skip_while(|line| !line.contains("Try next")).skip(1).collect();
    let [send, list, tail, help] = next[..] else { panic!("{greeting}") };
    let shell = |line: &str| {
        let output = Command::new("sh").args(["-c", line]).env_remove("NAMESRV_ADDR").output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(shell(send).contains("scheduled for"));
    assert!(shell(list).contains("1 pending in all"));
    let mut tail = Following::start({
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {}", tail.trim())]);
        shell
    });
    assert!(tail.line().ends_with("hello, later"));
    drop(tail);
    let help = help.split_once("settings: ").unwrap().1;
    assert!(shell(help).contains("--data-dir"));
    served.stop();
}

#[test]
fn messages_are_sent_and_read() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let sent = served.told(&["send", "-t", "orders", "one", "two"]);
    assert_eq!(sent.lines().count(), 2);
    assert!(sent.starts_with("sent to orders, queue "), "{sent}");
    let file = dir.path().join("bodies");
    fs::write(&file, "three\n\nfour").unwrap();
    let names = served.names_at.to_string();
    let piped = tool(&["send", "-t", "orders", "--queue", "1", "-o", "json", "-"]).input(&file);
    let piped = piped.env("NAMESRV_ADDR", &names).output();
    assert_eq!(
        lines(&piped.stdout).iter().map(|told| told["queue"].as_u64()).collect::<Vec<_>>(),
        [Some(1); 2]
    );
    served.told(&["send", "-t", "orders", "-k", "k1", "-k", "k2", "--tag", "blue", "-p", "a=b=c", "five\tx"]);
    let read = served.json(&["tail", "orders", "--no-follow", "--from", "start"]);
    let mut bodies: Vec<&str> = read.iter().map(|message| message["body"].as_str().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["five\tx", "four", "one", "three", "two"]);
    let five = read.iter().find(|message| message["body"] == "five\tx").unwrap();
    assert_eq!((five["keys"][1].as_str(), five["tags"].as_str()), (Some("k2"), Some("blue")));
    assert_eq!(five["properties"]["a"].as_str(), Some("b=c"));
    let shown = served.told(&["tail", "orders", "--no-follow", "--tags", "blue"]);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.trim_end().ends_with("[blue] (k1 k2) five\\tx"), "{shown}");
    assert_eq!(served.told(&["tail", "orders", "--no-follow", "--from", "end"]), "");
    assert_eq!(served.json(&["tail", "orders", "--from", "-1h", "-n", "3"]).len(), 3);
    assert_eq!(served.told(&["tail", "orders", "--no-follow", "--from", "+1h"]), "");
    // Reading without a group left none behind.
    assert!(served.told(&["groups"]).starts_with("no consumer groups yet"));
    served.stop();
}

#[test]
fn a_group_goes_on_where_it_was() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    served.told(&["send", "-t", "T", "--queue", "0", "1", "2", "3"]);
    let bodies = |arguments: &[&str]| -> Vec<String> {
        let read = served.json(&[&["tail", "T", "--no-follow", "--group", "g"], arguments].concat());
        read.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bodies(&["-n", "2"]), ["1", "2"]);
    // A commit is answered before it is on disk, and shows once it is.
    let until_behind = |wanted: u64| {
        let mut group = served.json(&["groups"]).remove(0);
        while group["queues"][0]["lag"].as_u64() != Some(wanted) {
            group = served.json(&["groups"]).remove(0);
        }
        assert_eq!(group["group"].as_str(), Some("g"));
    };
    until_behind(1);
    let table = served.told(&["groups", "--group", "g"]);
    assert!(table.lines().nth(1).unwrap().split_whitespace().eq(["g", "0", "T", "4", "1"]), "{table}");
    assert_eq!(bodies(&[]), ["3"]);
    until_behind(0);
    assert_eq!(bodies(&[]), [""; 0]);
    assert_eq!(bodies(&["--from", "@1"]), ["2", "3"]);
    served.fails(&["groups", "--group", "h"], 1, &["no consumer group is called `h`"]);
    served.stop();
}

#[test]
fn a_tail_follows() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    served.told(&["send", "-t", "T", "before"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring"));
    command.args(["tail", "T", "--namesrv", &served.names_at.to_string()]);
    let mut tail = Following::start(command);
    assert!(tail.line().ends_with(" before"));
    for body in ["during", "after"] {
        served.told(&["send", "-t", "T", body]);
        assert!(tail.line().ends_with(body));
    }
    served.stop();
    // The broker is gone: it ends by itself.
    assert_eq!(tail.line(), "");
}

#[test]
fn topics_are_listed() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    assert!(served.told(&["topics"]).starts_with("no topics yet"));
    served.told(&["send", "-t", "orders", "1", "2", "3"]);
    let topics = served.json(&["topics"]);
    assert_eq!(topics.len(), 1);
    assert_eq!((topics[0]["topic"].as_str(), topics[0]["messages"].as_u64()), (Some("orders"), Some(3)));
    assert_eq!(topics[0]["queues"].as_array().unwrap().len(), 4);
    let table = served.told(&["topics"]);
    assert!(table.lines().nth(1).unwrap().split_whitespace().eq(["orders", "4", "4", "rw", "3"]), "{table}");
    assert!(table.lines().all(|line| line.len() <= 100 && line == line.trim_end()));
    assert!(served.told(&["topics", "--all"]).contains("TBW102"));
    served.stop();
}

#[test]
fn timers_are_listed_shown_and_cancelled() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    assert!(served.told(&["timer", "list"]).starts_with("no timers to show; 0 pending"));
    let schedule = |delay: &str, key: &str, topic: &str| {
        let told = served.json(&["send", "-t", topic, "--delay", delay, "-k", key, "later"]);
        assert_eq!(told.len(), 1);
        told[0]["handle"].as_str().unwrap().to_owned()
    };
    let soon = schedule("30m", "order-1", "A");
    let late = schedule("3d", "order-2", "B");
    let at = served.json(&["send", "-t", "A", "--at", "+2h", "x"]);
    assert!(at[0]["due_ms"].as_i64().unwrap() > 0);
    let listed = |arguments: &[&str]| -> Vec<String> {
        let timers = served.json(&[&["timer", "list"], arguments].concat());
        timers.iter().map(|timer| timer["handle"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&[]).len(), 3);
    assert_eq!(listed(&["--within", "1h"]).join(" "), soon);
    assert_eq!(listed(&["--topic", "B"]).join(" "), late);
    assert_eq!(listed(&["--key", "order-", "--from", "+1d"]).join(" "), late);
    assert_eq!(listed(&["--to", "+1d", "-n", "1"]).join(" "), soon);
    let table = served.told(&["timer", "list", "-n", "2"]);
    assert!(table.starts_with("HANDLE") && table.contains(&soon), "{table}");
    assert!(table.ends_with("2 shown, 3 pending in all; more with -n\n"), "{table}");
    let shown = served.told(&["timer", "show", &soon]);
    assert!(shown.contains("is pending") && shown.contains("order-1"), "{shown}");
    let forecast = served.json(&["timer", "forecast"]);
    let counts: Vec<u64> = forecast[0]["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot["pending"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [0, 0, 0, 1, 1, 0, 1, 0, 0]);
    assert!(served.told(&["timer", "forecast"]).contains("within 1h            1  ####"));
    assert!(served.told(&["timer", "cancel", &soon]).contains("is cancelled"));
    assert!(served.told(&["timer", "show", &soon]).contains("was cancelled"));
    assert_eq!(served.json(&["timer", "show", &soon])[0]["state"], "cancelled");
    assert_eq!(listed(&[]).len(), 2);
    let unknown = format!("{}0-{}", 1, soon.split_once('-').unwrap().1);
    served.fails(&["timer", "cancel", &unknown], 1, &[&unknown, "timer list"]);
    served.fails(&["timer", "show", &unknown], 1, &[&unknown, "no such timer"]);
    served.fails(&["timer", "show", "12-xyz"], 2, &["`12-xyz`", "at character 4", "16 hexadecimal"]);
    let fired = schedule("1ms", "order-3", "C");
    let tail = served.json(&["tail", "C", "-n", "1", "--from", "start"]);
    assert_eq!(tail[0]["keys"][0], "order-3");
    assert!(served.told(&["timer", "show", &fired]).contains("fired at"));
    served.fails(&["timer", "cancel", &fired], 1, &["fired already at", "nothing was cancelled"]);
    served.stop();
}

#[test]
fn the_bench_counts_what_it_did() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let told = served.json(&["bench", "-n", "501", "-c", "3", "-i", "8", "--size", "100"]);
    assert_eq!((told[0]["work"].as_str(), told[0]["messages"].as_u64()), (Some("send"), Some(501)));
    assert_eq!(told[1]["work"].as_str(), Some("consume"));
    assert!(told[1]["messages"].as_u64().unwrap() >= 501, "{told:?}");
    for work in &told {
        let at = |name: &str| work[name].as_f64().unwrap();
        assert!(0.0 < at("p50_ms") && at("p50_ms") <= at("p99_ms") && at("p99_ms") <= at("max_ms"), "{work}");
    }
    assert_eq!(served.json(&["topics"])[0]["messages"].as_u64(), Some(502));
    assert!(served.told(&["bench", "send", "-n", "10"]).starts_with("WORK"));
    let timed = &served.json(&["bench", "send", "--seconds", "1", "-i", "4", "--size", "100"])[0];
    assert!(timed["seconds"].as_f64().unwrap() >= 1.0 && timed["messages"].as_u64().unwrap() > 4, "{timed}");
    let both = &served.json(&["bench", "send", "--seconds", "3600", "-n", "10"])[0];
    assert_eq!(both["messages"].as_u64(), Some(10));
    served.fails(&["bench", "consume", "-t", "none"], 1, &["no topic is called `none`"]);
    served.fails(&["bench", "send", "--size", "9MiB", "-n", "1"], 1, &["9437184 bytes"]);
    served.stop();
}

#[test]
fn failures_say_what_where_and_what_to_do() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &["--auto-create-topics", "false"]);
    served.fails(&["tail", "orders"], 1, &["no topic is called `orders`", "mainspring topics"]);
    served.fails(&["send", "-t", "orders", "x"], 1, &["no topic is called `orders`"]);
    served.client().ask(17, &[("topic", "orders"), ("readQueueNums", "1"), ("writeQueueNums", "1")], b"");
    served.fails(&["tail", "ordes"], 1, &["did you mean `orders`?"]);
    served.fails(&["send", "-t", "order", "x"], 1, &["did you mean `orders`?"]);
    served.fails(&["send", "-t", "orders", "--queue", "7", "x"], 1, &["has no queue 7"]);
    for (arguments, part) in [
        (&["send", "-t", "orders"][..], "<BODY>"),
        (&["send", "x"], "--topic"),
        (&["send", "-t", "orders", "--delay", "soon", "x"], "500ms, 10m or 72h"),
        (&["send", "-t", "orders", "--delay", "1s", "--at", "+1s", "x"], "cannot be used with"),
        (&["send", "-t", "orders", "--at", "noon", "x"], "2026-11-22T12:00:00Z"),
        (&["send", "-t", "orders", "-p", "x", "x"], "colour=blue"),
        (&["tail", "orders", "--from", "@x"], "@17"),
        (&["timer", "list", "--within", "1h", "--to", "+1h"], "cannot be used with"),
        (&["topics", "-o", "xml"], "table, json"),
        (&["bench", "--connections", "0"], "1..=1024"),
        (&["tpoics"], "topics"),
    ] {
        served.fails(arguments, 2, &[part]);
    }
    let address = served.names_at.to_string();
    let broker = served.broker_at.to_string();
    served.stop();
    let gone = tool(&["topics", "--namesrv", &address]).output();
    assert_failed(&gone, 1, &["nobody listens on", &address, "mainspring serve", "--namesrv"]);
    assert_eq!(gone.stdout, "");
    let bad = tool(&["topics", "--namesrv", "nowhere"]).output();
    assert_failed(&bad, 1, &["cannot connect to nowhere", "--namesrv HOST:PORT"]);
    let both = tool(&["topics", "--namesrv", &format!("{address};{broker}")]).output();
    assert_failed(&both, 1, &["nobody listens on", &broker]);
}

/// Somebody listens there who is no broker.
#[test]
fn another_server_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
    });
    let ended = tool(&["topics", "--namesrv", &address]).output();
    assert_failed(&ended, 1, &["cannot be read", "name service"]);
    server.join().unwrap();
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let file = dir.path().join("bodies");
    fs::write(&file, format!("{}\n", "x".repeat(60_000)).repeat(40)).unwrap();
    let names = served.names_at.to_string();
    let sent = tool(&["send", "-t", "T", "-"]).input(&file).env("NAMESRV_ADDR", &names).output();
    assert_eq!(sent.stdout.lines().count(), 40, "{}", sent.stderr);
    let line = format!(
        "{} tail T --no-follow --from start --namesrv {} | head -c 10; echo",
        env!("CARGO_BIN_EXE_mainspring"),
        served.names_at
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    served.stop();
}

#[test]
fn completion_scripts_are_what_their_shells_take() {
    for (shell, needle) in [
        ("bash", "complete -F _mainspring"),
        ("zsh", "#compdef mainspring"),
        ("fish", "complete -c mainspring"),
    ] {
        let ended = tool(&["completions", shell]).output();
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains(needle) && ended.stdout.contains("verify"), "{shell}");
        if Path::new("/bin/bash").exists() && shell == "bash" {
            let dir = tempdir().unwrap();
            let file = dir.path().join("script");
            fs::write(&file, &ended.stdout).unwrap();
            assert!(Command::new("bash").arg("-n").arg(&file).status().unwrap().success());
        }
    }
    assert_eq!(tool(&["completions", "cmd"]).output().code, Some(2));
}
