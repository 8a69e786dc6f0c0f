"""What this card can do at most, and whether the binary finds its libraries."""

import hashlib
import statistics
import subprocess
import time
from pathlib import Path

import torch

import process
from program import Program

QUERY = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"


def run(context, results, _stage):
    results.add("torch", torch.__version__, note=f"CUDA {torch.version.cuda}")
    linked = subprocess.run(["ldd", context.binary], capture_output=True, text=True, env=Program(context).environment)
    missing = [line.split()[0] for line in linked.stdout.splitlines() if "not found" in line]
    results.add("missing libraries", len(missing), goal=("<=", 0), note=" ".join(missing), paths=context.libraries)
    version = Program(context).run("--version", limit=10)
    digest = hashlib.sha256(Path(context.binary).read_bytes()).hexdigest()
    results.add("binary", version.stdout.strip() or version.reason, note=f"sha256 {digest[:16]}")

    device, sizes = context.device, context.sizes
    a, b = (torch.randn(sizes.matmul, sizes.matmul, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = median(lambda: a @ b, device)
    results.add("bf16 product", 2 * sizes.matmul**3 / seconds / 1e12, "TFLOP/s", note=f"{sizes.matmul} cubed, random")
    # While the clocks are still up.
    try:
        asked = process.run(["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"], 10)
        results.add("card", asked.stdout.strip() or asked.reason, note=QUERY)
    except OSError as error:
        results.add("card", note=str(error), status="skipped")
    del a, b
    source = torch.randint(-128, 127, (sizes.copy,), device=device, dtype=torch.int8)
    target = torch.empty_like(source)
    seconds = median(lambda: target.copy_(source), device)
    results.add("copy on the device", 2 * sizes.copy / seconds / 1e9, "GB/s", note="read and written")


def median(work, device, repeat=9):
    def once():
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    return statistics.median([once() for _ in range(repeat + 3)][3:])


def synchronize(device):
    if device != "cpu":
        torch.cuda.synchronize(device)
