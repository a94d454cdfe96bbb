//! Who is connected: producers and consumers by group, as their heartbeats say.
//!
//! Invariants:
//!
//! - a member belongs to one connection; the connection's end removes it;
//! - producers and consumers are kept apart, for a consumer list that holds producers would cost consumers their queues;
//! - every change of a group's members or subscriptions is told to all its members.
//!
//! The registry knows no time of its own: callers pass elapsed milliseconds.

pub mod heartbeat;
pub mod holds;
pub mod listing;
pub mod peer;
pub mod questions;
pub mod resets;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    clients::{
        heartbeat::{ConsumerData, ExpressionType, Heartbeat, MessageModel, SubscriptionData},
        peer::Peer,
    },
    filter::Filter,
    remoting::{Response, codes::request},
    sql::SqlError,
};

/// A client not heard for so long is dropped.
pub const EXPIRE_AFTER_MS: u64 = 120_000;
/// Groups that one connection may be in.
const MEMBERSHIPS_MAX: usize = 2048;
/// Above so many topics it is not remembered any more which ones a group reads.
const TOPICS_READ_MAX: usize = 1024;

/// What a group wants of one topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The expression as given.
    pub expression: String,
    /// Its language.
    pub kind: ExpressionType,
    /// When the client made it; newer ones replace older ones.
    pub version: i64,
    /// The expression as a filter, read once; or why it is none. Of a language that is not known, every message.
    pub filter: Result<Arc<Filter>, SqlError>,
}

impl Subscription {
    fn new(data: &SubscriptionData) -> Self {
        let kind = data.expression_type();
        let filter = match &kind {
            ExpressionType::Tag => Ok(Filter::tags(&data.sub_string)),
            ExpressionType::Sql92 => Filter::sql(&data.sub_string),
            ExpressionType::Other(_) => Ok(Filter::all()),
        };
        let expression = data.sub_string.clone();
        Self { expression, kind, version: data.sub_version, filter: filter.map(Arc::new) }
    }
}

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

/// A client in a group; it counts for its connection as long as it is there.
#[derive(Debug)]
struct Member {
    contact: Contact,
    heard_ms: u64,
}

impl Member {
    fn new(contact: Contact, heard_ms: u64) -> Self {
        contact.peer.joined();
        Self { contact, heard_ms }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.contact.peer.left();
    }
}

#[derive(Debug, Default)]
struct ConsumerGroup {
    model: MessageModel,
    consume_type: &'static str,
    from_where: &'static str,
    members: BTreeMap<u64, Member>,
    subscriptions: HashMap<String, Subscription>,
    /// Every topic that its members wanted or pulled since the first of them came.
    topics_read: HashSet<String>,
}

impl ConsumerGroup {
    fn reads(&mut self, topic: &str) {
        if self.topics_read.len() <= TOPICS_READ_MAX && !self.topics_read.contains(topic) {
            self.topics_read.insert(topic.to_owned());
        }
    }
}

#[derive(Debug, Default)]
struct Groups {
    consumers: HashMap<String, ConsumerGroup>,
    producers: HashMap<String, BTreeMap<u64, Member>>,
}

/// The registry.
#[derive(Debug, Default)]
pub struct Clients(Mutex<Groups>);

impl Clients {
    /// Takes in a heartbeat and tells the members of every group that changed; gives whether one did.
    pub fn heartbeat(&self, peer: &Arc<Peer>, beat: &Heartbeat, software: &Software, now_ms: u64) -> bool {
        let mut changed = Vec::new();
        let who = || Contact {
            peer: Arc::clone(peer),
            client_id: beat.client_id.clone(),
            software: software.clone(),
        };
        {
            let mut groups = self.0.lock();
            for producer in beat.producers.iter().filter(|producer| !producer.group_name.is_empty()) {
                let members = groups.producers.entry(producer.group_name.clone()).or_default();
                join(members, who(), now_ms);
            }
            for data in beat.consumers.iter().filter(|data| !data.group_name.is_empty()) {
                let group = groups.consumers.entry(data.group_name.clone()).or_default();
                let joined = join(&mut group.members, who(), now_ms);
                group.model = data.message_model;
                group.consume_type = data.consume_type;
                group.from_where = data.from_where;
                let wants_other = !beat.without_subscriptions && update_subscriptions(group, data);
                if wants_other || joined {
                    changed.push((data.group_name.clone(), peers(group)));
                }
            }
        }
        let any = !changed.is_empty();
        notify(changed);
        any
    }

    /// Whether a connection would be in at most `MEMBERSHIPS_MAX` groups after this heartbeat.
    #[must_use]
    pub fn has_room(&self, peer: &Peer, beat: &Heartbeat) -> bool {
        let groups = self.0.lock();
        let produces = |name: &String| groups.producers.get(name).is_some_and(|of| of.contains_key(&peer.id));
        let consumes =
            |name: &String| groups.consumers.get(name).is_some_and(|of| of.members.contains_key(&peer.id));
        let producers = beat.producers.iter().filter(|data| !produces(&data.group_name)).count();
        let consumers = beat.consumers.iter().filter(|data| !consumes(&data.group_name)).count();
        peer.memberships() + producers + consumers <= MEMBERSHIPS_MAX
    }

    /// Removes one client from the groups named.
    pub fn unregister(&self, peer: &Peer, producer_group: Option<&str>, consumer_group: Option<&str>) {
        let mut changed = Vec::new();
        {
            let mut groups = self.0.lock();
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
            let mut groups = self.0.lock();
            groups.producers.retain(|_, members| {
                members.retain(|_, member| !gone(member));
                !members.is_empty()
            });
            groups.consumers.retain(|name, group| {
                let before = group.members.len();
                group.members.retain(|_, member| !gone(member));
                if group.members.len() != before {
                    changed.push((name.clone(), peers(group)));
                }
                !group.members.is_empty()
            });
        }
        notify(changed);
    }

    /// Client ids of a consumer group, each once.
    #[must_use]
    pub fn consumer_ids(&self, group: &str) -> Vec<String> {
        let groups = self.0.lock();
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
        let groups = self.0.lock();
        let members = groups.consumers.get(group).into_iter().flat_map(|group| group.members.values());
        members.map(|member| member.contact.clone()).collect()
    }

    /// The member of a consumer group with this id; of several, the one heard last.
    #[must_use]
    pub fn member(&self, group: &str, client_id: &str) -> Option<Contact> {
        let groups = self.0.lock();
        let members = groups.consumers.get(group)?.members.values();
        let named = members.filter(|member| member.contact.client_id == client_id);
        named.max_by_key(|member| (member.heard_ms, member.contact.peer.id)).map(|m| m.contact.clone())
    }

    /// The producer with this id, of whatever group; of several, the one heard last. Looks at every producer.
    #[must_use]
    pub fn producer(&self, client_id: &str) -> Option<Contact> {
        let groups = self.0.lock();
        let members = groups.producers.values().flat_map(BTreeMap::values);
        let named = members.filter(|member| member.contact.client_id == client_id);
        named.max_by_key(|member| (member.heard_ms, member.contact.peer.id)).map(|m| m.contact.clone())
    }

    /// How a group shares messages, as the last heartbeat of a member said; `None` if nobody is online.
    #[must_use]
    pub fn model(&self, group: &str) -> Option<MessageModel> {
        self.0.lock().consumers.get(group).map(|group| group.model)
    }

    /// What a consumer group wants of a topic.
    ///
    /// # Errors
    ///
    /// [`Offline`] if nobody of the group has said what it wants.
    pub fn subscription(&self, group: &str, topic: &str) -> Result<Option<Subscription>, Offline> {
        let groups = self.0.lock();
        let known = groups.consumers.get(group).filter(|group| !group.subscriptions.is_empty());
        let group = known.ok_or(Offline)?;
        Ok(group.subscriptions.get(topic).cloned())
    }

    /// Remembers that a group pulls a topic, be it subscribed or not.
    pub fn pulls(&self, group: &str, topic: &str) {
        if let Some(group) = self.0.lock().consumers.get_mut(group) {
            group.reads(topic);
        }
    }

    /// Whether a group surely did not read a topic since its members came. False in every doubt: nobody is
    /// online, `member` is none of those online, nothing or too much is known of what they read.
    #[must_use]
    pub fn never_read(&self, group: &str, topic: &str, member: Option<&Peer>) -> bool {
        let groups = self.0.lock();
        groups.consumers.get(group).is_some_and(|group| {
            let known = 1..=TOPICS_READ_MAX;
            member.is_none_or(|peer| group.members.contains_key(&peer.id))
                && known.contains(&group.topics_read.len())
                && !group.topics_read.contains(topic)
        })
    }

    /// Client ids of a group's members at an address.
    #[must_use]
    pub fn consumer_ids_at(&self, group: &str, ip: IpAddr) -> Vec<String> {
        let groups = self.0.lock();
        let members = groups.consumers.get(group).into_iter().flat_map(|group| group.members.values());
        let contacts = members.map(|member| &member.contact);
        contacts.filter(|who| who.peer.address.ip() == ip).map(|who| who.client_id.clone()).collect()
    }

    /// Producers and consumers online, by connection and group.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let groups = self.0.lock();
        let producers = groups.producers.values().map(BTreeMap::len).sum();
        (producers, groups.consumers.values().map(|group| group.members.len()).sum())
    }
}

/// Nobody of the group is online, or those who are have not said yet what they want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offline;

/// Adds a client or notes that it was heard; gives whether the members' ids changed by it.
fn join(members: &mut BTreeMap<u64, Member>, who: Contact, now_ms: u64) -> bool {
    let member = Member::new(who, now_ms);
    let id = member.contact.client_id.clone();
    match members.insert(member.contact.peer.id, member) {
        Some(before) => before.contact.client_id != id,
        None => true,
    }
}

/// Folds the subscriptions of one member in: newer versions replace older ones, topics no longer named go.
fn update_subscriptions(group: &mut ConsumerGroup, data: &ConsumerData) -> bool {
    let mut changed = false;
    for subscription in &data.subscriptions {
        group.reads(&subscription.topic);
        match group.subscriptions.get_mut(&subscription.topic) {
            None => {
                group.subscriptions.insert(subscription.topic.clone(), Subscription::new(subscription));
                changed = true;
            }
            Some(old) if subscription.sub_version > old.version => {
                let same =
                    old.expression == subscription.sub_string && old.kind == subscription.expression_type();
                if same {
                    old.version = subscription.sub_version;
                } else {
                    *old = Subscription::new(subscription);
                    changed = true;
                }
            }
            Some(_) => {}
        }
    }
    let before = group.subscriptions.len();
    let named: HashSet<&str> = data.subscriptions.iter().map(|named| named.topic.as_str()).collect();
    group.subscriptions.retain(|topic, _| named.contains(topic.as_str()));
    changed | (group.subscriptions.len() != before)
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::clients::peer::{Port, Push};

    fn peer(id: u64) -> (Arc<Peer>, Receiver<Box<Push>>) {
        let (peer, queue) = Peer::new(id, "127.0.0.1:1".parse().unwrap(), Port::Broker);
        (Arc::new(peer), queue)
    }

    fn beat(client: &str, expression: &str, version: i64) -> Heartbeat {
        let text = format!(
            r#"{{"clientID":"{client}","producerDataSet":[{{"groupName":"P"}}],"consumerDataSet":[{{"groupName":"G",
            "subscriptionDataSet":[{{"topic":"T","subString":"{expression}","subVersion":{version}}}]}}]}}"#
        );
        Heartbeat::parse(text.as_bytes()).unwrap()
    }

    fn told(queue: &mut Receiver<Box<Push>>) -> usize {
        std::iter::from_fn(|| queue.try_recv().ok()).count()
    }

    #[test]
    fn a_connection_is_in_so_many_groups() {
        let clients = Clients::default();
        let (peer, _queue) = peer(1);
        let beat = |from: usize, count: usize| {
            let groups: Vec<_> = (from..from + count).map(|n| format!(r#"{{"groupName":"P{n}"}}"#)).collect();
            let text = format!(r#"{{"clientID":"a","producerDataSet":[{}]}}"#, groups.join(","));
            Heartbeat::parse(text.as_bytes()).unwrap()
        };
        for from in [0, 1024] {
            assert!(clients.has_room(&peer, &beat(from, 1024)));
            clients.heartbeat(&peer, &beat(from, 1024), &Software::default(), from as u64);
        }
        // Those it is in stay its own; one that it leaves makes room.
        assert!(clients.has_room(&peer, &beat(0, 1024)) && !clients.has_room(&peer, &beat(2048, 1)));
        clients.unregister(&peer, Some("P7"), None);
        assert!(clients.has_room(&peer, &beat(2048, 1)) && !clients.has_room(&peer, &beat(2048, 2)));
        clients.expire(EXPIRE_AFTER_MS + 1);
        assert_eq!((peer.memberships(), clients.counts().0), (1024, 1024));
        clients.disconnected(&peer);
        assert_eq!(peer.memberships(), 0);
    }

    #[test]
    fn members_hear_of_joins_and_leaves() {
        let clients = Clients::default();
        let (a, mut to_a) = peer(1);
        let (b, mut to_b) = peer(2);
        clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 0);
        clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 1);
        assert_eq!(told(&mut to_a), 1);
        clients.heartbeat(&b, &beat("b", "*", 1), &Software::default(), 2);
        assert_eq!((told(&mut to_a), told(&mut to_b)), (1, 1));
        assert_eq!(clients.consumer_ids("G"), ["a", "b"]);
        assert_eq!(clients.counts(), (2, 2));
        clients.unregister(&b, Some("P"), Some("G"));
        assert_eq!((told(&mut to_a), told(&mut to_b)), (1, 0));
        clients.disconnected(&a);
        assert!(clients.consumer_ids("G").is_empty());
        assert_eq!(clients.subscription("G", "T"), Err(Offline));
        assert_eq!(clients.counts(), (0, 0));
    }

    #[test]
    fn a_heartbeat_without_subscriptions_leaves_them_alone() {
        let clients = Clients::default();
        let (a, mut to_a) = peer(1);
        let (b, mut to_b) = peer(2);
        let short = |client| Heartbeat {
            without_subscriptions: true,
            consumers: beat(client, "", 0)
                .consumers
                .into_iter()
                .map(|data| ConsumerData { subscriptions: Vec::new(), ..data })
                .collect(),
            ..beat(client, "", 0)
        };
        let software = Software { language: String::from("JAVA"), version: 479 };
        assert!(clients.heartbeat(&b, &short("b"), &software, 0));
        assert_eq!(clients.subscription("G", "T"), Err(Offline), "nobody has said anything yet");
        assert!(clients.heartbeat(&a, &beat("a", "x", 5), &software, 0));
        assert_eq!((told(&mut to_a), told(&mut to_b)), (1, 2));
        assert!(!clients.heartbeat(&a, &short("a"), &software, 1));
        assert!(!clients.heartbeat(&b, &short("b"), &software, 1));
        assert_eq!(clients.subscription("G", "T").unwrap().unwrap().expression, "x");
        assert_eq!((told(&mut to_a), told(&mut to_b)), (0, 0));
    }

    #[test]
    fn of_two_clients_with_one_id_the_last_heard_is_spoken_to() {
        let clients = Clients::default();
        let (a, _keep_a) = peer(1);
        let (b, _keep_b) = peer(2);
        let software = Software { language: String::from("CPP"), version: 63 };
        clients.heartbeat(&b, &beat("same", "*", 1), &software, 0);
        clients.heartbeat(&a, &beat("same", "*", 1), &software, 5);
        assert_eq!(clients.consumer_ids("G"), ["same"]);
        assert_eq!(clients.member("G", "same").unwrap().peer.id, 1);
        assert_eq!(clients.member("G", "same").unwrap().software, software);
        clients.heartbeat(&b, &beat("same", "*", 1), &software, 5);
        assert_eq!((clients.producer("same").unwrap().peer.id, clients.members("G").len()), (2, 2));
        assert!(clients.member("G", "other").is_none() && clients.producer("other").is_none());
        clients.disconnected(&b);
        assert_eq!(clients.member("G", "same").unwrap().peer.id, 1);
    }

    #[test]
    fn newer_subscriptions_win_and_are_told() {
        let clients = Clients::default();
        let (a, mut queue) = peer(1);
        clients.heartbeat(&a, &beat("a", "x", 5), &Software::default(), 0);
        told(&mut queue);
        clients.heartbeat(&a, &beat("a", "y", 4), &Software::default(), 0);
        let subscription = clients.subscription("G", "T").unwrap().unwrap();
        assert_eq!((subscription.expression.as_str(), told(&mut queue)), ("x", 0));
        clients.heartbeat(&a, &beat("a", "y", 6), &Software::default(), 0);
        assert_eq!(clients.subscription("G", "T").unwrap().unwrap().filter, Ok(Filter::tags("y").into()));
        assert_eq!((told(&mut queue), clients.subscription("G", "U")), (1, Ok(None)));
    }

    #[test]
    fn what_a_group_never_read_is_known_only_without_doubt() {
        let clients = Clients::default();
        let (a, _keep_a) = peer(1);
        let (b, _keep_b) = peer(2);
        assert!(!clients.never_read("G", "U", Some(&a)), "nobody is online");
        clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 0);
        assert!(clients.never_read("G", "U", Some(&a)) && clients.never_read("G", "U", None));
        assert!(!clients.never_read("G", "T", Some(&a)), "it is subscribed");
        assert!(!clients.never_read("G", "U", Some(&b)), "a stranger may know more");
        clients.pulls("G", "U");
        assert!(!clients.never_read("G", "U", Some(&a)), "it was pulled");
        for i in 0..2 * TOPICS_READ_MAX {
            clients.pulls("G", &i.to_string());
        }
        assert!(!clients.never_read("G", "V", Some(&a)), "too many to remember");
        assert_eq!(clients.consumer_ids_at("G", a.address.ip()), ["a"]);
    }

    #[test]
    fn silent_clients_are_dropped() {
        let clients = Clients::default();
        let (a, _keep_a) = peer(1);
        let (b, mut to_b) = peer(2);
        clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 0);
        clients.heartbeat(&b, &beat("b", "*", 1), &Software::default(), 60_000);
        told(&mut to_b);
        clients.expire(120_000);
        assert_eq!(clients.consumer_ids("G").len(), 2);
        clients.expire(120_001);
        assert_eq!((clients.consumer_ids("G"), told(&mut to_b)), (vec![String::from("b")], 1));
    }
}
