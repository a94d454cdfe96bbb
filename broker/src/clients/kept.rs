//! How many bytes of what heartbeats said are kept, for each connection and for all.
//!
//! Every connection may have [`FREE_BYTES`] kept whatever the others have. What goes beyond that all of them share, and
//! none has more than [`CONNECTION_BYTES_MAX`]. Names count for the client that gave them; what a group wants counts for
//! the client that said so last, and once that is gone for another member, as long as there is one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::peer::Peer;

/// Bytes that are kept for each connection whatever the others have.
pub const FREE_BYTES: usize = 16 * 1024;
/// Bytes that are kept for one connection.
pub const CONNECTION_BYTES_MAX: usize = 4 << 20;

/// Bytes kept for a connection beyond what each has free.
pub fn beyond_free(peer: &Peer) -> usize {
    beyond(peer.kept_bytes())
}

fn beyond(bytes: usize) -> usize {
    bytes.saturating_sub(FREE_BYTES)
}

/// What all connections may have kept together beyond what each has free.
#[derive(Debug, Default)]
pub(super) struct Room {
    max: usize,
    /// Changes and is looked at under the lock of the registry only.
    used: AtomicUsize,
}

impl Room {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicUsize::new(0) })
    }

    /// Whether a connection may have so much more; a repetition, which is nothing more, always passes.
    pub(super) fn check(&self, peer: &Peer, more: usize) -> Result<(), TooMuch> {
        let wanted = peer.kept_bytes() + more;
        let used = self.used.load(Ordering::Relaxed) + beyond(wanted) - beyond(peer.kept_bytes());
        if more == 0 || wanted <= FREE_BYTES {
            return Ok(());
        }
        if wanted > CONNECTION_BYTES_MAX {
            return Err(TooMuch::Connection(wanted));
        }
        if used > self.max {
            return Err(TooMuch::Together(self.max));
        }
        Ok(())
    }

    /// Bytes kept beyond what connections have free.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes kept for a connection; dropping it forgets them.
#[derive(Debug)]
pub(super) struct Kept {
    peer: Arc<Peer>,
    room: Arc<Room>,
    bytes: usize,
}

impl Kept {
    pub(super) fn new(peer: &Arc<Peer>, room: &Arc<Room>, bytes: usize) -> Self {
        let mut kept = Self { peer: Arc::clone(peer), room: Arc::clone(room), bytes: 0 };
        kept.set(bytes);
        kept
    }

    /// Whom they count for.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn set(&mut self, bytes: usize) {
        let before = self.peer.kept_bytes();
        let after = before - self.bytes + bytes;
        self.peer.keeps(after);
        self.room.used.fetch_add(beyond(after), Ordering::Relaxed);
        self.room.used.fetch_sub(beyond(before), Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Why a heartbeat is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuch {
    /// The connection would be in more groups than this.
    Groups(usize),
    /// So many bytes would be kept for the connection.
    Connection(usize),
    /// All connections have this kept beyond what each has free.
    Together(usize),
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups(max) => {
                write!(f, "this connection would be in more than {max} groups; let the client leave some")
            }
            Self::Connection(bytes) => write!(
                f,
                "its groups, topics and expressions would take {bytes} bytes on this connection, \
                 {CONNECTION_BYTES_MAX} are allowed; name fewer, or use more connections"
            ),
            Self::Together(max) => write!(
                f,
                "what clients say takes the {max} bytes that all of them may have beyond {FREE_BYTES} each; \
                 name fewer groups, topics and expressions, or raise max_connection_memory"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::peer::Port;

    fn peer(id: u64) -> Arc<Peer> {
        Arc::new(Peer::new(id, "127.0.0.1:1".parse().unwrap(), Port::Broker).0)
    }

    #[test]
    fn what_is_beyond_the_free_bytes_is_shared() {
        let room = Room::new(1_000);
        let (a, b) = (peer(1), peer(2));
        let mut of_a = Kept::new(&a, &room, FREE_BYTES);
        assert_eq!((room.used(), room.check(&a, 1_000)), (0, Ok(())));
        assert_eq!(room.check(&a, 1_001), Err(TooMuch::Together(1_000)));
        of_a.set(FREE_BYTES + 900);
        // One full room costs nobody what is his own, nor what he has.
        assert_eq!((room.used(), room.check(&b, FREE_BYTES), room.check(&a, 0)), (900, Ok(()), Ok(())));
        assert_eq!(room.check(&b, FREE_BYTES + 101), Err(TooMuch::Together(1_000)));
        let second = Kept::new(&a, &room, 50);
        assert_eq!((a.kept_bytes(), room.used(), of_a.bytes()), (FREE_BYTES + 950, 950, FREE_BYTES + 900));
        drop(of_a);
        assert_eq!((a.kept_bytes(), room.used(), second.peer().id), (50, 0, 1));
        drop(second);
        assert_eq!((a.kept_bytes(), room.used()), (0, 0));
    }

    #[test]
    fn one_connection_has_its_own_bound() {
        let (room, a) = (Room::new(usize::MAX / 2), peer(1));
        let kept = Kept::new(&a, &room, CONNECTION_BYTES_MAX);
        assert_eq!(room.check(&a, 0), Ok(()));
        assert_eq!(room.check(&a, 1), Err(TooMuch::Connection(CONNECTION_BYTES_MAX + 1)));
        drop(kept);
        assert_eq!(room.check(&a, 1), Ok(()));
    }
}
