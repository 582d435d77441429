"""`AgentProvider`: the only thing that knows a runtime.

A provider is given its part of the record when it starts, and writes what happens in its sessions there as it happens;
reading, streaming and resuming are then the same for every provider. Session ids in this contract are the provider's
own (native) ids; the record's view adds the provider's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Letter, Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery, ProcessInfo
from mission_control_desktop.record.ops import RecordOp


class ProviderRecord(Protocol):
    """One provider's part of the record. Ids in the ops are control-plane ids (`domain.sessions.global_id`)."""

    async def apply(
        self, session_id: str, ops: Sequence[RecordOp], *, cursor: int | None = None, durable: bool = False
    ) -> None:
        """Append changes of one stream of events, in order.

        `session_id` is the native id of the session that owns the stream (the ops may also touch its sub-sessions).
        `cursor` is the position in the provider's own log that these ops bring the record to; it is stored in the same
        transaction, and ops at or below the stored cursor are dropped. Returns when the ops are accepted into the
        bounded backlog; with `durable`, when they are committed and synced. A write that fails is retried; `apply`
        blocks (and never raises) while the backlog is full.
        """
        ...

    async def cursor(self, session_id: str) -> int:
        """The stored position of a stream of events; 0 if it has none."""
        ...

    async def sessions(self) -> list[AgentSession]:
        """All sessions of this provider on record that are not final, and those that ended lately (newest 500)."""
        ...

    async def session(self, session_id: str) -> AgentSession | None: ...

    async def newest_messages(self, session_id: str) -> list[AgentMessage]:
        """Of a session (native id), the newest 200, oldest first; none if it is not on record."""
        ...

    async def approval(self, approval_id: str) -> Approval | None: ...

    async def receipt(self, injection_id: str) -> Receipt | None: ...

    async def letters(self) -> list[tuple[Receipt, Letter]]:
        """Messages that were put on record with `PutReceipt.letter` and not dropped since, oldest first."""
        ...

    async def open_approvals(self, session_id: str) -> list[Approval]:
        """What a session (native id) waits for, on record."""
        ...

    async def receipts(self, session_id: str) -> list[Receipt]:
        """Of the messages to a session (native id), the newest 500."""
        ...


@runtime_checkable
class ProbesStop(Protocol):
    """What a provider implements besides, if it can test its way to stop sessions without stopping any."""

    async def probe_stop(self) -> str:
        """Go the whole way of a stop but for the stop itself, for every living session. Returns what was reached, in
        words. Raises MissionControlError saying what could not be."""
        ...


@runtime_checkable
class CancelsTurns(Protocol):
    """What a provider implements besides, if the running turn can be cancelled without ending the session."""

    async def cancel_turn(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        """Conflict if no turn is running. A frozen session stays frozen, and its turn ends when it is resumed."""
        ...


@runtime_checkable
class EditsQueue(Protocol):
    """What a provider implements besides, if messages that wait are in a queue of its own.

    Sessions whose queue can be edited say so in `Capabilities.edit_queue` (else `reasons["editQueue"]`). A message
    keeps its ids whatever is done to it. One that is handed over, or on its way, raises Conflict and is not touched.
    """

    async def edit_message(
        self,
        session_id: str,
        injection_id: str,
        *,
        content: str,
        was: str,
        operator_id: str,
        expected_run_id: str | None = None,
    ) -> Receipt:
        """Other words for a message that waits. `was` are those that it had for who wrote the new ones: Conflict if it
        has others by now, except that the same edit a second time changes nothing."""
        ...

    async def move_message(
        self, session_id: str, injection_id: str, *, position: int, expected_run_id: str | None = None
    ) -> Receipt:
        """Another place for a message that waits, counted from 1 as in receipts, or the nearest that it may have:
        interruptions stay before the rest. The receipt tells which."""
        ...


@runtime_checkable
class HoldsCommands(Protocol):
    """What a provider implements besides, if commands of a session can be made to wait for approval, each of them.

    Sessions whose commands can be held say what it does in `Capabilities.hold_commands` (else
    `reasons["holdCommands"]`); those that are held have `metadata["commandsHeld"]`.
    """

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        """Returns when the runtime has confirmed it. Conflict if they are held already."""
        ...

    async def release_commands(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        """As it was before. Conflict if they are not held."""
        ...


class AgentProvider(Protocol):
    """Everything that has sessions. Methods raise the tree of `domain.errors`: NotFound for an unknown session,
    Conflict for an illegal state or another run, Unsupported with the capability's reason, Unreachable."""

    @property
    def name(self) -> str: ...

    async def start(self, record: ProviderRecord) -> None:
        """Begin to watch; returns when known sessions are on record or being re-attached in the background."""
        ...

    async def close(self) -> None:
        """Detach. Ends no session."""
        ...

    def health(self) -> ProviderHealth: ...

    async def list_sessions(self) -> list[AgentSession]: ...
    async def get_session(self, session_id: str) -> AgentSession | None: ...

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        """Start a session. Unsupported where the provider cannot."""
        ...

    async def inject(
        self,
        session_id: str,
        *,
        injection_id: str,
        content: str,
        operator_id: str,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
    ) -> Receipt:
        """Accept an operator's message. When this returns, it is durably stored and will be delivered once, or its
        receipt says why not. The same `injection_id` again answers the receipt as it is now. With
        `pause_before_send` the session is paused first and the message waits for `resume`."""
        ...

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt: ...

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession: ...
    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession: ...

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        """Start a graceful end of the session and its sub-agents; returns at once, the record shows each step."""
        ...

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        """End the session and its sub-agents now; returns when verified (or raises Unreachable)."""
        ...

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        """Answer a permission question exactly once. Conflict if it is no longer open."""
        ...

    async def processes(self, session_id: str) -> list[ProcessInfo]: ...
