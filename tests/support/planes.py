"""A real control plane in this process, on a real record, with scripted providers where a fault must be provoked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from mission_control_desktop.control.assembly import NoProfiles
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import Conflict, MissionControlError, NotFound, Unsupported
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.people import ActorKind, Principal, Role
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    ProcessInfo,
    SessionStatus,
    global_id,
)
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.providers.registry import ProviderRegistry
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.storage import SystemClock, Uuid7
from support.records import SEALER, fresh_database, recording

ANN = Principal(user_id="ann", role=Role.OPERATOR, token_id="t-ann")
ROOT = Principal(user_id="root", role=Role.ADMIN, token_id="t-root")
EVE = Principal(user_id="eve", role=Role.OBSERVER, token_id="t-eve")
STRANGER = Principal(user_id="sam", role=Role.ADMIN, workspace_id="elsewhere", token_id="t-sam")


def agent(native: str) -> Principal:
    return Principal(user_id=f"agent:{native}", role=Role.OPERATOR, actor_kind=ActorKind.AGENT, agent_session_id=native)


class ScriptedProvider:
    """Sessions in memory and on record. `faults` says by method name what happens instead: an error to raise, or a
    number of seconds to take before going on."""

    def __init__(self, name: str = "internal", *, proves: bool = True) -> None:
        self._name = name
        self._proves = proves
        self.sessions: dict[str, AgentSession] = {}
        self.faults: dict[str, MissionControlError | Exception | float] = {}
        self.calls: list[tuple[str, str]] = []
        self.unkillable: set[str] = set()
        self.on_kill: Callable[[str], Awaitable[None]] | None = None
        self.record: ProviderRecord | None = None
        self.closed = False

    async def _act(self, method: str, session_id: str = "") -> None:
        self.calls.append((method, session_id))
        fault = self.faults.get(method)
        if isinstance(fault, float | int):
            await asyncio.sleep(fault)
        elif fault is not None:
            raise fault

    async def add(self, native: str, *, parent: str | None = None, **more: Any) -> str:
        """A running session; its control-plane id."""
        now = SystemClock().now()
        values: dict[str, Any] = {
            "session_id": global_id(self._name, native),
            "provider": self._name,
            "status": SessionStatus.RUNNING,
            "spawned_at": now,
            "capabilities": Capabilities(terminate=True, kill=True),
            "evidence": Evidence(last_event_at=now, source="test"),
            "parent_session_id": None if parent is None else global_id(self._name, parent),
            "run_id": f"run-{native}",
        }
        await self._put(native, AgentSession(**{**values, **more}))
        return global_id(self._name, native)

    async def ask(self, native: str, approval: Approval) -> None:
        assert self.record is not None
        await self.record.apply(native, [PutApproval(approval=approval)], durable=True)

    async def _put(self, native: str, session: AgentSession) -> AgentSession:
        self.sessions[native] = session
        if self.record is not None:
            await self.record.apply(native, [PutSession(session=session)], durable=True)
        return session

    async def _to(self, native: str, status: SessionStatus, expected_run_id: str | None = None) -> AgentSession:
        session = self._need(native)
        if expected_run_id is not None and expected_run_id != session.run_id:
            raise Conflict("Another run.")
        if session.status.final:
            raise Conflict("The session has ended.")
        return await self._put(native, msgspec.structs.replace(session, status=status))

    def _need(self, native: str) -> AgentSession:
        if native not in self.sessions:
            raise NotFound(f"There is no session {native}.")
        return self.sessions[native]

    # --- the contract

    @property
    def name(self) -> str:
        return self._name

    async def start(self, record: ProviderRecord) -> None:
        self.record = record
        await self._act("start")
        for native, session in list(self.sessions.items()):
            await self._put(native, session)

    async def close(self) -> None:
        self.closed = True

    def health(self) -> ProviderHealth:
        fault = self.faults.get("health")
        if isinstance(fault, Exception):
            raise fault
        return ProviderHealth(provider=self._name, state="ok")

    async def list_sessions(self) -> list[AgentSession]:
        await self._act("list_sessions")
        return list(self.sessions.values())

    async def get_session(self, session_id: str) -> AgentSession | None:
        await self._act("get_session", session_id)
        return self.sessions.get(session_id)

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        await self._act("spawn", actor)
        native = request.session_id or Uuid7().new()
        if native not in self.sessions:
            await self.add(native, parent=request.parent_agent_id, title=request.title)
        await self._act("after spawn", native)
        return self.sessions[native]

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
        await self._act("inject", session_id)
        self._need(session_id)
        receipt = Receipt(
            injection_id=injection_id,
            session_id=global_id(self._name, session_id),
            state=ReceiptState.STORED,
            at=SystemClock().now(),
        )
        assert self.record is not None
        await self.record.apply(session_id, [PutReceipt(receipt=receipt)], durable=True)
        return receipt

    async def change_words(self, session_id: str, injection_id: str, content: str) -> None:
        """As if a message that waits at place 3 had been given other words."""
        assert self.record is not None
        own, now = global_id(self._name, session_id), SystemClock().now()
        message = AgentMessage(
            message_id=f"m-{injection_id}",
            session_id=own,
            role=MessageRole.OPERATOR,
            content=content,
            timestamp=now,
            metadata={"kind": "text", "complete": True, "injectionId": injection_id, "editedBy": "ann"},
        )
        receipt = Receipt(injection_id=injection_id, session_id=own, state=ReceiptState.QUEUED, position=3, at=now)
        ops: list[RecordOp] = [PutMessage(message=message), PutReceipt(receipt=receipt)]
        await self.record.apply(session_id, ops, durable=True)

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        await self._act("withdraw", session_id)
        raise Conflict("It was delivered.")

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        await self._act("pause", session_id)
        return await self._to(session_id, SessionStatus.PAUSED, expected_run_id)

    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        await self._act("resume", session_id)
        return await self._to(session_id, SessionStatus.RUNNING, expected_run_id)

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        await self._act("terminate", session_id)
        return await self._to(session_id, SessionStatus.COMPLETED, expected_run_id)

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        await self._act("kill", session_id)
        if self.on_kill is not None:
            await self.on_kill(session_id)
        if session_id in self.unkillable:
            return self._need(session_id)
        return await self._to(session_id, SessionStatus.KILLED, expected_run_id)

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        await self._act("answer", session_id)
        assert self.record is not None
        approval = await self.record.approval(approval_id)
        if approval is None:
            raise NotFound("There is no such question.")
        answered = msgspec.structs.replace(
            approval, state=ApprovalState.ANSWERED, answer=option_id, answered_by=user_id
        )
        await self.record.apply(session_id, [PutApproval(approval=answered)], durable=True)
        return answered

    async def processes(self, session_id: str) -> list[ProcessInfo]:
        await self._act("processes", session_id)
        if not self._proves:
            raise Unsupported("This provider cannot show processes.")
        session = self._need(session_id)
        if session.status.final:
            return []
        return [ProcessInfo(pid=4_000_000, start_time=1, ppid=1, command="agent", state="S")]


class ScriptedTree:
    """Agents as callers: parents by child (native ids)."""

    def __init__(self, **parents: str) -> None:
        self.parents = parents

    def authenticate_agent(self, token: str) -> str | None:
        return token.removeprefix("mca_") if token.startswith("mca_") else None

    def in_subtree(self, root: str, session_id: str) -> bool:
        at: str | None = session_id
        while at is not None:
            if at == root:
                return True
            at = self.parents.get(at)
        return False


class SlowStart(ProviderRegistry):
    """A registry that waits for nobody long."""

    def __init__(self) -> None:
        super().__init__(list_timeout=0.3, start_timeout=0.5)


@asynccontextmanager
async def plane(
    directory: Path,
    *providers: ScriptedProvider,
    agents: ScriptedTree | None = None,
    fresh: bool = True,
    clock: Clock | None = None,
    **more: Any,
) -> AsyncIterator[ControlPlane]:
    """A started control plane over these providers; `fresh=False` opens the directory's record again."""
    from mission_control_desktop.storage import open_database

    database = fresh_database(directory) if fresh else open_database(directory / "record.db", SEALER)
    try:
        async with recording(database) as recorder:
            registry = SlowStart()
            for provider in providers:
                registry.add(provider)
            built = ControlPlane(
                database,
                recorder,
                registry,
                clock or SystemClock(),
                Uuid7(),
                profiles=NoProfiles(),
                agents=agents,
                **more,
            )
            await built.start()
            try:
                yield built
            finally:
                await built.close()
    finally:
        await database.close()


async def audit_rows(built: ControlPlane, workspace_id: str = "default") -> list[AuditEntry]:
    """All rows, oldest first."""
    return [row async for row in built.recorder.audit.rows(workspace_id)]


def outcomes(rows: Sequence[AuditEntry]) -> list[tuple[str, str]]:
    return [(row.action.value, row.outcome.value) for row in rows]
