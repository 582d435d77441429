"""The engine's thread: answers and cancellation go across, and it always ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.domain.errors import NotFound, Unavailable
from mission_control_desktop.domain.mission_control import Health, MissionControl


class Plane:
    def __init__(self) -> None:
        self.closed = 0
        self.streams = 0
        self.thread: threading.Thread | None = None

    async def health(self) -> Health:
        self.thread = threading.current_thread()
        return Health(status="ok", version="1", epoch="e", pid=1)

    @asynccontextmanager
    async def events(self, *, last_event_id: str | None = None) -> AsyncIterator[Any]:
        self.streams += 1
        try:
            yield self._silence()
        finally:
            self.streams -= 1

    async def _silence(self) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield None

    async def close(self) -> None:
        self.closed += 1


def opener(plane: Plane) -> Any:
    async def open_() -> MissionControl:
        return cast("MissionControl", plane)

    return open_


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture
def host(errors: list[BaseException]) -> Iterator[EngineHost]:
    host = EngineHost(on_error=lambda name, error: errors.append(error))
    host.start()
    yield host
    assert host.stop()


async def test_calls_run_on_the_engine_and_answer_here(host: EngineHost) -> None:
    plane = Plane()
    with pytest.raises(Unavailable, match="not connected"):
        await host.call(lambda mc: mc.health())
    await host.connect(opener(plane))
    assert host.connected
    assert (await host.call(lambda mc: mc.health())).status == "ok"
    assert plane.thread is not None
    assert plane.thread is not threading.current_thread()


async def test_errors_come_across(host: EngineHost) -> None:
    async def fail() -> None:
        raise NotFound("no such thing")

    with pytest.raises(NotFound, match="no such thing"):
        await host.run(fail)


async def test_cancellation_goes_across(host: EngineHost) -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(host.run(wait))
        assert await asyncio.to_thread(began.wait, 10)
        task.cancel()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_stop_ends_streams_calls_and_whoever_waits(errors: list[BaseException]) -> None:
    host = EngineHost(on_error=lambda name, error: errors.append(error))
    host.start()
    plane = Plane()
    await host.connect(opener(plane))
    await asyncio.wrap_future(host.open_workspace())
    began = threading.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    future = host.submit(wait)
    assert await asyncio.to_thread(began.wait, 10)
    while not plane.streams:
        await asyncio.sleep(0)
    assert host.stop()
    assert future.cancelled()
    assert plane.closed == 1
    assert plane.streams == 0
    assert isinstance(host.submit(wait).exception(), Unavailable)
    assert host.stop()
    assert errors == []


async def test_it_can_start_again(host: EngineHost) -> None:
    assert host.stop()
    host.start()
    await host.connect(opener(Plane()))
    assert (await host.call(lambda mc: mc.health())).pid == 1


async def test_connecting_again_closes_the_one_before_and_a_failure_keeps_it(host: EngineHost) -> None:
    first, second = Plane(), Plane()
    await host.connect(opener(first))

    async def fail() -> MissionControl:
        raise NotFound("nobody there")

    with pytest.raises(NotFound):
        await host.connect(fail)
    assert (first.closed, host.connected) == (0, True)
    await host.connect(opener(second))
    assert (first.closed, second.closed) == (1, 0)
    await host.disconnect()
    assert (second.closed, host.connected) == (1, False)


def test_a_stuck_engine_does_not_keep_the_window_from_leaving() -> None:
    host = EngineHost()
    host.start()
    release, stuck = threading.Event(), threading.Event()

    async def block() -> None:
        stuck.set()
        release.wait()

    future = host.submit(block)
    assert stuck.wait(10)
    assert host.stop(timeout=0.05) is False
    assert future.cancelled()
    release.set()
    assert host.stop()
