"""Asks RocketMQ Dashboard what its pages ask, and checks the answers."""

import json
import os
import re
import time

import broker
import pages
import web

# Its collector looks once a minute.
PATIENCE_S = 100
DAY_MS = 86_400_000


def prepare(scene):
    """Adds what the pages about traces and dead letters show."""
    values, now_ms = scene.values, int(time.time() * 1000)
    values.update(failing=values["group"] + "Failing", begin=now_ms - DAY_MS, end=now_ms + DAY_MS,
                  day=time.strftime("%Y-%m-%d"))
    scene.online.run("!consumeTraced", values["group"] + "Traced", values["topic"])
    scene.online.run("!fail", values["failing"], values["topic"])
    sent = scene.online.run("!trace", "Traced", values["topic"])
    found = re.search(r"sent (?P<traced_id>\S+) ", sent)
    if found is None:
        raise RuntimeError(f"nothing was sent: {sent}")
    values.update(found.groupdict())


def filled(scene, asked):
    if isinstance(asked, dict):
        return {name: filled(scene, value) for name, value in asked.items()}
    if isinstance(asked, list):
        return [filled(scene, value) for value in asked]
    return scene.fill(asked) if isinstance(asked, str) else asked


def check(scene, server, name, case):
    _, method, path, asked, patterns = case
    begin, wanted = time.monotonic(), [scene.pattern(pattern) for pattern in patterns]
    while True:
        answer = server.ask(method, path, **filled(scene, asked))
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        found = [re.search(pattern, text, re.DOTALL) for pattern in wanted]
        if all(found) or time.monotonic() > begin + PATIENCE_S:
            break
        time.sleep(2)
    if all(found):
        for match in found:
            scene.values.update(match.groupdict())
        scene.passed += 1
        print(f"ok {name} {(time.monotonic() - begin) * 1000:.0f}", flush=True)
        return
    scene.failed += 1
    missing = wanted[found.index(None)]
    print(f"FAIL {name} says nothing like {missing}", "    " + text[:2000], sep="\n", flush=True)


def run(scene, jar, pattern):
    prepare(scene)
    directory = os.path.join(scene.directory, "dashboard")
    server = web.Dashboard(jar, directory, scene.values["ns"], broker.free_port())
    try:
        server.start()
        for case in pages.CASES:
            name = f"dashboard/{case[0]}{case[2]}"
            if pattern.lower() not in name.lower():
                continue
            try:
                check(scene, server, name, case)
            except KeyError as missing:
                scene.failed += 1
                print(f"FAIL {name} needs {missing} of a case before", flush=True)
    finally:
        server.stop()
