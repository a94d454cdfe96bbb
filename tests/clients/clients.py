"""The clients under test: how each is started, which cases it has, and what its tools are."""

import concurrent.futures
import os
import re
import subprocess
import time

import broker

HERE = os.path.dirname(os.path.abspath(__file__))
CASE_LIMIT_S = int(os.environ.get("CLIENTS_CASE_LIMIT_S", "90"))
PYTHON_AT_ONCE = 4


def environment(home, namesrv):
    return dict(
        os.environ, HOME=home, ROCKETMQ_GO_LOG_LEVEL="warn", CLIENTS_NAMESRV=namesrv, CLIENTS_LEVELS=broker.levels_text(),
        CLIENTS_MAX_ATTEMPTS=str(broker.MAX_ATTEMPTS), CLIENTS_CASE_LIMIT_S=str(CASE_LIMIT_S))


class Client:
    """Base: a name, a command line, and a home directory where the client writes its own logs."""

    name = None

    def __init__(self, directory):
        self.directory = directory
        self.home = os.path.join(directory, "home")
        os.makedirs(self.home, exist_ok=True)

    def tool(self, namesrv, *words):
        """Starts `produce`, `delay` or `consume`; its standard output is a pipe."""
        with open(os.path.join(self.directory, f"tool-{words[0]}.log"), "ab") as log:
            return subprocess.Popen(
                self.tool_command() + list(words), env=environment(self.home, namesrv), text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def list_cases(self):
        listed = subprocess.run(
            self.case_command() + ["--list"], env=environment(self.home, ""), text=True, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return [line for line in listed.stdout.splitlines() if re.fullmatch(r"\w+", line)]


class Wheel(Client):
    """The C++ client. Each case is a process, so that a crash of the library ends only that case."""

    name = "python"

    def case_command(self):
        return [os.environ["CLIENTS_PYTHON"], os.path.join(HERE, "python", "cases.py")]

    def tool_command(self):
        return [os.environ["CLIENTS_PYTHON"], os.path.join(HERE, "python", "tools.py")]

    def run(self, cases, namesrv, report):
        with concurrent.futures.ThreadPoolExecutor(PYTHON_AT_ONCE) as pool:
            list(pool.map(lambda case: self.run_one(case, namesrv, report), cases))

    def run_one(self, case, namesrv, report):
        start = time.monotonic()
        log_path = os.path.join(self.directory, f"{case}.log")
        with open(log_path, "wb") as log:
            try:
                status = subprocess.run(
                    self.case_command() + [case], env=environment(self.home, namesrv), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, timeout=CASE_LIMIT_S, check=False).returncode
            except subprocess.TimeoutExpired:
                status = None
        with open(log_path, encoding="utf-8", errors="replace") as log:
            lines = log.read().splitlines()
        for line in lines:
            if line.startswith("note "):
                report.note(case, line.removeprefix("note "))
        if status == 0:
            report.ok(case, time.monotonic() - start)
        elif status is None:
            report.fail(case, f"not done after {CASE_LIMIT_S} s")
        else:
            whys = [line.removeprefix("why ") for line in lines if line.startswith("why ")]
            report.fail(case, whys[-1] if whys else f"the process ended with {status}")


class OneProcess(Client):
    """A client whose cases share a process, a few at once; it prints a line for each."""

    def run(self, cases, namesrv, report):
        open_cases = set(cases)
        limit_s = CASE_LIMIT_S * (2 + len(cases) // 6)
        with open(os.path.join(self.directory, "cases.log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                self.case_command() + cases, env=environment(self.home, namesrv), text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            killer = broker.kill_after(process, limit_s)
            for line in process.stdout:
                word, _, rest = line.strip().partition(" ")
                case, _, rest = rest.partition(" ")
                if word == "note":
                    report.note(case, rest)
                elif word in ("ok", "FAIL") and case in open_cases:
                    open_cases.discard(case)
                    if word == "ok":
                        report.ok(case, int(rest) / 1000)
                    else:
                        report.fail(case, rest)
                else:
                    log.write(line)
            status = process.wait()
            killer.cancel()
        for case in sorted(open_cases):
            report.fail(case, f"no result; the process ended with {status}")


class Java(OneProcess):
    """The Java client of one version."""

    def __init__(self, directory, name, classpath):
        super().__init__(directory)
        self.name = name
        self.classpath = classpath

    def case_command(self):
        # The logging of 4.x and of 5.x looks at different properties.
        return [
            "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Duser.home={self.home}",
            f"-Drocketmq.client.logRoot={self.home}/logs", "-cp", self.classpath, "clients.Main",
        ]

    def tool_command(self):
        return self.case_command()


class Go(OneProcess):
    """The Go client. It has no tools, so no kill cases."""

    name = "go"

    def case_command(self):
        return [os.environ["CLIENTS_GO"]]
