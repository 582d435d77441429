"""Reading a control plane's sessions into the window: the newest first, in parts that leave the window free, up to a
limit that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial

import msgspec

from mission_control_desktop.client.engine import PlaneGateway
from mission_control_desktop.domain.mission_control import MissionControl, Page
from mission_control_desktop.domain.sessions import AgentSession

PAGE = 500
SLICE = 250
"""Sessions that are taken in one turn of the window's loop: some four milliseconds. Each turn costs about as much
again, for what is seen is laid out and painted in it."""
MAX_SESSIONS = 10_000
"""Sessions read of each control plane, the newest first. Those that have not ended come through the stream, too,
however old they are."""

Take = Callable[[Sequence[AgentSession]], None]
Sessions = Page[AgentSession]
Coming = Future[tuple[Sessions, "Coming | None"]]


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what a control plane has on record was read. `total` is None where it does not say."""

    read: int = 0
    total: int | None = None
    reading: bool = False
    left_out: bool = False
    """Whether older sessions, all of them ended, were not read."""

    @staticmethod
    def of_all(extents: Iterable[Extent]) -> Extent:
        """Several control planes as one."""
        found = list(extents)
        known = [one.total for one in found if one.total is not None]
        return Extent(
            read=sum(one.read for one in found),
            total=sum(known) if len(known) == len(found) else None,
            reading=any(one.reading for one in found),
            left_out=any(one.left_out for one in found),
        )


async def read_sessions(gateway: PlaneGateway, take: Take, told: Callable[[Extent], None]) -> None:
    """Hand all sessions to `take`, part by part, while the following pages are on their way. `told` hears how far it
    is. Raises the tree of `domain.errors`."""
    extent = Extent(reading=True)
    told(extent)
    reading = _Reading(gateway)
    coming = reading.begin(None)
    try:
        while True:
            page, following = await asyncio.wrap_future(coming)
            for start in range(0, len(page.items), SLICE):
                take(page.items[start : start + SLICE])
                await asyncio.sleep(0)
            total = page.total if isinstance(page.total, int) else extent.total
            left_out = following is None and page.next_cursor is not None
            read = extent.read + len(page.items)
            extent = Extent(read=read, total=total, reading=following is not None, left_out=left_out)
            told(extent)
            if following is None:
                return
            coming = following
    finally:
        reading.ended = True
        coming.cancel()


class _Reading:
    """Reads page after page, each one asked for as soon as the one before is there: the control plane works while the
    window takes in what came. What waits to be taken is no more than what is read at all."""

    def __init__(self, gateway: PlaneGateway) -> None:
        self._gateway = gateway
        self._read = 0
        self.ended = False
        """Nobody wants more."""

    def begin(self, cursor: str | None) -> Coming:
        return self._gateway.begin(partial(self._next, cursor=cursor))

    async def _next(self, mission_control: MissionControl, *, cursor: str | None) -> tuple[Sessions, Coming | None]:
        """On the engine's loop."""
        page = await _page(mission_control, cursor=cursor)
        self._read += len(page.items)
        if self.ended or page.next_cursor is None or self._read >= MAX_SESSIONS:
            return page, None
        return page, self.begin(page.next_cursor)


async def find_sessions(gateway: PlaneGateway, words: str) -> Page[AgentSession]:
    """What the control plane finds by these words (the newest `PAGE`), read or not. Raises the tree of
    `domain.errors`."""
    return await gateway.call(partial(_page, cursor=None, words=words))


async def _page(mission_control: MissionControl, *, cursor: str | None, words: str | None = None) -> Page[AgentSession]:
    return await mission_control.sessions(q=words, limit=PAGE, cursor=cursor)
