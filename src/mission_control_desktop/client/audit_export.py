"""The audit log written out: JSON Lines in the order of the log, as `audit verify --file` takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from mission_control_desktop.client.tokens import private_file
from mission_control_desktop.domain.audit import AuditEntry, ChainHead
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.mission_control import AuditFilter, MissionControl

PAGE = 500

Told = Callable[[int, int], object]
"""Rows of the log that are behind us, and the last one that there is."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written. `part`: rows were left out, so that what is there forms no chain that can be verified."""

    rows: int
    head: ChainHead
    part: bool


async def write_log(
    mission_control: MissionControl,
    wanted: AuditFilter,
    write: Callable[[bytes], object],
    *,
    keep: Callable[[AuditEntry], bool] | None = None,
    told: Told | None = None,
) -> Exported:
    """Write what a filter (and `keep`) lets through, a page in memory at a time; `write` is called in a thread.

    What is written to the log meanwhile is left out: the result is the log as it was when this began. Raises the tree
    of `domain.errors`, and what `write` raises."""
    newest = (await mission_control.audit(limit=1)).items
    head = ChainHead(seq=newest[0].seq, hash=newest[0].hash) if newest else ChainHead()
    count, cursor = 0, None
    while True:
        page = await mission_control.audit(wanted, limit=PAGE, cursor=cursor, oldest_first=True)
        rows = [entry for entry in page.items if entry.seq <= head.seq]
        kept = rows if keep is None else [entry for entry in rows if keep(entry)]
        await asyncio.to_thread(write, b"".join(to_json(entry) + b"\n" for entry in kept))
        count += len(kept)
        cursor = page.next_cursor
        if told is not None:
            told(rows[-1].seq if rows else head.seq, head.seq)
        if cursor is None or len(rows) < len(page.items):
            return Exported(rows=count, head=head, part=wanted != AuditFilter() or keep is not None)


async def export_log(
    mission_control: MissionControl,
    wanted: AuditFilter,
    target: Path,
    *,
    keep: Callable[[AuditEntry], bool] | None = None,
    told: Told | None = None,
) -> Exported:
    """`write_log` into a file that its owner alone can read. It takes its place when it is whole: a file that was there
    stays as it was if this fails or is cancelled. MissionControlError if it cannot be written."""
    try:
        async with _beside(target) as stream:
            return await write_log(mission_control, wanted, stream.write, keep=keep, told=told)
    except OSError as error:
        raise MissionControlError(f"{target} cannot be written: {error.strerror}") from error


@asynccontextmanager
async def _beside(target: Path) -> AsyncIterator[BinaryIO]:
    """`private_file`, opened and closed in a thread: a slow disk holds up no stream of this loop."""
    manager = private_file(target)
    stream = await asyncio.to_thread(manager.__enter__)
    try:
        yield stream
    except BaseException as error:
        await asyncio.shield(asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__))
        raise
    await asyncio.shield(asyncio.to_thread(manager.__exit__, None, None, None))
