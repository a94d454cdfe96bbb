//! The broker in this process, on its own runtime, over a store that is thrown away.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mainspring::{CommitRule, GroupConfig, Options, Wait};
use mainspring_broker::broker::{Broker, Settings};
use mainspring_broker::clients::holds::Holds;
use mainspring_broker::clock::RuntimeClock;
use mainspring_broker::net::runtime;
use mainspring_broker::net::server::{self, Listeners};
use tokio::runtime::Runtime;

use crate::Result;
use crate::bed::{Bed, prepared};
use crate::wire::frames::GROUP;

/// A broker; it ends when dropped.
#[derive(Debug)]
pub struct Served {
    /// Where it takes messages.
    pub address: SocketAddr,
    /// What is behind it.
    pub bed: Bed,
    _runtime: Runtime,
}

impl Served {
    /// A broker with the benches' topic and group.
    ///
    /// # Errors
    /// The system's or the store's.
    pub fn start(commit: CommitRule, segment_bytes: u64) -> Result<Self> {
        let runtime = runtime("mainspring-net")?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = runtime.block_on(Listeners::bind(any, any))?;
        let address = listeners.broker_address()?;
        let SocketAddr::V4(advertised) = address else { return Err("not an address of version 4".into()) };
        let holds = Holds::new();
        let bed = Bed::open(Options {
            wait_for_space: false,
            callers_apply: true,
            auto_create_topics: false,
            store_host: advertised,
            observer: Some(holds.clone()),
            ..prepared(commit, segment_bytes)
        })?;
        bed.store.put_group(&GroupConfig::new(GROUP))?;
        let clock = {
            let _within = runtime.enter();
            Arc::new(RuntimeClock::start())
        };
        let acknowledge = match commit {
            CommitRule::Appended => Wait::Appended,
            CommitRule::Flushed => Wait::Committed,
        };
        let settings = Settings { acknowledge, ..Settings::new(advertised) };
        let broker = Broker::new(bed.store.clone(), holds, clock, settings);
        runtime.spawn(server::run(broker, listeners, std::future::pending()));
        Ok(Self { address, bed, _runtime: runtime })
    }
}
