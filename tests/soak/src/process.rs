//! The broker and the commands beside it, as child processes.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    clock::{elapsed_ms, pause},
    produce::LEVELS_MS,
    wire::{Client, free_addresses},
};

/// Longest wait until a broker answers, or has stopped, milliseconds.
const WAIT_MAX_MS: u64 = 60_000;

/// A broker that serves.
pub(crate) struct Broker {
    child: Child,
    pub(crate) data: PathBuf,
    pub(crate) broker: SocketAddr,
    pub(crate) names: SocketAddr,
}

impl Broker {
    /// Starts it in `dir`, on free ports, with a log that is trimmed soon, and waits until it answers.
    ///
    /// # Errors
    ///
    /// The operating system's, or that it does not answer.
    pub(crate) fn start(program: &Path, dir: &Path, commit: &str) -> io::Result<Self> {
        let ([broker, names], data) = (free_addresses()?, dir.join("data"));
        let levels: Vec<String> = LEVELS_MS.iter().map(|ms| format!("{ms}ms")).collect();
        let child = Command::new(program)
            .arg("serve")
            .arg("--data-dir")
            .arg(&data)
            .args(["--broker-listen", &broker.to_string(), "--namesrv-listen", &names.to_string()])
            .args(["--segment-bytes", "32MiB", "--retention", "5m", "--retention-bytes", "512MiB"])
            .args(["--near-horizon", "10s", "--delay-levels", &levels.join(" "), "--commit", commit])
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("broker.log"))?)
            .spawn()?;
        let started = Self { child, data, broker, names };
        let begun = elapsed_ms();
        while Client::connect(broker).and_then(|mut client| client.ask(9999, &[], b"")).is_err() {
            if elapsed_ms() - begun > WAIT_MAX_MS {
                return Err(io::Error::other("the broker does not answer; see broker.log"));
            }
            pause(100);
        }
        Ok(started)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order.
    ///
    /// # Errors
    ///
    /// That it does not stop, or says that something went wrong.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        kill_process(pid(&self.child)?, Signal::TERM)?;
        let begun = elapsed_ms();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("the broker ended with {status}"))),
                None if elapsed_ms() - begun > WAIT_MAX_MS => {
                    return Err(io::Error::other("the broker does not stop"));
                }
                None => pause(50),
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It has ended already, or whoever started it gave up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> io::Result<Pid> {
    let number = i32::try_from(child.id()).map_err(io::Error::other)?;
    Pid::from_raw(number).ok_or_else(|| io::Error::other("no process"))
}

/// A command that runs beside: other clients.
pub(crate) struct Beside {
    text: String,
    child: Child,
}

impl Beside {
    /// Starts a command of the shell, which finds the addresses in `SOAK_BROKER` and `SOAK_NAMESRV`.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn start(text: &str, broker: &Broker, log: File) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", text])
            .env("SOAK_BROKER", broker.broker.to_string())
            .env("SOAK_NAMESRV", broker.names.to_string())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { text: text.to_owned(), child })
    }

    /// Says what is wrong if it has failed already; ends it otherwise, and all that it started.
    pub(crate) fn end(mut self) -> Option<String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return (!status.success()).then(|| format!("{:?} ended with {status}", self.text));
        }
        if let Ok(pid) = pid(&self.child) {
            let _ = kill_process_group(pid, Signal::TERM); // it may have ended by now
        }
        let _ = self.child.wait();
        None
    }
}
