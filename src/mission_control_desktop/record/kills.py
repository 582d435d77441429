"""Kill-all commands: every step is recorded and shown on the workspace's stream."""

from __future__ import annotations

from sqlalchemy import Connection

from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.record.audit import Committer
from mission_control_desktop.record.known import Change
from mission_control_desktop.storage.kills import Kills, put_kill


class KillLog:
    def __init__(self, kills: Kills, commit: Committer) -> None:
        self._kills = kills
        self._commit = commit

    async def put(self, workspace_id: str, kill: KillAll, *, state: bytes = b"") -> None:
        """Insert or replace; `state` is what the runner needs to go on after a restart. Durable. Raises Unavailable."""

        def work(connection: Connection, wseq: int) -> list[Change]:
            put_kill(connection, workspace_id, kill, state, wseq)
            return [Change(EventType.KILL, kill, wseq=wseq, workspace_id=workspace_id)]

        await self._commit(work)

    async def get(self, workspace_id: str, kill_id: str) -> KillAll | None:
        return await self._kills.get(workspace_id, kill_id)

    async def unfinished(self) -> list[tuple[str, KillAll, bytes]]:
        """Workspace, command and `state` of every one that is frozen, killing or watching, oldest first."""
        return await self._kills.unfinished()
