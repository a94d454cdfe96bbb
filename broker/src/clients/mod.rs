//! Who is connected: producers and consumers by group, as their heartbeats say.
//!
//! Invariants:
//!
//! - a member belongs to one connection; the connection's end removes it;
//! - producers and consumers are kept apart, for a consumer list that holds producers would cost consumers their queues;
//! - every change of a group's members or subscriptions is told to all its members;
//! - what is kept of heartbeats is bounded, see [`kept`].
//!
//! The registry knows no time of its own: callers pass elapsed milliseconds.

pub mod heartbeat;
pub mod holds;
pub mod kept;
pub mod listing;
pub mod peer;
pub mod questions;
pub mod resets;
pub mod subscription;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    clients::{
        heartbeat::{ConsumerData, Heartbeat, MessageModel, PUSHED, SubscriptionData},
        kept::{Kept, Room, TooMuch},
        peer::Peer,
        subscription::{GROUP_BYTES, Subscription, TOPIC_READ_BYTES, bytes_of, member_bytes},
    },
    remoting::{Response, codes::request},
};

/// A client not heard for so long is dropped.
pub const EXPIRE_AFTER_MS: u64 = 120_000;
/// Groups that one connection may be in.
const MEMBERSHIPS_MAX: usize = 2048;
/// Above so many topics it is not remembered any more which ones a group reads.
const TOPICS_READ_MAX: usize = 1024;

/// What a client runs on, as the headers of its heartbeats say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Software {
    /// Name of its language as it calls it.
    pub language: String,
    /// Ordinal of its version.
    pub version: i32,
}

/// A client of a group, to be spoken to.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Its connection.
    pub peer: Arc<Peer>,
    /// Its id.
    pub client_id: String,
    /// What it runs on.
    pub software: Software,
}

/// Members by their connection's number. Boxed, since most groups have few and a map has places for many.
type Members = BTreeMap<u64, Box<Member>>;

/// A client in a group; it counts for its connection as long as it is there.
#[derive(Debug)]
struct Member {
    contact: Contact,
    heard_ms: u64,
    kept: Kept,
}

impl Member {
    fn new(contact: Contact, heard_ms: u64, kept: Kept) -> Self {
        contact.peer.joined();
        Self { contact, heard_ms, kept }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.contact.peer.left();
    }
}

#[derive(Debug)]
struct ConsumerGroup {
    model: MessageModel,
    consume_type: &'static str,
    from_where: &'static str,
    members: Members,
    subscriptions: HashMap<String, Arc<Subscription>>,
    subscriptions_bytes: usize,
    /// Hashes of every topic that its members wanted or pulled since the first of them came; `None` once those are too
    /// many to remember.
    topics_read: Option<HashSet<u64>>,
    /// What it takes, for one of its members.
    kept: Kept,
}

impl ConsumerGroup {
    fn new(first: &Arc<Peer>, room: &Arc<Room>) -> Self {
        Self {
            model: MessageModel::default(),
            consume_type: "",
            from_where: "",
            members: BTreeMap::new(),
            subscriptions: HashMap::new(),
            subscriptions_bytes: 0,
            topics_read: Some(HashSet::new()),
            kept: Kept::new(first, room, GROUP_BYTES),
        }
    }

    fn bytes(&self) -> usize {
        let read = self.topics_read.as_ref().map_or(0, HashSet::len);
        GROUP_BYTES + self.subscriptions_bytes + read * TOPIC_READ_BYTES
    }

    fn reads(&mut self, topic: u64) {
        if let Some(read) = &mut self.topics_read {
            read.insert(topic);
            if read.len() > TOPICS_READ_MAX {
                self.topics_read = None;
            }
        }
    }

    /// Has what it takes count for another member if the one it counts for is gone.
    fn hand_over(&mut self, room: &Arc<Room>) {
        if let Some(next) = self.members.values().next()
            && !self.members.contains_key(&self.kept.peer().id)
        {
            self.kept = Kept::new(&next.contact.peer, room, self.kept.bytes());
        }
    }
}

#[derive(Debug, Default)]
struct Groups {
    consumers: HashMap<String, ConsumerGroup>,
    producers: HashMap<String, Members>,
}

/// The registry.
#[derive(Debug)]
pub struct Clients {
    groups: Mutex<Groups>,
    room: Arc<Room>,
    /// Topics that are only compared are kept as hashes, by keys that no client knows.
    hasher: RandomState,
}

impl Clients {
    /// A registry in which what connections say may take so many bytes beyond what each has free.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { groups: Mutex::default(), room: Room::new(bytes_max), hasher: RandomState::new() }
    }

    /// Takes in a heartbeat and tells the members of every group that changed; gives whether one did.
    ///
    /// # Errors
    ///
    /// [`TooMuch`] if more would be kept than may be; nothing of it was taken in then.
    pub fn heartbeat(
        &self,
        peer: &Arc<Peer>,
        beat: &Heartbeat,
        software: &Software,
        now_ms: u64,
    ) -> Result<bool, TooMuch> {
        let mut changed = Vec::new();
        let member = |group: &str| {
            let bytes = member_bytes(group, &beat.client_id, &software.language);
            let contact = Contact {
                peer: Arc::clone(peer),
                client_id: beat.client_id.clone(),
                software: software.clone(),
            };
            Member::new(contact, now_ms, Kept::new(peer, &self.room, bytes))
        };
        {
            let mut groups = self.groups.lock();
            self.check(&groups, peer, beat, software)?;
            for producer in beat.producers.iter().filter(|producer| !producer.group_name.is_empty()) {
                let members = groups.producers.entry(producer.group_name.clone()).or_default();
                join(members, member(&producer.group_name));
            }
            for data in beat.consumers.iter().filter(|data| !data.group_name.is_empty()) {
                let new = || ConsumerGroup::new(peer, &self.room);
                let group = groups.consumers.entry(data.group_name.clone()).or_insert_with(new);
                let joined = join(&mut group.members, member(&data.group_name));
                group.model = data.message_model;
                group.consume_type = data.consume_type;
                group.from_where = data.from_where;
                let wants_other = !beat.without_subscriptions && self.update_subscriptions(group, peer, data);
                if wants_other || joined {
                    changed.push((data.group_name.clone(), peers(group)));
                }
            }
        }
        let any = !changed.is_empty();
        notify(changed);
        Ok(any)
    }

    /// Whether what a heartbeat says may be kept. One that repeats what was said may, whatever else is kept.
    fn check(
        &self,
        groups: &Groups,
        peer: &Peer,
        beat: &Heartbeat,
        software: &Software,
    ) -> Result<(), TooMuch> {
        let (mut joins, mut more) = (0, 0);
        let mut named = |group: &str, members: Option<&Members>| {
            let bytes = member_bytes(group, &beat.client_id, &software.language);
            let known = members.and_then(|members| members.get(&peer.id)).map(|member| member.kept.bytes());
            joins += usize::from(known.is_none());
            more += bytes.saturating_sub(known.unwrap_or(0));
        };
        for data in &beat.producers {
            named(&data.group_name, groups.producers.get(&data.group_name));
        }
        for data in &beat.consumers {
            named(&data.group_name, groups.consumers.get(&data.group_name).map(|group| &group.members));
        }
        for data in &beat.consumers {
            let group = groups.consumers.get(&data.group_name);
            let before = group.map_or(0, ConsumerGroup::bytes);
            let after = self.bytes_after(group, data, beat.without_subscriptions);
            if after > before {
                let own = group.is_some_and(|group| group.kept.peer().id == peer.id);
                more += after - if own { before } else { 0 };
            }
        }
        if peer.memberships() + joins > MEMBERSHIPS_MAX {
            return Err(TooMuch::Groups(MEMBERSHIPS_MAX));
        }
        self.room.check(peer, more)
    }

    /// Folds the subscriptions of one member in: newer versions replace older ones, topics no longer named go.
    fn update_subscriptions(&self, group: &mut ConsumerGroup, peer: &Arc<Peer>, data: &ConsumerData) -> bool {
        let mut changed = false;
        for new in &data.subscriptions {
            group.reads(self.hasher.hash_one(&new.topic));
            let old = group.subscriptions.get(&new.topic);
            if old.is_some_and(|old| new.sub_version <= old.version) {
                continue;
            }
            let same = old.filter(|old| old.wants_the_same(new));
            changed |= same.is_none();
            let wanted = match same {
                Some(old) => old.renewed(new.sub_version),
                None => Subscription::new(new),
            };
            group.subscriptions.insert(new.topic.clone(), Arc::new(wanted));
        }
        let before = group.subscriptions.len();
        let named: HashSet<&str> = data.subscriptions.iter().map(|named| named.topic.as_str()).collect();
        group.subscriptions.retain(|topic, _| named.contains(topic.as_str()));
        changed |= group.subscriptions.len() != before;
        if changed {
            group.subscriptions_bytes =
                group.subscriptions.iter().map(|(topic, wanted)| wanted.bytes(topic)).sum();
        }
        let bytes = group.bytes();
        if bytes > group.kept.bytes() && group.kept.peer().id != peer.id {
            group.kept = Kept::new(peer, &self.room, bytes);
        } else {
            group.kept.set(bytes);
        }
        changed
    }

    /// Bytes that a group takes once a member's word was taken in.
    fn bytes_after(&self, group: Option<&ConsumerGroup>, data: &ConsumerData, without: bool) -> usize {
        let Some(group) = group else {
            return GROUP_BYTES
                + data.subscriptions.iter().map(|new| bytes_of(new) + TOPIC_READ_BYTES).sum::<usize>();
        };
        if without {
            return group.bytes();
        }
        let bytes = |new: &SubscriptionData| match group.subscriptions.get(&new.topic) {
            Some(old) if old.version >= new.sub_version => old.bytes(&new.topic),
            _ => bytes_of(new),
        };
        let read = group.topics_read.as_ref().map_or(0, |read| {
            let unread = |new: &&SubscriptionData| !read.contains(&self.hasher.hash_one(&new.topic));
            read.len() + data.subscriptions.iter().filter(unread).count()
        });
        GROUP_BYTES + data.subscriptions.iter().map(bytes).sum::<usize>() + read * TOPIC_READ_BYTES
    }

    /// Removes one client from the groups named.
    pub fn unregister(&self, peer: &Peer, producer_group: Option<&str>, consumer_group: Option<&str>) {
        let mut changed = Vec::new();
        {
            let mut groups = self.groups.lock();
            if let Some(name) = producer_group {
                if let Some(members) = groups.producers.get_mut(name) {
                    members.remove(&peer.id);
                }
                groups.producers.retain(|_, members| !members.is_empty());
            }
            if let Some(name) = consumer_group
                && let Some(group) = groups.consumers.get_mut(name)
                && group.members.remove(&peer.id).is_some()
            {
                group.hand_over(&self.room);
                changed.push((name.to_owned(), peers(group)));
                groups.consumers.retain(|_, group| !group.members.is_empty());
            }
        }
        notify(changed);
    }

    /// Removes a connection from all groups.
    pub fn disconnected(&self, peer: &Peer) {
        self.remove_members(|member| member.contact.peer.id == peer.id);
    }

    /// Drops all clients not heard for [`EXPIRE_AFTER_MS`].
    pub fn expire(&self, now_ms: u64) {
        self.remove_members(|member| now_ms.saturating_sub(member.heard_ms) > EXPIRE_AFTER_MS);
    }

    fn remove_members(&self, gone: impl Fn(&Member) -> bool) {
        let mut changed = Vec::new();
        {
            let mut groups = self.groups.lock();
            groups.producers.retain(|_, members| {
                members.retain(|_, member| !gone(member));
                !members.is_empty()
            });
            groups.consumers.retain(|name, group| {
                let before = group.members.len();
                group.members.retain(|_, member| !gone(member));
                if group.members.len() != before {
                    group.hand_over(&self.room);
                    changed.push((name.clone(), peers(group)));
                }
                !group.members.is_empty()
            });
        }
        notify(changed);
    }

    /// Bytes kept of what connections said, beyond what each has free.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let _under_the_lock = self.groups.lock();
        self.room.used()
    }

    /// Client ids of a consumer group, each once.
    #[must_use]
    pub fn consumer_ids(&self, group: &str) -> Vec<String> {
        let groups = self.groups.lock();
        let members = groups.consumers.get(group).map(|group| &group.members);
        let mut ids: Vec<String> =
            members.into_iter().flatten().map(|(_, member)| member.contact.client_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The members of a consumer group.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<Contact> {
        let groups = self.groups.lock();
        let members = groups.consumers.get(group).into_iter().flat_map(|group| group.members.values());
        members.map(|member| member.contact.clone()).collect()
    }

    /// The member of a consumer group with this id; of several, the one heard last.
    #[must_use]
    pub fn member(&self, group: &str, client_id: &str) -> Option<Contact> {
        let groups = self.groups.lock();
        let members = groups.consumers.get(group)?.members.values();
        let named = members.filter(|member| member.contact.client_id == client_id);
        named.max_by_key(|member| (member.heard_ms, member.contact.peer.id)).map(|m| m.contact.clone())
    }

    /// The producer with this id, of whatever group; of several, the one heard last. Looks at every producer.
    #[must_use]
    pub fn producer(&self, client_id: &str) -> Option<Contact> {
        let groups = self.groups.lock();
        let members = groups.producers.values().flat_map(BTreeMap::values);
        let named = members.filter(|member| member.contact.client_id == client_id);
        named.max_by_key(|member| (member.heard_ms, member.contact.peer.id)).map(|m| m.contact.clone())
    }

    /// How a group shares messages, as the last heartbeat of a member said; `None` if nobody is online.
    #[must_use]
    pub fn model(&self, group: &str) -> Option<MessageModel> {
        self.groups.lock().consumers.get(group).map(|group| group.model)
    }

    /// Whether a consumer group's members are push consumers, by the last heartbeat.
    #[must_use]
    pub fn is_pushed(&self, group: &str) -> bool {
        self.groups.lock().consumers.get(group).is_some_and(|group| group.consume_type == PUSHED)
    }

    /// What a consumer group wants of a topic.
    ///
    /// # Errors
    ///
    /// [`Offline`] if nobody of the group has said what it wants.
    pub fn subscription(&self, group: &str, topic: &str) -> Result<Option<Arc<Subscription>>, Offline> {
        let groups = self.groups.lock();
        let known = groups.consumers.get(group).filter(|group| !group.subscriptions.is_empty());
        let group = known.ok_or(Offline)?;
        Ok(group.subscriptions.get(topic).cloned())
    }

    /// Remembers that a group pulls a topic, be it subscribed or not; where there is no room for that, it is forgotten
    /// what else the group reads.
    pub fn pulls(&self, group: &str, topic: &str) {
        let (topic, mut groups) = (self.hasher.hash_one(topic), self.groups.lock());
        let Some(group) = groups.consumers.get_mut(group) else { return };
        if group.topics_read.as_ref().is_none_or(|read| read.contains(&topic)) {
            return;
        }
        if self.room.check(group.kept.peer(), TOPIC_READ_BYTES).is_ok() {
            group.reads(topic);
        } else {
            group.topics_read = None;
        }
        group.kept.set(group.bytes());
    }

    /// Whether a group surely did not read a topic since its members came. False in every doubt: nobody is
    /// online, `member` is none of those online, nothing or too much is known of what they read.
    #[must_use]
    pub fn never_read(&self, group: &str, topic: &str, member: Option<&Peer>) -> bool {
        let (topic, groups) = (self.hasher.hash_one(topic), self.groups.lock());
        groups.consumers.get(group).is_some_and(|group| {
            member.is_none_or(|peer| group.members.contains_key(&peer.id))
                && group.topics_read.as_ref().is_some_and(|read| !read.is_empty() && !read.contains(&topic))
        })
    }

    /// Client ids of a group's members at an address.
    #[must_use]
    pub fn consumer_ids_at(&self, group: &str, ip: IpAddr) -> Vec<String> {
        let groups = self.groups.lock();
        let members = groups.consumers.get(group).into_iter().flat_map(|group| group.members.values());
        let contacts = members.map(|member| &member.contact);
        contacts.filter(|who| who.peer.address.ip() == ip).map(|who| who.client_id.clone()).collect()
    }

    /// Producers and consumers online, by connection and group.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let groups = self.groups.lock();
        let producers = groups.producers.values().map(BTreeMap::len).sum();
        (producers, groups.consumers.values().map(|group| group.members.len()).sum())
    }
}

/// Nobody of the group is online, or those who are have not said yet what they want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offline;

/// Adds a client or notes that it was heard; gives whether the members' ids changed by it.
fn join(members: &mut Members, member: Member) -> bool {
    let id = member.contact.client_id.clone();
    match members.insert(member.contact.peer.id, Box::new(member)) {
        Some(before) => before.contact.client_id != id,
        None => true,
    }
}

fn peers(group: &ConsumerGroup) -> Vec<Arc<Peer>> {
    group.members.values().map(|member| Arc::clone(&member.contact.peer)).collect()
}

fn notify(changed: Vec<(String, Vec<Arc<Peer>>)>) {
    for (group, members) in changed {
        for peer in members {
            let push = Response { code: request::NOTIFY_CONSUMER_IDS_CHANGED, ..Response::ok() };
            if !peer.push(push.with("consumerGroup", group.clone())) {
                tracing::debug!(client = %peer.address, group, "a client does not read its notifications");
            }
        }
    }
}
