//! Groups and what they have: settings, progress, attributes; deleted, reset, listed; the same after every reopen.

use mainspring::{ATTRIBUTES_BYTES_MAX, ErrorKind, GroupConfig, Progress, Store, TopicConfig};

use crate::rig::Rig;

fn at(topic: &str, queue: u32, offset: u64) -> Progress {
    Progress { topic: topic.to_owned(), queue, offset }
}

fn filled(rig: &Rig) -> Store {
    let store = rig.open();
    for group in ["a", "a0", "b"] {
        store.put_group(&GroupConfig::new(group)).unwrap();
    }
    store.set_progress("a", &[at("t", 1, 5), at("t", 0, 4), at("u", 0, 6)]).unwrap().wait().unwrap();
    store.set_progress("a0", &[at("u", 7, 1)]).unwrap().wait().unwrap();
    store.commit_offset("b", "t", 2, 9).unwrap().wait().unwrap();
    store.set_progress("b", &[]).unwrap().wait().unwrap();
    store.flush().unwrap();
    store.step();
    store
}

#[test]
fn progress_is_listed_by_group_and_by_topic() {
    let rig = Rig::new();
    let store = rig.again(filled(&rig));
    assert_eq!(store.progress("a"), [at("t", 0, 4), at("t", 1, 5), at("u", 0, 6)]);
    assert_eq!(store.progress("a0"), [at("u", 7, 1)]);
    assert_eq!(store.progress(""), []);
    assert_eq!(store.progress("c"), []);
    assert_eq!(
        (store.groups_of("t"), store.groups_of("u")),
        (vec!["a".into(), "b".into()], vec!["a".into(), "a0".into()])
    );
    assert!(store.groups_of("").is_empty() && store.groups_of("v").is_empty());
}

#[test]
fn a_group_is_deleted_with_its_progress_or_without() {
    let rig = Rig::new();
    let store = filled(&rig);
    store.delete_group("a", true).unwrap();
    store.delete_group("b", false).unwrap();
    store.delete_group("unknown", true).unwrap();
    let store = rig.again(store);
    assert_eq!(store.groups().iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["a0"]);
    assert!(store.progress("a").is_empty());
    assert_eq!((store.progress("a0"), store.progress("b")), (vec![at("u", 7, 1)], vec![at("t", 2, 9)]));
}

#[test]
fn progress_is_forgotten_as_far_as_is_said() {
    let rig = Rig::new();
    let store = filled(&rig);
    store.clear_progress(Some("a"), Some("t")).unwrap().wait().unwrap();
    assert_eq!(store.progress("a"), [at("u", 0, 6)]);
    assert_eq!(store.groups_of("t"), ["b"]);
    store.clear_progress(None, Some("u")).unwrap().wait().unwrap();
    let store = rig.again(store);
    assert!(store.progress("a").is_empty() && store.progress("a0").is_empty());
    assert_eq!(store.progress("b"), [at("t", 2, 9)]);
    for (group, topic) in [(None, None), (Some(""), None), (Some(""), Some(""))] {
        assert_eq!(store.clear_progress(group, topic).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn attributes_stay_until_new_settings_come() {
    let rig = Rig::new();
    let store = rig.open();
    let attributes = [("message.type", "DELAY"), ("x", "")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let topic = TopicConfig { attributes: attributes.clone().into(), ..TopicConfig::new("t", 2) };
    let group = GroupConfig { attributes: attributes.into(), ..GroupConfig::new("g") };
    store.put_topic(&topic).unwrap();
    store.put_group(&group).unwrap();
    store.put_topic(&TopicConfig { name: "u".into(), ..topic.clone() }).unwrap();
    store.put_topic(&TopicConfig::new("u", 1)).unwrap();
    let store = rig.again(store);
    assert_eq!((store.topic("t").as_deref(), store.group("g").as_deref()), (Some(&topic), Some(&group)));
    assert_eq!(store.topic("u").as_deref(), Some(&TopicConfig::new("u", 1)));
    store.delete_topic("t").unwrap();
    store.put_topic(&TopicConfig::new("t", 1)).unwrap();
    store.delete_group("g", false).unwrap();
    let store = rig.again(store);
    assert_eq!(store.topic("t").as_deref(), Some(&TopicConfig::new("t", 1)));
    let long = [("x".to_owned(), "y".repeat(ATTRIBUTES_BYTES_MAX))];
    let unnamed = [(String::new(), "y".to_owned())];
    for bad in [long, unnamed] {
        let topic = TopicConfig { attributes: bad.clone().into(), ..TopicConfig::new("t", 1) };
        let group = GroupConfig { attributes: bad.into(), ..GroupConfig::new("g") };
        assert_eq!(store.put_topic(&topic).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(store.put_group(&group).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
