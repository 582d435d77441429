"""Nothing lost, nothing doubled: what a window has equals the record, whatever breaks in between."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.inbox import WORKSPACE, Inbox, Link, LinkState
from mission_control_desktop.domain.events import Delta, EventType
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor
from support.control_plane import ControlPlaneProcess
from support.orchestration import DOUBLE, sweep


class Window:
    """The engine as a window uses it, and what the window would show."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.host = EngineHost(inbox)
        self.loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()
        self.texts: dict[str, dict[str, str]] = {}
        self.sessions: dict[str, AgentSession] = {}
        self.links: dict[str, list[LinkState]] = {}
        inbox.on_wake(self._wake)
        self.host.start()

    def _wake(self) -> None:
        self.loop.call_soon_threadsafe(self.woken.set)

    def take(self, count: int) -> None:
        for item in self.inbox.drain(count):
            if isinstance(item.event, Link):
                self.links.setdefault(item.topic, []).append(item.event.state)
                continue
            data = item.event.data
            texts = self.texts.setdefault(item.topic, {})
            if item.event.type is EventType.RESET:
                texts.clear()
            elif isinstance(data, AgentMessage):
                texts[data.message_id] = data.content
            elif isinstance(data, Delta):
                have = texts[data.message_id]
                assert data.offset <= len(have), "a gap"
                if data.offset + len(data.text) > len(have):
                    assert have[data.offset :] == "", "a doubled word"
                    texts[data.message_id] = have + data.text
            elif isinstance(data, AgentSession):
                self.sessions[data.session_id] = data

    async def until_idle(self, session_ids: list[str], *, batch: int = 512, pause: float = 0.0) -> None:
        async with asyncio.timeout(60):
            while not all(self._idle(session_id) for session_id in session_ids):
                await self.woken.wait()
                self.woken.clear()
                self.take(batch)
                if pause:
                    await asyncio.sleep(pause)

    def _idle(self, session_id: str) -> bool:
        session = self.sessions.get(session_id)
        return (
            session is not None
            and session.status is SessionStatus.WAITING
            and session.waiting_for is WaitingFor.OPERATOR
        )

    async def record(self, session_id: str) -> dict[str, str]:
        page = await self.host.call(lambda mc: mc.messages(session_id, limit=500))
        return {message.message_id: message.content for message in page.items}

    async def matches(self, session_id: str) -> None:
        """Wait until what is on its way has come, then compare."""
        record = await self.record(session_id)
        async with asyncio.timeout(20):
            while self.texts.get(session_id) != record:
                try:
                    async with asyncio.timeout(5):
                        await self.woken.wait()
                except TimeoutError:
                    break
                self.woken.clear()
                self.take(512)
        assert self.texts[session_id] == record


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlaneProcess]:
    process = ControlPlaneProcess(tmp_path / "data")
    await asyncio.to_thread(process.start)
    yield process
    await asyncio.to_thread(process.stop)
    sweep(tmp_path / "data")


async def open_window(plane: ControlPlaneProcess, inbox: Inbox | None = None) -> Window:
    window = Window(inbox or Inbox())

    async def connect() -> HttpMissionControl:
        return HttpMissionControl(plane.url, plane.token)

    await window.host.connect(connect)
    await window.host.call(
        lambda mc: mc.put_profile(LaunchProfile(name="double", command=(sys.executable, str(DOUBLE))))
    )
    return window


async def spawn(window: Window, prompt: str) -> str:
    session = await window.host.call(lambda mc: mc.spawn(SpawnRequest(profile="double", prompt=prompt)))
    return session.session_id


async def test_the_control_plane_is_killed_in_mid_stream(plane: ControlPlaneProcess) -> None:
    window = await open_window(plane)
    await asyncio.wrap_future(window.host.open_workspace())
    session_id = await spawn(window, "[words 150 20] [tool] [words 20 10]")
    await asyncio.wrap_future(window.host.open_session(session_id, replay=100))
    async with asyncio.timeout(20):
        while sum(map(len, window.texts.get(session_id, {}).values())) < 200:
            await window.woken.wait()
            window.woken.clear()
            window.take(100)
    port = plane.url.rpartition(":")[2]
    await asyncio.to_thread(plane.kill)
    await asyncio.to_thread(plane.start, "--port", port)
    window.sessions.clear()
    await window.until_idle([session_id])
    await window.matches(session_id)
    assert LinkState.RECONNECTING in window.links[session_id]
    assert window.links[session_id][-1] is LinkState.CONNECTED
    assert LinkState.REFUSED not in window.links[WORKSPACE]
    assert window.host.stop()


async def test_a_slow_window_with_a_small_inbox(plane: ControlPlaneProcess) -> None:
    window = await open_window(plane, Inbox(max_topic_events=16, max_topic_chars=6_000, max_total_chars=12_000))
    prompts = [
        "[words 200 1] [tool] [words 200 1] [plan] [words 100 1]",
        "[words 300 1]" * 2,
        "[words 5 1] [tool] " * 20,
    ]
    session_ids = [await spawn(window, prompt) for prompt in prompts]
    for session_id in session_ids:
        await asyncio.wrap_future(window.host.open_session(session_id, replay=500))
    await window.until_idle(session_ids, batch=2, pause=0.02)
    for session_id in session_ids:
        await window.matches(session_id)
    stats = window.inbox.stats()
    assert stats.relevelled > 0
    assert stats.merged > 0
    assert window.host.stop()


async def test_a_panel_that_is_closed_and_opened_again(plane: ControlPlaneProcess) -> None:
    window = await open_window(plane)
    session_id = await spawn(window, "[words 100 10]")
    for _ in range(4):
        await asyncio.wrap_future(window.host.open_session(session_id))
        await window.woken.wait()
        window.take(20)
        await asyncio.wrap_future(window.host.close_session(session_id))
        window.texts.clear()
        window.take(100)
        assert window.texts == {}
    await asyncio.wrap_future(window.host.open_session(session_id))
    await window.until_idle([session_id])
    await window.matches(session_id)
    assert window.host.stop()


async def test_a_revoked_token_ends_the_streams(plane: ControlPlaneProcess) -> None:
    window = await open_window(plane)
    admin = HttpMissionControl(plane.url, plane.token)
    made = await admin.create_token(user="guest", role=Role.OBSERVER)

    async def connect() -> HttpMissionControl:
        return HttpMissionControl(plane.url, made.token)

    await window.host.connect(connect)
    await asyncio.wrap_future(window.host.open_workspace())

    async def links() -> list[LinkState]:
        await window.woken.wait()
        window.woken.clear()
        window.take(100)
        return window.links.get(WORKSPACE, [])

    async with asyncio.timeout(15):
        while LinkState.CONNECTED not in await links():
            pass
        await admin.revoke_token(made.id)
        while (await links())[-1] is not LinkState.REFUSED:
            pass
    await admin.close()
    assert window.host.stop()
