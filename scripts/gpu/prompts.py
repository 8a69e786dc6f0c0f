"""Random prompts with images and random responses, as token ids and positions; the layout of `addendum bench`."""

from dataclasses import dataclass

import torch


@dataclass
class Prompt:
    """`ids` `[P]`, `positions` `[3, P]`, and the position after the last token."""

    ids: torch.Tensor
    positions: torch.Tensor
    next_position: int
    # [patches, values of a patch] and [images, 3], or None.
    pixels: torch.Tensor | None
    grids: torch.Tensor | None


def prompt(context, seed):
    config, sizes, side = context.config, context.sizes, context.side
    generator = torch.Generator().manual_seed(seed)
    square = torch.arange(side)
    inside = torch.stack(
        (torch.zeros(side**2, dtype=torch.long), square.repeat_interleave(side), square.repeat(side))
    )
    image = [config["vision_start_token_id"], *[config["image_token_id"]] * side**2, config["vision_end_token_id"]]
    ids, positions, at = [], [], 0
    for _ in range(sizes.images):
        ids += image
        positions += [torch.full((3, 1), at), inside + at + 1, torch.full((3, 1), at + 1 + side)]
        at += side + 2
    ids = torch.cat((torch.tensor(ids, dtype=torch.long), text(config, (sizes.text_tokens,), generator)))
    positions.append(torch.arange(at, at + sizes.text_tokens).expand(3, -1))
    vision = config["vision_config"]
    rows = side * vision["spatial_merge_size"]
    width = vision.get("in_chans", 3) * vision["temporal_patch_size"] * vision["patch_size"] ** 2
    pixels = torch.rand((sizes.images * rows**2, width), generator=generator) * 3.4 - 1.7
    grids = torch.tensor([[1, rows, rows]] * sizes.images)
    return Prompt(ids, torch.cat(positions, 1), at + sizes.text_tokens, pixels, grids)


def text(config, shape, generator):
    """Random tokens below every special one of the published vocabulary."""
    special = [config[f"{name}_token_id"] for name in ("vision_start", "vision_end", "image", "video", "eos")]
    return torch.randint(0, min(special), shape, generator=generator)


def responses(config, count, length, seed):
    return text(config, (count, length), torch.Generator().manual_seed(seed))
