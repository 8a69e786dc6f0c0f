#!/bin/bash
# A whole GRPO iteration side by side: `addendum bench loop` against the hand-written PyTorch loop, in turns.
#
#   scripts/bench/compare.sh [--rounds N] [--binary FILE] [OPTIONS OF BOTH: --groups 4 --threads 2 --beta 0.01 ...]
#
# PYTHON names a Python with torch and safetensors (`pip install torch safetensors`). The model, of the shape in
# config.json beside this script, is made afresh. Rounds alternate, so that both meet the same weather.
set -euo pipefail
source "$(dirname "$0")/common.sh"
"$binary" init --config scripts/bench/config.json --out "$work/model"
for ((round = 1; round <= rounds; round++)); do
  "$binary" bench loop --model "$work/model" "${options[@]}" >> "$work/addendum"
  "$python" scripts/bench/torch_loop.py --model "$work/model" "${options[@]}" >> "$work/torch"
done
"$python" - "$work" << 'END'
import json, statistics, sys

runs = {name: [json.loads(line) for line in open(f"{sys.argv[1]}/{name}")] for name in ("addendum", "torch")}
cells = [(name, r["cpu"], r["threads"], r["tokens_per_prompt"], r["response_tokens"]) for name, (r, *_) in runs.items()]
assert cells[0][1:] == cells[1][1:], f"the two did not run the same thing: {cells}"
_, cpu, threads, prompt, responses = cells[0]
print(f"{cpu}, {threads} threads, prompts of {prompt} tokens, {responses} response tokens per step")
print(f"{'seconds per step':<18}{'addendum':>10}{'torch':>10}{'ratio':>8}")


def row(name, value):
    ours, theirs = (statistics.median(value(run) for run in runs[side]) for side in ("addendum", "torch"))
    print(f"{name:<18}{ours:>10.4f}{theirs:>10.4f}{theirs / ours if ours else float('nan'):>8.2f}")


for part in runs["addendum"][0]["split"]:
    row(part, lambda run: run["split"][part])
row("median step", lambda run: run["seconds_per_step"])
row("shortest step", lambda run: run["shortest_step_seconds"])
ours, theirs = (min(step for run in runs[side] for step in run["step_seconds"]) for side in ("addendum", "torch"))
print(f"{'shortest of all':<18}{ours:>10.4f}{theirs:>10.4f}{theirs / ours:>8.2f}")
row("peak, GB", lambda run: run["peak_rss_bytes"] / 1e9)
END
