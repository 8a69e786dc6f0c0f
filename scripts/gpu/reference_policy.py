"""The policy in transformers and PEFT, as its users have it: SDPA attention, LoRA on all linear layers of the decoder."""

import torch
from peft import PeftModel
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()


class Policy:
    """Log-probabilities of responses under a checkpoint with an adapter."""

    def __init__(self, folder, adapter, device, adapter_in_f32=True):
        base = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="sdpa", device_map=device
        )
        self.peft = PeftModel.from_pretrained(
            base, adapter, is_trainable=True, autocast_adapter_dtype=adapter_in_f32
        )
        if not adapter_in_f32:
            for factor in self.factors().values():
                factor.data = factor.data.bfloat16()
        self.device = device

    @property
    def model(self):
        return self.peft.base_model.model

    def factors(self):
        """The adapter's trained tensors, by their names from `layers.` on."""
        named = self.peft.named_parameters()
        short = {name[name.index("layers.") :].replace(".default", ""): p for name, p in named if "lora_" in name}
        return short

    @torch.no_grad()
    def features(self, prompt):
        """Of a prompt's images, `[image tokens, hidden]`."""
        pixels = prompt.pixels.to(self.device, next(self.model.parameters()).dtype)
        found = self.model.model.get_image_features(pixels, prompt.grids.to(self.device))
        found = getattr(found, "pooler_output", found)
        return found if isinstance(found, torch.Tensor) else torch.cat(list(found))

    @torch.no_grad()
    def embed(self, ids, features=None):
        """`ids` `[..., tokens]`, whose image tokens become `features`."""
        embedding = self.model.get_input_embeddings().weight
        x = embedding[ids.to(self.device)]
        if features is not None:
            x[(ids == self.model.config.image_token_id).to(self.device)] = features.to(x.dtype)
        return x

    def hidden(self, embedded, positions, mask=None):
        """Of `[batch, tokens, hidden]` at `positions` `[3, batch, tokens]`; causal without a mask."""
        language = self.model.model.language_model
        out = language(inputs_embeds=embedded, position_ids=positions, attention_mask=mask, use_cache=False)
        return out.last_hidden_state

    def score(self, hidden, targets):
        """Log-probabilities of `targets` `[...]` after the rows `hidden` `[..., hidden]`, in f32 from the model's logits."""
        logits = self.model.lm_head(hidden).float()
        return logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)

    def log_probs(self, prompt, features, responses):
        """`[responses, tokens]`, each response behind its own copy of the prompt."""
        count, length = responses.shape
        ids = torch.cat((prompt.ids.expand(count, -1), responses[:, :-1]), 1)
        shared = None if features is None else features.repeat(count, 1)
        after = torch.arange(prompt.next_position, prompt.next_position + length - 1).expand(3, -1)
        positions = torch.cat((prompt.positions, after), 1).unsqueeze(1).expand(-1, count, -1)
        hidden = self.hidden(self.embed(ids, shared), positions.to(self.device))
        return self.score(hidden[:, len(prompt.ids) - 1 :], responses.to(self.device))

    def packed_log_probs(self, prompt, features, responses):
        """The same with the prompt once, all responses behind it in one sequence, and an explicit mask."""
        count, length = responses.shape
        before, own = len(prompt.ids), length - 1
        ids = torch.cat((prompt.ids, responses[:, :-1].flatten()))
        after = torch.arange(prompt.next_position, prompt.next_position + own).repeat(count).expand(3, -1)
        positions = torch.cat((prompt.positions, after), 1).unsqueeze(1)
        block = torch.cat((torch.zeros(before, dtype=torch.long), torch.arange(count).repeat_interleave(own) + 1))
        mask = ((block[:, None] == block) | (block == 0)).tril()
        hidden = self.hidden(self.embed(ids, features)[None], positions.to(self.device), mask[None, None].to(self.device))
        prompt_end, rest = hidden[0, before - 1], hidden[0, before:].unflatten(0, (count, own))
        rows = torch.cat((prompt_end.expand(count, 1, -1), rest), 1)
        return self.score(rows, responses.to(self.device))

    def reference(self, log_probs):
        """What `log_probs()` gives with the adapter off."""
        with torch.no_grad(), self.peft.disable_adapter():
            return log_probs()


def loss(new, reference, advantages, size, beta=0.01):
    """The objective of Dr. GRPO at the point where the policy is the proximal one, with the k3 estimate of the divergence
    from the reference; `size` is the group's, of which `new` `[responses, tokens]` may be a part."""
    ratio = (new - new.detach()).exp()
    gap = reference - new
    each = -ratio * advantages.unsqueeze(1) + beta * (gap.exp() - gap - 1)
    return each.sum() / (size * new.shape[1])
