"""A GRPO iteration written by hand in PyTorch: the yardstick for `addendum bench loop`.

It does the same work on the same model folder and prints the same JSON: encode images, sample groups of responses of a
forced length, reward them, take one AdamW step on LoRA factors with a KL penalty towards the base model. With `--edit` it
is an EditGRPO iteration, that of `addendum bench loop --edit`: half of a group is sampled, and the other half are copies in
which one sentence of 16 tokens, drawn uniformly, is the reference's at the same place; their importance weight is 1.

It is meant to be as fast as PyTorch gets without writing kernels:

- a prompt is prefilled once per group; decoding attends to the shared prefix and to a static cache per response;
- for sampling, the adapter is merged into the weights, and a token of all responses is one compiled graph;
- sampling multiplies with oneDNN: with 40 rows it reached 1.5 to 2 times the rate of MKL on an AMD processor; in training,
  as an operator of its own in the compiled graph, it was no faster than MKL, and slower in the backward pass;
- q, k, v and gate, up are one product each, with their adapters two more for all of them;
- training packs a prompt once with all of its responses, and the tokens that an edited copy shares with its source once;
  nothing is recomputed and no gradient of a frozen weight formed; all but attention is compiled;
- attention is `scaled_dot_product_attention`, one call for all that branch off at one place;
- tokens are drawn from cumulative probabilities, one uniform number each.

Also tried and not kept, being slower or no faster: decoding without compilation on slices of the cache, a cache of all
layers in one tensor, glibc's allocator told to keep memory. Compilation needs a C++ compiler; `--eager` does without.

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

FUSED = [[f"self_attn.{n}_proj" for n in "qkv"], ["self_attn.o_proj"], ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]]
SENTENCE = 16

# oneDNN's product, with few rows faster than MKL's; without gradients.
onednn = torch.ops.mkldnn._linear_pointwise
library = torch.library.Library("yardstick", "DEF")
library.define("product(Tensor x, Tensor weight) -> Tensor")
library.impl("product", lambda x, weight: onednn(x, weight, None, "none", [], ""), "CPU")
torch.library.register_fake("yardstick::product", lambda x, weight: x.new_empty(len(x), len(weight)), lib=library)
product = torch.ops.yardstick.product


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
    parser.add_argument("--edit", action="store_true", help="sample half of a group and edit a copy of each into the other")
    parser.add_argument("--eager", action="store_true", help="no torch.compile, which needs a C++ compiler")
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
    """The decoder with LoRA on all of its linear layers. What reads one input is one product: q, k, v and gate, up."""

    def __init__(self, config, weights, rank, compiled):
        self.heads, self.kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.dim = config["hidden_size"] // self.heads
        self.eps = config["rms_norm_eps"]
        self.rope, self.theta = config["rope_scaling"]["mrope_section"], config["rope_theta"]
        self.embedding = weights["model.embed_tokens.weight"]
        self.head = self.embedding if config["tie_word_embeddings"] else weights["lm_head.weight"]
        self.last_norm = weights["model.norm.weight"]
        self.scale = 2.0
        self.layers, self.lora = [], []
        for i in range(config["num_hidden_layers"]):
            name = f"model.layers.{i}"
            norms = [weights[f"{name}.{n}_layernorm.weight"] for n in ("input", "post_attention")]
            bias = torch.cat([weights[f"{name}.self_attn.{n}_proj.bias"] for n in "qkv"])
            fused = [[weights[f"{name}.{module}.weight"] for module in modules] for modules in FUSED]
            self.layers.append((*norms, bias, *map(torch.cat, fused)))
            self.lora.append([[lora(w, rank) for w in parts] for parts in fused])
        compile = torch.compile if compiled else lambda function, **_: function
        self.enter, self.leave, self.score = map(compile, (self.enter, self.leave, self.score))
        self.decode = compile(self.decode, dynamic=False)

    def parameters(self):
        return [factor for layer in self.lora for parts in layer for pair in parts for factor in pair]

    def rotation(self, positions):
        """Of `positions` `[3, tokens]`."""
        frequency = 1.0 / self.theta ** (torch.arange(0, self.dim, 2) / self.dim)
        axis = torch.repeat_interleave(torch.arange(3), torch.tensor(self.rope))
        angles = (positions[axis].T * frequency).repeat(1, 2)
        return angles.cos(), angles.sin()

    # Training and reference

    def linear(self, x, weight, parts, bias=None):
        """One product for all parts; with an adapter, one more for all A and one for the block diagonal of all B."""
        y = F.linear(x, weight, bias)
        if parts is None:
            return y
        a, b = zip(*parts)
        return torch.addmm(y, F.linear(x, torch.cat(a)), torch.block_diag(*b).T, alpha=self.scale)

    def enter(self, x, layer, parts, cos, sin):
        """What attention reads."""
        qkv = self.linear(rms_norm(x, layer[0], self.eps), layer[3], parts and parts[0], layer[2])
        q, k, v = qkv.unflatten(1, (-1, self.dim)).split((self.heads, self.kv, self.kv), 1)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def leave(self, x, attended, layer, parts):
        """The layer's output, given what attention wrote."""
        x = x + self.linear(attended, layer[4], parts and parts[1])
        h = rms_norm(x, layer[1], self.eps)
        gate, up = self.linear(h, layer[5], parts and parts[2]).chunk(2, 1)
        return x + self.linear(F.silu(gate) * up, layer[6], parts and parts[3])

    def score(self, x, targets):
        logits = F.linear(rms_norm(x, self.last_norm, self.eps), self.head)
        return logits.gather(1, targets.unsqueeze(1)).squeeze(1) - logits.logsumexp(1)

    def log_probs(self, batch, adapted):
        """`[groups * size, new_tokens]` of the responses' tokens."""
        x = batch.embedded
        for layer, parts in zip(self.layers, self.lora):
            parts = parts if adapted else None
            q, k, v = self.enter(x, layer, parts, batch.cos, batch.sin)
            x = self.leave(x, batch.attention(q, k, v), layer, parts)
        return self.score(x[batch.rows], batch.targets)[batch.places]

    # Sampling

    def merged(self):
        """Per layer the weights with the adapter in them."""

        def weight(base, parts):
            a, b = zip(*parts)
            return torch.addmm(base, torch.block_diag(*b), torch.cat(a), alpha=self.scale)

        return [(*layer[:3], *map(weight, layer[3:], parts)) for layer, parts in zip(self.layers, self.lora)]

    def block(self, layer, x, attend):
        first, second, bias, qkv, o, gate_up, down = layer
        q, k, v = (product(rms_norm(x, first, self.eps), qkv) + bias).unflatten(1, (-1, self.dim)).split(
            (self.heads, self.kv, self.kv), 1
        )
        x = x + product(attend(q, k, v), o)
        gate, up = product(rms_norm(x, second, self.eps), gate_up).chunk(2, 1)
        return x + product(F.silu(gate) * up, down)

    def draw(self, x, never, uniform):
        """A token per row and its log-probability."""
        logp = product(rms_norm(x, self.last_norm, self.eps), self.head).log_softmax(1)
        cumulative = logp.exp().index_fill(1, never, 0.0).cumsum(1)
        drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).clamp(max=logp.shape[1] - 1)
        return drawn.squeeze(1), logp.gather(1, drawn).squeeze(1)

    def decode(self, token, at, layers, prefixes, cache, cos, sin, never, uniform):
        """One token more for all rows, the last one being the `at`-th. The cache has its full length from the start, so
        that every step has the same shapes, and is a tensor per layer, lest the compiler copy all of it to write in it."""
        keys, values = cache
        count, rows = keys[0].shape[-1], len(token)
        ahead = torch.arange(count) > at
        x = self.embedding[token]
        for i, (layer, (prefix_k, prefix_v)) in enumerate(zip(layers, prefixes)):

            def attend(q, k, v):
                groups, rep = len(prefix_k) // self.kv, self.heads // self.kv
                size, prompt = rows // groups, prefix_k.shape[-1]
                q, k = rotate(q, cos, sin) / math.sqrt(self.dim), rotate(k, cos, sin)
                keys[i].index_copy_(2, at, k.reshape(-1, self.dim, 1))
                values[i].index_copy_(1, at, v.reshape(-1, 1, self.dim))
                # All queries that read one key head of a prompt are one product.
                q = q.view(groups, size, self.kv, rep, self.dim)
                together = q.transpose(1, 2).reshape(groups * self.kv, size * rep, self.dim)
                shared = torch.bmm(together, prefix_k).view(groups, self.kv, size, rep, prompt)
                own = torch.bmm(q.reshape(rows * self.kv, rep, self.dim), keys[i]).masked_fill(ahead, -math.inf)
                own = own.view(groups, size, self.kv, rep, count).transpose(1, 2)
                shared, own = torch.cat((shared, own), -1).softmax(-1).split((prompt, count), -1)
                out = torch.bmm(shared.reshape(groups * self.kv, size * rep, prompt), prefix_v)
                out = out.view(groups, self.kv, size, rep, self.dim).transpose(1, 2)
                own = own.transpose(1, 2).reshape(rows * self.kv, rep, count)
                own = torch.bmm(own, values[i]).view(groups, size, self.kv, rep, self.dim)
                return (out + own).reshape(rows, -1)

            x = self.block(layer, x, attend)
        return self.draw(x, never, uniform)

    def sample(self, embedded, positions, next_position, size, count, never):
        """Tokens and their log-probabilities, `[groups * size, count]` each, of prompts `[groups, tokens, hidden]`."""
        groups, prompt, _ = embedded.shape
        rows = groups * size
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
        for layer in layers:
            x = self.block(layer, x, prefill)
        uniform = torch.rand(count, rows, 1)
        token, logp = self.draw(x.view(groups, prompt, -1)[:, -1].repeat_interleave(size, 0), never, uniform[0])
        tokens, logps = [token], [logp]
        cosines, sines = self.rotation(torch.arange(next_position, next_position + count).expand(3, -1))
        shapes = (rows * self.kv, self.dim, count - 1), (rows * self.kv, count - 1, self.dim)
        cache = [[torch.zeros(shape) for _ in layers] for shape in shapes]
        for t in range(count - 1):
            at = torch.tensor([t])
            token, logp = self.decode(token, at, layers, prefixes, cache, cosines[t], sines[t], never, uniform[t + 1])
            tokens.append(token)
            logps.append(logp)
        return torch.stack(tokens, 1), torch.stack(logps, 1)


def lora(weight, rank):
    outputs, inputs = weight.shape
    a = torch.empty(rank, inputs).uniform_(-1, 1) / math.sqrt(inputs)
    return a.requires_grad_(), torch.zeros(outputs, rank, requires_grad=True)


class Batch:
    """Prompts and responses as one sequence: all prompts, all responses without their last tokens, then what edited copies
    do not share with their sources, those that branch off at one place together."""

    def __init__(self, language, prompts, positions, next_position, tokens, edited=(), cuts=()):
        self.language = language
        groups, prompt, _ = prompts.shape
        count, new = tokens.shape
        size, length = count // groups, new - 1
        self.prompts, self.size = (groups, prompt), size
        # Per block: the responses it continues, the tokens shared with them, and its own.
        self.blocks = [(None, 0, length)]
        for cut in sorted(set(cuts)):
            self.blocks.append((torch.tensor([i for i, c in enumerate(cuts) if c == cut]), cut, length - cut))
        inputs, targets, steps, rows, places = [], [], [], [], []
        at, scored = groups * prompt, 0
        ends = torch.arange(1, groups + 1).repeat_interleave(size) * prompt - 1
        copies = torch.empty(len(cuts), new, dtype=torch.long)
        for who, cut, own in self.blocks:
            these = tokens if who is None else edited[who, cut:]
            inputs.append(these[:, :-1].flatten())
            targets.append(these.flatten())
            steps.append(torch.arange(next_position + cut, next_position + length).repeat(len(these)))
            before = ends if who is None else ends[who] if cut == 0 else groups * prompt + who * length + cut - 1
            inside = torch.arange(len(these) * own).view(len(these), own) + at
            rows.append(torch.cat((before.unsqueeze(1), inside), 1).flatten())
            place = torch.arange(len(these) * (own + 1)).view(-1, own + 1) + scored
            if who is None:
                places.append(place)
            else:
                copies[who] = torch.cat((places[0][who, :cut], place), 1)
            at, scored = at + len(these) * own, scored + place.numel()
        self.targets, self.rows = torch.cat(targets), torch.cat(rows)
        both = places[0].view(groups, size, new), copies.view(groups, len(cuts) // groups, new)
        self.places = torch.cat(both, 1).flatten(0, 1)
        self.embedded = torch.cat((prompts.flatten(0, 1), language.embedding[torch.cat(inputs)]))
        both = torch.cat((positions.repeat(1, groups), torch.cat(steps).expand(3, -1)), 1)
        self.cos, self.sin = (t.unsqueeze(1) for t in language.rotation(both))
        self.masks = [
            torch.ones(own, prompt + length, dtype=torch.bool).tril(prompt + cut) for _, cut, own in self.blocks
        ]

    def attention(self, q, k, v):
        """Prompts see themselves causally, a response its prompt and itself, a copy what it shares with its source too."""
        groups, prompt = self.prompts
        lengths = [groups * prompt]
        for who, _, own in self.blocks:
            lengths.append((groups * self.size if who is None else len(who)) * own)
        q, k, v = (t.split(lengths) for t in (q, k, v))

        def heads_first(t, length):
            return t.unflatten(0, (-1, length)).transpose(1, 2)

        prompts = [heads_first(t, prompt) for t in (q[0], k[0], v[0])]
        out = [F.scaled_dot_product_attention(*prompts, is_causal=True, enable_gqa=True)]
        prefixes = [t.repeat_interleave(self.size, 0) for t in prompts[1:]]
        sources = [heads_first(t[1], self.blocks[0][2]) for t in (k, v)]
        for q, k, v, (who, cut, own), mask in zip(q[1:], k[1:], v[1:], self.blocks, self.masks):
            if own == 0:
                continue
            shared = [(t,) for t in prefixes]
            if who is not None:
                shared = [(t[who], source[who, :, :cut]) for t, source in zip(prefixes, sources)]
            whole = [torch.cat((*before, heads_first(t, own)), 2) for before, t in zip(shared, (k, v))]
            out.append(F.scaled_dot_product_attention(heads_first(q, own), *whole, attn_mask=mask, enable_gqa=True))
        return torch.cat([t.transpose(1, 2).flatten(0, 1).flatten(1) for t in out])


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


def edit(tokens, references):
    """Copies of the responses in which one sentence, drawn uniformly, is the reference's; and where they begin to differ."""
    edited, cuts = tokens.clone(), []
    size = len(tokens) // len(references)
    for i, row in enumerate(edited):
        cut = SENTENCE * torch.randint(-(-len(row) // SENTENCE), ()).item()
        row[cut : cut + SENTENCE] = references[i // size, cut : cut + SENTENCE]
        cuts.append(cut)
    return edited, cuts


def objective(new, reference, behaviour, rewards, groups, beta, norm):
    """The clipped objective at the point where the policy is the proximal one, with truncated importance weights (1 for
    edited responses, which follow the sampled ones of their group) and the k3 estimate of the divergence from the
    reference."""
    rewards = torch.tensor(rewards).view(groups, -1)
    advantage = (rewards - rewards.mean(1, keepdim=True)).view(-1, 1)
    ratio = (new - new.detach()).exp()
    weight = torch.ones_like(new)
    sampled(weight, behaviour, groups).copy_((sampled(new.detach(), behaviour, groups) - behaviour).exp().clamp(max=2.0))
    loss = -weight * torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    if reference is not None:
        gap = reference - new
        loss = loss + beta * (gap.exp() - gap - 1)
    return (loss.sum(1) / norm).mean()


def sampled(all, behaviour, groups):
    """Of `all` responses those that have a behaviour, a view of its shape `[groups, sampled, tokens]`."""
    return all.view(groups, -1, all.shape[1])[:, : behaviour.shape[1]]


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
    vision = Vision(config["vision_config"], weights)
    language = Language(config, weights, args.lora_rank, not args.eager)
    prompts = Prompts(config, args)
    references = prompts.text(args.groups, args.new_tokens)
    expected = references.tolist()
    parameters = language.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)
    size = args.group_size // 2 if args.edit else args.group_size

    def step():
        clock = Clock()
        with torch.no_grad():
            embedded = prompts.embed(language, vision)
        clock.lap("encoding")
        with torch.no_grad():
            tokens, behaviour = language.sample(
                embedded, prompts.positions, prompts.next_position, size, args.new_tokens, prompts.never
            )
        clock.lap("sampling")
        edited, cuts = edit(tokens, references) if args.edit else (tokens[:0], [])
        group = torch.cat([t.view(args.groups, len(t) // args.groups, args.new_tokens) for t in (tokens, edited)], 1)
        rewards = [unigram_f1(row, y) for rows, y in zip(group.tolist(), expected) for row in rows]
        clock.lap("reward")
        batch = Batch(language, embedded, prompts.positions, prompts.next_position, tokens, edited, cuts)
        reference = None
        if args.beta:
            with torch.no_grad():
                reference = language.log_probs(batch, adapted=False)
        clock.lap("reference")
        new = language.log_probs(batch, adapted=True)
        clock.lap("forward")
        behaviour = behaviour.unflatten(0, (args.groups, -1))
        objective(new, reference, behaviour, rewards, args.groups, args.beta, args.new_tokens).backward()
        clock.lap("backward")
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.lap("optimizer")
        return clock.laps, (sampled(new.detach(), behaviour, args.groups) - behaviour).abs().max().item()

    # Compiling for lengths that vary takes a second meeting with them.
    warm_up = 1 if args.eager or not args.edit else 4
    runs = [step() for _ in range(warm_up + args.repeat)]
    drift = max(drift for _, drift in runs)
    if drift > 1e-3:
        raise SystemExit(f"sampling and training disagree on log-probabilities by {drift}")
    laps = sorted((laps for laps, _ in runs[warm_up:]), key=lambda laps: sum(laps.values()))
    median, count = laps[(len(laps) - 1) // 2], args.groups * args.group_size * args.new_tokens
    seconds = sum(median.values())
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    print(json.dumps({
        "bench": "loop",
        "seconds_per_step": seconds,
        "split": median,
        "tokens_per_second": count / seconds,
        "shortest_step_seconds": sum(laps[0].values()),
        "step_seconds": [sum(laps.values()) for laps, _ in runs[warm_up:]],
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
