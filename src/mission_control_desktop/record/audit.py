"""The audit log: rows are appended, chained, committed to disk, and then shown. Nothing changes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import msgspec
import structlog
from sqlalchemy import Connection

from mission_control_desktop.domain.audit import AuditEntry, ChainHead, ChainReport
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.mission_control import AuditFilter, Page
from mission_control_desktop.record.known import Change
from mission_control_desktop.storage.audit import AuditRows, EndNotSound, append_audit, seal_draft

log = structlog.get_logger(__name__)


class Committer(Protocol):
    """Commit one numbered change of the workspace and show it."""

    def __call__(
        self, work: Callable[[Connection, int], list[Change]], *, durable: bool = True
    ) -> Awaitable[list[Change]]: ...


class AuditLog:
    def __init__(self, rows: AuditRows, clock: Clock, ids: IdSource, commit: Committer) -> None:
        self._rows = rows
        self._clock = clock
        self._ids = ids
        self._commit = commit

    async def append(self, workspace_id: str, draft: AuditEntry) -> AuditEntry:
        """Give the draft its place (`seq`, `prevHash`, `hash`; an id if it has none) and commit it durably. Raises
        Unavailable if it cannot be written now."""
        if not draft.id:
            draft = msgspec.structs.replace(draft, id=self._ids.new())
        try:
            return await self._commit_row(workspace_id, draft)
        except EndNotSound as error:
            log.error("the audit log's end is not as it was left", workspace=workspace_id, found=error.end.found.value)
            await self._commit_row(workspace_id, seal_draft(error.end, self._clock, self._ids), whatever_the_end=True)
            return await self._commit_row(workspace_id, draft)

    async def _commit_row(self, workspace_id: str, draft: AuditEntry, *, whatever_the_end: bool = False) -> AuditEntry:
        written: list[AuditEntry] = []

        def work(connection: Connection, wseq: int) -> list[Change]:
            remembered = None if whatever_the_end else self._rows.remembered.get(workspace_id)
            entry = append_audit(
                connection,
                self._rows.keys,
                workspace_id,
                draft,
                wseq,
                remembered=remembered,
                whatever_the_end=whatever_the_end,
            )
            written[:] = [entry]
            return [Change(EventType.AUDIT, entry, wseq=wseq, workspace_id=workspace_id)]

        await self._commit(work)
        entry = written[0]
        known = self._rows.remembered.get(workspace_id)
        if whatever_the_end or known is None or known.seq < entry.seq:
            self._rows.remembered[workspace_id] = ChainHead(seq=entry.seq, hash=entry.hash)
        return entry

    async def page(
        self, workspace_id: str, filters: AuditFilter | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[AuditEntry]:
        """Newest first."""
        return await self._rows.page(workspace_id, filters, limit=limit, cursor=cursor)

    async def get(self, entry_id: str) -> AuditEntry | None:
        return await self._rows.get(entry_id)

    def rows(self, workspace_id: str) -> AsyncIterator[AuditEntry]:
        """The whole log as it is now, oldest first, in bounded memory."""
        return self._rows.rows(workspace_id)

    async def open_intents(self, workspace_id: str) -> list[AuditEntry]:
        """Rows `intended` to which no later row refers by `metadata.intentId`, oldest first."""
        return await self._rows.open_intents(workspace_id)

    async def verify(self, workspace_id: str) -> ChainReport:
        return await self._rows.verify(workspace_id)
