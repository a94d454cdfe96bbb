"""The cases of the C++ client. `cases.py --list` names them, `cases.py NAME` runs one in this process."""

import json
import os
import sys
import threading
import time
import traceback

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def numbered(prefix, count):
    return [f"{prefix}-{number}" for number in range(count)]


# ---- producers ---------------------------------------------------------------------------------------------------

@case
def send_sync():
    topic = fresh("sync")
    sender = producer()
    ids = set()
    bodies = numbered("sync", 50)
    for body in bodies:
        result = sender.send_sync(message(topic, body))
        check_same(result.status, client.SendStatus.OK, "status")
        ids.add(result.msg_id)
    check_same(len(ids), len(bodies), "distinct message ids")
    Consumer(fresh("g"), topic).inbox.wait_exactly(bodies)


@case
def send_async():
    topic = fresh("async")
    sender = producer()
    send(sender, topic, ["first"])  # the route is known before the burst
    bodies = numbered("async", 200)
    done = threading.Semaphore(0)
    failures = []

    def failed(error):
        failures.append(str(error))
        done.release()

    sent = [message(topic, body) for body in bodies]
    for item in sent:
        sender.send_async(item, lambda _result: done.release(), failed)
    for number in range(len(bodies)):
        check(done.acquire(timeout=30), f"{number} of {len(bodies)} callbacks")
    check(not failures, f"{len(failures)} failed: {failures[:1]}")
    Consumer(fresh("g"), topic).inbox.wait_exactly(["first"] + bodies)


@case
def send_oneway():
    topic = fresh("oneway")
    sender = producer()
    bodies = numbered("oneway", 50)
    send(sender, topic, ["first"])
    for body in bodies:
        sender.send_oneway(message(topic, body))
    Consumer(fresh("g"), topic).inbox.wait_exactly(["first"] + bodies)


@case
def send_orderly():
    """The selector's queue takes all messages of one key, in order; both the sync and the one-way form."""
    topic = fresh("orderly")
    sender = producer()
    bodies = []
    for number in range(40):
        for key in (1, 2):
            body = f"{key}:{number}"
            bodies.append(body)
            if number % 4 == 3:
                sender.send_oneway_orderly(message(topic, body), key)
                time.sleep(0.02)  # one-way has no answer to wait for
            else:
                result = sender.send_orderly(message(topic, body), key)
                check_same(result.status, client.SendStatus.OK, "status")
    consumer = Consumer(fresh("g"), topic, orderly=True)
    consumer.inbox.wait_exactly(bodies)
    queues = {}
    for key in ("1", "2"):
        mine = [got for got in consumer.inbox.all() if got.body.startswith(key + ":")]
        check_same([got.body for got in mine], [body for body in bodies if body.startswith(key + ":")], f"order of {key}")
        queues[key] = {got.queue for got in mine}
        check_same(len(queues[key]), 1, f"queues of key {key}")
    check(queues["1"] != queues["2"], "both keys in one queue")


@case
def send_batch():
    """Core 1.2 sends code 10 with `batch` as "1", which has to mean true."""
    topic = fresh("batch")
    sender = producer()
    send(sender, topic, ["first"])
    bodies = numbered("batch", 10)
    result = sender.send_batch([message(topic, body, tags="t", keys=body) for body in bodies])
    check_same(result.status, client.SendStatus.OK, "status")
    consumer = Consumer(fresh("g"), topic)
    consumer.inbox.wait_exactly(["first"] + bodies)
    for got in consumer.inbox.all():
        if got.body != "first":
            check_same((got.tags, got.keys), ("t", got.body), f"tags and keys of {got.body}")


@case
def keys_and_properties():
    topic = fresh("properties")
    sender = producer()
    properties = {"colour": "red", "umlaut": "äöü 漢字", "with blank": "a b  c"}
    sender.send_sync(message(topic, "body", tags="tag", keys="k1 k2", properties=properties))
    consumer = Consumer(fresh("g"), topic, properties=list(properties) + ["UNIQ_KEY"])
    consumer.inbox.wait_exactly(["body"])
    got = consumer.inbox.all()[0]
    check_same((got.topic, got.tags, got.keys), (topic, "tag", "k1 k2"), "topic, tags, keys")
    check_same({name: got.properties[name] for name in properties}, properties, "properties")
    check_same(got.reconsume, 0, "reconsume times")
    check(abs(got.stored - got.born) < 60_000, f"born {got.born}, stored {got.stored}")


def body_of(size):
    topic = fresh("size")
    sender = producer()
    # Hexadecimal digits of random bytes: text, as the wheel's API needs, and not compressible to nothing.
    body = os.urandom(size // 2).hex()
    sender.send_sync(message(topic, body))
    sender.send_sync(message(topic, "x" * size))
    Consumer(fresh("g"), topic).inbox.wait_exactly([body, "x" * size])


@case
def body_20_kib():
    body_of(20 * 1024)


@case
def body_3_mib():
    body_of(3 * 1024 * 1024)


# ---- consumers ---------------------------------------------------------------------------------------------------

@case
def push_exactly_once():
    topic = fresh("push")
    bodies = numbered("push", 500)
    send(producer(), topic, bodies)
    Consumer(fresh("g"), topic).inbox.wait_exactly(bodies)


@case
def push_while_sending():
    """Long polls: a message sent while the consumer waits arrives at once."""
    topic = fresh("live")
    sender = producer()
    send(sender, topic, ["first"])
    consumer = Consumer(fresh("g"), topic)
    consumer.inbox.wait(1)
    time.sleep(3)  # all queues have a pull waiting
    bodies = numbered("live", 20)
    slowest = 0
    for number, body in enumerate(bodies):
        send(sender, topic, [body])
        got = consumer.inbox.wait(number + 2, 10)[-1]
        slowest = max(slowest, got.at - got.stored)
    consumer.inbox.wait_exactly(["first"] + bodies)
    check(slowest < 2000, f"the slowest came {slowest} ms after it was stored")


@case
def tag_filter():
    topic = fresh("tags")
    sender = producer()
    for number in range(60):
        sender.send_sync(message(topic, f"{'abc'[number % 3]}-{number}", tags="abc"[number % 3]))
    sender.send_sync(message(topic, "untagged"))
    wanted = [f"{'abc'[number % 3]}-{number}" for number in range(60) if number % 3 != 2]
    consumer = Consumer(fresh("g"), topic, "a || b")
    consumer.inbox.wait_exactly(wanted)
    check_same({got.tags for got in consumer.inbox.all()}, {"a", "b"}, "tags")


@case
def rebalance():
    """Two of one group share the queues; after one leaves the other gets the rest."""
    topic, group = fresh("rebalance"), fresh("g")
    sender = producer()
    send(sender, topic, ["first"])
    inbox = Inbox()
    one = Consumer(group, topic, inbox=inbox)
    inbox.wait(1)
    two = Consumer(group, topic, inbox=inbox)
    sent = ["first"]

    def spread():
        bodies = [f"{len(sent)}-{number}" for number in range(16)]
        send(sender, topic, bodies)
        sent.extend(bodies)
        inbox.wait_each(sent)
        return [len(set(bodies) & set(consumer.own.bodies())) for consumer in (one, two)]

    share_until(spread, [8, 8], "after the second came")
    two.close()
    share_until(spread, [16, 0], "after the second left")
    print(f"note {len(inbox.all()) - len(sent)} deliveries were repeats")


def share_until(spread, expected, what, limit_s=15):
    """Sends rounds of 16 over 4 queues until the consumers' shares are as expected."""
    deadline = time.monotonic() + limit_s
    while True:
        shares = spread()
        if shares == expected:
            return
        check(time.monotonic() < deadline, f"shares {what}: {shares}, expected {expected}")
        time.sleep(0.5)


@case
def push_broadcast():
    """Every member of the group gets everything, and what one fails does not come again."""
    topic, group = fresh("broadcast"), fresh("g")
    sender = producer()
    send(sender, topic, ["first"])

    def fails_one(got):
        # A failure costs a broadcast consumer of this client what came in the same pull behind it, so it comes alone.
        return LATER if got.body == "fails" else SUCCESS

    members = [Consumer(group, topic, listener=fails_one, model=client.MessageModel.BROADCASTING) for _ in range(2)]
    # A broadcast consumer of this client begins at the end of each queue, wherever that is when it first pulls.
    deadline = time.monotonic() + 40
    while not all(len({got.queue for got in member.inbox.all()}) == 4 for member in members):
        check(time.monotonic() < deadline, "a member does not get all queues")
        send(sender, topic, numbered(fresh("warm"), 4))
        time.sleep(0.5)
    bodies = numbered("all", 30)
    send(sender, topic, bodies)
    for member in members:
        member.inbox.wait_each(bodies)
    send(sender, topic, ["fails"])
    bodies.append("fails")
    for member in members:
        member.inbox.wait_each(bodies)
    time.sleep(3)
    for member in members:
        counts = [member.inbox.bodies().count(body) for body in bodies]
        check_same(counts, [1] * len(bodies), "deliveries")


@case
def running_info():
    """The client answers what the broker asks it for an administrator: 307."""
    topic, group = fresh("info"), fresh("g")
    send(producer(), topic, ["first"])
    consumer = Consumer(group, topic)
    consumer.inbox.wait(1)
    member = json.loads(ask_broker(38, {"consumerGroup": group}, topic))["consumerIdList"][0]
    asked = {"consumerGroup": group, "clientId": member, "jstackEnable": "false"}
    info = ask_broker(307, asked, topic)
    check(topic in info and "subscriptionSet" in info, f"no running info: {info[:200]}")


@case
def reset_while_consuming():
    """An administrator sets the group back to the begin while its member is online: it gets all again."""
    topic, group = fresh("reset"), fresh("g")
    bodies = numbered("again", 40)
    send(producer(), topic, bodies)
    consumer = Consumer(group, topic)
    consumer.inbox.wait_exactly(bodies, quiet_s=2)
    ask_broker(222, {"topic": topic, "group": group, "timestamp": "0", "isForce": "true"}, topic)
    consumer.inbox.wait(2 * len(bodies))
    time.sleep(2)
    # The client is told by a request (220) and by the answer to its pull. Where that finds the queue taken up again, some
    # ten milliseconds later, it follows that too: messages come once more, and none is missed.
    came = {consumer.inbox.bodies().count(body) for body in bodies}
    check(came <= {2, 3}, f"deliveries: {came}")


@case
def retry():
    """A failed message comes again by 36, counted, not before its level (3, then 4), and is done with success."""
    topic, group = fresh("retry"), fresh("g")
    sender = producer()
    send(sender, topic, ["first"])
    prepare_group(group, topic)
    failed_at = {}

    def listener(got):
        if got.body == "bad" and got.reconsume < 2:
            failed_at[got.reconsume] = now_ms()
            return LATER
        return SUCCESS

    consumer = Consumer(group, topic, listener=listener, properties=["colour", "UNIQ_KEY"])
    sender.send_sync(message(topic, "bad", tags="tag", keys="key", properties={"colour": "red"}))
    send(sender, topic, ["good"])
    consumer.inbox.wait_exactly(["good", "bad", "bad", "bad"], quiet_s=3)
    rounds = [got for got in consumer.inbox.all() if got.body == "bad"]
    check_same([got.reconsume for got in rounds], [0, 1, 2], "reconsume times")
    for got in rounds:
        check_same((got.topic, got.tags, got.keys), (topic, "tag", "key"), f"round {got.reconsume}")
        check_same(got.properties, dict(rounds[0].properties, colour="red"), f"properties of round {got.reconsume}")
        check_same(got.born, rounds[0].born, f"born time of round {got.reconsume}")
        if got.reconsume > 0:
            early = failed_at[got.reconsume - 1] + level_ms(2 + got.reconsume) - got.stored
            check(early <= EARLY_MS, f"round {got.reconsume} stored {early} ms early")


@case
def dead_letter():
    """This client sends no limit of its own, so the group's limit holds; afterwards the message is in `%DLQ%group`."""
    topic, group = fresh("dead"), fresh("g")
    sender = producer()
    send(sender, topic, ["first"])
    prepare_group(group, topic)
    first = Consumer(group, topic, listener=lambda got: LATER)
    send(sender, topic, ["bad"])
    first.inbox.wait(1 + MAX_ATTEMPTS, 50, "rounds")
    time.sleep(2)
    check_same([got.reconsume for got in first.inbox.all()], list(range(MAX_ATTEMPTS + 1)), "reconsume times")
    dead = Consumer(fresh("dlq"), f"%DLQ%{group}", properties=["RETRY_TOPIC"])
    got = dead.inbox.wait(1)[0]
    check_same((got.body, got.reconsume), ("bad", MAX_ATTEMPTS + 1), "body and count of the dead letter")
    dead.inbox.wait_exactly(["bad"])


@case
def delay_levels():
    topic, group = fresh("delay"), fresh("g")
    sender = producer()
    send(sender, topic, ["first"])
    consumer = Consumer(group, topic, "*")
    consumer.inbox.wait(1)
    levels = (1, 2, 4, 5)
    for level in levels:
        sender.send_sync(message(topic, f"level-{level}", tags="tag", keys="key", level=level))
    consumer.inbox.wait_exactly(["first"] + [f"level-{level}" for level in levels])
    lateness = []
    for got in consumer.inbox.all()[1:]:
        level = int(got.body.rpartition("-")[2])
        late = got.stored - got.born - level_ms(level)
        check(late >= -EARLY_MS, f"level {level} stored {-late} ms early")
        check_same((got.topic, got.tags, got.keys), (topic, "tag", "key"), f"level {level}")
        lateness.append(late)
    print(f"note stored late by {min(lateness)} to {max(lateness)} ms")


@case
def offsets_continue():
    """A consumer that comes back goes on where it committed."""
    topic, group = fresh("offsets"), fresh("g")
    sender = producer()
    before, after = numbered("before", 60), numbered("after", 60)
    send(sender, topic, before)
    first = Consumer(group, topic)
    first.inbox.wait_exactly(before)
    first.close()
    send(sender, topic, after)
    Consumer(group, topic).inbox.wait_exactly(after, quiet_s=2)


@case
def pull():
    topic = fresh("pull")
    bodies = numbered("pull", 100)
    send(producer(), topic, bodies)
    got = pull_all(topic)
    check_same(sorted(body for body, _, _ in got), sorted(bodies), "bodies")
    for queue in {queue for _, queue, _ in got}:
        offsets = [offset for _, mine, offset in got if mine == queue]
        check_same(offsets, list(range(len(offsets))), f"offsets of queue {queue}")


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return
    status = 0
    try:
        CASES[sys.argv[1]]()
    except BaseException as error:  # the driver prints this one line
        traceback.print_exc()
        print(f"why {type(error).__name__}: {str(error)[:400]}" if str(error) else f"why {type(error).__name__}")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the library's destructors may hang


if __name__ == "__main__":
    if sys.argv[1:] != ["--list"]:
        from wheel import *  # noqa: F403: loads the library, which --list does not need
    main()
