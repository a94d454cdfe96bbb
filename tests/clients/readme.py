"""The programs of the README, each run as it stands there; only the broker's address is another."""

import os
import re
import subprocess
import time

from clients import HERE, Client, environment

ROOT = os.path.dirname(os.path.dirname(HERE))
PRINTED = "127.0.0.1:9876"
RECEIVED = {"python": "from Python, two levels later", "java": "from Java, 1.5 s later", "rust": "from Rust, 1.5 s later"}
# The Rust client brings some 270 crates, which are compiled the first time.
LIMIT_S = {"python": 90, "java": 90, "rust": 1200}


def blocks():
    """The programs of the README by language."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as readme:
        section = readme.read().partition("\n## From a client\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^```(python|java|rust),?\w*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


class Readme(Client):
    """One case for each language."""

    name = "readme"

    def list_cases(self):
        return sorted(RECEIVED)

    def tool(self, namesrv, *words):
        raise NotImplementedError("the README's programs have no tools")

    def run(self, cases, namesrv, report):
        programs = blocks()
        for case in cases:
            start = time.monotonic()
            try:
                self.run_one(case, programs[case].replace(PRINTED, namesrv), namesrv)
                report.ok(case, time.monotonic() - start)
            except KeyError:
                report.fail(case, "the README has no such program")
            except (AssertionError, subprocess.SubprocessError) as failure:
                report.fail(case, str(failure))

    def run_one(self, case, program, namesrv):
        directory = os.path.join(self.directory, case)
        os.makedirs(directory)
        command = getattr(self, case)(program, directory)
        # Rust's tools live in the user's own home.
        home = os.environ["HOME"] if case == "rust" else self.home
        with open(os.path.join(directory, "errors.log"), "wb") as errors:
            done = subprocess.run(
                command, cwd=directory, env=environment(home, namesrv), text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, timeout=LIMIT_S[case], check=False)
        wanted = f"received: {RECEIVED[case]}"
        assert done.returncode == 0, f"ended with {done.returncode}; {directory}/errors.log says why"
        assert wanted in done.stdout.splitlines(), f"printed {done.stdout!r}, without {wanted!r}"

    def python(self, program, directory):
        return [os.environ["CLIENTS_PYTHON"], write(directory, "hello.py", program)]

    def java(self, program, directory):
        source = write(directory, "Hello.java", program)
        return ["java", f"-Duser.home={self.home}", "-cp", os.environ["CLIENTS_JAVA5_CLASSPATH"], source]

    def rust(self, program, directory):
        """A package made by the commands in the program's first lines; what it compiles is kept for the next run."""
        write(directory, "src/main.rs", program)
        subprocess.run(["cargo", "init", "-q", "--vcs", "none", "--name", "hello", directory], check=True, timeout=60)
        for line in re.findall(r"^// (cargo add .*)$", program, re.MULTILINE):
            subprocess.run(line.split() + ["-q"], cwd=directory, check=True, timeout=120)
        cache = os.path.join(os.environ["CLIENTS_CACHE"], "rust")
        # No debug information: it would be 300 MB.
        return ["cargo", "run", "-q", "--config", "profile.dev.debug=0", "--target-dir", cache]


def write(directory, name, text):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
