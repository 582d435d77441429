#!/usr/bin/env bash
# Run every check and every suite, or those that are named: lint unit integration ui faults live.
# All are run even if one fails; the exit code and the last lines say which did, and what each one took.
# Each has a time box and must leave no process behind (scripts/part.py). The live tests wait for npm and for agents most
# of the time: beside other parts they run in the background, and what they said is printed when the others are done.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export QT_QPA_PLATFORM="${QT_QPA_PLATFORM:-offscreen}"
unset MISSION_CONTROL_URL MISSION_CONTROL_TOKEN MISSION_CONTROL_DATA_DIR
# It changes how the scripted agents write (a line in two writes, no lock): everybody tests the same.
unset PYTHONUNBUFFERED
# Hundreds of processes are started: without kept bytecode each would compile the whole program again.
unset PYTHONDONTWRITEBYTECODE
python=.venv/bin/python
workers=${TEST_WORKERS:-2}
waiting_workers=${TEST_WORKERS:-3} # where tests wait for processes as long as they compute

failed=0
step() { # seconds that it may take, name, command...
    local seconds=$1 name=$2
    shift 2
    printf '\n== %s\n' "$name"
    "$python" scripts/part.py --costs "$costs" --seconds $((seconds * ${TEST_PATIENCE:-1})) "$name" "$@" || failed=1
}

suite() { # seconds that it may take, name, pytest options...
    local seconds=$1 name=$2
    shift 2
    step "$seconds" "$name" "$python" -m pytest -q "tests/$name" "$@"
}

run() { # part
    case $1 in
        lint)
            step 300 "ruff check" "$python" -m ruff check .
            step 300 "ruff format" "$python" -m ruff format --check .
            step 600 "mypy" "$python" -m mypy
            step 300 "import rules" .venv/bin/lint-imports
            ;;
        unit) suite 600 unit -n "$workers" ;;
        integration) suite 1800 integration -n "$waiting_workers" --dist worksteal ;;
        ui) suite 900 ui -n "$workers" ;;
        faults) suite $((600 + 4 * ${MISSION_CONTROL_FAULT_SECONDS:-30})) faults ;;
        live)
            step 1200 "npm for live" "$python" tests/live/installed_agents.py
            suite 1800 live -n "$workers" --dist loadfile
            ;;
    esac
}

[ $# -gt 0 ] || set -- lint unit integration ui faults live
for part in "$@"; do
    case $part in
        lint | unit | integration | ui | faults | live) ;;
        *)
            echo "test: there is no part '$part' (lint unit integration ui faults live)" >&2
            exit 2
            ;;
    esac
done

if [ -n "${TEST_COSTS:-}" ]; then # beside another one, which tells what was found
    costs=$TEST_COSTS
    for part in "$@"; do run "$part"; done
    exit "$failed"
fi

mkdir -p build/test
costs=$(mktemp build/test/costs.XXXXXX)
beside=
tidy() {
    if [ -n "$beside" ]; then
        kill -TERM "$beside" && wait "$beside"
    fi
    rm -f "$costs"
}
trap tidy EXIT
trap 'exit 130' INT TERM
began=$SECONDS
if [ $# -gt 1 ] && [[ " $* " == *" live "* ]]; then
    TEST_COSTS=$costs "$python" scripts/part.py --seconds $((3000 * ${TEST_PATIENCE:-1})) "live, in the background" \
        bash scripts/test.sh live >build/test/live.txt 2>&1 &
    beside=$!
fi
for part in "$@"; do
    [ "$part" = live ] && [ -n "$beside" ] || run "$part"
done
if [ -n "$beside" ]; then
    wait "$beside" || failed=1
    beside=
    cat build/test/live.txt
fi

printf '\n%-14s %9s %9s\n' part seconds CPU
awk -F '\t' '{ printf "%-14s %9d %9d%s\n", $1, $3, $4, $2 ? "   FAILED" : ""; cpu += $4 }
    END { printf "%-14s %9d %9d\n", "all", took, cpu }' took=$((SECONDS - began)) "$costs"
if [ "$failed" -ne 0 ]; then
    printf '\nFAILED: %s\n' "$(awk -F '\t' '$2 { printf "%s%s", comma, $1; comma = ", " }' "$costs")"
    exit 1
fi
printf '\npassed\n'
