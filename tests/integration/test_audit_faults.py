"""The audit log of a real control plane: killed between an intent and its outcome, and while nothing can be written."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mission_control_desktop.orchestrator.keeper.client import read_identity
from support.served import Served, served, wait_for
from support.tampering import on_sqlite

API = "/api/mission-control"
DATABASE = "control-plane.db"

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program holds the database's one place to write."""
    command = [sys.executable, "-c", LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "locked\n"
            yield
        finally:
            assert other.stdin is not None
            other.stdin.close()


@contextlib.contextmanager
def full(database: Path) -> Iterator[None]:
    """No block of the file system is left."""
    filler = database.parent / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this needs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


class Asking:
    """Requests that are under way at the same time."""

    def __init__(self, plane: Served) -> None:
        self._plane = plane
        self._threads = ThreadPoolExecutor(16)

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown()

    def post(self, path: str, **body: Any) -> Future[httpx.Response]:
        return self._threads.submit(self._plane.admin.post, path, json=body)

    def put(self, path: str, **body: Any) -> Future[httpx.Response]:
        return self._threads.submit(self._plane.admin.put, path, json=body)

    def delete(self, path: str) -> Future[httpx.Response]:
        return self._threads.submit(self._plane.admin.delete, path)

    def until_gone(self, act: Callable[[int], object]) -> None:
        """Again and again, until the server is gone."""

        def run() -> None:
            n = 0
            with contextlib.suppress(httpx.TransportError):
                while True:
                    act(n)
                    n += 1

        self._threads.submit(run)


def rows_of(data_dir: Path) -> list[dict[str, Any]]:
    """The log as another program sees it, oldest first."""
    connection = sqlite3.connect(f"file:{data_dir / DATABASE}?mode=ro", uri=True, timeout=20)
    try:
        found = connection.execute(
            "SELECT id, action, outcome, session_id, intent_id, metadata FROM operator_audit_log ORDER BY seq"
        ).fetchall()
    finally:
        connection.close()
    names = ("id", "action", "outcome", "session", "intent", "metadata")
    return [{**dict(zip(names, row, strict=True)), "metadata": json.loads(row[-1])} for row in found]


def listed(answer: Any) -> list[dict[str, Any]]:
    return list(answer["items"] if isinstance(answer, dict) else answer)


def open_in(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    closed = {row["intent"] for row in rows}
    return [row for row in rows if row["outcome"] == "intended" and row["id"] not in closed]


def keeper_of(plane: Served, session_id: str) -> int:
    directory = plane.data_dir / "agents" / session_id.partition(":")[2]
    return wait_for(lambda: read_identity(directory), "the keeper").pid


def test_a_crash_between_an_intent_and_its_outcome(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    stopped: list[int] = []
    with served(data_dir) as plane:
        plane.double()
        work = {name: plane.spawn("[wait]") for name in ("inject", "pause", "terminate", "kill", "hung")}
        try:
            for session_id in work.values():
                plane.until(session_id, status="running")
                pid = keeper_of(plane, session_id)
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
            with Asking(plane) as asking:
                asking.post(f"{API}/sessions/{work['inject']}/inject", content="hello")
                asking.post(f"{API}/sessions/{work['pause']}/pause", level="freeze")
                asking.post(f"{API}/sessions/{work['terminate']}/terminate", reason="why")
                asking.post(f"{API}/sessions/{work['kill']}/kill", reason="why")
                asking.post(f"{API}/sessions/{work['hung']}/terminate", reason="why")
                wanted = {"inject", "pause", "terminate", "kill"}
                wait_for(lambda: {row["action"] for row in open_in(rows_of(data_dir))} >= wanted, "the intents")
                admin = plane.admin
                profile = {"command": ["true"]}
                asking.until_gone(lambda n: admin.put(f"/agents/profiles/p{n}", json=profile))
                asking.until_gone(lambda n: admin.post("/api/tokens", json={"user": f"u{n}", "role": "observer"}))
                wait_for(
                    lambda: {row["action"] for row in open_in(rows_of(data_dir))} & {"profile-change", "token-create"},
                    "an intent of the control plane's own",
                )
                plane.process.kill()
            left = open_in(rows_of(data_dir))
            for pid in stopped[:-1]:  # the last one hangs on
                os.kill(pid, signal.SIGCONT)
            plane.start()
            wait_for(lambda: not open_in(rows_of(data_dir)), "every intent closed")
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        rows = rows_of(data_dir)
        for intent in left:
            (outcome,) = (row for row in rows if row["intent"] == intent["id"])
            assert outcome["metadata"]["resolved"] == "at start"
        for intent in (row for row in rows if row["outcome"] == "intended"):
            assert [row["intent"] for row in rows].count(intent["id"]) == 1, intent
        found = {(row["action"], row["session"]): row for row in rows if row["metadata"].get("resolved") == "at start"}
        hung = found["terminate", work["hung"]]
        assert hung["outcome"] == "failed"
        assert hung["metadata"]["detail"].startswith("interrupted by a restart")
        statuses = {name: plane.session(session_id)["status"] for name, session_id in work.items()}
        names = {profile["name"] for profile in listed(plane.admin.get("/agents/profiles").json())}
        tokens = {token["id"] for token in listed(plane.admin.get("/api/tokens").json())}
        for intent in left:
            (outcome,) = (row for row in rows if row["intent"] == intent["id"])
            if intent["action"] == "profile-change":
                assert (outcome["outcome"] == "done") is (intent["metadata"]["name"] in names)
            if intent["action"] == "token-create":
                assert (outcome["outcome"] == "done") is (intent["metadata"]["tokenId"] in tokens)
        for name in ("kill", "terminate"):
            if found[name, work[name]]["outcome"] == "done":
                assert statuses[name] in ("killed", "completed"), (name, statuses)
        if found["pause", work["pause"]]["outcome"] == "done":
            assert statuses["pause"] == "paused"
        assert found["inject", work["inject"]]["metadata"]["detail"]
        assert plane.admin.get(f"{API}/audit/verify").json()["valid"]


@pytest.mark.parametrize("fault", ["locked", "full"])
def test_nothing_acts_while_the_log_cannot_be_written_but_what_stops_agents(tmp_path: Path, fault: str) -> None:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(small_disk(tmp_path / "disk")) if fault == "full" else tmp_path
        plane = stack.enter_context(served(place / "data"))
        data_dir = plane.data_dir
        plane.double()
        quiet, wild, other = (plane.spawn("[wait]") for _ in range(3))
        for session_id in (quiet, wild, other):
            plane.until(session_id, status="running")
        token = plane.token("observer")
        before = rows_of(data_dir)
        with Asking(plane) as asking, (locked if fault == "locked" else full)(data_dir / DATABASE):
            kill = asking.post(f"{API}/sessions/{wild}/kill", reason="runs wild")
            at = f"{API}/sessions/{quiet}"
            refused = {
                "spawn": asking.post(f"{API}/sessions", profile="double"),
                "inject": asking.post(f"{at}/inject", content="hello"),
                "pause": asking.post(f"{at}/pause"),
                "cancel": asking.post(f"{at}/cancel"),
                "terminate": asking.post(f"{at}/terminate"),
                "profile": asking.put("/agents/profiles/new", command=["true"]),
                "token": asking.post("/api/tokens", user="new", role="observer"),
                "revoke": asking.delete(f"/api/tokens/{token['id']}"),
            }
            killed = kill.result()
            assert killed.status_code == 200, killed.text
            assert killed.json()["metadata"]["auditPending"] is True
            answers = {name: one.result() for name, one in refused.items()}
            assert {name: one.status_code for name, one in answers.items()} == dict.fromkeys(answers, 503)
            for one in answers.values():
                assert one.json()["error"]["message"]
            stop = asking.post(f"{API}/kill-all", scope="all", confirm="KILL ALL", reason="all of it").result()
            assert stop.status_code in (200, 202), stop.text
            assert "Not on record" in stop.json()["detail"]
        for session_id in (wild, quiet, other):
            plane.until(session_id, status="killed")

        def complete() -> bool:
            rows = rows_of(data_dir)[len(before) :]
            ended = any(row["action"] == "kill-all" and row["outcome"] == "done" for row in rows)
            return ended and not open_in(rows) and plane.admin.get("/api/health").json()["status"] == "ok"

        wait_for(complete, "the rows on record", seconds=80)
        rows = rows_of(data_dir)[len(before) :]
        told = [(row["action"], row["outcome"]) for row in rows]
        stops = [one for one in told if one[0] in ("kill", "kill-all")]
        assert stops == [("kill", "intended"), ("kill", "done"), ("kill-all", "intended"), ("kill-all", "done")]
        assert not [one for one in told if one[1] == "done" and one[0] not in ("kill", "kill-all")]
        assert "new" not in {profile["name"] for profile in listed(plane.admin.get("/agents/profiles").json())}
        assert len(plane.admin.get(f"{API}/sessions").json()["items"]) == 3
        assert plane.caller(token["token"]).get("/api/me").status_code == 200
        assert plane.admin.get(f"{API}/audit/verify").json()["valid"]


def test_another_run_is_not_stopped_while_it_starts(tmp_path: Path) -> None:
    """And, on the same server: rows that were changed by hand are shown."""
    with served(tmp_path / "data") as plane, Asking(plane) as asking:
        plane.double("deaf", "--no-init")
        asking.post(f"{API}/sessions", profile="deaf", sessionId="a" * 32)
        session_id = "internal:" + "a" * 32
        wait_for(lambda: plane.admin.get(f"{API}/sessions/{session_id}").status_code == 200, "the session")
        plane.until(session_id, status="spawning")
        keeper = wait_for(lambda: read_identity(plane.data_dir / "agents" / ("a" * 32)), "its keeper")
        for verb in ("kill", "terminate"):
            body = {"reason": "why", "expectedRunId": "another"}
            answer = plane.admin.post(f"{API}/sessions/{session_id}/{verb}", json=body)
            assert answer.status_code == 409, answer.text
            assert plane.session(session_id)["status"] == "spawning"
            os.kill(keeper.pid, 0)
        rows = [(row["action"], row["outcome"]) for row in rows_of(plane.data_dir)][-3:]
        assert rows[0] == ("kill", "intended")
        assert rows[1] == ("kill", "failed")
        assert rows[2][1] == "failed"
        run = plane.session(session_id)["runId"]
        answer = plane.admin.post(f"{API}/sessions/{session_id}/kill", json={"reason": "why", "expectedRunId": run})
        assert answer.status_code == 200, answer.text
        plane.until(session_id, status="killed")

        with on_sqlite(plane.data_dir / DATABASE) as attacker:
            attacker.run("UPDATE operator_audit_log SET action = 'nothing' WHERE seq = 1")
            attacker.run("UPDATE operator_audit_log SET metadata = '[' WHERE seq = 2")
        page = {row["seq"]: row for row in plane.audit()}
        assert page[1]["action"] == page[2]["action"] == "unreadable"
        assert page[1]["metadata"] == {"unreadable": {"action": "nothing"}}
        assert page[2]["metadata"]["unreadable"]["metadata"] == "["
        assert plane.audit(limit=1)
        assert page[3]["action"] == "spawn"
        checked = plane.admin.get(f"{API}/audit/verify").json()
        assert (checked["valid"], checked["firstBad"]["seq"]) == (False, 1)
