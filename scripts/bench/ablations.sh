#!/bin/bash
# What each way of computing nothing twice is worth: `addendum bench loop` with one of them off, against all on, in turns.
#
#   scripts/bench/ablations.sh [--rounds N] [--binary FILE] [OPTIONS OF bench loop: --threads 2 --edit ...]
#
# Needs a python3 (or PYTHON), nothing else. Without --edit the trie finds little: only edited reports share more than
# their prompts.
set -euo pipefail
source "$(dirname "$0")/common.sh"
# A row: its name, and its flags.
rows=("all on;--vision-cache" "no trie;--vision-cache --no-trie" "no prefix sharing;--vision-cache --no-shared-prefix"
  "no vision cache;" "one study at a time;--vision-cache --one-study-at-a-time")
"$binary" init --config scripts/bench/config.json --out "$work/model"
for ((round = 1; round <= rounds; round++)); do
  for row in "${rows[@]}"; do
    # Unquoted: several flags.
    "$binary" bench loop --model "$work/model" "${options[@]}" ${row#*;} >> "$work/${row%%;*}"
  done
done
"$python" - "$work" "${rows[@]%%;*}" << 'END'
import json, statistics, sys

folder, *rows = sys.argv[1:]
runs = {row: [json.loads(line) for line in open(f"{folder}/{row}")] for row in rows}
parts = [part for part in ("encoding", "sampling", "reference", "forward", "backward") if part in runs[rows[0]][0]["split"]]
print(f"{runs[rows[0]][0]['cpu']}, {runs[rows[0]][0]['threads']} threads, medians of {len(runs[rows[0]])} rounds")
print(f"{'seconds per step':<24}" + "".join(f"{part:>11}" for part in parts + ["step", "slower", "peak, GB"]))


def median(row, value):
    return statistics.median(value(run) for run in runs[row])


for row in rows:
    step = median(row, lambda run: run["seconds_per_step"])
    cells = [f"{median(row, lambda run: run['split'][part]):>11.4f}" for part in parts]
    cells += [f"{step:>11.4f}", f"{step / median(rows[0], lambda run: run['seconds_per_step']):>10.2f}x"]
    print(f"{row:<24}" + "".join(cells) + f"{median(row, lambda run: run['peak_rss_bytes']) / 1e9:>11.2f}")
END
