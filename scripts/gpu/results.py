"""The results: a JSON line each, written as it comes, and a table of all at the end."""

import json
import os
import time


class Results:
    """What one stage found."""

    def __init__(self, path, stage):
        self.path, self.stage = path, stage

    def add(self, what, value=None, unit="", goal=None, note="", **detail):
        """A figure, with its `goal` as (">=" or "<=", bound) where there is one; `detail` goes into the file alone."""
        line = {"stage": self.stage, "what": what, "value": value, "unit": unit, "note": note, "at": round(time.time(), 1)}
        if goal is not None:
            line["goal"] = list(goal)
            line["met"] = meets(value, goal)
        append(self.path, {**line, **({"detail": detail} if detail else {})})

    def failed(self, what, reason):
        self.add(what, note=reason, status="failed")


class Skip(Exception):
    """A stage cannot be run here; the message says why."""


class Failure(Exception):
    """A program did not do what a stage wanted; the message says which, and what it said."""


def meets(value, goal):
    relation, bound = goal
    if value is None or value != value:
        return False
    return value >= bound if relation == ">=" else value <= bound


def append(path, line):
    with open(path, "a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def find(lines, stage, what):
    """The last value of that name, or None."""
    found = [line["value"] for line in lines if line["stage"] == stage and line["what"] == what]
    return found[-1] if found else None


def failures(lines):
    return [line for line in lines if line.get("detail", {}).get("status") == "failed"]


def number(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else " ".join(value.split())


def table(lines):
    """All results, as markdown."""
    rows = ["| stage | what | value | goal | |", "|---|---|--:|--:|---|"]
    for line in lines:
        relation, bound = line.get("goal", ("", None))
        verdict = {True: "met", False: "MISSED", None: ""}[line.get("met")]
        status = line.get("detail", {}).get("status", "")
        note = " ".join(line["note"].split()).replace("|", "/")
        # Of what went wrong the end says most.
        note = note[-240:] if status == "failed" else note[:240]
        words = "; ".join(filter(None, [verdict, status if status != "ok" else "", note]))
        value = f"{number(line['value'])} {line['unit']}".strip()
        goal = f"{relation} {number(bound)}".strip()
        rows.append(f"| {line['stage']} | {line['what']} | {value} | {goal} | {words} |")
    return "\n".join(rows) + "\n"
