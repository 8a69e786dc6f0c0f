"""The table of `compare.sh`: medians over the runs in FOLDER/SIDE, a JSON object a line, and how many times ours they are.

    table.py FOLDER addendum torch [trl]
"""

import json
import statistics
import sys

folder, *sides = sys.argv[1:]
runs = {side: [json.loads(line) for line in open(f"{folder}/{side}")] for side in sides}
first = {side: found[0] for side, found in runs.items()}
same = {tuple(run[key] for key in ("cpu", "threads", "tokens_per_prompt", "response_tokens")) for run in first.values()}
assert len(same) == 1, f"the sides did not run the same thing: {same}"
cpu, threads, prompt, responses = same.pop()
ours, *others = sides
peak = first[ours].get("peak_gflops")


def row(name, value, middle=statistics.median):
    """`value` of a run may be missing."""
    found = {side: [v for v in map(value, runs[side]) if v is not None] for side in sides}
    figures = {side: middle(values) for side, values in found.items() if values}
    cells = [f"{figures[side]:>12.4f}" if side in figures else " " * 12 for side in sides]
    cells += [f"{figures[s] / figures[ours]:>12.2f}" if s in figures and figures.get(ours) else " " * 12 for s in others]
    return f"{name:<18}" + "".join(cells)


def share(part):
    found = [run["share_of_peak"][part] for run in runs[ours] if part in run.get("share_of_peak", {})]
    return f"{statistics.median(found):>12.0%}" if found else ""


print(f"{cpu}, {threads} threads, prompts of {prompt} tokens, {responses} response tokens per step")
if peak:
    peaks = [run["peak_gflops"] for run in runs[ours]]
    print(f"f32 matrix products reach {statistics.median(peaks):.0f} GFLOP/s")
titles = sides + [f"{side}/ours" for side in others]
print(f"{'seconds per step':<18}" + "".join(f"{t:>12}" for t in titles) + ("     of peak" if peak else ""))
parts = list(first[ours]["split"])
parts += [part for part in first[ours].get("share_of_peak", {}) if part not in parts]
for part in parts:
    print(row(part, lambda run: run.get("split", {}).get(part)) + share(part))
print(row("median step", lambda run: run["seconds_per_step"]))
print(row("shortest step", lambda run: run["shortest_step_seconds"]))
print(row("shortest of all", lambda run: min(run["step_seconds"]), min))
print(row("peak, GB", lambda run: run["peak_rss_bytes"] / 1e9))
