//! `mainspring timer list|show|cancel|forecast`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use mainspring::{Handle, PAGE_MAX, TimerQuery, inspect::Image};

use super::{
    print::{Failure, Output, Table, json as print_json, line, plain},
    target::{Running, Target, look},
    when::{moment, now_ms, span, utc},
};
use crate::{
    cli::config::Time,
    handlers::timers::{explained_json, timer_json},
    remoting::codes::request as codes,
};

/// Where forecasts divide the future, from now on: name and milliseconds.
const AHEAD: [(&str, i64); 8] = [
    ("overdue", 0),
    ("within 1m", 60_000),
    ("within 10m", 600_000),
    ("within 1h", 3_600_000),
    ("within 6h", 21_600_000),
    ("within 1d", 86_400_000),
    ("within 7d", 604_800_000),
    ("within 30d", 2_592_000_000),
];
/// Widest bar of a forecast.
const BAR: u64 = 40;

/// Lists, shows and cancels pending timers.
#[derive(Debug, Subcommand)]
pub(crate) enum Timer {
    /// Lists pending timers, the next one first
    List(List),
    /// Says what became of a timer
    Show(Show),
    /// Keeps a timer from firing
    Cancel(Cancel),
    /// Counts pending timers by when they are due
    Forecast(Forecast),
}

/// Lists pending timers.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    target: Target,
    /// Only those that go to this topic
    #[arg(short, long)]
    topic: Option<String>,
    /// Only those with a key that starts so
    #[arg(short, long, value_name = "PREFIX")]
    key: Option<String>,
    /// Only those due within this time
    #[arg(long, value_name = "TIME", conflicts_with = "to")]
    within: Option<Time>,
    /// Only those due at this moment or later: 2026-11-22T12:00:00Z, +5m, -10m
    #[arg(long, value_name = "MOMENT", value_parser = moment, allow_hyphen_values = true)]
    from: Option<i64>,
    /// Only those due before this moment
    #[arg(long, value_name = "MOMENT", value_parser = moment, allow_hyphen_values = true)]
    to: Option<i64>,
    /// Timers at most
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

/// Says what became of a timer.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    target: Target,
    /// The timer, as `send` and `timer list` name it
    handle: Handle,
    #[command(flatten)]
    output: Output,
}

/// Keeps a timer from firing.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    running: Running,
    /// The timer, as `send` and `timer list` name it
    handle: Handle,
    #[command(flatten)]
    output: Output,
}

/// Counts pending timers.
#[derive(Debug, Args)]
pub(crate) struct Forecast {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

impl Timer {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Cancel(cancel) => cancel.run(),
            Self::Forecast(forecast) => forecast.run(),
        }
    }
}

/// Timers and how many pend in all.
struct Listed {
    timers: Vec<Value>,
    pending: u64,
    /// Whether more than these were asked for.
    more: bool,
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let to_ms = self
            .within
            .map_or(self.to, |time| Some(now_ms().saturating_add(i64::try_from(time.0).unwrap_or(i64::MAX))));
        let listed = match &self.target.dir {
            Some(dir) => self.at_rest(&look(dir)?, to_ms),
            None => self.running(to_ms)?,
        };
        if self.output.is_json() {
            return listed.timers.iter().try_for_each(print_json);
        }
        if listed.timers.is_empty() {
            return line(format!("no timers to show; {} pending in all", listed.pending));
        }
        let now_ms = now_ms();
        let mut table = Table::new(&["HANDLE", "DUE", ">IN", "TOPIC", ">QUEUE", "KEYS", ">BODY"]);
        for timer in &listed.timers {
            let due_ms = timer["due_ms"].as_i64().unwrap_or(0);
            let number = |name: &str| timer[name].as_u64().map_or_else(|| "?".to_owned(), |n| n.to_string());
            table.row([
                text(timer, "handle"),
                utc(due_ms),
                span(due_ms - now_ms),
                text(timer, "topic"),
                number("queue"),
                keys(timer),
                number("body_bytes"),
            ]);
        }
        table.print()?;
        let more = if listed.more { "; more with -n" } else { "" };
        line(format!("{} shown, {} pending in all{more}", listed.timers.len(), listed.pending))
    }

    fn running(&self, to_ms: Option<i64>) -> Result<Listed, Failure> {
        let mut dialed = self.target.running.dial()?;
        let mut listed = Listed { timers: Vec::new(), pending: 0, more: true };
        let mut after = String::new();
        while listed.more && listed.timers.len() < self.limit {
            let limit = (self.limit - listed.timers.len()).min(PAGE_MAX).to_string();
            let number = |ms: Option<i64>| ms.map_or_else(String::new, |ms| ms.to_string());
            let page = dialed.private(
                codes::TIMER_LIST,
                &[
                    ("topic", self.topic.as_deref().unwrap_or_default()),
                    ("keyPrefix", self.key.as_deref().unwrap_or_default()),
                    ("fromMs", &number(self.from)),
                    ("toMs", &number(to_ms)),
                    ("limit", &limit),
                    ("after", &after),
                ],
            )?;
            listed.pending = page["pending"].as_u64().unwrap_or(0);
            listed.timers.extend(page["timers"].as_array().into_iter().flatten().cloned());
            after = page["next"].as_str().unwrap_or_default().to_owned();
            listed.more = !after.is_empty();
        }
        Ok(listed)
    }

    fn at_rest(&self, image: &Image, to_ms: Option<i64>) -> Listed {
        let mut query = TimerQuery {
            from_ms: self.from.unwrap_or(i64::MIN),
            to_ms: to_ms.unwrap_or(i64::MAX),
            topic: self.topic.as_deref(),
            key_prefix: self.key.as_deref(),
            ..TimerQuery::default()
        };
        let pending = image.views().timers.count() as u64;
        let mut listed = Listed { timers: Vec::new(), pending, more: true };
        while listed.more && listed.timers.len() < self.limit {
            query.limit = self.limit - listed.timers.len();
            let page = image.timers(&query);
            listed.timers.extend(page.timers.iter().map(timer_json));
            query.after = page.next;
            listed.more = page.next.is_some();
        }
        listed
    }
}

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().map_or_else(|| "?".to_owned(), plain)
}

fn keys(timer: &Value) -> String {
    let keys = timer["keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    plain(&keys.collect::<Vec<_>>().join(" "))
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let found = match &self.target.dir {
            Some(dir) => explained_json(&self.handle, &look(dir)?.explain(&self.handle), now_ms()),
            None => {
                let handle = self.handle.to_string();
                self.target.running.dial()?.private(codes::TIMER_SHOW, &[("handle", &handle)])?
            }
        };
        let state = found["state"].as_str().unwrap_or_default();
        if self.output.is_json() {
            print_json(&found)?;
        } else if state != "unknown" {
            line(format!("timer {} {}", self.handle, told(&found)))?;
        }
        if state == "unknown" && self.output.is_json() {
            return Err(Failure::Quiet(1));
        }
        if state == "unknown" {
            return Err(unknown(&self.handle));
        }
        Ok(())
    }
}

fn unknown(handle: &Handle) -> Failure {
    let text = "this store has no such timer, or its part of the log was trimmed; `mainspring timer list` shows all that pend";
    Failure::Failed(format!("timer {handle}: {text}"))
}

/// What became of a timer, for people.
fn told(found: &Value) -> String {
    let (due_ms, now_ms) = (found["due_ms"].as_i64().unwrap_or(0), found["now_ms"].as_i64().unwrap_or(0));
    match found["state"].as_str().unwrap_or_default() {
        "pending" => {
            let mut lines = format!("is pending\n  due    {} (in {})", utc(due_ms), span(due_ms - now_ms));
            if found["topic"].is_string() {
                lines += &format!("\n  topic  {}, queue {}", text(found, "topic"), found["queue"]);
                lines += &format!("\n  keys   {}", keys(found));
                lines +=
                    &format!("\n  body   {} bytes, in the {}", found["body_bytes"], text(found, "place"));
            } else {
                lines += "\n  its message cannot be read";
            }
            lines
        }
        "fired" => match found["fired_ms"].as_i64() {
            Some(at) => format!("fired at {}, {} ms after it was due", utc(at), at - due_ms),
            None => String::from("fired; its message is not among those that are still there"),
        },
        "cancelled" => format!("was cancelled; it would have been due {}", utc(due_ms)),
        other => other.to_owned(),
    }
}

impl Cancel {
    fn run(&self) -> Result<(), Failure> {
        let handle = self.handle.to_string();
        let answer = self.running.dial()?.private(codes::TIMER_CANCEL, &[("handle", &handle)])?;
        let result = answer["result"].as_str().unwrap_or_default();
        if self.output.is_json() {
            print_json(&answer)?;
            return if result == "cancelled" { Ok(()) } else { Err(Failure::Quiet(1)) };
        }
        match result {
            "cancelled" => line(format!("timer {handle} is cancelled; it does not fire")),
            "already_fired" => {
                let at = answer["fired_ms"].as_i64().map_or(String::new(), |at| format!(" at {}", utc(at)));
                Err(Failure::Failed(format!("timer {handle} fired already{at}; nothing was cancelled")))
            }
            _ => Err(unknown(&self.handle)),
        }
    }
}

impl Forecast {
    fn run(&self) -> Result<(), Failure> {
        let now_ms = now_ms();
        let times: Vec<i64> = AHEAD.iter().map(|(_, ahead)| now_ms.saturating_add(*ahead)).collect();
        let counts = match &self.target.dir {
            Some(dir) => look(dir)?.timer_forecast(&times),
            None => {
                let times: Vec<String> = times.iter().map(ToString::to_string).collect();
                let times = times.join(",");
                let answer =
                    self.target.running.dial()?.private(codes::TIMER_FORECAST, &[("times", &times)])?;
                answer["counts"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
            }
        };
        if self.output.is_json() {
            let slots: Vec<Value> = (0..counts.len())
                .map(|i| json!({ "until_ms": times.get(i), "pending": counts[i] }))
                .collect();
            return print_json(&json!({ "now_ms": now_ms, "slots": slots }));
        }
        forecast_lines(&counts).into_iter().try_for_each(line)
    }
}

/// Counts of pending timers at the store's last moment, by when they are due from `now_ms` on.
pub(crate) fn forecast_of(image: &Image, now_ms: i64) -> Vec<u64> {
    let times: Vec<i64> = AHEAD.iter().map(|(_, ahead)| now_ms.saturating_add(*ahead)).collect();
    image.timer_forecast(&times)
}

/// A forecast for people: a bar for each slot.
pub(crate) fn forecast_lines(counts: &[u64]) -> Vec<String> {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let names = AHEAD.iter().map(|(name, _)| *name).chain(["later"]);
    let bar = |count: u64| "#".repeat(usize::try_from((count * BAR).div_ceil(most)).unwrap_or(0));
    let lines = names.zip(counts).map(|(name, count)| format!("{name:<10}  {count:>10}  {}", bar(*count)));
    lines.map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_has_a_bar_for_each_slot() {
        let lines = forecast_lines(&[0, 1, 0, 0, 80, 0, 0, 0, 0]);
        assert_eq!(lines.len(), AHEAD.len() + 1);
        assert_eq!(lines[0], "overdue              0");
        assert_eq!(lines[1], "within 1m            1  #");
        assert!(lines[4].ends_with(&"#".repeat(40)), "{}", lines[4]);
    }
}
