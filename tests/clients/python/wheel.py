"""The wheel `rocketmq` (Apache's C++ client 1.2.x) behind a few functions, so that a case reads as what it checks."""

import collections
import itertools
import json
import os
import socket
import struct
import threading
import time

from rocketmq import client
from rocketmq.exceptions import ffi_check
from rocketmq.ffi import dll

NAMESRV = os.environ["CLIENTS_NAMESRV"]
LEVELS_MS = [int(text.rstrip("s")) * 1000 for text in os.environ["CLIENTS_LEVELS"].split()]
MAX_ATTEMPTS = int(os.environ["CLIENTS_MAX_ATTEMPTS"])
# How much too early a message may be stored. Zero, except to try the tests on a broker with coarser timers.
EARLY_MS = int(os.environ.get("CLIENTS_EARLY_MS", "0"))

SUCCESS, LATER = 0, 1
RUN = f"{os.getpid()}-{int(time.time() * 1000)}"
_names = itertools.count()
# Consumers and producers live until the process ends: closing one while its threads run is the wheel's weak spot.
_alive = []

Got = collections.namedtuple(
    "Got", "body topic tags keys id queue offset reconsume born stored position properties at")


def text(value):
    return None if value is None else value.decode()


def fresh(prefix):
    """A name that no other case and no earlier run uses."""
    return f"{prefix}-{RUN}-{next(_names)}"


def now_ms():
    return int(time.time() * 1000)


def level_ms(level):
    return LEVELS_MS[min(level, len(LEVELS_MS)) - 1]


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def check_same(got, expected, what):
    check(got == expected, f"{what}: got {got!r}, expected {expected!r}")


def producer(max_message_size=4 * 1024 * 1024):
    made = client.Producer(fresh("pg"), timeout=10_000, max_message_size=max_message_size)
    made.set_namesrv_addr(NAMESRV)
    made.start()
    _alive.append(made)
    return made


def message(topic, body, tags=None, keys=None, properties=None, level=None):
    made = client.Message(topic)
    made.set_body(body)
    if tags is not None:
        made.set_tags(tags)
    if keys is not None:
        made.set_keys(keys)
    for name, value in (properties or {}).items():
        made.set_property(name, value)
    if level is not None:
        made.set_delay_time_level(level)
    return made


def send(made, topic, bodies):
    for body in bodies:
        result = made.send_sync(message(topic, body))
        check_same(result.status, client.SendStatus.OK, f"status of {body}")


class Inbox:
    """What a consumer received, in order of arrival."""

    def __init__(self):
        self._changed = threading.Condition()
        self._got = []

    def put(self, got):
        with self._changed:
            self._got.append(got)
            self._changed.notify_all()

    def all(self):
        with self._changed:
            return list(self._got)

    def bodies(self):
        return [got.body for got in self.all()]

    def wait(self, count, limit_s=40.0, what="messages"):
        with self._changed:
            full = self._changed.wait_for(lambda: len(self._got) >= count, limit_s)
            check(full, f"{len(self._got)} of {count} {what} after {limit_s:.0f} s")
            return list(self._got)

    def wait_each(self, bodies, limit_s=40.0):
        """Each body at least once."""
        with self._changed:
            def missing():
                return set(bodies) - {got.body for got in self._got}
            check(self._changed.wait_for(lambda: not missing(), limit_s), f"{len(missing())} never came")

    def wait_exactly(self, bodies, limit_s=40.0, quiet_s=1.0):
        """Each body once, and nothing more within `quiet_s`."""
        self.wait(len(bodies), limit_s)
        time.sleep(quiet_s)
        difference = collections.Counter(self.bodies())
        difference.subtract(collections.Counter(bodies))
        wrong = {body: count for body, count in difference.items() if count != 0}
        check(not wrong, f"missing (-) or repeated (+): {dict(list(wrong.items())[:5])}")


def copy(handle, properties=()):
    got = client.RecvMessage(handle)
    return Got(
        body=text(got.body), topic=got.topic, tags=text(got.tags), keys=text(got.keys), id=got.id,
        queue=got.queue_id, offset=got.queue_offset, reconsume=got.reconsume_times, born=got.born_timestamp,
        stored=got.store_timestamp, position=got.commit_log_offset,
        properties={name: text(got.get_property(name)) for name in properties}, at=now_ms())


class Consumer:
    """A push consumer. `listener` decides by return value; without one every message succeeds.

    The wheel's own `subscribe` turns a raised exception into success (its `finally` throws away RECONSUME_LATER), so
    the callback is registered here.
    """

    def __init__(self, group, topic, expression="*", listener=None, orderly=False, inbox=None, properties=(),
                 model=client.MessageModel.CLUSTERING):
        self.inbox = inbox or Inbox()
        self.own = Inbox()
        self.inner = client.PushConsumer(group, orderly=orderly, message_model=model)
        self.inner.set_namesrv_addr(NAMESRV)
        self.inner.set_instance_name(fresh("instance"))
        self.inner.set_thread_count(4)

        def on_message(_consumer, handle):
            got = copy(handle, properties)
            self.own.put(got)
            self.inbox.put(got)
            return SUCCESS if listener is None else listener(got)

        ffi_check(dll.Subscribe(self.inner._handle, topic.encode(), expression.encode()))
        self.inner._register_callback(on_message)
        self.inner.start()
        _alive.append(self)

    def close(self):
        """Commits the offsets and leaves the group. The C++ object stays, see `_alive`."""
        self.inner.shutdown()


def prepare_group(group, topic):
    """Makes the group's retry topic known before the consumer under test starts.

    The C++ client asks for the route of `%RETRY%group` when it starts and then every 30 s, and the broker creates it
    at the first heartbeat; a fresh group would wait those 30 s.
    """
    first = Consumer(group, topic)
    first.inbox.wait(1)
    time.sleep(1)
    first.close()


def pull_all(topic):
    """Every message of a topic, by the pull consumer."""
    group = fresh("pull")
    puller = client.PullConsumer(group)
    puller.set_namesrv_addr(NAMESRV)
    puller.offset_table = {}
    puller.start()
    _alive.append(puller)
    return [(text(got.body), got.queue_id, got.queue_offset) for got in puller.pull(topic)]


# ---- an administrator, by raw frames: the wheel has none ---------------------------------------------------------

def ask(address, code, fields):
    """One request; gives the answer's header and its body."""
    header = json.dumps({
        "code": code, "language": "OTHER", "version": 479, "opaque": 1, "flag": 0, "extFields": fields}).encode()
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=15) as stream:
        stream.sendall(struct.pack(">ii", 4 + len(header), len(header)) + header)
        reply = stream.makefile("rb")
        length, header_length = struct.unpack(">ii", reply.read(8))
        head = json.loads(reply.read(header_length & 0xFFFFFF))
        return head, reply.read(length - 4 - (header_length & 0xFFFFFF)).decode()


def ask_broker(code, fields, topic):
    """Asks the broker that has this topic; gives the body of its answer, which must be a success."""
    _, route = ask(NAMESRV, 105, {"topic": topic, "acceptStandardJsonOnly": "true"})
    head, body = ask(json.loads(route)["brokerDatas"][0]["brokerAddrs"]["0"], code, fields)
    check_same(head["code"], 0, f"code of the answer to {code} ({head['remark']})")
    return body
