//! Starts the binary, speaks to it over sockets, and ends it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mainspring::record::Record;
use mainspring_broker::remoting::{Header, frame as decoder};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command line of a broker on free ports.
pub(crate) struct Serve(Command);

pub(crate) fn serve(data: &Path, more: &[&str]) -> Serve {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring"));
    command.env_remove("RUST_LOG").arg("serve").arg("--data-dir").arg(data);
    let any = "127.0.0.1:0";
    for (flag, value) in [("--broker-listen", any), ("--namesrv-listen", any), ("--http-listen", any)] {
        if !more.contains(&flag) {
            command.args([flag, value]);
        }
    }
    command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Serve(command)
}

/// The command line of a tool.
pub(crate) fn tool(arguments: &[&str]) -> Serve {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring"));
    command.env_remove("RUST_LOG").env_remove("NAMESRV_ADDR").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Serve(command)
}

impl Serve {
    /// What it reads.
    pub(crate) fn input(mut self, file: &Path) -> Self {
        self.0.stdin(std::fs::File::open(file).unwrap());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end, which must come by itself.
    pub(crate) fn output(mut self) -> Ended {
        let mut child = self.0.spawn().unwrap();
        let (out, err) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
        let code = wait(&mut child);
        Ended { code, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
    }
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("the process hangs");
}

/// A broker that serves.
pub(crate) struct Served {
    child: Child,
    pub(crate) greeting: String,
    pub(crate) broker_at: SocketAddr,
    pub(crate) names_at: SocketAddr,
    pub(crate) watched_at: SocketAddr,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
    unread: Option<BufReader<std::process::ChildStdout>>,
}

impl Served {
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = serve(data, more).0.spawn().unwrap();
        let err = drain(child.stderr.take().unwrap());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("serve --help") {
            if out.read_line(&mut greeting).unwrap() == 0 {
                let code = wait(&mut child);
                panic!("it did not start ({code:?}): {greeting}{}", err.join().unwrap());
            }
        }
        let address = |name: &str| {
            let line = greeting.lines().find(|line| line.trim().starts_with(name)).unwrap();
            let rest = line.trim()[name.len()..].trim_start();
            rest.split(|c: char| c.is_whitespace() || c == '/').next().unwrap().parse().unwrap()
        };
        let (broker_at, names_at) = (address("broker"), address("name service"));
        let watched_at = address("metrics       http://");
        Self {
            child,
            greeting,
            broker_at,
            names_at,
            watched_at,
            out: None,
            err: Some(err),
            unread: Some(out),
        }
    }

    /// Stops reading what it says, and closes the pipe.
    pub(crate) fn deaf(mut self) -> Self {
        self.unread = None;
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.broker_at)
    }

    /// Sends bytes and closes, without caring for an answer.
    pub(crate) fn throw(&self, at: SocketAddr, bytes: &[u8]) {
        let mut stream = TcpStream::connect(at).unwrap();
        let _ = stream.write_all(bytes);
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn signal(self, name: &str) -> Ended {
        self.kick(name);
        self.ended()
    }

    /// Sends a signal, and once it is answered another one; waits for the end.
    pub(crate) fn signal_twice(mut self, name: &str) -> Ended {
        self.kick(name);
        let mut out = self.unread.take().unwrap();
        let mut told = String::new();
        while !told.contains("once more to stop at once") {
            assert!(out.read_line(&mut told).unwrap() > 0, "it ended: {told}");
        }
        self.kick(name);
        self.out = Some(drain(out));
        self.ended()
    }

    /// Waits for the end, which must come by itself.
    pub(crate) fn ended(mut self) -> Ended {
        self.out = self.out.take().or_else(|| self.unread.take().map(drain));
        let code = wait(&mut self.child);
        let text = |handle: Option<JoinHandle<String>>| handle.map_or(String::new(), |h| h.join().unwrap());
        Ended { code, stdout: text(self.out.take()), stderr: text(self.err.take()) }
    }

    /// Sends a signal.
    pub(crate) fn kick(&self, name: &str) {
        // The shell's own `kill`: a small system has no program of that name.
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status();
        assert!(kill.unwrap().success());
    }

    pub(crate) fn stop(self) -> Ended {
        let ended = self.signal("TERM");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A tool that goes on until it is ended.
pub(crate) struct Following {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Following {
    pub(crate) fn start(mut command: Command) -> Self {
        command.env_remove("NAMESRV_ADDR").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Its next line; nothing at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Whatever a failed test left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking()
            && let Some(err) = self.err.take()
        {
            eprintln!("--- standard error of the broker:\n{}", err.join().unwrap_or_default());
        }
    }
}

pub(crate) fn frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(4 + header.len() + body.len()).unwrap().to_be_bytes());
    bytes.extend(u32::try_from(header.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) remark: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn number(&self, name: &str) -> u64 {
        let field = self.fields.iter().find(|(key, _)| key == name);
        field.unwrap_or_else(|| panic!("{name} in {self:?}")).1.parse().unwrap()
    }
}

/// Whether a new connection is closed before it is answered.
pub(crate) fn is_refused(at: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(&frame(b"{\"code\":9999,\"opaque\":1}", &[])); // it may be closed already
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn send_fields<'a>(topic: &'a str, properties: &'a str) -> [(&'static str, &'a str); 7] {
    [("a", "P"), ("b", topic), ("c", "TBW102"), ("d", "1"), ("e", "0"), ("f", "0"), ("i", properties)]
}

fn pull_fields<'a>(topic: &'a str, from: &'a str) -> [(&'static str, &'a str); 7] {
    [
        ("consumerGroup", "G"),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", from),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("subscription", "*"),
    ]
}

/// A client of raw frames that waits for each answer.
pub(crate) struct Client {
    stream: TcpStream,
    input: bytes::BytesMut,
}

impl Client {
    fn connect(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, input: bytes::BytesMut::new() }
    }

    pub(crate) fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        self.begin(code, fields, body).unwrap();
        self.answer()
    }

    fn begin(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> std::io::Result<()> {
        let fields: std::collections::BTreeMap<_, _> = fields.iter().copied().collect();
        let header = serde_json::json!({"code": code, "extFields": fields, "flag": 0, "language": "JAVA",
            "opaque": 1, "version": 409});
        self.stream.write_all(&frame(header.to_string().as_bytes(), body))
    }

    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_or_end().expect("an answer")
    }

    /// Whether nothing more comes.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.answer_or_end().is_none()
    }

    fn answer_or_end(&mut self) -> Option<Answer> {
        loop {
            if let Some(found) = decoder::decode(&mut self.input).unwrap() {
                let header = Header::parse(&found).unwrap();
                let json: serde_json::Value = serde_json::from_slice(&found.header).unwrap();
                let fields = json["extFields"].as_object().unwrap().iter();
                return Some(Answer {
                    code: header.code,
                    remark: header.remark.as_deref().unwrap_or_default().to_owned(),
                    fields: fields.map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect(),
                    body: found.body.to_vec(),
                });
            }
            let mut buffer = [0; 65_536];
            let n = match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => read.expect("an answer in time"),
            };
            self.input.extend_from_slice(&buffer[..n]);
        }
    }

    pub(crate) fn put(&mut self, topic: &str, body: &[u8]) -> Answer {
        self.put_with(topic, "", body)
    }

    pub(crate) fn put_with(&mut self, topic: &str, properties: &str, body: &[u8]) -> Answer {
        self.ask(310, &send_fields(topic, properties), body)
    }

    /// A send that may find the connection at its end.
    pub(crate) fn try_put(&mut self, topic: &str, body: &[u8]) -> Option<Answer> {
        self.begin(310, &send_fields(topic, ""), body).ok()?;
        self.answer_or_end()
    }

    /// Asks for queue 0 of a topic from an offset on, and does not wait.
    pub(crate) fn begin_pull(&mut self, topic: &str, from: u64, suspend_ms: u64) {
        let (from, suspend) = (from.to_string(), suspend_ms.to_string());
        let held = [("sysFlag", "6"), ("suspendTimeoutMillis", &suspend)];
        self.begin(11, &[&pull_fields(topic, &from)[..5], &held, &[("subscription", "*")]].concat(), b"")
            .unwrap();
    }

    /// Bodies in queue 0 of a topic from an offset on, as one pull gives them.
    pub(crate) fn pull(&mut self, topic: &str, from: u64) -> Vec<Vec<u8>> {
        let from = from.to_string();
        let answer = self.ask(11, &pull_fields(topic, &from), b"");
        assert!([0, 19].contains(&answer.code), "{answer:?}");
        let mut rest = &answer.body[..];
        let mut bodies = Vec::new();
        while !rest.is_empty() {
            let (record, behind) = Record::split_first(rest).unwrap();
            record.verify_body().unwrap();
            bodies.push(record.body().to_vec());
            rest = behind;
        }
        bodies
    }

    pub(crate) fn end(&mut self, topic: &str) -> u64 {
        self.ask(30, &[("topic", topic), ("queueId", "0")], b"").number("offset")
    }
}
