//! JSON bodies as clients write them: enums as names or numbers, numbers as texts, keys missing.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text from a text, number or truth value; empty for anything else.
///
/// # Errors
///
/// None of its own.
pub(crate) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(input)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => String::new(),
    })
}

/// A number from a number or a text; 0 for anything else.
///
/// # Errors
///
/// None of its own.
pub(crate) fn number<'de, D: Deserializer<'de>>(input: D) -> Result<i64, D::Error> {
    Ok(match Value::deserialize(input)? {
        Value::Number(number) => number.as_i64().unwrap_or(0),
        Value::String(text) => text.trim().parse().unwrap_or(0),
        _ => 0,
    })
}

/// A truth value from a truth value, text or number; false for anything else.
///
/// # Errors
///
/// None of its own.
pub(crate) fn truth<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    let value = text(input)?;
    Ok(value.eq_ignore_ascii_case("true") || value == "1")
}

/// A list; nothing for null.
///
/// # Errors
///
/// What the elements say.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(input)?.unwrap_or_default())
}
