//! Groups: each reads every queue by long polls, commits its progress, and the last one fails now and then.

use std::io;

use mainspring_broker::remoting::codes::{request as codes, response};

use crate::{
    Soak,
    chance::Chance,
    clock::{elapsed_ms, now_ms, pause},
    produce::{LEVELS_MS, parse},
    wire::{Client, Record, wrong},
};

/// Groups, each of which gets every message.
pub(crate) const GROUPS: [&str; 3] = ["soak-fast", "soak-slow", "soak-failing"];
/// The group whose messages fail now and then.
const FAILING: usize = 2;
/// One of so many of its messages fails.
const FAILS_ONE_IN: u64 = 100;
/// Level of a first failure: what the broker chooses.
const FIRST_LEVEL: usize = 3;
/// Progress is committed this often, milliseconds.
const COMMIT_EVERY_MS: u64 = 1_000;
/// The slow group lets so much time go by between two pulls, milliseconds.
const SLOW_MS: u64 = 50;
/// How long a pull waits for a message, milliseconds.
const HOLD_MS: &str = "2000";

/// One group's reader of one queue.
pub(crate) struct Reader<'a> {
    pub(crate) soak: &'a Soak,
    pub(crate) group: usize,
    pub(crate) topic: String,
    pub(crate) queue: u32,
}

/// The retry topic of the failing group.
pub(crate) fn retry_topic() -> String {
    format!("%RETRY%{}", GROUPS[FAILING])
}

impl Reader<'_> {
    /// Reads until everything has come.
    pub(crate) fn run(self) -> io::Result<()> {
        let mut client = Client::connect(self.soak.broker)?;
        let mut chance = Chance::new(self.soak.seed, 1_000 + u64::from(self.queue));
        let (mut next, mut committed, mut commit_ms) = (0, 0, elapsed_ms());
        let retries = self.topic.starts_with("%RETRY%");
        heartbeat(&mut client, GROUPS[self.group], &self.topic)?;
        let mut beat_ms = elapsed_ms();
        while !self.soak.is_done() {
            let records = self.pull(&mut client, &mut next)?;
            for record in &records {
                let (id, due_ms) = parse(&record.body).ok_or_else(|| wrong("a body is none of ours"))?;
                if retries {
                    self.soak.ledger.came_again(id, now_ms());
                    continue;
                }
                self.soak.ledger.came(self.group, id, due_ms, now_ms());
                if self.group == FAILING && chance.one_in(FAILS_ONE_IN) && self.soak.goes_on() {
                    self.fail(&mut client, record, id)?;
                }
            }
            if next > committed && elapsed_ms() - commit_ms > COMMIT_EVERY_MS {
                (committed, commit_ms) = (next, elapsed_ms());
                self.commit(&mut client, committed)?;
            }
            if elapsed_ms() - beat_ms > 30_000 {
                beat_ms = elapsed_ms();
                heartbeat(&mut client, GROUPS[self.group], &self.topic)?;
            }
            if self.group == 1 {
                pause(SLOW_MS);
            }
        }
        Ok(())
    }

    fn pull(&self, client: &mut Client, next: &mut u64) -> io::Result<Vec<Record>> {
        let (queue, offset) = (self.queue.to_string(), next.to_string());
        let fields = [
            ("consumerGroup", GROUPS[self.group]),
            ("topic", &self.topic),
            ("queueId", &queue),
            ("queueOffset", &offset),
            ("maxMsgNums", "64"),
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", HOLD_MS),
            ("subscription", "*"),
            ("expressionType", "TAG"),
            ("subVersion", "0"),
        ];
        let answer = client.ask(codes::PULL_MESSAGE, &fields, b"")?;
        match answer.code {
            response::SUCCESS => {}
            response::PULL_NOT_FOUND => return Ok(Vec::new()),
            response::PULL_RETRY_IMMEDIATELY => {
                *next = answer.number("nextBeginOffset")?;
                return Ok(Vec::new());
            }
            response::TOPIC_NOT_EXIST => {
                pause(200);
                return Ok(Vec::new());
            }
            code => {
                let text = format!("pull of {} at {next}: {code} {}", self.topic, answer.remark);
                return Err(wrong(text));
            }
        }
        let (mut rest, mut records) = (answer.body.clone(), Vec::new());
        while !rest.is_empty() {
            let record = Record::take(&mut rest)?;
            if record.queue_offset < *next {
                self.soak.ledger.find(format!("{} gave offset {} again", self.topic, record.queue_offset));
            }
            *next = record.queue_offset + 1;
            records.push(record);
        }
        *next = (*next).max(answer.number("nextBeginOffset")?);
        Ok(records)
    }

    fn fail(&self, client: &mut Client, record: &Record, id: (u32, u64)) -> io::Result<()> {
        let (position, key) = (record.position.to_string(), record.property("UNIQ_KEY").unwrap_or_default());
        let fields = [
            ("group", GROUPS[self.group]),
            ("offset", &position),
            ("delayLevel", "0"),
            ("originMsgId", key),
            ("originTopic", &self.topic),
            ("maxReconsumeTimes", "16"),
        ];
        self.soak.ledger.failed(id, now_ms() + LEVELS_MS[FIRST_LEVEL - 1]);
        let answer = client.ask(codes::CONSUMER_SEND_MSG_BACK, &fields, b"")?;
        if answer.code != 0 {
            let text = format!("a failure was refused: {} {}", answer.code, answer.remark);
            self.soak.ledger.find(text);
        }
        Ok(())
    }

    fn commit(&self, client: &mut Client, offset: u64) -> io::Result<()> {
        let (queue, text) = (self.queue.to_string(), offset.to_string());
        let name = [("consumerGroup", GROUPS[self.group]), ("topic", &*self.topic), ("queueId", &*queue)];
        let update = [name[0], name[1], name[2], ("commitOffset", &*text)];
        client.ask(codes::UPDATE_CONSUMER_OFFSET, &update, b"")?;
        let asked = client.ask(codes::QUERY_CONSUMER_OFFSET, &name, b"")?;
        if asked.code != 0 || asked.number("offset")? > offset {
            self.soak.ledger.find(format!("{name:?} committed {text} and was told {asked:?}"));
        }
        Ok(())
    }
}

/// Says hello as a consumer does.
pub(crate) fn heartbeat(client: &mut Client, group: &str, topic: &str) -> io::Result<()> {
    let body = serde_json::json!({"clientID": format!("soak-{group}-{topic}"), "producerDataSet": [],
        "consumerDataSet": [{"groupName": group, "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": false,
        "subscriptionDataSet": [{"topic": topic, "subString": "*", "subVersion": 1}]}]});
    client.ask(codes::HEART_BEAT, &[], body.to_string().as_bytes()).map(drop)
}
