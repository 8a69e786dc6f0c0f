"""CheXbert and RaTEScore in PyTorch: the yardsticks for `addendum bench rewards`, on the models and reports it wrote.

serial: as the reference packages do it behind a server that gets one pair per request. CheXbert reads one text at a
    time, and each text four times (14 and 5 classes, each for reward and accuracy); the tagger reads one sentence at a
    time, the embedder the entities of one report. The packages' own code does the work: F1CheXbert's `get_label`,
    RaTEScore's `compute_score`.
batched: the same networks on padded batches of both texts of every pair, in their order.
distinct: the same on distinct texts only (references, sentences and entities once for all groups), texts of similar
    length together; as good as it gets with padded batches.

Sentences end at full stops, in place of medspaCy's rules, whose cost is not counted.

    pip install torch 'transformers<5' pandas scikit-learn f1chexbert RaTEScore
    torch_rewards.py --folder DIR --pattern serial|batched|distinct [--threads 1] [--batch 32] [--repeat 3]
"""

import argparse
import collections
import json
import resource
import statistics
import sys
import time
import types
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForTokenClassification, BertConfig, BertModel, BertTokenizer


def tokenizer(folder, **special):
    return BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True, **special)


class Chexbert(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.bert = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False)
        self.linear_heads = torch.nn.ModuleList([torch.nn.Linear(768, 4) for _ in range(13)] + [torch.nn.Linear(768, 2)])
        self.load_state_dict(load_file(folder / "chexbert.safetensors"), strict=False)
        self.eval()

    def forward(self, ids, mask):
        first = self.bert(ids, attention_mask=mask)[0][:, 0]
        return [head(first) for head in self.linear_heads]


def sentences(text):
    return [part + "." for part in text.removesuffix(".").split(". ")]


class Serial:
    """One pair per request, through the packages' own code."""

    def __init__(self, folder):
        # RaTEScore loads it when imported.
        sys.modules["medspacy"] = types.SimpleNamespace(load=lambda **_: None)
        import RaTEScore.score
        from f1chexbert import F1CheXbert
        from RaTEScore import RaTEScore as Package
        from transformers import AutoConfig

        def split(texts):
            parts = [sentences(text) for text in texts]
            return sum(parts, []), [i == 0 for part in parts for i in range(len(part))]

        RaTEScore.score.sentence_split = split
        # Their constructors download the published weights.
        self.chexbert = F1CheXbert.__new__(F1CheXbert)
        torch.nn.Module.__init__(self.chexbert)
        self.chexbert.tokenizer, self.chexbert.model = tokenizer(folder / "chexbert"), Chexbert(folder / "chexbert")
        self.chexbert.device = torch.device("cpu")
        self.rate = Package.__new__(Package)
        self.rate.device, self.rate.batch_size, self.rate.visualization_path = torch.device("cpu"), 1, None
        self.rate.tokenizer = tokenizer(folder / "tagger")
        self.rate.model = AutoModelForTokenClassification.from_pretrained(folder / "tagger").eval()
        self.rate.eval_tokenizer = embedder_tokenizer(folder)
        self.rate.eval_model = AutoModel.from_pretrained(folder / "embedder").eval()
        self.rate.idx2label = AutoConfig.from_pretrained(folder / "tagger").id2label
        kinds = {label[2:] for label in self.rate.idx2label.values() if label != "O"}
        self.rate.affinity_matrix = {(a, b): 0.5 for a in kinds for b in kinds} | {("NEG", "WEIGHT"): 0.3612}

    def label(self, group):
        for report in group["reports"]:
            for text in (report, group["reference"]) * 4:
                self.chexbert.get_label(text)

    def compare(self, group):
        for report in group["reports"]:
            self.rate.compute_score([report], [group["reference"]])


def embedder_tokenizer(folder):
    return tokenizer(folder / "embedder", cls_token="<s>", sep_token="</s>", pad_token="<pad>")


class Batched:
    """Padded batches over all groups."""

    def __init__(self, folder, batch, distinct):
        self.batch, self.distinct = batch, distinct
        self.chexbert, self.chexbert_tokens = Chexbert(folder / "chexbert"), tokenizer(folder / "chexbert")
        self.tagger = AutoModelForTokenClassification.from_pretrained(folder / "tagger").eval()
        self.tagger_tokens, self.embedder_tokens = tokenizer(folder / "tagger"), embedder_tokenizer(folder)
        self.embedder = AutoModel.from_pretrained(folder / "embedder").eval()
        self.outside = next(i for i, label in self.tagger.config.id2label.items() if label == "O")

    def batches(self, texts, tokens, longest):
        texts = sorted(dict.fromkeys(texts), key=len) if self.distinct else list(texts)
        for i in range(0, len(texts), self.batch):
            yield tokens(texts[i : i + self.batch], padding=True, truncation=True, max_length=longest, return_tensors="pt")

    def label(self, groups):
        for batch in self.batches(both_texts(groups), self.chexbert_tokens, 512):
            self.chexbert(batch["input_ids"], batch["attention_mask"].float())

    def compare(self, groups):
        found = []
        for batch in self.batches(sum(map(sentences, both_texts(groups)), []), self.tagger_tokens, 512):
            tags = self.tagger(**batch).logits.argmax(2)
            for ids, tags, length in zip(batch["input_ids"], tags, batch["attention_mask"].sum(1)):
                found += self.entities(ids[1 : length - 1].tolist(), tags[1 : length - 1].tolist())
        for batch in self.batches(found, self.embedder_tokens, 30):
            self.embedder(**batch)

    def entities(self, ids, tags):
        """Runs of tokens whose label is not O; a label that begins an entity begins a run."""
        runs = []
        for token, tag in zip(ids, tags):
            label = self.tagger.config.id2label[tag]
            if label == "O":
                continue
            if label.startswith("B-") or not runs:
                runs.append([])
            runs[-1].append(token)
        return self.tagger_tokens.batch_decode(runs)


def both_texts(groups):
    return [text for group in groups for report in group["reports"] for text in (report, group["reference"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pattern", choices=["serial", "batched", "distinct"], required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--groups", type=int, help="only the first ones")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    groups = json.loads((options.folder / "groups.json").read_text())[: options.groups]
    pairs = sum(len(group["reports"]) for group in groups)
    if options.pattern == "serial":
        side, work = Serial(options.folder), lambda part: [part(group) for group in groups]
    else:
        side, work = Batched(options.folder, options.batch, options.pattern == "distinct"), lambda part: part(groups)
    seconds = collections.defaultdict(list)
    with torch.inference_mode():
        for _ in range(options.repeat):
            for name, part in [("chexbert", side.label), ("rate", side.compare)]:
                start = time.perf_counter()
                work(part)
                seconds[name].append((time.perf_counter() - start) / pairs)
    split = {name: statistics.median_low(times) for name, times in seconds.items()}
    print(
        json.dumps(
            {
                "bench": f"torch {options.pattern}",
                "pairs_per_second": 1 / sum(split.values()),
                "seconds_per_pair": sum(split.values()),
                "split": split,
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "threads": options.threads,
                "torch": torch.__version__,
            }
        )
    )


main()
