//! Requests whose answer the log decides, by the simplest rules: locks, and messages that are stored once.

use std::collections::BTreeMap;

/// Queues by topic and number.
pub type Queues = Vec<(String, u32)>;

/// A lock that is held.
#[derive(Debug, Clone)]
pub struct Held {
    /// The group.
    pub group: String,
    /// The queue.
    pub queue: (String, u32),
    /// The client.
    pub client: String,
    /// When it is over.
    pub until_ms: i64,
}

/// Where the first message of a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its log position.
    pub at: u64,
    /// Its queue.
    pub queue: u32,
    /// Its offset there, for a message.
    pub queue_offset: Option<u64>,
    /// When it is due, for a timer.
    pub due_ms: Option<i64>,
}

/// What the log decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// Whether the client holds each queue.
    Locked(Vec<bool>),
    /// The first of each message's key, if it is another one.
    Stored(Vec<Option<Place>>),
}

/// The state that requests have.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// Locks.
    pub held: Vec<Held>,
    /// First messages by topic and key, and until when they are remembered.
    pub firsts: BTreeMap<(String, String), (i64, Place)>,
    /// Decisions by the end of their frame.
    pub decided: BTreeMap<u64, Decided>,
}

impl Requests {
    /// What is over at this time is gone.
    pub fn pass(&mut self, now_ms: i64) {
        self.held.retain(|lock| lock.until_ms > now_ms);
        self.firsts.retain(|_, (until_ms, _)| *until_ms > now_ms);
    }

    /// Who holds a queue for a group.
    #[must_use]
    pub fn holder(&self, group: &str, queue: &(String, u32)) -> Option<&Held> {
        self.held.iter().find(|lock| lock.group == group && lock.queue == *queue)
    }

    /// A client wants queues until then.
    pub fn lock(&mut self, (group, client): (&str, &str), queues: &Queues, until_ms: i64, end: u64) {
        let mut granted = Vec::new();
        for queue in queues {
            let free = self.holder(group, queue).is_none_or(|lock| lock.client == client);
            if free {
                self.held.retain(|lock| lock.group != group || lock.queue != *queue);
                let (group, client, queue) = (group.to_owned(), client.to_owned(), queue.clone());
                self.held.push(Held { group, queue, client, until_ms });
            }
            granted.push(free);
        }
        self.decided.insert(end, Decided::Locked(granted));
    }

    /// A client gives queues up.
    pub fn unlock(&mut self, (group, client): (&str, &str), queues: &Queues) {
        let given =
            |lock: &Held| lock.group == group && lock.client == client && queues.contains(&lock.queue);
        self.held.retain(|lock| !given(lock));
    }

    /// A message asks to be stored once; whether it is.
    pub fn once(&mut self, key: (String, String), place: Place, until_ms: i64, end: u64) -> bool {
        let first = self.firsts.get(&key).map(|(_, place)| *place);
        if first.is_none() {
            self.firsts.insert(key, (until_ms, place));
        }
        let decided = self.decided.entry(end).or_insert_with(|| Decided::Stored(Vec::new()));
        if let Decided::Stored(all) = decided {
            all.push(first);
        }
        first.is_none()
    }
}
