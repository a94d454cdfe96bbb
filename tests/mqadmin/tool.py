"""mqadmin as a process that takes one command after the other."""

import os
import queue
import re
import subprocess
import threading
import time

END = "\x01"
COMMAND_LIMIT_S = int(os.environ.get("MQADMIN_COMMAND_LIMIT_S", "60"))


class Tool:
    """One version of mqadmin. `run` gives what a command printed; a command that ends the process gets a new one."""

    def __init__(self, version, classpath, directory):
        self.version = version
        self.classpath = classpath
        self.home = os.path.join(directory, f"home-{version}")
        self.process = None
        os.makedirs(os.path.join(self.home, "conf"), exist_ok=True)
        # 4.x does not start without.
        with open(os.path.join(self.home, "conf", "logback_tools.xml"), "w", encoding="utf-8") as out:
            out.write("<configuration/>\n")

    def _start(self):
        self.process = subprocess.Popen(
            ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Duser.home={self.home}",
             "-Drocketmq.client.logUseSlf4j=false", f"-Drocketmq.client.logRoot={self.home}/logs",
             "-cp", self.classpath, "mqadmin.Main"],
            env=dict(os.environ, HOME=self.home, ROCKETMQ_HOME=self.home), cwd=self.home, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True).start()

    @staticmethod
    def _read(process, lines):
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def run(self, *words, enough=None):
        """What the command printed. One that does not end in time is ended, and says so; one that never ends by itself
        is ended once it printed `enough`."""
        if self.process is None:
            self._start()
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        printed = []
        deadline = time.monotonic() + COMMAND_LIMIT_S
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.stop()
                return "".join(printed) + f"\nnot done after {COMMAND_LIMIT_S} s\n"
            if line is None:
                self.stop()
                return "".join(printed)
            if line.rstrip("\n") == END:
                return "".join(printed)
            printed.append(line)
            if enough and re.search(enough, line):
                self.stop()
                return "".join(printed)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
