"""Our sampling, training step and whole iteration, each with the memory it took beside the memory model's prediction."""

import re

from program import Program
from results import Failure

GIB = 1 << 30


def run(context, results, stage):
    {"ours-sample": sample, "ours-step": step, "ours-loop": loop}[stage](context, results)


def sample(context, results):
    goals = {40: (">=", 10_000), 80: None, 320: (">=", 25_000)}
    program = Program(context)
    for groups, size in context.sizes.samples:
        batch = groups * size
        try:
            report = program.bench("sample", limit=40, groups=groups, group_size=size)
        except Failure as reason:
            results.failed(decode_name(batch), str(reason))
            continue
        rate, inside = decode_rate(report)
        goal = None if context.rehearse else goals.get(batch)
        note = f"{report['tokens_per_prompt']} prompt tokens, {'prefill included' if inside else 'decoding alone'}"
        results.add(decode_name(batch), rate, "tokens/s", goal=goal, note=note, report=report)
        add_memory(results, f"sampling, B = {batch}", report, None)


def decode_name(batch):
    return f"decode, B = {batch}"


def decode_rate(report):
    """Tokens per second with all samples under way, and whether the prompts' passes are in it."""
    rate = report.get("decode_tokens_per_second")
    return (rate, False) if rate else (report["response_tokens"] / report["split"]["sampling"], True)


def step(context, results):
    groups, size = context.sizes.step
    report = Program(context).bench("step", limit=40, groups=groups, group_size=size)
    goal = None if context.rehearse else ("<=", 1.2)
    add_split(results, "step", report, goal)
    add_memory(results, "step", report, predicted(context, size))


def loop(context, results):
    groups, size = context.sizes.step
    for name, options in {"EditGRPO iteration": ["--edit"], "GRPO iteration": []}.items():
        try:
            report = Program(context).bench("loop", *options, limit=30, groups=groups, group_size=size)
        except Failure as reason:
            results.failed(name, str(reason))
            continue
        add_split(results, name, report, None if context.rehearse else ("<=", 2.0))
        add_memory(results, name, report, predicted(context, size))


def add_split(results, what, report, goal):
    split = {name: seconds for name, seconds in report["split"].items() if seconds > 1e-4}
    note = ", ".join(f"{name} {seconds:.3g}" for name, seconds in split.items())
    results.add(what, report["seconds_per_step"], "s", goal=goal, note=note, report=report)


def add_memory(results, what, report, predicted):
    """The peak, and where it was predicted, how far off that was."""
    predicted, peak = report.get("predicted_bytes") or predicted, report["gpu_peak"]
    if peak is None:
        return
    note = f"predicted {predicted / GIB:.2f}" if predicted else "no prediction"
    results.add(f"memory, {what}", peak / GIB, "GiB", note=f"{note}; with the CUDA context")
    if predicted:
        results.add(f"memory off the prediction, {what}", abs(peak / predicted - 1), "", goal=("<=", 0.1))


def predicted(context, group_size):
    """What `doctor` predicts for a step of one study, in bytes."""
    sizes = context.sizes
    options = ["--images", sizes.images, "--pixels", sizes.image_pixels, "--text-tokens", sizes.text_tokens]
    options += ["--group-size", group_size, "--response-tokens", sizes.new_tokens, "--dtype", context.dtype]
    command = ["doctor", "--estimate", "--model-config", context.shape, "--device", context.device, *options]
    outcome = Program(context).run(*command, limit=15)
    found = re.search(r"predicted peak\s+([\d.]+) GiB", outcome.stdout)
    return float(found[1]) * GIB if found else None
