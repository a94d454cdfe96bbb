//! Who is connected, as administrators ask for it.

use std::{collections::BTreeMap, sync::Arc};

use super::{Clients, ConsumerGroup, Contact, Member, heartbeat::MessageModel, subscription::Subscription};

/// One member of a group.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Who it is.
    pub contact: Contact,
    /// When it was last heard of, elapsed milliseconds.
    pub heard_ms: u64,
}

/// A consumer group of which somebody is online.
#[derive(Debug, Clone)]
pub struct OnlineGroup {
    /// How its members get messages, by RocketMQ's name.
    pub consume_type: &'static str,
    /// How it shares messages.
    pub model: MessageModel,
    /// Where its members begin without progress, by RocketMQ's name.
    pub from_where: &'static str,
    /// Its members.
    pub members: Vec<Connected>,
    /// What it wants, by topic.
    pub subscriptions: BTreeMap<String, Arc<Subscription>>,
}

impl Clients {
    /// A consumer group; `None` if nobody of it is online.
    #[must_use]
    pub fn consumer_group(&self, name: &str) -> Option<OnlineGroup> {
        let groups = self.groups.lock();
        groups.consumers.get(name).map(|group| OnlineGroup {
            consume_type: group.consume_type,
            model: group.model,
            from_where: group.from_where,
            members: connected(group.members.values()),
            subscriptions: wants(group),
        })
    }

    /// The consumer groups online that want a topic, sorted.
    #[must_use]
    pub fn subscribed_to(&self, topic: &str) -> Vec<String> {
        let groups = self.groups.lock();
        let wanting = groups.consumers.iter().filter(|(_, group)| group.subscriptions.contains_key(topic));
        let mut names: Vec<String> = wanting.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The members of a producer group.
    #[must_use]
    pub fn producer_group(&self, name: &str) -> Vec<Connected> {
        let groups = self.groups.lock();
        groups.producers.get(name).map_or_else(Vec::new, |members| connected(members.values()))
    }

    /// All producers by group.
    #[must_use]
    pub fn producers(&self) -> BTreeMap<String, Vec<Connected>> {
        let groups = self.groups.lock();
        groups.producers.iter().map(|(name, members)| (name.clone(), connected(members.values()))).collect()
    }
}

fn connected<'a>(members: impl Iterator<Item = &'a Box<Member>>) -> Vec<Connected> {
    members.map(|member| Connected { contact: member.contact.clone(), heard_ms: member.heard_ms }).collect()
}

fn wants(group: &ConsumerGroup) -> BTreeMap<String, Arc<Subscription>> {
    group.subscriptions.iter().map(|(topic, wanted)| (topic.clone(), Arc::clone(wanted))).collect()
}
