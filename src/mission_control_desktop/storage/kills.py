"""Kill-all commands on record."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, select

from mission_control_desktop.domain.kill import KillAll, KillState
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import upsert

WATCHING = "watching"
"""Done, but targets that come back are still hit: in this column only, the shown state is `done`."""

UNFINISHED = (KillState.FROZEN.value, KillState.KILLING.value, WATCHING)


def put_kill(connection: Connection, workspace_id: str, kill: KillAll, runner_state: bytes, wseq: int) -> None:
    values: dict[str, Any] = {
        "kill_id": kill.kill_id,
        "workspace_id": workspace_id,
        "state": kill.state.value if kill.watching_until is None else WATCHING,
        "started_at": kill.started_at,
        "body": kill,
        "runner_state": runner_state,
        "wseq": wseq,
    }
    connection.execute(upsert(connection, t.kill_alls, "kill_id", keep="workspace_id"), values)


def kill_of(body: Any) -> KillAll:
    return msgspec.convert(body, KillAll)


class Kills:
    """Reading; writing goes through the recorder, which shows every step on the workspace's stream."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, workspace_id: str, kill_id: str) -> KillAll | None:
        column = t.kill_alls.c
        query = select(column.body).where(column.workspace_id == workspace_id, column.kill_id == kill_id)
        return await self._access.read(lambda c: None if (body := c.execute(query).scalar()) is None else kill_of(body))

    async def unfinished(self) -> list[tuple[str, KillAll, bytes]]:
        """Workspace, command and the runner's state of every one that is frozen, killing or watching, oldest first."""
        column = t.kill_alls.c
        query = (
            select(column.workspace_id, column.body, column.runner_state)
            .where(column.state.in_(UNFINISHED))
            .order_by(column.started_at)
        )
        return await self._access.read(
            lambda c: [(row.workspace_id, kill_of(row.body), row.runner_state) for row in c.execute(query)]
        )
