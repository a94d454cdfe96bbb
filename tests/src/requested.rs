//! Requests that clients make: locks, messages that are stored once, progress that is set and forgotten.

use std::time::Duration;

use mainspring::{GroupConfig, OnceDraft, Progress, QueueLock, TopicConfig};

use crate::Verdict;
use crate::flights::Flight;
use crate::fold::ONCE;
use crate::history::History;
use crate::invariants::requests;
use crate::model::Told;
use crate::ops::{GROUPS, TOPICS, drafted};
use crate::requests::Queues;

const CLIENTS: [&str; 3] = ["c0", "c1", "c2"];

impl History {
    /// A client asks for something that the log decides, or an administrator for something.
    pub(crate) fn request(&mut self) -> Verdict {
        match self.rng.weighted(&[7, 3, 8, 2]) {
            0 => self.lock(),
            1 => self.unlock(),
            2 => self.once(),
            _ => self.administer(),
        }
    }

    fn some_queues(&mut self) -> Queues {
        let mut queues = Queues::new();
        for _ in 0..self.rng.range(1, 4) {
            let queue = u32::try_from(self.rng.below(2)).unwrap_or(0);
            queues.push(((*self.rng.pick(&TOPICS)).to_owned(), queue));
        }
        queues
    }

    /// A client locks queues, or renews them.
    fn lock(&mut self) -> Verdict {
        let (group, client) = (*self.rng.pick(&GROUPS), *self.rng.pick(&CLIENTS));
        let (queues, lease_ms) = (self.some_queues(), *self.rng.pick(&[300, 2_000, 60_000]));
        let borrowed: Vec<_> = queues.iter().map(|(topic, queue)| (topic.as_str(), *queue)).collect();
        let asked = QueueLock { group, client, queues: &borrowed };
        self.model.locks_asked.insert((group.to_owned(), client.to_owned(), queues.clone()));
        let now_ms = self.store().now_ms();
        let lease = Duration::from_millis(lease_ms);
        match self.store().lock_queues(&asked, lease) {
            Ok(pending) if pending.end().0 == 0 => {
                let Ok(held) = pending.wait() else { return Ok(()) };
                self.note(|| format!("{client} of {group} locks {queues:?} -> {held:?}, as is known"));
                let lease_ms = i64::try_from(lease_ms).unwrap_or(i64::MAX);
                if self.is_up_to_date()? {
                    let fold = &self.model.fold;
                    requests::known_locks(fold, (group, client), &queues, (now_ms, lease_ms), &held)?;
                }
                Ok(())
            }
            Ok(pending) => {
                self.note(|| format!("{client} of {group} locks {queues:?} at {:?}", pending.end()));
                self.depart(Flight::Locked { pending });
                Ok(())
            }
            Err(error) => self.unasked(&[], "lock", &error),
        }
    }

    /// A client gives queues up.
    fn unlock(&mut self) -> Verdict {
        let (group, client) = (*self.rng.pick(&GROUPS), *self.rng.pick(&CLIENTS));
        let queues = self.some_queues();
        let borrowed: Vec<_> = queues.iter().map(|(topic, queue)| (topic.as_str(), *queue)).collect();
        let asked = QueueLock { group, client, queues: &borrowed };
        self.model.locks_asked.insert((group.to_owned(), client.to_owned(), queues.clone()));
        match self.store().unlock_queues(&asked) {
            Ok(pending) => {
                self.note(|| format!("{client} of {group} unlocks {queues:?} at {:?}", pending.end()));
                self.named_end = self.named_end.max(pending.end().0);
                Ok(())
            }
            Err(error) => self.unasked(&[], "unlock", &error),
        }
    }

    /// A message or timer that is to be stored once, perhaps some at a time.
    fn once(&mut self) -> Verdict {
        let now = self.store().now_ms();
        let mut all = Vec::new();
        for _ in 0..*self.rng.pick(&[1, 1, 1, 2, 3]) {
            let (topic, key) = (*self.rng.pick(&TOPICS), format!("k{}", self.rng.below(8)));
            let delay = i64::try_from(self.rng.below(20_000)).unwrap_or(0);
            let due_ms = self.rng.one_in(3).then_some(now + delay);
            let (id, mut asked) = self.ask(topic, None, due_ms);
            asked.properties.extend_from_slice(format!("{ONCE}\u{1}{key}\u{2}").as_bytes());
            self.model.asked.insert(id, asked.clone());
            all.push((id, asked, key));
        }
        let mut drafts = Vec::new();
        for (_, asked, key) in &all {
            drafts.push(OnceDraft { draft: drafted(asked), due_ms: asked.due_ms, key: Some(key) });
        }
        let ids: Vec<u64> = all.iter().map(|(id, _, _)| *id).collect();
        match self.store().store_once(&drafts) {
            Ok(pending) if pending.end().0 == 0 => {
                let Ok(found) = pending.wait() else { return Ok(()) };
                self.note(|| format!("once {ids:?} -> {found:?}, as is known"));
                self.counts.repeats += found.len() as u64;
                ids.iter().for_each(|id| drop(self.model.asked.remove(id)));
                if self.is_up_to_date()? {
                    for ((_, asked, key), found) in all.iter().zip(&found) {
                        let key = (asked.topic.clone(), key.clone());
                        requests::known_once(&self.model.fold, key, now, found)?;
                    }
                }
                Ok(())
            }
            Ok(pending) => {
                self.note(|| format!("once {ids:?} at {:?}", pending.end()));
                self.depart(Flight::Once { ids, pending });
                Ok(())
            }
            Err(error) => self.unasked(&ids, "store_once", &error),
        }
    }

    /// Folds in what is applied; false on a machine that has crashed.
    fn is_up_to_date(&mut self) -> Verdict<bool> {
        if self.backend.is_crashed() {
            return Ok(false);
        }
        self.observe()?;
        let applied = self.store().digest().0.0;
        self.model.apply(applied)?;
        Ok(true)
    }

    /// Progress of many queues, or none any more; groups and topics with attributes; a group goes.
    fn administer(&mut self) -> Verdict {
        let (group, topic) = (*self.rng.pick(&GROUPS), *self.rng.pick(&TOPICS));
        let attributes = [("a".to_owned(), format!("v{}", self.rng.below(3)))];
        match self.rng.below(6) {
            0 => {
                let with_progress = self.rng.one_in(2);
                self.done("delete_group", |store| store.delete_group(group, with_progress))
            }
            1 => {
                let topic = self.rng.one_in(2).then_some(topic);
                self.done("clear_progress", |store| store.clear_progress(Some(group), topic)?.wait())
            }
            2 => {
                let config = TopicConfig { attributes: attributes.into(), ..TopicConfig::new(topic, 2) };
                self.done("put_topic", |store| store.put_topic(&config))
            }
            3 => {
                let config = GroupConfig { attributes: attributes.into(), ..GroupConfig::new(group) };
                self.done("put_group", |store| store.put_group(&config))
            }
            _ => self.set_progress(group),
        }
    }

    fn set_progress(&mut self, group: &str) -> Verdict {
        let (mut progress, mut told) = (Vec::new(), Vec::new());
        for (topic, queue) in self.some_queues() {
            let offset = self.rng.below(100);
            let group = group.to_owned();
            self.model.offsets_asked.insert((group.clone(), topic.clone(), queue, offset));
            progress.push(Progress { topic: topic.clone(), queue, offset });
            told.push(Told::Offset { group, topic, queue, offset });
        }
        match self.store().set_progress(group, &progress) {
            Ok(pending) => {
                self.note(|| format!("{group} is set to {progress:?}"));
                self.depart(Flight::Progress { told, pending });
                Ok(())
            }
            Err(error) => self.unasked(&[], "set_progress", &error),
        }
    }
}
