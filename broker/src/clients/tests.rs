use tokio::sync::mpsc::Receiver;

use super::*;
use crate::{
    clients::{
        kept::{CONNECTION_BYTES_MAX, FREE_BYTES},
        peer::{Port, Push},
    },
    filter::Filter,
};

fn peer(id: u64) -> (Arc<Peer>, Receiver<Box<Push>>) {
    let (peer, queue) = Peer::new(id, "127.0.0.1:1".parse().unwrap(), Port::Broker);
    (Arc::new(peer), queue)
}

fn beat(client: &str, expression: &str, version: i64) -> Heartbeat {
    let text = format!(
        r#"{{"clientID":"{client}","producerDataSet":[{{"groupName":"P"}}],"consumerDataSet":[{{"groupName":"G",
        "subscriptionDataSet":[{{"topic":"T","subString":"{expression}","subVersion":{version}}}]}}]}}"#
    );
    Heartbeat::parse(text.as_bytes()).unwrap()
}

fn told(queue: &mut Receiver<Box<Push>>) -> usize {
    std::iter::from_fn(|| queue.try_recv().ok()).count()
}

#[test]
fn a_connection_is_in_so_many_groups() {
    let clients = Clients::new(1 << 20);
    let (peer, _queue) = peer(1);
    let beat = |from: usize, count: usize| {
        let groups: Vec<_> = (from..from + count).map(|n| format!(r#"{{"groupName":"P{n}"}}"#)).collect();
        let text = format!(r#"{{"clientID":"a","producerDataSet":[{}]}}"#, groups.join(","));
        Heartbeat::parse(text.as_bytes()).unwrap()
    };
    for from in [0, 1024] {
        clients.heartbeat(&peer, &beat(from, 1024), &Software::default(), from as u64).unwrap();
    }
    // Those it is in stay its own; one that it leaves makes room.
    let refused = Err(TooMuch::Groups(MEMBERSHIPS_MAX));
    let heard = |beat: &Heartbeat| clients.heartbeat(&peer, beat, &Software::default(), 1);
    assert_eq!((heard(&beat(0, 1024)), heard(&beat(2048, 1))), (Ok(false), refused));
    clients.unregister(&peer, Some("P7"), None);
    assert_eq!((heard(&beat(2048, 2)), heard(&beat(2048, 1))), (refused, Ok(false)));
    clients.expire(EXPIRE_AFTER_MS + 2);
    assert_eq!((peer.memberships(), clients.counts().0), (1024, 1024));
    clients.disconnected(&peer);
    assert_eq!(peer.memberships(), 0);
}

#[test]
fn members_hear_of_joins_and_leaves() {
    let clients = Clients::new(1 << 20);
    let (a, mut to_a) = peer(1);
    let (b, mut to_b) = peer(2);
    clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 0).unwrap();
    clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 1).unwrap();
    assert_eq!(told(&mut to_a), 1);
    clients.heartbeat(&b, &beat("b", "*", 1), &Software::default(), 2).unwrap();
    assert_eq!((told(&mut to_a), told(&mut to_b)), (1, 1));
    assert_eq!(clients.consumer_ids("G"), ["a", "b"]);
    assert_eq!(clients.counts(), (2, 2));
    clients.unregister(&b, Some("P"), Some("G"));
    assert_eq!((told(&mut to_a), told(&mut to_b)), (1, 0));
    clients.disconnected(&a);
    assert!(clients.consumer_ids("G").is_empty());
    assert_eq!(clients.subscription("G", "T").err(), Some(Offline));
    assert_eq!(clients.counts(), (0, 0));
}

#[test]
fn a_heartbeat_without_subscriptions_leaves_them_alone() {
    let clients = Clients::new(1 << 20);
    let (a, mut to_a) = peer(1);
    let (b, mut to_b) = peer(2);
    let short = |client| Heartbeat {
        without_subscriptions: true,
        consumers: beat(client, "", 0)
            .consumers
            .into_iter()
            .map(|data| ConsumerData { subscriptions: Vec::new(), ..data })
            .collect(),
        ..beat(client, "", 0)
    };
    let software = Software { language: String::from("JAVA"), version: 479 };
    assert!(clients.heartbeat(&b, &short("b"), &software, 0).unwrap());
    assert_eq!(clients.subscription("G", "T").err(), Some(Offline), "nobody has said anything yet");
    assert!(clients.heartbeat(&a, &beat("a", "x", 5), &software, 0).unwrap());
    assert_eq!((told(&mut to_a), told(&mut to_b)), (1, 2));
    assert!(!clients.heartbeat(&a, &short("a"), &software, 1).unwrap());
    assert!(!clients.heartbeat(&b, &short("b"), &software, 1).unwrap());
    assert_eq!(clients.subscription("G", "T").unwrap().unwrap().expression, "x");
    assert_eq!((told(&mut to_a), told(&mut to_b)), (0, 0));
}

#[test]
fn of_two_clients_with_one_id_the_last_heard_is_spoken_to() {
    let clients = Clients::new(1 << 20);
    let (a, _keep_a) = peer(1);
    let (b, _keep_b) = peer(2);
    let software = Software { language: String::from("CPP"), version: 63 };
    clients.heartbeat(&b, &beat("same", "*", 1), &software, 0).unwrap();
    clients.heartbeat(&a, &beat("same", "*", 1), &software, 5).unwrap();
    assert_eq!(clients.consumer_ids("G"), ["same"]);
    assert_eq!(clients.member("G", "same").unwrap().peer.id, 1);
    assert_eq!(clients.member("G", "same").unwrap().software, software);
    clients.heartbeat(&b, &beat("same", "*", 1), &software, 5).unwrap();
    assert_eq!((clients.producer("same").unwrap().peer.id, clients.members("G").len()), (2, 2));
    assert!(clients.member("G", "other").is_none() && clients.producer("other").is_none());
    clients.disconnected(&b);
    assert_eq!(clients.member("G", "same").unwrap().peer.id, 1);
}

#[test]
fn newer_subscriptions_win_and_are_told() {
    let clients = Clients::new(1 << 20);
    let (a, mut queue) = peer(1);
    clients.heartbeat(&a, &beat("a", "x", 5), &Software::default(), 0).unwrap();
    told(&mut queue);
    clients.heartbeat(&a, &beat("a", "y", 4), &Software::default(), 0).unwrap();
    let subscription = clients.subscription("G", "T").unwrap().unwrap();
    assert_eq!((subscription.expression.as_str(), told(&mut queue)), ("x", 0));
    clients.heartbeat(&a, &beat("a", "y", 6), &Software::default(), 0).unwrap();
    assert_eq!(clients.subscription("G", "T").unwrap().unwrap().filter(), Ok(Filter::tags("y").into()));
    assert!(told(&mut queue) == 1 && clients.subscription("G", "U").unwrap().is_none());
}

#[test]
fn what_a_group_never_read_is_known_only_without_doubt() {
    let clients = Clients::new(1 << 20);
    let (a, _keep_a) = peer(1);
    let (b, _keep_b) = peer(2);
    assert!(!clients.never_read("G", "U", Some(&a)), "nobody is online");
    clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 0).unwrap();
    assert!(clients.never_read("G", "U", Some(&a)) && clients.never_read("G", "U", None));
    assert!(!clients.never_read("G", "T", Some(&a)), "it is subscribed");
    assert!(!clients.never_read("G", "U", Some(&b)), "a stranger may know more");
    clients.pulls("G", "U");
    assert!(!clients.never_read("G", "U", Some(&a)), "it was pulled");
    for i in 0..2 * TOPICS_READ_MAX {
        clients.pulls("G", &i.to_string());
    }
    assert!(!clients.never_read("G", "V", Some(&a)), "too many to remember");
    assert_eq!(clients.consumer_ids_at("G", a.address.ip()), ["a"]);
}

#[test]
fn silent_clients_are_dropped() {
    let clients = Clients::new(1 << 20);
    let (a, _keep_a) = peer(1);
    let (b, mut to_b) = peer(2);
    clients.heartbeat(&a, &beat("a", "*", 1), &Software::default(), 0).unwrap();
    clients.heartbeat(&b, &beat("b", "*", 1), &Software::default(), 60_000).unwrap();
    told(&mut to_b);
    clients.expire(120_000);
    assert_eq!(clients.consumer_ids("G").len(), 2);
    clients.expire(120_001);
    assert_eq!((clients.consumer_ids("G"), told(&mut to_b)), (vec![String::from("b")], 1));
}

/// A heartbeat of one group with so many bytes of tags.
fn heavy(group: &str, bytes: usize) -> Heartbeat {
    let mut beat = beat("c", &"x".repeat(bytes), 1);
    beat.producers.clear();
    beat.consumers[0].group_name = group.to_owned();
    beat
}

#[test]
fn what_heartbeats_say_counts_until_their_client_leaves() {
    let clients = Clients::new(64 << 10);
    let hear = |peer: &Arc<Peer>, beat: &Heartbeat| clients.heartbeat(peer, beat, &Software::default(), 0);
    let ((hostile, _a), (good, _b)) = (peer(1), peer(2));
    hear(&hostile, &heavy("G0", 8 << 10)).unwrap();
    hear(&hostile, &heavy("G1", 8 << 10)).unwrap();
    let full = Err(TooMuch::Together(64 << 10));
    assert_eq!(hear(&hostile, &heavy("G2", 8 << 10)), full);
    assert!(clients.model("G2").is_none(), "nothing of it was taken in");
    // What was said before may be said again, and others have what is free.
    assert_eq!(hear(&hostile, &heavy("G1", 8 << 10)), Ok(false));
    assert_eq!((hear(&good, &heavy("H", 2 << 10)), hear(&good, &heavy("I", 8 << 10))), (Ok(true), full));
    assert!(clients.kept_bytes() > 48 << 10 && good.kept_bytes() < FREE_BYTES);
    clients.unregister(&hostile, None, Some("G0"));
    assert_eq!(hear(&hostile, &heavy("G2", 8 << 10)), Ok(true));
    clients.disconnected(&hostile);
    assert_eq!((hostile.kept_bytes(), clients.kept_bytes()), (0, 0));
    assert_eq!(hear(&good, &heavy("I", 8 << 10)), Ok(true));
}

#[test]
fn what_a_group_wants_counts_for_a_member_that_is_there() {
    let clients = Clients::new(1 << 20);
    let hear = |peer: &Arc<Peer>, beat: &Heartbeat| clients.heartbeat(peer, beat, &Software::default(), 0);
    let ((first, _a), (second, _b)) = (peer(1), peer(2));
    hear(&first, &heavy("G", 32 << 10)).unwrap();
    let short = Heartbeat { without_subscriptions: true, ..heavy("G", 1) };
    hear(&second, &short).unwrap();
    assert!(first.kept_bytes() > 128 << 10 && second.kept_bytes() < 2 << 10);
    // The subscription outlives who named it, so it is no way to leave behind what counts for nobody.
    clients.disconnected(&first);
    assert!(first.kept_bytes() == 0 && second.kept_bytes() > 128 << 10);
    let lighter = Heartbeat { consumers: beat("c", "y", 2).consumers, ..heavy("G", 1) };
    hear(&second, &lighter).unwrap();
    assert!(second.kept_bytes() < 4 << 10);
    clients.disconnected(&second);
    assert_eq!((second.kept_bytes(), clients.kept_bytes()), (0, 0));
}

#[test]
fn a_connection_has_a_bound_of_its_own() {
    let clients = Clients::new(1 << 30);
    let hear = |peer: &Arc<Peer>, beat: &Heartbeat| clients.heartbeat(peer, beat, &Software::default(), 0);
    let (one, _queue) = peer(1);
    let taken = (0..64).take_while(|n| hear(&one, &heavy(&format!("G{n}"), 100_000)).is_ok()).count();
    assert!(taken > 5 && one.kept_bytes() <= CONNECTION_BYTES_MAX, "{taken}");
    assert!(matches!(hear(&one, &heavy("H", 100_000)), Err(TooMuch::Connection(_))));
    // Topics that are only pulled are remembered while there is room, and then nothing is known for sure.
    let mut n = 0;
    while clients.never_read("G0", "U", None) {
        n += 1;
        clients.pulls("G0", &n.to_string());
        assert!(n <= TOPICS_READ_MAX && one.kept_bytes() <= CONNECTION_BYTES_MAX);
    }
    clients.disconnected(&one);
    assert_eq!((one.kept_bytes(), clients.kept_bytes()), (0, 0));
}
