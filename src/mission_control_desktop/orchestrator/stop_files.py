"""Stop files, as the orchestrator sees them: what may not start while one lies there, and what each has stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.orchestrator.keeper.stopfile import StopFile, StopOrder


@dataclass(frozen=True, slots=True)
class FileStop:
    """A stop file and what it was found to have stopped: sessions by control-plane id."""

    order: dict[str, Any]
    """{id, scope, reason, actor, owner, at}"""
    sessions: dict[str, SessionStatus]


class StopFiles:
    """The one at `path`, and those that sessions on record were killed by, as far as they concern one provider."""

    def __init__(self, path: Path, provider: str) -> None:
        self._file = StopFile(str(path))
        self._provider = provider
        self._known: dict[str, FileStop] = {}
        self.stands: str | None = None
        """What the file that lies there keeps from starting, as `known` last saw it."""

    async def order(self) -> StopOrder | None:
        """The order that lies there now, if it is for this provider."""
        order = await asyncio.to_thread(self._file.look)
        return order if order is not None and order.covers(self._provider) else None

    async def known(self) -> list[FileStop]:
        """The one that lies there, and those by which sessions were killed."""
        order = await self.order()
        self.stands = None if order is None else not_started(order)
        if order is not None:
            self._of(order.data())
        return list(self._known.values())

    def note(self, session: AgentSession) -> None:
        """A session as it is now: by which stop file it was killed, if by one."""
        order = session.metadata.get("stopFile")
        if isinstance(order, dict):
            self._of(order).sessions[session.session_id] = session.status

    def _of(self, order: Mapping[str, Any]) -> FileStop:
        return self._known.setdefault(str(order.get("id")), FileStop(order=dict(order), sessions={}))


def not_started(order: StopOrder) -> str:
    """What it means for those who would start something, and the way out."""
    return f"Nothing is started now: {order.words()}. Clear it with: mission-control kill-all --clear-stop"
