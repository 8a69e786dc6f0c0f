#!/bin/bash
# A whole iteration side by side: `addendum bench loop` against the hand-written PyTorch loop and TRL, in turns.
#
#   scripts/bench/compare.sh [--rounds N] [--binary FILE] [--trl] [OPTIONS OF ALL: --groups 4 --threads 2 --beta 0.01 ...]
#
# It is GRPO; with --edit it is EditGRPO, which TRL does not have. --trl is slow: one round of it takes about three of the
# others'. PYTHON names a Python with torch and safetensors (`pip install torch safetensors`), for --trl also with
# transformers, trl, peft and datasets. The model, of the shape in config.json beside this script, is made afresh. Rounds
# alternate, so that all meet the same weather.
set -euo pipefail
source "$(dirname "$0")/common.sh"
sides=(addendum torch)
both=()
for option in "${options[@]}"; do
  if [ "$option" = --trl ]; then sides+=(trl); else both+=("$option"); fi
done
if [[ " ${sides[*]} " == *" trl "* && " ${both[*]} " == *" --edit "* ]]; then
  echo "TRL has no EditGRPO: --trl and --edit exclude each other" >&2
  exit 2
fi
"$binary" init --config scripts/bench/config.json --out "$work/model"
for ((round = 1; round <= rounds; round++)); do
  for side in "${sides[@]}"; do
    case $side in
      addendum) loop=("$binary" bench loop) ;;
      *) loop=("$python" "scripts/bench/${side}_loop.py") ;;
    esac
    "${loop[@]}" --model "$work/model" "${both[@]}" > "$work/out" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
    tail -n 1 "$work/out" >> "$work/$side"
  done
done
"$python" scripts/bench/table.py "$work" "${sides[@]}"
