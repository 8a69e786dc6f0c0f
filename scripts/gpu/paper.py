#!/usr/bin/env python3
"""What a decode step and a training step have to move, compute and launch, and how long that takes: docs/gpu.md's tables.

    scripts/gpu/paper.py [--prompt 1100] [--new-tokens 128] [SHAPE ...]

Nothing is measured here. A roofline takes the datasheet's bandwidth and the bf16 rate that cards reach on large products;
a prediction takes the shares of both that `SHARE` names. Assumed are bf16 weights, activations and keys, an f32 residual
stream, LoRA of rank 16 on all linear layers in the same products (`[W; B]`), prompts read once per group in decoding and
standing once per group in training.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from settings import ROOT
from shapes import text_modules

RANK = 16
# Bytes per second; of dense bf16 products, operations per second.
CARDS = {"H100": 3.35e12, "H200": 4.8e12}
RATE = 800e12
# Of bandwidth and of RATE that we expect to reach; seconds of a launch's ramp and tail within a CUDA graph.
SHARE = {"bytes": 0.85, "products": 0.75, "attention in training": 0.31}
LAUNCH = 2e-6
# vLLM: of bandwidth, and seconds per step outside the graph. PEFT: of RATE, from the better and the worse of what is known.
VLLM = {"bytes": 0.75, "overhead": 1.2e-3}
PEFT = (0.50, 0.37)
# Copying an updated adapter into vLLM's model: merging and loading.
SYNC = 0.6


@dataclass
class Model:
    """Sizes of the decoder, and how many values its parts hold."""

    config: dict

    def __post_init__(self):
        c = self.config
        self.layers, self.hidden, self.inner = c["num_hidden_layers"], c["hidden_size"], c["intermediate_size"]
        modules = text_modules(c)
        self.matrices = self.layers * sum(o * i for o, i in modules.values())
        self.factors = self.layers * RANK * sum(o + i for o, i in modules.values())
        self.head = c["vocab_size"] * self.hidden
        self.vocabulary = c["vocab_size"]
        self.qkv = sum(modules[f"self_attn.{n}_proj"][0] for n in "qkv")
        # Bytes of a token's keys and values.
        self.cached = 2 * self.layers * (self.qkv - self.hidden)

    @property
    def elementwise(self):
        """Bytes of one token in one pass that no product moves: norms, rotation and cache, SwiGLU."""
        h, inner = self.hidden, self.inner
        norms = (4 * h + 2 * h) + (2 * h + 4 * h + 4 * h + 2 * h)
        return self.layers * (norms + 4 * self.qkv + 6 * inner)

    @property
    def streamed(self):
        """Bytes of one token in one pass that products read and write."""
        h, inner = self.hidden, self.inner
        return self.layers * 2 * (h + self.qkv + 2 * h + h + 2 * inner + inner + h)

    def attention(self, pairs):
        """Operations of that many pairs of query and key, forwards."""
        return 4 * self.hidden * self.layers * pairs


@dataclass
class Step:
    """Bytes, operations and launches, by whether products or everything else do them."""

    weights: float = 0
    keys: float = 0
    other: float = 0
    products: float = 0
    attention: float = 0
    launches: int = 0

    def roofline(self, bandwidth):
        return max(self.weights / bandwidth, self.products / RATE) + max(
            self.keys / bandwidth, self.attention / RATE
        ) + self.other / bandwidth  # fmt: skip

    def predicted(self, bandwidth, attention_share):
        bandwidth *= SHARE["bytes"]
        products = max(self.weights / bandwidth, self.products / (RATE * SHARE["products"]))
        attention = max(self.keys / bandwidth, self.attention / (RATE * attention_share))
        return products + attention + self.other / bandwidth + self.launches * LAUNCH


def decode(model, batch, group, prompt, own, shared=True):
    """One token of `batch` responses that have `own` tokens each, in groups with one prompt."""
    prompts = batch // group if shared else batch
    logits = 4 * batch * model.vocabulary
    return Step(
        weights=2 * (model.matrices + model.factors + model.head) + batch * model.streamed + logits,
        keys=model.cached * (prompts * prompt + batch * own),
        # The draw reads the logits twice: for their sum, and for the token.
        other=batch * model.elementwise + 2 * logits,
        products=2 * batch * (model.matrices + model.factors + model.head),
        attention=model.attention(batch * (prompt + own)),
        launches=14 * model.layers + 5,
    )


def train(model, groups, size, prompt, new, shared=True, head_passes=4):
    """A step with its reference pass; the head is computed again in the backward pass unless `head_passes` is 3."""
    own = new - 1
    if shared:
        tokens, pairs = prompt + size * own, prompt**2 / 2 + size * own * (prompt + own / 2)
    else:
        tokens, pairs = size * (prompt + own), size * (prompt + own) ** 2 / 2
    tokens, pairs, targets = groups * tokens, groups * pairs, groups * size * new
    # Reference, forward, and of the activations backward; factors once more each for their own gradient.
    products = 2 * tokens * (3 * model.matrices + 3 * model.factors) + head_passes * 2 * targets * model.head
    # Nine launches per layer without LoRA, 13 with it, 23 backward; the head's in two passes of two and one of three.
    launches = groups * (model.layers * (9 + 13 + 23) + 7 + 4) + 3
    return Step(
        weights=groups * 4 * 2 * (model.matrices + model.head) + 4 * tokens * model.streamed,
        # Of the head, f32 logits, written and read.
        other=4 * tokens * model.elementwise + head_passes * 8 * targets * model.vocabulary,
        products=products,
        attention=4.5 * model.attention(pairs),
        launches=launches,
    ), tokens


def milliseconds(seconds):
    return f"{seconds * 1e3:,.2f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def decode_table(model, batches, prompt, own):
    steps = [(batch, group, shared, decode(model, batch, group, prompt, own, shared))
             for batch, group in batches for shared in (True, False)]  # fmt: skip
    names = {True: "once per group of {}", False: "per response"}
    row("B", "prompts read", "products GB", "keys GB", "rest GB", "TFLOP", "launches")
    row("--:", "---", *["--:"] * 5)
    for batch, group, shared, step in steps:
        gigabytes = [f"{part / 1e9:.2f}" for part in (step.weights, step.keys, step.other)]
        operations = f"{(step.products + step.attention) / 1e12:.3f}"
        row(batch, names[shared].format(group), *gigabytes, operations, step.launches)
    print()
    columns = ("roofline ms", "predicted ms", "tokens/s", "vLLM tokens/s")
    row("B", "prompts read", *[f"{card} {column}" for card in CARDS for column in columns])
    row("--:", "---", *["--:"] * 4 * len(CARDS))
    for batch, group, shared, step in steps:
        cells = []
        for bandwidth in CARDS.values():
            seconds = step.predicted(bandwidth, SHARE["products"])
            theirs = "" if shared else f"{batch / vllm(step, bandwidth):,.0f}"
            cells += [milliseconds(step.roofline(bandwidth)), milliseconds(seconds), f"{batch / seconds:,.0f}", theirs]
        row(batch, names[shared].format(group), *cells)


def vllm(step, bandwidth):
    """Seconds of vLLM's step, which reads a prompt once per response."""
    bandwidth *= VLLM["bytes"]
    products = max(step.weights / bandwidth, step.products / (RATE * SHARE["products"]))
    return products + (step.keys + step.other) / bandwidth + VLLM["overhead"]


def train_table(model, groups, size, prompt, new):
    row("prompts", "tokens", "products TFLOP", "attention TFLOP", "GB", "launches",
        *[f"{c} roofline ms" for c in CARDS], *[f"{c} predicted ms" for c in CARDS], "PEFT + FlashAttention s")  # fmt: skip
    row("---", *["--:"] * 10)
    for shared in (True, False):
        step, tokens = train(model, groups, size, prompt, new, shared)
        theirs = " to ".join(f"{s:.1f}" for s in peft(model, groups, size, prompt, new))
        row("shared" if shared else "per response", f"{tokens:,}", f"{step.products / 1e12:,.0f}",
            f"{step.attention / 1e12:,.0f}", f"{(step.weights + step.other) / 1e9:,.0f}", f"{step.launches:,}",
            *[milliseconds(step.roofline(b)) for b in CARDS.values()],
            *[milliseconds(step.predicted(b, SHARE["attention in training"])) for b in CARDS.values()],
            "" if shared else theirs)  # fmt: skip


def peft(model, groups, size, prompt, new):
    """Seconds of PEFT's step, from and to."""
    step, _ = train(model, groups, size, prompt, new, shared=False, head_passes=3)
    return [(step.products + step.attention) / (RATE * share) for share in PEFT]


def iteration_table(model, groups, size, prompt, new):
    """EditGRPO: half of a group is sampled. The images' features are kept; nothing but the policy is counted."""
    row("", *[f"{part} s" for part in ("prefill", "decoding", "step", "new adapter", "iteration")])
    row("---", *["--:"] * 5)
    batch = groups * size // 2
    forward = 2 * groups * prompt * model.matrices + model.attention(groups * prompt**2 / 2)
    for card, bandwidth in CARDS.items():
        token = decode(model, batch, size // 2, prompt, new / 2)
        step, _ = train(model, groups, size, prompt, new)
        parts = [forward / (RATE * SHARE["products"]), new * token.predicted(bandwidth, SHARE["products"]),
                 step.predicted(bandwidth, SHARE["attention in training"]), 0.0]  # fmt: skip
        row(f"ours, {card}", *[f"{part:.2f}" for part in parts], f"{sum(parts):.1f}")
        token = decode(model, batch, size // 2, prompt, new / 2, shared=False)
        parts = [forward / (RATE * PEFT[0]), new * vllm(token, bandwidth), peft(model, groups, size, prompt, new)[0], SYNC]
        row(f"TRL + vLLM, {card}", *[f"{part:.2f}" for part in parts], f"{sum(parts):.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shapes", nargs="*", type=Path)
    parser.add_argument("--prompt", type=int, default=1100)
    parser.add_argument("--new-tokens", type=int, default=128)
    args = parser.parse_args()
    shapes = args.shapes or [ROOT / f"examples/configs/qwen2.5-vl-{size}" for size in ("3b", "7b")]
    for shape in shapes:
        model = Model(json.loads((shape / "config.json").read_text()))
        print(f"\n#### {shape.name}: {(model.matrices + model.head) / 1e9:.2f} G weights read per token\n")
        print(f"A decode step; prompts of {args.prompt:,} tokens, {args.new_tokens // 2} of {args.new_tokens} drawn:\n")
        decode_table(model, [(5, 5), (40, 5), (80, 10), (320, 10)], args.prompt, args.new_tokens // 2)
        print(f"\nA training step, 8 x 10 x {args.new_tokens}, reference pass included:\n")
        train_table(model, 8, 10, args.prompt, args.new_tokens)
        print(f"\nAn EditGRPO iteration, 8 x 10 x {args.new_tokens}:\n")
        iteration_table(model, 8, 10, args.prompt, args.new_tokens)


if __name__ == "__main__":
    main()
