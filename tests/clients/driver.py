"""Runs the suites: one lane per client, each with a fresh broker per suite. `run` prepares what this needs."""

import argparse
import concurrent.futures
import fnmatch
import os
import shutil
import sys
import tempfile
import threading
import time

import broker
import clients
import crash
import readme

CLIENTS = ("python", "java5", "java4", "go", "readme")
WITHOUT_KILLS = ("go", "readme")
COMMIT_RULES = ("appended", "flushed")


class Report:
    """One line per case; the lines of parallel lanes do not mix."""

    _lock = threading.Lock()
    passed = 0
    failed = 0

    def __init__(self, lane):
        self.lane = lane

    def _say(self, line):
        with Report._lock:
            print(line, flush=True)

    def ok(self, case, seconds):
        Report.passed += 1
        self._say(f"ok {self.lane}/{case} {seconds * 1000:.0f}")

    def fail(self, case, why):
        Report.failed += 1
        self._say(f"FAIL {self.lane}/{case} {why}")

    def note(self, case, text):
        self._say(f"  {self.lane}/{case}: {text}")


def chosen(names, lane, pattern):
    """A pattern without a slash is for the case alone; without a star it may stand anywhere in it."""
    pattern = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    return [name for name in names if fnmatch.fnmatch(f"{lane}/{name}" if "/" in pattern else name, pattern)]


def make_client(name, directory):
    if name == "python":
        return clients.Wheel(directory)
    if name == "go":
        return clients.Go(directory)
    if name == "readme":
        return readme.Readme(directory)
    return clients.Java(directory, name, os.environ[f"CLIENTS_{name.upper()}_CLASSPATH"])


def run_suite(client, cases, directory, report):
    under_test = broker.Broker(os.path.join(directory, "broker"))
    try:
        under_test.start()
        client.run(cases, under_test.namesrv, report)
        if under_test.process.poll() is not None:
            report.fail("broker_alive", f"the broker ended with {under_test.process.returncode}")
    except Exception as failure:
        report.fail("suite", f"{type(failure).__name__}: {failure}")
    finally:
        under_test.stop()


def run_kill(client, commit, directory, report):
    case = f"kill_{commit}"
    start = time.monotonic()
    try:
        crash.Case(client, os.path.join(directory, case), commit).run(lambda text: report.note(case, text))
        report.ok(case, time.monotonic() - start)
    except Exception as failure:
        report.fail(case, str(failure) if isinstance(failure, crash.Failed) else f"{type(failure).__name__}: {failure}")


def run_lane(name, root, pattern):
    report = Report(name)
    try:
        directory = os.path.join(root, name)
        client = make_client(name, directory)
        cases = chosen(client.list_cases(), name, pattern)
        kills = [] if name in WITHOUT_KILLS else chosen([f"kill_{commit}" for commit in COMMIT_RULES], name, pattern)
        if cases:
            run_suite(client, cases, directory, report)
        for kill in kills:
            run_kill(client, kill.removeprefix("kill_"), directory, report)
    except Exception as failure:
        report.fail("lane", f"{type(failure).__name__}: {failure}")


def main():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="cases whose name matches")
    parser.add_argument("--client", action="append", choices=CLIENTS, help="may be repeated")
    parser.add_argument("--keep", action="store_true", help="keep data and logs, and say where")
    parser.add_argument("--jobs", type=int, default=3, help="clients at once, each with a broker of its own (3)")
    options = parser.parse_args()

    root = tempfile.mkdtemp(prefix="clients-")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as lanes:
        for name in options.client or CLIENTS:
            lanes.submit(run_lane, name, root, options.only)

    if Report.passed + Report.failed == 0:
        print(f"no case matches {options.only}", file=sys.stderr)
        sys.exit(1)
    print(f"{Report.passed} passed, {Report.failed} failed")
    if options.keep or Report.failed:
        print(f"data and logs: {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if Report.failed else 0)


if __name__ == "__main__":
    main()
