"""What follows from the results of several stages together."""

from results import find


def ratios(lines, results, rehearse):
    """Adds how much faster we are than PyTorch."""
    step = find(lines, "ours-step", "step")
    for what, goal in {"step": (">=", 3), "step, packed": None}.items():
        theirs = find(lines, "torch-step", what)
        if step and theirs:
            results.add(f"{what}: PEFT's time over ours", theirs / step, "x", goal=None if rehearse else goal)
    for line in lines:
        ours = find(lines, "ours-sample", line["what"])
        if line["stage"] == "torch-decode" and line["unit"] == "tokens/s" and ours:
            results.add(f"{line['what']}: our rate over PyTorch's", ours / line["value"], "x")
