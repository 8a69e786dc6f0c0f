"""Our binary, run by a stage."""

import json
import os

import gpu_memory
import process
from results import Failure


class Program:
    def __init__(self, context):
        self.context = context
        self.log = f"{context.out}/log.txt"

    @property
    def environment(self):
        return {**os.environ, "LD_LIBRARY_PATH": self.context.libraries, "CANDLE_NUM_THREADS": "1"}

    def run(self, *args, limit, before=()):
        """Runs it with `args`, under the tool `before` if there is one."""
        return process.run([*before, self.context.binary, *args], limit, self.environment, self.log)

    def must(self, *args, limit):
        """Runs it, and fails with it."""
        outcome = self.run(*args, limit=limit)
        if not outcome.ok:
            raise Failure(f"{' '.join(map(str, args[:2]))}: {outcome.reason}")
        return outcome

    def bench(self, what, *options, limit, **workload):
        """The report of `bench`, with the peak of the GPU's memory as `gpu_peak`."""
        with gpu_memory.Peak(self.context.device) as peak:
            outcome = self.must("bench", what, *self.workload(**workload), *options, limit=limit)
        return {**json.loads(outcome.stdout.strip().splitlines()[-1]), "gpu_peak": peak.bytes}

    def workload(self, groups, group_size, new_tokens=None, repeat=None, model=None):
        context, sizes = self.context, self.context.sizes
        options = {
            "model": model or context.weights,
            "device": context.device,
            "dtype": context.dtype,
            "groups": groups,
            "group-size": group_size,
            "new-tokens": new_tokens or sizes.new_tokens,
            "prompt-tokens": sizes.text_tokens,
            "images-per-prompt": sizes.images,
            "image-pixels": sizes.image_pixels,
            "micro-batch-tokens": context.micro_batch_tokens,
            "repeat": repeat or sizes.repeat,
        }
        flat = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        # As in training, where a study's images are encoded once per run.
        return [*flat, "--vision-cache"]
