"""What follows from the results of several stages together."""

from results import Results, find


def derived(lines, path, commit):
    """Adds the ratios that the figures of different stages make."""
    results = Results(path, "together")
    results.add("commit", commit)
    ours, peft = find(lines, "ours-step", "step"), find(lines, "torch-step", "step")
    if ours and peft:
        results.add("a step, PEFT over ours", peft / ours, "x", goal=(">=", 3))
    packed = find(lines, "torch-packed", "step")
    if ours and packed:
        results.add("a step, packed PEFT over ours", packed / ours, "x")
    rates = {line["what"]: line["value"] for line in lines if line["stage"] == "torch-decode" and line["value"]}
    for what, rate in rates.items():
        mine = find(lines, "ours-sample", what)
        if mine:
            results.add(f"{what}: ours over PyTorch's", mine / rate, "x")
