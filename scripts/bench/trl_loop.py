"""A GRPO iteration with TRL's GRPOTrainer: the second yardstick for `addendum bench loop`.

The trainer as its users write it, on a CPU at its best settings: Hugging Face `generate` with its dynamic cache (the
static one took 15 % longer; vLLM needs a GPU), SDPA attention, LoRA of PEFT on all linear layers, f32, the loss of Dr. GRPO
with a KL penalty towards the base model, one generation per optimiser step, all of its responses in one micro-batch, nothing
recomputed, logged, saved or evaluated. The reward is the same unigram F1 over token ids. A step is what lies between the
ends of two trainer steps.

The policy is text only: a Qwen2 model of the language model's shape in config.json (vocabulary, layers, heads), with random
weights, and prompts of as many tokens as the other loops' prompts have with their images. TRL's path for images needs a
processor with a tokenizer and decodes pictures; without it there is no vision tower and no decoding, which favours TRL.

    pip install torch transformers trl peft datasets
"""

import argparse
import json
import math
import os
import random
import resource
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

# Nothing is to be fetched, and progress bars cost time.
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, TrainerCallback

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPE = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads rms_norm_eps "
    "rope_theta max_position_embeddings tie_word_embeddings eos_token_id"
).split()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a folder with the config.json; its weights are not read")
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


def tokenizer(size, end):
    """Token i is the word `i`."""
    words = Tokenizer(models.WordLevel({str(i): i for i in range(size)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=str(end), pad_token=str(end), padding_side="left")


def unigram_f1(found, expected):
    common = sum((Counter(found) & Counter(expected)).values())
    return 2 * common / (len(found) + len(expected))


def reward(completion_ids, reference, **_):
    return [unigram_f1(*pair) for pair in zip(completion_ids, reference)]


class Ends(TrainerCallback):
    def __init__(self):
        self.times = []

    def on_step_end(self, *_, **__):
        self.times.append(time.perf_counter())


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    config = json.loads((args.model / "config.json").read_text())
    torch.manual_seed(args.seed)
    policy = Qwen2ForCausalLM(Qwen2Config(**{name: config[name] for name in SHAPE}, attn_implementation="sdpa"))
    unit = config["vision_config"]["patch_size"] * config["vision_config"]["spatial_merge_size"]
    side = max(1, round(math.sqrt(args.image_pixels) / unit))
    length = args.images_per_prompt * (side**2 + 2) + args.prompt_tokens
    draw = random.Random(args.seed)
    end = config["eos_token_id"]

    def words(count):
        return [draw.randrange(end) for _ in range(count)]

    prompts = [words(length) for _ in range(args.groups)]
    references = [words(args.new_tokens) for _ in range(args.groups)]
    steps = args.repeat + 1
    data = Dataset.from_dict({"prompt": [" ".join(map(str, p)) for p in prompts] * steps, "reference": references * steps})
    ends, responses = Ends(), args.groups * args.group_size
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.GRPOTrainer(
            model=policy,
            processing_class=tokenizer(config["vocab_size"], end),
            reward_funcs=reward,
            train_dataset=data,
            callbacks=[ends],
            peft_config=LoraConfig(
                r=args.lora_rank, lora_alpha=2 * args.lora_rank, target_modules=LINEAR, task_type="CAUSAL_LM"
            ),
            args=trl.GRPOConfig(
                output_dir=folder,
                use_cpu=True,
                seed=args.seed,
                max_steps=steps,
                shuffle_dataset=False,
                per_device_train_batch_size=responses,
                num_generations=args.group_size,
                max_completion_length=args.new_tokens,
                generation_kwargs={"min_new_tokens": args.new_tokens},
                beta=args.beta,
                loss_type="dr_grpo",
                scale_rewards="none",
                learning_rate=1e-4,
                lr_scheduler_type="constant",
                weight_decay=0.01,
                max_grad_norm=1.0,
                bf16=False,
                gradient_checkpointing=False,
                optim="adamw_torch_fused",
                dataloader_pin_memory=False,
                logging_strategy="no",
                save_strategy="no",
                eval_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
        )
        trainer.train()
    seconds = [after - before for before, after in zip(ends.times, ends.times[1:])]
    made = [float(trainer.state.log_history[-1][f"completions/{extreme}_length"]) for extreme in ("min", "max")]
    if made != [args.new_tokens] * 2:
        raise SystemExit(f"responses have {made} tokens, not {args.new_tokens}")
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    count = responses * args.new_tokens
    print(json.dumps({
        "bench": "loop",
        "seconds_per_step": statistics.median_low(seconds),
        "tokens_per_second": count / statistics.median_low(seconds),
        "shortest_step_seconds": min(seconds),
        "step_seconds": seconds,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cpu": cpu[0] if cpu else None,
        "threads": args.threads,
        "parameters": sum(w.numel() for w in policy.parameters()),
        "response_tokens": count,
        "tokens_per_prompt": length,
        "torch": torch.__version__,
        "trl": trl.__version__,
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
    }))


if __name__ == "__main__":
    main()
