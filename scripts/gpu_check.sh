#!/bin/bash
# Checks an NVIDIA GPU: does it compute what the CPU computes, and how fast is it at the 3B shape?
#
#   scripts/gpu_check.sh [DEVICE] [--binary FILE]
#
# DEVICE is cuda:0 without it. Builds with the feature `cuda`, which needs the CUDA toolkit (see docs/gpu.md), unless a
# binary that was built elsewhere is given.
set -euo pipefail
cd "$(dirname "$0")/.."
device=cuda:0
binary=
while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=${2:?--binary needs a file}; shift 2 ;;
    *) device=$1; shift ;;
  esac
done
if [ -z "$binary" ]; then
  cargo build --release --features cuda --bin addendum
  binary=target/release/addendum
fi
export CANDLE_NUM_THREADS=1
shape=examples/configs/qwen2.5-vl-3b

echo "== $device against the CPU"
"$binary" check-device "$device"

echo "== a dry run at the 3B shape"
"$binary" doctor --model-config "$shape" --device "$device"

echo "== sampling, a step and a whole iteration at the 3B shape (JSON)"
for stage in sample step loop; do
  "$binary" bench "$stage" --random-init "$shape" --dtype bf16 --device "$device" --repeat 3
done
