#!/usr/bin/env bash
# Compares Addendum with the real Python packages, in a virtual environment of its own (INTEROP_VENV elsewhere).
# PYTHON names an interpreter that already has them; then nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [[ -z ${PYTHON:-} ]]; then
    venv=${INTEROP_VENV:-$here/.venv}
    [[ -x $venv/bin/python ]] || python3 -m venv "$venv"
    PYTHON=$venv/bin/python
    "$PYTHON" -c 'import torch, transformers, peft' 2>/dev/null || "$PYTHON" -m pip install torch transformers peft
fi
exec "$PYTHON" "$here/check.py" "$@"
