//! Attributes of topics: what administrators may set, and how they write changes.

use mainspring::Attributes;

use crate::{
    names,
    remoting::{Response, codes::response},
};

/// What kind of messages a topic is for. Nothing is refused by it; clients may ask.
const MESSAGE_TYPE: &str = "message.type";
const MESSAGE_TYPES: [&str; 6] = ["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"];
/// Whether each of a topic's messages is stored once, by the unique key of its producer: if it is `true`.
pub(crate) const STORE_ONCE: &str = "store.once";
const TRUTHS: [&str; 2] = ["true", "false"];

/// One change as it was written: a name with its sign, and a value where there is one.
type Change<'a> = (&'a str, Option<&'a str>);

fn refuse(text: impl Into<String>) -> Response {
    Response::refuse(response::INVALID_PARAMETER, text.into())
}

/// Carries out changes such as `+message.type=FIFO,-store.once`.
///
/// # Errors
///
/// 29 for a text that is no list of changes, and for attributes that mean nothing here.
pub(crate) fn changed(current: Attributes, changes: &str) -> Result<Attributes, Response> {
    let pieces = changes.split(',').map(str::trim).filter(|change| !change.is_empty());
    let changes = pieces.map(|change| match change.split_once('=') {
        Some((name, value)) if name.starts_with('+') => Ok((name, Some(value))),
        None if change.starts_with('-') => Ok((change, None)),
        _ => Err(refuse(format!(
            "{:?} is no change of an attribute: that is +name=value or -name, several joined by commas",
            names::shown(change)
        ))),
    });
    apply(current, changes)
}

/// The same for a map as lists of topics have it: `+name` or the bare name with the value, `-name` with any.
///
/// # Errors
///
/// 29 for attributes that mean nothing here.
pub(crate) fn merged(current: Attributes, changes: &Attributes) -> Result<Attributes, Response> {
    let signed = |(name, value): (&'_ String, &'_ String)| -> (String, String) {
        let bare = !name.starts_with(['+', '-']);
        (if bare { format!("+{name}") } else { name.clone() }, value.clone())
    };
    let changes: Vec<_> = changes.iter().map(signed).collect();
    apply(current, changes.iter().map(|(name, value)| Ok((name.as_str(), Some(value.as_str())))))
}

fn apply<'a>(
    current: Attributes,
    changes: impl Iterator<Item = Result<Change<'a>, Response>>,
) -> Result<Attributes, Response> {
    let mut attributes = current;
    let mut seen: Vec<&str> = Vec::new();
    for change in changes {
        let (signed, value) = change?;
        let (sign, name) = signed.split_at(1);
        let (name, value) = (name.trim(), value.unwrap_or_default().trim());
        if seen.contains(&name) {
            return Err(refuse(format!("the attribute {} is changed twice", names::shown(name))));
        }
        let goes = sign == "-" && attributes.contains_key(name);
        if !goes {
            check(name, (sign == "+").then_some(value))?;
        }
        seen.push(name);
        if sign == "+" {
            attributes.insert(name.to_owned(), value.to_owned());
        } else {
            attributes.remove(name);
        }
    }
    Ok(attributes)
}

/// Refuses what would silently do nothing.
fn check(name: &str, value: Option<&str>) -> Result<(), Response> {
    let values: &[&str] = match name {
        MESSAGE_TYPE => &MESSAGE_TYPES,
        STORE_ONCE => &TRUTHS,
        _ => {
            let text = format!(
                "the attribute {:?} means nothing here, only {MESSAGE_TYPE} and {STORE_ONCE} do",
                names::shown(name)
            );
            return Err(refuse(text));
        }
    };
    match value {
        Some(value) if !values.contains(&value) => Err(refuse(format!(
            "the attribute {name} cannot be {:?}, only {}",
            names::shown(value),
            values.join(", ")
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn changes_are_added_to_what_is_there() {
        let first = changed(Attributes::new(), "+message.type=FIFO, +store.once=true,").unwrap();
        assert_eq!(first, of(&[("message.type", "FIFO"), ("store.once", "true")]));
        assert_eq!(changed(first.clone(), "").unwrap(), first);
        let second = changed(first.clone(), "-message.type,+store.once=false").unwrap();
        assert_eq!(second, of(&[("store.once", "false")]));
        assert_eq!(changed(second, "-message.type").unwrap(), of(&[("store.once", "false")]));
        let map = of(&[("-store.once", ""), ("message.type", "DELAY")]);
        assert_eq!(merged(first.clone(), &map).unwrap(), of(&[("message.type", "DELAY")]));
        assert_eq!(merged(first.clone(), &of(&[("+store.once", "false")])).unwrap()["store.once"], "false");
    }

    #[test]
    fn what_is_no_change_or_means_nothing_is_refused() {
        for (text, says) in [
            ("message.type=FIFO", "no change"),
            ("+message.type", "no change"),
            ("-message.type=FIFO", "no change"),
            ("=", "no change"),
            ("+", "no change"),
            ("-", "means nothing"),
            ("+=x", "means nothing"),
            ("+queue.type=BatchCQ", "means nothing"),
            ("-queue.type", "means nothing"),
            ("+message.type=fifo", "only UNSPECIFIED, NORMAL"),
            ("+store.once=yes", "only true, false"),
            ("+store.once=true,-store.once", "twice"),
        ] {
            let refusal = changed(Attributes::new(), text).unwrap_err();
            assert_eq!(refusal.code, response::INVALID_PARAMETER, "{text}");
            assert!(refusal.remark.as_ref().unwrap().contains(says), "{text}: {:?}", refusal.remark);
        }
        assert!(merged(Attributes::new(), &of(&[("", "")])).is_err());
        assert!(merged(Attributes::new(), &of(&[("+store.once", "true"), ("store.once", "true")])).is_err());
    }
}
