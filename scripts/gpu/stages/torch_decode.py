"""PyTorch's decoding on the same weights: a hand-written step in a CUDA graph, each response with a cache of its own."""

import time

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from decoder import Decoder
from prompts import responses
from results import Skip


def run(context, results, _stage):
    if not context.weights.exists():
        raise Skip("the stage `weights` did not run")
    if context.rehearse:
        compare(context)
    if context.device != "cpu":
        torch.cuda.set_device(context.device)
    for batch in context.sizes.decode:
        measure(context, results, batch)


def measure(context, results, batch):
    device, count = context.device, context.sizes.decode_tokens
    start = context.prompt_tokens
    # The graph's own warm-up moves on by a few places.
    decoder = Decoder(context.weights, device, batch, start + count + 8)
    step = decoder.graph()
    best = float("inf")
    for _ in range(context.sizes.repeat):
        decoder.at.fill_(start)
        wait(device)
        begin = time.perf_counter()
        for _ in range(count):
            step()
        wait(device)
        best = min(best, time.perf_counter() - begin)
    if not decoder.drawn.isfinite().all():
        raise RuntimeError("log-probabilities that are not finite")
    note = f"after {start} tokens, prompts not shared, {best / count * 1e3:.2f} ms per token"
    results.add(f"decode, B = {batch}", batch * count / best, "tokens/s", note=note)
    del decoder, step
    if device != "cpu":
        torch.cuda.empty_cache()


def wait(device):
    if device != "cpu":
        torch.cuda.synchronize()


@torch.no_grad()
def compare(context):
    """The decoder's logits, token by token, are those of transformers."""
    given = responses(context.config, 2, 9, 0)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(context.weights, dtype=torch.float32)
    expected = model(input_ids=given).logits
    decoder = Decoder(context.weights, "cpu", 2, 9, torch.float32)
    for i in range(9):
        decoder.token.copy_(given[:, i])
        gap = (decoder.logits() - expected[:, i]).abs().max()
        if not gap < 1e-4:
            raise RuntimeError(f"logits at place {i}: {gap:.1e} apart")
        decoder.at += 1
