#!/usr/bin/env bash
# Checks what is in this folder with promtool; with a program, the metrics of a short run of it too, and a Prometheus that
# scrapes it:
#
#   monitoring/check.sh [ADDENDUM]
#
# Needs promtool (Debian: apt install prometheus), Python 3 and, for the run, curl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${1:+$(realpath "$1")}
out=$(mktemp -d)
started=()

finish() {
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null && wait "$pid" || true
    done
    rm -rf "$out"
}
trap finish EXIT

cd "$here"
promtool check config prometheus.yml
promtool check rules rules.yml
promtool test rules rules_test.yml

cp -r grafana "$out"
python3 "$out/grafana/dashboard.py"
cmp grafana/dashboards/addendum.json "$out/grafana/dashboards/addendum.json" || {
    echo "dashboards/addendum.json is not what dashboard.py writes" >&2
    exit 1
}
python3 grafana/dashboard.py --rules >"$out/panels.yml"
promtool check rules "$out/panels.yml"

[[ $program ]] || exit 0

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Until the command succeeds, for two minutes at most.
until_it_works() {
    for _ in {1..240}; do
        if "$@" >/dev/null 2>&1; then return; fi
        if ! kill -0 "${started[0]}" 2>/dev/null; then break; fi
        sleep 0.5
    done
    echo "this never worked: $*" >&2
    tail -n 5 "$out"/*.log >&2
    exit 1
}

run=$(free_port)
(cd .. && exec "$program" train --config configs/phantoms.toml --out "$out/run" \
    --set run.batch_groups=2 --set data.phantoms.held_out=8 --set evaluation.studies=4 --set evaluation.tests=false \
    --set run.evaluate_every=5 --set "telemetry.metrics_address=127.0.0.1:$run") >"$out/run.log" 2>&1 &
started+=($!)
rewards=$(free_port)
"$program" serve-rewards --listen "127.0.0.1:$rewards" >"$out/rewards.log" 2>&1 &
started+=($!)
until_it_works curl -sf "http://127.0.0.1:$rewards/metrics"
asked='{"hyps": ["Cardiomegaly."], "refs": ["The heart is enlarged."], "requested_reward_components": ["rate"]}'
curl -sf -o "$out/answer" -d "$asked" -H 'content-type: application/json' "http://127.0.0.1:$rewards/predict"
stepped() { curl -sf "http://127.0.0.1:$run/metrics" | grep -q '^addendum_learner_steps_total [1-9]'; }
until_it_works stepped
for port in "$run" "$rewards"; do
    curl -sf "http://127.0.0.1:$port/metrics" | promtool check metrics
done
echo "the metrics of a run under way and of a reward server are well-formed"

if ! command -v prometheus >/dev/null; then
    echo "prometheus is not there: nothing scraped the run"
    exit 0
fi
server=$(free_port)
sed "s/127.0.0.1:9464/127.0.0.1:$run/; s/targets: \[\]/targets: [\"127.0.0.1:$rewards\"]/; s/_interval: .*/_interval: 1s/" prometheus.yml >"$out/prometheus.yml"
cp rules.yml "$out"
prometheus --config.file="$out/prometheus.yml" --storage.tsdb.path="$out/data" \
    --web.listen-address="127.0.0.1:$server" >"$out/prometheus.log" 2>&1 &
started+=($!)
python3 scraped.py "http://127.0.0.1:$server"
