//! The broker as a child process: started, asked, killed.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use mainspring_broker::remoting::codes::{request as codes, response};

use crate::{
    clock::{elapsed_ms, now_ms, pause},
    journal::{ATTEMPTS_MAX, GROUPS, LEVELS_MS, QUEUES, TOPICS},
    readback::READERS,
    wire::{Client, free_addresses, wrong},
};

/// Longest wait until a started broker answers, milliseconds.
const START_MAX_MS: u64 = 120_000;

/// Timers due later than this when their segment ends go to a bucket, milliseconds: most of the longer delays.
const NEAR_HORIZON_MS: i64 = 1_000;

/// What is run, and how.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) program: PathBuf,
    /// `appended` or `flushed`.
    pub(crate) commit: &'static str,
    /// As `--segment-bytes` takes it.
    pub(crate) segment_bytes: String,
    /// Age from which the broker trims, milliseconds; never where absent.
    pub(crate) retention_ms: Option<i64>,
    /// A known bug to run with.
    pub(crate) planted: Option<&'static str>,
    /// Divides the delays of the levels without telling the checker: 1, but for the control.
    pub(crate) hurry: i64,
}

/// A broker on a directory and ports that stay the same over its kills.
#[derive(Debug)]
pub(crate) struct Broker {
    setup: Setup,
    dir: PathBuf,
    listen: [SocketAddr; 2],
    child: Option<Child>,
    seen: BTreeSet<String>,
}

/// Files of the store that lay there at some kill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Segments of the log, those that were prepared and never used included.
    pub(crate) segments: usize,
    /// Index files: one for each segment that was rolled over.
    pub(crate) indexes: usize,
    /// Of these, below the oldest that is left: trimmed, and their segments with them.
    pub(crate) trimmed: usize,
    /// Bases.
    pub(crate) bases: usize,
    /// Buckets of timers.
    pub(crate) buckets: usize,
}

impl Broker {
    /// Chooses free ports; `dir` is its own.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn new(setup: Setup, dir: &Path) -> io::Result<Self> {
        let listen = free_addresses()?;
        Ok(Self { setup, dir: dir.to_owned(), listen, child: None, seen: BTreeSet::new() })
    }

    /// Where it answers.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen[0]
    }

    /// The directory of its store.
    #[must_use]
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Counts the files that lay there at any kill until now.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn files(&self) -> io::Result<Files> {
        let now = self.names()?;
        let oldest = now.iter().find(|name| name.starts_with("idx-"));
        let of = |kind: &'static str| self.seen.iter().filter(move |name| name.starts_with(kind));
        Ok(Files {
            segments: of("log-").count(),
            indexes: of("idx-").count(),
            trimmed: of("idx-").filter(|name| oldest.is_some_and(|oldest| *name < oldest)).count(),
            bases: of("base-").count(),
            buckets: of("due-").count(),
        })
    }

    fn names(&self) -> io::Result<BTreeSet<String>> {
        let entries = std::fs::read_dir(self.data())?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn spawn(&mut self) -> io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let levels: Vec<String> = LEVELS_MS.iter().map(|ms| format!("{}ms", ms / self.setup.hurry)).collect();
        let retention = self.setup.retention_ms.map_or(String::from("none"), |ms| format!("{ms}ms"));
        let mut command = Command::new(&self.setup.program);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(self.data())
            .args(["--broker-listen", &self.listen[0].to_string()])
            .args(["--namesrv-listen", &self.listen[1].to_string()])
            .args(["--commit", self.setup.commit, "--segment-bytes", &self.setup.segment_bytes])
            .args(["--max-message-bytes", "16KiB", "--delay-levels", &levels.join(" ")])
            .args(["--max-attempts", &ATTEMPTS_MAX.to_string()])
            .args(["--retention", &retention, "--near-horizon", &format!("{NEAR_HORIZON_MS}ms")])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        if let Some(name) = self.setup.planted {
            command.args(["--planted", name]);
        }
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Waits until it answers, and gives a connection.
    ///
    /// # Errors
    ///
    /// If it ends, or answers nothing for two minutes.
    pub(crate) fn ready(&mut self) -> io::Result<Client> {
        let start_ms = elapsed_ms();
        loop {
            self.alive()?;
            if let Ok(mut client) = Client::connect(self.address()) {
                match client.ask(codes::GET_BROKER_RUNTIME_INFO, &[], b"") {
                    Ok(_) => return Ok(client),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                    Err(_) => {}
                }
            }
            if elapsed_ms() - start_ms > START_MAX_MS {
                return Err(wrong("the broker does not answer"));
            }
            pause(2);
        }
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    ///
    /// If it ended by itself, with the end of what it said.
    pub(crate) fn alive(&mut self) -> io::Result<()> {
        let Some(child) = &mut self.child else { return Err(wrong("the broker was not started")) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(wrong(format!("the broker ended by itself: {status}\n{}", self.said()))),
        }
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    ///
    /// If it had ended by itself.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.alive()?;
        if let Some(mut child) = self.child.take() {
            child.kill()?; // SIGKILL on Unix
            child.wait()?;
            self.seen.extend(self.names()?);
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("broker.log")
    }

    /// The last lines that it wrote.
    #[must_use]
    pub(crate) fn said(&self) -> String {
        let text = File::open(self.log()).and_then(io::read_to_string).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Creates topics and groups.
///
/// # Errors
///
/// The connection's, or a refusal.
pub(crate) fn prepare(client: &mut Client) -> io::Result<()> {
    let queues = QUEUES.to_string();
    for topic in TOPICS {
        let fields = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", &queues),
            ("writeQueueNums", &queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        accept(client.ask(codes::UPDATE_AND_CREATE_TOPIC, &fields, b"")?)?;
    }
    let consumer = |group: &str| {
        serde_json::json!({"groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": false, "subscriptionDataSet": []})
    };
    let groups: Vec<_> = GROUPS.into_iter().chain([READERS]).map(consumer).collect();
    let beat = serde_json::json!({"clientID": format!("checker@{}", now_ms()), "producerDataSet": [], "consumerDataSet": groups});
    accept(client.ask(codes::HEART_BEAT, &[], beat.to_string().as_bytes())?)?;
    Ok(())
}

fn accept(answer: crate::wire::Answer) -> io::Result<()> {
    if answer.code == response::SUCCESS {
        Ok(())
    } else {
        Err(wrong(format!("refused with {}: {}", answer.code, answer.remark)))
    }
}
