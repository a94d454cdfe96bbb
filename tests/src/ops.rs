//! What clients and the world do to a store that runs.

use std::time::Duration;

use backends::{Fault, OpKind};
use mainspring::{
    Draft, Failed, Failure, GroupConfig, Handle, Message, Offset, Pending, Scheduled, TopicConfig, Wait,
    draft,
};

use crate::Verdict;
use crate::flights::Flight;
use crate::history::{CONSUMER_GROUP, History};
use crate::invariants::progress;
use crate::model::{Asked, Model, Told};
use crate::plan::Class;

pub(crate) const TOPICS: [&str; 3] = ["t0", "t1", "t2"];
pub(crate) const GROUPS: [&str; 2] = ["g0", "g1"];
const LEVELS: [Wait; 4] = [Wait::Committed, Wait::Committed, Wait::Flushed, Wait::Appended];
/// Bytes that a frame of one message takes at least beside its body.
const FRAME_OVERHEAD: u64 = 172;

impl History {
    /// One thing happens.
    pub(crate) fn act(&mut self) -> Verdict {
        let class = self.plan.class;
        let (clock, full, flush) = (class == Class::Clock, class == Class::Full, class == Class::Flush);
        let eio = class == Class::Eio;
        let weights = [
            30,                        // append
            6,                         // batch
            14,                        // schedule
            8,                         // cancel, started
            2,                         // cancel, waited for
            4,                         // progress
            6,                         // consume failed
            1,                         // topic or group
            4,                         // consumer
            12,                        // time goes by
            4,                         // idle
            if clock { 8 } else { 1 }, // the wall clock steps
            3,                         // sweep
            if flush { 3 } else { 0 }, // a flush will fail
            if full { 5 } else { 0 },  // space goes or comes
            2,                         // many timers at once
            if eio { 7 } else { 0 },   // a call will fail
            20,                        // a request
            if self.lying { 30 } else { 0 },
        ];
        match self.rng.weighted(&weights) {
            0 => self.append_one(),
            1 => self.append_batch(),
            2 => self.schedule(),
            3 => self.cancel(false),
            4 => self.cancel(true),
            5 => self.commit_offset(),
            6 => self.consume_failed(),
            7 => self.settings(),
            8 => self.consume(),
            9 => {
                let ms = *self.rng.pick(&[1, 5, 20, 100, 400, 2_000]);
                self.note(|| format!("{ms} ms go by"));
                self.advance(ms);
                Ok(())
            }
            10 => self.idle(),
            11 => self.wall_steps(),
            12 => self.sweep(),
            13 => {
                self.note(|| "the next flush will fail".to_owned());
                self.backend.fail_next(OpKind::Flush, Fault::Io);
                Ok(())
            }
            14 => self.space(),
            15 => self.burst(),
            16 => {
                let often = [OpKind::Remove, OpKind::Remove, OpKind::Reserve, OpKind::Reserve, OpKind::Read];
                self.fails(
                    &[&often[..], &[OpKind::Remove, OpKind::Create, OpKind::Seal, OpKind::WriteCell]]
                        .concat(),
                );
                Ok(())
            }
            17 => self.request(),
            _ => {
                let kind = *self.rng.pick(&[OpKind::Flush, OpKind::Flush, OpKind::Seal]);
                self.note(|| format!("the next {kind:?} will lie"));
                self.backend.fail_next(kind, Fault::Lie);
                Ok(())
            }
        }
    }

    /// The next call of one of these kinds will fail.
    pub(crate) fn fails(&mut self, kinds: &[OpKind]) {
        let kind = *self.rng.pick(kinds);
        self.note(|| format!("the next {kind:?} will fail"));
        self.backend.fail_next(kind, Fault::Io);
    }

    /// A number for a new message, and what is known of it.
    pub(crate) fn ask(&mut self, topic: &str, body: Option<Vec<u8>>, due_ms: Option<i64>) -> (u64, Asked) {
        let id = self.next_id;
        self.next_id += 1;
        let len = match self.rng.below(20) {
            0 => 0,
            1..=8 => self.rng.below(100),
            9..=14 => self.rng.below(1_000),
            15..=18 => self.rng.below(4_000),
            _ => 8_000,
        };
        let body = body.unwrap_or_else(|| Model::body(id, usize::try_from(len).unwrap_or(0)));
        let properties = format!("KEYS\u{1}m{id}\u{2}TAGS\u{1}a\u{2}").into_bytes();
        let queue = self.rng.one_in(3).then_some(0);
        let asked = Asked { topic: topic.to_owned(), queue, body, properties, due_ms };
        self.model.asked.insert(id, asked.clone());
        (id, asked)
    }

    /// A call was refused: nothing was written, so what it asked for is not to be found ever.
    pub(crate) fn unasked(&mut self, ids: &[u64], what: &str, error: &mainspring::Error) -> Verdict {
        self.note(|| format!("{what} refused: {:?}", error.kind()));
        self.counts.full += u64::from(error.kind() == mainspring::ErrorKind::Full);
        self.refused(what, error)?;
        if !self.backend.is_crashed() {
            ids.iter().for_each(|id| drop(self.model.asked.remove(id)));
        }
        Ok(())
    }

    /// Appends a message, and perhaps waits for it.
    pub(crate) fn append_one(&mut self) -> Verdict {
        let topic = *self.rng.pick(&TOPICS);
        let body = self.filling();
        let (id, asked) = self.ask(topic, body, None);
        let wait = *self.rng.pick(&LEVELS);
        self.send(id, &asked, wait)
    }

    /// A body whose frame ends about where the segment does, now and then where that is near.
    fn filling(&mut self) -> Option<Vec<u8>> {
        let at = self.store().stats().tail.0 & ((1 << 40) - 1);
        let left = self.options.segment_bytes - at % self.options.segment_bytes;
        if !(FRAME_OVERHEAD + 32..8_000).contains(&left) || self.rng.one_in(2) {
            return None;
        }
        let body = left - FRAME_OVERHEAD - self.rng.below(32);
        Some(Model::body(self.next_id, usize::try_from(body).unwrap_or(0)))
    }

    /// Appends this message.
    pub(crate) fn send(&mut self, id: u64, asked: &Asked, wait: Wait) -> Verdict {
        let (topic, len) = (&asked.topic, asked.body.len());
        let (sent, wait) = if self.rng.one_in(3) && wait == Wait::Committed {
            (self.store().append(message(id, asked)), wait)
        } else {
            (self.store().append_draft(&drafted(asked), wait), wait)
        };
        match sent {
            Ok(pending) => {
                self.note(|| {
                    format!("append {id} to {topic}, {len} bytes, {wait:?} -> {:?}", pending.peek())
                });
                self.depart(Flight::One { id, wait, pending });
                Ok(())
            }
            Err(error) => self.unasked(&[id], "append", &error),
        }
    }

    fn append_batch(&mut self) -> Verdict {
        let many = self.rng.range(1, 8);
        let mut all = Vec::new();
        for _ in 0..many {
            let topic = *self.rng.pick(&TOPICS);
            all.push(self.ask(topic, None, None));
        }
        let drafts: Vec<Draft<'_>> = all.iter().map(|(_, asked)| drafted(asked)).collect();
        let ids: Vec<u64> = all.iter().map(|(id, _)| *id).collect();
        let wait = *self.rng.pick(&LEVELS);
        match self.store().append_batch(&drafts, wait) {
            Ok(pending) => {
                self.note(|| format!("batch {ids:?}, {wait:?} -> {:?}", pending.peek()));
                self.depart(Flight::Append { ids, wait, pending });
                Ok(())
            }
            Err(error) => self.unasked(&ids, "batch", &error),
        }
    }

    fn schedule(&mut self) -> Verdict {
        let now = self.store().now_ms();
        let delay = match self.rng.below(10) {
            0 => -i64::try_from(self.rng.below(5_000)).unwrap_or(0),
            1 => 0,
            2..=5 => i64::try_from(self.rng.below(500)).unwrap_or(0),
            6 | 7 => i64::try_from(self.rng.below(20_000)).unwrap_or(0),
            8 => 1_000 - now % 1_000, // many meet at the full second
            _ => i64::try_from(self.rng.below(2 * 3_600_000)).unwrap_or(0),
        };
        self.schedule_in(delay)
    }

    /// Schedules a message `delay` from now.
    pub(crate) fn schedule_in(&mut self, delay: i64) -> Verdict {
        let due_ms = self.store().now_ms() + delay;
        let topic = *self.rng.pick(&TOPICS);
        let (id, asked) = self.ask(topic, None, Some(due_ms));
        let wait = *self.rng.pick(&LEVELS);
        let sent = match u64::try_from(delay) {
            Ok(ms) if wait == Wait::Committed && asked.queue.is_none() && self.rng.one_in(2) => {
                self.store().schedule(message(id, &asked), Duration::from_millis(ms))
            }
            _ => self.store().schedule_draft(&drafted(&asked), due_ms, wait),
        };
        self.scheduled(id, wait, sent)
    }

    /// Schedules this message.
    pub(crate) fn schedule_this(&mut self, id: u64, asked: &Asked, due_ms: i64) -> Verdict {
        let sent = self.store().schedule_draft(&drafted(asked), due_ms, Wait::Committed);
        self.scheduled(id, Wait::Committed, sent)
    }

    fn scheduled(&mut self, id: u64, wait: Wait, sent: mainspring::Result<Pending<Scheduled>>) -> Verdict {
        match sent {
            Ok(pending) => {
                self.note(|| format!("schedule {id}, {wait:?} -> {:?}", pending.peek()));
                if let Some(done) = pending.peek() {
                    self.handles.push((done.handle.due_ms, done.handle.schedule.0));
                }
                self.depart(Flight::Schedule { id, wait, pending });
                Ok(())
            }
            Err(error) => self.unasked(&[id], "schedule", &error),
        }
    }

    /// Many timers of one moment.
    fn burst(&mut self) -> Verdict {
        let delay = i64::try_from(self.rng.below(3_000)).unwrap_or(0);
        for _ in 0..self.rng.range(2, 12) {
            self.schedule_in(delay)?;
        }
        Ok(())
    }

    /// Cancels a timer: pending, fired, cancelled or unknown. Where the answer is not waited for, the clock
    /// goes on, so that the timer's fire races behind it.
    pub(crate) fn cancel(&mut self, waits: bool) -> Verdict {
        let recent = self.handles.len().saturating_sub(12);
        let (mut due_ms, mut schedule) = match self.rng.below(8) {
            0 => (self.store().now_ms(), self.rng.bits() >> 1),
            1..=5 if recent < self.handles.len() => *self.rng.pick(&self.handles[recent..]),
            _ if !self.handles.is_empty() => *self.rng.pick(&self.handles),
            _ => (5, 1 << 40),
        };
        match self.rng.below(30) {
            0 => due_ms += 1,
            1 => schedule += 8,
            _ => {}
        }
        self.cancel_this((due_ms, schedule), waits)
    }

    /// Cancels this timer.
    pub(crate) fn cancel_this(&mut self, (due_ms, schedule): (i64, u64), waits: bool) -> Verdict {
        let applied = self.store().digest().0.0;
        self.model.cancels_asked.insert((due_ms, schedule));
        let handle = Handle { due_ms, schedule: Offset(schedule) };
        match self.store().cancel_start(&handle) {
            Ok(pending) => {
                self.note(|| format!("cancel {handle} at {:?}", pending.end()));
                self.depart(Flight::Cancel { handle: (due_ms, schedule), applied, pending });
                if waits {
                    self.store().step();
                } else if self.rng.one_in(2) {
                    let wait = u64::try_from(due_ms - self.store().now_ms()).unwrap_or(0);
                    if wait < 5_000 {
                        self.advance(wait + 1);
                        self.store().decide();
                    }
                }
                Ok(())
            }
            Err(error) => self.unasked(&[], "cancel", &error),
        }
    }

    fn commit_offset(&mut self) -> Verdict {
        let (group, topic) = (*self.rng.pick(&GROUPS), *self.rng.pick(&TOPICS));
        let (queue, offset) = (u32::try_from(self.rng.below(2)).unwrap_or(0), self.rng.below(100));
        self.model.offsets_asked.insert((group.to_owned(), topic.to_owned(), queue, offset));
        match self.store().commit_offset(group, topic, queue, offset) {
            Ok(pending) => {
                self.note(|| format!("{group} consumed {topic}/{queue} up to {offset}"));
                let (group, topic) = (group.to_owned(), topic.to_owned());
                let told = Told::Offset { group, topic, queue, offset };
                self.depart(Flight::Offset { told, pending });
                Ok(())
            }
            Err(error) => self.unasked(&[], "commit_offset", &error),
        }
    }

    /// A group fails to consume something that it can read.
    pub(crate) fn consume_failed(&mut self) -> Verdict {
        let fold = &self.model.fold;
        let full: Vec<_> = fold.queues.values().filter(|q| fold.readable(q) < q.items.len()).collect();
        if full.is_empty() {
            return Ok(());
        }
        let queue = *self.rng.pick(&full);
        let item = self.rng.pick(&queue.items[fold.readable(queue)..]).clone();
        let group = *self.rng.pick(&GROUPS);
        if self.store().group(group).is_none() {
            let config = GroupConfig { attempts_max: 2, ..GroupConfig::new(group) };
            return self.done("put_group", |store| store.put_group(&config));
        }
        let (record, at) = (item.record().clone(), item.at);
        let (id, reconsume) = (record.id().unwrap_or(0), record.reconsume + 1);
        let delay_level = *self.rng.pick(&[0, 0, 0, 1, 2, -1]);
        let failure = Failure {
            group,
            offset: Offset(at),
            delay_level,
            attempts_max: None,
            origin_message_id: None,
            origin_topic: self.rng.one_in(2).then_some(&*record.topic),
        };
        let copy = (group.to_owned(), id, reconsume);
        *self.model.copies_asked.entry(copy.clone()).or_insert(0) += 1;
        match self.store().consume_failed(&failure) {
            Ok(pending) => {
                self.note(|| format!("{group} fails {id} of {} (level {delay_level})", record.topic));
                let group = group.to_owned();
                self.depart(Flight::Failed { group, id, reconsume, pending });
                Ok(())
            }
            Err(error) => {
                let deleted = self.store().topic(&record.topic).is_none();
                let gone = deleted || item.segment < self.store().stats().start.0;
                if gone && error.kind() == mainspring::ErrorKind::NotFound {
                    return Ok(());
                }
                if !self.backend.is_crashed() {
                    self.model.copies_asked.entry(copy).and_modify(|n| *n -= 1);
                }
                self.unasked(&[], "consume_failed", &error)
            }
        }
    }

    /// Makes a call that waits.
    pub(crate) fn done(
        &mut self,
        what: &str,
        call: impl FnOnce(&mainspring::Store) -> mainspring::Result<()>,
    ) -> Verdict {
        let done = call(self.store());
        self.note(|| format!("{what} -> {:?}", done.as_ref().map_err(mainspring::Error::kind)));
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                self.notice_failure();
                self.refused(what, &error)
            }
        }
    }

    fn settings(&mut self) -> Verdict {
        let topic = *self.rng.pick(&TOPICS);
        let queues = u32::try_from(self.rng.range(1, 5)).unwrap_or(1);
        let group = *self.rng.pick(&GROUPS);
        let attempts_max = i32::try_from(self.rng.range(1, 4)).unwrap_or(1);
        if self.rng.one_in(4) {
            self.counts.deleted += u64::from(self.store().topic(topic).is_some());
            self.done("delete_topic", |store| store.delete_topic(topic))
        } else if self.rng.one_in(2) {
            self.done("put_topic", |store| store.put_topic(&TopicConfig::new(topic, queues)))
        } else {
            let config = GroupConfig { attempts_max, ..GroupConfig::new(group) };
            self.done("put_group", |store| store.put_group(&config))
        }
    }

    /// The embedded consumer polls, acks and nacks.
    fn consume(&mut self) -> Verdict {
        if self.consumer.is_none() {
            match self.store().consumer(CONSUMER_GROUP, TOPICS[0]) {
                Ok(consumer) => self.consumer = Some(consumer),
                Err(error) => {
                    self.notice_failure();
                    return self.refused("consumer", &error);
                }
            }
        }
        let max = usize::try_from(self.rng.range(1, 8)).unwrap_or(1);
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let polled = consumer.poll(max, Duration::ZERO);
        self.notice_failure();
        match polled {
            Ok(found) => {
                self.note(|| format!("poll -> {}", found.len()));
                self.observe()?;
                self.delivered(&found)?;
                self.deliveries.extend(found);
            }
            Err(error) => return self.refused("poll", &error),
        }
        while !self.deliveries.is_empty() && !self.rng.one_in(4) && !self.backend.is_crashed() {
            let i = usize::try_from(self.rng.below(self.deliveries.len() as u64)).unwrap_or(0);
            let delivery = self.deliveries.swap_remove(i);
            self.decide_on(&delivery)?;
        }
        Ok(())
    }

    /// What a consumer was given is what the log has there.
    fn delivered(&mut self, found: &[mainspring::Delivery]) -> Verdict {
        if self.backend.is_crashed() {
            return Ok(());
        }
        let applied = self.store().digest().0.0;
        self.model.apply(applied)?;
        for delivery in found {
            let items = self.model.fold.queues.values().flat_map(|q| &q.items);
            let item = items.into_iter().find(|item| item.at == delivery.offset.0);
            let same = item.is_some_and(|i| i.record().bytes == delivery.record()[..]);
            crate::invariants::require(same, "views", || format!("a consumer was given {delivery:?}"))?;
        }
        if self.is_flushed_rule() && !found.is_empty() {
            self.model.durable = self.model.durable.max(applied);
        }
        Ok(())
    }

    fn decide_on(&mut self, delivery: &mainspring::Delivery) -> Verdict {
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        if self.rng.one_in(3) {
            let record = crate::raw::RawRecord::parse(delivery.record(), delivery.offset.0);
            let Some(record) = record else { return Ok(()) };
            let copy = (CONSUMER_GROUP.to_owned(), record.id().unwrap_or(0), record.reconsume + 1);
            *self.model.copies_asked.entry(copy.clone()).or_insert(0) += 1;
            let done = consumer.nack(delivery);
            self.notice_failure();
            self.note(|| format!("nack {} -> {:?}", delivery.offset, done.as_ref().ok()));
            self.counts.consumed += 1;
            self.counts.undecided += u64::from(done.is_err() || self.backend.is_crashed());
            match done {
                Ok(Failed::Dropped) => Ok(()),
                Ok(_) if self.backend.is_crashed() => Ok(()),
                Ok(_) => {
                    self.observe()?;
                    progress::copied(&self.model, &copy)
                }
                Err(e) if e.kind() == mainspring::ErrorKind::NotFound => Ok(()),
                Err(error) => self.refused("nack", &error),
            }
        } else {
            self.model.acked.insert(delivery.offset.0);
            let done = consumer.ack(delivery);
            self.counts.consumed += 1;
            self.counts.undecided += u64::from(done.is_err() || self.backend.is_crashed());
            self.notice_failure();
            self.note(|| format!("ack {} -> {:?}", delivery.offset, done.as_ref().ok()));
            done.or_else(|error| self.refused("ack", &error))
        }
    }

    /// Nobody does anything for a while, and the store has its time.
    fn idle(&mut self) -> Verdict {
        self.note(|| "idle".to_owned());
        for _ in 0..self.rng.range(2, 5) {
            self.advance(400);
            self.store().decide();
            while self.rng.below(4) > 0 && self.store().perform_one() {}
            self.after()?;
        }
        Ok(())
    }

    fn wall_steps(&mut self) -> Verdict {
        let ms = *self.rng.pick(&[-3_600_000, -60_000, -2_000, -5, 5, 2_000, 9_000, 15_000, 3_600_000]);
        self.note(|| format!("the wall clock steps by {ms} ms"));
        self.step_wall(ms);
        if self.rng.one_in(12) {
            let done = self.done("confirm_clock", mainspring::Store::confirm_clock);
            self.bound(i64::MAX);
            return done;
        }
        Ok(())
    }

    fn space(&mut self) -> Verdict {
        if self.reasons.full && self.rng.one_in(2) {
            self.note(|| "space is back".to_owned());
            self.backend.set_capacity(None);
        } else {
            let cells: usize = self.backend.cells().values().map(Vec::len).sum();
            let used: u64 = self.backend.streams().iter().map(|s| s.len).sum::<u64>() + cells as u64;
            let free = self.rng.below(200 << 10);
            self.note(|| format!("{free} bytes are left"));
            self.backend.set_capacity(Some(used + free));
            self.reasons.full = true;
        }
        Ok(())
    }
}

/// The draft of a message.
pub(crate) fn drafted(asked: &Asked) -> Draft<'_> {
    Draft { properties: &asked.properties, queue: asked.queue, ..draft(&asked.topic, &asked.body) }
}

/// The same as an embedder builds it.
fn message(id: u64, asked: &Asked) -> Message {
    let message = Message::new(asked.topic.clone(), asked.body.clone());
    let message = message.property("KEYS", format!("m{id}")).property("TAGS", "a");
    match asked.queue {
        Some(queue) => message.queue(queue),
        None => message,
    }
}
