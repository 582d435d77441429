"""Feeds: they come back by themselves, after the last event, and say how they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from mission_control_desktop.client import feeds as module
from mission_control_desktop.client.feeds import Feeds, backoff_seconds
from mission_control_desktop.client.inbox import WORKSPACE, Inbox, Link, LinkState
from mission_control_desktop.domain.errors import Forbidden, NotAuthenticated, NotFound, RateLimited, Unreachable
from mission_control_desktop.domain.events import Delta, EventType, Reset, StreamEvent
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.tasks import Tasks

TOPIC = "internal:a"


def delta(seq: int, text: str = "x") -> StreamEvent:
    return StreamEvent(event_id=f"e-{seq}", type=EventType.DELTA, data=Delta(message_id=f"m{seq}", offset=0, text=text))


RESET = StreamEvent(event_id=None, type=EventType.RESET, data=Reset(reason="rebuilt"))


class Script:
    """A control plane whose connections play prepared parts: events, then an error, or silence."""

    def __init__(self, *parts: list[StreamEvent | Exception]) -> None:
        self.parts = list(parts)
        self.opened: list[tuple[str, str | None, int | None]] = []
        self.open_now = 0

    def events(self, *, last_event_id: str | None = None) -> Any:
        return self._open(WORKSPACE, last_event_id, None)

    def stream(self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None) -> Any:
        return self._open(session_id, last_event_id, replay)

    @asynccontextmanager
    async def _open(
        self, topic: str, last: str | None, replay: int | None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        self.opened.append((topic, last, replay))
        part = self.parts.pop(0) if self.parts else []
        if part and isinstance(part[0], Exception):
            raise part[0]
        self.open_now += 1
        try:
            yield self._play(part)
        finally:
            self.open_now -= 1

    async def _play(self, part: list[StreamEvent | Exception]) -> AsyncIterator[StreamEvent]:
        for step in part:
            if isinstance(step, Exception):
                raise step
            yield step
        await asyncio.Event().wait()


class Bench:
    def __init__(self, *parts: list[StreamEvent | Exception], **bounds: Any) -> None:
        self.script = Script(*parts)
        self.woken = asyncio.Event()
        self.inbox = Inbox(self.woken.set, **bounds)
        self.errors: list[BaseException] = []
        self.tasks = Tasks(lambda name, error: self.errors.append(error))
        self.feeds = Feeds(cast("MissionControl", self.script), self.inbox, self.tasks, jitter=lambda: 0.0)
        self.seen: list[StreamEvent | Link] = []

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while True:
                self.seen.extend(item.event for item in self.inbox.drain())
                if done():
                    return
                self.woken.clear()
                await self.woken.wait()

    @property
    def events(self) -> list[StreamEvent]:
        return [event for event in self.seen if isinstance(event, StreamEvent)]

    @property
    def links(self) -> list[Link]:
        return [event for event in self.seen if isinstance(event, Link)]

    async def close(self) -> None:
        await self.feeds.close()
        await self.tasks.close()
        assert self.script.open_now == 0
        assert self.errors == []


async def test_goes_on_after_the_last_event_when_the_connection_breaks() -> None:
    bench = Bench([delta(1), delta(2), Unreachable("gone")], [Unreachable("still gone")], [delta(3)])
    bench.feeds.open_session(TOPIC, replay=50)
    bench.feeds.open_session(TOPIC, replay=50)
    await bench.until(lambda: len(bench.events) == 3)
    assert bench.events == [delta(1), delta(2), delta(3)]
    assert bench.script.opened == [(TOPIC, None, 50), (TOPIC, "e-2", None), (TOPIC, "e-2", None)]
    reconnecting = [link for link in bench.links if link.state is LinkState.RECONNECTING]
    assert [(link.attempt, link.error) for link in reconnecting] == [(1, "gone"), (2, "still gone")]
    assert bench.links[-1].state is LinkState.CONNECTED
    await bench.close()


@pytest.mark.parametrize("error", [NotFound("no such session"), Forbidden("no"), NotAuthenticated("revoked")])
async def test_a_refusal_ends_the_feed_and_opening_again_tries_anew(error: Exception) -> None:
    bench = Bench([delta(1), error], [delta(2)])
    bench.feeds.open_session(TOPIC)
    await bench.until(lambda: bool(bench.links) and bench.links[-1].state is LinkState.REFUSED)
    assert bench.links[-1].error == str(error)
    while bench.feeds.topics:
        await asyncio.sleep(0)
    bench.feeds.open_session(TOPIC)
    await bench.until(lambda: delta(2) in bench.events)
    await bench.close()


async def test_a_reset_is_shown_and_history_read_again() -> None:
    bench = Bench([delta(1), RESET], [delta(5)])
    bench.feeds.open_session(TOPIC, replay=10)
    await bench.until(lambda: len(bench.events) == 3)
    assert bench.events == [delta(1), RESET, delta(5)]
    assert bench.script.opened == [(TOPIC, None, 10), (TOPIC, None, 10)]
    await bench.close()


async def test_endless_resets_do_not_spin() -> None:
    resets: list[list[StreamEvent | Exception]] = [[RESET] for _ in range(50)]
    bench = Bench(*resets)
    bench.feeds.open_workspace()
    await bench.until(lambda: any(link.state is LinkState.RECONNECTING for link in bench.links))
    assert len(bench.script.opened) == 2
    await bench.close()


async def test_a_window_that_is_behind_is_brought_level_from_what_it_was_given() -> None:
    many: list[StreamEvent | Exception] = [delta(number) for number in range(1, 40)]
    bench = Bench([delta(0), *many], [delta(100)], max_topic_events=32)
    bench.feeds.open_session(TOPIC)
    while not bench.inbox.stats().relevelled:
        await asyncio.sleep(0)
    await bench.until(lambda: delta(100) in bench.events)
    assert bench.events == [delta(0), delta(100)]
    assert [last for _, last, _ in bench.script.opened] == [None, "e-0"]
    await bench.close()


async def test_an_idle_topic_whose_backlog_was_dropped_for_another_is_brought_level_too() -> None:
    big, small = delta(2, "x" * 9_000), delta(1, "y" * 3_000)
    bench = Bench([delta(0), delta(1), big], [small], [big], max_total_chars=10_000, max_topic_events=32)
    bench.feeds.open_session(TOPIC)
    while bench.inbox.stats().put < 5:
        await asyncio.sleep(0)
    bench.feeds.open_session("internal:b")
    while not bench.inbox.stats().relevelled:
        await asyncio.sleep(0)
    await bench.until(lambda: big in bench.events and small in bench.events)
    await bench.close()


async def test_closing_leaves_nothing_behind() -> None:
    bench = Bench([delta(1)])
    bench.feeds.open_session(TOPIC)
    while not bench.script.open_now:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await bench.feeds.close_session(TOPIC)
    assert bench.script.open_now == 0
    assert bench.inbox.drain() == []
    assert bench.feeds.topics == frozenset()
    await bench.close()


async def test_a_fault_of_ours_is_reported_and_shown() -> None:
    bench = Bench([delta(1), ValueError("a bug")])
    bench.feeds.open_session(TOPIC)
    await bench.until(lambda: bool(bench.links) and bench.links[-1].state is LinkState.REFUSED)
    while not bench.errors:
        await asyncio.sleep(0)
    assert [str(error) for error in bench.errors] == ["a bug"]
    bench.errors.clear()
    await bench.close()


async def test_rate_limit_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_MIN_SECONDS", 0.01)
    bench = Bench([RateLimited("slowly", retry_after=1)], [delta(1)])
    started = asyncio.get_running_loop().time()
    bench.feeds.open_workspace()
    await bench.until(lambda: bool(bench.events))
    assert asyncio.get_running_loop().time() - started >= 1
    await bench.close()


def test_backoff_grows_to_its_limit() -> None:
    assert [backoff_seconds(n, lambda: 0.0) for n in (1, 2, 3, 4, 5, 6, 100)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert backoff_seconds(100, lambda: 1.0) == 6.25
