#!/usr/bin/env python3
"""Load test of `addendum serve-rewards` from a process of its own, over loopback, with the standard library alone.

    scripts/loadtest_rewards.py target/release/addendum [--seconds 60] [--clients 16] [-- --chexbert FILE --bert DIR …]

What follows `--` goes to the server, which scores with the lexicon where no weights are named. Starts it on a free port
and asks every question once, one after the other; then many clients send a mix of valid and invalid requests at once. Every
valid answer must be byte for byte what it was when asked alone, every invalid request must get its 4xx in the error shape,
and the server's resident memory must be flat. Exits 1 otherwise.
"""

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import threading
import time

SENTENCES = [
    "The heart is normal in size.", "Moderate cardiomegaly is stable.", "No pleural effusion or pneumothorax.",
    "Small left pleural effusion.", "There is bibasilar atelectasis.", "The lungs are clear.",
    "Patchy opacity in the right lower lobe may represent pneumonia.", "Mild interstitial edema is present.",
    "The endotracheal tube ends 4 cm above the carina.", "No acute fracture.", "Lines end in the SVC \u2265 2 cm deep.",
]


def questions(count):
    """Valid requests: (path, body)."""
    rng = random.Random(0)
    report = lambda: " ".join(rng.sample(SENTENCES, rng.randint(1, 5)))
    asked = []
    for i in range(count):
        if i % 4 == 3:
            truth = report()
            size = rng.randint(1, 4)
            body = {"generations": [report() for _ in range(size)], "ground_truth": [truth] * size}
            asked.append(("/analyze", body))
        else:
            size = rng.choice([1, 1, 1, 8])
            body = {"hyps": [report() for _ in range(size)], "refs": [report()] * size, "type": "free_form",
                    "requested_reward_components": ["radgraphf1", "cxb14micro", "ratescore"]}
            asked.append(("/predict", body))
    same = report()
    asked.append(("/predict", {"hyps": [same], "refs": [same], "type": "free_form"}))
    asked.append(("/predict", {"hyps": [""], "refs": [same], "type": "free_form"}))
    return [(path, json.dumps(body).encode()) for path, body in asked]


def refusals(most_body_bytes):
    """Invalid requests: (path, body, content type, status)."""
    js = "application/json"
    return [
        ("/predict", b"{\"hyps\": [", js, 400), ("/predict", b"\xff\xfe\x00", js, 400), ("/predict", b"null", js, 400),
        ("/predict", b"[[[[[[[[", js, 400), ("/predict", b"{\"hyps\": [\"a\"]}", js, 400),
        ("/predict", b"{\"hyps\": \"a\", \"refs\": [\"b\"]}", js, 400),
        ("/predict", b"{\"hyps\": [1], \"refs\": [\"b\"]}", js, 400),
        ("/predict", b"{\"hyps\": [\"a\", \"b\"], \"refs\": [\"b\"]}", js, 400),
        ("/predict", b"{}", "text/plain", 415),
        ("/predict", json.dumps({"hyps": ["a"] * 1000, "refs": ["b"] * 1000}).encode(), js, 413),
        ("/predict", b" " * (most_body_bytes + 1), js, 413),
        ("/analyze", b"{\"generations\": []}", js, 400), ("/analyze", b"{\"generations\": [\"a\"]}", js, 400),
        ("/nowhere", b"{}", js, 404),
    ]


class Client:
    """One connection, opened again when the server has closed it."""

    def __init__(self, address):
        self.address, self.connection = address, None

    def ask(self, path, body, kind="application/json"):
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*self.address, timeout=60)
            try:
                self.connection.request("POST", path, body, {"Content-Type": kind})
                response = self.connection.getresponse()
                answer = response.status, response.read()
                if response.will_close:
                    self.close()
                return answer
            except (http.client.HTTPException, OSError):
                self.close()
                if attempt:
                    raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2, help="compute threads of the server")
    parser.add_argument("--questions", type=int, default=400, help="different valid requests")
    parser.add_argument("--growth-mib", type=float, default=8, help="resident memory that the second half may add")
    own = sys.argv[1:]
    at = own.index("--") if "--" in own else len(own)
    options, more = parser.parse_args(own[:at]), own[at + 1:]

    most_body_bytes = 65536
    command = [options.binary, "serve-rewards", "--listen", "127.0.0.1:0", "--threads", str(options.threads),
               "--most-body-bytes", str(most_body_bytes), *more]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline()
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if not found:
            sys.exit(f"the server did not start: {line}")
        threading.Thread(target=server.stderr.read, daemon=True).start()
        sys.exit(load(options, (found[1], int(found[2])), server.pid, most_body_bytes))
    finally:
        server.terminate()
        server.wait(timeout=60)


def load(options, address, pid, most_body_bytes):
    valid, invalid = questions(options.questions), refusals(most_body_bytes)
    alone = Client(address)
    expected = []
    for path, body in valid:
        status, answer = alone.ask(path, body)
        if status != 200:
            sys.exit(f"{path} {body[:80]}: {status} {answer[:200]}")
        expected.append(answer)
    identical = json.loads(expected[-2])["data"]["predictions"]
    assert abs(identical["f1_radgraph_scores"][0] - 1) < 1e-9 and abs(identical["rate_scores"][0] - 1) < 1e-6, identical
    empty = json.loads(expected[-1])["data"]["predictions"]
    assert empty["rate_scores"] == [0.5] and empty["f1_radgraph_scores"] == [0.0], empty

    counts = {"valid": 0, "invalid": 0, "wrong": [], "times": []}
    lock, end = threading.Lock(), time.monotonic() + options.seconds

    def client(seed):
        rng, connection = random.Random(seed), Client(address)
        mine = {"valid": 0, "invalid": 0, "wrong": [], "times": []}
        while time.monotonic() < end:
            try:
                if rng.random() < 0.25:
                    path, body, kind, wanted = rng.choice(invalid)
                    status, answer = connection.ask(path, body, kind)
                    right = status == wanted and json.loads(answer)["result"] == "error"
                    mine["invalid"] += 1
                else:
                    i = rng.randrange(len(valid))
                    path, body = valid[i]
                    begun = time.monotonic()
                    status, answer = connection.ask(path, body)
                    mine["times"].append(time.monotonic() - begun)
                    right = status == 200 and answer == expected[i]
                    mine["valid"] += 1
                if not right:
                    mine["wrong"].append(f"{path} {body[:60]}: {status} {answer[:120]}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                # A body that is refused unread may break the connection while it is being sent.
                if not (len(body) > most_body_bytes and isinstance(error, OSError)):
                    mine["wrong"].append(f"{path} {body[:60]}: {error!r}")
        with lock:
            for key, value in mine.items():
                counts[key] += value

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(options.clients)]
    resident = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        resident.append(resident_kib(pid))
        time.sleep(0.5)
    for thread in threads:
        thread.join()

    times = sorted(counts["times"])
    at = lambda share: 1000 * times[min(int(share * len(times)), len(times) - 1)]
    # The first quarter fills connections, caches and allocator; from then on nothing may grow.
    early = max(resident[len(resident) // 4:len(resident) // 2] or [0]) / 1024
    late = max(resident[len(resident) // 2:] or [0]) / 1024
    print(f"valid requests    {counts['valid']:>8}  ({counts['valid'] / options.seconds:.0f}/s)")
    print(f"invalid requests  {counts['invalid']:>8}")
    print(f"wrong answers     {len(counts['wrong']):>8}")
    print(f"latency           p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, max {1000 * times[-1]:.1f} ms")
    print(f"resident memory   {early:.1f} MiB in the second quarter, {late:.1f} MiB at most in the second half")
    for wrong in counts["wrong"][:10]:
        print("  " + wrong)
    flat = late <= early + options.growth_mib
    if not flat:
        print("memory grows")
    return 0 if flat and not counts["wrong"] and counts["valid"] and counts["invalid"] else 1


if __name__ == "__main__":
    main()
