#!/usr/bin/env bash
# Run every check and every suite, or those that are named: lint unit integration ui faults live.
# All are run even if one fails; the exit code and the last lines say which did.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export QT_QPA_PLATFORM="${QT_QPA_PLATFORM:-offscreen}"
unset MISSION_CONTROL_URL MISSION_CONTROL_TOKEN MISSION_CONTROL_DATA_DIR
# It changes how the scripted agents write (a line in two writes, no lock): everybody tests the same.
unset PYTHONUNBUFFERED
python=.venv/bin/python
workers=${TEST_WORKERS:-2}

failed=()
passed=()
step() { # name, command...
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then passed+=("$name"); else failed+=("$name"); fi
}

suite() { # name, pytest options...
    local name=$1
    shift
    step "$name" "$python" -m pytest -q "tests/$name" "$@"
}

[ $# -gt 0 ] || set -- lint unit integration ui faults live
for part in "$@"; do
    case $part in
        lint)
            step "ruff check" "$python" -m ruff check .
            step "ruff format" "$python" -m ruff format --check .
            step "mypy" "$python" -m mypy
            step "import rules" .venv/bin/lint-imports
            ;;
        unit | ui) suite "$part" -n "$workers" ;;
        integration) suite "$part" -n "$workers" ;;
        faults | live) suite "$part" ;;
        *)
            echo "test: there is no part '$part' (lint unit integration ui faults live)" >&2
            exit 2
            ;;
    esac
done

printf '\npassed: %s\n' "${passed[*]-}"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "$(IFS=,; echo "${failed[*]}")"
    exit 1
fi
