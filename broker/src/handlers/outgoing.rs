//! What becomes of a message's properties on the way into the store.
//!
//! Removed: handles of earlier deliveries, and everything that says *when*, for a delayed record is stored as it will be
//! delivered. Added: a unique key where there is none, and where the message went. All others stay as written.

use mainspring::record::{
    layout::PROPERTIES_BYTES_MAX,
    properties::{self as name, put},
};
use memchr::memchr;

use crate::{
    broker::Settings,
    remoting::{Response, codes::response},
    unique_ids::UniqueIds,
};

/// Region that clients expect in properties and answers.
pub const REGION: &str = "DefaultRegion";

/// When a message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// At a delay level, 1 or above.
    Level(i32),
    /// At a time of the owner, in the future.
    At(i64),
}

/// The property by which a message asks to be stored once: `true` goes by its unique key, which a client keeps for all
/// tries of one message; any other text is a key of the producer's own; `false` asks for nothing.
pub const STORE_ONCE: &str = "STORE_ONCE";

/// What a message asks for by [`STORE_ONCE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOnce {
    /// Nothing: it goes as its topic says.
    Unasked,
    /// To be stored once, by its unique key.
    UniqueKey,
    /// To be stored once, by this key.
    Key(String),
}

impl StoreOnce {
    fn asked(value: &str) -> Self {
        match value.trim() {
            "" => Self::Unasked,
            text if text.eq_ignore_ascii_case("false") => Self::Unasked,
            text if text.eq_ignore_ascii_case("true") => Self::UniqueKey,
            key => Self::Key(key.to_owned()),
        }
    }
}

/// Properties as they are stored, and what they asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The text to store.
    pub text: Vec<u8>,
    /// The unique key, given or made.
    pub unique_key: Option<String>,
    /// When to deliver.
    pub due: Due,
    /// Whether the producer waits for the commit rule.
    pub wait: bool,
    /// Whether it is half of a transaction.
    pub transactional: bool,
    /// Whether it is to be stored once.
    pub once: StoreOnce,
    /// Whether the producer gave the unique key.
    pub key_given: bool,
    /// Whether it has a sharding key: its order counts.
    pub ordered: bool,
}

/// Whether a message without a unique key gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// It does.
    Make,
    /// It does not: parts of a batch go as they are.
    Leave,
}

/// Reads and rewrites the properties of one message. `now_ms` is asked only for what needs the time, since the store's
/// clock stands behind the lock of its appends.
///
/// # Errors
///
/// 13 for a delay that is no number, negative or beyond all time, or where the text grows too long.
pub fn prepare(
    given: &str,
    now_ms: impl Fn() -> i64,
    settings: &Settings,
    keys: (&UniqueIds, Keys),
) -> Result<Prepared, Response> {
    let mut text = Vec::with_capacity(given.len() + 128);
    let (mut unique_key, mut wait, mut transactional, mut ordered) = (None, true, false, false);
    let (mut once, mut delay) = (StoreOnce::Unasked, Delay::default());
    let mut rest = given;
    while !rest.is_empty() {
        let (pair, later) = split(rest, name::VALUE_END).unwrap_or((rest, ""));
        rest = later;
        let Some((key, value)) = split(pair, name::NAME_END).filter(|(k, v)| !k.is_empty() && !v.is_empty())
        else {
            continue;
        };
        match key {
            name::POP_CK | name::CLUSTER | name::MSG_REGION | name::TRACE_ON => continue,
            name::DELAY => delay.level = value.trim().parse().unwrap_or(0),
            name::TIMER_DELAY_SEC => delay.seconds = Some(value),
            name::TIMER_DELAY_MS => delay.milliseconds = Some(value),
            name::TIMER_DELIVER_MS => delay.deliver = Some(value),
            _ => {
                match key {
                    name::UNIQ_KEY => unique_key = Some(value.to_owned()),
                    name::WAIT => wait = !value.eq_ignore_ascii_case("false"),
                    name::SHARDING_KEY => ordered = true,
                    STORE_ONCE => once = StoreOnce::asked(value),
                    name::TRAN_MSG => transactional = value.eq_ignore_ascii_case("true"),
                    _ => {}
                }
                text.extend_from_slice(pair.as_bytes());
                text.push(name::VALUE_END);
            }
        }
    }
    let key_given = unique_key.is_some();
    if !key_given && keys.1 == Keys::Make {
        let made = keys.0.next(now_ms());
        put(&mut text, name::UNIQ_KEY, &made);
        unique_key = Some(made);
    }
    put(&mut text, name::MSG_REGION, REGION);
    put(&mut text, name::TRACE_ON, "true");
    put(&mut text, name::CLUSTER, &settings.cluster_name);
    if text.len() > PROPERTIES_BYTES_MAX {
        let why = format!("the properties have {} bytes, {PROPERTIES_BYTES_MAX} are allowed", text.len());
        return Err(Response::refuse(response::MESSAGE_ILLEGAL, why));
    }
    let due = delay.due(now_ms)?;
    Ok(Prepared { text, unique_key, due, wait, transactional, once, key_given, ordered })
}

/// What stands before and behind the first separator.
#[inline]
fn split(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr(separator, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

#[derive(Default)]
struct Delay<'a> {
    level: i32,
    seconds: Option<&'a str>,
    milliseconds: Option<&'a str>,
    deliver: Option<&'a str>,
}

impl Delay<'_> {
    /// A level above 0 wins over times; of those, seconds win over milliseconds over a moment.
    fn due(&self, now_ms: impl Fn() -> i64) -> Result<Due, Response> {
        if self.level > 0 {
            return Ok(Due::Level(self.level));
        }
        let (text, unit) = match (self.seconds, self.milliseconds, self.deliver) {
            (Some(text), _, _) => (text, Some(1000)),
            (None, Some(text), _) => (text, Some(1)),
            (None, None, Some(text)) => (text, None),
            (None, None, None) => return Ok(Due::Now),
        };
        let now_ms = now_ms();
        let at = match unit {
            Some(unit) => number(text).and_then(|n| n.checked_mul(unit)?.checked_add(now_ms)),
            None => number(text),
        };
        match at {
            Some(at) if at > now_ms => Ok(Due::At(at)),
            Some(_) => Ok(Due::Now),
            None => {
                let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
                let why = format!("a message cannot be delayed by or until {shown}");
                Err(Response::refuse(response::MESSAGE_ILLEGAL, why))
            }
        }
    }
}

fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|n| *n >= 0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;

    const NOW: i64 = 1_000_000;

    fn run(pairs: &[(&str, &str)], keys: Keys) -> Result<Prepared, Response> {
        let settings = Settings {
            cluster_name: "c".into(),
            ..Settings::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 10911))
        };
        let text: String = pairs.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect();
        prepare(&text, || NOW, &settings, (&UniqueIds::new(Ipv4Addr::LOCALHOST, 1, 1), keys))
    }

    fn due(pairs: &[(&str, &str)]) -> Result<Due, i32> {
        run(pairs, Keys::Make).map(|prepared| prepared.due).map_err(|refusal| refusal.code)
    }

    #[test]
    fn adds_and_removes_what_java_does() {
        let given = [("KEYS", "k"), ("POP_CK", "x"), ("DELAY", "3"), ("CLUSTER", "other"), ("WAIT", "false")];
        let made = run(&given, Keys::Make).unwrap();
        let key = made.unique_key.clone().unwrap();
        assert_eq!(name::get(&made.text, "UNIQ_KEY"), Some(key.as_str()));
        assert_eq!(name::get(&made.text, "CLUSTER"), Some("c"));
        assert_eq!(name::get(&made.text, "TRACE_ON"), Some("true"));
        for gone in ["POP_CK", "DELAY"] {
            assert_eq!(name::get(&made.text, gone), None, "{gone}");
        }
        assert!(!made.wait && !made.transactional && !made.ordered);
        let kept =
            run(&[("UNIQ_KEY", "u"), ("TRAN_MSG", "true"), ("__SHARDINGKEY", "s")], Keys::Make).unwrap();
        assert_eq!(kept.unique_key.as_deref(), Some("u"));
        assert!(kept.wait && kept.transactional && kept.ordered);
        assert_eq!(run(&[], Keys::Leave).unwrap().unique_key, None);
    }

    #[test]
    fn asking_to_be_stored_once() {
        let once = |value| run(&[("STORE_ONCE", value)], Keys::Make).unwrap().once;
        for unasked in ["", " ", "false", "FALSE"] {
            assert_eq!(once(unasked), StoreOnce::Unasked, "{unasked:?}");
        }
        assert_eq!((once("true"), once(" True ")), (StoreOnce::UniqueKey, StoreOnce::UniqueKey));
        assert_eq!(once("order-7"), StoreOnce::Key("order-7".into()));
        assert_eq!(run(&[], Keys::Make).unwrap().once, StoreOnce::Unasked);
        assert!(run(&[("UNIQ_KEY", "u")], Keys::Make).unwrap().key_given);
        let made = run(&[("STORE_ONCE", "true")], Keys::Make).unwrap();
        assert!(!made.key_given && made.unique_key.is_some());
        assert_eq!(name::get(&made.text, STORE_ONCE), Some("true"));
    }

    #[test]
    fn delays() {
        assert_eq!(due(&[]), Ok(Due::Now));
        assert_eq!(due(&[("DELAY", "19"), ("TIMER_DELAY_MS", "x")]), Ok(Due::Level(19)));
        assert_eq!(due(&[("DELAY", "0")]), Ok(Due::Now));
        assert_eq!(due(&[("TIMER_DELAY_SEC", "2"), ("TIMER_DELAY_MS", "1")]), Ok(Due::At(NOW + 2000)));
        assert_eq!(due(&[("TIMER_DELAY_MS", "1")]), Ok(Due::At(NOW + 1)));
        assert_eq!(due(&[("TIMER_DELIVER_MS", "1000001")]), Ok(Due::At(NOW + 1)));
        assert_eq!(due(&[("TIMER_DELIVER_MS", "5")]), Ok(Due::Now));
        for bad in ["-1", "x", "9223372036854775807", "9223372036854775808"] {
            assert_eq!(due(&[("TIMER_DELAY_SEC", bad)]), Err(13), "{bad}");
        }
        assert_eq!(due(&[("TIMER_DELAY_MS", "9223372036854775807")]), Err(13));
        assert_eq!(due(&[("TIMER_DELIVER_MS", "-5")]), Err(13));
    }

    #[test]
    fn too_long_is_told() {
        assert_eq!(run(&[("K", &"v".repeat(32_767))], Keys::Make).unwrap_err().code, 13);
    }
}
