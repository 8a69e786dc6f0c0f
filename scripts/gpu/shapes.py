"""The tensors of a Qwen2.5-VL checkpoint by their published names."""


def text_modules(config):
    """(outputs, inputs) of the linear layers of one decoder layer."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    narrow = kv * (hidden // heads)
    return {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (narrow, hidden),
        "self_attn.v_proj": (narrow, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def lora_shapes(config):
    """(outputs, inputs) of every adapted layer, `layers.N.MODULE`."""
    modules = text_modules(config).items()
    return {f"layers.{i}.{name}": shape for i in range(config["num_hidden_layers"]) for name, shape in modules}


def weight_shapes(config):
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for name, (outputs, inputs) in lora_shapes(config).items():
        shapes[f"model.{name}.weight"] = (outputs, inputs)
        if name.endswith(("q_proj", "k_proj", "v_proj")):
            shapes[f"model.{name}.bias"] = (outputs,)
    for i in range(config["num_hidden_layers"]):
        for norm in ("input", "post_attention"):
            shapes[f"model.layers.{i}.{norm}_layernorm.weight"] = (hidden,)
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    return shapes | vision_shapes(config["vision_config"])


def vision_shapes(vision):
    wide, inner, out = vision["hidden_size"], vision["intermediate_size"], vision["out_hidden_size"]
    patch = (vision.get("in_chans", 3), vision["temporal_patch_size"], vision["patch_size"], vision["patch_size"])
    shapes = {"patch_embed.proj.weight": (wide, *patch)}
    for i in range(vision["depth"]):
        block = f"blocks.{i}"
        shapes |= {f"{block}.norm1.weight": (wide,), f"{block}.norm2.weight": (wide,)}
        shapes |= linear(f"{block}.attn.qkv", 3 * wide, wide) | linear(f"{block}.attn.proj", wide, wide)
        for name, sides in {"gate": (inner, wide), "up": (inner, wide), "down": (wide, inner)}.items():
            shapes |= linear(f"{block}.mlp.{name}_proj", *sides)
    merged = wide * vision["spatial_merge_size"] ** 2
    shapes |= {"merger.ln_q.weight": (wide,)}
    shapes |= linear("merger.mlp.0", merged, merged) | linear("merger.mlp.2", out, merged)
    return {f"visual.{name}": shape for name, shape in shapes.items()}


def linear(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def small(config):
    """Heads as wide as the shape's, but few of them, in a model that a sanitizer gets through in seconds."""
    dim, vision = config["hidden_size"] // config["num_attention_heads"], config["vision_config"]
    wide = 2 * (vision["hidden_size"] // vision["num_heads"])
    names = ("eos", "vision_start", "vision_end", "image", "video")
    special = {f"{name}_token_id": 2040 + i for i, name in enumerate(names)}
    tower = {"hidden_size": wide, "num_heads": 2, "intermediate_size": 352, "depth": 2, "fullatt_block_indexes": [1]}
    return {
        **config, **special, "vocab_size": 2048, "hidden_size": 4 * dim, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 704, "num_hidden_layers": 2,
        "vision_config": {**vision, **tower, "out_hidden_size": 4 * dim},
    }  # fmt: skip


def few_layers(config, layers=4):
    """The same widths with few layers: the kernels see the same shapes, and loading takes a second."""
    vision = {**config["vision_config"], "depth": layers, "fullatt_block_indexes": [layers - 1]}
    return {**config, "num_hidden_layers": layers, "vision_config": vision}
