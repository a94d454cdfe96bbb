//! A broker whose time stands still until a test lets it go by.

use std::sync::Arc;
use std::time::Duration;

use backends::Backend;
use mainspring::{CommitRule, ManualClock, Options, Store, record::Record};
use tokio::{task::JoinHandle, time::sleep};

use crate::support::{Answer, Client, Running, any_port, pull_fields, send_fields};

pub(crate) struct Paced {
    pub(crate) running: Running,
    pub(crate) clock: Arc<ManualClock>,
    stepper: JoinHandle<()>,
}

/// Small segments, so that a few messages fill them, and RocketMQ's delay levels.
pub(crate) fn small() -> Options {
    Options {
        commit: CommitRule::Appended,
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        fire_reserve_bytes: 0,
        ..Options::default()
    }
}

impl Paced {
    pub(crate) async fn start(backend: Arc<dyn Backend>, options: Options) -> Self {
        Self::start_later(backend, options, 0).await
    }

    /// The same, so many milliseconds later.
    pub(crate) async fn start_later(backend: Arc<dyn Backend>, options: Options, ms: u64) -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        clock.advance(ms);
        let own = Arc::clone(&clock);
        let open = move |options| Store::open_on(backend, own, options);
        let running = Running::over(options, any_port(), any_port(), open).await;
        let store = running.broker.store.clone();
        let stepper = tokio::spawn(async move {
            loop {
                store.step();
                sleep(Duration::from_millis(1)).await;
            }
        });
        Self { running, clock, stepper }
    }

    /// Lets time go by and everything happen that is due by then.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.advance(ms);
        self.settle();
    }

    pub(crate) fn settle(&self) {
        for _ in 0..20 {
            self.running.broker.store.step();
        }
    }

    pub(crate) async fn client(&self) -> Client {
        self.running.client().await
    }

    /// The process goes away without a word. How many milliseconds went by.
    pub(crate) async fn kill(self) -> u64 {
        let passed = mainspring::Clock::now(&*self.clock).wall_ms - 1_700_000_000_000;
        self.running.broker.store.clone().abandon();
        self.stop().await;
        u64::try_from(passed).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stepper.abort();
        self.running.stop().await;
    }

    /// What stands in a queue from an offset on, as one pull gives it.
    pub(crate) async fn seen(&self, client: &mut Client, topic: &str, from: u64) -> Vec<Seen> {
        self.settle();
        let from = from.to_string();
        seen(&client.ask(11, &pull_fields(topic, &from, "0", "*"), b"").await)
    }
}

/// A record that a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) topic: String,
    pub(crate) queue: u32,
    pub(crate) queue_offset: u64,
    pub(crate) offset: u64,
    pub(crate) failures: i32,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn seen(answer: &Answer) -> Vec<Seen> {
    let mut rest = &answer.body[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (record, behind) = Record::split_first(rest).unwrap();
        record.verify_body().unwrap();
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        found.push(Seen {
            topic: record.topic().to_owned(),
            queue: record.queue(),
            queue_offset: record.queue_offset(),
            offset: record.physical_offset(),
            failures: record.reconsume_times(),
            properties: record.properties().map(own).collect(),
            body: record.body().to_vec(),
        });
        rest = behind;
    }
    found
}

/// Where the record of a send stands in the log.
pub(crate) fn offset_of(sent: &Answer) -> u64 {
    assert_eq!(sent.code, 0, "{:?}", sent.remark);
    u64::from_str_radix(&sent.fields["msgId"][16..], 16).unwrap()
}

/// A failed message, as the consumer of group `G` sends it back.
pub(crate) async fn fail(client: &mut Client, offset: u64, level: &str) -> Answer {
    fail_with(client, offset, &[("group", "G"), ("delayLevel", level)]).await
}

pub(crate) async fn fail_with(client: &mut Client, offset: u64, fields: &[(&str, &str)]) -> Answer {
    let offset = offset.to_string();
    client.ask(36, &[&[("offset", offset.as_str())], fields].concat(), b"").await
}

/// A send to the retry topic of group `G`, after so many failures and with a limit of the client's.
pub(crate) async fn resend(
    client: &mut Client,
    failures: &str,
    limit: Option<&str>,
    properties: &str,
) -> Answer {
    let mut fields = send_fields("%RETRY%G", "0", properties);
    fields.retain(|(name, _)| *name != "j");
    fields.push(("j", failures));
    fields.extend(limit.map(|limit| ("l", limit)));
    client.ask(310, &fields, failures.as_bytes()).await
}
