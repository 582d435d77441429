"""The one way to intervene: decided, recorded as intended, done, recorded as done, failed or refused.

The intent is durable before anything happens. Where it cannot be written nothing happens, and that is recorded as
soon as it can be. There is one exception: a kill must never wait for a disk. It acts and says that it is not on record.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from mission_control_desktop.control.ports import AuditLog
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import (
    BadInput,
    Forbidden,
    MissionControlError,
    RateLimited,
    StopUnderWay,
    Unavailable,
)
from mission_control_desktop.domain.limits import MAX_REASON_CHARS
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)
T = TypeVar("T")

INTENT_TIMEOUT = 10.0
UNSTOPPABLE_INTENT_TIMEOUT = 2.0
OUTCOME_TIMEOUT = 5.0
RETRY_SECONDS = 2.0
CLOSE_TIMEOUT = 3.0
BACKLOG_LIMIT = 10_000
"""Rows that wait for a log that cannot be written. Beyond it the oldest go to the error log instead."""


@dataclass(slots=True)
class Attempt:
    """What someone tries to do. `metadata` may grow until the intent is written, `result` until the outcome is."""

    who: Principal
    action: AuditAction
    session_id: str | None = None
    provider: str | None = None
    content: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    unstoppable: bool = False
    recorded: bool = True
    """False when it acted although its intent could not be written."""
    intent_id: str | None = None


Step = Callable[[], Awaitable[None]]


class Interventions:
    """Runs attempts. `degraded` is true while rows wait to be written."""

    def __init__(self, audit: AuditLog, clock: Clock, ids: IdSource) -> None:
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._tasks = Tasks(lambda name, error: log.error("audit task failed", task=name, error=repr(error)))
        self._backlog: deque[tuple[str, AuditEntry]] = deque()
        self._retrying = False
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def pending_rows(self) -> int:
        """Rows that are not on record yet because the log could not be written."""
        return len(self._backlog)

    async def close(self) -> None:
        """Let what runs come to its end, for a moment; then try once more to write what waits. What still cannot be
        written goes to the error log."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=CLOSE_TIMEOUT)
        await self._tasks.close()
        await self._write_waiting()
        for _, draft in self._backlog:
            self._lost(draft)

    async def run(self, attempt: Attempt, *, check: Step | None, act: Callable[[], Awaitable[T]]) -> T:
        """Check, record, act, record. Raises what `check` or `act` raise, and Unavailable if it cannot be recorded.

        Cancelling the caller cancels neither the act nor its rows.
        """
        return await self._shielded(attempt, self._run(attempt, check, act))

    async def go_on(self, attempt: Attempt, *, act: Callable[[], Awaitable[T]]) -> T:
        """Do what an earlier process intended (`attempt.intent_id`) and close its intent with the outcome."""
        return await self._shielded(attempt, self._act(attempt, act))

    async def _shielded(self, attempt: Attempt, work_: Awaitable[T]) -> T:
        work = self._tasks.start(_settled(work_), name=f"intervention {attempt.action}")
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        outcome: T | _Raised = await asyncio.shield(work)
        if isinstance(outcome, _Raised):
            raise outcome.error
        return outcome

    async def _run(self, attempt: Attempt, check: Step | None, act: Callable[[], Awaitable[T]]) -> T:
        if check is not None:
            try:
                await check()
            except MissionControlError as error:
                await self.note(attempt, error)
                raise
        await self._intend(attempt)
        return await self._act(attempt, act)

    async def _act(self, attempt: Attempt, act: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await act()
        except MissionControlError as error:
            await self._close(attempt, _outcome_of(error), error={"code": error.code, "message": error.message})
            raise
        except Exception as error:
            await self._close(attempt, AuditOutcome.FAILED, error={"code": "internal", "message": type(error).__name__})
            raise
        await self._close(attempt, AuditOutcome.DONE)
        return result

    async def note(self, attempt: Attempt, error: MissionControlError) -> None:
        """One row for an attempt that was turned down before anything happened. Never raises: it stays turned down."""
        metadata = {**attempt.metadata, "error": {"code": error.code, "message": error.message}}
        draft = self._draft(attempt, _outcome_of(error), attempt.content, metadata)
        await self._append_or_keep(attempt.who.workspace_id, draft)

    async def close_intent(self, workspace_id: str, intent: AuditEntry, outcome: AuditOutcome, detail: str) -> None:
        """Close an intent that an earlier process left open."""
        draft = AuditEntry(
            id=self._ids.new(),
            seq=0,
            created_at=self._clock.now(),
            user_id=intent.user_id,
            actor_kind=intent.actor_kind,
            action=intent.action,
            outcome=outcome,
            session_id=intent.session_id,
            provider=intent.provider,
            metadata={"intentId": intent.id, "resolved": "at start", "detail": detail},
        )
        await self._append_or_keep(workspace_id, draft)

    async def _intend(self, attempt: Attempt) -> None:
        draft = self._draft(attempt, AuditOutcome.INTENDED, attempt.content, dict(attempt.metadata))
        attempt.intent_id = draft.id
        workspace = attempt.who.workspace_id
        if not attempt.unstoppable:
            if await self._append(workspace, draft, timeout=INTENT_TIMEOUT) is None:
                error = Unavailable(
                    "The audit log cannot be written, so nothing was done. Check the disk and try again."
                )
                # Its write may still come through: an intent without an outcome would look as if it were under way.
                self._keep(workspace, draft)
                await self._close(attempt, AuditOutcome.FAILED, error={"code": error.code, "message": error.message})
                raise error
            return
        if self._backlog or await self._append(workspace, draft, timeout=UNSTOPPABLE_INTENT_TIMEOUT) is None:
            attempt.recorded = False
            self._keep(workspace, draft)

    async def _close(self, attempt: Attempt, outcome: AuditOutcome, **result: Any) -> None:
        metadata: dict[str, Any] = {"intentId": attempt.intent_id, **attempt.result, **result}
        if "reason" in attempt.metadata:
            metadata["reason"] = attempt.metadata["reason"]
        await self._append_or_keep(attempt.who.workspace_id, self._draft(attempt, outcome, None, metadata))

    def _draft(
        self, attempt: Attempt, outcome: AuditOutcome, content: str | None, metadata: dict[str, Any]
    ) -> AuditEntry:
        return AuditEntry(
            id=self._ids.new(),
            seq=0,
            created_at=self._clock.now(),
            user_id=attempt.who.user_id,
            actor_kind=attempt.who.actor_kind,
            action=attempt.action,
            outcome=outcome,
            session_id=attempt.session_id,
            provider=attempt.provider,
            content=content,
            metadata=metadata,
        )

    async def _append_or_keep(self, workspace_id: str, draft: AuditEntry) -> None:
        # Rows behind a waiting one wait too, so that an outcome never stands before its intent.
        if self._backlog or await self._append(workspace_id, draft, timeout=OUTCOME_TIMEOUT) is None:
            self._keep(workspace_id, draft)

    async def _append(self, workspace_id: str, draft: AuditEntry, *, timeout: float) -> AuditEntry | None:
        """The row as written, or None. A write that is given up as too late may still come through; its id tells."""
        try:
            async with asyncio.timeout(timeout):
                return await self._audit.append(workspace_id, draft)
        except TimeoutError:
            log.error("audit log too slow", action=draft.action.value, seconds=timeout)
        except Exception as error:  # noqa: BLE001 - logged, and told by None
            log.error("audit log cannot be written", action=draft.action.value, error=repr(error))
        return None

    def _keep(self, workspace_id: str, draft: AuditEntry) -> None:
        if len(self._backlog) >= BACKLOG_LIMIT:
            self._lost(self._backlog.popleft()[1])
        self._backlog.append((workspace_id, draft))
        if not self._retrying:
            self._retrying = True
            self._tasks.start(self._retry(), name="audit retry")

    async def _retry(self) -> None:
        try:
            while self._backlog:
                await asyncio.sleep(RETRY_SECONDS)
                await self._write_waiting()
        finally:
            self._retrying = False
        log.info("audit log is complete again")

    async def _write_waiting(self) -> None:
        """Write what waits, in order, until one cannot be written."""
        while self._backlog:
            workspace, draft = self._backlog[0]
            if not await self._there(draft) and await self._append(workspace, draft, timeout=OUTCOME_TIMEOUT) is None:
                return
            self._backlog.popleft()

    async def _there(self, draft: AuditEntry) -> bool:
        """Whether a write that was given up as too late came through after all."""
        try:
            async with asyncio.timeout(OUTCOME_TIMEOUT):
                return await self._audit.get(draft.id) is not None
        except (Unavailable, TimeoutError):
            return False

    @staticmethod
    def _lost(draft: AuditEntry) -> None:
        log.error(
            "audit row could not be written",
            id=draft.id,
            at=draft.created_at.isoformat(),
            user=draft.user_id,
            action=draft.action.value,
            outcome=draft.outcome.value,
            session=draft.session_id,
        )


def _outcome_of(error: MissionControlError) -> AuditOutcome:
    refused = isinstance(error, (Forbidden, RateLimited, BadInput, StopUnderWay))
    return AuditOutcome.REFUSED if refused else AuditOutcome.FAILED


def required_reason(reason: str | None) -> str:
    """The reason, trimmed. Raises BadInput if there is none or it is too long."""
    text = (reason or "").strip()
    if not text:
        raise BadInput("reason", "Say why: a reason is needed for this.")
    return optional_reason(text) or ""


def optional_reason(reason: str | None) -> str | None:
    text = (reason or "").strip()
    if len(text) > MAX_REASON_CHARS:
        raise BadInput("reason", f"A reason has at most {MAX_REASON_CHARS} characters.")
    return text or None


@dataclass(slots=True, frozen=True)
class _Raised:
    error: BaseException


async def _settled(work: Awaitable[T]) -> T | _Raised:
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - handed to the caller as a value
        return _Raised(error)
