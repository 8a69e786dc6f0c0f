"""Where the time of decoding and of a training step goes, kernel by kernel, by Nsight Compute.

The model has the widths of the shape and few layers, so that kernels are the same and loading is short; prompts are text.
A first run times many launches, with the bytes they move; a second reads the basic sections of forty of them into a file.
"""

import csv
import re
from collections import defaultdict

import machine
from program import Program
from results import Failure, Skip

METRICS = ["gpu__time_duration.sum", "dram__bytes_read.sum", "dram__bytes_write.sum"]
DETAILED = 40


def run(context, results, _stage):
    if not context.few_layers.exists():
        raise Skip("the stage `weights` did not run")
    program, ncu = Program(context), machine.tool("ncu")
    if context.device == "cpu":
        ncu = None
    # By name: the command, the launches to pass over (loading and prefill, or nothing), and those to time.
    text = ["--images-per-prompt", 0, "--prompt-tokens", context.prompt_tokens]
    works = {"step": ("step", (2, 10), 0, 1800), "decode": ("sample", (8, 5), 3000, 600)}
    details = []
    for name, (what, (groups, size), skip, count) in works.items():
        options = program.workload(groups, size, repeat=1, model=context.few_layers)
        command = ["bench", what, *replaced(options, text)]
        if ncu is None:
            program.must(*command, limit=20)
            continue
        timed = f"{context.scratch}/{name}.csv"
        launches = profile(program, command, [ncu, "--metrics", ",".join(METRICS)], skip, count, timed)
        record(results, name, launches)
        first = skip + (0 if name == "decode" else backward(launches))
        details.append((command, first, f"{context.out}/profile-{name}.csv"))
    for command, first, detailed in details:
        profile(program, command, [ncu, "--set", "basic"], first, DETAILED, detailed)
    if ncu is None:
        raise Skip("no ncu for this device; ran what it would have watched")


def replaced(options, others):
    """`options` with the values of `others`, both as flat lists."""
    pairs, options = dict(zip(others[::2], others[1::2])), list(options)
    for name, value in pairs.items():
        options[options.index(name) + 1] = str(value)
    return options


def profile(program, command, ncu, skip, count, path):
    """The launches that ncu watched, in order; the application is ended after them."""
    window = ["--launch-skip", skip, "--launch-count", count, "--kill", "yes", "--clock-control", "none", "--cache-control", "none"]
    form = ["--target-processes", "all", "--csv", "--page", "raw", "--print-units", "base", "--log-file", path]
    outcome = program.run(*command, before=[*ncu, *window, *form], limit=30)
    with open(path) as file:
        launches = parse(file)
    if not launches:
        raise Failure(f"ncu saw no launch after {skip}: {outcome.reason}")
    return launches


def parse(lines):
    """Rows of ncu's raw page as CSV, by column; the second row holds units."""
    table = csv.DictReader(line for line in lines if line.startswith('"'))
    return [row for row in table if row["ID"].strip()]


def value(row, metric):
    try:
        return float(row[metric].replace(",", ""))
    except (KeyError, ValueError):
        return 0.0


def backward(launches):
    """The first launch of a backward pass, by the name of its kernel, or else the middle one."""
    named = (i for i, row in enumerate(launches) if re.search("back|bwd|grad", row["Kernel Name"], re.I))
    return next(named, len(launches) // 2)


def record(results, name, launches):
    kernels = defaultdict(lambda: [0, 0.0, 0.0])
    for row in launches:
        kernel = kernels[row["Kernel Name"].partition("(")[0][:80]]
        kernel[0] += 1
        kernel[1] += value(row, METRICS[0]) / 1e9
        kernel[2] += value(row, METRICS[1]) + value(row, METRICS[2])
    order = sorted(kernels.items(), key=lambda item: -item[1][1])
    total = sum(seconds for _, (_, seconds, _) in order)
    results.add(f"{name}: {len(launches)} launches", total * 1e3, "ms", note="the kernels alone, few layers")
    for kernel, (count, seconds, moved) in order[:24]:
        note = f"{count} launches, {100 * seconds / max(total, 1e-12):.0f} %, {moved / max(seconds, 1e-12) / 1e9:,.0f} GB/s"
        results.add(f"{name}: {kernel}", seconds / count * 1e6, "µs each", note=note)
