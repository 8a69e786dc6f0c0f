"""A random checkpoint of the shape in the published layout, which both sides load, and an adapter in PEFT's.

Deviations are those of `addendum init`: 0.02, and divided by sqrt(2 layers) where a projection writes to the residual
stream; norms are 1, biases 0. Both factors of the adapter are drawn, so that it changes what it adapts.
"""

import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from shapes import few_layers, lora_shapes, weight_shapes

SHARD = 4 << 30
RANK, ALPHA = 16, 32


def run(context, results, _stage):
    torch.manual_seed(0)
    config, start = context.config, time.perf_counter()
    count = write(config, context.weights, context.device)
    results.add("parameters", count, note=f"{count * 2 / 1e9:.2f} GB in bf16, {time.perf_counter() - start:.1f} s")
    write(few_layers(config), context.few_layers, context.device)
    write_adapter(config, context.adapter)


def write(config, folder, device):
    """The folder; returns the number of parameters."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    shards, size = [{}], 0
    shapes = weight_shapes(config)
    for name, shape in shapes.items():
        tensor = draw(name, shape, config, device)
        if size + tensor.nbytes > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.cpu()
        size += tensor.nbytes
    index = {"metadata": {}, "weight_map": {}}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        index["weight_map"] |= {name: file for name in shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def draw(name, shape, config, device):
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.bfloat16, device=device)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16, device=device)
    depth = config["vision_config"]["depth"] if name.startswith("visual.") else config["num_hidden_layers"]
    writes = name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight"))
    deviation = 0.02 / (2 * depth) ** 0.5 if writes else 0.02
    return torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(std=deviation)


def write_adapter(config, folder):
    Path(folder).mkdir()
    names = sorted({name.rsplit(".", 1)[1] for name in lora_shapes(config)})
    settings = {
        "base_model_name_or_path": None, "bias": "none", "fan_in_fan_out": False, "inference_mode": False,
        "init_lora_weights": True, "lora_alpha": ALPHA, "lora_dropout": 0.0, "modules_to_save": None,
        "peft_type": "LORA", "r": RANK, "task_type": "CAUSAL_LM", "use_dora": False, "use_rslora": False,
        "target_modules": rf".*language_model\.layers\.\d+\.(self_attn|mlp)\.({'|'.join(names)})",
    }  # fmt: skip
    factors = {}
    for name, (outputs, inputs) in lora_shapes(config).items():
        name = f"base_model.model.model.language_model.{name}"
        factors[f"{name}.lora_A.weight"] = torch.randn(RANK, inputs) * (3 * inputs) ** -0.5
        factors[f"{name}.lora_B.weight"] = torch.randn(outputs, RANK) * 0.01
    save_file(factors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(settings))
