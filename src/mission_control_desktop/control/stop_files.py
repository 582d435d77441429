"""Stop files on the audit log: late, if need be, and exactly once.

The keepers stop by themselves, also while no control plane runs. What they stopped and who wanted it stands in their
journals and so in the sessions on record; this writes the two rows of the order, under ids made of the file's, so that
however often it looks, and whichever process does, they are written once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from mission_control_desktop.control.ports import AuditLog
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE, ActorKind
from mission_control_desktop.domain.sessions import SessionStatus

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
SETTLE_SECONDS = 4.0
"""Keepers look for the file once a second; before this has passed, more sessions may turn out to be stopped by it."""
PATIENCE_SECONDS = 60.0
VIA = "stop file"


class FileStop(Protocol):
    @property
    def order(self) -> Mapping[str, Any]:
        """{id, scope, reason, actor, owner, at}"""
        ...

    @property
    def sessions(self) -> Mapping[str, SessionStatus]:
        """What it stopped, by control-plane id."""
        ...


class FileStops(Protocol):
    async def file_stops(self) -> Sequence[FileStop]:
        """All that are known, the file that lies there now among them."""
        ...


class StopFiles:
    def __init__(self, stops: FileStops, audit: AuditLog, clock: Clock, provider: str) -> None:
        self._stops = stops
        self._audit = audit
        self._clock = clock
        self._provider = provider
        self._since: dict[str, datetime] = {}
        self._done: set[str] = set()

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except MissionControlError as error:
                log.warning("a stop by file is not on the audit log yet", error=error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Write the rows that are due. MissionControlError if the log cannot be written now: look again then."""
        for stop in await self._stops.file_stops():
            known = str(stop.order.get("id"))
            if known in self._done:
                continue
            intent, outcome = (hashlib.sha256(f"{part} {known}".encode()).hexdigest()[:32] for part in ("i", "o"))
            if await self._audit.get(outcome) is not None:
                self._done.add(known)
                continue
            if known not in self._since:
                self._since[known] = self._clock.now()
                if await self._audit.get(intent) is None:
                    await self._append(stop, intent, AuditOutcome.INTENDED, {"killId": f"stop-file-{known}"})
                    log.warning("sessions are stopped by a stop file", actor=stop.order.get("actor"))
            waited = (self._clock.now() - self._since[known]).total_seconds()
            living = [session for session, status in stop.sessions.items() if not status.final]
            if waited < SETTLE_SECONDS or (living and waited < PATIENCE_SECONDS):
                continue
            targets = [{"sessionId": id_, "state": status.value} for id_, status in sorted(stop.sessions.items())]
            result = AuditOutcome.FAILED if living else AuditOutcome.DONE
            await self._append(stop, outcome, result, {"intentId": intent, "targets": targets})
            self._done.add(known)

    async def _append(self, stop: FileStop, id_: str, outcome: AuditOutcome, more: dict[str, Any]) -> None:
        order = stop.order
        at = order.get("at")
        actor = str(order.get("actor") or "") or f"uid {order.get('owner')}"
        metadata: dict[str, Any] = {
            "via": VIA,
            "scope": order.get("scope"),
            "reason": order.get("reason"),
            "writtenAt": datetime.fromtimestamp(at, UTC).isoformat() if isinstance(at, int | float) else None,
            "fileOwner": order.get("owner"),
            "actorIsClaimed": bool(order.get("actor")),
        }
        await self._audit.append(
            DEFAULT_WORKSPACE,
            AuditEntry(
                id=id_,
                seq=0,
                created_at=self._clock.now(),
                user_id=actor[:200],
                actor_kind=ActorKind.PERSON,
                action=AuditAction.KILL_ALL,
                outcome=outcome,
                provider=self._provider,
                metadata=metadata | more,
            ),
        )
