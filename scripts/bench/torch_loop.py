"""A GRPO iteration written by hand in PyTorch: the yardstick for `addendum bench loop`.

It does the same work on the same model folder and prints the same JSON: encode images, sample groups of responses of a
forced length, reward them, take one AdamW step on LoRA factors with a KL penalty towards the base model. It is meant to
be as fast as plain PyTorch gets without writing kernels:

- a prompt is prefilled once per group; decoding attends to the shared prefix and to a static cache per response;
- for sampling, the adapter is merged into the weights and q, k, v and gate, up are one product each;
- training packs a prompt once with all of its responses; nothing is recomputed and no gradient of a frozen weight formed;
- tokens are drawn from cumulative probabilities, one uniform number each.

Needs torch and safetensors. All prompts have one length, so that nothing is ever padded.
"""

import argparse
import json
import math
import resource
import time
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

MODULES = [f"self_attn.{n}_proj" for n in "qkvo"] + [f"mlp.{n}_proj" for n in ("gate", "up", "down")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=10)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--images-per-prompt", type=int, default=1)
    parser.add_argument("--image-pixels", type=int, default=224 * 224)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--beta", type=float, default=0.01)
    parser.add_argument("--lora-rank", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def rms_norm(x, weight, eps):
    return F.rms_norm(x, weight.shape, weight, eps)


def rotate(x, cos, sin):
    """Rotate-half; `cos` and `sin` are as wide as a head and broadcast over heads."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


def of_segments(q, k, v, bounds):
    """Full attention within segments of `[tokens, heads, D]`; segments of one length go together."""
    lengths = [b - a for a, b in zip(bounds, bounds[1:])]
    if len(set(lengths)) == 1:
        q, k, v = (t.unflatten(0, (len(lengths), lengths[0])).transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)
    parts = zip(*(t.split(lengths) for t in (q, k, v)))
    return torch.cat([of_segments(*part, [0, len(part[0])]) for part in parts])


class Vision:
    """The vision tower, frozen."""

    def __init__(self, config, weights):
        self.config = config
        self.weights = {name.removeprefix("visual."): w for name, w in weights.items() if name.startswith("visual.")}

    def linear(self, name, x):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def plan(self, grid, count):
        """Window order of the patches of `count` images of `grid` merged rows and columns, the windows' bounds and the
        rotation of each patch."""
        c, merge = self.config, self.config["spatial_merge_size"]
        side = c["window_size"] // merge // c["patch_size"]
        rows, cols = grid
        raster = torch.arange(rows * cols).view(rows, cols)
        windows = [w.flatten() for band in raster.split(side, 0) for w in band.split(side, 1)]
        order = torch.cat(windows)
        unit = merge * merge
        bounds = [0]
        for _ in range(count):
            for window in windows:
                bounds.append(bounds[-1] + len(window) * unit)
        y, x = torch.meshgrid(torch.arange(rows * merge), torch.arange(cols * merge), indexing="ij")
        position = torch.stack((y, x), -1).view(rows, merge, cols, merge, 2).transpose(1, 2).reshape(-1, unit, 2)
        half = c["hidden_size"] // c["num_heads"] // 2
        frequency = 1.0 / 10000.0 ** (torch.arange(0, half, 2) / half)
        angles = (position[order].reshape(-1, 2, 1) * frequency).flatten(1).repeat(count, 2).unsqueeze(1)
        order = (order + (torch.arange(count) * rows * cols).unsqueeze(1)).flatten()
        return order, bounds, angles.cos(), angles.sin()

    def __call__(self, patches, grid, count):
        c = self.config
        unit = c["spatial_merge_size"] ** 2
        order, windows, cos, sin = self.plan(grid, count)
        whole = [i * grid[0] * grid[1] * unit for i in range(count + 1)]
        x = F.linear(patches, self.weights["patch_embed.proj.weight"].flatten(1))
        x = x.unflatten(0, (-1, unit))[order].flatten(0, 1)
        for i in range(c["depth"]):
            name = f"blocks.{i}"
            h = rms_norm(x, self.weights[f"{name}.norm1.weight"], 1e-6)
            q, k, v = self.linear(f"{name}.attn.qkv", h).unflatten(1, (3, c["num_heads"], -1)).unbind(1)
            bounds = whole if i in c["fullatt_block_indexes"] else windows
            attended = of_segments(rotate(q, cos, sin), rotate(k, cos, sin), v, bounds)
            x = x + self.linear(f"{name}.attn.proj", attended.flatten(1))
            h = rms_norm(x, self.weights[f"{name}.norm2.weight"], 1e-6)
            h = F.silu(self.linear(f"{name}.mlp.gate_proj", h)) * self.linear(f"{name}.mlp.up_proj", h)
            x = x + self.linear(f"{name}.mlp.down_proj", h)
        x = rms_norm(x, self.weights["merger.ln_q.weight"], 1e-6).view(len(order), -1)
        x = self.linear("merger.mlp.2", F.gelu(self.linear("merger.mlp.0", x)))
        return x[order.argsort()]


class Language:
    """The decoder with LoRA on all of its linear layers."""

    def __init__(self, config, weights, rank):
        self.config = config
        self.heads, self.kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.dim = config["hidden_size"] // self.heads
        self.eps = config["rms_norm_eps"]
        self.weights = weights
        self.embedding = weights["model.embed_tokens.weight"]
        self.head = self.embedding if config["tie_word_embeddings"] else weights["lm_head.weight"]
        self.layers = range(config["num_hidden_layers"])
        self.scale = 2.0
        self.lora = {}
        for i in self.layers:
            for module in MODULES:
                outputs, inputs = weights[f"model.layers.{i}.{module}.weight"].shape
                a = torch.empty(rank, inputs).uniform_(-1, 1) / math.sqrt(inputs)
                self.lora[i, module] = (a.requires_grad_(), torch.zeros(outputs, rank, requires_grad=True))

    def parameters(self):
        return [factor for pair in self.lora.values() for factor in pair]

    def rotation(self, positions):
        """Of `positions` `[3, tokens]`."""
        rope = self.config["rope_scaling"]["mrope_section"]
        theta = self.config["rope_theta"]
        frequency = 1.0 / theta ** (torch.arange(0, self.dim, 2) / self.dim)
        axis = torch.repeat_interleave(torch.arange(3), torch.tensor(rope))
        angles = (positions[axis].T * frequency).repeat(1, 2)
        return angles.cos(), angles.sin()

    # Training and reference

    def linear(self, i, module, x, adapted):
        name = f"model.layers.{i}.{module}"
        y = F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))
        if adapted:
            a, b = self.lora[i, module]
            y = torch.addmm(y, F.linear(x, a), b.T, alpha=self.scale)
        return y

    def packed_attention(self, q, k, v, shape, mask):
        """Prompts see themselves causally, a response its prompt and itself."""
        groups, size, prompt, length = shape
        split = groups * prompt

        def prompts(t, heads):
            return t[:split].view(groups, prompt, heads, self.dim).transpose(1, 2)

        def responses(t, heads):
            return t[split:].view(groups * size, length, heads, self.dim).transpose(1, 2)

        kp, vp = prompts(k, self.kv), prompts(v, self.kv)

        def whole(prefix, own):
            prefix = prefix.repeat_interleave(size, 0)
            return torch.cat((prefix, responses(own, self.kv)), 2)

        first = F.scaled_dot_product_attention(prompts(q, self.heads), kp, vp, is_causal=True, enable_gqa=True)
        rest = F.scaled_dot_product_attention(
            responses(q, self.heads), whole(kp, k), whole(vp, v), attn_mask=mask, enable_gqa=True
        )
        return torch.cat([t.transpose(1, 2).reshape(-1, self.heads * self.dim) for t in (first, rest)])

    def log_probs(self, batch, adapted):
        """`[groups * size, new_tokens]` of the responses' tokens."""
        cos, sin, shape = batch.cos, batch.sin, batch.shape
        x = batch.embedded
        for i in self.layers:
            h = rms_norm(x, self.weights[f"model.layers.{i}.input_layernorm.weight"], self.eps)
            q, k, v = (self.linear(i, m, h, adapted).unflatten(1, (-1, self.dim)) for m in MODULES[:3])
            h = self.packed_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, shape, batch.mask)
            x = x + self.linear(i, MODULES[3], h, adapted)
            h = rms_norm(x, self.weights[f"model.layers.{i}.post_attention_layernorm.weight"], self.eps)
            h = F.silu(self.linear(i, MODULES[4], h, adapted)) * self.linear(i, MODULES[5], h, adapted)
            x = x + self.linear(i, MODULES[6], h, adapted)
        hidden = rms_norm(x[batch.rows], self.weights["model.norm.weight"], self.eps)
        logits = F.linear(hidden, self.head)
        chosen = logits.gather(1, batch.targets.view(-1, 1)).squeeze(1)
        return (chosen - logits.logsumexp(1)).view(batch.targets.shape)

    # Sampling

    def merged(self):
        """Per layer the weights with the adapter in them: q, k and v in one, o, gate and up in one, down."""

        def weight(i, module):
            a, b = self.lora[i, module]
            return torch.addmm(self.weights[f"model.layers.{i}.{module}.weight"], b, a, alpha=self.scale)

        layers = []
        for i in self.layers:
            q, k, v, o, gate, up, down = (weight(i, m) for m in MODULES)
            bias = torch.cat([self.weights[f"model.layers.{i}.{m}.bias"] for m in MODULES[:3]])
            layers.append((torch.cat((q, k, v)), bias, o, torch.cat((gate, up)), down))
        return layers

    def block(self, i, layer, x, attend):
        qkv, bias, o, gate_up, down = layer
        h = rms_norm(x, self.weights[f"model.layers.{i}.input_layernorm.weight"], self.eps)
        q, k, v = F.linear(h, qkv, bias).unflatten(1, (-1, self.dim)).split((self.heads, self.kv, self.kv), 1)
        x = x + F.linear(attend(q, k, v), o)
        h = rms_norm(x, self.weights[f"model.layers.{i}.post_attention_layernorm.weight"], self.eps)
        gate, up = F.linear(h, gate_up).chunk(2, 1)
        return x + F.linear(F.silu(gate) * up, down)

    def logits(self, x):
        return F.linear(rms_norm(x, self.weights["model.norm.weight"], self.eps), self.head)

    def sample(self, embedded, positions, next_position, size, count, never):
        """Tokens and their log-probabilities, `[groups * size, count]` each, of prompts `[groups, tokens, hidden]`."""
        groups, prompt, _ = embedded.shape
        rows, rep = groups * size, self.heads // self.kv
        layers = self.merged()
        cos, sin = (t.repeat(groups, 1).unsqueeze(1) for t in self.rotation(positions))
        prefixes = []

        def prefill(q, k, v):
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            q, k, v = (t.unflatten(0, (groups, prompt)).transpose(1, 2) for t in (q, k, v))
            # [groups * kv, D, prompt] and [groups * kv, prompt, D]
            prefixes.append((k.transpose(2, 3).reshape(-1, self.dim, prompt), v.reshape(-1, prompt, self.dim)))
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return out.transpose(1, 2).reshape(groups * prompt, -1)

        x = embedded.flatten(0, 1)
        for i, layer in enumerate(layers):
            x = self.block(i, layer, x, prefill)
        logits = self.logits(x.view(groups, prompt, -1)[:, -1]).repeat_interleave(size, 0)

        steps = torch.arange(next_position, next_position + count).expand(3, -1)
        cosines, sines = self.rotation(steps)
        keys = torch.empty(len(layers), rows * self.kv, self.dim, count)
        values = torch.empty(len(layers), rows * self.kv, count, self.dim)
        tokens = torch.empty(rows, count, dtype=torch.long)
        logps = torch.empty(rows, count)
        scale = 1.0 / math.sqrt(self.dim)

        for t in range(count):
            logp = logits.log_softmax(1)
            cumulative = logp.exp().index_fill_(1, never, 0.0).cumsum(1)
            threshold = torch.rand(rows, 1) * cumulative[:, -1:]
            drawn = torch.searchsorted(cumulative, threshold, right=True).clamp_(max=logits.shape[1] - 1)
            tokens[:, t] = drawn.squeeze(1)
            logps[:, t] = logp.gather(1, drawn).squeeze(1)
            if t + 1 == count:
                return tokens, logps
            cos, sin = cosines[t], sines[t]

            def decode(q, k, v, i):
                q, k = rotate(q, cos, sin) * scale, rotate(k, cos, sin)
                keys[i, :, :, t] = k.reshape(-1, self.dim)
                values[i, :, t] = v.reshape(-1, self.dim)
                prefix_k, prefix_v = prefixes[i]
                # All queries that read one key head of a prompt are one product.
                q = q.view(groups, size, self.kv, rep, self.dim)
                together = q.transpose(1, 2).reshape(groups * self.kv, size * rep, self.dim)
                shared = torch.bmm(together, prefix_k).view(groups, self.kv, size, rep, prompt)
                own = torch.bmm(q.reshape(rows * self.kv, rep, self.dim), keys[i, :, :, : t + 1])
                own = own.view(groups, size, self.kv, rep, t + 1).transpose(1, 2)
                weights = torch.cat((shared, own), -1).softmax(-1)
                shared, own = weights.split((prompt, t + 1), -1)
                out = torch.bmm(shared.reshape(groups * self.kv, size * rep, prompt), prefix_v)
                out = out.view(groups, self.kv, size, rep, self.dim).transpose(1, 2)
                own = own.transpose(1, 2).reshape(rows * self.kv, rep, t + 1)
                own = torch.bmm(own, values[i, :, : t + 1]).view(groups, size, self.kv, rep, self.dim)
                return (out + own).reshape(rows, -1)

            x = self.embedding[tokens[:, t]]
            for i, layer in enumerate(layers):
                x = self.block(i, layer, x, lambda q, k, v, i=i: decode(q, k, v, i))
            logits = self.logits(x)


class Batch:
    """Prompts and their responses as one sequence: all prompts, then all responses without their last tokens."""

    def __init__(self, language, prompts, positions, next_position, tokens):
        groups, prompt, _ = prompts.shape
        size, length = len(tokens) // groups, tokens.shape[1] - 1
        self.shape = (groups, size, prompt, length)
        self.targets = tokens
        inputs = tokens[:, :-1].flatten()
        self.embedded = torch.cat((prompts.flatten(0, 1), language.embedding[inputs]))
        own = torch.arange(next_position, next_position + length).expand(3, -1)
        both = torch.cat((positions.repeat(1, groups), own.repeat(1, groups * size)), 1)
        self.cos, self.sin = (t.unsqueeze(1) for t in language.rotation(both))
        mask = torch.ones(length, prompt + length, dtype=torch.bool)
        self.mask = mask.tril(prompt)
        ends = (torch.arange(groups) * prompt + prompt - 1).repeat_interleave(size).unsqueeze(1)
        own = torch.arange(groups * size * length).view(-1, length) + groups * prompt
        self.rows = torch.cat((ends, own), 1).flatten()


class Prompts:
    """Random images and random text, one layout for all."""

    def __init__(self, config, args):
        self.config = config
        vision = config["vision_config"]
        merge = vision["spatial_merge_size"]
        unit = vision["patch_size"] * merge
        self.side = max(1, round(math.sqrt(args.image_pixels) / unit))
        self.images = args.images_per_prompt * args.groups
        width = vision.get("in_chans", 3) * vision["temporal_patch_size"] * vision["patch_size"] ** 2
        self.patches = torch.empty(self.images * (self.side * merge) ** 2, width).uniform_(-1.7, 1.7)
        self.never = torch.tensor(
            [config[f"{name}_token_id"] for name in ("vision_start", "vision_end", "image", "video")]
        )
        self.plain = torch.tensor(sorted(set(range(config["vocab_size"])) - set(self.never.tolist())))

        image = [config["vision_start_token_id"]]
        image += [config["image_token_id"]] * self.side**2 + [config["vision_end_token_id"]]
        image = torch.tensor(image * args.images_per_prompt, dtype=torch.long).expand(args.groups, -1)
        self.ids = torch.cat((image, self.text(args.groups, args.prompt_tokens)), 1)

        row, column = torch.meshgrid(torch.arange(self.side), torch.arange(self.side), indexing="ij")
        position, at = [], 0
        for _ in range(args.images_per_prompt):
            inside = torch.stack((torch.zeros(self.side**2, dtype=torch.long), row.flatten(), column.flatten()))
            position += [torch.full((3, 1), at), inside + at + 1, torch.full((3, 1), at + 1 + self.side)]
            at += self.side + 2
        position.append(torch.arange(at, at + args.prompt_tokens).expand(3, -1))
        self.positions = torch.cat(position, 1)
        self.next_position = at + args.prompt_tokens

    def text(self, rows, columns):
        return self.plain[torch.randint(len(self.plain), (rows, columns))]

    def embed(self, language, vision):
        x = language.embedding[self.ids]
        if self.images:
            x[self.ids == self.config["image_token_id"]] = vision(self.patches, (self.side, self.side), self.images)
        return x


def unigram_f1(found, expected):
    common = sum((Counter(found) & Counter(expected)).values())
    return 2 * common / (len(found) + len(expected))


def objective(new, reference, behaviour, rewards, groups, beta, norm):
    """The clipped objective at the point where the policy is the proximal one, with truncated importance weights and the
    k3 estimate of the divergence from the reference."""
    rewards = torch.tensor(rewards).view(groups, -1)
    advantage = (rewards - rewards.mean(1, keepdim=True)).view(-1, 1)
    ratio = (new - new.detach()).exp()
    weight = (new.detach() - behaviour).exp().clamp(max=2.0)
    loss = -weight * torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    if reference is not None:
        gap = reference - new
        loss = loss + beta * (gap.exp() - gap - 1)
    return (loss.sum(1) / norm).mean()


class Clock:
    def __init__(self):
        self.laps, self.last = {}, time.perf_counter()

    def lap(self, name):
        now = time.perf_counter()
        self.laps[name] = now - self.last
        self.last = now


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    config = json.loads((args.model / "config.json").read_text())
    weights = load_file(args.model / "model.safetensors")
    vision, language = Vision(config["vision_config"], weights), Language(config, weights, args.lora_rank)
    prompts = Prompts(config, args)
    references = prompts.text(args.groups, args.new_tokens).tolist()
    parameters = language.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)

    def step():
        clock = Clock()
        with torch.inference_mode():
            embedded = prompts.embed(language, vision)
        clock.lap("encoding")
        with torch.inference_mode():
            tokens, behaviour = language.sample(
                embedded, prompts.positions, prompts.next_position, args.group_size, args.new_tokens, prompts.never
            )
        clock.lap("sampling")
        rewards = [unigram_f1(row, references[i // args.group_size]) for i, row in enumerate(tokens.tolist())]
        clock.lap("reward")
        embedded, tokens, behaviour = (t.clone() for t in (embedded, tokens, behaviour))
        batch = Batch(language, embedded, prompts.positions, prompts.next_position, tokens)
        reference = None
        if args.beta:
            with torch.no_grad():
                reference = language.log_probs(batch, adapted=False)
        clock.lap("reference")
        new = language.log_probs(batch, adapted=True)
        clock.lap("forward")
        objective(new, reference, behaviour, rewards, args.groups, args.beta, args.new_tokens).backward()
        clock.lap("backward")
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.lap("optimizer")
        return clock.laps, (new.detach() - behaviour).abs().max().item()

    runs = [step() for _ in range(args.repeat + 1)]
    drift = max(drift for _, drift in runs)
    if drift > 1e-3:
        raise SystemExit(f"sampling and training disagree on log-probabilities by {drift}")
    laps = sorted((laps for laps, _ in runs[1:]), key=lambda laps: sum(laps.values()))
    median, count = laps[(len(laps) - 1) // 2], args.groups * args.group_size * args.new_tokens
    seconds = sum(median.values())
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    print(json.dumps({
        "bench": "loop",
        "seconds_per_step": seconds,
        "split": median,
        "tokens_per_second": count / seconds,
        "shortest_step_seconds": sum(laps[0].values()),
        "step_seconds": [sum(laps.values()) for laps, _ in runs[1:]],
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cpu": cpu[0] if cpu else None,
        "threads": args.threads,
        "parameters": sum(w.numel() for w in weights.values()),
        "response_tokens": count,
        "tokens_per_prompt": prompts.ids.shape[1],
        "torch": torch.__version__,
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
    }))


if __name__ == "__main__":
    main()
