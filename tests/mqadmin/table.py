"""Compares the table of docs/mqadmin.md with the tool's own list and with the cases."""

import os
import re

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "mqadmin.md")
STATES = ("works", "refused", "not here")


def rows():
    """Command and state of each row."""
    with open(PAGE, encoding="utf-8") as page:
        return re.findall(r"(?m)^\| `(\w+)` \| ([\w ]+?) \|", page.read())


def problems(known, ran):
    """What is wrong with the table, where `known` are the tool's commands and `ran` those that cases ran."""
    found = rows()
    states = dict(found)
    for name in sorted({name for name, _ in found if [other for other, _ in found].count(name) > 1}):
        yield f"{name} stands there twice"
    for name in sorted(known - states.keys()):
        yield f"{name} is missing"
    for name in sorted(states.keys() - known):
        yield f"{name} is no command of mqadmin"
    for name, state in sorted(states.items()):
        if state not in STATES:
            yield f"{name} has the unknown state {state}"
        elif state != "not here" and name not in ran:
            yield f"{name} is said to be {state}, and no case runs it"
