#!/usr/bin/env python3
"""Writes dashboards/addendum.json beside this file; `--rules` prints its queries as recording rules, for promtool."""

import json
import re
import sys
from pathlib import Path

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RUN = 'job=~"$job", instance=~"$instance"'
SERVER = 'instance=~"$server"'
GREEN, YELLOW, RED = "green", "yellow", "red"


def selected(query):
    """The query, asked of the chosen runs or servers only."""

    def select(match):
        name, labels = match.groups()
        chosen = SERVER if name.startswith("addendum_serve_") else RUN
        return f"{name}{{{chosen}{', ' + labels if labels else ''}}}"

    return re.sub(r"(addendum_\w+)(?:\{([^}]*)\})?", select, query)


def rate(metric):
    return f"rate({metric}[$__rate_interval])"


def mean(histogram, by=""):
    by = f"job, instance{', ' + by if by else ''}"
    return f"sum by ({by}) ({rate(histogram + '_sum')}) / sum by ({by}) ({rate(histogram + '_count')})"


def quantiles(histogram):
    buckets = f"sum by (le, job, instance) ({rate(histogram + '_bucket')})"
    return [(f"histogram_quantile({q}, {buckets})", f"{{{{instance}}}} {name}") for q, name in [(0.5, "median"), (0.95, "95 %")]]


def panel(title, description, unit, queries, kind="timeseries", width=8, height=7, limits=(), at=None, decimals=None):
    """`limits` are (value, colour), from where on; `at` are the least and the greatest value that the axis shows."""
    steps = [{"color": GREEN, "value": None}] + [{"color": colour, "value": value} for value, colour in limits]
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if decimals is not None:
        defaults["decimals"] = decimals
    if at:
        defaults["min"], defaults["max"] = at
    options = {}
    if kind == "timeseries":
        lines = "dashed" if limits else "off"
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "auto", "spanNulls": True,
                              "thresholdsStyle": {"mode": lines}}
        options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                   "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                   "colorMode": "value", "graphMode": "area", "textMode": "auto"}
    if kind == "heatmap":
        options = {"calculate": False, "yAxis": {"unit": unit}, "color": {"mode": "scheme", "scheme": "Blues"},
                   "legend": {"show": False}, "tooltip": {"mode": "single"}}
    if kind == "state-timeline":
        defaults["color"] = {"mode": "thresholds"}
        options = {"mergeValues": True, "showValue": "never", "legend": {"showLegend": False}}
    if kind == "table":
        options = {"showHeader": True}
    targets = [
        {"refId": chr(65 + n), "datasource": SOURCE, "expr": selected(query), "legendFormat": legend,
         "format": "heatmap" if kind == "heatmap" else "table" if kind == "table" else "time_series",
         "instant": kind == "table", "range": kind != "table"}
        for n, (query, legend) in enumerate(queries)
    ]
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
            "gridPos": {"w": width, "h": height}}


def one(metric):
    return [(metric, "{{instance}}")]


def each(query, label):
    return [(query, "{{instance}} {{%s}}" % label)]


RATIO = (0, 1)
ROWS = {
    "At a glance": [
        panel("Steps done", "Published policy version against run.steps.", "percentunit",
              one("addendum_learner_policy_version / addendum_learner_planned_steps"), "stat", 4, 5, at=RATIO),
        panel("Reward of sampled reports", "Mean of the last batch, edited copies left out: what the policy earns itself.",
              "none", one('addendum_reward_batch_mean_score{origin="sampled"}'), "stat", 4, 5, decimals=3),
        panel("KL to the reference", "Per token, k3 estimate. Above 5 nats the policy is far from where it began.",
              "none", one("addendum_learner_reference_kl_nats"), "stat", 4, 5, [(1, YELLOW), (5, RED)], decimals=4),
        panel("Tokens per second", "Sampled over the last step.", "none",
              one("addendum_sampler_throughput_tokens_per_second"), "stat", 4, 5, decimals=0),
        panel("Free disk", "Of the run folder's disk.", "percentunit",
              one("addendum_run_disk_free_bytes / addendum_run_disk_size_bytes"), "stat", 4, 5,
              [(0, RED), (0.05, YELLOW), (0.15, GREEN)], RATIO),
        panel("Runs", "What is watched.", "none", one("addendum_run_info"), "table", 4, 5),
        panel("Alerts", "Those that fire, from rules.yml; monitoring/README.md says what to do.", "none",
              [('ALERTS{alertname=~"Addendum.*", alertstate="firing"}', "")], "table", 24, 5),
    ],
    "Training": [
        panel("Reward", "Mean of each batch. Sampled is the policy itself, edited its corrected copies: they meet as it learns.",
              "none", each("addendum_reward_batch_mean_score", "origin")),
        panel("Reward components", "Means over groups, unweighted. One that falls while the sum rises is being traded away.",
              "none", each(mean("addendum_reward_component_score", "component"), "component")),
        panel("Held-out scores", "Of the last evaluation.", "none", each("addendum_evaluation_score", "metric")),
        panel("Held-out scores against their best", "1 is the best evaluation of the run; below 0.9 a score has fallen.",
              "percentunit", each("addendum_evaluation_score / addendum_evaluation_best_score", "metric"),
              limits=[(0, RED), (0.9, GREEN)]),
        panel("Rewards of groups", "How many groups have which mean reward.", "none",
              [(f"sum by (le) ({rate('addendum_reward_group_score_bucket')})", "{{le}}")], "heatmap"),
        panel("Spread within a group", "Mean standard deviation of rewards: what advantages are made of. At 0 nothing is learnt.",
              "none", one("addendum_learner_reward_std_score")),
    ],
    "Stability": [
        panel("Loss", "Of the last step, KL term included. Its level says little; a jump does.", "none",
              one("addendum_learner_policy_loss_nats")),
        panel("KL to the reference", "Nats per token.", "none", one("addendum_learner_reference_kl_nats"),
              limits=[(5, RED)]),
        panel("Entropy", "Nats per token. Towards 0 the policy no longer explores; above 4 it writes noise.", "none",
              one("addendum_learner_entropy_nats"), limits=[(4, RED)]),
        panel("Gradient norm", "Before clipping.", "none", one("addendum_learner_gradient_norm")),
        panel("Off-policy measures", "Tokens clipped, effective share of sampled tokens, mean importance weight.",
              "none", [("addendum_learner_clip_fraction_ratio", "{{instance}} clipped"),
                       ("addendum_learner_effective_sample_size_ratio", "{{instance}} effective"),
                       ("addendum_learner_importance_weight_ratio", "{{instance}} weight")]),
        panel("Behaviour against proximal policy", "Mean absolute difference of log-probabilities: staleness and roundings.",
              "none", one("addendum_learner_logprob_difference_nats")),
        panel("Groups without variance", "Share of the groups trained on whose rewards are all equal: they teach nothing.",
              "percentunit", one(f"{rate('addendum_reward_zero_variance_groups_total')} / {rate('addendum_learner_groups_total')}"),
              limits=[(0.5, RED)], at=RATIO),
        panel("Signs that training goes wrong", "As run.divergence judges the last steps; red is present.", "none",
              each("addendum_learner_diverging", "sign"), "state-timeline", limits=[(1, RED)]),
        panel("Learning rate", "Of the last step.", "sci", one("addendum_learner_learning_rate_ratio")),
    ],
    "Freshness": [
        panel("Staleness", "Mean lag of groups behind the step that trains on them, and run.staleness. In fixed_lag mode they are equal.",
              "none", [(mean("addendum_replay_staleness_versions"), "{{instance}} mean"),
                       ("addendum_replay_staleness_bound_versions", "{{instance}} bound")]),
        panel("Staleness of groups", "How many groups lag by how many versions.", "none",
              [(f"sum by (le) ({rate('addendum_replay_staleness_versions_bucket')})", "{{le}}")], "heatmap"),
        panel("Policy version", "Published.", "none", one("addendum_learner_policy_version")),
        panel("Tickets in flight", "Groups between the gate and the learner, and how many there may be.", "none",
              [("addendum_replay_tickets_in_flight", "{{instance}} in flight"),
               ("addendum_replay_limit_tickets", "{{instance}} at most")]),
        panel("Tickets by place", "Waiting there or inside. Where they pile up, the next one is slow.", "none",
              each("addendum_replay_place_tickets", "place}} {{phase")),
        panel("Groups that were not trained on", "Per second: too old, failed and tried again, not worth a step.", "none",
              [(rate("addendum_replay_evictions_total"), "{{instance}} too old"),
               (rate("addendum_replay_retries_total"), "{{instance}} tried again"),
               (rate("addendum_replay_redraws_total"), "{{instance}} drawn again")]),
        panel("Swapped tokens", "Share of the last batch's tokens from weights that were swapped in under way.", "percentunit",
              one("addendum_sampler_swapped_ratio"), at=RATIO),
    ],
    "Performance": [
        panel("Busy", "Share of the time that samplers and learner computed. The one at 1 sets the pace.", "percentunit",
              [("addendum_sampler_busy_ratio", "{{instance}} samplers"), ("addendum_learner_busy_ratio", "{{instance}} learner")],
              at=RATIO),
        panel("Actors", "Share of the last second that each was busy.", "percentunit",
              each('addendum_actor_state_ratio{state="busy"}', "actor"), at=RATIO),
        panel("Starved or blocked", "Share of the last second that each actor had nothing to do, or nowhere to put it.",
              "percentunit", each('addendum_actor_state_ratio{state!="busy"}', "actor}} {{state"), at=RATIO),
        panel("Tokens per second", "Sampled.", "none", one(rate("addendum_sampler_tokens_total"))),
        panel("Steps per minute", "Done.", "none", one(f"60 * {rate('addendum_learner_steps_total')}")),
        panel("Time of a step", "Computing alone.", "s", quantiles("addendum_learner_step_duration_seconds")),
        panel("Time to sample a group", "From the ticket to the last report.", "s",
              quantiles("addendum_sampler_group_duration_seconds")),
        panel("Waits", "Mean wait of groups for a stage, of samplers for a ticket, of the learner for a batch.", "s",
              each(mean("addendum_stage_queue_wait_seconds", "stage"), "stage")),
        panel("Reports under way", "In each sampler.", "none", each("addendum_sampler_under_way_sequences", "sampler")),
        panel("Key-value cache", "Share that is taken, of each sampler.", "percentunit",
              each("addendum_sampler_cache_used_ratio", "sampler"), at=RATIO),
        panel("Length of reports", "Tokens, end token included.", "none", quantiles("addendum_sampler_response_length_tokens")),
        panel("Truncated reports", "Share that hit the length limit. They have no end, and so a poor reward.", "percentunit",
              one("addendum_sampler_truncated_ratio"), limits=[(0.2, YELLOW), (0.5, RED)], at=RATIO),
        panel("Reports sampled", "Per second, and those truncated.", "none",
              [(rate("addendum_sampler_rollouts_total"), "{{instance}} sampled"),
               (rate("addendum_sampler_truncated_rollouts_total"), "{{instance}} truncated")]),
        panel("Memory", "Of the process, resident.", "bytes", one("addendum_run_resident_memory_bytes")),
    ],
    "Editor": [
        panel("Edits by operation", "Per second; none counts copies that needed none.", "none",
              each(f"sum by (job, instance, operation) ({rate('addendum_editor_edits_total')})", "operation")),
        panel("Edits by rule", "Per second.", "none",
              each(f"sum by (job, instance, rule) ({rate('addendum_editor_edits_total')})", "rule")),
        panel("Gain by operation", "Mean reward of the last batch's edited reports minus that of their sources.", "none",
              each("addendum_editor_mean_gain_score", "operation")),
        panel("Gains", "How many edits gained how much. Below 0 an edit made it worse.", "none",
              [(f"sum by (le) ({rate('addendum_editor_gain_score_bucket')})", "{{le}}")], "heatmap"),
        panel("Copies without an edit", "Share of the last batch's copies. It rises as reports become right.", "percentunit",
              one("addendum_editor_duplicate_ratio"), at=RATIO),
        panel("Selection", "Reports per second left out of their groups, by reason, and samples in their places.", "none",
              each(rate("addendum_select_dropped_rollouts_total"), "reason")
              + [(rate("addendum_select_fresh_rollouts_total"), "{{instance}} fresh samples")]),
    ],
    "Rewards": [
        panel("Cache hits", "Share of texts that were read before, since the process started.", "percentunit",
              each("addendum_reward_cache_hit_ratio", "cache"), at=RATIO),
        panel("Lookups", "Per second, by outcome.", "none",
              each(f"sum by (job, instance, outcome) ({rate('addendum_reward_cache_lookups_total')})", "outcome")),
        panel("Failed calls", "Per second, of back ends and of services, later attempts included.", "none",
              each(rate("addendum_reward_failures_total"), "component")
              + each(rate("addendum_reward_service_failures_total"), "server"), limits=[(0.05, RED)]),
        panel("Services: load", "Requests that each server is asked at the moment; 0 or 1 is whether it answered last.", "none",
              each("addendum_reward_service_in_flight_requests", "server")
              + [("addendum_reward_service_up", "{{instance}} {{server}} is up")]),
        panel("Services: speed", "Requests per second that each server answers, while it is asked some.", "none",
              each("addendum_reward_service_speed_requests_per_second", "server")),
        panel("Server: requests", "Per second.", "none",
              each(f"sum by (instance, endpoint, status) ({rate('addendum_serve_requests_total')})", "endpoint}} {{status")),
        panel("Server: time of a request", "95 % of the requests take no longer.", "s",
              [(f"histogram_quantile(0.95, sum by (le, instance, endpoint) ({rate('addendum_serve_request_duration_seconds_bucket')}))",
                "{{instance}} {{endpoint}}")]),
        panel("Server: load", "Open connections, and requests that wait for a thread.", "none",
              [("addendum_serve_connections", "{{instance}} connections"), ("addendum_serve_queue_jobs", "{{instance}} waiting")]),
    ],
    "vLLM servers": [
        panel("Reports in flight", "That each server is asked for; a slow one among fast ones is asked for fewer.", "none",
              each("addendum_vllm_in_flight_reports", "server")),
        panel("Speed", "Reports per second, while the server is asked for some.", "none",
              each("addendum_vllm_speed_reports_per_second", "server")),
        panel("Tokens", "Written per second.", "none", each(rate("addendum_vllm_tokens_total"), "server")),
        panel("Failed requests", "Per second; 0 or 1 is whether the server answered last.", "none",
              each(rate("addendum_vllm_failures_total"), "server") + [("addendum_vllm_up", "{{instance}} {{server}} is up")]),
        panel("Queue", "Requests of whomever, as the server itself counts them.", "none",
              [("addendum_vllm_waiting_requests", "{{instance}} {{server}} waiting"),
               ("addendum_vllm_running_requests", "{{instance}} {{server}} running")]),
        panel("Adapters", "Policy version that each server has loaded last.", "none",
              each("addendum_vllm_adapter_version", "server")),
    ],
    "Faults": [
        panel("Restarts", "Of actors, in the last ten minutes.", "none",
              each("increase(addendum_supervisor_restarts_total[10m])", "actor"), limits=[(5, RED)]),
        panel("Failed attempts", "At groups, per second, by stage.", "none", each(rate("addendum_stage_failures_total"), "stage")),
        panel("Studies given up", "Their attempts are used up; dead_letters/ in the run folder has them.", "none",
              one("addendum_replay_dead_letters"), limits=[(1, YELLOW)]),
        panel("Stalls and signs", "Times in the last hour that nothing moved, or that training showed a sign of going wrong.", "none",
              each("increase(addendum_supervisor_stalls_total[1h])", "outcome")
              + each("increase(addendum_learner_divergences_total[1h])", "sign")),
        panel("Updates", "Times in the last hour: skipped because they were not finite, cut smaller because memory was full.", "none",
              [("increase(addendum_learner_skipped_steps_total[1h])", "{{instance}} skipped"),
               ("increase(addendum_learner_out_of_memory_total[1h])", "{{instance}} out of memory")]),
        panel("Evaluations and checkpoints", "Since the process started, and panics of the observer.", "none",
              each("addendum_evaluator_evaluations_total", "outcome")
              + [("addendum_recorder_checkpoints_total", "{{instance}} checkpoints"),
                 ("addendum_recorder_observer_panics_total", "{{instance}} observer panics")]),
        panel("Free disk", "Of the run folder's disk.", "bytes", one("addendum_run_disk_free_bytes")),
        panel("Studies left out", "Entries of the data that are no studies.", "none", each("addendum_data_skipped_entries", "set")),
    ],
}


def laid_out():
    panels, top = [], 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}})
        top, left, tallest = top + 1, 0, 0
        for item in row:
            size = item["gridPos"]
            if left + size["w"] > 24:
                top, left, tallest = top + tallest, 0, 0
            size.update(x=left, y=top)
            left, tallest = left + size["w"], max(tallest, size["h"])
            panels.append(item)
        top += tallest
    return [{"id": number, **item} for number, item in enumerate(panels, 1)]


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name},
            "refresh": 2, "sort": 1, "multi": True, "includeAll": True,
            "current": {"text": ["All"], "value": ["$__all"]}, "options": [], "hide": 0}


def dashboard():
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
              "current": {}, "options": [], "hide": 0, "multi": False, "includeAll": False}
    variables = [source,
                 variable("run", "Run", "label_values(addendum_run_info, run)"),
                 variable("job", "Job", 'label_values(addendum_run_info{run=~"$run"}, job)'),
                 variable("instance", "Instance", 'label_values(addendum_run_info{run=~"$run", job=~"$job"}, instance)'),
                 variable("server", "Reward server", "label_values(addendum_serve_connections, instance)")]
    alerts = {"name": "Alerts", "enable": True, "hide": False, "iconColor": RED, "datasource": SOURCE,
              "expr": 'ALERTS{alertname=~"Addendum.*", alertstate="firing"}', "titleFormat": "{{alertname}}"}
    return {"uid": "addendum", "title": "Addendum", "tags": ["addendum"], "editable": True, "schemaVersion": 39,
            "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
            "templating": {"list": variables}, "annotations": {"list": [alerts]}, "panels": laid_out()}


def queries():
    return [target["expr"] for item in laid_out() for target in item.get("targets", [])]


def concrete(query):
    """The query as Prometheus is asked it: of everybody, over five minutes."""
    return re.sub(r"\$(job|instance|server)", ".*", query.replace("$__rate_interval", "5m"))


def written(whole):
    """As JSON with a line for every panel."""
    panels = ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in whole["panels"])
    text = json.dumps({**whole, "panels": []}, indent=1, ensure_ascii=False)
    return text.replace('"panels": []', f'"panels": [\n{panels}\n ]') + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--rules"]:
        rules = [{"record": f"panel:{number}", "expr": concrete(query)} for number, query in enumerate(queries())]
        print(json.dumps({"groups": [{"name": "panels", "rules": rules}]}, indent=1))
    else:
        (Path(__file__).parent / "dashboards" / "addendum.json").write_text(written(dashboard()))
