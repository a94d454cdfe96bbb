"""Steady traffic of real clients on a running broker until it is ended: what `--also` of the soak takes.

Each client sends and consumes at a quiet pace. Every message must be acknowledged and come once; the first that is not
ends this program with status 1. `CLIENTS_PACE_MS` is the pause between two sends.
"""

import os
import sys
import tempfile
import threading
import time

from driver import CLIENTS, WITHOUT_KILLS, make_client

PACE_MS = os.environ.get("CLIENTS_PACE_MS", "100")
# A message that has not come after this long is lost.
LATE_MAX_S = 60
# More than a run sends.
COUNT = "1000000000"


class Lane:
    """One client: a process that sends, one that consumes, and what is still to come."""

    def __init__(self, name, namesrv, directory):
        self.name = name
        self.lock = threading.Lock()
        self.wrong = None
        self.waiting = {}
        self.early = set()
        self.sent = self.come = 0
        client = make_client(name, os.path.join(directory, name))
        topic = f"steady-{name}-{os.getpid()}"
        self.tools = [
            client.tool(namesrv, "produce", topic, "m", COUNT, PACE_MS),
            client.tool(namesrv, "consume", f"g-{topic}", topic),
        ]
        for tool, heard in zip(self.tools, (self.produced, self.consumed)):
            threading.Thread(target=self.listen, args=(tool, heard), daemon=True).start()

    def listen(self, tool, heard):
        for line in tool.stdout:
            with self.lock:
                heard(line.split())
        with self.lock:
            self.fail("a process of the client has ended")

    def fail(self, why):
        self.wrong = self.wrong or why

    def produced(self, words):
        if words[0] != "ack":
            self.fail(" ".join(words))
            return
        self.sent += 1
        if words[1] in self.early:
            self.early.discard(words[1])
        else:
            self.waiting[words[1]] = time.monotonic()

    def consumed(self, words):
        if words[0] != "got":
            return
        number = int(words[1].rpartition("-")[2])
        self.come += 1
        if self.waiting.pop(words[1], None) is not None:
            return
        # It may come before its acknowledgement is heard of, but only once.
        if number < self.sent or words[1] in self.early:
            self.fail(f"{words[1]} came again")
        self.early.add(words[1])

    def look(self):
        """What is wrong by now, or nothing."""
        with self.lock:
            oldest = next(iter(self.waiting.items()), None)
            if oldest and time.monotonic() - oldest[1] > LATE_MAX_S:
                self.fail(f"{oldest[0]} did not come")
            return self.wrong


def main():
    names = sys.argv[1:] or [name for name in CLIENTS if name not in WITHOUT_KILLS]
    namesrv = os.environ["SOAK_NAMESRV"]
    lanes = [Lane(name, namesrv, tempfile.mkdtemp(prefix="steady-")) for name in names]
    said = time.monotonic()
    while True:
        time.sleep(1)
        for lane in lanes:
            why = lane.look()
            if why:
                sys.exit(f"{lane.name}: {why}")
        if time.monotonic() - said >= 60:
            said = time.monotonic()
            print(", ".join(f"{lane.name} sent {lane.sent}, got {lane.come}" for lane in lanes), flush=True)


if __name__ == "__main__":
    main()
