#!/usr/bin/env python3
"""Asks a Prometheus (its URL is the argument) whether it scrapes a run, knows the rules, and answers every panel."""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/grafana")
sys.dont_write_bytecode = True
from dashboard import concrete, queries  # noqa: E402

LIMIT = 120


def ask(path, **parameters):
    with urllib.request.urlopen(f"{sys.argv[1]}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def wait_for(what, found):
    """Until it is found; whatever goes wrong until then may pass."""
    until = time.monotonic() + LIMIT
    while True:
        try:
            if result := found():
                return result
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() > until:
            sys.exit(f"not within {LIMIT} s: {what}")
        time.sleep(0.5)


def steps():
    return ask("query", query="rate(addendum_learner_steps_total[1m])")["result"]


wait_for("steps of the run in Prometheus", steps)
down = [target["scrapeUrl"] for target in ask("targets")["activeTargets"] if target["health"] != "up"]
if down:
    sys.exit(f"not scraped: {down}")
rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
broken = [rule["name"] for rule in rules if rule["health"] == "err"]
if broken or not rules:
    sys.exit(f"of {len(rules)} rules, these fail: {broken}")
firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
panels = queries()
empty = [query for query in panels if not ask("query", query=concrete(query))["result"]]
print(f"Prometheus scrapes the run; {len(rules)} alerts are loaded, firing: {', '.join(firing) or 'none'}")
print(f"{len(panels) - len(empty)} of {len(panels)} queries of the dashboard have data; without:")
print("\n".join(f"  {query}" for query in empty))
