"""The whole contract, attacked by schemathesis: all its checks, as every role, over a socket, with sessions that live.

MISSION_CONTROL_FUZZ=N makes N cases per operation and role instead of the few that CI has time for, and every phase for
every role (`make fuzz`). The cases of a run are the same each time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.served import Served, environment_without_ours, served

LONG = int(os.environ.get("MISSION_CONTROL_FUZZ", "0"))
EXAMPLES = LONG or 3
HOOKS = Path(__file__).parent.parent / "support" / "schemathesis_hooks.py"

# Rules that no schema can state, so that what fits the schema may still be refused: the scope of a kill-all, the
# provider of a session and the kind of a provider are names of this installation; a life of 60.0 seconds is no integer;
# a working directory and a parent must exist; a cursor belongs to the list that gave it; an answer is one of its
# question's options.
NOT_IN_A_SCHEMA = (
    "GET /api/mission-control/audit",
    "POST /api/agent-providers",
    "POST /api/tokens",
    "POST /api/mission-control/approvals/{id}",
    "POST /api/mission-control/kill-all",
    "POST /api/mission-control/sessions",
    "POST /agents/spawn",
    "PUT /agents/profiles/{name}",
    "POST /agents/{id}/inject",
    "POST /api/mission-control/sessions/{id}/inject",
)
REJECTED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
# The built-in provider holds no commands, and says so: 501, as the contract has it.
NOT_OF_EVERY_PROVIDER = tuple(
    f"POST /api/mission-control/sessions/{{id}}/{verb}-commands" for verb in ("hold", "release")
)
ACCEPTED = ["2xx", "401", "403", "404", "409", "422", "429", "501", "502", "503"]


def configuration(plane: Served, sessions: list[str]) -> str:
    natives = [one.partition(":")[2] for one in sessions]
    parts = [
        "continue-on-failure = true",
        "max-stream-events = 1",
        "request-timeout = 30",
        f"[checks.negative_data_rejection]\nexpected-statuses = {json.dumps(REJECTED)}",
        f"[dictionaries.sessions]\nvalues = {json.dumps(sessions)}",
        f"[dictionaries.agents]\nvalues = {json.dumps(natives)}",
        # What a stream has to say at once is enough; silence ends it.
        '[[operations]]\ninclude-path-regex = "/(stream|events)$"\nrequest-timeout = 3',
        '[[operations]]\ninclude-path-regex = "^/api/mission-control/sessions/"\n'
        'parameters."path.id" = {dictionary = "sessions", probability = 0.6}',
        '[[operations]]\ninclude-path-regex = "^/agents/.id"\n'
        'parameters."path.id" = {dictionary = "agents", probability = 0.6}',
    ]
    parts += [
        f"[[operations]]\ninclude-name = {json.dumps(name)}\n"
        f"checks.positive_data_acceptance.expected-statuses = {json.dumps(ACCEPTED)}"
        for name in NOT_IN_A_SCHEMA
    ]
    parts += [
        f"[[operations]]\ninclude-name = {json.dumps(name)}\n"
        'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]'
        for name in NOT_OF_EVERY_PROVIDER
    ]
    return "\n".join(parts)


def attack(plane: Served, directory: Path, role: str, token: str | None, phases: str, **environment: str) -> Any:
    report = directory / f"{role}.json"
    headers = [] if token is None else ["-H", f"Authorization: Bearer {token}"]
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(directory / "schemathesis.toml")),
            *("run", str(directory / "contract.json"), "--url", plane.url),
            *("--phases", phases, "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic"),
            *("--no-color", "--no-shrink", "--report", "json", "--report-json-path", str(report), *headers),
        ],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**environment_without_ours(), "SCHEMATHESIS_HOOKS": "schemathesis_hooks", **environment},
        timeout=1000 if not LONG else None,
        check=False,
    )
    assert found.returncode == 0, f"as {role}:\n{found.stdout[-6000:]}\n{found.stderr[-2000:]}"
    told = json.loads(report.read_text())
    assert told["complete"]
    assert told["errors"] == []
    return told


def living(plane: Served) -> tuple[list[str], str]:
    """Sessions to try things on, and the token of one of their agents."""
    plane.double()
    made = [plane.spawn("[words 3 1]") for _ in range(2)] + [plane.spawn("[permission]")]
    native = plane.spawn(title="asks itself").partition(":")[2]
    return made, (plane.data_dir / "agents" / native / "mcp-token").read_text().strip()


@pytest.mark.timeout(0 if LONG else 1100)
def test_every_role_finds_nothing_that_the_contract_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = "coverage,fuzzing,stateful"

    def run(name: str, roles: list[str], phases: str, beginning: str = "/") -> list[tuple[str, int]]:
        directory = tmp_path / name
        directory.mkdir()
        with served(directory / "data") as plane:
            sessions, agent = living(plane)
            contract = plane.admin.get("/api/openapi.json").json()
            contract["paths"] = {path: told for path, told in contract["paths"].items() if path.startswith(beginning)}
            (directory / "contract.json").write_text(json.dumps(contract))
            (directory / "schemathesis.toml").write_text(configuration(plane, sessions))
            cursors = [
                plane.admin.get(path, params={"limit": 1}).json()["nextCursor"]
                for path in ("/api/mission-control/sessions",)
            ]
            environment = {"PYTHONPATH": str(HOOKS.parent), "MISSION_CONTROL_TEST_CURSORS": json.dumps(cursors)}
            found = {}
            for role in roles:
                token = {"agent": agent, "nobody": None}.get(role, "")
                if token == "":
                    token = plane.token(role)["token"]
                found[role] = attack(plane, directory, role, token, phases, **environment)
            assert plane.admin.get("/api/health").json()["status"] == "ok"
            assert plane.admin.get("/api/mission-control/audit/verify").json()["valid"]
            operations = sum(len(methods) for methods in contract["paths"].values())
            assert all(told["operations"]["tested"] == operations for told in found.values())
            return [(role, told["test_cases"]["generated"]) for role, told in found.items()]

    # Most of the time is waiting for answers that are synced to disk, so the parts run side by side; with threads of
    # its own the tool's compiling of code fails on Python 3.11.
    others = ["agent", "observer", "operator", "nobody"]
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(4) as threads:
        parts = [
            threads.submit(run, "admin-agents", ["admin"], "coverage", "/agents"),
            threads.submit(run, "admin-api", ["admin"], "coverage", "/api"),
            threads.submit(run, "admin-rest", ["admin"], "fuzzing,stateful"),
            threads.submit(run, "others", others, everything if LONG else "fuzzing"),
        ]
        for part in parts:
            for role, count in part.result():
                counts[role] += count
    told = f"schemathesis cases: {dict(counts)}, all: {sum(counts.values())}"
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\n")
    assert counts["admin"] > 1000
    assert sum(counts.values()) > 1500
