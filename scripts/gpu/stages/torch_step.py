"""PEFT's training step on the same weights, with as many tokens: what TRL and PEFT users have.

Every response stands behind its own copy of the prompt, SDPA (flash), a reference pass with the adapter off, policy forward
and backward, clipping, AdamW; then the same with the prompt once per group, by an explicit mask. In favour of PyTorch:
image features are given, logits are of response tokens alone, the adapter is bf16, nothing is padded, and no trainer.
"""

import time

import torch

from prompts import prompt, responses
from reference_policy import Policy, loss
from results import Skip

# Seconds that the timed steps of one form may take; of a longer one, some groups are measured and multiplied.
TIMED = 12


def run(context, results, _stage):
    if not context.weights.exists():
        raise Skip("the stage `weights` did not run")
    policy = Policy(context.weights, context.adapter, context.device, adapter_in_f32=False)
    if context.rehearse:
        compare(context, policy)
    for what, packed in {"step": False, "step, packed": True}.items():
        measure(context, results, what, Step(context, policy, packed))


def measure(context, results, what, step):
    seconds, micro = step.warm_up()
    groups = len(step.responses)
    measured = max(1, min(groups, int(TIMED / seconds)))
    repeat = max(1, min(context.sizes.repeat, int(TIMED / (seconds * measured))))
    total, parts = min((step.measure(measured, micro) for _ in range(repeat)), key=lambda each: each[0])
    times = groups / measured
    notes = [f"{len(step.prompt.ids)} prompt tokens", f"{micro} responses at a time", f"best of {repeat}"]
    if measured < groups:
        notes.append(f"{measured} of {groups} groups measured, multiplied")
    notes += [f"{name} {part * times:.3g}" for name, part in parts.items()]
    results.add(what, total * times, "s", note=", ".join(notes))
    if context.device != "cpu":
        results.add(f"memory, {what}", torch.cuda.max_memory_allocated(context.device) / 2**30, "GiB", note="of PyTorch's allocator")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)


class Step:
    def __init__(self, context, policy, packed):
        groups, self.size = context.sizes.step
        self.policy, self.packed = policy, packed
        self.device = context.device
        self.prompt = prompt(context, 0)
        count = int((self.prompt.ids == context.config["image_token_id"]).sum())
        # Their values do not matter to the time.
        self.features = torch.randn(count, context.config["hidden_size"], device=self.device) * 0.02
        self.responses = [responses(context.config, self.size, context.sizes.new_tokens, i) for i in range(groups)]
        self.parameters = list(policy.factors().values())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-6, weight_decay=0.01, fused=True)
        self.advantages = torch.linspace(-1, 1, self.size, device=self.device)

    def log_probs(self, part):
        form = self.policy.packed_log_probs if self.packed else self.policy.log_probs
        return form(self.prompt, self.features, part)

    def group(self, responses, micro):
        """Seconds of the reference pass, and of forward and backward."""
        parts, references = responses.split(micro), []
        start = self.now()
        for part in parts:
            references.append(self.policy.reference(lambda part=part: self.log_probs(part)))
        middle = self.now()
        for part, reference, advantages in zip(parts, references, self.advantages.split(micro)):
            loss(self.log_probs(part), reference, advantages, self.size).backward()
        return middle - start, self.now() - middle

    def measure(self, groups, micro):
        """Seconds of a step over that many groups, and of its parts."""
        start, parts = self.now(), {"reference": 0.0, "forward and backward": 0.0}
        for responses in self.responses[:groups]:
            for name, seconds in zip(parts, self.group(responses, micro)):
                parts[name] += seconds
        update = self.now()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        end = self.now()
        return end - start, {**parts, "optimizer": end - update}

    def warm_up(self):
        """Seconds of one group after one that is not timed, and the largest micro-batch that fits the memory."""
        for micro in [self.size] if self.packed else dict.fromkeys([self.size, max(1, self.size // 2), 2, 1]):
            try:
                self.measure(1, micro)
                return self.measure(1, micro)[0], micro
            except torch.cuda.OutOfMemoryError:
                pass
            # Not before the error is gone, which holds on to everything.
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()
        raise RuntimeError("not even one response fits the memory")

    def now(self):
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def compare(context, policy):
    """Packed and unpacked log-probabilities are the same; and so are they and those of the whole model."""
    given, answers = prompt(context, 1), responses(context.config, 3, context.sizes.new_tokens, 2)
    policy.peft.float()
    features = policy.features(given)
    with torch.no_grad():
        apart = policy.log_probs(given, features, answers)
        packed = policy.packed_log_probs(given, features, answers)
        ids = torch.cat((given.ids, answers[0]))[None]
        types = (ids == context.config["image_token_id"]).int()
        whole = policy.peft(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=given.pixels, image_grid_thw=given.grids,
            mm_token_type_ids=types,
        ).logits[0, len(given.ids) - 1 : -1]  # fmt: skip
    whole = whole.log_softmax(-1).gather(-1, answers[0][:, None])[:, 0]
    for what, gap in {"packed": packed - apart, "the whole model": whole - apart[0]}.items():
        if not gap.abs().max() < 1e-4:
            raise RuntimeError(f"log-probabilities, {what}: {gap.abs().max():.1e} apart")
    policy.peft.bfloat16()
