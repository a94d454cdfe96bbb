"""Measures sends to the broker and to its peers in turn, and prints a table. `run` prepares what this needs."""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "tests", "clients"))

import broker  # noqa: E402

SHAPES = [(1, 1), (16, 1), (64, 1), (16, 16)]  # connections, sends under way on each
RULES = ["appended", "flushed"]
GOAL = 3.0
# A virtual machine of Java takes its time beside builds.
broker.START_LIMIT_S = 180
# Compiled code first: some 100,000 sends, in the shape that makes them soonest.
WARM_SHAPE, WARM_SHAPE_S = (16, 16), 1
# Written and deleted ahead of each broker, so that neither is the first to touch memory that the host had taken back.
WARM_FILE_BYTES = 8 << 30


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def quiet_port():
    """A free port below those that connections are given; Java's broker also takes the second before and the next."""
    while True:
        port = random.randrange(20_000, 32_000)
        if all(is_free(near) for near in (port - 2, port, port + 1)):
            return port


class Peer(broker.Broker):
    """A broker on quiet ports."""

    def __init__(self, directory, commit):
        super().__init__(directory, commit)
        self.port = quiet_port()
        self.namesrv_port = quiet_port()

    def start(self):
        super().start()
        self.share_priority()

    def share_priority(self):
        """Linux weighs sessions, and the broker has its own: it gets the weight of the runner's."""
        own, other = "/proc/self/autogroup", f"/proc/{self.process.pid}/autogroup"
        if os.path.exists(own):
            with open(own, encoding="utf-8") as group, open(other, "w", encoding="utf-8") as to:
                to.write(group.read().split()[-1])

    def signal_all(self, number):
        os.killpg(self.process.pid, number)

    def cpu_s(self):
        """Processor time that its processes took so far, the system's part included."""
        ticks = 0
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                with open(os.path.join(entry.path, "stat"), encoding="utf-8", errors="replace") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            if int(fields[2]) == self.process.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Ours(Peer):
    """`mainspring serve` as it comes."""

    def command(self):
        return [
            os.environ["MAINSPRING_BIN"], "serve", "--data-dir", os.path.join(self.directory, "data"),
            "--broker-listen", f"127.0.0.1:{self.port}", "--namesrv-listen", self.namesrv, "--commit", self.commit,
        ]


class Java(Peer):
    """Apache RocketMQ."""

    def command(self):
        data = os.path.join(self.directory, "data")
        return [os.path.join(HERE, "java"), data, str(self.port), str(self.namesrv_port), self.commit]


PEERS = {"ours": Ours, "java": Java}


def name_of(shape):
    connections, in_flight = shape
    if in_flight > 1:
        return f"{connections} x {in_flight}"
    return str(connections)


def load(namesrv, shape, seconds):
    """What `mainspring bench` says of so many seconds."""
    connections, in_flight = shape
    command = [
        os.environ["MAINSPRING_BIN"], "bench", "send", "--namesrv", namesrv, "--connections", str(connections),
        "--in-flight", str(in_flight), "--seconds", str(seconds), "--size", "1KiB", "-o", "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def warm_memory(directory):
    path = os.path.join(directory, "warm")
    part = b"\1" * (1 << 20)
    with open(path, "wb") as out:
        for _ in range(WARM_FILE_BYTES // len(part)):
            out.write(part)
    os.remove(path)


def measure(one, shape, seconds):
    """The figures of one broker, while the others stand still."""
    one.signal_all(signal.SIGCONT)
    try:
        load(one.namesrv, shape, WARM_SHAPE_S)
        before = one.cpu_s()
        figures = load(one.namesrv, shape, seconds)
        figures["cpu_us"] = (one.cpu_s() - before) * 1e6 / figures["messages"]
        return figures
    finally:
        one.signal_all(signal.SIGSTOP)


def compare(rule, root, options):
    """All rounds under one commit rule, in fresh directories: lists of figures by peer and shape."""
    brokers = {}
    done = {(rule, peer, shape): [] for peer in PEERS for shape in options.shapes}
    try:
        for peer, make in PEERS.items():
            warm_memory(root)
            brokers[peer] = make(tempfile.mkdtemp(dir=root), rule)
            brokers[peer].start()
            load(brokers[peer].namesrv, WARM_SHAPE, options.warm)
            brokers[peer].signal_all(signal.SIGSTOP)
        for number in range(options.rounds):
            for shape in options.shapes:
                # Each goes first in turn.
                for peer in sorted(PEERS, reverse=number % 2 == 0):
                    figures = measure(brokers[peer], shape, options.seconds)
                    figures["load"] = os.getloadavg()[0]
                    done[rule, peer, shape].append(figures)
                    run = f"{rule}, round {number + 1}, {name_of(shape)}, {peer}"
                    told = f"{figures['messages_per_s']:.0f}/s, {figures['cpu_us']:.1f} us of CPU each"
                    if figures["busy"]:
                        told += f", {figures['busy']} refused at first"
                    print(f"{run}: {told}, load {figures['load']:.1f}", file=sys.stderr, flush=True)
    finally:
        for one in brokers.values():
            one.kill()
    return done


def figure(runs, key):
    return statistics.median(run[key] for run in runs)


def rate(runs):
    """The median and what it lies between, in thousands a second."""
    rates = sorted(run["messages_per_s"] / 1000 for run in runs)
    return f"{statistics.median(rates):.1f} [{rates[0]:.1f}-{rates[-1]:.1f}]"


def times(runs):
    return " / ".join(f"{figure(runs, key):.2f}" for key in ("p50_ms", "p99_ms"))


def table(done, options):
    """One line for each rule and shape."""
    print("| rule | connections | ours k/s | p50 / p99 ms | Java k/s | p50 / p99 ms | ratio | goal "
          "| CPU us a message, ours / Java | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for rule in options.rules:
        for shape in options.shapes:
            ours, java = done[rule, "ours", shape], done[rule, "java", shape]
            ratio = figure(ours, "messages_per_s") / figure(java, "messages_per_s")
            verdict = f"{GOAL:.0f}" if ratio >= GOAL else f"{GOAL:.0f}, missed"
            cpu, java_cpu = figure(ours, "cpu_us"), figure(java, "cpu_us")
            cells = [rule, name_of(shape), rate(ours), times(ours), rate(java), times(java), f"{ratio:.1f}", verdict,
                     f"{cpu:.1f} / {java_cpu:.1f}", f"{java_cpu / cpu:.1f}"]
            print("| " + " | ".join(cells) + " |")


def machine(directory):
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    policy = {os.SCHED_RR: "SCHED_RR", os.SCHED_FIFO: "SCHED_FIFO"}.get(os.sched_getscheduler(0), "normal")
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
    free = shutil.disk_usage(directory).free >> 30
    return (f"{os.cpu_count()} cores, {model}, Linux {platform.release()}, {java}, {free} GiB free in {directory}, "
            f"scheduling {policy}")


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("from 1")
    return number


def arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=3, help="of each shape (3)")
    parser.add_argument("--seconds", type=positive, default=5, help="of load in a round (5)")
    parser.add_argument("--warm", type=positive, default=10, help="seconds of load ahead of the first shape (10)")
    parser.add_argument("--rule", dest="rules", action="append", choices=RULES, help="only this one; may be repeated")
    parser.add_argument("--shape", dest="shapes", action="append", type=positive, metavar="N",
                        help=f"only number N of {', '.join(map(name_of, SHAPES))}; may be repeated")
    parser.add_argument("--dir", default=None, help="where the stores go, on the disk to be measured (a temporary one)")
    options = parser.parse_args()
    options.rules = options.rules or RULES
    if options.shapes and max(options.shapes) > len(SHAPES):
        parser.error(f"there are {len(SHAPES)} shapes")
    options.shapes = [SHAPES[n - 1] for n in options.shapes or range(1, len(SHAPES) + 1)]
    return options


def main():
    options = arguments()
    root = tempfile.mkdtemp(prefix="peers-", dir=options.dir)
    done = {}
    print(machine(root), flush=True)
    try:
        for rule in options.rules:
            directory = os.path.join(root, rule)
            os.mkdir(directory)
            done |= compare(rule, directory, options)
            shutil.rmtree(directory)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        sys.exit(f"{error}\ndata and logs: {root}")
    shutil.rmtree(root)
    loads = [figures["load"] for runs in done.values() for figures in runs]
    print(f"load average {min(loads):.1f} to {max(loads):.1f}, {options.rounds} rounds of {options.seconds} s\n")
    table(done, options)


if __name__ == "__main__":
    main()
