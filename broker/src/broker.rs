//! What all handlers share.

use std::{
    net::SocketAddrV4,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use mainspring::{Attributes, GroupConfig, PERM_READ, PERM_WRITE, Pending, Store, TopicConfig, Wait};
use tokio::sync::Semaphore;

use crate::{
    clients::{Clients, holds::Holds, resets::Resets},
    clock::Clock,
    latency::Latencies,
    memory::Memory,
    names,
    remoting::{Reply, Response, codes::response},
    throttle::Throttle,
    traffic::Traffic,
    unique_ids::UniqueIds,
};

/// Topics, and consumer groups, that clients make.
pub const NAMES_MAX: usize = 50_000;
/// Administrators may make so many times what clients may.
const ADMINISTRATORS_SHARE: usize = 10;

/// What heartbeats say may take this part of the memory that connections share.
const HEARTBEATS_SHARE: usize = 4;

/// What the broker is told at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the broker set in routes.
    pub broker_name: String,
    /// Name of the cluster in routes.
    pub cluster_name: String,
    /// Address that clients reach the broker port at; stands in every record.
    pub advertised: SocketAddrV4,
    /// When a send is answered, unless the message asks for less.
    pub acknowledge: Wait,
    /// Whether a first send creates its topic.
    pub auto_create_topics: bool,
    /// Queues of [`names::DEFAULT_TOPIC`], the most that a created topic gets.
    pub default_queues: u32,
    /// Longest message body.
    pub message_bytes_max: usize,
    /// Failures before the dead-letter topic, for groups created by their first heartbeat.
    pub attempts_max: i32,
    /// Topics, and consumer groups, that clients make by using them; what administrators make counts, too.
    pub names_max: usize,
    /// Most connections at a time, both ports together.
    pub connections_max: u32,
    /// Bytes that all connections may hold together, see [`crate::memory`].
    pub memory_bytes_max: usize,
    /// Further settings as administrators' tools are told them, by RocketMQ's names.
    pub properties: Vec<(&'static str, String)>,
}

impl Settings {
    /// What the program uses where nothing is configured.
    #[must_use]
    pub fn new(advertised: SocketAddrV4) -> Self {
        Self {
            broker_name: "broker-a".into(),
            cluster_name: "DefaultCluster".into(),
            advertised,
            acknowledge: Wait::Committed,
            auto_create_topics: true,
            default_queues: 8,
            message_bytes_max: 4 << 20,
            attempts_max: 16,
            names_max: NAMES_MAX,
            connections_max: 1_000,
            memory_bytes_max: 512 << 20,
            properties: Vec::new(),
        }
    }
}

/// Things that happened, for operators.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open now, both ports together.
    pub connections: AtomicU64,
    /// Failed messages that clients sent to the name-service port.
    pub misdirected_send_backs: AtomicU64,
    /// Handlers that panicked.
    pub panics: AtomicU64,
    /// Connections closed for bytes that are no protocol.
    pub protocol_errors: AtomicU64,
    /// Connections closed because there were too many.
    pub refused_connections: AtomicU64,
    /// Connections closed because they did not take their answers, or not finish a request, for too long.
    pub slow_connections: AtomicU64,
    /// Requests that were held back until the store had prepared space, or flushed.
    pub stalls: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Warnings that any client can bring about, each at most once in a while.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    pub(crate) refused: Throttle,
    pub(crate) protocol: Throttle,
    pub(crate) slow: Throttle,
    pub(crate) accept: Throttle,
    pub(crate) group: Throttle,
    pub(crate) heartbeat: Throttle,
    pub(crate) creating: Throttle,
    pub(crate) deleting: Throttle,
    pub(crate) reset: Throttle,
}

/// Who makes a topic or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// A client that uses it for the first time.
    Client,
    /// An administrator; also what belongs to a group that there is.
    Administrator,
}

impl Maker {
    fn plural(self) -> &'static str {
        match self {
            Self::Client => "clients",
            Self::Administrator => "administrators",
        }
    }

    fn advice(self, what: &str) -> String {
        match self {
            Self::Client => format!("; let an administrator make the {what}"),
            Self::Administrator => String::new(),
        }
    }
}

/// The broker: a store, who is connected, who waits.
pub struct Broker {
    /// The store.
    pub store: Store,
    /// What it was told at start.
    pub settings: Settings,
    /// Who is connected.
    pub clients: Clients,
    /// Which consumers do not know yet that their progress was set.
    pub resets: Resets,
    /// Which pulls wait for messages.
    pub holds: Arc<Holds>,
    /// What all connections may hold together.
    pub memory: Arc<Memory>,
    /// Elapsed time.
    pub clock: Arc<dyn Clock>,
    /// Things that happened.
    pub counters: Counters,
    /// Messages that passed.
    pub traffic: Traffic,
    /// How long requests took.
    pub latencies: Arc<Latencies>,
    /// Whether routes show every topic as not writable, so that producers go elsewhere.
    pub closed_to_producers: AtomicBool,
    pub(crate) ids: UniqueIds,
    pub(crate) warnings: Warnings,
    creating: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker over `store`, whose observer is `holds`.
    #[must_use]
    pub fn new(store: Store, holds: Arc<Holds>, clock: Arc<dyn Clock>, settings: Settings) -> Arc<Self> {
        // A restarted process may get its old number back; the start time tells the two apart.
        let now_ms = store.now_ms();
        let salt = u32::from_be_bytes(*now_ms.to_be_bytes().last_chunk().unwrap_or(&[0; 4]));
        let ids = UniqueIds::new(*settings.advertised.ip(), std::process::id(), salt);
        Arc::new(Self {
            store,
            memory: Memory::new(settings.memory_bytes_max),
            clients: Clients::new(settings.memory_bytes_max / HEARTBEATS_SHARE),
            settings,
            resets: Resets::default(),
            holds,
            clock,
            counters: Counters::default(),
            traffic: Traffic::begin(now_ms),
            latencies: Arc::default(),
            closed_to_producers: AtomicBool::new(false),
            ids,
            warnings: Warnings::default(),
            creating: tokio::sync::Mutex::new(()),
        })
    }

    /// A topic's settings. The topics of replies and of message traces exist without being stored, since clients ask for
    /// their routes before they send the first; so does the default topic while topics are created by sends.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<TopicConfig>> {
        let found = self.store.topic(name);
        let replies = || name.strip_suffix(names::REPLY_SUFFIX) == Some(&self.settings.cluster_name);
        if found.is_none() && (name == names::TRACE_TOPIC || replies()) {
            return Some(Arc::new(TopicConfig::new(name, 1)));
        }
        if found.is_none() && name == names::DEFAULT_TOPIC && self.settings.auto_create_topics {
            return Some(Arc::new(default_topic(self.settings.default_queues)));
        }
        found
    }

    /// Gives a topic that exists, creating it as `config` where it does not.
    ///
    /// # Errors
    ///
    /// The refusal to send where there are too many, or the store cannot create it.
    pub(crate) async fn ensure_topic(
        &self,
        config: TopicConfig,
        by: Maker,
    ) -> Result<Arc<TopicConfig>, Response> {
        let _one_at_a_time = self.creating.lock().await;
        if let Some(found) = self.store.topic(&config.name) {
            return Ok(found);
        }
        self.check_topics(&config.name, by)?;
        if let Some(unsaid) = self.warnings.creating.pass() {
            tracing::info!(topic = config.name, queues = config.write_queues, unsaid, "creating a topic");
        }
        let config = Arc::new(config);
        let (store, new) = (self.store.clone(), Arc::clone(&config));
        blocking(move || store.put_topic(&new)).await?;
        Ok(config)
    }

    /// Changes the attributes of a topic, which is `new` where it does not exist; one such change at a time. Nothing is
    /// stored where `change` leaves them as they are.
    ///
    /// # Errors
    ///
    /// The refusal of `change`, or the one to send where the store cannot keep them.
    pub async fn change_attributes(
        &self,
        new: TopicConfig,
        change: impl FnOnce(&mut Attributes) -> Result<(), Response>,
    ) -> Result<(), Response> {
        let _one_at_a_time = self.creating.lock().await;
        let mut config = self.store.topic(&new.name).map_or(new, |found| TopicConfig::clone(&found));
        let before = config.attributes.clone();
        change(&mut config.attributes)?;
        if config.attributes == before {
            return Ok(());
        }
        let store = self.store.clone();
        blocking(move || store.put_topic(&config)).await
    }

    /// Gives a group that exists, creating it with RocketMQ's defaults where it does not.
    ///
    /// # Errors
    ///
    /// The refusal to send where there are too many, or the store cannot create it.
    pub(crate) async fn ensure_group(&self, group: &str, by: Maker) -> Result<Arc<GroupConfig>, Response> {
        if let Some(found) = self.store.group(group) {
            return Ok(found);
        }
        let _one_at_a_time = self.creating.lock().await;
        if let Some(found) = self.store.group(group) {
            return Ok(found);
        }
        self.check_groups(group, by)?;
        let config = GroupConfig { attempts_max: self.settings.attempts_max, ..GroupConfig::new(group) };
        let config = Arc::new(config);
        let (store, new) = (self.store.clone(), Arc::clone(&config));
        blocking(move || store.put_group(&new)).await?;
        Ok(config)
    }

    /// Whether one more topic may be made; each is kept for ever, and so are the queues' ends of a deleted one.
    ///
    /// # Errors
    ///
    /// The refusal to send: 17.
    pub(crate) fn check_topics(&self, name: &str, by: Maker) -> Result<(), Response> {
        let (known, max) = (self.store.topics_known(), self.names_max(by));
        if known < max || self.store.topic(name).is_some() {
            return Ok(());
        }
        let text = format!(
            "the topic {} does not exist and is not made: the broker knows {known} topics, deleted ones \
             included, and {} make {max} at most{}",
            names::shown(name),
            by.plural(),
            by.advice("topic")
        );
        Err(Response::refuse(response::TOPIC_NOT_EXIST, text))
    }

    /// Whether one more group may be made.
    ///
    /// # Errors
    ///
    /// The refusal to send: 26.
    pub(crate) fn check_groups(&self, name: &str, by: Maker) -> Result<(), Response> {
        let (known, max) = (self.store.groups_known(), self.names_max(by));
        if known < max || self.store.group(name).is_some() {
            return Ok(());
        }
        let text = format!(
            "the consumer group {} does not exist and is not made: there are {known} groups, and {} make {max} \
             at most; delete groups that nobody uses{}",
            names::shown(name),
            by.plural(),
            by.advice("group")
        );
        Err(Response::refuse(response::SUBSCRIPTION_GROUP_NOT_EXIST, text))
    }

    fn names_max(&self, by: Maker) -> usize {
        match by {
            Maker::Client => self.settings.names_max,
            Maker::Administrator => self.settings.names_max.saturating_mul(ADMINISTRATORS_SHARE),
        }
    }
}

/// Runs a call that waits for the store outside of the runtime's own threads.
///
/// # Errors
///
/// The refusal to send where the call fails or panics.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> mainspring::Result<T> + Send + 'static,
) -> Result<T, Response> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result.map_err(Response::from),
        Err(_) => Err(Response::refuse(response::SYSTEM_ERROR, "the call to the store did not end")),
    }
}

/// Look-ups that run at a time, all clients together. They take no more threads than that from calls that others wait for,
/// such as the one that makes a topic; more of them would not end sooner.
const LOOK_UPS_MAX: usize = 32;
static LOOK_UPS: Semaphore = Semaphore::const_new(LOOK_UPS_MAX);

/// Runs a call that may read much of the store outside of the runtime's own threads, once it is its turn.
///
/// # Errors
///
/// As [`blocking`].
pub(crate) async fn look_up<T: Send + 'static>(
    call: impl FnOnce() -> mainspring::Result<T> + Send + 'static,
) -> Result<T, Response> {
    let _its_turn = LOOK_UPS.acquire().await;
    blocking(call).await
}

/// Answers with what an append comes to: at once where that is known already.
pub(crate) fn when_decided<T: Unpin + Send + 'static>(
    pending: Pending<T>,
    answer: impl FnOnce(mainspring::Result<T>) -> Response + Send + 'static,
) -> Reply {
    match pending.try_take() {
        Ok(result) => Reply::Now(answer(result)),
        Err(pending) => Reply::later(async move { answer(pending.await) }),
    }
}

/// Answers with what is known of an append already, once it is as safe as was asked for.
pub(crate) fn when_safe<T: Unpin + Send + 'static>(
    pending: Pending<T>,
    answer: impl FnOnce(mainspring::Result<T>) -> Response + Send + 'static,
) -> Reply {
    match pending.try_take() {
        Ok(result) => Reply::Now(answer(result)),
        Err(pending) => match pending.split() {
            Ok((safe, value)) => Reply::Standing(safe, answer(Ok(value))),
            Err(pending) => Reply::later(async move { answer(pending.await) }),
        },
    }
}

/// Permission bit: topics made after this one inherit its settings.
pub(crate) const PERM_INHERIT: u8 = 1;

/// The topic that stands for topics that do not exist yet.
#[must_use]
fn default_topic(queues: u32) -> TopicConfig {
    let perm = PERM_READ | PERM_WRITE | PERM_INHERIT;
    TopicConfig { perm, ..TopicConfig::new(names::DEFAULT_TOPIC, queues) }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::{runtime::Builder, time::timeout};

    use super::*;

    #[test]
    fn look_ups_leave_threads_to_others() {
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(LOOK_UPS_MAX + 1).build();
        runtime.unwrap().block_on(async {
            let (end, ended) = mpsc::channel::<()>();
            let ended = Arc::new(parking_lot::Mutex::new(ended));
            let long = || {
                let ended = Arc::clone(&ended);
                tokio::spawn(look_up(move || Ok(ended.lock().recv().is_err())))
            };
            let all: Vec<_> = (0..2 * LOOK_UPS_MAX).map(|_| long()).collect();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let other = timeout(Duration::from_secs(20), blocking(|| Ok(7))).await;
            drop(end);
            for one in all {
                assert!(matches!(one.await.unwrap(), Ok(true)));
            }
            assert!(matches!(other, Ok(Ok(7))), "no thread was left for a call that is no look-up");
        });
    }
}
