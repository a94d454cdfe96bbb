//! Requests to a client whose answers are awaited.
//!
//! Invariants:
//!
//! - each question has a number of its own while it is open, and at most one answer; an answer to no open question (late,
//!   repeated or made up) is dropped;
//! - a connection has at most [`OPEN_MAX`] open questions;
//! - when the connection ends, all its questions end at once, and no new ones begin.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

/// Most questions that one client may owe answers to.
pub const OPEN_MAX: usize = 16;

/// What a client answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Response code.
    pub code: i32,
    /// Text for people.
    pub remark: Option<String>,
    /// Body, as it came.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The connection has ended.
    Gone,
    /// The client owes too many answers, or does not read.
    Busy,
    /// Nothing came in time.
    TimedOut(Duration),
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("its connection ended"),
            Self::Busy => f.write_str("too many requests to it wait already"),
            Self::TimedOut(limit) => write!(f, "it did not answer within {} s", limit.as_secs()),
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<i32, oneshot::Sender<Told>>,
    closed: bool,
}

/// The open questions of one connection.
#[derive(Debug, Default)]
pub struct Questions(Mutex<Table>);

impl Questions {
    /// Opens a question under `number`, which stays open until its answer comes or [`Question`] is dropped.
    ///
    /// # Errors
    ///
    /// [`Unanswered::Gone`] or [`Unanswered::Busy`].
    pub fn open(&self, number: i32) -> Result<Question<'_>, Unanswered> {
        let mut table = self.0.lock();
        if table.closed {
            return Err(Unanswered::Gone);
        }
        if table.open.len() >= OPEN_MAX || table.open.contains_key(&number) {
            return Err(Unanswered::Busy);
        }
        let (answer, told) = oneshot::channel();
        table.open.insert(number, answer);
        Ok(Question { questions: self, number, told })
    }

    /// Takes in an answer; false where nobody waits for it.
    pub fn answered(&self, number: i32, told: impl FnOnce() -> Told) -> bool {
        let waiter = self.0.lock().open.remove(&number);
        waiter.is_some_and(|waiter| waiter.send(told()).is_ok())
    }

    /// Ends all questions: the connection has ended.
    pub fn close(&self) {
        let mut table = self.0.lock();
        table.closed = true;
        table.open.clear();
    }
}

/// One open question; dropping it closes it.
#[derive(Debug)]
pub struct Question<'a> {
    questions: &'a Questions,
    number: i32,
    told: oneshot::Receiver<Told>,
}

impl Question<'_> {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// [`Unanswered::TimedOut`] after `limit`, [`Unanswered::Gone`] as soon as the connection ends.
    pub async fn answer(mut self, limit: Duration) -> Result<Told, Unanswered> {
        match timeout(limit, &mut self.told).await {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(_)) => Err(Unanswered::Gone),
            Err(_) => Err(Unanswered::TimedOut(limit)),
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.questions.0.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn told(text: &'static str) -> Told {
        Told { code: 0, remark: None, body: Bytes::from_static(text.as_bytes()) }
    }

    #[tokio::test]
    async fn an_answer_reaches_its_question_once() {
        let questions = Questions::default();
        let (first, second) = (questions.open(1).unwrap(), questions.open(2).unwrap());
        assert!(!questions.answered(3, || told("made up")));
        assert!(questions.answered(2, || told("two")) && questions.answered(1, || told("one")));
        assert!(!questions.answered(1, || told("repeated")));
        assert_eq!(first.answer(LIMIT).await, Ok(told("one")));
        assert_eq!(second.answer(LIMIT).await, Ok(told("two")));
    }

    #[tokio::test(start_paused = true)]
    async fn late_answers_are_dropped() {
        let questions = Questions::default();
        let question = questions.open(1).unwrap();
        assert_eq!(question.answer(LIMIT).await, Err(Unanswered::TimedOut(LIMIT)));
        assert!(!questions.answered(1, || told("late")));
    }

    #[tokio::test]
    async fn the_end_of_the_connection_ends_all() {
        let questions = Questions::default();
        let question = questions.open(1).unwrap();
        questions.close();
        assert_eq!(question.answer(LIMIT).await, Err(Unanswered::Gone));
        assert_eq!(questions.open(2).unwrap_err(), Unanswered::Gone);
    }

    #[test]
    fn only_so_many_are_open() {
        let questions = Questions::default();
        let mut open: Vec<_> = (0..16).map(|number| questions.open(number).unwrap()).collect();
        assert_eq!(questions.open(16).unwrap_err(), Unanswered::Busy);
        open.pop();
        assert_eq!(questions.open(0).unwrap_err(), Unanswered::Busy, "the number is taken");
        assert!(questions.open(16).is_ok());
    }
}
