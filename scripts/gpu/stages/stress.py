"""A learner and two samplers at work on one GPU, with a new adapter every step: the same run twice, bit for bit.

Every hand-over of tensors between threads is in it: image features, adapters, gradients. A missing synchronisation shows as
two adapters that differ.
"""

import hashlib
from pathlib import Path

from program import Program
from settings import ROOT

STUDIES = ROOT / "configs/phantoms.toml"


def run(context, results, _stage):
    digests = [adapter(context, i) for i in range(2)]
    results.add("adapters that differ from the first", len(set(digests)) - 1, goal=("<=", 0), digests=digests)


def adapter(context, i):
    """The digest of what a run of its own has trained."""
    settings = {
        "policy.path": ROOT / "examples/checkpoints/phantom-tiny",
        "policy.device": context.device,
        "policy.dtype": context.dtype,
        "run.steps": 3 if context.rehearse else 12,
        # The file's warm-up is longer than that.
        "learner.schedule.warmup_steps": 0,
        "run.samplers": 2,
        "run.batch_groups": 4,
        "run.evaluate_first": "false",
        "evaluation.tests": "false",
        "evaluation.studies": 4,
        "sampling.max_new_tokens": 48,
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    out = Path(context.scratch, f"run-{i}")
    Program(context).must("train", "--config", STUDIES, *options, "--out", out, limit=25)
    return hashlib.sha256((out / "adapter/adapter_model.safetensors").read_bytes()).hexdigest()
