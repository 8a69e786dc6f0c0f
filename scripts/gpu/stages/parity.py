"""Log-probabilities and LoRA gradients of one group beside PEFT's, in bf16, with PEFT in f32 as the yardstick.

Of every quantity: our distance from f32, PEFT's, and the first over the second. At most 1 means that whoever trusts PEFT
in bf16 can trust us. Distances are relative: |x - f32| / |f32| over all values together.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from program import Program
from prompts import prompt, responses
from reference_policy import Policy, loss
from results import Failure, Skip


def run(context, results, _stage):
    if not context.weights.exists():
        raise Skip("the stage `weights` did not run")
    # Convolutions round to TF32 without it, and f32 is the yardstick.
    torch.backends.cudnn.allow_tf32 = False
    count, length = context.sizes.parity
    given = prompt(context, 7)
    answers = responses(context.config, count, length, 8)
    rewards = torch.linspace(-1, 1, count) ** 3
    ours = own(context, given, answers, rewards)
    policy = Policy(context.weights, context.adapter, context.device)
    half = quantities(policy, given, answers, rewards)
    policy.peft.float()
    exact = quantities(policy, given, answers, rewards)
    report(results, "f32", exact, half, ours)
    if isinstance(ours, str):
        raise Skip(ours)


def quantities(policy, given, answers, rewards):
    """By name, on the CPU in f32: image features, log-probabilities, the reference's, and gradients."""
    features = policy.features(given)
    advantages = (rewards - rewards.mean()).to(policy.device)
    news, references = [], []
    for response, advantage in zip(answers.split(1), advantages.split(1)):
        reference = policy.reference(lambda response=response: policy.log_probs(given, features, response))
        new = policy.log_probs(given, features, response)
        loss(new, reference, advantage, len(answers)).backward()
        news.append(new.detach())
        references.append(reference)
    found = {"features": features, "log_probs": torch.cat(news), "reference": torch.cat(references)}
    for name, factor in policy.factors().items():
        found[f"gradient.{name}"] = factor.grad
        factor.grad = None
    return {name: value.float().cpu() for name, value in found.items()}


def own(context, given, answers, rewards):
    """The same from `addendum probe`, or a sentence why there is nothing."""
    program, folder = Program(context), Path(context.scratch)
    known = program.run("probe", "--help", limit=10)
    if not known.ok:
        return "this binary has no `probe`"
    tensors = {
        "prompt": given.ids, "responses": answers, "rewards": rewards, "pixel_values": given.pixels,
        "image_grid_thw": given.grids,
    }  # fmt: skip
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "given.safetensors")
    options = ["--policy", context.weights, "--adapter", context.adapter, "--device", context.device]
    options += ["--dtype", context.dtype, "--given", folder / "given.safetensors", "--out", folder / "found.safetensors"]
    outcome = program.run("probe", *options, limit=30)
    if not outcome.ok:
        raise Failure(f"probe: {outcome.reason}")
    found = load_file(folder / "found.safetensors")
    # Gradients by the names that PEFT's have from `layers.` on.
    return {f"gradient.{n[n.index('layers.') :]}" if n.startswith("gradient.") else n: t for n, t in found.items()}


def report(results, yardstick, exact, half, ours):
    for what in ["features", "log_probs", "reference", "gradient"]:
        names = [name for name in exact if name.partition(".")[0] == what]
        theirs = distance(exact, half, names)
        results.add(f"{what}: PEFT bf16 from {yardstick}", theirs)
        if isinstance(ours, str):
            continue
        missing = [name for name in names if name not in ours or ours[name].shape != exact[name].shape]
        if missing:
            results.failed(f"{what}: ours", f"{len(missing)} are missing or of another shape, the first {missing[0]}")
            continue
        mine = distance(exact, ours, names)
        results.add(f"{what}: ours from {yardstick}", mine)
        results.add(f"{what}: ours over PEFT's", mine / max(theirs, 1e-30), "x", goal=("<=", 1))
    if not isinstance(ours, str) and all(name in ours for name in exact):
        worst(results, exact, half, ours)


def worst(results, exact, half, ours):
    """The factor whose gradient is farthest off, and the largest error of a log-probability."""
    factors = [name for name in exact if name.startswith("gradient.")]
    each = {name: (distance(exact, ours, [name]), distance(exact, half, [name])) for name in factors}
    name, (mine, theirs) = max(each.items(), key=lambda item: item[1][0])
    results.add("gradient: the worst factor", mine, note=f"{name}; PEFT bf16 {theirs:.2e} there")
    gaps = [(found["log_probs"] - exact["log_probs"]).abs().max().item() for found in (ours, half)]
    results.add("log_probs: largest error", gaps[0], note=f"PEFT bf16 {gaps[1]:.2e}")


def distance(exact, found, names):
    """|found - exact| / |exact| over all values of these names."""
    off = sum((found[name].double() - exact[name].double()).square().sum().item() for name in names)
    all = sum(exact[name].double().square().sum().item() for name in names)
    return (off / max(all, 1e-300)) ** 0.5
