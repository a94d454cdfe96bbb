//! What a group wants of one topic, and how many bytes that takes.

use std::sync::{Arc, OnceLock};

use super::heartbeat::{ExpressionType, SubscriptionData};
use crate::{filter::Filter, sql::SqlError};

/// What a client's place in one group takes beside names.
const MEMBER_BYTES: usize = 512;
/// What a group takes beside what it wants.
pub(super) const GROUP_BYTES: usize = 512;
/// What a subscription takes beside its texts.
const SUBSCRIPTION_BYTES: usize = 512;
/// What a topic takes of which it is remembered that a group reads it.
pub(super) const TOPIC_READ_BYTES: usize = 40;
/// What a byte of tags takes at most, as text and as filter.
const PER_TAG_BYTE: usize = 4;
/// The same for a byte of SQL92.
pub const PER_SQL_BYTE: usize = 33;

/// Bytes that a client's place in a group takes.
pub(super) fn member_bytes(group: &str, client_id: &str, language: &str) -> usize {
    MEMBER_BYTES + group.len() + client_id.len() + language.len()
}

/// Bytes that a subscription takes, at most.
pub(super) fn bytes_of(wanted: &SubscriptionData) -> usize {
    bytes(&wanted.topic, &wanted.expression_type(), &wanted.sub_string)
}

fn bytes(topic: &str, kind: &ExpressionType, text: &str) -> usize {
    let expression = match kind {
        ExpressionType::Tag => text.len() * PER_TAG_BYTE,
        ExpressionType::Sql92 => text.len() * PER_SQL_BYTE,
        ExpressionType::Other(name) => text.len() + name.len(),
    };
    SUBSCRIPTION_BYTES + topic.len() + expression
}

/// What a group wants of one topic.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The expression as given.
    pub expression: String,
    /// Its language.
    pub kind: ExpressionType,
    /// When the client made it; newer ones replace older ones.
    pub version: i64,
    filter: OnceLock<Result<Arc<Filter>, SqlError>>,
}

impl Subscription {
    pub(super) fn new(data: &SubscriptionData) -> Self {
        Self {
            expression: data.sub_string.clone(),
            kind: data.expression_type(),
            version: data.sub_version,
            filter: OnceLock::new(),
        }
    }

    /// The same of a newer version.
    pub(super) fn renewed(&self, version: i64) -> Self {
        Self { version, ..self.clone() }
    }

    pub(super) fn bytes(&self, topic: &str) -> usize {
        bytes(topic, &self.kind, &self.expression)
    }

    pub(super) fn wants_the_same(&self, data: &SubscriptionData) -> bool {
        self.expression == data.sub_string && self.kind == data.expression_type()
    }

    /// The expression as a filter, read by the first who asks, so that no heartbeat pays for it. Of a language that is
    /// not known, every message.
    ///
    /// # Errors
    ///
    /// [`SqlError`] if it is none.
    pub fn filter(&self) -> Result<Arc<Filter>, SqlError> {
        let read = || {
            let filter = match &self.kind {
                ExpressionType::Tag => Ok(Filter::tags(&self.expression)),
                ExpressionType::Sql92 => Filter::sql(&self.expression),
                ExpressionType::Other(_) => Ok(Filter::all()),
            };
            filter.map(Arc::new)
        };
        self.filter.get_or_init(read).clone()
    }
}
