//! `mainspring tail`.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Value, json};

use mainspring::record::{
    Record,
    layout::COMPRESSED,
    properties::{KEYS, TAGS, UNIQ_KEY},
};

use super::{
    print::{Failure, Output, json as print_json, line, plain},
    target::{Running, no_topic},
    when::{moment, now_ms, utc},
};
use crate::{
    client::{Dialed, PullRequest, Pulled},
    names::TOOLS_GROUP,
};

/// How long the broker may hold a pull, milliseconds.
const HOLD_MS: u64 = 10_000;
/// How often a consumer says that it is there, milliseconds.
const HEARTBEAT_MS: i64 = 20_000;
/// Messages of each queue that are shown first where nothing else is asked for.
const LAST: u64 = 10;

/// Shows messages as they come.
///
/// With a group it is a consumer of it: it goes on where the group is, and what was printed counts as consumed. It reads
/// all queues, so it should be the group's only consumer. Without one it only looks: the last ten messages of each
/// queue, then what comes.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    running: Running,
    /// Topic to read
    topic: String,
    /// Consumer group to read for
    #[arg(short, long, value_name = "NAME")]
    group: Option<String>,
    /// Where to begin: start, end, an offset (`@17`), or a time (`-10m`, `2026-11-22T12:00:00Z`)
    #[arg(long, value_name = "PLACE", value_parser = place, allow_hyphen_values = true)]
    from: Option<Place>,
    /// Only messages with this tag, or one of several: `a || b`
    #[arg(long, default_value = "*", value_name = "TAGS", hide_default_value = true)]
    tags: String,
    /// End after so many messages
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// End once everything that is there now was shown
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    output: Output,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    End,
    Offset(u64),
    Time(i64),
}

fn place(text: &str) -> Result<Place, String> {
    match text {
        "start" => Ok(Place::Start),
        "end" => Ok(Place::End),
        _ => match text.strip_prefix('@') {
            Some(offset) => {
                offset.parse().map(Place::Offset).map_err(|_| format!("{text:?} is no offset such as @17"))
            }
            None => moment(text).map(Place::Time).map_err(|e| format!("{e}; or start, end, @OFFSET")),
        },
    }
}

/// How far one queue is read.
struct Reading {
    queue: u32,
    next: u64,
    /// Nothing from here on is wanted, if that is so.
    until: Option<u64>,
}

impl Reading {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }
}

impl Tail {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut dialed = self.running.dial()?;
        let Some(config) = dialed.topic(&self.topic)? else {
            return Err(no_topic(&self.topic, &dialed.topics()?));
        };
        let queues = u32::try_from(config["readQueueNums"].as_u64().unwrap_or(0)).unwrap_or(0);
        self.heartbeat(&mut dialed)?;
        let mut readings = Vec::new();
        for (queue, (min, end)) in (0..).zip(dialed.ranges(&self.topic, queues)?) {
            let next = self.begin(&mut dialed, queue, (min, end))?;
            readings.push(Reading { queue, next, until: self.no_follow.then_some(end) });
        }
        self.follow(&mut dialed, readings)
    }

    /// A consumer of a group says that it is there.
    fn heartbeat(&self, dialed: &mut Dialed) -> Result<(), Failure> {
        let Some(group) = &self.group else { return Ok(()) };
        let client = format!("mainspring-tail@{}", std::process::id());
        Ok(dialed.heartbeat(&client, group, &self.topic, now_ms())?)
    }

    fn begin(&self, dialed: &mut Dialed, queue: u32, range: (u64, u64)) -> Result<u64, Failure> {
        let (min, end) = range;
        let wanted = match (self.from, &self.group) {
            (Some(Place::Start), _) => min,
            (Some(Place::End), _) => end,
            (Some(Place::Offset(offset)), _) => offset.clamp(min, end),
            (Some(Place::Time(ms)), _) => dialed.offset_by_time(&self.topic, queue, ms)?,
            (None, Some(group)) => dialed.progress(group, &self.topic, queue)?.unwrap_or(end),
            (None, None) => end.saturating_sub(LAST).max(min),
        };
        Ok(wanted)
    }

    /// Reads all queues by pulls under way at the same time, in whatever order they are answered.
    fn follow(&self, dialed: &mut Dialed, mut readings: Vec<Reading>) -> Result<(), Failure> {
        let mut pulls = BTreeMap::new();
        for i in (0..readings.len()).filter(|i| !readings[*i].is_done()) {
            pulls.insert(self.pull(dialed, &readings[i]), i);
        }
        dialed.broker.flush()?;
        let (mut left, mut told_ms) = (self.count.unwrap_or(u64::MAX), now_ms());
        while !pulls.is_empty() && left > 0 {
            let patience = Duration::from_millis(HOLD_MS) + crate::client::ANSWER_PATIENCE;
            let Some((number, answer)) = dialed.broker.receive(patience)? else {
                return Err(Failure::Failed("the broker does not answer any more; see its log".into()));
            };
            let Some(i) = pulls.remove(&number) else { continue };
            let pulled = answer.pulled()?;
            let reading = &mut readings[i];
            let shown = self.show(reading, &pulled, &mut left)?;
            if shown && let Some(group) = &self.group {
                dialed.commit(group, &self.topic, reading.queue, reading.next)?;
            }
            if now_ms().abs_diff(told_ms) > HEARTBEAT_MS.unsigned_abs() {
                told_ms = now_ms();
                self.heartbeat(dialed)?;
            }
            if !reading.is_done() && left > 0 {
                pulls.insert(self.pull(dialed, reading), i);
                dialed.broker.flush()?;
            }
        }
        Ok(())
    }

    fn pull(&self, dialed: &mut Dialed, reading: &Reading) -> i32 {
        dialed.broker.queue_pull(&PullRequest {
            group: self.group.as_deref().unwrap_or(TOOLS_GROUP),
            topic: &self.topic,
            queue: reading.queue,
            from: reading.next,
            most: 32,
            hold_ms: if self.no_follow { 0 } else { HOLD_MS },
            tags: &self.tags,
        })
    }

    /// Prints what a pull gave, as far as it is wanted. Whether that moved the queue on.
    fn show(&self, reading: &mut Reading, pulled: &Pulled, left: &mut u64) -> Result<bool, Failure> {
        let before = reading.next;
        let mut rest = &pulled.records[..];
        while !rest.is_empty() {
            let damaged = |e| Failure::Failed(format!("a message cannot be read: {e}"));
            let (record, behind) = Record::split_first(rest).map_err(damaged)?;
            rest = behind;
            if *left == 0 || reading.is_done() {
                return Ok(reading.next != before);
            }
            self.print(&record)?;
            reading.next = record.queue_offset() + 1;
            *left -= 1;
        }
        reading.next = reading.next.max(pulled.next);
        Ok(reading.next != before)
    }

    fn print(&self, record: &Record<'_>) -> Result<(), Failure> {
        if self.output.is_json() {
            return print_json(&record_json(record));
        }
        let mut words =
            vec![utc(record.store_ms()), format!("q{}@{}", record.queue(), record.queue_offset())];
        words.extend(record.property(TAGS).map(|tags| format!("[{}]", plain(tags))));
        words.extend(record.property(KEYS).map(|keys| format!("({})", plain(keys))));
        words.push(body_text(record));
        line(words.join(" "))
    }
}

/// A body for people.
pub(crate) fn body_text(record: &Record<'_>) -> String {
    let body = record.body();
    match std::str::from_utf8(body) {
        _ if record.sys_flag() & COMPRESSED != 0 => {
            format!("<{} bytes, compressed by the producer>", body.len())
        }
        Ok(text) => plain(text),
        Err(_) => format!("<{} bytes that are no text>", body.len()),
    }
}

/// A message for scripts.
pub(crate) fn record_json(record: &Record<'_>) -> Value {
    let properties: serde_json::Map<String, Value> =
        record.properties().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut told = json!({
        "topic": record.topic(),
        "queue": record.queue(),
        "offset": record.queue_offset(),
        "stored_ms": record.store_ms(),
        "born_ms": record.born_ms(),
        "attempts": record.reconsume_times(),
        "keys": record.keys().collect::<Vec<_>>(),
        "tags": record.property(TAGS),
        "unique_key": record.property(UNIQ_KEY),
        "properties": properties,
    });
    let compressed = record.sys_flag() & COMPRESSED != 0;
    match std::str::from_utf8(record.body()) {
        Ok(text) if !compressed => told["body"] = text.into(),
        _ => told["body_base64"] = STANDARD.encode(record.body()).into(),
    }
    if compressed {
        told["compressed"] = true.into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        assert_eq!(place("start"), Ok(Place::Start));
        assert_eq!(place("end"), Ok(Place::End));
        assert_eq!(place("@17"), Ok(Place::Offset(17)));
        assert_eq!(place("1795348800000"), Ok(Place::Time(1_795_348_800_000)));
        assert!(matches!(place("-10m"), Ok(Place::Time(_))));
        for bad in ["@x", "begin", "@-1"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
