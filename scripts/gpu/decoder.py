"""A decoder of Qwen2.5's shape for decoding alone, written by hand: what PyTorch reaches without kernels of one's own.

q, k, v and gate, up are one product each, the adapter is merged, the cache is allocated once, and a token of all rows,
its draw included, is one CUDA graph. All queries that read one key head are one product over the cache, which reads
every key once per row.
"""

import json

import torch
import torch.nn.functional as F
from safetensors import safe_open


class Decoder:
    def __init__(self, folder, device, batch, capacity, dtype=torch.bfloat16):
        config = json.loads((folder / "config.json").read_text())
        self.heads, self.kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.dim = config["hidden_size"] // self.heads
        self.eps = config["rms_norm_eps"]
        tensor = Tensors(folder, device, dtype)
        self.embedding = tensor("model.embed_tokens.weight")
        self.head = self.embedding if config["tie_word_embeddings"] else tensor("lm_head.weight")
        self.last_norm = tensor("model.norm.weight")
        self.layers = [self.layer(tensor, f"model.layers.{i}") for i in range(config["num_hidden_layers"])]
        half = torch.arange(0, self.dim, 2, device=device) / self.dim
        angles = torch.arange(capacity, device=device)[:, None] / config["rope_theta"] ** half
        self.cos, self.sin = (t.repeat(1, 2).to(dtype) for t in (angles.cos(), angles.sin()))
        shape = (2, len(self.layers), batch, self.kv, capacity, self.dim)
        self.cache = torch.empty(shape, device=device, dtype=dtype).normal_()
        self.keys = torch.arange(capacity, device=device)
        # The state of decoding: the last token of each row and where it stands.
        self.token = torch.zeros(batch, dtype=torch.long, device=device)
        self.at = torch.zeros(1, dtype=torch.long, device=device)

    def layer(self, tensor, name):
        norms = [tensor(f"{name}.{norm}_layernorm.weight") for norm in ("input", "post_attention")]
        bias = torch.cat([tensor(f"{name}.self_attn.{n}_proj.bias") for n in "qkv"])
        qkv = torch.cat([tensor(f"{name}.self_attn.{n}_proj.weight") for n in "qkv"])
        gate_up = torch.cat([tensor(f"{name}.mlp.{n}_proj.weight") for n in ("gate", "up")])
        return *norms, bias, qkv, tensor(f"{name}.self_attn.o_proj.weight"), gate_up, tensor(f"{name}.mlp.down_proj.weight")

    def logits(self):
        """Of the tokens at the present place, whose keys and values go into the cache."""
        x = self.embedding[self.token]
        cos, sin = self.cos[self.at], self.sin[self.at]
        ahead = torch.zeros_like(self.keys, dtype=x.dtype).masked_fill(self.keys > self.at, -torch.inf)
        for i, (first, second, bias, qkv, o, gate_up, down) in enumerate(self.layers):
            h = F.linear(self.norm(x, first), qkv, bias).unflatten(1, (-1, self.dim))
            turned, v = h.split((self.heads + self.kv, self.kv), 1)
            left, right = turned.chunk(2, -1)
            q, k = (turned * cos + torch.cat((-right, left), -1) * sin).split((self.heads, self.kv), 1)
            keys, values = self.cache[:, i]
            keys.index_copy_(2, self.at, k.unsqueeze(2))
            values.index_copy_(2, self.at, v.unsqueeze(2))
            x = x + F.linear(self.attend(q, keys, values, ahead), o)
            gate, up = F.linear(self.norm(x, second), gate_up).chunk(2, 1)
            x = x + F.linear(F.silu(gate) * up, down)
        return F.linear(self.norm(x, self.last_norm), self.head)

    def norm(self, x, weight):
        return F.rms_norm(x, weight.shape, weight, self.eps)

    def attend(self, q, keys, values, ahead):
        # [rows, kv heads, queries of one, D]
        q = q.unflatten(1, (self.kv, -1)) * self.dim**-0.5
        scores = torch.matmul(q, keys.transpose(2, 3)) + ahead
        return torch.matmul(scores.softmax(-1), values).flatten(1)

    def step(self):
        """Draws the next token of every row, with its log-probability, and moves on."""
        logp = self.logits().float().log_softmax(1)
        noise = torch.empty_like(logp).exponential_()
        self.token.copy_((logp.exp() / noise).argmax(1))
        self.drawn = logp.gather(1, self.token[:, None])[:, 0]
        self.at += 1

    @torch.no_grad()
    def graph(self):
        """A function that replays `step()`; on the CPU the step itself."""
        if self.token.device.type == "cpu":
            return torch.no_grad()(self.step)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay


class Tensors:
    """Named tensors of a folder of shards."""

    def __init__(self, folder, device, dtype):
        index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
        files = {name: safe_open(folder / name, "pt", device=device) for name in set(index.values())}
        self.of = {name: files[file] for name, file in index.items()}
        self.dtype = dtype

    def __call__(self, name):
        return self.of[name].get_tensor(name).to(self.dtype)
