//! `mainspring inspect`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use mainspring::{
    Offset,
    inspect::{FrameInfo, Image, Summary, summary},
    offset::EPOCH_BYTES,
    record::Record,
};

use super::{
    print::{Failure, Output, Table, json as print_json, line, plain},
    tail::{body_text, record_json},
    target::{at_rest, look},
    timer::{forecast_lines, forecast_of},
    when::{now_ms, utc},
};

/// Shows what is in a store at rest.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Directory of the store; no broker may have it open
    dir: PathBuf,
    /// Show the frames of the log and what they do
    #[arg(long, conflicts_with = "message")]
    frames: bool,
    /// First position of the log to show frames from, as `1:4096`
    #[arg(long, value_name = "OFFSET", value_parser = offset, requires = "frames")]
    from: Option<Offset>,
    /// Frames at most
    #[arg(long, value_name = "N", requires = "frames")]
    limit: Option<u64>,
    /// Show the message whose record stands at this position of the log
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    message: Option<Offset>,
    #[command(flatten)]
    output: Output,
}

/// A position of the log: `EPOCH:BYTE`, as everything here prints it, or one number.
fn offset(text: &str) -> Result<Offset, String> {
    let wrong = || format!("{text:?} is no position of the log such as 1:4096");
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let Some((epoch, byte)) = text.split_once(':') else { return Ok(Offset(number(text)?)) };
    let first = number(epoch)?.checked_mul(EPOCH_BYTES).ok_or_else(wrong)?;
    let byte = Some(number(byte)?).filter(|byte| *byte < EPOCH_BYTES).ok_or_else(wrong)?;
    first.checked_add(byte).map(Offset).ok_or_else(wrong)
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let image = look(&self.dir)?;
        if let Some(at) = self.message {
            return self.message(&image, at);
        }
        if self.frames {
            return self.frames(&image);
        }
        let found = summary(&image).map_err(|error| at_rest(&self.dir, &error))?;
        if self.output.is_json() {
            return print_json(&summary_json(&image, &found));
        }
        store_lines(&found).into_iter().try_for_each(line)?;
        files(&found)?;
        contents(&found)?;
        line(format!("\ntimers: {} pending", found.timers))?;
        forecast_lines(&forecast_of(&image, now_ms()))
            .into_iter()
            .try_for_each(|text| line(format!("  {text}")))
    }

    fn frames(&self, image: &Image) -> Result<(), Failure> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut told = Ok(());
        let walked = image.frames(self.from.unwrap_or_default(), |frame| {
            if left == 0 {
                return false;
            }
            left -= 1;
            told = if self.output.is_json() { print_json(&frame_json(&frame)) } else { frame_lines(&frame) };
            told.is_ok()
        });
        told?;
        walked.map_err(|error| {
            Failure::Failed(format!("{error}; `mainspring verify` names every damaged file"))
        })
    }

    fn message(&self, image: &Image, at: Offset) -> Result<(), Failure> {
        let advice = "`mainspring inspect DIR --frames` shows the position of every record";
        let bytes = image.record(at).map_err(|error| Failure::Failed(format!("{error}; {advice}")))?;
        let record = Record::parse(&bytes)
            .map_err(|error| Failure::Failed(format!("the record at {at} cannot be read: {error}")))?;
        if self.output.is_json() {
            return print_json(&record_json(&record));
        }
        line(format!(
            "topic     {}, queue {}, offset {}",
            record.topic(),
            record.queue(),
            record.queue_offset()
        ))?;
        line(format!("stored    {}", utc(record.store_ms())))?;
        line(format!("born      {}", utc(record.born_ms())))?;
        line(format!("attempts  {}", record.reconsume_times()))?;
        for (name, value) in record.properties() {
            line(format!("property  {}={}", plain(name), plain(value)))?;
        }
        line(format!("body      {}", body_text(&record)))
    }
}

fn frame_json(frame: &FrameInfo) -> Value {
    let ops: Vec<Value> = frame
        .ops
        .iter()
        .map(|op| {
            let mut json = json!({ "kind": op.kind });
            for (name, value) in &op.fields {
                json[*name] = value.as_str().into();
            }
            json
        })
        .collect();
    json!({
        "at": frame.at.to_string(),
        "bytes": frame.bytes,
        "owner_ms": frame.owner_ms,
        "flushed": frame.flushed.to_string(),
        "committed": frame.committed.to_string(),
        "operations": ops,
    })
}

fn frame_lines(frame: &FrameInfo) -> Result<(), Failure> {
    line(format!("{}  {} bytes  {}", frame.at, frame.bytes, utc(frame.owner_ms)))?;
    for op in &frame.ops {
        let fields: Vec<String> =
            op.fields.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        line(format!("  {:<9} {}", op.kind, fields.join(" ")).trim_end())?;
    }
    Ok(())
}

fn store_lines(found: &Summary) -> Vec<String> {
    let mut lines = vec![format!("created   {}", utc(found.created_ms))];
    lines.push(match found.epoch {
        Some(epoch) => format!(
            "epoch     {}, commit rule {}, {}",
            epoch.epoch.0,
            epoch.commit_rule,
            if epoch.clean { "closed in order" } else { "not closed in order" }
        ),
        None => String::from("epoch     none yet: nothing was ever appended"),
    });
    let last = found.owner_ms.map_or_else(|| "-".to_owned(), utc);
    lines.push(format!(
        "log       {} to {}, durable to {}, last frame {last}",
        found.start, found.end, found.mark
    ));
    lines.extend(found.damage.iter().map(|damage| format!("DAMAGED   {damage}")));
    lines
}

fn files(found: &Summary) -> Result<(), Failure> {
    let mut table = Table::new(&["FILE", ">BYTES", "WHAT"]);
    let mut row = |name: String, size: u64, what: String| table.row([name, size.to_string(), what]);
    for segment in &found.segments {
        let what = match segment.end {
            Some(end) => format!("segment to {end}{}", if segment.sealed { "" } else { ", written last" }),
            None => String::from("segment, no part of the log any more"),
        };
        row(format!("log-{:020}", segment.start.0), segment.bytes, what);
    }
    for index in &found.indexes {
        let what = match &index.counts {
            Ok((queues, units, keys)) => format!("index: {queues} queues, {units} messages, {keys} keys"),
            Err(why) => why.clone(),
        };
        row(format!("idx-{:020}", index.segment.0), index.bytes, what);
    }
    for bucket in &found.buckets {
        let what =
            bucket.timers.map_or_else(|| "unreadable".to_owned(), |n| format!("due bucket: {n} timers"));
        row(format!("due-{:020}", bucket.segment.0), bucket.bytes, what);
    }
    for base in &found.bases {
        let what = match &base.at {
            Ok((at, start)) => format!("base: state before {at}, log from {start}"),
            Err(why) => why.clone(),
        };
        row(format!("base-{:020}", base.number), base.bytes, what);
    }
    line("")?;
    table.print()
}

fn contents(found: &Summary) -> Result<(), Failure> {
    let mut topics = Table::new(&["TOPIC", ">QUEUES", ">MESSAGES"]);
    for topic in &found.topics {
        let messages: u64 = topic.queues.iter().map(|range| range.end - range.start).sum();
        topics.row([topic.config.name.clone(), topic.config.write_queues.to_string(), messages.to_string()]);
    }
    let mut groups = Table::new(&["GROUP", "TOPIC", ">QUEUE", ">OFFSET", ">END"]);
    for group in &found.groups {
        let mut progress = found.progress.iter().filter(|at| at.group == group.name).peekable();
        if progress.peek().is_none() {
            groups.row([group.name.clone(), "-".into(), "-".into(), "-".into(), "-".into()]);
        }
        for at in progress {
            let numbers = [at.queue.to_string(), at.offset.to_string(), at.end.to_string()];
            groups.row([group.name.clone(), at.topic.clone()].into_iter().chain(numbers));
        }
    }
    for table in [topics, groups].iter().filter(|table| !table.is_empty()) {
        line("")?;
        table.print()?;
    }
    Ok(())
}

fn summary_json(image: &Image, found: &Summary) -> Value {
    let now_ms = now_ms();
    let position = |at: Offset| at.to_string();
    json!({
        "created_ms": found.created_ms,
        "epoch": found.epoch.map(|epoch| json!({
            "epoch": epoch.epoch.0, "commit_rule": epoch.commit_rule, "clean": epoch.clean,
            "queue_skips": epoch.queue_skips,
        })),
        "start": position(found.start),
        "end": position(found.end),
        "durable": position(found.mark),
        "last_ms": found.owner_ms,
        "damage": found.damage,
        "segments": found.segments.iter().map(|segment| json!({
            "start": position(segment.start), "end": segment.end.map(position), "bytes": segment.bytes,
            "sealed": segment.sealed,
        })).collect::<Vec<_>>(),
        "indexes": found.indexes.iter().map(|index| {
            let counts = index.counts.as_ref().ok();
            json!({
                "segment": position(index.segment), "bytes": index.bytes,
                "queues": counts.map(|c| c.0), "messages": counts.map(|c| c.1), "keys": counts.map(|c| c.2),
                "first_ms": index.store_ms.map(|ms| ms.0), "last_ms": index.store_ms.map(|ms| ms.1),
                "error": index.counts.as_ref().err(),
            })
        }).collect::<Vec<_>>(),
        "buckets": found.buckets.iter().map(|bucket| json!({
            "segment": position(bucket.segment), "bytes": bucket.bytes, "timers": bucket.timers,
        })).collect::<Vec<_>>(),
        "bases": found.bases.iter().map(|base| json!({
            "number": base.number, "bytes": base.bytes, "at": base.at.as_ref().ok().map(|at| position(at.0)),
            "start": base.at.as_ref().ok().map(|at| position(at.1)), "error": base.at.as_ref().err(),
        })).collect::<Vec<_>>(),
        "topics": found.topics.iter().map(|topic| json!({
            "topic": topic.config.name, "read_queues": topic.config.read_queues,
            "write_queues": topic.config.write_queues,
            "queues": topic.queues.iter().map(|q| json!({ "min": q.start, "end": q.end })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "groups": found.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(),
        "progress": found.progress.iter().map(|at| json!({
            "group": at.group, "topic": at.topic, "queue": at.queue, "offset": at.offset, "end": at.end,
        })).collect::<Vec<_>>(),
        "timers_pending": found.timers,
        "timers_ahead": forecast_of(image, now_ms),
        "now_ms": now_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_shown() {
        for at in [Offset(0), Offset(EPOCH_BYTES), Offset(3 * EPOCH_BYTES + 4096)] {
            assert_eq!(offset(&at.to_string()), Ok(at));
            assert_eq!(offset(&at.0.to_string()), Ok(at));
        }
        for bad in ["", ":", "1:", "x", "1:2:3", "1:1099511627776", "99999999999:0", "-1"] {
            assert!(offset(bad).is_err(), "{bad}");
        }
    }
}
