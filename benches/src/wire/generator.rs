//! Asks a server over many connections, from one thread, and counts the answers.
//!
//! Requests are made beforehand and answers only skipped, so what is left of the generator's cost is system calls: one
//! write and one read for what one wake-up brings, as a client of this protocol cannot do without.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::event::epoll;

use crate::Result;
use crate::measure::Timing;
use crate::wire::frames::Ring;

/// How a server is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// Connections.
    pub connections: usize,
    /// Requests of each that are not answered yet.
    pub in_flight: usize,
}

impl Pattern {
    /// How it is named in a report.
    #[must_use]
    pub fn name(self) -> String {
        match self.in_flight {
            1 => format!("{} connections", self.connections),
            n => format!("{} x {n} in flight", self.connections),
        }
    }
}

/// Start of every answer behind its two lengths: success.
const SUCCESS: &[u8] = b"{\"code\":0,";
/// What is looked at of an answer.
const HEAD: usize = 8 + SUCCESS.len();
/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Counts answers in a stream of them.
#[derive(Debug, Default)]
struct Answers {
    head: [u8; HEAD],
    have: usize,
    skip: usize,
}

impl Answers {
    /// Whole answers that end in these bytes.
    ///
    /// # Errors
    /// An answer that tells of no success.
    fn count(&mut self, mut bytes: &[u8]) -> Result<usize> {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.skip == 0 {
                let n = bytes.len().min(HEAD - self.have);
                self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
                self.have += n;
                bytes = &bytes[n..];
                if self.have < HEAD {
                    break;
                }
                let len = self.head.first_chunk().map_or(0, |word| u32::from_be_bytes(*word)) as usize;
                if self.head[8..] != *SUCCESS {
                    return Err(format!("refused: {}", String::from_utf8_lossy(&self.head[8..])).into());
                }
                self.skip = (len + 4).saturating_sub(HEAD);
            }
            let n = bytes.len().min(self.skip);
            self.skip -= n;
            bytes = &bytes[n..];
            if self.skip == 0 {
                self.have = 0;
                whole += 1;
            }
        }
        Ok(whole)
    }
}

struct Connection {
    stream: TcpStream,
    answers: Answers,
    /// Requests that were sent so far: which one is next.
    sent: usize,
    waits_for: usize,
}

/// Connections to one server.
pub struct Generator {
    connections: Vec<Connection>,
    requests: Ring,
    epoll: std::os::fd::OwnedFd,
    pattern: Pattern,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

impl Generator {
    /// Connects. There must be at least as many frames as requests in flight on a connection.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(address: SocketAddr, pattern: Pattern, frames: &[Vec<u8>]) -> Result<Self> {
        if frames.len() < pattern.in_flight {
            return Err("too few requests".into());
        }
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for i in 0..pattern.connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(i as u64), epoll::EventFlags::IN)?;
            connections.push(Connection { stream, answers: Answers::default(), sent: i, waits_for: 0 });
        }
        let (requests, buffer) = (Ring::new(frames), vec![0; READ_BYTES]);
        Ok(Self { connections, requests, epoll, pattern, buffer })
    }

    /// Asks so many times and waits for all answers.
    ///
    /// # Errors
    /// The system's; a connection that ends; an answer that tells of no success.
    pub fn run(&mut self, requests: usize) -> Result<Timing> {
        let (timing, done) = Timing::of(|| self.ask(requests));
        done.map(|()| timing)
    }

    fn ask(&mut self, requests: usize) -> Result<()> {
        let (mut left, mut open) = (requests, requests);
        for connection in &mut self.connections {
            let n = left.min(self.pattern.in_flight);
            left -= n;
            send(connection, &self.requests, n)?;
        }
        let mut events = Vec::with_capacity(self.pattern.connections);
        while open > 0 {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                let connection = &mut self.connections[index];
                let n = connection.stream.read(&mut self.buffer)?;
                if n == 0 {
                    return Err("the server closed a connection".into());
                }
                let answered = connection.answers.count(&self.buffer[..n])?;
                connection.waits_for =
                    connection.waits_for.checked_sub(answered).ok_or("an answer to no request")?;
                open -= answered;
                let n = left.min(answered);
                left -= n;
                send(connection, &self.requests, n)?;
            }
        }
        Ok(())
    }
}

fn send(connection: &mut Connection, requests: &Ring, n: usize) -> Result<()> {
    if n > 0 {
        // What is in flight fits into the socket's buffers, so this does not wait for the other side.
        connection.stream.write_all(requests.slice(connection.sent, n))?;
        connection.sent += n;
        connection.waits_for += n;
    }
    Ok(())
}

/// Asks once and gives the whole answer.
///
/// # Errors
/// The system's.
pub fn ask(address: SocketAddr, frame: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(frame)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut answer = head.to_vec();
    answer.resize(4 + u32::from_be_bytes(head) as usize, 0);
    stream.read_exact(&mut answer[4..])?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frames::frame;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let one = frame("{\"code\":0,\"opaque\":1}", &[0; 40]);
        let three = [one.clone(), one.clone(), one].concat();
        for step in 1..three.len() {
            let mut answers = Answers::default();
            let counted = three.chunks(step).map(|part| answers.count(part).unwrap()).sum::<usize>();
            assert_eq!(counted, 3, "in steps of {step}");
        }
        assert!(Answers::default().count(&frame("{\"code\":13,\"opaque\":1}", &[])).is_err());
    }
}
