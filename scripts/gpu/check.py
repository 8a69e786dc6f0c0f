#!/usr/bin/env python3
"""Checks an NVIDIA GPU: does it compute what it should, how fast, in how much memory, and beside PyTorch how?

    scripts/gpu/check.py --binary FILE[.gz] [--device cuda:0] [--stages a,b,c] [--budget SECONDS] [--out DIR]

Each stage is a process under a time limit of its own; what it finds is a line in OUT/results.jsonl at once. A stage that
fails or does not come to its end is recorded with the end of its output, and the next one runs. What no longer fits into
the budget is recorded as skipped. OUT/summary.md is the table that is printed last; OUT/log.txt holds what programs said.

With --rehearse everything is tiny and on the CPU: the same code, on any machine, with a binary of any build.

It runs under a Python that has torch, safetensors, transformers and peft.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import machine
import process
import results
from ratios import ratios
from settings import ROOT, STAGES, Context
from stages.__main__ import SKIPPED

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    names = [stage.name for stage in STAGES]
    parser.add_argument("--binary", type=Path, required=True, help="the built program, also gzipped")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--stages", default=",".join(names), help="which, in this order")
    parser.add_argument("--budget", type=float, default=320, help="seconds for all stages together")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "gpu-check"), help="gets the results")
    parser.add_argument("--shape", type=Path, help="a folder with a config.json; Qwen2.5-VL-3B without it")
    parser.add_argument("--micro-batch-tokens", type=int, default=2500, help="of our learner")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU")
    args = parser.parse_args()
    args.stages = args.stages.split(",")
    unknown = set(args.stages) - set(names)
    if unknown:
        parser.error(f"no stage is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    tiny = "tests/fixtures/policy/qwen2_5_vl_tiny"
    args.shape = args.shape or ROOT / (tiny if args.rehearse else "examples/configs/qwen2.5-vl-3b")
    if args.rehearse:
        args.device = "cpu"
    return args


def environment():
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    quiet = {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **quiet, "PYTHONPATH": ":".join(paths)}


def run_stage(stage, context, path, left):
    """Runs one stage in what is left of the budget, and records how it ended."""
    record = results.Results(f"{context.out}/results.jsonl", stage.name)
    if left < stage.least:
        record.add("stage", note=f"{max(left, 0):.0f} s were left, it needs {stage.least}", status="skipped")
        return
    command = [sys.executable, "-m", "stages", stage.name, stage.module, path]
    outcome = process.run(command, min(stage.limit, left), environment(), f"{context.out}/log.txt", session=True)
    status = {0: "ok", SKIPPED: "skipped"}.get(outcome.status, "failed")
    note = {"ok": "", "skipped": process.tail(outcome.stdout)}.get(status, outcome.reason)
    record.add("stage", round(outcome.seconds, 1), "s", note=note, status=status)
    print(f"{stage.name}: {status} in {outcome.seconds:.0f} s {note}", flush=True)


def main():
    args = arguments()
    begin = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ("results.jsonl", "log.txt", "summary.md"):
        (args.out / name).unlink(missing_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="gpu-check-", dir=machine.scratch()))
    try:
        context = Context(
            binary=str(machine.unpacked(args.binary, scratch)),
            device=args.device,
            out=str(args.out.resolve()),
            scratch=str(scratch),
            shape=str(args.shape.resolve()),
            rehearse=args.rehearse,
            micro_batch_tokens=args.micro_batch_tokens,
            libraries=machine.libraries(),
        )
        path = scratch / "context.json"
        path.write_text(json.dumps(dataclasses.asdict(context)))
        for stage in STAGES:
            if stage.name in args.stages:
                run_stage(stage, context, path, args.budget - (time.monotonic() - begin))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    lines = results.read(args.out / "results.jsonl")
    ratios(lines, results.Results(args.out / "results.jsonl", "together"), args.rehearse)
    lines = results.read(args.out / "results.jsonl")
    text = results.table(lines)
    (args.out / "summary.md").write_text(text)
    print(f"\n{text}\n{time.monotonic() - begin:.0f} s in all", flush=True)
    return 1 if results.failures(lines) else 0


if __name__ == "__main__":
    sys.exit(main())
