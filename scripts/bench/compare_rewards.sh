#!/bin/bash
# Clinical rewards side by side: `addendum bench rewards` against PyTorch in three patterns, in turns.
#
#   scripts/bench/compare_rewards.sh [--rounds N] [--binary FILE] [OPTIONS OF bench rewards: --groups 8 ...]
#
# PYTHON names a Python with the packages that torch_rewards.py lists. The models (1.6 GB) are made afresh in TMPDIR. Every
# side computes on one thread. Rounds alternate, so that all meet the same weather; the serial pattern, being slow, scores
# the first group only.
set -euo pipefail
source "$(dirname "$0")/common.sh"
torch() {
  "$python" scripts/bench/torch_rewards.py --folder "$work/models" --threads 1 --repeat 1 "$@" 2>> "$work/log" >> "$work/results" ||
    { cat "$work/log" >&2; exit 1; }
}
for ((round = 1; round <= rounds; round++)); do
  "$binary" bench rewards --folder "$work/models" --threads 1 --repeat 1 "${options[@]}" >> "$work/results"
  torch --pattern distinct
  torch --pattern batched
  torch --pattern serial --groups 1
done
"$python" - "$work/results" << 'END'
import json, statistics, sys

runs = [json.loads(line) for line in open(sys.argv[1])]
config = runs[0]["config"]
print(f"{runs[0]['cpu']}, 1 thread, {config['groups']} groups of {config['group_size']} reports against one reference")
print(f"{'seconds per pair':<16}{'CheXbert':>10}{'RaTEScore':>11}{'both':>8}{'pairs/s':>9}{'slower':>8}{'peak, GB':>10}")


def of(name, value):
    return statistics.median(value(run) for run in runs if run["bench"] == name)


ours = of("rewards", lambda run: run["seconds_per_pair"])
for name in ("rewards", "torch distinct", "torch batched", "torch serial"):
    total = of(name, lambda run: run["seconds_per_pair"])
    parts = [of(name, lambda run: run["split"][part]) for part in ("chexbert", "rate")]
    peak = of(name, lambda run: run["peak_rss_bytes"]) / 1e9
    title = "addendum" if name == "rewards" else name
    print(f"{title:<16}{parts[0]:>10.3f}{parts[1]:>11.3f}{total:>8.3f}{1 / total:>9.2f}{total / ours:>7.1f}x{peak:>10.2f}")
END
