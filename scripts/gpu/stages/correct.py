"""Does the device compute what the CPU computes? `check-device`, row by row."""

import re

from program import Program
from results import Failure

ROW = re.compile(r"^(\S+)\s+(.+?)\s+([\d.]+e-?\d+|inf|NaN)\s+([\d.]+e-?\d+)\s+(ok|FAILED)$")


def run(context, results, _stage):
    outcome = Program(context).run("check-device", context.device, limit=35)
    rows = [match.groups() for match in map(ROW.match, outcome.stdout.splitlines()) if match]
    for dtype, what, difference, tolerance, _ in rows:
        results.add(f"{what}, {dtype}", float(difference), goal=("<=", float(tolerance)))
    if not outcome.ok or not rows:
        raise Failure(f"check-device: {outcome.reason}")
