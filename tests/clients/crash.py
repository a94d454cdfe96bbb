"""The kill case: the broker gets SIGKILL under load and is started again on the same directory and ports."""

import collections
import os
import threading
import time

from broker import LEVELS, Broker, kill_after

BEFORE, DURING, AFTER, DELAYED = 200, 1200, 50, 6
KILL_AFTER_ACKS = 300
TOOL_LIMIT_S = 120
# How long a committed offset may stay in the client or in the broker's memory before the kill: the clients send it
# one-way. Longer only to try this case on a broker that saves offsets now and then.
SETTLE_S = float(os.environ.get("CLIENTS_SETTLE_S", "1.5"))
EARLY_MS = int(os.environ.get("CLIENTS_EARLY_MS", "0"))

Delivery = collections.namedtuple("Delivery", "body queue offset stored")


class Failed(Exception):
    """What the case found wrong, in one line."""


def check(condition, why):
    if not condition:
        raise Failed(why)


class Tool:
    """A client process that prints one line per event; a thread collects them."""

    def __init__(self, client, namesrv, *words):
        self.words = words
        self.lines = []
        self._changed = threading.Condition()
        self.process = client.tool(namesrv, *words)
        self._limit = kill_after(self.process, TOOL_LIMIT_S)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.split())
                self._changed.notify_all()

    def of(self, word):
        with self._changed:
            return [line for line in self.lines if line and line[0] == word]

    def wait_for(self, condition, what, limit_s=60):
        with self._changed:
            check(self._changed.wait_for(condition, limit_s), f"{' '.join(self.words)}: no {what} within {limit_s} s")

    def wait_count(self, word, count):
        self.wait_for(lambda: len(self.of(word)) >= count, f"{count} {word}")

    def end(self):
        """Closes the standard input, so that a consumer leaves its group, and waits for the process."""
        self.process.stdin.close()
        self.process.wait(30)
        self._reader.join(5)
        self._limit.cancel()

    def kill(self):
        self._limit.cancel()
        self.process.kill()
        self.process.wait()

    def deliveries(self):
        return [Delivery(line[1], line[2], line[3], int(line[4])) for line in self.of("got")]



class Case:
    def __init__(self, client, directory, commit):
        self.client = client
        self.broker = Broker(directory, commit)
        self.tools = []
        run = f"{os.getpid()}-{int(time.time() * 1000)}"
        self.topic, self.late_topic = f"kill-{run}", f"kill-late-{run}"
        self.group = f"kill-g-{run}"

    def tool(self, *words):
        made = Tool(self.client, self.broker.namesrv, *words)
        self.tools.append(made)
        return made

    def produce(self, prefix, count):
        sender = self.tool("produce", self.topic, prefix, str(count))
        sender.process.wait()
        sender.end()
        check(len(sender.of("ack")) == count, f"{len(sender.of('ack'))} of {count} {prefix} acknowledged")
        return sender.of("ack")

    def run(self, note):
        try:
            self.broker.start()
            return self.story(note)
        finally:
            for tool in self.tools:
                if tool.process.poll() is None:
                    tool.kill()
            self.broker.stop()

    def story(self, note):
        # A group reads the first messages, commits, and leaves. Another one stays through the kill.
        acked = self.produce("before", BEFORE)
        first = self.tool("consume", self.group, self.topic)
        live = self.tool("consume", self.group + "-live", self.topic)
        first.wait_count("got", BEFORE)
        live.wait_count("got", BEFORE)
        time.sleep(SETTLE_S)
        first.end()

        # Timers that are pending at the kill, and a producer in full swing.
        late = self.tool("delay", self.late_topic, str(DELAYED))
        late.process.wait()
        late.end()
        check(len(late.of("ack")) == DELAYED, f"{len(late.of('ack'))} of {DELAYED} delayed acknowledged")
        sender = self.tool("produce", self.topic, "during", str(DURING))
        sender.wait_count("ack", KILL_AFTER_ACKS)
        self.broker.kill()
        down = time.monotonic()
        check(len(sender.of("ack")) < DURING, "the producer was done before the kill")
        time.sleep(0.5)
        self.broker.start()
        down = time.monotonic() - down
        sender.process.wait()
        sender.end()
        check(len(sender.of("ack")) + len(sender.of("unknown")) == DURING, "the producer did not come to its end")
        check(sender.lines[-1][0] == "ack", f"the producer never recovered: {' '.join(sender.lines[-1])}")
        acked += sender.of("ack")
        acked += self.produce("after", AFTER)
        note(f"down {down:.1f} s, {len(sender.of('unknown'))} sends without an answer")

        # A fresh group reads all, the old one goes on where it was, the live one has it all by now.
        everything = self.tool("consume", self.group + "-all", self.topic)
        continued = self.tool("consume", self.group, self.topic)
        timers = self.tool("consume", self.group + "-late", self.late_topic)
        self.read_back("fresh group", everything, acked)
        since = [line for line in acked if not line[1].startswith("before-")]
        self.read_back("old group", continued, since)
        again = [got.body for got in continued.deliveries() if got.body.startswith("before-")]
        check(not again, f"the old group got {len(again)} messages again, such as {again[:1]}")
        self.wait_bodies(live, {line[1] for line in acked})
        self.pending_timers(timers, late, note)

    def wait_bodies(self, tool, bodies):
        tool.wait_for(lambda: bodies <= {line[1] for line in tool.of("got")}, "delivery of every acknowledged message")

    def read_back(self, who, tool, acked):
        """Every acknowledged message is there, at its place, and every stored copy comes once."""
        self.wait_bodies(tool, {line[1] for line in acked})
        time.sleep(1)
        deliveries = tool.deliveries()
        copies = collections.Counter((got.queue, got.offset) for got in deliveries)
        twice = [place for place, count in copies.items() if count > 1]
        check(not twice, f"{who}: {len(twice)} stored copies came twice, such as {twice[:1]}")
        stored = collections.Counter(got.body for got in deliveries)
        several = [line[1] for line in acked if stored[line[1]] != 1]
        check(not several, f"{who}: {len(several)} acknowledged messages stored more than once, such as {several[:1]}")
        places = {(got.body, got.queue, got.offset) for got in deliveries}
        places |= {(got.body, "-", got.offset) for got in deliveries}
        moved = [line for line in acked if tuple(line[1:4]) not in places]
        check(not moved, f"{who}: {len(moved)} messages not where the answer said, such as {moved[:1]}")

    def pending_timers(self, tool, late, note):
        bodies = {line[1] for line in late.of("ack")}
        tool.wait_for(lambda: bodies <= {line[1] for line in tool.of("got")}, "delayed messages", LEVELS[-1] + 30)
        time.sleep(1)
        got = collections.Counter(delivery.body for delivery in tool.deliveries())
        check(got == collections.Counter(bodies), f"delayed messages: {dict(got)}")
        lateness = [delivery.stored - int(delivery.body.rpartition("-")[2]) for delivery in tool.deliveries()]
        check(min(lateness) >= -EARLY_MS, f"a delayed message was stored {-min(lateness)} ms early")
        note(f"delayed messages stored late by {min(lateness)} to {max(lateness)} ms")
