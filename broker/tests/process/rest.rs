//! The tools on a store at rest.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use tempfile::tempdir;

use crate::{
    run::{Served, tool},
    tools::assert_failed,
};

/// A store with two topics, a group, two timers, and several segments.
fn filled(dir: &Path) -> Vec<String> {
    let served = Served::start(dir, &["--segment-bytes", "64KiB", "--near-horizon", "0s"]);
    let mut client = served.client();
    for n in 0..40 {
        let body = format!("{n:04}{}", "x".repeat(4_000));
        assert_eq!(client.put_with("orders", &format!("KEYS\u{1}k{n}\u{2}"), body.as_bytes()).code, 0);
    }
    let names = served.names_at.to_string();
    let mut handles = Vec::new();
    for (delay, key) in [("1h", "a"), ("2d", "b")] {
        let sent = tool(&["send", "-t", "later", "--delay", delay, "-k", key, "-o", "json", "body"]);
        let sent: Value = serde_json::from_str(&sent.env("NAMESRV_ADDR", &names).output().stdout).unwrap();
        handles.push(sent["handle"].as_str().unwrap().to_owned());
    }
    let tail = tool(&["tail", "orders", "--group", "g", "-n", "7", "--from", "start"]);
    assert_eq!(tail.env("NAMESRV_ADDR", &names).output().code, Some(0));
    served.stop();
    handles
}

fn told(arguments: &[&str]) -> String {
    let ended = tool(arguments).output();
    assert_eq!(ended.code, Some(0), "{arguments:?}: {} {}", ended.stdout, ended.stderr);
    ended.stdout
}

fn json(arguments: &[&str]) -> Vec<Value> {
    let text = told(&[arguments, &["-o", "json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[test]
fn a_store_at_rest_is_shown_and_stays_as_it_is() {
    let dir = tempdir().unwrap();
    let handles = filled(dir.path());
    let before = files(dir.path());
    let at = dir.path().to_str().unwrap();
    let summary = &json(&["inspect", at])[0];
    assert_eq!(
        (summary["epoch"]["clean"].as_bool(), summary["timers_pending"].as_u64()),
        (Some(true), Some(2))
    );
    assert!(summary["segments"].as_array().unwrap().len() >= 3, "{summary}");
    let text = told(&["inspect", at]);
    for part in [
        "closed in order",
        "segment to 1:",
        "index: ",
        "base: state before",
        "orders",
        "2 pending",
        "within 7d",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    let topics = json(&["topics", "--dir", at]);
    assert_eq!(topics.iter().map(|t| t["messages"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 40]);
    let group = &json(&["groups", "--dir", at])[0];
    assert_eq!((group["group"].as_str(), group["queues"][0]["lag"].as_u64()), (Some("g"), Some(33)));
    let timers = json(&["timer", "list", "--dir", at]);
    assert_eq!(timers.iter().map(|t| t["handle"].as_str().unwrap()).collect::<Vec<_>>(), handles);
    assert_eq!(json(&["timer", "list", "--dir", at, "--within", "2h"]).len(), 1);
    assert!(told(&["timer", "show", "--dir", at, &handles[0]]).contains("is pending"));
    assert!(told(&["timer", "forecast", "--dir", at]).contains("within 7d            1  ####"));

    let frames = json(&["inspect", at, "--frames"]);
    assert!(frames.len() > 40 && frames[0]["operations"][0]["kind"] == "open", "{}", frames[0]);
    let from = frames[5]["at"].as_str().unwrap();
    let some = json(&["inspect", at, "--frames", "--from", from, "--limit", "2"]);
    assert_eq!(some, frames[5..7]);
    let appends = frames.iter().flat_map(|frame| frame["operations"].as_array().unwrap());
    let third = appends.filter(|op| op["kind"] == "append").nth(2).unwrap();
    let record = third["record"].as_str().unwrap();
    let message = &json(&["inspect", at, "--message", record])[0];
    assert!(message["body"].as_str().unwrap().starts_with("0002x"), "{message}");
    assert!(told(&["inspect", at, "--message", record]).contains("property  KEYS=k2"));
    let verified = json(&["verify", at]);
    assert_eq!((verified.len(), verified[0]["sound"].as_bool()), (1, Some(true)));
    assert!(told(&["verify", at]).ends_with("everything is whole\n"));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn damage_is_named_by_file_and_place() {
    let dir = tempdir().unwrap();
    filled(dir.path());
    let at = dir.path().to_str().unwrap();
    for kind in ["log-", "idx-", "base-", "epoch"] {
        let all = files(dir.path());
        let (name, bytes) = all.iter().find(|(name, _)| name.starts_with(kind)).unwrap();
        let mut bad = bytes.clone();
        bad[30] ^= 1;
        fs::write(dir.path().join(name), &bad).unwrap();
        let ended = tool(&["verify", at]).output();
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stdout.contains(&format!("DAMAGED  {name} at byte ")), "{name} in {}", ended.stdout);
        assert!(ended.stdout.contains("damaged\n"), "{}", ended.stdout);
        let ended = tool(&["verify", at, "-o", "json"]).output();
        assert_eq!(ended.code, Some(1));
        let found: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(
            found.iter().any(|found| found["file"] == name.as_str() && found["damage"] == true),
            "{found:?}"
        );
        assert_eq!(found.last().unwrap()["sound"], false);
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    told(&["verify", at]);
}

#[test]
fn what_cannot_be_looked_at_says_what_to_do() {
    let dir = tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let served = Served::start(dir.path(), &[]);
    let pid = format!("process {}", served.pid());
    for arguments in
        [&["inspect", at][..], &["verify", at], &["topics", "--dir", at], &["timer", "list", "--dir", at]]
    {
        assert_failed(&tool(arguments).output(), 1, &[at, &pid, "--namesrv"]);
    }
    served.stop();
    let none = dir.path().join("none");
    let none = none.to_str().unwrap();
    let empty = tempdir().unwrap();
    for command in ["inspect", "verify"] {
        assert_failed(&tool(&[command, none]).output(), 1, &["none does not exist", "--data-dir"]);
        let ended = tool(&[command, empty.path().to_str().unwrap()]).output();
        assert_failed(&ended, 1, &["holds no store", "--data-dir"]);
        assert_failed(&tool(&[command]).output(), 2, &["<DIR>"]);
    }
    assert_failed(
        &tool(&["inspect", at, "--message", "1:9"]).output(),
        1,
        &["no record starts at", "--frames"],
    );
    assert_failed(&tool(&["inspect", at, "--frames", "--from", "7:0"]).output(), 1, &["no frame holds"]);
    assert_failed(&tool(&["inspect", at, "--frames", "--from", "x"]).output(), 2, &["1:4096"]);
    // Another version: both are named.
    let cell = dir.path().join("identity.cell");
    let mut bytes = fs::read(&cell).unwrap();
    bytes[4..8].copy_from_slice(&2u32.to_be_bytes());
    let sum = crate::crc32c(bytes[..16].iter().chain(&bytes[20..]));
    bytes[16..20].copy_from_slice(&sum.to_be_bytes());
    fs::write(&cell, &bytes).unwrap();
    for command in ["inspect", "verify"] {
        assert_failed(
            &tool(&[command, at]).output(),
            1,
            &["version 2", "knows 1", "mainspring that wrote it"],
        );
    }
}
