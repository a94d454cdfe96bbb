//! Which messages a consumer wants: by their tags, or by an expression over their properties.

use mainspring::{TagFilter, record::Record};

use crate::sql::{Expression, SqlError};

/// A filter, read once and asked for each message.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// By tags.
    Tags(TagFilter),
    /// By an SQL92 expression.
    Sql(Expression),
}

static ALL_TAGS: TagFilter = TagFilter::all();

impl Filter {
    /// Wants everything.
    #[must_use]
    pub const fn all() -> Self {
        Self::Tags(TagFilter::all())
    }

    /// Reads tags joined by `||`.
    #[must_use]
    pub fn tags(expression: &str) -> Self {
        Self::Tags(TagFilter::parse(expression))
    }

    /// Reads an SQL92 expression.
    ///
    /// # Errors
    ///
    /// [`SqlError`], naming the position.
    pub fn sql(expression: &str) -> Result<Self, SqlError> {
        Expression::parse(expression).map(Self::Sql)
    }

    /// What the tag of a message alone can say: never no to one that is wanted.
    #[must_use]
    pub const fn by_tag(&self) -> &TagFilter {
        match self {
            Self::Tags(tags) => tags,
            Self::Sql(_) => &ALL_TAGS,
        }
    }
}

/// Whether an expression selects a stored record.
#[must_use]
pub fn selects(expression: &Expression, record: &[u8]) -> bool {
    Record::parse(record).is_ok_and(|record| expression.selects(record.raw_properties()))
}
