"""A real vLLM against the built-in sampler: the same greedy reports, log-probabilities, rewards; and a server that dies.

Exits with 1 if a figure is beyond its limit. Standard library only.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "examples/checkpoints/phantom-tiny"
SETTINGS = """
[data]
phantoms = {{ version = 1, training = 400, supervised = 0, held_out = 20 }}
[policy]
path = {checkpoint}
[run]
steps = 20
batch_groups = 4
group_size = 4
evaluate_every = 0
[learner.schedule]
learning_rate = 1e-3
[sampling]
max_new_tokens = 160
[sampler.vllm]
send_chat_template = true
[evaluation]
tests = false
"""


class Server:
    """`vllm serve` with the checkpoint of the repository."""

    def __init__(self, vllm: str, port: int, out: Path):
        self.url, self.log = f"http://127.0.0.1:{port}", out / "vllm.log"
        self.command = [
            vllm, "serve", str(CHECKPOINT), "--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port),
            "--enforce-eager", "--dtype", "float32", "--enable-lora", "--max-lora-rank", "16", "--max-loras", "2",
            "--max-cpu-loras", "8", "--max-model-len", "1024", "--max-num-seqs", "16", "--trust-request-chat-template",
            "--logprobs-mode", "processed_logprobs", *shlex.split(os.environ.get("ARGUMENTS", "")),
        ]
        self.environment = {
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ,
        }
        self.process = None

    def start(self):
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            self.command, stdout=log, stderr=log, env=self.environment, start_new_session=True
        )

    def wait(self):
        began = time.monotonic()
        while True:
            if self.process.poll() is not None:
                sys.exit(f"vllm serve ended with {self.process.returncode}; see {self.log}")
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5)
                return time.monotonic() - began
            except (urllib.error.URLError, OSError):
                time.sleep(1)

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def forgetful(url: str, port: int, kept: Path) -> ThreadingHTTPServer:
    """A server like that of `url`, except that it answers from the first adapter whatever is loaded after it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("load_lora_adapter") and "unload" not in self.path:
                wanted = json.loads(body)
                if not kept.exists():
                    shutil.copytree(wanted["lora_path"], kept)
                body = json.dumps({**wanted, "lora_path": str(kept)}).encode()
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            request = urllib.request.Request(url + self.path, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request) as answer:
                    status, text = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                status, text = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    return proxy


class Trials:
    def __init__(self, binary: str, url: str, out: Path):
        self.binary, self.url, self.out = binary, url, out
        self.config = out / "run.toml"
        self.config.write_text(SETTINGS.format(checkpoint=json.dumps(str(CHECKPOINT))))

    def start(self, name: str, vllm: bool, *sets: str):
        engine = ['sampler.engine="vllm"', f'sampler.urls=["{self.url}"]'] if vllm else []
        command = [self.binary, "train", "--config", str(self.config), "--out", str(self.out / name)]
        for setting in [*engine, *sets]:
            command += ["--set", setting]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(self.out / f"{name}.log").open("wb"))

    def run(self, name: str, vllm: bool, *sets: str):
        if self.start(name, vllm, *sets).wait() != 0:
            sys.exit(f"{name} failed; see {self.out / name}.log")
        return self.lines(name, "metrics")

    def replays(self, name: str) -> bool:
        """Whether the reports that a run recorded give its adapter again, byte for byte."""
        again = f"{name}-again"
        command = [self.binary, "train", "--replay", str(self.out / name), "--out", str(self.out / again)]
        with (self.out / f"{again}.log").open("wb") as log:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=log)
        adapters = [(self.out / run / "adapter/adapter_model.safetensors").read_bytes() for run in (name, again)]
        return adapters[0] == adapters[1]

    def log(self, name: str) -> str:
        return (self.out / f"{name}.log").read_text()

    def lines(self, name: str, file: str):
        path = self.out / name / f"{file}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vllm", required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--port", type=int, default=8017)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp(prefix="addendum-vllm-"))
    out.mkdir(parents=True, exist_ok=True)
    server, failed = Server(args.vllm, args.port, out), []

    def check(what: str, value, good: bool):
        print(f"{'ok  ' if good else 'FAIL'} {what}: {value}", flush=True)
        if not good:
            failed.append(what)

    trials = Trials(args.binary, server.url, out)
    try:
        server.start()
        print(f"vLLM was up after {server.wait():.0f} s", flush=True)

        # One candidate is left, the most likely token: greedy, whatever the temperature.
        greedy = [
            "run.variant=\"grpo\"", "run.group_size=2", "run.batch_groups=8", "run.steps=4", "run.recorded_groups=8",
            "sampling.top_k=1", "learner.schedule.learning_rate=1e-30",
        ]
        runs = {name: trials.run(name, name == "greedy-vllm", *greedy) for name in ("greedy-own", "greedy-vllm")}
        reports = {
            name: {(line["study"], line["rollout"]): line["text"] for line in trials.lines(name, "rollouts")} for name in runs
        }
        own, theirs = reports["greedy-own"], reports["greedy-vllm"]
        studies = {study for study, _ in own}
        same = sum(all(own[key] == theirs.get(key) for key in own if key[0] == study) for study in studies)
        check("greedy reports of 32 studies that agree", f"{same} of {len(studies)}", len(studies) == 32 and same >= 30)
        for (study, rollout), text in own.items():
            if text != theirs.get((study, rollout)):
                print(f"     {study}: {text!r} / {theirs.get((study, rollout))!r}")

        ends = {}
        for vllm in (False, True):
            name = "vllm" if vllm else "own"
            steps = [trials.run(f"{name}-{seed}", vllm, f"run.seed={seed}") for seed in (1, 2, 3)]
            ends[vllm] = [statistics.fmean(step["reward_sampled"] for step in run[-10:]) for run in steps]
            first = max(run[0]["logprob_difference"] for run in steps)
            check(f"{name}: log-probabilities of the first step", f"{first:.1e}", first < 1e-3)
        apart = abs(statistics.fmean(ends[True]) - statistics.fmean(ends[False]))
        spread = 2 * (statistics.variance(ends[True]) / 3 + statistics.variance(ends[False]) / 3) ** 0.5
        shown = " / ".join(", ".join(f"{end:.3f}" for end in ends[vllm]) for vllm in (False, True))
        check("reward of the last ten steps, own / vLLM, three seeds", shown, apart <= spread)

        proxy = forgetful(server.url, args.port + 1, out / "first-adapter")
        trials.url = f"http://127.0.0.1:{args.port + 1}"
        code = trials.start("wrong-adapter", True).wait()
        proxy.shutdown()
        trials.url = server.url
        trained = sum(step["groups"] > 0 for step in trials.lines("wrong-adapter", "metrics"))
        # Version 1 is the first that can be told from the base; with a staleness of 1 two steps are sampled from version 0.
        found = code == 1 and trained <= 2 and "does not answer from this adapter" in trials.log("wrong-adapter")
        check("a server that answers from another adapter", f"exit {code} after {trained} steps", found)

        run = trials.start("killed", True)
        while len(trials.lines("killed", "metrics")) < 5:
            if run.poll() is not None:
                sys.exit(f"the run ended too early; see {out}/killed.log")
            time.sleep(0.05)
        server.kill()
        server.start()
        code = run.wait()
        steps = trials.lines("killed", "metrics")
        lost = steps[-1]["dead_letters"] if steps else None
        check("vLLM killed and started again", f"exit {code}, {len(steps)} steps, {lost} studies lost", (code, len(steps), lost) == (0, 20, 0))

        # What a server sampled, even one that died, is trained on again without it.
        server.kill()
        recorded = ["vllm-1", "killed"]
        same = sum(trials.replays(name) for name in recorded)
        check("recorded runs replayed to the same adapter", f"{same} of {len(recorded)}", same == len(recorded))
    finally:
        server.kill()
    print(f"Everything is in {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
