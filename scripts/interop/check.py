"""Compares Addendum with transformers and PEFT on real checkpoint folders. See README.md.

Every check prints one line; the first that fails ends the run with its reason.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.filterwarnings("ignore")

ROOT = Path(__file__).resolve().parents[2]

# A template with a system turn of its own, as the published one has.
SYSTEM_TEMPLATE = """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system
Answer briefly.<|im_end|>
{% endif %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}
{% for part in message['content'] %}
{% if 'image' in part or part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}{{ part['text'] }}{% endif %}
{% endfor %}
{% endif %}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


class Addendum:
    """The crate's example program."""

    def __init__(self, program, work):
        self.program, self.work = program, work

    def run(self, *args):
        subprocess.run([str(self.program), *map(str, args)], check=True)

    def logits(self, model, inputs, adapter=None):
        given, out = self.work / "input.safetensors", self.work / "output.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, given)
        self.run("logits", model, adapter or "-", given, out)
        return load_file(out)["logits"]

    def prompts(self, model, prompts):
        given, out = self.work / "prompts.json", self.work / "ids.json"
        given.write_text(json.dumps(prompts))
        self.run("prompts", model, given, out)
        return json.loads(out.read_text())


def build():
    command = ["cargo", "build", "--quiet", "--package", "addendum-policy", "--example", "interop"]
    message = subprocess.run([*command, "--message-format", "json"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    artifacts = [json.loads(line) for line in message.stdout.splitlines()]
    return next(a["executable"] for a in artifacts if a.get("executable"))


def samples(config):
    """Text alone; text around two images of different shapes. Random, but the same on every run."""
    generator = torch.Generator().manual_seed(0)
    special = {config.image_token_id, config.vision_start_token_id, config.vision_end_token_id}
    vocabulary = config.get_text_config().vocab_size

    def text(count):
        ids = torch.randint(0, vocabulary, (count,), generator=generator)
        return [0 if int(i) in special else int(i) for i in ids]

    vision = config.vision_config
    merge = vision.spatial_merge_size
    patch = 3 * vision.temporal_patch_size * vision.patch_size**2
    grids = [(1, 4 * merge, 7 * merge), (1, 5 * merge, 3 * merge)]
    ids = text(5)
    for t, h, w in grids:
        tokens = t * h * w // merge**2
        ids += [config.vision_start_token_id, *[config.image_token_id] * tokens, config.vision_end_token_id, *text(4)]
    patches = sum(t * h * w for t, h, w in grids)
    pixels = torch.randn((patches, patch), generator=generator)
    yield "text", {"input_ids": torch.tensor(text(24))}
    yield "text and two images", {
        "input_ids": torch.tensor(ids),
        "pixel_values": pixels,
        "image_grid_thw": torch.tensor(grids),
    }


def theirs(model, inputs):
    ids = inputs["input_ids"][None]
    batch = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
    with torch.no_grad():
        return model(**batch).logits[0]


def load(folder):
    model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = {key: value for key, value in report.items() if value and key != "conversion_errors"}
    expect(not problems, f"{folder}: loading says {problems}")
    return model.eval()


def expect(holds, reason):
    if not holds:
        sys.exit(f"FAILED: {reason}")


def close(title, ours, expected, tolerance):
    gap = (ours - expected).abs().max().item()
    print(f"  {title}: largest difference {gap:.1e} of logits up to {expected.abs().max().item():.1f}")
    expect(ours.shape == expected.shape and gap <= tolerance, f"{title}: {gap:.1e} is above {tolerance:.0e}")


def check_weights(addendum, folder, tolerance, work):
    print(f"{folder}")
    base = load(folder)
    inputs = dict(samples(base.config))
    for name, given in inputs.items():
        close(f"base, {name}", addendum.logits(folder, given), theirs(base, given), tolerance)

    adapter = work / "ours"
    addendum.run("adapter", folder, adapter)
    tuned = PeftModel.from_pretrained(load(folder), adapter).eval()
    factors = {n for n in tuned.state_dict() if "lora_" in n}
    expect(len(factors) == len(load_file(adapter / "adapter_model.safetensors")), "PEFT adapts other layers")
    expect(not any("visual" in n for n in factors), "PEFT adapts the vision tower")
    for name, given in inputs.items():
        expected = theirs(tuned, given)
        moved = (expected - theirs(base, given)).abs().max().item()
        expect(moved > 100 * tolerance, f"the adapter hardly changes anything: {moved:.1e}")
        close(f"PEFT loads our adapter, {name}", addendum.logits(folder, given, adapter), expected, tolerance)

    merged = work / "merged"
    addendum.run("merge", folder, adapter, merged)
    loaded = load(merged)
    for name, given in inputs.items():
        close(f"transformers loads our merge, {name}", theirs(loaded, given), theirs(tuned, given), tolerance)
        close(f"we load our merge, {name}", addendum.logits(merged, given), theirs(loaded, given), tolerance)

    for title, targets in [
        ("names", ["q_proj", "o_proj"]),
        ("a pattern", r"(?!.*visual).*language_model.*\.(gate_proj|up_proj|down_proj|v_proj)"),
    ]:
        torch.manual_seed(1)
        settings = LoraConfig(r=3, lora_alpha=5, lora_dropout=0.1, target_modules=targets, init_lora_weights=False)
        model = get_peft_model(load(folder), settings).eval()
        adapter = work / "theirs"
        model.save_pretrained(adapter)
        for name, given in inputs.items():
            found = addendum.logits(folder, given, adapter)
            close(f"we load PEFT's adapter of {title}, {name}", found, theirs(model, given), tolerance)
    for path in ["ours", "merged", "theirs"]:
        shutil.rmtree(work / path)
    return merged


def check_folder(addendum, folder, work):
    """The merged folder is whole: tokenizer, chat template and generation settings load, and prompts are the same."""
    adapter, merged = work / "ours", work / "merged"
    addendum.run("adapter", folder, adapter)
    addendum.run("merge", folder, adapter, merged)
    model = load(merged)
    ends = model.generation_config.eos_token_id
    for template in [None, SYSTEM_TEMPLATE]:
        if template is not None:
            (merged / "chat_template.jinja").write_text(template)
        tokenizer = AutoTokenizer.from_pretrained(merged)
        expect(tokenizer.eos_token_id in (ends if isinstance(ends, list) else [ends]), "end tokens differ")
        prompts = [
            ["Write the findings."],
            ["Current frontal: ", 6, " Prior frontal: ", 4, " Indication: Dyspnoe\u0301e 25 mg. Write the findings.\n"],
        ]
        expected = []
        for parts in prompts:
            image = {"type": "image"}
            content = [image if isinstance(p, int) else {"type": "text", "text": p} for p in parts]
            messages = [{"role": "user", "content": content}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            for count in [p for p in parts if isinstance(p, int)]:
                text = text.replace("<|image_pad|>", "\0" * count, 1)
            expected.append(tokenizer(text.replace("\0", "<|image_pad|>"))["input_ids"])
        found = addendum.prompts(merged, prompts)
        expect(found == expected, f"prompts differ:\n{found}\n{expected}")
        system = "with a system turn" if template else "of the folder"
        print(f"  prompts by the chat template {system}: equal, {len(expected[1])} tokens")
    for path in [adapter, merged]:
        shutil.rmtree(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="the built example; cargo builds it otherwise")
    args = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        addendum = Addendum(args.program or build(), work)
        check_weights(addendum, ROOT / "tests/fixtures/policy/qwen2_5_vl_tiny", 4e-4, work)
        tiny = ROOT / "examples/checkpoints/phantom-tiny"
        check_weights(addendum, tiny, 4e-4, work)
        check_folder(addendum, tiny, work)
    print("All of it agrees.")


if __name__ == "__main__":
    main()
