"""Whatever the network does between window and control plane, the window's transcript equals the record.

Each round starts agents that talk, lets a window with the real feeds, inbox and transcript models follow them through a
proxy that spoils every connection by a drawn plan, sends messages the same way, then heals the network and compares a
hash of what the window has with one of the record: same ids, same content, same order.

The seed is printed. MISSION_CONTROL_FAULT_SEED repeats a run, MISSION_CONTROL_FAULT_SECONDS makes it longer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.client import feeds
from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.inbox import Inbox, Link
from mission_control_desktop.domain.errors import MissionControlError, Unavailable, Unreachable
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.ui.transcript.model import TranscriptModel
from support.control_plane import ControlPlaneProcess
from support.faulty_proxy import FaultyProxy
from support.orchestration import DOUBLE, sweep

SEED = int(os.environ.get("MISSION_CONTROL_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SECONDS = float(os.environ.get("MISSION_CONTROL_FAULT_SECONDS", "25"))
pytestmark = pytest.mark.timeout(SECONDS + 400)
SESSIONS = 4
PATIENCE = 60.0
MARKS = ("[words 60 8]", "[words 200 2]", "[tool]", "[thought]", "[plan]", "[usage]", "[unknown]", "[words 5 40]")


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """One hash over everything that an operator reads, in its order."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return whole.hexdigest()


def row(message: AgentMessage) -> tuple[Any, ...]:
    kind, complete = message.metadata.get("kind"), message.metadata.get("complete")
    return (message.message_id, message.role.value, message.content, kind, complete)


class Window:
    """Feeds, inbox and transcript models as in the window, drained on this loop."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.host = EngineHost(self.inbox)
        self.models: dict[str, TranscriptModel] = {}
        self.links: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._level: set[str] = set()
        self.inbox.on_wake(self._wake)
        self.host.start()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    def follow(self, session_id: str) -> None:
        model = self.models[session_id] = TranscriptModel()
        model.level_wanted.connect(lambda _why: self._level.add(session_id))
        self.host.open_session(session_id, replay=500)

    async def let_go(self) -> None:
        for session_id in self.models:
            await asyncio.wrap_future(self.host.close_session(session_id))
        self.models.clear()

    async def run(self) -> None:
        """Take what comes until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            self.take()
            for session_id in list(self._level):
                await self._read_again(session_id)

    def take(self) -> None:
        for item in self.inbox.drain():
            if isinstance(item.event, Link):
                self.links[item.event.state.value] += 1
            elif item.topic in self.models:
                self.models[item.topic].apply([item.event])

    async def _read_again(self, session_id: str) -> None:
        """As a panel does when what came does not fit what it has."""
        try:
            page = await self.host.call(lambda mc: mc.messages(session_id, limit=500))
        except MissionControlError:
            self.models[session_id].level_failed()
            self._loop.call_later(0.05, self._woken.set)
            return
        self._level.discard(session_id)
        self.models[session_id].load(page.items, has_older=False)

    def shown(self, session_id: str) -> list[tuple[Any, ...]]:
        return [row(entry.message) for entry in self.models[session_id].entries]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlaneProcess]:
    process = ControlPlaneProcess(tmp_path / "data")
    await asyncio.to_thread(process.start)
    yield process
    await asyncio.to_thread(process.stop)
    sweep(tmp_path / "data")


async def send(window: Window, session_id: str, words: str) -> None:
    """Send until it is acknowledged, with one key: what was stored is not stored again."""
    key = uuid.uuid4().hex
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await window.host.call(lambda mc: mc.inject(session_id, words, idempotency_key=key))
            except (Unreachable, Unavailable):
                await asyncio.sleep(0.02)
            else:
                return


async def quiet(direct: HttpMissionControl, session_id: str) -> None:
    """Wait until the session rests and every message to it was handed over."""
    open_states = (ReceiptState.STORED, ReceiptState.QUEUED)
    async with asyncio.timeout(PATIENCE):
        while True:
            session = await direct.session(session_id)
            rests = session.status is SessionStatus.WAITING and session.waiting_for is WaitingFor.OPERATOR
            if rests and not any(one.state in open_states for one in await direct.receipts(session_id)):
                return
            await asyncio.sleep(0.05)


async def one_round(direct: HttpMissionControl, window: Window, proxy: FaultyProxy, source: random.Random) -> str:
    """One round; the hash of what all its windows showed in the end."""
    ids: list[str] = []
    for _ in range(SESSIONS):
        prompt = " ".join(source.choices(MARKS, k=source.randint(2, 7)))
        ids.append((await direct.spawn(SpawnRequest(profile="double", prompt=prompt))).session_id)
    proxy.spoil()
    sent: dict[str, list[str]] = {session_id: [] for session_id in ids}
    async with asyncio.TaskGroup() as group:
        for session_id in ids:
            window.follow(session_id)
            for _ in range(source.randint(0, 3)):
                words = f"{source.choice(MARKS)} order {uuid.UUID(int=source.getrandbits(128))}"
                sent[session_id].append(words)
                group.create_task(send(window, session_id, words))
    for session_id in ids:
        await quiet(direct, session_id)
    proxy.heal()
    shown: list[str] = []
    for session_id in ids:
        page = await direct.messages(session_id, limit=500)
        assert page.next_cursor is None
        record = [row(message) for message in page.items]
        orders = [message.content for message in page.items if message.role is MessageRole.OPERATOR]
        assert sorted(orders) == sorted(sent[session_id]), "an acknowledged message is missing or doubled"
        wanted = digest(record)
        deadline = time.monotonic() + PATIENCE
        while digest(window.shown(session_id)) != wanted:
            assert time.monotonic() < deadline, difference(record, window.shown(session_id))
            await asyncio.sleep(0.01)
        shown.append(wanted)
    await window.let_go()
    for session_id in ids:
        await direct.kill(session_id, reason="the round is over")
    return digest([tuple(shown)])


def difference(record: list[tuple[Any, ...]], shown: list[tuple[Any, ...]]) -> str:
    for place, (wanted, seen) in enumerate(zip(record, shown, strict=False)):
        if wanted != seen:
            return f"differs at {place}: on record {wanted!r}, shown {seen!r}"
    return f"{len(record)} on record, {len(shown)} shown"


async def test_the_window_equals_the_record_over_spoilt_connections(
    plane: ControlPlaneProcess, qapp: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The plans are many and short; waiting seconds between two of them would test nothing more.
    monkeypatch.setattr(feeds, "BACKOFF_MIN_SECONDS", 0.002)
    monkeypatch.setattr(feeds, "BACKOFF_MAX_SECONDS", 0.02)
    source = random.Random(SEED)
    proxy = await FaultyProxy(plane.url, SEED).start()
    direct = HttpMissionControl(plane.url, plane.token)
    await direct.put_profile(LaunchProfile(name="double", command=(sys.executable, str(DOUBLE))))
    window = Window()

    async def connect() -> HttpMissionControl:
        return HttpMissionControl(proxy.url, plane.token)

    proxy.heal()
    await window.host.connect(connect)
    taking = asyncio.get_running_loop().create_task(window.run())
    end = time.monotonic() + SECONDS
    rounds = 0
    try:
        while time.monotonic() < end:
            assert not taking.done(), taking
            await one_round(direct, window, proxy, source)
            rounds += 1
    except BaseException:
        with capsys.disabled():
            print(f"\nseed {SEED}, round {rounds}")
        raise
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await proxy.close()
        await direct.close()
        assert await asyncio.to_thread(window.host.stop)
    total = proxy.begun.total()
    with capsys.disabled():
        print(f"\nnetwork faults: seed {SEED}, {rounds} rounds, {total} spoilt connections {dict(proxy.begun)}")
    assert total > 20 * rounds, "the network was hardly spoilt at all"
