"""Messages are kept for a time and then removed: hourly, a little at a time, and with a row in the audit log.

What ends with a period: messages with their text, the receipts and permission questions of that time, and the files of
the built-in provider's sessions that ended before it, whose journals hold the same words. What stays: the audit log,
the sessions themselves (with the number of their messages that were removed), and whatever of a living session is not
settled; also a living session's journal, of which its state is made after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from mission_control_desktop.control.ports import AgentFiles, AuditLog
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.limits import RETENTION_DAYS
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE, ActorKind
from mission_control_desktop.domain.retention import RetentionRun
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, global_id
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage.retention import OldSession, RetentionRows, RetentionState

log = structlog.get_logger(__name__)

FIRST_SECONDS = 120.0
"""After a start there is more urgent work."""
EVERY_SECONDS = 3600.0
BATCH_SECONDS = 0.015
"""What one transaction is to take: whoever records something meanwhile waits for so long at most."""
SMALLEST, FIRST, LARGEST = 100, 100, 1_000
"""Messages in one transaction."""
REST = 2.0
"""How many times as long as it worked the clean-up rests, so that it never takes more than a third of the writer."""
PAGES = 64
"""Returned to the file system in one transaction."""
USER = "retention"


class Retention:
    """`run` is its task; `once` one run over all workspaces."""

    def __init__(
        self, rows: RetentionRows, recorder: Recorder, clock: Clock, ids: IdSource, *, files: AgentFiles | None = None
    ) -> None:
        self._rows = rows
        self._recorder = recorder
        self._audit: AuditLog = recorder.audit
        self._clock = clock
        self._ids = ids
        self._files = files
        self._ran_at: datetime | None = None
        self._last: dict[str, RetentionRun] = {}
        self._trouble: str | None = None
        self._size = FIRST
        self._busy = asyncio.Lock()

    def health(self, workspace_id: str) -> dict[str, Any]:
        """For the detail of the control plane's health, as a workspace sees it."""
        state = "ok" if self._trouble is None else "degraded"
        return {
            "state": state,
            "detail": self._trouble,
            "lastRunAt": self._ran_at,
            "lastRetention": self._last.get(workspace_id),
        }

    async def start(self) -> None:
        """Know what an earlier process removed last."""
        for workspace in await self._rows.workspaces():
            last = (await self._rows.state(workspace)).last
            if last is not None:
                self._last[workspace] = last

    async def run(self, *, first: float = FIRST_SECONDS, every: float = EVERY_SECONDS) -> None:
        await asyncio.sleep(first)
        while True:
            try:
                await self.once()
            except MissionControlError as error:
                self._trouble = error.message
                log.warning("retention broke off; the next run goes on", why=error.message)
            except Exception as error:
                self._trouble = type(error).__name__
                log.exception("retention broke off; the next run goes on")
            await asyncio.sleep(every)

    async def once(self) -> dict[str, RetentionRun]:
        """One run. What was removed, by workspace; workspaces that lost nothing are left out. Raises Unavailable if
        the record cannot be read or written; what was removed by then is told by the next run."""
        removed: dict[str, RetentionRun] = {}
        async with self._busy:
            if not await self._rows.lock():
                log.info("retention runs in another process")
                return removed
            try:
                for workspace, days in (await self._rows.workspaces()).items():
                    told = await self._workspace(workspace, days or RETENTION_DAYS)
                    if told is not None:
                        removed[workspace] = told
                if removed:
                    await self._give_back()
            finally:
                await self._rows.unlock()
        self._ran_at, self._trouble = self._clock.now(), None
        return removed

    async def _workspace(self, workspace: str, days: int) -> RetentionRun | None:
        now = self._clock.now()
        run = RetentionRun(at=now, cutoff=now - timedelta(days=days), days=days)
        audit_id = self._ids.new()
        after: int | None = 0
        while after is not None:
            sessions, after = await self._rows.old_sessions(workspace, run.cutoff, after=after)
            if not await self._empty(workspace, run, audit_id, sessions):
                return None
        await self._remove_files(workspace, run, audit_id)
        return await self._tell(workspace)

    async def _empty(self, workspace: str, run: RetentionRun, audit_id: str, sessions: Sequence[OldSession]) -> bool:
        """Whether it came to its end; it does not if another process took over."""
        todo = list(sessions)
        while todo:
            batch = await self._recorder.remove_old(
                todo[: self._size],
                workspace_id=workspace,
                cutoff=run.cutoff,
                limit=self._size,
                limit_seconds=2 * BATCH_SECONDS,
                run=run,
                audit_id=audit_id,
            )
            if batch.locked_out:
                return False
            del todo[: batch.done]
            wanted = int(self._size * BATCH_SECONDS / max(batch.seconds, 0.0005))
            self._size = max(SMALLEST, min(LARGEST, 2 * self._size, wanted))
            await asyncio.sleep(max(0.002, REST * batch.seconds))
        return True

    async def _remove_files(self, workspace: str, run: RetentionRun, audit_id: str) -> None:
        if self._files is None:
            return
        ended = {global_id(INTERNAL_PROVIDER, native): at for native, at in await self._files.ended_files()}
        old, known = await self._rows.ended_before(list(ended), workspace, run.cutoff)
        if workspace == DEFAULT_WORKSPACE:
            # Not on record (any more): then the time of the files' end counts.
            old |= {name for name, at in ended.items() if name not in known and at < run.cutoff}
        for name in sorted(old):
            if await self._files.remove_files(name.partition(":")[2]):
                await self._recorder.count_removed(
                    workspace,
                    RetentionRun(at=run.at, cutoff=run.cutoff, days=run.days, journals=1),
                    audit_id,
                )

    async def _tell(self, workspace: str) -> RetentionRun | None:
        """One row for all that is pending: of this run, and of an earlier one that was cut short."""
        state = await self._rows.state(workspace)
        told = state.pending
        if told is None:
            return None
        if await self._audit.get(state.audit_id) is None:
            await self._audit.append(
                workspace,
                AuditEntry(
                    id=state.audit_id,
                    seq=0,
                    created_at=self._clock.now(),
                    user_id=USER,
                    actor_kind=ActorKind.POLICY,
                    action=AuditAction.RETENTION,
                    outcome=AuditOutcome.DONE,
                    metadata={
                        "cutoff": told.cutoff.isoformat(),
                        "days": told.days,
                        "messages": told.messages,
                        "receipts": told.receipts,
                        "approvals": told.approvals,
                        "journals": told.journals,
                    },
                ),
            )
        await self._rows.put_state(workspace, RetentionState(last=told))
        self._last[workspace] = told
        log.info(
            "old messages removed",
            workspace=workspace,
            cutoff=told.cutoff.isoformat(),
            messages=told.messages,
            receipts=told.receipts,
            approvals=told.approvals,
            journals=told.journals,
        )
        return told

    async def _give_back(self) -> None:
        while await self._rows.give_back(PAGES):
            await asyncio.sleep(0.01)
        await self._rows.empty_the_log()
