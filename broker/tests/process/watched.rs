//! The broker as those see it who watch it: metrics, health, log lines, settings, a stop in order.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use tempfile::tempdir;

use crate::run::{Client, Served, serve};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

fn raw(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Status, head and body.
fn get(at: SocketAddr, path: &str) -> (u16, String, String) {
    let text = raw(at, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

fn health(at: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let (status, head, body) = get(at, path);
    assert!(head.contains("application/json"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// A scrape, checked line by line: every series belongs to a family that is declared, once, before it.
#[derive(Debug, Default)]
struct Scrape {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn take(at: SocketAddr) -> Self {
        let (status, head, body) = get(at, "/metrics");
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("openmetrics-text"), "{head}");
        Self::parse(&body)
    }

    fn parse(body: &str) -> Self {
        let mut scrape = Self::default();
        let mut family = String::new();
        assert!(body.ends_with("# EOF\n"), "{body}");
        for line in body.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(scrape.types.insert(name.into(), kind.into()).is_none(), "{name} twice");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} below {family}"));
                let suffixes: &[&str] = match scrape.types[&family].as_str() {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "gauge" => &[""],
                    other => panic!("{other}"),
                };
                assert!(suffixes.contains(&suffix), "{line}");
                if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                    let inside = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).unwrap();
                    assert!(inside.split("\",").all(|label| label.contains("=\"")), "{line}");
                }
                let value: f64 = value.parse().unwrap();
                assert!(scrape.series.insert(series.into(), value).is_none(), "{series} twice");
            }
        }
        scrape
    }

    /// The one series of this name that has all these labels.
    fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &str| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|(key, value)| series.contains(&format!("{key}=\"{value}\"")))
        };
        let found: Vec<_> = self.series.iter().filter(|(series, _)| has(series)).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        *found[0].1
    }
}

/// Commits offset 1 of queue 0; nobody waits for an offset, so asks until it is there.
fn commit_one(client: &mut Client) {
    let offset = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(client.ask(15, &offset, b"").code, 0);
    let start = Instant::now();
    while client.ask(14, &offset[..3], b"").number("offset") != 1 {
        assert!(start.elapsed() < PATIENCE, "the offset is not kept");
    }
}

/// A scrape once the one broken connection is counted and has ended.
fn once_ended(served: &Served) -> Scrape {
    let start = Instant::now();
    loop {
        let scrape = Scrape::take(served.watched_at);
        if scrape.get("mainspring_protocol_errors_total", &[]) > 0.5
            && scrape.get("mainspring_connections", &[]) < 1.5
        {
            return scrape;
        }
        assert!(start.elapsed() < PATIENCE, "the broken connection is not counted, or does not end");
    }
}

/// Name, labels, value.
type Expected<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

#[test]
fn a_scrape_equals_what_was_sent() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &["--broker-name", "b-1", "--cluster-name", "c-1"]);
    let mut client = served.client();
    for _ in 0..3 {
        assert_eq!(client.put("T", &[b'x'; 2000]).code, 0);
    }
    assert_eq!(client.put_with("T", "TIMER_DELAY_SEC\u{1}3600\u{2}", b"later").code, 0);
    assert_eq!(client.put_with("T", "TIMER_DELAY_MS\u{1}1\u{2}", b"soon").code, 0);
    let start = Instant::now();
    while client.end("T") < 4 {
        assert!(start.elapsed() < PATIENCE, "the timer does not fire");
    }
    assert_eq!(client.pull("T", 1).len(), 3);
    commit_one(&mut client);
    served.throw(served.broker_at, b"\0\0\0\x10\xFF\0\0\0no protocol at all");

    let scrape = once_ended(&served);
    let all = [("cluster", "c-1"), ("node_type", "broker"), ("node_id", "b-1")];
    let normal = [("topic", "T"), ("message_type", "normal")];
    let delay = [("topic", "T"), ("message_type", "delay")];
    let group = [("consumer_group", "G"), ("topic", "T"), ("is_retry", "false")];
    let sends =
        [("request_code", "send_message_v2"), ("response_code", "success"), ("is_long_polling", "false")];
    let slow = [sends[0], sends[1], ("le", "+Inf")];
    let exact: [Expected<'_>; 30] = [
        ("mainspring_serving", &all, 1.0),
        ("rocketmq_messages_in_total", &normal, 3.0),
        ("rocketmq_messages_in_total", &delay, 2.0),
        ("rocketmq_throughput_in_total", &normal, 6000.0),
        ("rocketmq_messages_out_total", &group, 3.0),
        ("rocketmq_send_to_dlq_messages_total", &group, 0.0),
        ("rocketmq_message_size_count", &[], 5.0),
        ("rocketmq_message_size_sum", &[], 6009.0),
        ("rocketmq_message_size_bucket", &[("le", "1024.0")], 2.0),
        ("rocketmq_message_size_bucket", &[("le", "+Inf")], 5.0),
        ("rocketmq_consumer_lag_messages", &group, 3.0),
        ("rocketmq_timer_enqueue_total", &[("topic", "T")], 2.0),
        ("rocketmq_timer_dequeue_total", &[], 1.0),
        ("rocketmq_timing_messages", &[("topic", "T")], 1.0),
        ("rocketmq_rpc_latency_count", &sends, 5.0),
        ("rocketmq_rpc_latency_bucket", &slow, 5.0),
        ("rocketmq_timer_message_snapshot", &[("timer_bound_s", "900")], 0.0),
        ("rocketmq_timer_message_snapshot", &[("timer_bound_s", "3600")], 1.0),
        ("rocketmq_topic_number", &[], 1.0),
        ("rocketmq_broker_permission", &[], 6.0),
        ("mainspring_timers_pending", &[], 1.0),
        ("mainspring_timer_lateness_seconds_count", &[], 1.0),
        ("mainspring_epoch", &[], 1.0),
        ("mainspring_store_writable", &[], 1.0),
        ("mainspring_store_poisoned", &[], 0.0),
        ("mainspring_disk_full", &[], 0.0),
        ("mainspring_connections", &[], 1.0),
        ("mainspring_held_pulls", &[], 0.0),
        ("mainspring_panics_total", &[], 0.0),
        ("mainspring_protocol_errors_total", &[], 1.0),
    ];
    for (name, labels, value) in exact {
        assert!((scrape.get(name, labels) - value).abs() < 1e-9, "{name} {labels:?}: {scrape:?}");
    }
    let latency = scrape.get("rocketmq_consumer_lag_latency", &group);
    assert!((0.0..60_000.0).contains(&latency), "{latency}");
    let cursor = |name| scrape.get("mainspring_log_offset", &[("cursor", name)]);
    assert!(cursor("tail") >= cursor("committed") && cursor("committed") >= cursor("applied"));
    // By now every append has been flushed, since each was waited for.
    assert!(scrape.get("mainspring_flush_frames_sum", &[]) >= 5.0, "{scrape:?}");
    assert!(scrape.get("mainspring_flush_duration_seconds_count", &[]) >= 5.0, "{scrape:?}");
    served.stop();
}

/// The page has a row for every family: name, labels, unit or type.
#[test]
fn the_page_has_every_metric() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let mut client = served.client();
    client.put_with("T", "TIMER_DELAY_SEC\u{1}3600\u{2}", b"later");
    client.put("T", b"x");
    client.pull("T", 0);
    commit_one(&mut client);
    let scrape = Scrape::take(served.watched_at);
    let mut found = BTreeMap::new();
    for (name, kind) in &scrape.types {
        let name = if kind == "counter" { format!("{name}_total") } else { name.clone() };
        let series = scrape.series.keys().find(|series| series.starts_with(&name)).expect(&name);
        let labels: Vec<&str> = series
            .split(['{', ',', '}'])
            .filter_map(|label| label.split_once('=').map(|(key, _)| key))
            .filter(|key| !["cluster", "node_type", "node_id", "le"].contains(key))
            .collect();
        found.insert(name, (kind.clone(), labels.join(", ")));
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let mut told = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, name, kind, _, labels, _, _] = cells[..]
            && let Some(name) = name.strip_prefix("`").and_then(|n| n.strip_suffix('`'))
        {
            let labels = labels.replace('`', "");
            assert!(told.insert(name.to_owned(), (kind.to_owned(), labels)).is_none(), "{name} twice");
        }
    }
    assert_eq!(found, told);
    served.stop();
}

#[test]
fn health_is_told_as_json() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let at = served.watched_at;
    for (path, state) in [("/livez", "alive"), ("/startupz", "started"), ("/readyz", "serving")] {
        let (status, told) = health(at, path);
        assert_eq!((status, &told["ok"], &told["state"]), (200, &true.into(), &state.into()), "{told}");
    }
    assert_eq!(get(at, "/").0, 404);
    let post =
        raw(at, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let head = raw(at, "HEAD /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    served.stop();
}

/// What a hostile client sends is refused or cut off; others are answered.
#[test]
fn the_port_for_watchers_is_bounded() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let at = served.watched_at;
    let long = format!("GET /livez HTTP/1.1\r\nX: {}", "y".repeat(20_000));
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(long.as_bytes());
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    assert!(told.is_empty() || told.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&told));
    assert!(raw(at, "no http at all\r\n\r\n").starts_with("HTTP/1.1 400"));
    // More than may be open at a time, and all of them silent: they make room after a few seconds.
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(at).unwrap()).collect();
    assert_eq!(get(at, "/livez").0, 200);
    assert_eq!(served.client().put("T", b"x").code, 0);
    drop(silent);
    served.stop();
}

#[test]
fn the_port_for_watchers_can_be_off_or_in_use() {
    let dir = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = serve(dir.path(), &["--http-listen", &address]).output();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("--http-listen"), "{}", ended.stderr);
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("m.toml");
    fs::write(&file, "# one\nmax_attempts = 3\nretention = \"36h\"\nbroker_name = \"from-file\"\n").unwrap();
    let path = file.display().to_string();
    let data = dir.path().join("data");
    let more = ["--config", &path, "--print-config", "--broker-name", "from-flag"];
    let ended = serve(&data, &more).env("MAINSPRING_RETENTION", "12h").output();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let row = |key: &str| {
        let line = ended.stdout.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("max_attempts"), format!("3 {path}:2"));
    assert_eq!(row("retention"), "12h MAINSPRING_RETENTION");
    assert_eq!(row("broker_name"), "from-flag --broker-name");
    assert_eq!(row("default_queues"), "8 default");
    let ended = serve(&data, &[&more[..], &["-o", "json"]].concat()).output();
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let settings = json["settings"].as_array().unwrap();
    let attempts = settings.iter().find(|row| row["key"] == "max_attempts").unwrap();
    assert_eq!((&attempts["value"], &attempts["origin"]), (&3.into(), &format!("{path}:2").into()));
    assert!(!data.exists());
}

#[test]
fn log_lines_can_be_json() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &["--log-format", "json"]);
    let mut client = served.client();
    for _ in 0..50 {
        assert_eq!(client.put("T", b"x").code, 0);
    }
    assert_eq!(client.pull("T", 0).len(), 32);
    drop(client);
    let ended = served.stop();
    let lines: Vec<serde_json::Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let created = lines.iter().find(|line| line["message"] == "creating a topic").unwrap();
    assert_eq!((&created["level"], &created["topic"]), (&"INFO".into(), &"T".into()));
    assert!(lines.len() < 10, "a line for each message or connection: {}", ended.stderr);
}

/// Whoever is in the middle of something when the broker stops gets an answer: a pull that waits, sends on their way.
/// Watchers hear of it first.
#[test]
fn a_stop_answers_what_is_under_way() {
    let dir = tempdir().unwrap();
    let served = Served::start(dir.path(), &["--drain-time", "2s"]);
    let (names, at) = (served.names_at, served.watched_at);
    assert_eq!(served.client().put("T", b"first").code, 0);
    let mut waiting = served.client();
    waiting.begin_pull("T", 1, 20_000);
    let start = Instant::now();
    while Scrape::take(at).get("mainspring_held_pulls", &[]) < 1.0 {
        assert!(start.elapsed() < PATIENCE, "the pull is not held");
    }
    served.kick("TERM");
    let mut ready = health(at, "/readyz");
    while ready.0 == 200 {
        assert!(start.elapsed() < PATIENCE, "it stays ready");
        ready = health(at, "/readyz");
    }
    assert_eq!((ready.0, &ready.1["state"]), (503, &"stopping".into()));
    assert_eq!(health(at, "/livez").0, 200);
    // It still serves, new connections too.
    let mut late = served.client();
    assert_eq!(late.put("U", b"late").code, 0);
    let mut kept = 0;
    while late.try_put("U", b"later").is_some_and(|answer| answer.code == 0) {
        kept += 1;
    }
    // The pull was answered by the stop, not by its own time.
    assert_eq!(waiting.answer().code, 19);
    assert!(waiting.is_at_end());
    assert!(TcpStream::connect(names).is_err());
    let ended = served.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let again = Served::start(dir.path(), &[]);
    let found = again.client().end("U");
    // One whose answer did not come may be there or not.
    assert!((kept + 1..=kept + 2).contains(&found), "{kept} were kept, {found} are there");
    again.stop();
}

/// The page's unit for systemd is one that systemd takes.
#[test]
fn the_pages_unit_is_one() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let unit = page.split("```ini\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/mainspring serve"), "{unit}");
    let dir = tempdir().unwrap();
    let path = dir.path().join("mainspring.service");
    fs::write(&path, unit.replace("/usr/local/bin/mainspring", env!("CARGO_BIN_EXE_mainspring"))).unwrap();
    match std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Ok(told) => {
            let text = String::from_utf8_lossy(&told.stderr);
            assert!(told.status.success() && !text.contains("mainspring.service"), "{text}");
        }
        Err(error) => eprintln!("SKIPPED: systemd-analyze cannot be run: {error}"),
    }
}
