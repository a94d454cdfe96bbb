use std::collections::HashMap;

use mainspring::record::properties;
use proptest::prelude::*;

use super::*;

const MESSAGE: &[(&str, &str)] = &[
    ("a", "5"),
    ("b", "abc"),
    ("c", "2.5"),
    ("d", "TRUE"),
    ("e", "-3"),
    ("quote", "it's"),
    ("TAGS", "TagA"),
    ("big", "9007199254740993"),
    ("_x$1", "é"),
];

fn selects(text: &str) -> Result<bool, SqlError> {
    let raw = properties::build(MESSAGE.iter().copied());
    Expression::parse(text).map(|expression| expression.selects(&raw))
}

#[test]
fn selects_what_rocketmq_selects() {
    let true_ones = "a > 4|a >= 5|a<6|a <= 5.0|a = 5|a <> 6|a = '5'|b = 'abc'|b <> 'x'|a BETWEEN 5 AND 5|\
        a between 0 and 10 AND b = 'abc'|a NOT BETWEEN 6 AND 9|b IN ('x', 'abc')|b not in ('x')|none IS NULL|\
        b IS NOT NULL|d = TRUE|b = FALSE|TRUE|NOT FALSE|not (none = 1) OR TRUE|b CONTAINS 'bc'|b STARTSWITH 'ab'|\
        b ENDSWITH 'bc'|b NOT CONTAINS 'x'|b not startswith 'b'|b NOT ENDSWITH 'b'|quote = 'it''s'|TAGS = 'TagA'|\
        c > 2|c < 2.51|e = -3|e < -2.5|e > - 4|a > +4|-1 < a|c = 25e-1|c = .25E1|c = 2.5|a > 4l|a=5AND b='abc'|\
        (a > 4 OR none = 1) AND NOT (b = 'x')|a > 1 OR a > 2 AND a > 9|big > 9007199254740992|_x$1 = 'é'|\
        (a > 4) = TRUE|none = 1 IS NULL|a = 5 = TRUE|NOT (none CONTAINS 'x')|'5' = a|a = 5 AND\t\n b = 'abc'|5 = 5|\
        c BETWEEN 2 AND 3|a > e|TRUE OR NULL";
    for text in true_ones.split('|') {
        assert_eq!(selects(text), Ok(true), "{text}");
    }
    let others = "a > 5|none > 1|none <> 1|NOT (none > 1)|none IN ('x')|none NOT IN ('x')|NOT (none IN ('x'))|b > 1|\
        b = 1|b <> 1|NOT (b > 1)|b = 'ABC'|B = 'abc'|a|d|NULL|none|NOT a|none CONTAINS 'x'|none NOT CONTAINS 'x'|\
        b CONTAINS ''|b NOT CONTAINS ''|a BETWEEN 6 AND 9|none BETWEEN 1 AND 9|none NOT BETWEEN 1 AND 9|a IS NULL|\
        none IS NOT NULL|b IN ('ab','bcd')|TRUE AND NULL|FALSE OR NULL|d = FALSE|TRUE = 5|big > 9007199254740993|\
        a = none|none = none|5 CONTAINS '5'|a > b";
    for text in others.split('|') {
        if text != "NOT a" {
            assert_eq!(selects(text), Ok(false), "{text}");
        }
    }
    assert_eq!(selects("NOT a"), Ok(true), "a text is not TRUE");
}

#[test]
fn refuses_what_means_nothing_and_says_where() {
    for (text, at, part) in [
        ("", 0, "found the end"),
        ("   ", 3, "found the end"),
        ("*", 0, "unexpected '*'"),
        ("a >", 3, "found the end"),
        ("a > 5 foo", 6, "found foo"),
        ("a = 'x", 4, "closing quote"),
        ("a > 'x'", 4, "by size"),
        ("'x' > a", 0, "by size"),
        ("a > TRUE", 4, "by size"),
        ("a BETWEEN 3 AND 1", 10, "above the second"),
        ("a BETWEEN 3", 11, "expected AND"),
        ("a BETWEEN NULL AND 1", 10, "by size"),
        ("a = NULL", 4, "IS NULL"),
        ("a IS 5", 5, "expected NULL"),
        ("a IN (1)", 6, "single quotes"),
        ("a IN ('x'", 9, "expected )"),
        ("'x' IN ('x')", 0, "only a property"),
        ("a CONTAINS b", 11, "single quotes"),
        ("a AND 5", 6, "condition"),
        ("5", 0, "condition"),
        ("NOT 'x'", 4, "condition"),
        ("NOT a = 5", 6, "parentheses"),
        ("NOT (a = 5) IS NULL", 12, "parentheses"),
        ("-a > 5", 1, "minus"),
        ("a > 9223372036854775808", 4, "out of range"),
        ("a > 1e999", 4, "out of range"),
        ("a > 1.5L", 4, "out of range"),
        ("(a > 5", 6, "expected )"),
        ("a > 5)", 5, "found )"),
        ("AND a", 0, "found AND"),
        ("a LIKE 'x'", 2, "found LIKE"),
        ("a > 5 AND é = 1", 10, "unexpected 'é'"),
        ("a == 5", 3, "found ="),
        ("a.b = 5", 1, "unexpected '.'"),
    ] {
        let error = Expression::parse(text).unwrap_err();
        assert!(error.at == at && error.what.contains(part), "{text}: {error}");
    }
}

#[test]
fn depth_length_and_names_are_bounded() {
    let nested = |n| format!("{}TRUE{}", "(".repeat(n), ")".repeat(n));
    assert!(Expression::parse(&nested(DEPTH_MAX - 1)).is_ok());
    for deep in [
        nested(DEPTH_MAX),
        nested(4_000),
        format!("{}TRUE", "NOT ".repeat(2_000)),
        format!("a > {}1", "- ".repeat(4_000)),
        format!("a{}", " = b".repeat(2_000)),
        format!("a{}", " IS NULL".repeat(1_000)),
        format!("a{}", " CONTAINS 'x'".repeat(500)),
    ] {
        let error = Expression::parse(&deep).unwrap_err();
        assert!(error.what.contains("nested"), "{error}");
    }
    // Wide is not deep.
    let wide = vec!["a = 5"; TEXT_BYTES_MAX / 10].join(" AND ");
    assert_eq!(selects(&wide), Ok(true));
    assert!(Expression::parse(&" ".repeat(TEXT_BYTES_MAX + 1)).unwrap_err().what.contains("bytes"));
    let many = |n| (0..n).map(|i| format!("p{i} = 1")).collect::<Vec<_>>().join(" OR ");
    assert!(Expression::parse(&many(PROPERTIES_MAX)).is_ok());
    assert!(Expression::parse(&many(PROPERTIES_MAX + 1)).unwrap_err().what.contains("different"));
}

#[test]
fn the_last_of_two_properties_counts_and_broken_ones_do_not() {
    let one = Expression::parse("a = '2' AND b IS NULL").unwrap();
    assert!(one.selects(b"a\x011\x02b\x01\x02a\x012\x02b"));
    assert!(!one.selects(b"a\x012\x02a\x011"));
}

/// A condition as a test writes it.
#[derive(Debug, Clone)]
enum Given {
    Order(String, usize, String),
    Equal(String, bool, Literal),
    Between(String, bool, i64, i64),
    In(String, bool, Vec<String>),
    Null(String, bool),
    Search(String, bool, usize, String),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, Clone)]
enum Literal {
    Text(String),
    Number(String),
    Truth(bool),
}

const ORDERS: [&str; 4] = ["<", "<=", ">", ">="];
const SEARCHES: [&str; 3] = ["CONTAINS", "startswith", "EndsWith"];

impl Given {
    fn text(&self) -> String {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        let quoted = |text: &String| format!("'{}'", text.replace('\'', "''"));
        match self {
            Self::Order(name, how, number) => format!("{name}{}{number}", ORDERS[*how]),
            Self::Equal(name, negated, literal) => {
                let literal = match literal {
                    Literal::Text(text) => quoted(text),
                    Literal::Number(number) => number.clone(),
                    Literal::Truth(truth) => truth.to_string(),
                };
                format!("{name} {} {literal}", if *negated { "<>" } else { "=" })
            }
            Self::Between(name, negated, low, high) => {
                format!("{name} {}BETWEEN {low} and {high}", not(negated))
            }
            Self::In(name, negated, texts) => {
                let texts: Vec<String> = texts.iter().map(quoted).collect();
                format!("{name} {}IN ({})", not(negated), texts.join(" ,"))
            }
            Self::Null(name, negated) => format!("{name} is {}null", not(negated)),
            Self::Search(name, negated, how, text) => {
                format!("{name} {}{} {}", not(negated), SEARCHES[*how], quoted(text))
            }
            Self::Not(inner) => format!("Not ({})", inner.text()),
            Self::And(left, right) => format!("({}) AND ({})", left.text(), right.text()),
            Self::Or(left, right) => format!("({}) or ({})", left.text(), right.text()),
        }
    }

    /// What it comes to, said in another way than the evaluator does.
    fn naive(&self, message: &HashMap<String, String>) -> Option<bool> {
        // To Rust `inf` and `NaN` are numbers.
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite());
        match self {
            Self::Order(name, how, bound) => {
                let (left, right) = (number(message.get(name)?)?, number(bound).unwrap());
                Some([left < right, left <= right, left > right, left >= right][*how])
            }
            Self::Equal(name, negated, literal) => {
                let found = message.get(name)?;
                let equal = match literal {
                    Literal::Text(text) => text == found,
                    Literal::Number(literal) => number(found)? == number(literal).unwrap(),
                    Literal::Truth(truth) => (found.to_lowercase() == "true") == *truth,
                };
                Some(equal != *negated)
            }
            Self::Between(name, negated, low, high) => {
                let found = number(message.get(name)?)?;
                Some((number(&low.to_string())? <= found && found <= number(&high.to_string())?) != *negated)
            }
            Self::In(name, negated, texts) => Some(texts.contains(message.get(name)?) != *negated),
            Self::Null(name, negated) => Some(message.contains_key(name) == *negated),
            Self::Search(name, negated, how, text) => {
                let Some(found) = message.get(name).filter(|_| !text.is_empty()) else { return Some(false) };
                let hit = [found.contains(text), found.starts_with(text), found.ends_with(text)][*how];
                Some(hit != *negated)
            }
            Self::Not(inner) => Some(!inner.naive(message)?),
            Self::And(left, right) => match (left.naive(message), right.naive(message)) {
                (Some(true), Some(true)) => Some(true),
                (Some(false), _) | (_, Some(false)) => Some(false),
                _ => None,
            },
            Self::Or(left, right) => match (left.naive(message), right.naive(message)) {
                (Some(false), Some(false)) => Some(false),
                (Some(true), _) | (_, Some(true)) => Some(true),
                _ => None,
            },
        }
    }
}

fn a_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "_d"]).prop_map(String::from)
}

fn a_value() -> impl Strategy<Value = String> {
    prop_oneof![
        (-5..5_i64).prop_map(|n| n.to_string()),
        (-50..50_i32).prop_map(|n| format!("{}", f64::from(n) / 10.0)),
        prop::sample::select(vec!["true", "TRUE", "false", "x", "xy", "it's", "5x", "inf", "NaN"])
            .prop_map(String::from),
    ]
}

fn a_number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-5..5_i64).prop_map(|n| n.to_string()),
        (-50..50_i32).prop_map(|n| format!("{:.1}", f64::from(n) / 10.0))
    ]
}

fn a_condition() -> impl Strategy<Value = Given> {
    let literal = prop_oneof![
        a_value().prop_map(Literal::Text),
        a_number().prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Truth),
    ];
    let part = prop::sample::select(vec!["", "x", "y", "'", "t", "5"]).prop_map(String::from);
    let leaf =
        prop_oneof![
            (a_name(), 0..4_usize, a_number()).prop_map(|(n, how, to)| Given::Order(n, how, to)),
            (a_name(), any::<bool>(), literal).prop_map(|(n, negated, to)| Given::Equal(n, negated, to)),
            (a_name(), any::<bool>(), -5..5_i64, 0..5_i64)
                .prop_map(|(n, negated, low, more)| Given::Between(n, negated, low, low + more)),
            (a_name(), any::<bool>(), prop::collection::vec(a_value(), 1..8))
                .prop_map(|(n, negated, texts)| Given::In(n, negated, texts)),
            (a_name(), any::<bool>()).prop_map(|(n, negated)| Given::Null(n, negated)),
            (a_name(), any::<bool>(), 0..3_usize, part)
                .prop_map(|(n, negated, how, text)| Given::Search(n, negated, how, text)),
        ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Given::Not(one.into())),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| Given::And(l.into(), r.into())),
            (inner.clone(), inner).prop_map(|(l, r)| Given::Or(l.into(), r.into())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_a_naive_evaluator(
        given in a_condition(),
        messages in prop::collection::vec(prop::collection::hash_map(a_name(), a_value(), 0..4), 1..8),
    ) {
        let text = given.text();
        let expression = Expression::parse(&text).unwrap();
        for message in messages {
            let raw = properties::build(message.iter().map(|(name, value)| (&**name, &**value)));
            let expected = given.naive(&message) == Some(true);
            prop_assert!(expression.selects(&raw) == expected, "{text} of {message:?}");
        }
    }

    #[test]
    fn nothing_makes_the_parser_panic(text in "[-a-cANDORTI0-9.'() <>=,+LeE\\\\é]{0,60}", raw in prop::collection::vec(any::<u8>(), 0..60)) {
        match Expression::parse(&text) {
            Ok(expression) => drop(expression.selects(&raw)),
            Err(error) => prop_assert!(error.at <= text.len() && !error.what.is_empty()),
        }
    }
}

/// Bytes of a tree on the heap; what an allocation costs beside is 16 bytes.
fn heap_bytes(node: &Node) -> usize {
    let all = |nodes: &Vec<Node>| {
        nodes.capacity() * size_of::<Node>() + nodes.iter().map(heap_bytes).sum::<usize>() + 16
    };
    match node {
        Node::Text(text) => text.len() + 16,
        Node::Not(inner) | Node::IsNull(inner) => size_of::<Node>() + heap_bytes(inner) + 16,
        Node::And(parts) | Node::Or(parts) => all(parts),
        Node::Compare(_, both) => 2 * size_of::<Node>() + heap_bytes(&both.0) + heap_bytes(&both.1) + 16,
        Node::In(_, texts) => {
            texts.iter().map(|text| size_of::<Box<str>>() + text.len() + 16).sum::<usize>() + 16
        }
        Node::Search { within, text, .. } => size_of::<Node>() + heap_bytes(within) + text.len() + 32,
        Node::Property(_) | Node::Whole(_) | Node::Decimal(_) | Node::Truth(_) | Node::Null => 0,
    }
}

#[test]
fn a_tree_takes_no_more_than_is_counted_for_its_text() {
    for part in [
        "1=1",
        "a=1",
        "a<>1",
        "a IS NULL",
        "a IS NOT NULL",
        "TRUE",
        "a",
        "a BETWEEN 1 AND 2",
        "a<1",
        "NOT a",
        "a NOT BETWEEN 1 AND 2",
        "(a OR a)",
        "(a AND a)",
        "a CONTAINS''",
        "a IN('')",
        "a=1 AND a=1",
        "a IN('a','b','c')",
    ] {
        // The worst count of parts is one above a power of two, where a list has just grown.
        for count in (0..11).map(|power| (1 << power) + 1) {
            let text = vec![part; count].join(" OR ");
            let Ok(read) = Expression::parse(&text) else { continue };
            let names: usize = read.names.iter().map(|name| name.len() + 32).sum();
            let taken = names + size_of::<Expression>() + heap_bytes(&read.root);
            let counted = 256 + text.len() * (crate::clients::subscription::PER_SQL_BYTE - 1);
            assert!(taken <= counted, "{count} of {part}: {taken} bytes, {counted} are counted");
        }
    }
}
