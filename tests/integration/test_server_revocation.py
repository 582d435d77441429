"""Open streams end when the rights that they were opened with do: removed, lowered, expired; also when another process
did it to the same database. On real sockets."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from support.served import Listener, Served, served, wait_for

EVENTS = "/api/mission-control/events"
WITHIN = 5.0
ELSEWHERE = """
import sys
from datetime import UTC, datetime
from mission_control_desktop.domain.people import Role
from mission_control_desktop.storage import open_database
import asyncio

async def main(path, what, name):
    database = open_database(path)
    now = datetime.now(UTC)
    if what == "revoke":
        await database.tokens.revoke(name, at=now)
    else:
        await database.members.put("default", name, Role.OBSERVER, at=now)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""
"""Another process of the same record, with the house's own storage: two control planes on one record are refused."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("revocation") / "data") as made:
        yield made


class Watched:
    """An open stream, and when it ended."""

    def __init__(self, plane: Served, token: str) -> None:
        self.listener = Listener(plane.caller(token), EVENTS)
        self.ended: float | None = None
        self.open = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.open.wait(20)

    def _read(self) -> None:
        with self.listener as stream:
            for _ in stream.events():
                self.open.set()
        self.ended = time.monotonic()

    def ends_within(self, seconds: float, since: float) -> None:
        wait_for(lambda: self.ended is not None, "the end of the stream")
        assert self.ended is not None
        assert self.ended - since < seconds


def elsewhere(plane: Served, what: str, name: str) -> float:
    """Done by another process; when it was done."""
    command = [sys.executable, "-c", ELSEWHERE, str(plane.data_dir / "control-plane.db"), what, name]
    subprocess.run(command, check=True, timeout=60)
    return time.monotonic()


def test_a_lower_role_or_a_removal_ends_the_streams_of_its_tokens_and_no_others(plane: Served) -> None:
    high, low = plane.token("operator", user="ann"), plane.token("observer", user="ann")
    removed = plane.token("operator", user="bob")
    lowered, stays, gone = (Watched(plane, one["token"]) for one in (high, low, removed))
    since = time.monotonic()
    answer = plane.admin.put("/api/members/ann", json={"role": "observer"})
    assert (answer.status_code, answer.json()["role"]) == (200, "observer")
    lowered.ends_within(WITHIN, since)
    since = time.monotonic()
    assert plane.admin.delete("/api/members/bob").status_code == 204
    gone.ends_within(WITHIN, since)
    assert stays.ended is None, "what the lower role was opened with goes on"
    again = plane.caller(high["token"])
    assert again.get("/api/me").json()["role"] == "observer"
    with Listener(again, EVENTS) as stream:
        assert stream.response.status_code == 200
    assert plane.caller(removed["token"]).get("/api/me").status_code == 401
    plane.admin.delete(f"/api/tokens/{low['id']}")
    stays.ends_within(WITHIN, time.monotonic())


def test_it_ends_also_when_another_process_of_the_database_did_it(plane: Served) -> None:
    revoked, lowered = plane.token("observer", user="carl"), plane.token("operator", user="dora")
    expiring = plane.token("observer", user="eva", expiresIn=6)
    made = time.monotonic()
    streams = [Watched(plane, one["token"]) for one in (revoked, lowered, expiring)]
    since = elsewhere(plane, "revoke", revoked["id"])
    streams[0].ends_within(WITHIN, since)
    since = elsewhere(plane, "lower", "dora")
    streams[1].ends_within(WITHIN, since)
    streams[2].ends_within(WITHIN, made + 6)
    assert plane.caller(lowered["token"]).get("/api/me").json()["role"] == "observer"
    for ended in (revoked, expiring):
        assert plane.caller(ended["token"]).get("/api/me").status_code == 401
