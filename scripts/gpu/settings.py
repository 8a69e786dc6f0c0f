"""What the check measures, and how large: for a GPU, and small enough for any CPU."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stage:
    """A module of `stages`, what it is called with, and the seconds it may take; below `least` it is not begun."""

    name: str
    module: str
    limit: int
    least: int


# In the order in which they run: what everything needs, then our figures, then what they are compared with.
STAGES = [
    Stage("ceilings", "ceilings", 25, 10),
    Stage("correct", "correct", 40, 10),
    Stage("weights", "weights", 40, 15),
    Stage("ours-sample", "ours", 75, 20),
    Stage("ours-step", "ours", 45, 15),
    Stage("ours-loop", "ours", 45, 15),
    Stage("torch-step", "torch_step", 75, 25),
    Stage("torch-decode", "torch_decode", 45, 20),
    Stage("parity", "parity", 60, 25),
    Stage("stress", "stress", 50, 12),
    Stage("sanitize", "sanitize", 60, 20),
    Stage("profile", "profile", 75, 25),
]


@dataclass(frozen=True)
class Sizes:
    """Side of the square product and bytes of the copy that the ceilings are read off."""

    matmul: int
    copy: int
    # Of a prompt.
    images: int
    image_pixels: int
    text_tokens: int
    new_tokens: int
    # (groups, group size) of each sampling run, and of a step.
    samples: tuple
    step: tuple
    # (responses, tokens of each) of the group whose log-probabilities and gradients are compared.
    parity: tuple
    # Responses that PyTorch decodes at once.
    decode: tuple
    decode_tokens: int
    repeat: int


GPU = Sizes(
    matmul=8192, copy=4 << 30, images=2, image_pixels=401_408, text_tokens=64, new_tokens=128,
    samples=((1, 5), (8, 5), (8, 10), (32, 10)), step=(8, 10), parity=(4, 64), decode=(40, 320), decode_tokens=128,
    repeat=3,
)  # fmt: skip
REHEARSAL = Sizes(
    matmul=256, copy=4 << 20, images=1, image_pixels=56 * 56, text_tokens=12, new_tokens=6,
    samples=((1, 2), (2, 3)), step=(2, 3), parity=(3, 5), decode=(4,), decode_tokens=8,
    repeat=1,
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What every stage is told."""

    binary: str
    device: str
    out: str
    scratch: str
    shape: str
    rehearse: bool
    micro_batch_tokens: int
    # Of the process that runs our binary.
    libraries: str

    @property
    def sizes(self):
        return REHEARSAL if self.rehearse else GPU

    @property
    def config(self):
        return json.loads((Path(self.shape) / "config.json").read_text())

    @property
    def weights(self):
        """The folder of the random checkpoint."""
        return Path(self.scratch) / "model"

    @property
    def few_layers(self):
        """The same with few layers: as wide, but soon loaded."""
        return Path(self.scratch) / "few-layers"

    @property
    def adapter(self):
        return Path(self.scratch) / "adapter"

    @property
    def dtype(self):
        """Of the weights on both sides."""
        return "bf16"

    @property
    def side(self):
        """Rows, and columns, of the image tokens of one image."""
        vision = self.config["vision_config"]
        unit = vision["patch_size"] * vision["spatial_merge_size"]
        return max(1, round(math.sqrt(self.sizes.image_pixels) / unit))

    @property
    def prompt_tokens(self):
        return self.sizes.images * (self.side**2 + 2) + self.sizes.text_tokens
