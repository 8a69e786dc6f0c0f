#!/bin/bash
# Whether memory stays flat: resident memory of one `addendum bench loop` after 10, 100, 500 and 1,000 iterations.
#
#   scripts/bench/flat_memory.sh [--binary FILE] [OPTIONS OF bench loop: --threads 2 --repeat 1000 --edit ...]
#
# The process is looked at from outside, every half second; when an iteration ended follows from the durations it prints at
# its end. Needs a python3 (or PYTHON), nothing else.
set -euo pipefail
source "$(dirname "$0")/common.sh"
"$binary" init --config scripts/bench/config.json --out "$work/model"
[[ " ${options[*]} " == *" --repeat "* ]] || options+=(--repeat 1000)
"$python" - "$binary" bench loop --model "$work/model" "${options[@]}" << 'END'
import json, subprocess, sys, tempfile, time


def resident(pid):
    """Bytes, or nothing once the process is over."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


command = sys.argv[1:]
with tempfile.TemporaryFile("w+") as out:
    process = subprocess.Popen(command, stdout=out)
    samples = []
    while process.poll() is None:
        if (now := resident(process.pid)) is not None:
            samples.append((time.monotonic(), now))
        time.sleep(0.5)
    end = time.monotonic()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    out.seek(0)
    result = json.loads(out.read().splitlines()[-1])
steps = result["step_seconds"]
print(f"{len(steps)} iterations of {result['seconds_per_step']:.3f} s; RSS, MB, of {len(samples)} samples")
# Counted back from the end: loading and the untimed step come first.
start = end - sum(steps)
for count in sorted({10, 100, 500, 1000, len(steps)}):
    if count <= len(steps):
        ended = start + sum(steps[:count])
        print(f"after {count:>5}: {min(samples, key=lambda sample: abs(sample[0] - ended))[1] / 1e6:>8.1f}")
print(f"peak       : {result['peak_rss_bytes'] / 1e6:>8.1f}")
END
