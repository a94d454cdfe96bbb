"""Starts, kills and stops one broker with its name service, on free loopback ports and a data directory of its own."""

import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

# Levels of one second keep the suite short; levels 2 and 4 (the second and, for a failed listener, the first two
# retries are levels 3 and 4) differ so that a wrong level shows; level 18 outlives a kill and a restart.
LEVELS = [1, 2, 1, 2] + [1] * 13 + [12]
MAX_ATTEMPTS = int(os.environ.get("CLIENTS_MAX_ATTEMPTS", "3"))
START_LIMIT_S = 60

CONFIG = """\
delay_levels = "{levels}"
max_attempts = {attempts}
"""


def levels_text():
    return " ".join(f"{seconds}s" for seconds in LEVELS)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def knows_topic(port, topic):
    """Asks the name service for a route (code 105): true once the broker behind it takes messages."""
    header = json.dumps({
        "code": 105, "language": "JAVA", "version": 479, "opaque": 1, "flag": 0, "remark": None,
        "extFields": {"topic": topic, "acceptStandardJsonOnly": "true"},
    }).encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as stream:
            stream.sendall(struct.pack(">ii", 4 + len(header), len(header)) + header)
            reply = stream.makefile("rb")
            length, header_length = struct.unpack(">ii", reply.read(8))
            head = json.loads(reply.read(header_length & 0xFFFFFF))
            reply.read(length - 4 - (header_length & 0xFFFFFF))
            return head["code"] == 0
    except (OSError, ValueError, struct.error):
        return False


class Broker:
    """One broker process. `kill` is SIGKILL; `start` after it uses the same directory and ports."""

    def __init__(self, directory, commit="appended"):
        self.directory = directory
        self.commit = commit
        self.port = free_port()
        self.namesrv_port = free_port()
        self.process = None
        os.makedirs(directory, exist_ok=True)

    @property
    def namesrv(self):
        return f"127.0.0.1:{self.namesrv_port}"

    def command(self):
        data = os.path.join(self.directory, "data")
        launcher = os.environ.get("CLIENTS_LAUNCHER")
        if launcher:  # another broker in place of ours, to try the tests themselves
            return [launcher, data, str(self.port), str(self.namesrv_port), self.commit, levels_text()]
        config = os.path.join(self.directory, "mainspring.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(levels=levels_text(), attempts=MAX_ATTEMPTS))
        return [
            os.environ["MAINSPRING_BIN"], "serve", "--data-dir", data,
            "--broker-listen", f"127.0.0.1:{self.port}", "--namesrv-listen", self.namesrv,
            "--commit", self.commit, "--config", config,
        ]

    def start(self):
        with open(os.path.join(self.directory, "broker.log"), "ab") as log:
            # A process group of its own, so that a signal reaches the launcher's children too.
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_LIMIT_S
        while not knows_topic(self.namesrv_port, "TBW102"):
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}, see {log.name}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"no route for TBW102 after {START_LIMIT_S} s, see {log.name}")
            time.sleep(0.1)

    def kill(self):
        self._signal(signal.SIGKILL)

    def stop(self):
        if self.process is None:
            return
        self._signal(signal.SIGTERM, wait_s=15)
        self._signal(signal.SIGKILL)

    def _signal(self, number, wait_s=None):
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass
        try:
            self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return


def kill_after(process, limit_s):
    """A time limit for a process whose output is being read. Cancel the timer when the process has ended."""
    timer = threading.Timer(limit_s, process.kill)
    timer.daemon = True
    timer.start()
    return timer
