//! Reads everything back by pull, as any consumer does.

use std::io;

use mainspring_broker::remoting::codes::{request as codes, response};

use crate::{
    check::{self, Checker, QueueName},
    clock::now_ms,
    journal::{GROUPS, QUEUES, TOPICS},
    wire::{Client, Record, wrong},
};

/// The group that reads back; it commits nothing.
pub(crate) const READERS: &str = "readers";

/// Reads all queues: from offset 0, or behind what was read before.
///
/// # Errors
///
/// The connection's, or answers that nobody expects.
pub(crate) fn messages(client: &mut Client, checker: &mut Checker, from_zero: bool) -> io::Result<()> {
    let queues = TOPICS.iter().flat_map(|topic| (0..QUEUES).map(|queue| ((*topic).to_owned(), queue)));
    let special = [(check::retry_topic(), 0), (check::dead_topic(), 0)];
    for queue in queues.chain(special) {
        let (had, end) = (checker.count_of(&queue), checker.end_of(&queue));
        let from = if from_zero { 0 } else { end };
        let again = match read(client, checker, &queue, from)? {
            Some(again) => again,
            // It ends before what was read: see what is left.
            None => read(client, checker, &queue, 0)?.unwrap_or(0),
        };
        let expected = if from == 0 { had } else { again };
        if again < expected {
            checker.shrunk(&queue, expected - again);
        }
    }
    Ok(())
}

/// Reads a queue from an offset on and gives how many records were known, those that were trimmed included; nothing
/// where the offset is beyond the end.
fn read(
    client: &mut Client,
    checker: &mut Checker,
    queue: &QueueName,
    from: u64,
) -> io::Result<Option<usize>> {
    let (mut next, mut known) = (from, 0);
    loop {
        let (offset, number) = (next.to_string(), queue.1.to_string());
        let fields = [
            ("consumerGroup", READERS),
            ("topic", &queue.0),
            ("queueId", &number),
            ("queueOffset", &offset),
            ("maxMsgNums", "1024"),
            ("maxMsgBytes", "1000000"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("expressionType", "TAG"),
            ("subVersion", "0"),
        ];
        let answer = client.ask(codes::PULL_MESSAGE, &fields, b"")?;
        match answer.code {
            response::SUCCESS => {}
            response::PULL_RETRY_IMMEDIATELY => {
                next = answer.number("nextBeginOffset")?.max(next + 1);
                continue;
            }
            response::PULL_NOT_FOUND | response::TOPIC_NOT_EXIST => return Ok(Some(known)),
            response::PULL_OFFSET_MOVED if answer.number("nextBeginOffset")? > next => {
                next = answer.number("nextBeginOffset")?;
                known += checker.trimmed(queue, next, now_ms());
                continue;
            }
            response::PULL_OFFSET_MOVED if from > 0 => return Ok(None),
            code => return Err(wrong(format!("pull of {queue:?} at {next}: {code} {}", answer.remark))),
        }
        let (seen_ms, mut rest) = (now_ms(), answer.body.clone());
        while !rest.is_empty() {
            let record = Record::take(&mut rest)?;
            if record.queue_offset < next {
                return Err(wrong(format!("pull of {queue:?} at {next} brought {}", record.queue_offset)));
            }
            next = record.queue_offset + 1;
            known += usize::from(checker.observe(queue, &record, seen_ms));
        }
        next = next.max(answer.number("nextBeginOffset")?);
    }
}

/// Asks how far each group has come.
///
/// # Errors
///
/// The connection's, or answers that nobody expects.
pub(crate) fn progress(client: &mut Client, checker: &mut Checker) -> io::Result<()> {
    let keys: Vec<_> = checker.journal.progress.keys().copied().collect();
    for key in keys {
        let queue = key.2.to_string();
        let fields = [("consumerGroup", GROUPS[key.0]), ("topic", TOPICS[key.1]), ("queueId", &queue)];
        let answer = client.ask(codes::QUERY_CONSUMER_OFFSET, &fields, b"")?;
        let value = match answer.code {
            response::SUCCESS => Some(answer.number("offset")?),
            response::QUERY_NOT_FOUND => None,
            code => return Err(wrong(format!("progress of {key:?}: {code} {}", answer.remark))),
        };
        checker.progress(key, value);
    }
    Ok(())
}
