"""compute-sanitizer over everything the policy does, with a model small enough for it."""

import json
import re
from pathlib import Path

import machine
from program import Program
from results import Skip
from shapes import small

LOOP = ["--groups", 2, "--group-size", 4, "--new-tokens", 6, "--prompt-tokens", 20, "--image-pixels", 12544]
LOOP += ["--repeat", 1, "--edit", "--dtype", "bf16"]


def run(context, results, _stage):
    program, model = Program(context), Path(context.scratch, "small")
    model.mkdir()
    (model / "config.json").write_text(json.dumps(small(context.config)))
    programs = {
        "an iteration": ["bench", "loop", "--random-init", model, "--device", context.device, *LOOP],
        "check-device": ["check-device", context.device],
    }
    sanitizer = machine.tool("compute-sanitizer")
    if sanitizer is None or context.device == "cpu":
        for command in programs.values():
            program.must(*command, limit=20)
        raise Skip("no compute-sanitizer for this device; ran what it would have watched")
    # The shorter program under both tools before the longer one.
    for what, command in programs.items():
        for tool in ("memcheck", "racecheck"):
            before = [sanitizer, "--tool", tool, "--print-limit", "5", "--error-exitcode", "9"]
            outcome = program.run(*command, before=before, limit=25)
            found = errors(outcome.stdout + outcome.stderr)
            results.add(f"{tool}, {what}", found, "errors", goal=("<=", 0), note="" if outcome.ok else outcome.reason)


def errors(text):
    """The number in the last summary line, or None where the tool did not come to its end."""
    found = re.findall(r"(?:ERROR SUMMARY: |RACECHECK SUMMARY: .*\()(\d+) errors?", text)
    return int(found[-1]) if found else None
