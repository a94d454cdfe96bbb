//! `mainspring topics` and `mainspring groups`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use mainspring::inspect::{Image, Summary, TopicInfo, summary};

use super::{
    print::{Failure, Output, Table, json as print_json, line},
    target::{Target, look},
};
use crate::{handlers::progress::queue_json, names, remoting::codes::request as codes};

/// Lists topics.
#[derive(Debug, Args)]
pub(crate) struct Topics {
    #[command(flatten)]
    target: Target,
    /// Also those that brokers make for themselves: of retries, dead letters and defaults
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

/// One topic.
struct Topic {
    name: String,
    read_queues: u64,
    write_queues: u64,
    perm: u64,
    /// The oldest offset and the end of each queue.
    ranges: Vec<(u64, u64)>,
}

impl Topics {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut topics = match &self.target.dir {
            Some(dir) => at_rest(&look(dir)?)?,
            None => self.running()?,
        };
        topics.retain(|topic| self.all || !is_internal(&topic.name));
        if self.output.is_json() {
            return topics.iter().try_for_each(|topic| print_json(&topic.json()));
        }
        if topics.is_empty() {
            return line("no topics yet; the first message to one makes it: mainspring send -t NAME hello");
        }
        let mut table = Table::new(&["TOPIC", ">READ", ">WRITE", "PERM", ">MESSAGES"]);
        for topic in &topics {
            let messages: u64 = topic.ranges.iter().map(|(min, end)| end - min).sum();
            let numbers = [topic.read_queues.to_string(), topic.write_queues.to_string()];
            table.row(
                [topic.name.clone()]
                    .into_iter()
                    .chain(numbers)
                    .chain([perm(topic.perm), messages.to_string()]),
            );
        }
        table.print()
    }

    fn running(&self) -> Result<Vec<Topic>, Failure> {
        let mut dialed = self.target.running.dial()?;
        let mut topics = Vec::new();
        for name in dialed.topics()? {
            // One that was deleted meanwhile is left out.
            let Some(config) = dialed.topic(&name)? else { continue };
            let number = |key: &str| config[key].as_u64().unwrap_or(0);
            let queues = number("readQueueNums").max(number("writeQueueNums"));
            let ranges = match is_internal(&name) && !self.all {
                true => Vec::new(),
                false => dialed.ranges(&name, u32::try_from(queues).unwrap_or(0))?,
            };
            let (read_queues, write_queues) = (number("readQueueNums"), number("writeQueueNums"));
            topics.push(Topic { name, read_queues, write_queues, perm: number("perm"), ranges });
        }
        Ok(topics)
    }
}

fn at_rest(image: &Image) -> Result<Vec<Topic>, Failure> {
    let summary = summary(image).map_err(|e| Failure::Failed(e.to_string()))?;
    let topics = summary.topics.into_iter().map(|topic| Topic {
        read_queues: topic.config.read_queues.into(),
        write_queues: topic.config.write_queues.into(),
        perm: topic.config.perm.into(),
        ranges: topic.queues.iter().map(|range| (range.start, range.end)).collect(),
        name: topic.config.name,
    });
    Ok(topics.collect())
}

fn is_internal(topic: &str) -> bool {
    names::is_of_failures(topic) || topic == names::DEFAULT_TOPIC
}

fn perm(bits: u64) -> String {
    let flag = |bit: u64, letter| if bits & bit != 0 { letter } else { '-' };
    [flag(4, 'r'), flag(2, 'w')].into_iter().collect()
}

impl Topic {
    fn json(&self) -> Value {
        let queues = (0..).zip(&self.ranges);
        let queues: Vec<Value> = queues
            .map(|(queue, (min, end)): (u32, _)| json!({ "queue": queue, "min": min, "end": end }))
            .collect();
        json!({
            "topic": self.name,
            "read_queues": self.read_queues,
            "write_queues": self.write_queues,
            "perm": perm(self.perm),
            "messages": self.ranges.iter().map(|(min, end)| end - min).sum::<u64>(),
            "queues": queues,
        })
    }
}

/// Lists consumer groups.
#[derive(Debug, Args)]
pub(crate) struct Groups {
    #[command(flatten)]
    target: Target,
    /// Only this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Groups {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let groups = match &self.target.dir {
            Some(dir) => groups_at_rest(&look(dir)?, self.group.as_deref())?,
            None => {
                let only = self.group.as_deref().unwrap_or_default();
                let mut dialed = self.target.running.dial()?;
                let answer = dialed.private(codes::GROUP_PROGRESS, &[("group", only)])?;
                answer["groups"].as_array().cloned().unwrap_or_default()
            }
        };
        if groups.is_empty()
            && let Some(name) = &self.group
        {
            let text = format!("no consumer group is called `{name}`; `mainspring groups` lists all");
            return Err(Failure::Failed(text));
        }
        if self.output.is_json() {
            return groups.iter().try_for_each(print_json);
        }
        if groups.is_empty() {
            return line(
                "no consumer groups yet; a consumer makes its own: mainspring tail TOPIC --group NAME",
            );
        }
        let mut table = Table::new(&["GROUP", ">ONLINE", "TOPIC", ">QUEUES", ">BEHIND"]);
        for group in &groups {
            let name = group["group"].as_str().unwrap_or_default().to_owned();
            let online = group["online"].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
            let topics = by_topic(group);
            if topics.is_empty() {
                table.row([name.clone(), online.clone(), "-".into(), "0".into(), "-".into()]);
            }
            for (topic, (queues, lag)) in topics {
                table.row([name.clone(), online.clone(), topic, queues.to_string(), lag.to_string()]);
            }
        }
        table.print()
    }
}

/// Queues and messages not consumed, by topic.
fn by_topic(group: &Value) -> BTreeMap<String, (u64, u64)> {
    let mut topics: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for queue in group["queues"].as_array().into_iter().flatten() {
        let sums = topics.entry(queue["topic"].as_str().unwrap_or_default().to_owned()).or_default();
        sums.0 += 1;
        sums.1 += queue["lag"].as_u64().unwrap_or(0);
    }
    topics
}

fn groups_at_rest(image: &Image, only: Option<&str>) -> Result<Vec<Value>, Failure> {
    let summary = summary(image).map_err(|e| Failure::Failed(e.to_string()))?;
    let groups = summary.groups.iter().filter(|group| only.is_none_or(|only| group.name == only));
    let groups = groups.map(|group| {
        let queues: Vec<Value> = summary
            .topics
            .iter()
            .flat_map(|topic| queues_at_rest(image, &summary, &group.name, topic))
            .collect();
        json!({ "group": group.name, "online": null, "queues": queues })
    });
    Ok(groups.collect())
}

fn queues_at_rest(image: &Image, summary: &Summary, group: &str, topic: &TopicInfo) -> Vec<Value> {
    let name = &topic.config.name;
    let of_group = summary.progress.iter().filter(|at| at.group == group && at.topic == *name);
    let offsets: BTreeMap<u32, u64> = of_group.map(|at| (at.queue, at.offset)).collect();
    if offsets.is_empty() {
        return Vec::new();
    }
    let range = |queue| image.views().queue_range(name, queue).unwrap_or_default();
    let queues = 0..topic.config.read_queues;
    queues.map(|queue| queue_json(name, queue, offsets.get(&queue).copied(), &range(queue))).collect()
}
