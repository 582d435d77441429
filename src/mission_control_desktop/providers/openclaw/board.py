"""All sessions of one gateway: what is known of each, and what of it is on record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import NotFound, Unavailable
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, split_id
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.providers.openclaw.rows import (
    GUARDED,
    Held,
    Known,
    mode_of,
    same_but_age,
    session_of,
    status_of,
)
from mission_control_desktop.providers.openclaw.values import items, text
from mission_control_desktop.record.ops import PutSession, RecordOp

BATCH = 200
SESSIONS_STREAM = "sessions"


class Board:
    """`write` and `approvals` say whether the gateway granted these scopes."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._shown: dict[str, AgentSession] = {}
        """As it was written last, or as an earlier process left it."""
        self._record: ProviderRecord | None = None
        self.write = self.approvals = True
        self.left_open: set[str] = set()
        """Questions that an earlier process left open on record."""

    async def start(self, record: ProviderRecord) -> None:
        self._record = record
        for session in await record.sessions():
            self._shown[split_id(session.session_id)[1]] = session
            self.left_open |= {str(one) for one in items(session.metadata.get("open"))}

    @property
    def record(self) -> ProviderRecord:
        if self._record is None:
            raise Unavailable("The provider has not been started.")
        return self._record

    def get(self, key: str) -> Known | None:
        return self._known.get(key)

    def need(self, key: str) -> Known:
        """Raises NotFound for a session that the gateway does not have: it would make one of any key."""
        known = self._known.get(key)
        if known is None or known.deleted:
            raise NotFound("The gateway has no such session.")
        return known

    def all(self) -> list[Known]:
        return list(self._known.values())

    def take(self, row: dict[str, Any]) -> Known | None:
        """A row as the gateway told it; None if it is about nothing."""
        key = text(row, "key") or text(row, "sessionKey")
        if key is None:
            return None
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Known(key)
            known.take(row)
            self._remember_end(known)
        else:
            known.take(row)
        return known

    def _remember_end(self, known: Known) -> None:
        """What this control plane ended in an earlier process stays ended until it works again; what it was ending, it
        goes on to end, what it held it can release, and where it cancelled a turn the session goes on."""
        before = self._shown.get(known.key)
        if before is None:
            return
        known.ending = before.metadata.get("ending") is True and not before.status.final
        known.cancelled = text(before.metadata, "cancelledRun")
        held = before.metadata.get("commandsHeld")
        if isinstance(held, dict) and mode_of(known) == GUARDED:
            known.held = Held(before=text(held, "before"), told=True)
        if not before.status.final or known.active or before.run_id != known.run_id:
            return
        if not status_of(known)[0].final:
            known.ended = before.status

    def session(self, known: Known) -> AgentSession:
        return session_of(known, self._provider, self._clock.now(), write=self.write, approvals=self.approvals)

    def listed(self) -> list[AgentSession]:
        """All of them, as they were written last: making two thousand anew would be felt."""
        return [self._shown.get(known.key) or self.session(known) for known in self._known.values()]

    def below(self, key: str) -> list[Known]:
        """The session and all that it spawned at any depth, parents first."""
        children: dict[str, list[Known]] = {}
        for known in self._known.values():
            if known.parent is not None:
                children.setdefault(known.parent, []).append(known)
        found, seen = [self.need(key)], {key}
        for known in found:
            for child in children.get(known.key, ()):
                if child.key not in seen and not child.deleted:
                    seen.add(child.key)
                    found.append(child)
        return found

    async def put(self, *several: Known, durable: bool = False) -> None:
        """Bring the record level with what is known."""
        ops: list[RecordOp] = []
        for known in several:
            ops.extend(self._changes(known))
            if len(ops) >= BATCH:
                await self.record.apply(SESSIONS_STREAM, ops, durable=durable)
                ops = []
        if ops:
            await self.record.apply(SESSIONS_STREAM, ops, durable=durable)

    def _changes(self, known: Known) -> Iterable[RecordOp]:
        session, before = self.session(known), self._shown.get(known.key)
        if before is not None and same_but_age(session, before):
            return
        if before is not None and before.status.final and not session.status.final:
            # It works again: on record, only a new start may follow an end.
            start = msgspec.structs.replace(session, status=SessionStatus.SPAWNING, waiting_for=None)
            yield PutSession(session=start)
        self._shown[known.key] = session
        yield PutSession(session=session)

    def only(self, keys: set[str]) -> list[Known]:
        """The gateway has exactly these sessions: mark the others as deleted. Returns the changed ones."""
        gone = [known for known in self._known.values() if known.key not in keys and not known.deleted]
        for known in gone:
            known.deleted = True
        for key, session in self._shown.items():
            if key not in keys and key not in self._known and not session.status.final:
                known = self._known[key] = Known(key, run_id=session.run_id, deleted=True)
                if session.parent_session_id is not None:
                    known.row["spawnedBy"] = split_id(session.parent_session_id)[1]
                known.row |= {"label": session.title, "createdAt": session.spawned_at.timestamp() * 1000}
                gone.append(known)
        return gone
