#!/usr/bin/env bash
# Make requirements.lock again from pyproject.toml: for every platform and Python we support, with hashes, naming no index.
# Pins that still fit are kept; UPGRADE=1 takes the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=${UV:-uv}
command -v "$uv" >/dev/null || {
    echo "lock: uv is needed (https://docs.astral.sh/uv/); UV=/path/to/uv names one" >&2
    exit 1
}
"$uv" pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links --quiet ${UPGRADE:+--upgrade} --output-file requirements.lock
if grep -nE '^--|https?://|file:' requirements.lock; then
    echo "lock: requirements.lock must not name a place to download from" >&2
    exit 1
fi
