//! `mainspring send`.

use std::io::BufRead;

use clap::Args;
use serde_json::json;

use mainspring::record::properties;

use super::{
    print::{Failure, Output, json, line},
    target::{Running, no_topic},
    when::{moment, now_ms, span, utc},
};
use crate::{
    cli::config::Time,
    client::{ClientError, Dialed, Outgoing, Sent},
    handlers::recall,
    remoting::codes::response,
};

/// Sends messages.
#[derive(Debug, Args)]
pub(crate) struct Send {
    #[command(flatten)]
    running: Running,
    /// Topic to send to; the first message makes it
    #[arg(short, long)]
    topic: String,
    /// Deliver after this long: 500ms, 5s, 2h
    #[arg(long, value_name = "TIME", conflicts_with = "at")]
    delay: Option<Time>,
    /// Deliver at this moment: 2026-11-22T12:00:00Z, +5m, or milliseconds since 1970
    #[arg(long, value_name = "MOMENT", value_parser = moment, allow_hyphen_values = true)]
    at: Option<i64>,
    /// Keys to find the message by; may be repeated
    #[arg(short, long, value_name = "KEY")]
    key: Vec<String>,
    /// Tag that consumers may filter by
    #[arg(long)]
    tag: Option<String>,
    /// A property of the message; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
    /// Queue to send to; the broker chooses if it is not given
    #[arg(long, value_name = "N")]
    queue: Option<u16>,
    #[command(flatten)]
    output: Output,
    /// Message bodies; `-` reads one from each line of standard input
    #[arg(required = true, value_name = "BODY")]
    body: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let clean = |text: &str| !text.bytes().any(|b| b == properties::NAME_END || b == properties::VALUE_END);
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && clean(text) => Ok((name.into(), value.into())),
        _ => Err(format!("{text:?} is no property such as colour=blue")),
    }
}

impl Send {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut dialed = self.running.dial()?;
        for body in &self.body {
            if body != "-" {
                self.send(&mut dialed, body.as_bytes())?;
                continue;
            }
            for body in std::io::stdin().lock().split(b'\n') {
                let body = body.map_err(|e| Failure::Failed(format!("cannot read standard input: {e}")))?;
                if !body.is_empty() {
                    self.send(&mut dialed, &body)?;
                }
            }
        }
        Ok(())
    }

    fn properties(&self) -> String {
        let mut out = Vec::new();
        let keys = self.key.join(" ");
        let delay = self.delay.map(|delay| delay.0.to_string());
        let at = self.at.map(|at| at.to_string());
        let own = [
            (properties::KEYS, Some(keys).filter(|keys| !keys.is_empty())),
            (properties::TAGS, self.tag.clone()),
            (properties::TIMER_DELAY_MS, delay),
            (properties::TIMER_DELIVER_MS, at),
        ];
        for (name, value) in &self.property {
            properties::put(&mut out, name, value);
        }
        for (name, value) in own {
            value.iter().for_each(|value| properties::put(&mut out, name, value));
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn send(&self, dialed: &mut Dialed, body: &[u8]) -> Result<(), Failure> {
        let message = Outgoing {
            topic: &self.topic,
            queue: self.queue.map_or(-1, i32::from),
            properties: &self.properties(),
            body,
            born_ms: now_ms(),
        };
        let number = dialed.broker.queue_send(&message);
        dialed.broker.flush()?;
        let answer = loop {
            match dialed.broker.receive(crate::client::ANSWER_PATIENCE)? {
                Some((of, answer)) if of == number => break answer,
                Some(_) => {}
                None => {
                    let text = "no answer came; the message may have been sent, `mainspring tail` shows it";
                    return Err(Failure::Failed(text.into()));
                }
            }
        };
        match answer.sent() {
            Ok(sent) => self.tell(&sent),
            Err(ClientError::Refused { code: response::TOPIC_NOT_EXIST, .. }) => {
                Err(no_topic(&self.topic, &dialed.topics()?))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn tell(&self, sent: &Sent) -> Result<(), Failure> {
        let timer = sent.recall_handle.as_deref().and_then(recall::decode).map(|recall| recall.timer);
        if self.output.is_json() {
            let mut told = json!({ "topic": self.topic, "queue": sent.queue, "message_id": sent.message_id });
            match timer {
                Some(timer) => {
                    told["handle"] = timer.to_string().into();
                    told["due_ms"] = timer.due_ms.into();
                    told["recall_handle"] = sent.recall_handle.clone().into();
                }
                None => told["offset"] = sent.offset.into(),
            }
            return json(&told);
        }
        match timer {
            Some(timer) => line(format!(
                "scheduled for {} (in {}), handle {timer}",
                utc(timer.due_ms),
                span(timer.due_ms - now_ms())
            )),
            None => line(format!("sent to {}, queue {}, offset {}", self.topic, sent.queue, sent.offset)),
        }
    }
}
