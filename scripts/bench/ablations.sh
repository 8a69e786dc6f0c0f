#!/bin/bash
# What each way of computing nothing twice is worth: `addendum bench loop` with one of them off, against all on, in turns.
#
#   scripts/bench/ablations.sh [--rounds N] [--binary FILE] [OPTIONS OF bench loop: --threads 2 --edit ...]
#
# Needs a python3 (or PYTHON), nothing else. A row whose flag the binary does not know is left out, and said so. Without
# --edit the trie finds little: only edited reports share more than their prompts.
set -euo pipefail
source "$(dirname "$0")/common.sh"
known=$("$binary" bench loop --help)
flags=()
for flag in --no-trie --no-shared-prefix --vision-cache --one-study-at-a-time; do
  if grep -q -- "^ *$flag\b" <<< "$known"; then flags+=("$flag"); else echo "$binary does not know $flag: no row" >&2; fi
done
"$binary" init --config scripts/bench/config.json --out "$work/model"
for ((round = 1; round <= rounds; round++)); do
  for flag in "" "${flags[@]}"; do
    "$binary" bench loop --model "$work/model" "${options[@]}" $flag >> "$work/all on$flag"
  done
done
"$python" - "$work" "" "${flags[@]}" << 'END'
import json, statistics, sys

folder, *flags = sys.argv[1:]
runs = {flag: [json.loads(line) for line in open(f"{folder}/all on{flag}")] for flag in flags}
parts = [part for part in ("encoding", "sampling", "reference", "forward", "backward") if part in runs[""][0]["split"]]
print(f"{runs[''][0]['cpu']}, {runs[''][0]['threads']} threads, medians of {len(runs[''])} rounds")
print(f"{'seconds per step':<24}" + "".join(f"{part:>11}" for part in parts + ["step", "slower", "peak, GB"]))


def median(flag, value):
    return statistics.median(value(run) for run in runs[flag])


for flag in flags:
    step = median(flag, lambda run: run["seconds_per_step"])
    cells = [f"{median(flag, lambda run: run['split'][part]):>11.4f}" for part in parts]
    cells += [f"{step:>11.4f}", f"{step / median('', lambda run: run['seconds_per_step']):>10.2f}x"]
    print(f"{flag or 'all on':<24}" + "".join(cells) + f"{median(flag, lambda run: run['peak_rss_bytes']) / 1e9:>11.2f}")
END
