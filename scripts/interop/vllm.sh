#!/usr/bin/env bash
# Trains against a real vLLM, end to end, and compares what it samples with the built-in sampler.
#   VENV=DIR scripts/interop/vllm.sh [--out DIR]      DIR/bin/vllm is there; on a CPU or a GPU
# BINARY names an `addendum` that is built already; ARGUMENTS are further ones of `vllm serve`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${VENV:?names a virtual environment with vLLM in it}"
if [[ -z ${BINARY:-} ]]; then
    (cd "$here/../.." && cargo build --release --bin addendum)
    BINARY=${CARGO_TARGET_DIR:-$here/../../target}/release/addendum
fi
exec "$VENV/bin/python" "$here/vllm.py" --vllm "$VENV/bin/vllm" --binary "$BINARY" "$@"
