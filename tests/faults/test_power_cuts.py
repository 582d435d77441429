"""The power is cut at a drawn moment: what the control plane had acknowledged is there, and nothing is done twice.

Everything that is not synced is lost (`support.power`); the next start is a cold one. Each run prints its seed;
MISSION_CONTROL_FAULT_SEED repeats one, MISSION_CONTROL_FAULT_SECONDS makes the whole longer.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity
from support.fault_run import FINAL, MARK, handed_over, survivors
from support.orchestration import DOUBLE
from support.power import Disk, disk
from support.served import Served, wait_for

SEED = int(os.environ.get("MISSION_CONTROL_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SECONDS = float(os.environ.get("MISSION_CONTROL_FAULT_SECONDS", "15"))
pytestmark = pytest.mark.timeout(SECONDS + 400)
API = "/api/mission-control"
PATIENCE = 90.0
OVER = ("delivered", "answered", "failed", "withdrawn")


@dataclass
class Acknowledged:
    """What was answered with a success before the cut."""

    sessions: list[str] = field(default_factory=list)
    orders: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By injection id: the session and a word that only this order has."""
    ended: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)


class Busy:
    """Several callers at once, until the power is gone."""

    def __init__(self, plane: Served, source: random.Random, kinds: list[str]) -> None:
        self.done = Acknowledged()
        self._plane = plane
        self._source = source
        self._kinds = kinds
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(4)

    def start(self) -> None:
        for _ in range(4):
            self._threads.submit(self._run, random.Random(self._source.random()))

    def stop(self) -> None:
        self._over.set()
        self._threads.shutdown()

    def _run(self, source: random.Random) -> None:
        acts: list[Callable[[random.Random], None]] = [self._spawn, self._send, self._end, self._token, self._profile]
        try:
            while not self._over.is_set():
                source.choices(acts, weights=[2, 8, 1, 1, 1])[0](source)
        except httpx.TransportError:
            return  # the power is gone

    def _post(self, path: str, body: dict[str, Any], action: str) -> dict[str, Any] | None:
        answer = self._plane.admin.post(path, json=body)
        if not answer.is_success:
            return None
        self.done.acts[action] += 1
        return dict(answer.json())

    def _spawn(self, source: random.Random) -> None:
        if len(self.done.sessions) < 6:
            body = {"profile": source.choice(self._kinds), "prompt": "[words 10 20]"}
            if (made := self._post(f"{API}/sessions", body, "spawn")) is not None:
                self.done.sessions.append(made["sessionId"])

    def _send(self, source: random.Random) -> None:
        if not self.done.sessions:
            return
        session_id, token = source.choice(self.done.sessions), uuid.UUID(int=source.getrandbits(128)).hex
        body = {"content": f"{source.choice(['[words 5 10]', '[words 30 20]', '[tool]'])} {token}"}
        if (made := self._post(f"{API}/sessions/{session_id}/inject", body, "inject")) is not None:
            self.done.orders[made["injectionId"]] = (session_id, token)

    def _end(self, source: random.Random) -> None:
        living = [one for one in self.done.sessions if one not in self.done.ended]
        if len(living) > 3:
            session_id = source.choice(living)
            verb = source.choice(["kill", "kill", "terminate"])
            made = self._post(f"{API}/sessions/{session_id}/{verb}", {"reason": "enough"}, verb)
            if made is not None and made.get("status") in FINAL:
                self.done.ended.append(session_id)

    def _token(self, source: random.Random) -> None:
        name = f"u{source.getrandbits(64)}"
        if (made := self._post("/api/tokens", {"user": name, "role": "observer"}, "token-create")) is not None:
            self.done.tokens.append(made["token"])

    def _profile(self, source: random.Random) -> None:
        name = f"p{source.getrandbits(64)}"
        if self._plane.admin.put(f"/agents/profiles/{name}", json={"command": ["true"]}).is_success:
            self.done.profiles.append(name)
            self.done.acts["profile-change"] += 1


def processes(data_dir: Path, mark: str) -> list[int]:
    """Agents, what they left, and their keepers."""
    found = [int(one.partition(":")[0]) for one in survivors(mark)]
    for directory in (data_dir / "agents").iterdir():
        if (identity := read_identity(directory)) is not None and keeper_alive(directory):
            found.append(identity.pid)
    return found


def one_cut(disk_: Disk, seed: int) -> Acknowledged:
    source, mark = random.Random(seed), uuid.uuid4().hex
    data_dir = disk_.path / f"data-{seed}"
    kept = disk_.path / f"kept-{seed}"
    kept.mkdir()
    kinds = {"plain": (), "resuming": ("--resume", str(kept)), "loading": ("--load", str(kept))}
    plane = Served(data_dir).start()
    try:
        for name, options in kinds.items():
            body = {"command": [sys.executable, str(DOUBLE), *options], "cwd": "/", "env": {MARK: mark}}
            assert plane.admin.put(f"/agents/profiles/{name}", json=body).status_code == 200
        busy = Busy(plane, source, list(kinds))
        busy.start()
        wait_for(lambda: len(busy.done.orders) >= 3, "a few orders", PATIENCE)
        time.sleep(source.uniform(0, 3))
        disk_.cut(lambda: [plane.process.pid, *processes(data_dir, mark)])
        busy.stop()
        plane.process.kill()
        plane.start()
        check(plane, busy.done)
    finally:
        plane.end()
    assert survivors(mark) == []
    return busy.done


def check(plane: Served, done: Acknowledged) -> None:
    for token in done.tokens:
        assert plane.caller(token).get("/api/me").status_code == 200, "a token that was given is not known"
    profiles = {one["name"] for one in plane.admin.get("/agents/profiles").json()["items"]}
    assert profiles >= set(done.profiles)
    rows = plane.audit()
    closed = Counter(row["action"] for row in rows if row["outcome"] == "done")
    for action, count in done.acts.items():
        assert closed[action] >= count, f"{count} times {action} was acknowledged, {closed[action]} rows say so"
    for session_id in done.ended:
        assert plane.session(session_id)["status"] in FINAL, "a session that had ended"
    for session_id in done.sessions:
        what = f"{session_id} to rest or end: {plane.session(session_id)}"
        wait_for(functools.partial(at_rest, plane, session_id), what, PATIENCE)
    for session_id in done.ended:
        directory = plane.data_dir / "agents" / session_id.partition(":")[2]
        assert not keeper_alive(directory), f"{session_id} had ended and lives again"
        assert plane.session(session_id)["status"] in FINAL
    for injection_id, (session_id, word) in done.orders.items():
        shown = [one for one in plane.messages(session_id) if one["role"] == "operator" and word in one["content"]]
        assert len(shown) == 1, f"an acknowledged order is shown {len(shown)} times"
        receipt = receipts(plane, session_id)[injection_id]
        assert receipt["state"] in OVER, f"an order that nobody will hand over any more: {receipt}"
        handed = handed_over(plane.data_dir / "agents" / session_id.partition(":")[2], word)
        assert len(handed) <= 1, f"handed over {handed}"
    report = plane.admin.get(f"{API}/audit/verify").json()
    assert report["valid"], report


def at_rest(plane: Served, session_id: str) -> bool:
    now = plane.session(session_id)
    if now["status"] in FINAL:
        return True
    rests = now["status"] == "waiting" and now.get("waitingFor") == "operator"
    return rests and all(one["state"] in OVER for one in receipts(plane, session_id).values())


def receipts(plane: Served, session_id: str) -> dict[str, dict[str, Any]]:
    items = plane.admin.get(f"{API}/sessions/{session_id}/receipts").json()["items"]
    return {one["injectionId"]: one for one in items}


def test_what_is_not_synced_is_lost_by_a_cut(tmp_path: Path) -> None:
    """The disk itself: without this, the other test could not fail."""
    with disk(tmp_path) as made:
        (made.path / "not synced").write_bytes(b"x" * 100_000)
        with (made.path / "synced").open("wb") as file:
            file.write(b"y" * 100_000)
            file.flush()
            os.fsync(file.fileno())
            file.write(b"z" * 100_000)
        made.cut(list)
        assert (made.path / "synced").read_bytes() == b"y" * 100_000
        lost = made.path / "not synced"
        assert not lost.exists() or lost.read_bytes() == b""


def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = time.monotonic() + SECONDS
    total: Counter[str] = Counter()
    runs = 0
    with disk(tmp_path) as made:
        while runs == 0 or time.monotonic() < end:
            try:
                total += one_cut(made, SEED + runs).acts
            except BaseException:
                with capsys.disabled():
                    print(f"\npower cuts: MISSION_CONTROL_FAULT_SEED={SEED + runs} failed after {runs} good runs")
                raise
            runs += 1
    with capsys.disabled():
        print(f"\npower cuts: seed {SEED}, {runs} cuts, acknowledged before them {dict(total)}")
