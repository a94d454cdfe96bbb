//! Asks an expression about one message.

use std::cmp::Ordering;

use mainspring::record::properties::pairs;

use super::{Comparison, Node, PROPERTIES_MAX, Search};

/// Values of properties, by the place of their name.
type Values<'a> = [Option<&'a str>; PROPERTIES_MAX];

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Null,
    Truth(bool),
    Whole(i64),
    Decimal(f64),
    Text(&'a str),
}

/// Whether `root` is TRUE for these properties; `names` are sorted, at most [`PROPERTIES_MAX`].
pub(super) fn selects(names: &[Box<str>], root: &Node, properties: &[u8]) -> bool {
    let mut values: Values<'_> = [None; PROPERTIES_MAX];
    let mut missing = names.len();
    // The last of two with one name counts.
    for (name, value) in pairs(properties).rev() {
        if missing == 0 {
            break;
        }
        if let Ok(place) = names.binary_search_by(|known| (**known).cmp(name))
            && let Some(slot @ None) = values.get_mut(place)
        {
            *slot = Some(value);
            missing -= 1;
        }
    }
    truth(root, &values) == Some(true)
}

/// What a condition comes to; a property alone is never true, for it is a text.
fn truth(node: &Node, values: &Values<'_>) -> Option<bool> {
    match value(node, values) {
        Value::Null => None,
        Value::Truth(truth) => Some(truth),
        Value::Whole(_) | Value::Decimal(_) | Value::Text(_) => Some(false),
    }
}

fn value<'a>(node: &'a Node, values: &Values<'a>) -> Value<'a> {
    let property = |number: u16| values.get(usize::from(number)).copied().flatten();
    match node {
        Node::Property(number) => property(*number).map_or(Value::Null, Value::Text),
        Node::Text(text) => Value::Text(text),
        Node::Whole(number) => Value::Whole(*number),
        Node::Decimal(number) => Value::Decimal(*number),
        Node::Truth(truth) => Value::Truth(*truth),
        Node::Null => Value::Null,
        Node::Not(inner) => known(truth(inner, values).map(|truth| !truth)),
        Node::And(parts) => known(join(parts, values, false)),
        Node::Or(parts) => known(join(parts, values, true)),
        Node::Compare(how, both) => known(compare(*how, value(&both.0, values), value(&both.1, values))),
        Node::IsNull(inner) => Value::Truth(matches!(value(inner, values), Value::Null)),
        Node::In(number, texts) => {
            known(property(*number).map(|found| texts.binary_search_by(|text| (**text).cmp(found)).is_ok()))
        }
        Node::Search { how, negated, within, text } => match value(within, values) {
            Value::Text(found) if !text.is_empty() => Value::Truth(search(*how, found, text) != *negated),
            _ => Value::Truth(false),
        },
    }
}

fn known<'a>(truth: Option<bool>) -> Value<'a> {
    truth.map_or(Value::Null, Value::Truth)
}

/// One part that is `decisive` decides; else one that is NULL leaves it open.
fn join(parts: &[Node], values: &Values<'_>, decisive: bool) -> Option<bool> {
    let mut all = Some(!decisive);
    for part in parts {
        match truth(part, values) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => all = None,
        }
    }
    all
}

fn search(how: Search, found: &str, text: &str) -> bool {
    match how {
        Search::Contains => found.contains(text),
        Search::StartsWith => found.starts_with(text),
        Search::EndsWith => found.ends_with(text),
    }
}

fn compare(how: Comparison, left: Value<'_>, right: Value<'_>) -> Option<bool> {
    let order = match (left, right) {
        (Value::Null, _) | (_, Value::Null) => return None,
        (Value::Text(left), Value::Text(right)) if how == Comparison::Equal => return Some(left == right),
        (Value::Truth(left), Value::Truth(right)) => return Some(left == right),
        (Value::Truth(truth), Value::Text(text)) | (Value::Text(text), Value::Truth(truth)) => {
            return Some(text.eq_ignore_ascii_case("true") == truth);
        }
        (Value::Truth(_), _) | (_, Value::Truth(_)) => return Some(false),
        (left, right) => order(number(left)?, number(right)?)?,
    };
    Some(match how {
        Comparison::Equal => order.is_eq(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

enum Number {
    Whole(i64),
    Decimal(f64),
}

/// The number that a value is or spells.
fn number(value: Value<'_>) -> Option<Number> {
    match value {
        Value::Whole(number) => Some(Number::Whole(number)),
        Value::Decimal(number) => Some(Number::Decimal(number)),
        Value::Text(text) => spelled(text),
        Value::Null | Value::Truth(_) => None,
    }
}

/// The number that a text spells: digits, a sign, a point, an exponent; no blanks, no `NaN`.
fn spelled(text: &str) -> Option<Number> {
    if let Ok(number) = text.parse() {
        return Some(Number::Whole(number));
    }
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'));
    let number: f64 = text.parse().ok().filter(|_| plain)?;
    number.is_finite().then_some(Number::Decimal(number))
}

/// Whole numbers are compared exactly, others as decimals.
#[expect(clippy::cast_precision_loss, reason = "as RocketMQ compares a whole number with a decimal")]
fn order(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
        (Number::Whole(left), Number::Decimal(right)) => (left as f64).partial_cmp(&right),
        (Number::Decimal(left), Number::Whole(right)) => left.partial_cmp(&(right as f64)),
        (Number::Decimal(left), Number::Decimal(right)) => left.partial_cmp(&right),
    }
}
