"""The recorder: takes what happens, numbers it, commits it, and only then shows it.

One task collects what has come in over all sessions and commits it in one transaction; so the cost of a commit is
shared by everything that happened in one frame, and nothing is seen that could be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, delete, select

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import BadInput, NotFound, Unavailable
from mission_control_desktop.domain.events import EventType, ProviderHealth
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.limits import REPLAY_MAX
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.receipts import Letter, Receipt
from mission_control_desktop.domain.retention import RetentionRun
from mission_control_desktop.domain.sessions import AgentSession, global_id
from mission_control_desktop.domain.tasks import ErrorSink, Tasks
from mission_control_desktop.record.audit import AuditLog
from mission_control_desktop.record.backlog import BACKLOG_WEIGHT, Backlog, Waiting, weight_of
from mission_control_desktop.record.draft import read_wseq, write_wseq
from mission_control_desktop.record.hub import Hub
from mission_control_desktop.record.kills import KillLog
from mission_control_desktop.record.known import Change
from mission_control_desktop.record.ledger import Call, Ledger, Troubled
from mission_control_desktop.record.ops import RecordOp
from mission_control_desktop.record.ownership import Ownership
from mission_control_desktop.record.streams import EventStream, SessionSource, WorkspaceSource
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.database import Database
from mission_control_desktop.storage.retention import Batch, OldSession, count, remove_batch
from mission_control_desktop.storage.sql import upsert

log = structlog.get_logger(__name__)

FRAME_SECONDS = 0.016
"""At most one transaction in this time unless someone waits for one: so also at most one frame of deltas."""
CLOSE_SECONDS = 5.0
RETRY_FIRST, RETRY_MAX = 0.05, 2.0
PROVIDER_SESSIONS = PROVIDER_RECEIPTS = 500
PROVIDER_MESSAGES = 200


@dataclass(frozen=True, slots=True)
class RecordHealth:
    """`state` is `ok` or `degraded` (writing fails and is being retried; nothing is lost). `backlog` is roughly the
    bytes that wait, `blocked` whether writers wait at the bound."""

    state: str
    detail: str | None
    since: datetime | None
    backlog: int
    blocked: bool


class Recorder:
    """The one writer of a record. Start it on the event loop that it serves."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdSource,
        on_error: ErrorSink,
        *,
        backlog_bytes: int = BACKLOG_WEIGHT,
    ) -> None:
        self._database = database
        self._access = database.access
        self._clock = clock
        self._ledger = Ledger(clock, ids)
        self._hub = Hub()
        self._tasks = Tasks(on_error)
        self._backlog = Backlog(backlog_bytes)
        self._ownership = Ownership(database)
        self._writer: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoch = ""
        self._trouble: str | None = None
        self._trouble_since: datetime | None = None
        self.audit = AuditLog(database.audit, clock, ids, self._commit_one)
        self.kills = KillLog(database.kills, self._commit_one)

    @property
    def epoch(self) -> str:
        """The first part of every event id. Known once started."""
        return self._epoch

    async def start(self) -> None:
        """Raises Unavailable if another control plane writes this record."""
        self._loop = asyncio.get_running_loop()
        await self._ownership.take()
        try:
            self._epoch = await self._access.read(_read_epoch)
            await self._access.write(lambda connection: connection.execute(delete(t.provider_health)), durable=False)
        except BaseException:
            await self._ownership.give_up()
            raise
        self._writer = self._tasks.start(self._write(), name="recorder")

    async def close(self) -> None:
        """Write what waits (for at most some seconds), end all streams, stop. The database stays open."""
        self._backlog.close()
        if self._writer is not None:
            done, _ = await asyncio.wait([self._writer], timeout=CLOSE_SECONDS)
            if not done:
                log.error("closing with entries that could not be recorded", bytes=self._backlog.weight)
        self._hub.close()
        await self._tasks.close()
        self._backlog.abandon()
        await self._ownership.give_up()

    def health(self) -> RecordHealth:
        return RecordHealth(
            state="ok" if self._trouble is None else "degraded",
            detail=self._trouble,
            since=self._trouble_since,
            backlog=self._backlog.weight,
            blocked=self._backlog.blocked,
        )

    # Writing

    def provider_record(self, name: str, *, workspace_id: str = DEFAULT_WORKSPACE) -> StreamRecord:
        """One provider's part of the record (`providers.contract.ProviderRecord`). Everything that is written through
        it belongs to the provider's workspace."""
        return StreamRecord(self, self._database, name, workspace_id)

    async def apply(
        self,
        provider: str,
        workspace_id: str,
        stream: str,
        ops: Sequence[RecordOp],
        *,
        cursor: int | None = None,
        durable: bool = False,
    ) -> None:
        """See `StreamRecord.apply`."""
        call = Call(provider, workspace_id, stream, tuple(ops), cursor, durable, sum(map(weight_of, ops)) + 200)
        done = asyncio.get_running_loop().create_future() if durable else None
        await self._backlog.put(Waiting(call, done))
        if done is not None:
            await done

    async def publish_kill(self, kill: KillAll, *, workspace_id: str = DEFAULT_WORKSPACE, state: bytes = b"") -> None:
        """The same as `kills.put`."""
        await self.kills.put(workspace_id, kill, state=state)

    async def forget_cursors(self, provider: str) -> None:
        """Forget how far the record of a provider's own logs is written, and what was still to be sent to it: it was
        removed, and what comes back under its name may be another. Raises Unavailable if it cannot be written."""

        def work(connection: Connection) -> None:
            connection.execute(delete(t.stream_cursors).where(t.stream_cursors.c.provider == provider))
            connection.execute(delete(t.letters).where(t.letters.c.provider == provider))
            self._ledger.forget()

        await self._access.write(work)

    async def publish_provider(self, health: ProviderHealth, *, workspace_id: str = DEFAULT_WORKSPACE) -> None:
        """Show how a provider is doing. Kept until the next start. Raises Unavailable if it cannot be written."""

        def work(connection: Connection, wseq: int) -> list[Change]:
            row = {
                "provider": health.provider,
                "state": health.state,
                "detail": health.detail,
                "stop": health.stop,
                "since": health.since,
                "workspace_id": workspace_id,
                "wseq": wseq,
            }
            connection.execute(upsert(connection, t.provider_health, "provider"), row)
            return [Change(EventType.PROVIDER, health, wseq=wseq, workspace_id=workspace_id)]

        await self._commit_one(work, durable=False)

    async def remove_old(self, sessions: Sequence[OldSession], **what: Any) -> Batch:
        """One step of retention (`storage.retention.remove_batch`, which names the arguments), between two writes."""
        return await self._access.write(
            lambda connection: remove_batch(connection, sessions, **what),
            durable=False,
            then=lambda batch: self._ledger.removed(batch.messages),
        )

    async def count_removed(self, workspace_id: str, run: RetentionRun, audit_id: str) -> None:
        """What retention removed outside of the database."""
        await self._access.write(lambda connection: count(connection, workspace_id, run, audit_id))

    async def _commit_one(
        self, work: Callable[[Connection, int], list[Change]], *, durable: bool = True
    ) -> list[Change]:
        """One change of the workspace in a transaction of its own: given its number, committed, shown."""

        def numbered(connection: Connection) -> list[Change]:
            wseq = read_wseq(connection) + 1
            changes = work(connection, wseq)
            write_wseq(connection, wseq)
            return changes

        return await self._access.write(numbered, durable=durable, then=self._show)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        next_frame = loop.time()
        while True:
            await self._backlog.filled.wait()
            delay = next_frame - loop.time()
            if delay > 0 and not self._backlog.urgent.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._backlog.urgent.wait()
            next_frame = loop.time() + FRAME_SECONDS
            taken = self._backlog.take()
            if not taken:
                return
            try:
                await self._commit(taken)
            finally:
                # Cancelled: whoever waits for these is told as for the rest of the backlog.
                self._backlog.finished(taken)

    async def _commit(self, taken: list[Waiting]) -> None:
        """Retries until it is done: nothing that was accepted is dropped because the disk is full."""
        calls = [waiting.call for waiting in taken]
        durable = any(call.durable for call in calls)
        pause, careful = RETRY_FIRST, False
        while True:
            try:
                await self._access.write(
                    lambda connection, careful=careful: self._ledger.commit(connection, calls, careful=careful),  # type: ignore[misc]
                    durable=durable,
                    then=self._settle,
                )
            except Troubled as error:
                log.warning(
                    "a batch is recorded op by op", ops=sum(len(call.ops) for call in calls), why=repr(error.__cause__)
                )
                careful = True
                self._ledger.forget()
                continue
            except Unavailable as error:
                self._degraded(error.message)
            except Exception as error:
                log.exception("the record cannot be written")
                self._degraded(f"The record cannot be written: {type(error).__name__}.")
            else:
                break
            self._ledger.forget()
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX)
        if self._trouble is not None:
            log.info("the record is written again")
            self._trouble = self._trouble_since = None
            # A commit may have reached the database although its answer did not reach us.
            self._hub.all_lag()
        for waiting in taken:
            waiting.committed()

    def _degraded(self, why: str) -> None:
        if self._trouble is None:
            log.error("the record is degraded", why=why)
            self._trouble_since = self._clock.now()
        self._trouble = why

    def _settle(self, changes: list[Change]) -> None:
        """In the writer thread, right after a commit."""
        self._ledger.settle()
        self._show(changes)

    def _show(self, changes: list[Change]) -> None:
        """In the writer thread, in the order of commits; hands over to the event loop."""
        if changes and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hub.publish, self._epoch, changes)

    # Streams

    def stream_session(
        self, session_id: str, last_event_id: str | None = None, replay: int | None = None
    ) -> AbstractAsyncContextManager[EventStream]:
        """One session's events. On entry raises NotFound for an unknown session, BadInput for a
        `Last-Event-ID` that no stream gave or a `replay` outside 0..500."""
        if replay is not None and not 0 <= replay <= REPLAY_MAX:
            raise BadInput("replay", f"`replay` must be between 0 and {REPLAY_MAX}.")
        return self._stream_session(session_id, last_event_id, replay)

    @asynccontextmanager
    async def _stream_session(
        self, session_id: str, last_event_id: str | None, replay: int | None
    ) -> AsyncIterator[EventStream]:
        subscriber = self._hub.join_session(session_id)
        try:
            stream = EventStream(self._access, self._epoch, subscriber, SessionSource(session_id, replay))
            await stream.open(last_event_id)
            yield stream
        finally:
            self._hub.leave_session(subscriber, session_id)

    @asynccontextmanager
    async def stream_workspace(
        self, last_event_id: str | None = None, *, workspace_id: str = DEFAULT_WORKSPACE
    ) -> AsyncIterator[EventStream]:
        """Everything of the workspace but messages: sessions, approvals, receipts, stops, providers, audit rows. Raises
        BadInput on entry for a `Last-Event-ID` that no stream gave."""
        subscriber = self._hub.join_workspace(workspace_id)
        try:
            stream = EventStream(self._access, self._epoch, subscriber, WorkspaceSource(workspace_id))
            await stream.open(last_event_id)
            yield stream
        finally:
            self._hub.leave_workspace(subscriber, workspace_id)


class StreamRecord:
    """One provider's part of the record; satisfies `providers.contract.ProviderRecord`."""

    def __init__(self, recorder: Recorder, database: Database, provider: str, workspace_id: str) -> None:
        self._recorder = recorder
        self._database = database
        self._provider = provider
        self._workspace_id = workspace_id

    async def apply(
        self, session_id: str, ops: Sequence[RecordOp], *, cursor: int | None = None, durable: bool = False
    ) -> None:
        """Append changes of one stream of events, in order.

        `session_id` (native) names the stream. `cursor` is where all of `ops` bring the record to: a call at or below
        the stored cursor is dropped whole, so everything up to a position belongs into one call. Returns when the ops
        are in the bounded backlog, with `durable` when they are on disk and shown; waits while the backlog is full.
        Raises Unavailable only once the recorder is closing.
        """
        await self._recorder.apply(self._provider, self._workspace_id, session_id, ops, cursor=cursor, durable=durable)

    async def cursor(self, session_id: str) -> int:
        column = t.stream_cursors.c
        query = select(column.position).where(column.provider == self._provider, column.stream_id == session_id)
        return await self._database.access.read(lambda connection: connection.execute(query).scalar() or 0)

    async def sessions(self) -> list[AgentSession]:
        return await self._database.sessions.living(
            provider=self._provider, workspace_id=self._workspace_id, finals=PROVIDER_SESSIONS
        )

    async def session(self, session_id: str) -> AgentSession | None:
        """By native id."""
        return await self._database.sessions.get(global_id(self._provider, session_id), workspace_id=self._workspace_id)

    async def newest_messages(self, session_id: str) -> list[AgentMessage]:
        """Of a session by native id, the newest 200, oldest first; none if it is not on record."""
        own = global_id(self._provider, session_id)
        try:
            page = await self._database.messages.page(own, workspace_id=self._workspace_id, limit=PROVIDER_MESSAGES)
        except NotFound:
            return []
        return list(page.items)

    async def approval(self, approval_id: str) -> Approval | None:
        found = await self._database.approvals.get(approval_id, workspace_id=self._workspace_id)
        return found if found is not None and found.provider == self._provider else None

    async def receipt(self, injection_id: str) -> Receipt | None:
        found = await self._database.receipts.get(injection_id)
        return found if found is not None and found.session_id.startswith(f"{self._provider}:") else None

    async def letters(self) -> list[tuple[Receipt, Letter]]:
        return await self._database.receipts.letters(self._provider, workspace_id=self._workspace_id)

    async def open_approvals(self, session_id: str) -> list[Approval]:
        """Of a session by native id, the oldest 500."""
        page = await self._database.approvals.page(
            workspace_id=self._workspace_id,
            state=ApprovalState.OPEN,
            session_id=global_id(self._provider, session_id),
            limit=PROVIDER_RECEIPTS,
        )
        return list(page.items)

    async def receipts(self, session_id: str) -> list[Receipt]:
        """Of a session by native id, the newest 500."""
        return await self._database.receipts.of_session(global_id(self._provider, session_id), limit=PROVIDER_RECEIPTS)


def _read_epoch(connection: Connection) -> str:
    return str(connection.execute(select(t.meta.c.value).where(t.meta.c.key == "epoch")).scalar_one())
