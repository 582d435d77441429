"""A loopback TCP proxy that misbehaves by plan: each connection gets its own, drawn from a seeded source.

It cuts (cleanly or with a reset) after some bytes in either direction, drips, stalls, answers late so that connections
overtake one another, or refuses; and none lives long. Healed, it ends every connection that it has spoilt and passes
all others on untouched.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass

KINDS = ("cut", "reset", "request cut", "drip", "stall", "late", "refuse")
CHUNK = 65_536


@dataclass(frozen=True)
class Plan:
    """What happens to one connection. Sizes in bytes, times in seconds."""

    kind: str
    at: int
    wait: float
    piece: int
    life: float


def draw(source: random.Random) -> Plan:
    """The next plan: sizes from one byte to a few hundred kilobytes, small ones as likely as large ones."""
    return Plan(
        kind=source.choice(KINDS),
        at=int(2 ** source.uniform(0, 18)),
        wait=source.uniform(0.0, 0.15),
        piece=source.randint(1, 40),
        life=0.005 * 2 ** source.uniform(0, 6.5),
    )


class FaultyProxy:
    """`begun` counts the connections by what was planned for them."""

    def __init__(self, url: str, seed: int) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._source = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._spoilt: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.faulty = True
        self.begun: Counter[str] = Counter()
        self.url = ""

    async def start(self) -> FaultyProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def heal(self) -> None:
        """From now on connections are whole; those that were to be spoilt end now."""
        self.faulty = False
        for task in list(self._spoilt):
            task.cancel()

    def spoil(self) -> None:
        self.faulty = True

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        plan = draw(self._source) if self.faulty else None
        if plan is not None:
            self._spoilt.add(task)
            self.begun[plan.kind] += 1
        try:
            await self._carry(plan, reader, writer)
        except (OSError, asyncio.CancelledError, _Over):
            _reset(writer)
        finally:
            self._tasks.discard(task)
            self._spoilt.discard(task)

    async def _carry(self, plan: Plan | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if plan is not None and plan.kind == "refuse":
            raise _Over
        if plan is not None and plan.kind == "late":
            await asyncio.sleep(plan.wait)
        there, to = await asyncio.open_connection(*self._target)
        try:
            up = plan if plan is not None and plan.kind == "request cut" else None
            down = plan if plan is not None and plan.kind in ("cut", "reset", "drip", "stall") else None
            async with asyncio.timeout(None if plan is None else plan.life), asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, to, up))
                group.create_task(_pass_on(there, writer, down))
        except* (OSError, _Over, TimeoutError):
            pass
        finally:
            _reset(to)
        if plan is not None and plan.kind == "cut":
            writer.close()
        else:
            _reset(writer)


class _Over(Exception):
    """The plan says: no further."""


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, plan: Plan | None) -> None:
    passed = 0
    while data := await source.read(CHUNK):
        if plan is None:
            sink.write(data)
            await sink.drain()
            continue
        while data:
            size = plan.piece if plan.kind == "drip" else len(data)
            piece, data = data[: min(size, plan.at - passed)], data[min(size, plan.at - passed) :]
            sink.write(piece)
            await sink.drain()
            passed += len(piece)
            if passed >= plan.at:
                if plan.kind == "stall":
                    await asyncio.sleep(plan.wait)
                raise _Over
            if plan.kind == "drip":
                await asyncio.sleep(0)
    raise _Over


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: the other side loses what it has not read."""
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
