"""Runs mqadmin's commands against a broker and checks what they print. `run` prepares what this needs."""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "clients"))

import broker  # noqa: E402
import cases  # noqa: E402
import dashboard  # noqa: E402
import table  # noqa: E402
import tool  # noqa: E402

# Numbers of the last seconds appear once they have been sampled, which happens every 10 s.
PATIENCE_S = 40
# How a command that failed says so; a track of a consumer that is not online quotes an exception, too.
FAILED = re.compile(r"(?m)^\S*Exception\b")


class Scene:
    """A broker with a topic, messages, and clients online; and the tool."""

    def __init__(self, version, classpath, directory):
        self.version = version
        self.directory = directory
        self.files = os.path.join(directory, "files")
        os.makedirs(self.files)
        self.broker = broker.Broker(os.path.join(directory, "broker"))
        self.online = tool.Tool(version, classpath, os.path.join(directory, "online"))
        self.admin = tool.Tool(version, classpath, os.path.join(directory, "admin"))
        self.values = {"topic": "Orders", "group": "Billing", "producers": "Shop", "files": self.files,
                       "long": "x" * 20_000}
        self.passed = self.failed = 0
        self.ran = set()

    def prepare(self):
        self.broker.start()
        values = self.values
        values.update(ns=self.broker.namesrv, broker=f"127.0.0.1:{self.broker.port}")
        os.environ["NAMESRV_ADDR"] = values["ns"]
        with open(os.path.join(self.files, "topics"), "w", encoding="utf-8") as out:
            names = [values["topic"] + "L1", values["topic"] + "L2"]
            json.dump([{"topicName": name, "readQueueNums": 2, "writeQueueNums": 2, "perm": 6} for name in names], out)
        with open(os.path.join(self.files, "groups"), "w", encoding="utf-8") as out:
            json.dump([{"groupName": values["group"] + "L", "retryMaxTimes": 7}], out)
        create = f"updateTopic -n {values['ns']} -b {values['broker']} -t {values['topic']} -r 4 -w 4".split()
        self.expect(create, [r"create topic to .* success"])
        sent = self.online.run("!produce", values["producers"], values["topic"], "10")
        found = re.search(r"sent (?P<unique_id>\S+) (?P<offset_id>\S+) (?P<queue>\d+) (?P<offset>\d+)", sent)
        if found is None:
            raise RuntimeError(f"nothing was sent: {sent}")
        values.update(found.groupdict())
        self.online.run("!consume", values["group"], values["topic"])
        # The client says every five seconds how far it is.
        progress = f"consumerProgress -n {values['ns']} -g {values['group']}".split()
        self.expect(progress, [r"Diff Total: 0", values["topic"]])

    def fill(self, text):
        return text.format(**self.values)

    def pattern(self, text):
        return text.format(**{name: re.escape(str(value)) for name, value in self.values.items()})

    def expect(self, words, patterns):
        """Runs a command until its output matches, or for long enough; gives what is missing, and the output."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            process = self.online if words[0].startswith("!") else self.admin
            enough = patterns[0] if words[0] in cases.ENDLESS else None
            printed = process.run(*words, enough=enough)
            missing = [pattern for pattern in patterns if not re.search(pattern, printed)]
            if not missing or time.monotonic() > deadline:
                return missing, printed
            # Some commands work only once in a process.
            self.admin.stop()
            time.sleep(1)

    def check(self, line, patterns, allow_exception=False):
        words = self.fill(line).split()
        self.ran.add(words[0])
        start = time.monotonic()
        patterns = [self.pattern(pattern) for pattern in patterns]
        missing, printed = self.expect(words, patterns)
        if words[0].startswith("!") and not missing:
            self.values.update(re.search(patterns[0], printed).groupdict())
        name = f"mqadmin-{self.version}/{words[0]}"
        if missing or (FAILED.search(printed) and not allow_exception):
            self.failed += 1
            why = f"prints nothing like {missing[0]}" if missing else "fails"
            print(f"FAIL {name} {why}", *("    " + text for text in printed.strip().splitlines()[:25]), sep="\n", flush=True)
        else:
            self.passed += 1
            print(f"ok {name} {(time.monotonic() - start) * 1000:.0f}", flush=True)

    def run(self, pattern):
        new = not self.version.startswith("4.")
        works = cases.WORKS + (cases.WORKS_5 if new else cases.WORKS_4)
        refused = cases.REFUSED + (cases.REFUSED_5 if new else [])
        for line, patterns in works:
            if pattern.lower() in line.lower():
                self.check(line, patterns)
        for line, reason in refused:
            if pattern.lower() in line.lower():
                self.check(line, [reason], allow_exception=True)

    def stop(self):
        self.online.stop()
        self.admin.stop()
        self.broker.stop()


def commands(version, classpath, directory):
    """The tool's own list."""
    listing = tool.Tool(version, classpath, os.path.join(directory, "list"))
    names = re.findall(r"(?m)^command (\w+)$", listing.run("!list"))
    listing.stop()
    return set(names)


def main():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="commands that hold this text")
    parser.add_argument("--dashboard", metavar="JAR", help="RocketMQ Dashboard's pages instead, by this program")
    parser.add_argument("--keep", action="store_true", help="keep data and logs, and say where")
    options = parser.parse_args()

    root = tempfile.mkdtemp(prefix="mqadmin-")
    passed = failed = 0
    ran, known = set(), set()
    for pair in os.environ["MQADMIN_CLASSPATHS"].split(";")[:1 if options.dashboard else None]:
        version, _, classpath = pair.partition("=")
        directory = os.path.join(root, version)
        if not options.dashboard:
            known |= commands(version, classpath, directory)
        scene = Scene(version, classpath, directory)
        try:
            scene.prepare()
            if options.dashboard:
                dashboard.run(scene, options.dashboard, options.only)
            else:
                scene.run(options.only)
        finally:
            scene.stop()
        passed, failed, ran = passed + scene.passed, failed + scene.failed, ran | scene.ran
    if not options.only and not options.dashboard:
        for problem in table.problems(known, ran):
            failed += 1
            print(f"FAIL docs/mqadmin.md {problem}")
    print(f"{passed} passed, {failed} failed")
    if options.keep or failed:
        print(f"data and logs: {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if failed or passed == 0 else 0)


if __name__ == "__main__":
    main()
