"""The ledger: commits batches of ops in one transaction each, and sets aside what can never be recorded.

Runs in the writer thread alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog
from sqlalchemy import Connection

from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.sessions import global_id, split_id
from mission_control_desktop.domain.text import clean_text
from mission_control_desktop.record.draft import Draft, Foreign, Poisoned, op_session
from mission_control_desktop.record.known import Change, Known, MessageKey
from mission_control_desktop.record.ops import PutMessage, RecordOp
from mission_control_desktop.storage.problems import unavailable_reason
from mission_control_desktop.storage.types import clean_json

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Call:
    """One `apply`: changes of one stream of one provider, in order."""

    provider: str
    workspace_id: str
    stream: str
    ops: tuple[RecordOp, ...]
    cursor: int | None
    durable: bool
    weight: int = 0


@dataclass(slots=True)
class _Skipped:
    session_id: str
    workspace_id: str
    count: int = 0
    reasons: list[str] = field(default_factory=list)


class Troubled(Exception):
    """A statement failed for what it says: commit the batch again, carefully."""


class Ledger:
    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self._clock = clock
        self._ids = ids
        self._known = Known()
        self._open: Draft | None = None

    def commit(self, connection: Connection, calls: Sequence[Call], *, careful: bool) -> list[Change]:
        """Plan and write the calls within the connection's transaction. Without `careful` all rows are written
        together, and Troubled is raised where that fails for other reasons than the database's state; with it, each
        op on its own, and those that fail are skipped, logged, and told of in their session's transcript."""
        draft = Draft(connection, self._known, self._clock.now())
        skipped: dict[str, _Skipped] = {}
        try:
            for call in calls:
                if call.cursor is not None:
                    if call.cursor <= draft.cursor(call.provider, call.stream):
                        continue
                    draft.cursors[call.provider, call.stream] = call.cursor
                for op in call.ops:
                    self._plan(connection, draft, call, op, skipped, careful=careful)
            for notice in skipped.values():
                self._tell(connection, draft, notice)
            draft.flush()
        except Exception as error:
            if careful or unavailable_reason(error) is not None:
                raise
            raise Troubled from error
        self._open = draft
        return draft.changes

    def settle(self) -> None:
        """The transaction of the last `commit` is committed."""
        if self._open is not None:
            self._open.settle()
            self._open = None

    def removed(self, keys: Iterable[MessageKey]) -> None:
        """These messages are no longer on record."""
        self._known.forget_messages(keys)

    def forget(self) -> None:
        """It may not be, or someone else wrote: ask the database again."""
        self._open = None
        self._known.clear()

    def _plan(
        self,
        connection: Connection,
        draft: Draft,
        call: Call,
        op: RecordOp,
        skipped: dict[str, _Skipped],
        *,
        careful: bool,
    ) -> None:
        if not careful:
            try:
                draft.plan(call.provider, call.workspace_id, op)
            except Poisoned as error:
                _skip(skipped, call, op, error)
            return
        try:
            self._alone(connection, draft, call, op)
        except Exception as error:
            if unavailable_reason(error) is not None:
                raise
            _skip(skipped, call, op, error)

    def _alone(self, connection: Connection, draft: Draft, call: Call, op: RecordOp) -> None:
        """One op in a savepoint of its own, checked field by field first."""
        cleaned = msgspec.convert(clean_json(msgspec.to_builtins(op)), type(op))
        child = Draft(connection, self._known, self._clock.now(), parent=draft)
        with connection.begin_nested():
            child.plan(call.provider, call.workspace_id, cleaned)
            child.flush()
        draft.absorb(child)

    def _tell(self, connection: Connection, draft: Draft, skipped: _Skipped) -> None:
        what = "One entry" if skipped.count == 1 else f"{skipped.count} entries"
        message = AgentMessage(
            message_id=f"unrecorded-{self._ids.new()}",
            session_id=skipped.session_id,
            role=MessageRole.SYSTEM,
            content=clean_text(f"{what} could not be recorded: {'; '.join(skipped.reasons)}."),
            timestamp=self._clock.now(),
            metadata={"kind": MessageKind.NOTICE.value, "complete": True, "level": "error"},
        )
        try:
            draft.plan(split_id(skipped.session_id)[0], skipped.workspace_id, PutMessage(message=message))
        except Foreign as error:
            log.error("nobody can be told of what was skipped", session=skipped.session_id, why=str(error))


def _skip(skipped: dict[str, _Skipped], call: Call, op: RecordOp, error: BaseException) -> None:
    kind = type(op).__name__
    reason = str(error) if isinstance(error, Poisoned | msgspec.ValidationError) else type(error).__name__
    log.error(
        "an op cannot be recorded and is skipped", provider=call.provider, stream=call.stream, op=kind, why=reason
    )
    if isinstance(error, Foreign):
        return
    session_id = global_id(call.provider, call.stream)
    try:
        named = op_session(op)
    except AttributeError:
        named = None
    if isinstance(named, str) and split_id(named)[0] == call.provider:
        session_id = clean_text(named)
    entry = skipped.setdefault(session_id, _Skipped(session_id, call.workspace_id))
    entry.count += 1
    if len(entry.reasons) < 3 and reason not in entry.reasons:
        entry.reasons.append(reason)
