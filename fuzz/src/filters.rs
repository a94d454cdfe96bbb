//! `sql_filter`: SQL92 expressions and the properties that they are asked about, both any bytes.

use mainspring_broker::sql::{DEPTH_MAX, Expression, PROPERTIES_MAX, TEXT_BYTES_MAX};

/// The first two bytes say how long the expression is; properties follow it.
pub fn sql_filter(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let (text, properties) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    let text = String::from_utf8_lossy(text);
    let expression = match Expression::parse(&text) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(error.at <= text.len() && text.is_char_boundary(error.at), "{error} is within the text");
            assert!(!error.what.is_empty());
            return;
        }
    };
    assert!(text.len() <= TEXT_BYTES_MAX);
    let selected = expression.selects(properties);
    let again = |text: &str| Expression::parse(text).map(|expression| expression.selects(properties));
    // Laws of three-valued logic, as far as room and depth allow to ask.
    for (wrapped, expected) in [
        (format!("({text})"), selected),
        (format!("({text}) OR FALSE"), selected),
        (format!("TRUE AND ({text})"), selected),
        (format!("({text}) AND ({text})"), selected),
        (format!("NOT NOT ({text})"), selected),
        (format!("({text}) AND NULL"), false),
        (format!("({text}) OR TRUE"), true),
    ] {
        match again(&wrapped) {
            Ok(found) => assert_eq!(found, expected, "{wrapped}"),
            Err(error) => assert!(is_bound(&error.what), "{wrapped}: {error}"),
        }
    }
    // The two never hold both; where neither does, it is NULL.
    if let Ok(negated) = again(&format!("NOT ({text})")) {
        assert!(!(selected && negated), "{text}");
        if let Ok(unknown) = again(&format!("({text}) IS NULL")) {
            assert_eq!(unknown, !selected && !negated, "{text}");
        }
    }
}

fn is_bound(what: &str) -> bool {
    what.contains(&DEPTH_MAX.to_string())
        || what.contains(&TEXT_BYTES_MAX.to_string())
        || what.contains(&PROPERTIES_MAX.to_string())
}
