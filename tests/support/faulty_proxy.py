"""A loopback TCP proxy that misbehaves by plan: for a time, each connection gets what a schedule has for it.

It cuts (cleanly or with a reset) after some bytes in either direction, drips, delays, stalls, answers late so that
connections overtake one another, refuses, leaves the server alone with a connection whose client has gone, or hands a
request over twice; and no spoilt connection lives long. When the schedule is used up it passes everything on untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("cut", "reset", "request cut", "drip", "delay", "stall", "late", "refuse", "orphan", "twice")
CHUNK = 65_536
MOST_FAULTS = 8


@dataclass(frozen=True)
class Fault:
    """What happens to one connection. Sizes in bytes, times in seconds."""

    kind: str
    at: int
    wait: float
    piece: int
    life: float


@dataclass(frozen=True)
class Schedule:
    """What happens to the connections of one window: those that it has are cut one after the other, `pause` seconds
    apart, and the next ones get one fault each."""

    pause: float
    faults: tuple[Fault, ...]


def draw(source: random.Random) -> Fault:
    """The next fault: sizes from one byte to a few hundred kilobytes, small ones as likely as large ones."""
    return Fault(
        kind=source.choice(KINDS),
        at=int(2 ** source.uniform(0, 18)),
        wait=source.uniform(0.0, 0.15),
        piece=source.randint(1, 40),
        life=0.005 * 2 ** source.uniform(0, 6.5),
    )


def draw_schedule(source: random.Random) -> Schedule:
    faults = tuple(draw(source) for _ in range(source.randint(1, MOST_FAULTS)))
    return Schedule(pause=source.uniform(0.0, 0.4), faults=faults)


class FaultyProxy:
    """`begun` counts the spoilt connections by what was planned for them, `cut` those that were whole before."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._server: asyncio.Server | None = None
        self._faults: deque[Fault] = deque()
        self._spoilt: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cutting: list[asyncio.TimerHandle] = []
        self.begun: Counter[str] = Counter()
        self.cut = 0
        self.url = ""

    async def start(self) -> FaultyProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def play(self, schedule: Schedule) -> None:
        """Begin a schedule."""
        loop = asyncio.get_running_loop()
        self._faults.extend(schedule.faults)
        self._cutting = [
            loop.call_later(schedule.pause * place, self._end, task) for place, task in enumerate(list(self._tasks))
        ]

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            self.cut += 1
            task.cancel()

    @property
    def played(self) -> bool:
        """Whether the schedule is used up: nothing more will be spoilt and nothing is."""
        loop = asyncio.get_running_loop()
        waits = any(handle.when() > loop.time() and not handle.cancelled() for handle in self._cutting)
        return not (self._faults or self._spoilt or waits)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._faults.clear()
        for handle in self._cutting:
            handle.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        fault = self._faults.popleft() if self._faults else None
        if fault is not None:
            self._spoilt.add(task)
            self.begun[fault.kind] += 1
        try:
            await self._carry(fault, reader, writer)
        except (OSError, asyncio.CancelledError, _Over):
            reset(writer)
        finally:
            self._tasks.discard(task)
            self._spoilt.discard(task)

    async def _carry(self, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = None if fault is None else fault.kind
        if kind == "refuse":
            raise _Over
        if fault is not None and kind == "late":
            await asyncio.sleep(fault.wait)
        there, to = await asyncio.open_connection(*self._target)
        beside = await asyncio.open_connection(*self._target) if kind == "twice" else None
        down = fault if kind in ("cut", "reset", "drip", "delay", "stall", "orphan") else None
        up = fault if kind == "request cut" else None
        try:
            async with asyncio.timeout(None if fault is None else fault.life), asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, [to] if beside is None else [beside[1], to], up))
                group.create_task(_pass_on(there, [writer], down))
                if beside is not None:
                    group.create_task(_read_away(beside[0]))
        except* (OSError, _Over, TimeoutError):
            pass
        finally:
            if fault is not None and kind == "orphan":
                reset(writer)
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(fault.wait):
                        await _read_away(there)
            reset(to)
            if beside is not None:
                reset(beside[1])
        if kind == "cut":
            writer.close()
        else:
            reset(writer)


class _Over(Exception):
    """The plan says: no further."""


async def _read_away(source: asyncio.StreamReader) -> None:
    while await source.read(CHUNK):
        pass


async def _pass_on(source: asyncio.StreamReader, sinks: Sequence[asyncio.StreamWriter], fault: Fault | None) -> None:
    passed = 0
    while data := await source.read(CHUNK):
        if fault is None:
            await _write(sinks, data)
            continue
        if fault.kind == "delay":
            await asyncio.sleep(fault.wait)
            await _write(sinks, data)
            continue
        while data:
            size = fault.piece if fault.kind == "drip" else len(data)
            piece, data = data[: min(size, fault.at - passed)], data[min(size, fault.at - passed) :]
            await _write(sinks, piece)
            passed += len(piece)
            if passed >= fault.at:
                if fault.kind == "stall":
                    await asyncio.sleep(fault.wait)
                raise _Over
            if fault.kind == "drip":
                await asyncio.sleep(0)
    raise _Over


async def _write(sinks: Sequence[asyncio.StreamWriter], data: bytes) -> None:
    for sink in sinks:
        sink.write(data)
        await sink.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: the other side loses what it has not read."""
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
