#!/usr/bin/env python3
"""A long run of the program in which everything breaks now and then, with the standard library alone.

    cargo build && scripts/soak.py target/debug/addendum [--out DIR] [--steps 2000] [--seed 1]

(Builds without --release take faults.) Trains examples/checkpoints/phantom-tiny twice on few phantoms, one study a step:
once undisturbed, and once while dataset, samplers, editor, rewards, learner and evaluator break at random, the process is
killed in the middle of its steps, and ends itself within a checkpoint. It must end in the same adapter, byte for byte, with
every ticket trained on once, no group too old, no edit of more than one sentence, and its last life, of two thirds of the
steps at least, must hold no more memory, threads and descriptors late than early. Exits 1 otherwise. Linux only.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

FAULTS = (
    "dataset=error@0.01,dataset=slow@0.005,sampler=panic@0.005,editor=panic@0.01,editor=error@0.01,chexbert=panic@0.005,"
    "radgraph=error@0.01,radgraph=slow@0.005,rate=panic@0.005,learner=panic@0.01,evaluator=panic@0.2"
)
ENDS = ["checkpoint.file=abort#7", "checkpoint.rename=abort#2"]
KILLS = 4
GROUP, STALENESS = 4, 1
SETTINGS = f"""
policy.path = "examples/checkpoints/phantom-tiny"
sampling.max_new_tokens = 48
telemetry.metrics_address = "127.0.0.1:0"
[data.phantoms]
training = 100
held_out = 8
[run]
steps = STEPS
batch_groups = 1
group_size = {GROUP}
staleness = {STALENESS}
samplers = 2
max_attempts = 50
checkpoint_every = 20
evaluate_every = 100
recorded_groups = 1
[evaluation]
tests = false
studies = 8
max_new_tokens = 48
"""


def lines(path):
    """The whole lines of a file of JSON objects."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def held(pid):
    """Resident memory in MB, threads and descriptors of a process."""
    proc = pathlib.Path(f"/proc/{pid}")
    resident = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS:"))
    count = lambda name: sum(1 for _ in (proc / name).iterdir())
    return int(resident.split()[1]) / 1024, count("task"), count("fd")


def live(command, run, until=None):
    """One life of a run: what it held at which step. It is killed once it has so many steps."""
    # The backtrace of a panic keeps two hundred megabytes of debug information. With an arena for each of many threads, as
    # glibc has them, those of replaced threads fill one after the other, each to its most, before memory is flat.
    environment = {**os.environ, "RUST_BACKTRACE": "0", "MALLOC_ARENA_MAX": "1"}
    log = (run.parent / f"{run.name}.log").open("a")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
    metrics, done, seen, samples = run / "metrics.jsonl", 0, 0, []
    while process.poll() is None:
        time.sleep(0.2)
        if metrics.exists():
            size = metrics.stat().st_size
            if size < seen:  # cut back by a resume
                done = seen = 0
            with metrics.open("rb") as file:
                file.seek(seen)
                new = file.read(size - seen)
            done, seen = done + new.count(b"\n"), size
        try:
            samples.append((done, *held(process.pid)))
        except (OSError, StopIteration):
            break
        if until is not None and done >= until:
            process.kill()
    return process.wait(), samples


def restarts(run):
    steps = lines(run / "metrics.jsonl")
    return (steps[-1]["restarts"], steps[-1]["retries"]) if steps else (0, 0)


def table(samples, steps):
    print("| step | resident memory | threads | descriptors |\n|--:|--:|--:|--:|")
    for mark in range(steps // 10, steps + 1, steps // 10):
        at = [sample for sample in samples if mark - steps // 10 <= sample[0] < mark]
        if at:
            most = [max(sample[i] for sample in at) for i in (1, 2, 3)]
            print(f"| {mark:,} | {most[0]:.1f} MB | {most[1]} | {most[2]} |")


def problems(run, calm, samples, steps):
    """What is not as it must be."""
    found = []
    expect = lambda holds, what: None if holds else found.append(what)
    records, rollouts = lines(run / "metrics.jsonl"), lines(run / "rollouts.jsonl")
    adapter = lambda folder: (folder / "adapter/adapter_model.safetensors").read_bytes()
    expect(adapter(run) == adapter(calm), "the adapter is another one")
    expect([record["step"] for record in records] == list(range(steps)), "a step is missing, or there twice")
    expect(all(record["groups"] == 1 and record["rollouts"] == GROUP for record in records), "a group is not whole")
    expect(all(record["dead_letters"] == 0 for record in records), "a study was given up")
    expect(all(record["staleness_max"] <= STALENESS for record in records), "a group was too old")
    tickets = {rollout["ticket"] for rollout in rollouts}
    expect(tickets == set(range(steps)) and len(rollouts) == GROUP * steps, "a ticket was lost, or trained on twice")
    expect(all(len(rollout["edits"]) <= 1 for rollout in rollouts), "an edit of more than one sentence")
    # What is held while it trains: at the end the adapter is read back and written.
    begun = next(sample[0] for sample in samples)
    early = [sample for sample in samples if sample[0] < (begun + steps) // 2]
    late = [sample for sample in samples if (begun + steps) // 2 <= sample[0] < steps]
    for i, what, more in [(1, "memory", 2), (2, "threads", 2), (3, "descriptors", 2)]:
        before, after = (max(sample[i] for sample in part) for part in (early, late))
        expect(after <= before + more, f"{what} grew from {before} to {after}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, help="an empty folder for both runs")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="of faults and kills")
    args = parser.parse_args()
    out = args.out or pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    out.mkdir(parents=True, exist_ok=True)
    settings, calm, run = out / "settings.toml", out / "calm", out / "run"
    settings.write_text(SETTINGS.replace("STEPS", str(args.steps)))
    begin = lambda folder: [args.program, "train", "--config", settings, "--out", folder]
    resume = [args.program, "train", "--resume", run]

    clock = time.monotonic()
    status, samples = live(begin(calm), calm)
    if status:
        sys.exit(f"the undisturbed run ended with {status}: {out}/calm.log")
    print(f"Undisturbed, {time.monotonic() - clock:.0f} s:\n")
    table(samples, args.steps)

    rng, clock, lost = random.Random(args.seed), time.monotonic(), [0, 0]
    kills = [("kill", step) for step in sorted(rng.sample(range(args.steps // 40, args.steps // 3), KILLS))]
    lives = kills[:2] + [("end", fault) for fault in ENDS] + kills[2:] + [("last", None)]
    for number, (kind, what) in enumerate(lives):
        faults = f"{FAULTS},{what}" if kind == "end" else FAULTS
        command = resume if (run / "config.toml").exists() else begin(run)
        command = [*command, "--fault", faults, "--fault-seed", str(args.seed + number)]
        status, samples = live(command, run, what if kind == "kill" else None)
        lost = [so_far + more for so_far, more in zip(lost, restarts(run))]
        expected = {"kill": -signal.SIGKILL, "end": -signal.SIGABRT, "last": 0}[kind]
        if status != expected:
            sys.exit(f"life {number} ended with {status}, expected {expected}: {out}/run.log")
    print(
        f"\nWith faults, {len(lives)} lives ({KILLS} killed, {len(ENDS)} ended within a checkpoint), "
        f"{lost[0]} restarts, {lost[1]} attempts made again, {time.monotonic() - clock:.0f} s; the last life:\n"
    )
    table(samples, args.steps)
    found = problems(run, calm, samples, args.steps)
    print("\n" + ("; ".join(found) if found else "The same adapter, byte for byte; no ticket lost; nothing grew."))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
