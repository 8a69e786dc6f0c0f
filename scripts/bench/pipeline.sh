#!/bin/bash
# The actors over simulated devices: every table of docs/performance.md about them, in its order.
#
#   scripts/bench/pipeline.sh [--binary FILE] [OPTIONS OF ALL: --steps 40 --seed 1 ...]
#
# Devices sleep, so this takes about a quarter of an hour on any machine; what else runs on it shows as overhead.
set -euo pipefail
source "$(dirname "$0")/common.sh"

table() {
  printf '\n%s\n\n' "$1"
  shift
  "$binary" bench pipeline "$@" "${options[@]}"
}

table "Balanced devices" --samplers 1 --groups 8 --staleness 0,1,2,4,8 --sample-time 25ms
for samplers in 4 16 64; do
  table "Balanced devices, $samplers samplers" \
    --samplers $samplers --groups 64 --staleness 0,1,2 --sample-time $((20 * samplers))ms --steps 8
done
table "A latency of the rewards" --samplers 8 --groups 16 --staleness 0,1,2,4 --sample-time 100ms \
  --reward-latency 50ms,200ms,400ms --steps 20
table "Lengths that vary: 1 sampler" \
  --samplers 1 --groups 16 --staleness 0,1,2,4,8 --sample-time 20ms --lengths lognormal
table "Lengths that vary: 8 samplers" \
  --samplers 8 --groups 16 --staleness 0,1,2,4,8 --sample-time 160ms --lengths lognormal
table "Overhead: groups per step" --devices none --groups 10,100,1000,10000 --staleness 0,1 --steps 5
table "Overhead: samplers" --devices none --groups 1000 --samplers 1,4,16,64 --staleness 1 --steps 10
table "Overhead: groups in flight, behind a slow learner" \
  --sample-time 0 --learn-time 10ms --groups 100 --staleness 1,10,100 --steps 300
for host in "1 GPU in turns;1;700ms;4.4s;0" "1 GPU shared;1;2.33s;6.3s;1,2" "4 GPUs, 1 samples;1;700ms;1.52s;0,1,2" \
  "8 GPUs, 2 sample;2;700ms;0.78s;0,1,2" "8 GPUs, 3 sample;3;700ms;0.93s;0,1,2"; do
  IFS=';' read -r name samplers sample learn staleness <<< "$host"
  table "A step on $name" --groups 32 --group-size 10 --lengths lognormal --mean-tokens 128 --slots 16 \
    --edit-time 10ms --editors 4 --reward-latency 500ms --reward-in-flight 64 --time-scale 0.2 --steps 30 \
    --samplers "$samplers" --sample-time "$sample" --learn-time "$learn" --staleness "$staleness"
done
