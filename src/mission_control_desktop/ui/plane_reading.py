"""Reading a control plane's sessions into the window: the newest first, in parts that leave the window free, up to a
limit that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from mission_control_desktop.client.engine import PlaneGateway
from mission_control_desktop.domain.mission_control import MissionControl, Page
from mission_control_desktop.domain.sessions import AgentSession

PAGE = 500
SLICE = 125
"""Sessions that are taken in one turn of the window's loop: a few milliseconds."""
MAX_SESSIONS = 10_000
"""Sessions read of each control plane, the newest first. Those that have not ended come through the stream, too,
however old they are."""

Take = Callable[[Sequence[AgentSession]], None]


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
    """Hand all sessions to `take`, part by part; the next page is on its way while one is taken. `told` hears how far
    it is. Raises the tree of `domain.errors`."""
    extent = Extent(reading=True)
    told(extent)
    coming = gateway.begin(partial(_page, cursor=None))
    try:
        while True:
            page = await asyncio.wrap_future(coming)
            read = extent.read + len(page.items)
            total = page.total if isinstance(page.total, int) else extent.total
            goes_on = page.next_cursor is not None and read < MAX_SESSIONS
            if goes_on:
                coming = gateway.begin(partial(_page, cursor=page.next_cursor))
            for start in range(0, len(page.items), SLICE):
                take(page.items[start : start + SLICE])
                await asyncio.sleep(0)
            extent = Extent(read=read, total=total, reading=goes_on, left_out=not goes_on and bool(page.next_cursor))
            told(extent)
            if not goes_on:
                return
    finally:
        coming.cancel()


async def find_sessions(gateway: PlaneGateway, words: str) -> Page[AgentSession]:
    """What the control plane finds by these words (the newest `PAGE`), read or not. Raises the tree of
    `domain.errors`."""
    return await gateway.call(partial(_page, cursor=None, words=words))


async def _page(mission_control: MissionControl, *, cursor: str | None, words: str | None = None) -> Page[AgentSession]:
    return await mission_control.sessions(q=words, limit=PAGE, cursor=cursor)
