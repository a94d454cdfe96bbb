//! A broker on ports of its own over the in-memory engine, and a client of raw frames.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use backends::MemoryBackend;
use bytes::{Bytes, BytesMut};
use mainspring::{CommitRule, Options, Store, SystemClock};
use mainspring_broker::{
    broker::{Broker, Settings},
    clients::holds::Holds,
    clock::RuntimeClock,
    net::server::{self, Listeners},
    remoting::{Header, frame},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Any free port.
pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// What connections may do to a broker.
#[derive(Debug, Clone, Copy)]
struct Limits {
    connections_max: u32,
    memory_bytes_max: usize,
    names_max: usize,
}

const LIMITS: Limits = Limits { connections_max: 1_000, memory_bytes_max: 64 << 20, names_max: 1_000 };

fn options(slow: bool, levels_ms: Option<Vec<u64>>) -> Options {
    Options {
        // Committed when appended, answers come at once; when flushed, later.
        commit: if slow { CommitRule::Flushed } else { CommitRule::Appended },
        segment_bytes: 64 << 20,
        reserve_bytes: 16 << 20,
        fire_reserve_bytes: 0,
        level_delays_ms: levels_ms.unwrap_or(vec![100, 200, 300, 400, 500]),
        ..Options::default()
    }
}

fn in_memory(options: Options) -> mainspring::Result<Store> {
    Store::open_on(Arc::new(MemoryBackend::new()), Arc::new(SystemClock), options)
}

pub(crate) struct Running {
    pub(crate) broker: Arc<Broker>,
    pub(crate) broker_at: SocketAddr,
    pub(crate) names_at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    pub(crate) async fn start_with(slow: bool) -> Self {
        Self::start_at(slow, None, any_port(), any_port()).await
    }

    pub(crate) async fn start_at(
        slow: bool,
        levels_ms: Option<Vec<u64>>,
        broker: SocketAddr,
        names: SocketAddr,
    ) -> Self {
        Self::over(options(slow, levels_ms), broker, names, in_memory).await
    }

    /// A broker whose connections may hold so many bytes together.
    pub(crate) async fn tight(memory_bytes_max: usize) -> Self {
        let limits = Limits { memory_bytes_max, ..LIMITS };
        Self::within(limits, options(false, None), [any_port(), any_port()], in_memory).await
    }

    /// A broker whose clients make so many topics and groups.
    pub(crate) async fn with_names(names_max: usize) -> Self {
        let limits = Limits { names_max, ..LIMITS };
        Self::within(limits, options(false, None), [any_port(), any_port()], in_memory).await
    }

    /// A broker over the store that `open` gives.
    pub(crate) async fn over(
        options: Options,
        broker: SocketAddr,
        names: SocketAddr,
        open: impl FnOnce(Options) -> mainspring::Result<Store>,
    ) -> Self {
        Self::within(LIMITS, options, [broker, names], open).await
    }

    async fn within(
        limits: Limits,
        options: Options,
        [broker, names]: [SocketAddr; 2],
        open: impl FnOnce(Options) -> mainspring::Result<Store>,
    ) -> Self {
        let listeners = Listeners::bind(broker, names).await.unwrap();
        let broker_at = listeners.broker_address().unwrap();
        let names_at = listeners.name_service_address().unwrap();
        let SocketAddr::V4(advertised) = broker_at else { panic!("bound to IPv6") };
        let holds = Holds::new();
        let store = open(Options {
            callers_apply: true,
            auto_create_topics: false,
            store_host: advertised,
            observer: Some(holds.clone()),
            ..options
        });
        let store = store.unwrap();
        let settings = Settings {
            connections_max: limits.connections_max,
            memory_bytes_max: limits.memory_bytes_max,
            names_max: limits.names_max,
            ..Settings::new(advertised)
        };
        let broker = Broker::new(store, holds, Arc::new(RuntimeClock::start()), settings);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server::run(Arc::clone(&broker), listeners, async move {
            let _ = stopped.await;
        }));
        Self { broker, broker_at, names_at, stop: Some(stop), served }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.broker_at).await
    }

    pub(crate) async fn names(&self) -> Client {
        Client::connect(self.names_at).await
    }

    pub(crate) fn begin_stop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        timeout(Duration::from_secs(20), self.served).await.unwrap().unwrap();
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<String>,
    pub(crate) fields: HashMap<String, String>,
    pub(crate) body: Bytes,
    pub(crate) raw_header: Bytes,
}

impl Answer {
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.fields[name].parse().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: BytesMut,
    /// The number of the next request.
    pub(crate) next: i32,
    /// Requests of the broker that came while an answer was waited for.
    pub(crate) pushed: Vec<Answer>,
    pub(crate) version: i32,
    pub(crate) language: &'static str,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, input: BytesMut::new(), next: 1, pushed: Vec::new(), version: 409, language: "JAVA" }
    }

    /// Sends a request and gives its number.
    pub(crate) async fn send(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> i32 {
        let opaque = self.next;
        let bytes = self.encode(code, 0, fields, body);
        self.stream.write_all(&bytes).await.unwrap();
        opaque
    }

    /// A frame as Java writes it.
    pub(crate) fn encode(&mut self, code: i32, flag: i32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let opaque = self.next;
        self.next += 1;
        let fields: HashMap<&str, &str> = fields.iter().copied().collect();
        let header = serde_json::json!({"code": code, "extFields": fields, "flag": flag, "language": self.language,
            "opaque": opaque, "serializeTypeCurrentRPC": "JSON", "version": self.version});
        frame_of(header.to_string().as_bytes(), body)
    }

    pub(crate) async fn receive(&mut self) -> Answer {
        timeout(Duration::from_secs(20), self.receive_or_end()).await.unwrap().expect("the connection ended")
    }

    /// The next frame, or nothing at the end of the connection.
    pub(crate) async fn receive_or_end(&mut self) -> Option<Answer> {
        loop {
            if let Some(found) = frame::decode(&mut self.input).unwrap() {
                let header = Header::parse(&found).unwrap();
                // The test reads strictly what the broker wrote.
                let json: serde_json::Value = match found.encoding {
                    mainspring_broker::remoting::Encoding::Json => {
                        serde_json::from_slice(&found.header).unwrap()
                    }
                    mainspring_broker::remoting::Encoding::Binary => serde_json::json!({"extFields": {}}),
                };
                for (name, value) in json["extFields"].as_object().unwrap() {
                    assert!(value.is_string(), "{name} is no string");
                }
                let fields = ["extFields"].iter().flat_map(|key| json[key].as_object().unwrap());
                let fields = fields.map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
                return Some(Answer {
                    code: header.code,
                    opaque: header.opaque,
                    flag: header.flag,
                    remark: header.remark.as_deref().map(str::to_owned),
                    fields,
                    body: found.body.clone(),
                    raw_header: found.header.clone(),
                });
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let opaque = self.send(code, fields, body).await;
        let answer = loop {
            let next = self.receive().await;
            if next.flag & 1 == 1 {
                break next;
            }
            self.pushed.push(next);
        };
        assert_eq!((answer.opaque, answer.flag), (opaque, 1));
        answer
    }

    /// The next request of the broker with this code; those of other codes are passed over.
    pub(crate) async fn asked(&mut self, code: i32) -> Answer {
        loop {
            let next = if self.pushed.is_empty() { self.receive().await } else { self.pushed.remove(0) };
            assert_eq!(next.flag & 1, 0, "an answer came: {next:?}");
            if next.code == code {
                return next;
            }
        }
    }

    /// Waits for the answer to a request that was sent.
    pub(crate) async fn answer_to(&mut self, opaque: i32) -> Answer {
        loop {
            let next = self.receive().await;
            if next.flag & 1 == 1 {
                assert_eq!(next.opaque, opaque);
                return next;
            }
            self.pushed.push(next);
        }
    }

    /// Answers a request of the broker.
    pub(crate) async fn reply(&mut self, opaque: i32, code: i32, body: &[u8]) {
        let header = serde_json::json!({"code": code, "flag": 1, "language": "JAVA", "opaque": opaque,
            "remark": "as told", "serializeTypeCurrentRPC": "JSON", "version": self.version});
        self.stream.write_all(&frame_of(header.to_string().as_bytes(), body)).await.unwrap();
    }

    /// Asks for a group's progress until it is this.
    pub(crate) async fn until_offset(&mut self, of: &[(&str, &str)], wanted: i64) {
        let asked = async { while self.ask(14, of, b"").await.number("offset") != wanted {} };
        timeout(Duration::from_secs(5), asked).await.unwrap();
    }

    /// A send as Java writes it.
    pub(crate) async fn put(&mut self, topic: &str, queue: &str, properties: &str, body: &[u8]) -> Answer {
        self.ask(310, &send_fields(topic, queue, properties), body).await
    }

    pub(crate) async fn heartbeat(
        &mut self,
        client: &str,
        group: &str,
        topic: &str,
        expression: &str,
    ) -> Answer {
        self.heartbeat_as("CLUSTERING", client, group, (topic, expression)).await
    }

    pub(crate) async fn heartbeat_as(
        &mut self,
        model: &str,
        client: &str,
        group: &str,
        (topic, expression): (&str, &str),
    ) -> Answer {
        let body = serde_json::json!({"clientID": client, "producerDataSet": [{"groupName": "P"}],
            "consumerDataSet": [{"groupName": group, "consumeType": "CONSUME_PASSIVELY",
            "messageModel": model, "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "unitMode": false,
            "subscriptionDataSet": [{"topic": topic, "subString": expression, "subVersion": 5}]}]});
        self.ask(34, &[], body.to_string().as_bytes()).await
    }
}

pub(crate) fn frame_of(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u32::try_from(4 + header.len() + body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(header.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn send_fields<'a>(
    topic: &'a str,
    queue: &'a str,
    properties: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("a", "P"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", queue),
        ("f", "0"),
        ("g", "1795321267159"),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
        ("n", "broker-a"),
    ]
}

/// Fields of a pull that brings its own subscription.
pub(crate) fn pull_fields<'a>(
    topic: &'a str,
    offset: &'a str,
    suspend: &'a str,
    expression: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let flag = if suspend == "0" { "4" } else { "6" };
    vec![
        ("consumerGroup", "G"),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", flag),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", suspend),
        ("subscription", expression),
        ("expressionType", "TAG"),
        ("subVersion", "0"),
    ]
}
