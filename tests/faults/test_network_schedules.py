"""Whatever the network does between window and control plane, the window equals the record.

Several agents talk; many windows (real engine, feeds, inbox, transcript models, session store) follow them, each
through a proxy of its own that spoils that window's connections by a schedule of its own, and send them messages the
same way. When a schedule is played to its end and the agents rest, a hash of what the window has is compared with one
of the record: same ids, same content, same order. What was shown at each reconnect before is looked at as well, and
every acknowledged message has to be on record once.

One schedule is one drawn list of faults for one window's connections. The seed is printed; MISSION_CONTROL_FAULT_SEED
repeats a run (schedules and orders are drawn from it; what the clock does is not), MISSION_CONTROL_FAULT_SECONDS makes
it longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from mission_control_desktop.client import feeds, transport
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.errors import RateLimited, Unavailable, Unreachable
from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from support.control_plane import ControlPlaneProcess
from support.faulty_proxy import FaultyProxy, draw_schedule
from support.followers import Follower, Truth
from support.orchestration import DOUBLE, sweep

SEED = int(os.environ.get("MISSION_CONTROL_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SECONDS = float(os.environ.get("MISSION_CONTROL_FAULT_SECONDS", "30"))
pytestmark = pytest.mark.timeout(SECONDS + 400)
WINDOWS = 40
AGENTS = 6
FOLLOWED = 2
PATIENCE = 60.0
MOST_MESSAGES = 350
"""An agent with a longer transcript makes room for a new one: a page holds 500."""
KEPT_OPEN = 0.7
"""The share of windows that go on with what they have; the others begin anew."""
MARKS = ("[words 30 6]", "[words 80 1]", "[tool]", "[thought]", "[plan]", "[usage]", "[unknown]", "[words 3 40]")


@dataclass
class Watcher:
    window: Follower
    proxy: FaultyProxy
    token: str
    opened: bool = False


@dataclass
class Tally:
    schedules: int = 0
    orders: int = 0
    reconnects: int = 0
    compared: int = 0
    messages: int = 0
    rounds: int = 0
    longest: float = 0.0


@dataclass
class Soak:
    """A control plane, agents that talk, and windows behind spoilt connections. `client` makes a window's client."""

    plane: ControlPlaneProcess
    direct: HttpMissionControl
    seed: int
    client: Callable[[str, str], HttpMissionControl] = HttpMissionControl
    watchers: list[Watcher] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    sent: dict[str, list[str]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    async def open(self, windows: int, agents: int) -> None:
        await self.direct.put_profile(LaunchProfile(name="double", command=(sys.executable, str(DOUBLE))))
        for number in range(windows):
            token = await self.direct.create_token(user=f"person-{number}", role=Role.OPERATOR)
            proxy = await FaultyProxy(self.plane.url).start()
            self.watchers.append(Watcher(Follower(f"window {number}"), proxy, token.token))
        for _ in range(agents):
            await self._new_agent()

    async def _new_agent(self) -> None:
        session = await self.direct.spawn(SpawnRequest(profile="double", prompt="[words 5 1]"))
        self.agents.append(session.session_id)
        self.sent[session.session_id] = []

    async def close(self) -> None:
        for watcher in self.watchers:
            await watcher.window.close()
            await watcher.proxy.close()
        for session_id in self.agents:
            await self.direct.kill(session_id, reason="the schedules are played")

    async def round(self) -> None:
        """One schedule for each window, to its end."""
        source = random.Random(f"{self.seed} {self.tally.rounds}")
        began = time.monotonic()
        for watcher in self.watchers:
            if not watcher.opened or source.random() > KEPT_OPEN:
                await self._open(watcher, source)
            watcher.proxy.play(draw_schedule(source))
        async with asyncio.TaskGroup() as group:
            for session_id in self.agents:
                for watcher in source.sample(self.watchers, source.randint(1, 2)):
                    words = f"{' '.join(source.choices(MARKS, k=source.randint(1, 4)))} order {source.getrandbits(128)}"
                    group.create_task(self._send(watcher, session_id, words, f"{source.getrandbits(128):x}"))
        truths = {session_id: await self._rest(session_id) for session_id in self.agents}
        for watcher in self.watchers:
            await self._compare(watcher, truths)
        self.tally.rounds += 1
        self.tally.schedules += len(self.watchers)
        self.tally.longest = max(self.tally.longest, time.monotonic() - began)
        for session_id, truth in truths.items():
            if len(truth.messages) > MOST_MESSAGES:
                self.agents.remove(session_id)
                await self.direct.kill(session_id, reason="it has said enough")
                await self._new_agent()
                for watcher in self.watchers:
                    watcher.opened = watcher.opened and session_id not in watcher.window.followed

    async def _open(self, watcher: Watcher, source: random.Random) -> None:
        followed = source.sample(self.agents, min(FOLLOWED, len(self.agents)))
        url, token = watcher.proxy.url, watcher.token
        await watcher.window.open(lambda: self.client(url, token), followed)
        watcher.opened = True

    async def _send(self, watcher: Watcher, session_id: str, words: str, key: str) -> None:
        """Send until it is acknowledged, with one key: what was stored is not stored again."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await watcher.window.host.call(lambda mc: mc.inject(session_id, words, idempotency_key=key))
                except (Unreachable, Unavailable):
                    await asyncio.sleep(0.02)
                except RateLimited:
                    return
                else:
                    self.sent[session_id].append(words)
                    self.tally.orders += 1
                    return

    async def _rest(self, session_id: str) -> Truth:
        """What is on record once the agent rests and every message to it was handed over."""
        open_states = (ReceiptState.STORED, ReceiptState.QUEUED)
        async with asyncio.timeout(PATIENCE):
            while True:
                session = await self.direct.session(session_id)
                receipts = await self.direct.receipts(session_id)
                rests = session.status is SessionStatus.WAITING and session.waiting_for is WaitingFor.OPERATOR
                if rests and not any(one.state in open_states for one in receipts):
                    break
                await asyncio.sleep(0.05)
        page = await self.direct.messages(session_id, limit=500)
        assert page.next_cursor is None
        orders = [message.content for message in page.items if message.role is MessageRole.OPERATOR]
        wanted = Counter(self.sent[session_id])
        assert Counter(orders) == wanted, f"missing {wanted - Counter(orders)}, doubled {Counter(orders) - wanted}"
        self.tally.messages += len(page.items)
        return Truth.of(session, page.items, receipts)

    async def _compare(self, watcher: Watcher, truths: dict[str, Truth]) -> None:
        window = watcher.window
        deadline = time.monotonic() + PATIENCE
        for session_id in window.followed:
            truth = truths[session_id]
            while not watcher.proxy.played or (wrong := window.wrong(session_id, truth)) is not None:
                assert not window.faults, f"{window.name}: {window.faults}"
                assert time.monotonic() < deadline, f"{window.name}: {wrong if watcher.proxy.played else 'not played'}"
                await asyncio.sleep(0.02)
            wrong = window.wrong_meanwhile(session_id, truth)
            assert wrong is None, f"{window.name}: {wrong}"
            self.tally.compared += 1
        assert not window.faults, f"{window.name}: {window.faults}"
        self.tally.reconnects += window.reconnects
        window.reconnects = 0

    @property
    def spoilt(self) -> Counter[str]:
        return sum((watcher.proxy.begun for watcher in self.watchers), Counter[str]())

    @property
    def cut(self) -> int:
        return sum(watcher.proxy.cut for watcher in self.watchers)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    data = tmp_path_factory.mktemp("network") / "data"
    process = ControlPlaneProcess(data).start()
    yield process
    process.stop()
    sweep(data)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults are many and short; waiting seconds between two of them would test nothing more."""
    monkeypatch.setattr(feeds, "BACKOFF_MIN_SECONDS", 0.002)
    monkeypatch.setattr(feeds, "BACKOFF_MAX_SECONDS", 0.02)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@asynccontextmanager
async def soak(plane: ControlPlaneProcess, *, windows: int, agents: int, **more: Any) -> AsyncIterator[Soak]:
    direct = HttpMissionControl(plane.url, plane.token)
    made = Soak(plane, direct, SEED, **more)
    try:
        await made.open(windows, agents)
        yield made
    finally:
        await made.close()
        await direct.close()


async def test_every_window_equals_the_record_whatever_its_network_does(
    plane: ControlPlaneProcess, qapp: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    end = time.monotonic() + SECONDS
    async with soak(plane, windows=WINDOWS, agents=AGENTS) as run:
        try:
            while time.monotonic() < end:
                await run.round()
        except BaseException:
            with capsys.disabled():
                print(f"\nnetwork faults: MISSION_CONTROL_FAULT_SEED={SEED}, {run.tally}")
            raise
        spoilt, tally = run.spoilt, run.tally
        with capsys.disabled():
            print(f"\nnetwork faults: seed {SEED}, {tally}, spoilt {spoilt.total()} {dict(spoilt)}, cut {run.cut}")
    assert spoilt.total() >= tally.schedules, "the network was hardly spoilt at all"
    assert tally.reconnects > tally.schedules, "hardly anybody had to come back"


class Forgetful(HttpMissionControl):
    """Comes back without saying what it had: the mistake that all of this is there to find."""

    def stream(self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None) -> Any:
        return super().stream(session_id, last_event_id=None, replay=replay)


class Keyless(HttpMissionControl):
    """Sends again under another key."""

    async def inject(self, session_id: str, content: str, **more: Any) -> Any:
        return await super().inject(session_id, content, **more | {"idempotency_key": uuid.uuid4().hex})


@pytest.mark.parametrize("client", [Forgetful, Keyless])
async def test_a_broken_client_is_found(
    plane: ControlPlaneProcess, qapp: Any, client: type[HttpMissionControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 6.0)
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    found = False
    async with soak(plane, windows=12, agents=3, client=client) as run:
        for _ in range(10):
            try:
                await run.round()
            except* AssertionError:
                found = True
            if found:
                break
    assert found, f"{run.tally.schedules} schedules with {client.__name__} clients, and nothing was found"
