"""What the kill cases start as processes of their own: `produce`, `delay`, `consume`. The Java tools print the same."""

import os
import sys
import threading
import time

from wheel import LEVELS_MS, Consumer, client, message, now_ms, producer


_saying = threading.Lock()


def say(*words):
    with _saying:  # the listener's threads all write
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()


def produce(topic, prefix, count, pause_ms="3"):
    """`ack BODY - OFFSET`, or `unknown BODY why` where no answer came. The wheel's answer does not name the queue."""
    sender = producer()
    for number in range(int(count)):
        body = f"{prefix}-{number}"
        try:
            # The selector form is the only one whose number of tries can be set.
            result = sender.send_orderly(message(topic, body), number, retry_times=0)
            say("ack" if result.status == client.SendStatus.OK else "unknown", body, "-", result.offset)
        except Exception as failure:
            say("unknown", body, str(failure).replace("\n", " ")[:200])
            time.sleep(0.2)
        time.sleep(int(pause_ms) / 1000)


def delay(topic, count):
    """Messages of the longest level; the body carries the due time."""
    sender = producer()
    for number in range(int(count)):
        body = f"level-{number}-{now_ms() + LEVELS_MS[-1]}"
        sender.send_sync(message(topic, body, level=len(LEVELS_MS)))
        say("ack", body, "-", "-")


def consume(group, topic):
    """`got BODY QUEUE OFFSET STORED` for each delivery, until the standard input ends; then leaves the group."""
    def on_message(got):
        say("got", got.body, got.queue, got.offset, got.stored)
        return 0

    consumer = Consumer(group, topic, listener=on_message)
    sys.stdin.read()
    consumer.close()
    say("closed")


{"produce": produce, "delay": delay, "consume": consume}[sys.argv[1]](*sys.argv[2:])
sys.stdout.flush()
os._exit(0)
