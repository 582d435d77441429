"""A control plane in memory that does what a test says: for what the real one cannot be made to do on demand.

It speaks the whole `MissionControl` protocol through the window's real engine, inbox and bridge; only what lies behind
it is scripted. Tests of the way through the real house use `ControlPlaneProcess`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import Conflict, MissionControlError, NotFound
from mission_control_desktop.domain.events import DATA_TYPES, EventType, StreamEvent
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.mission_control import Health, Page
from mission_control_desktop.domain.people import ActorKind, Me, Role
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.providers import KindView, ProviderView
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    PauseKind,
    SessionStatus,
    WaitingFor,
)
from mission_control_desktop.ui.audit.filters import passes

_TYPES = {cls: kind for kind, cls in DATA_TYPES.items()}


class ScriptedPlane:
    """Thread-safe enough for tests: `tell` and `script` may be called from the window's thread."""

    def __init__(self, *, role: Role = Role.ADMIN) -> None:
        self.role = role
        self.known: dict[str, AgentSession] = {}
        self.texts: dict[str, list[AgentMessage]] = {}
        self.questions: dict[str, Approval] = {}
        self.log: list[AuditEntry] = []
        self.kill_orders: dict[str, KillAll] = {}
        self.calls: list[tuple[str, Any]] = []
        self.fail: dict[str, MissionControlError] = {}
        self.hold: dict[str, asyncio.Event] = {}
        """Calls of this name wait, while there is one."""
        self.settings = Workspace(workspace_id="default")
        self.health_now = Health(status="ok", version="0.1.0", epoch="e", pid=1)
        self.shown: dict[str, ProfileView] = {
            "demo": view(LaunchProfile(name="demo", title="Demo agent", command=("python", "agent.py"), demo=True)),
            "claude": view(
                LaunchProfile(
                    name="claude", title="Claude Code", command=("claude-code-acp",), detected=True, version="0.9.1"
                )
            ),
            "codex": view(LaunchProfile(name="codex", title="Codex", command=("codex-acp",), detected=True)),
        }
        self._streams: dict[str, set[asyncio.Queue[StreamEvent]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._count = 0

    async def open(self) -> Any:
        """What the window is given as its opener: itself, as a `MissionControl`."""
        self._loop = asyncio.get_running_loop()
        return self

    # -- scripting

    def tell(self, *items: Any) -> None:
        """Put records into the state and into the streams that they belong to. From any thread."""
        for item in items:
            self._keep(item)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._send, items)

    def _keep(self, item: Any) -> None:
        if isinstance(item, AgentSession):
            self.known[item.session_id] = item
        elif isinstance(item, AgentMessage):
            kept = self.texts.setdefault(item.session_id, [])
            kept[:] = [m for m in kept if m.message_id != item.message_id] + [item]
        elif isinstance(item, Approval):
            self.questions[item.approval_id] = item
        elif isinstance(item, AuditEntry):
            self.log.append(item)
        elif isinstance(item, KillAll):
            self.kill_orders[item.kill_id] = item

    def _send(self, items: Any) -> None:
        for item in items:
            event = self._event(item)
            session_id = getattr(item, "session_id", None)
            own = self._streams.get(session_id or "", set()) if event.type is not EventType.AUDIT else set()
            everyone = set() if event.type in (EventType.MESSAGE, EventType.DELTA) else self._streams.get("", set())
            for queue in own | everyone:
                queue.put_nowait(event)

    def _event(self, item: Any) -> StreamEvent:
        self._count += 1
        return StreamEvent(event_id=f"e-{self._count}", type=_TYPES[type(item)], data=item)

    def note(self, action: AuditAction, session_id: str | None = None, **more: Any) -> AuditEntry:
        """A row of the audit log."""
        seq = len(self.log) + 1
        entry = AuditEntry(
            id=f"a{seq}",
            seq=seq,
            created_at=more.pop("created_at", datetime.now(UTC)),
            user_id=more.pop("user_id", "ada"),
            actor_kind=ActorKind.PERSON,
            action=action,
            outcome=more.pop("outcome", AuditOutcome.DONE),
            session_id=session_id,
            provider="internal",
            **more,
        )
        self.tell(entry)
        return entry

    # -- the protocol

    def _called(self, name: str, value: Any = None) -> None:
        self.calls.append((name, value))
        if (error := self.fail.get(name)) is not None:
            raise error

    async def health(self) -> Health:
        self._called("health")
        return self.health_now

    async def me(self) -> Me:
        self._called("me")
        return Me(user_id="ada", role=self.role, workspace_id="default")

    async def sessions(self, **filters: Any) -> Page[AgentSession]:
        self._called("sessions", filters)
        return Page(items=tuple(self.known.values()))

    async def session(self, session_id: str) -> AgentSession:
        self._called("session", session_id)
        if session_id not in self.known:
            raise NotFound("There is no such session.")
        return self.known[session_id]

    async def messages(
        self, session_id: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        self._called("messages", session_id)
        found = sorted(self.texts.get(session_id, []), key=lambda m: m.seq)
        if after is not None:
            found = [m for m in found if m.seq > after]
            more = len(found) > limit
            return Page(items=tuple(found[:limit]), next_cursor=str(found[limit - 1].seq) if more else None)
        if before is not None:
            found = [m for m in found if m.seq < before]
        return Page(items=tuple(found[-limit:]), next_cursor=str(found[-limit].seq) if len(found) > limit else None)

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        return ()

    async def workspace(self) -> Workspace:
        return self.settings

    async def set_message_retention(self, days: int | None) -> Workspace:
        if (wrong := self.fail.get("set_message_retention")) is not None:
            raise wrong
        self.settings = msgspec.structs.replace(self.settings, message_retention_days=days)
        return self.settings

    async def providers(self) -> tuple[ProviderView, ...]:
        return ()

    async def provider_kinds(self) -> tuple[KindView, ...]:
        return ()

    async def profiles(self) -> tuple[ProfileView, ...]:
        self._called("profiles")
        return tuple(self.shown.values())

    async def put_profile(self, profile: LaunchProfile) -> ProfileView:
        self._called("put_profile", profile)
        self.shown[profile.name] = view(profile)
        return self.shown[profile.name]

    async def delete_profile(self, name: str) -> None:
        self._called("delete_profile", name)
        del self.shown[name]

    async def spawn(self, request: SpawnRequest, *, idempotency_key: str | None = None) -> AgentSession:
        self._called("spawn", request)
        native = f"{len(self.known):032x}"
        made = session(
            native,
            title=request.title or request.profile,
            parent_session_id=request.parent_agent_id,
            mission_id=request.mission_id,
            metadata={"profile": request.profile, "demo": self.shown[request.profile].demo},
        )
        self.tell(made)
        return made

    async def inject(self, session_id: str, content: str, **more: Any) -> Receipt:
        self._called("inject", (session_id, content))
        return Receipt(
            injection_id=f"i{len(self.calls)}",
            session_id=session_id,
            state=ReceiptState.QUEUED,
            position=1,
            at=datetime.now(UTC),
        )

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        raise Conflict("It was delivered.")

    async def edit_message(self, session_id: str, injection_id: str, **more: Any) -> Receipt:
        raise Conflict("It was delivered.")

    async def move_message(self, session_id: str, injection_id: str, **more: Any) -> Receipt:
        raise Conflict("It was delivered.")

    async def pause(self, session_id: str, **more: Any) -> AgentSession:
        self._called("pause", session_id)
        return self._become(session_id, SessionStatus.PAUSED)

    async def resume(self, session_id: str, **more: Any) -> AgentSession:
        self._called("resume", session_id)
        return self._become(session_id, SessionStatus.RUNNING)

    async def cancel(self, session_id: str, **more: Any) -> AgentSession:
        self._called("cancel", session_id)
        return self.known[session_id]

    async def hold_commands(self, session_id: str, **more: Any) -> AgentSession:
        self._called("hold_commands", session_id)
        return self.known[session_id]

    async def release_commands(self, session_id: str, **more: Any) -> AgentSession:
        self._called("release_commands", session_id)
        return self.known[session_id]

    async def terminate(self, session_id: str, **more: Any) -> AgentSession:
        self._called("terminate", (session_id, more.get("reason")))
        return self._become(session_id, SessionStatus.COMPLETED)

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None = None) -> AgentSession:
        self._called("kill", (session_id, reason))
        return self._become(session_id, SessionStatus.KILLED)

    def _become(self, session_id: str, status: SessionStatus) -> AgentSession:
        changed = msgspec.structs.replace(
            self.known[session_id],
            status=status,
            waiting_for=None,
            completed_at=datetime.now(UTC) if status.final else None,
        )
        self.tell(changed)
        return changed

    async def kill_all(self, *, scope: str, confirm: str, reason: str, **more: Any) -> KillAll:
        self._called("kill_all", (scope, confirm, reason, more.get("undo_seconds")))
        now = datetime.now(UTC)
        order = KillAll(
            kill_id="k1",
            state=KillState.FROZEN,
            scope=scope,
            started_at=now,
            undo_until=now + timedelta(seconds=float(more.get("undo_seconds") or 0)),
            targets=tuple(
                KillTarget(session_id=s.session_id, provider=s.provider, state=TargetState.FROZEN, at=now)
                for s in self.known.values()
                if not s.status.final
            ),
        )
        self.tell(order)
        return order

    async def kill_state(self, kill_id: str) -> KillAll:
        return self.kill_orders[kill_id]

    async def kill_undo(self, kill_id: str) -> KillAll:
        self._called("kill_undo", kill_id)
        undone = msgspec.structs.replace(self.kill_orders[kill_id], state=KillState.UNDONE, undo_until=None)
        self.tell(undone)
        return undone

    async def kill_close(self, kill_id: str) -> KillAll:
        self._called("kill_close", kill_id)
        closed = msgspec.structs.replace(self.kill_orders[kill_id], watching_until=None)
        self.tell(closed)
        return closed

    async def approvals(self, *, state: ApprovalState | None = None, **_page: Any) -> Page[Approval]:
        return Page(items=tuple(a for a in self.questions.values() if state in (None, a.state)))

    async def answer(self, approval_id: str, option_id: str) -> Approval:
        self._called("answer", (approval_id, option_id))
        answered = msgspec.structs.replace(
            self.questions[approval_id], state=ApprovalState.ANSWERED, answer=option_id, answered_by="ada"
        )
        self.tell(answered)
        return answered

    async def audit(
        self, filters: Any = None, *, limit: int = 100, cursor: str | None = None, oldest_first: bool = False
    ) -> Page[AuditEntry]:
        self._called("audit", (filters, cursor))
        if (held := self.hold.get("audit")) is not None:
            await held.wait()
        last = int(cursor) if cursor is not None else None
        ordered = self.log if oldest_first else self.log[::-1]
        rows = [e for e in ordered if last is None or (e.seq > last if oldest_first else e.seq < last)]
        if filters is not None:
            rows = [e for e in rows if passes(e, filters)]
        page = rows[:limit]
        return Page(items=tuple(page), next_cursor=str(page[-1].seq) if len(rows) > limit else None)

    @asynccontextmanager
    async def events(self, *, last_event_id: str | None = None) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        live = [self._event(s) for s in self.known.values() if not s.status.final]
        async with self._stream("", live if last_event_id is None else []) as items:
            yield items

    @asynccontextmanager
    async def stream(
        self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        if session_id not in self.known:
            raise NotFound("There is no such session.")
        first: list[Any] = [self.known[session_id], *self.texts.get(session_id, [])]
        async with self._stream(session_id, [] if last_event_id else [self._event(i) for i in first]) as items:
            yield items

    @asynccontextmanager
    async def _stream(self, topic: str, first: list[StreamEvent]) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        queue: asyncio.Queue[StreamEvent] = asyncio.Queue()
        self._streams.setdefault(topic, set()).add(queue)

        async def items() -> AsyncIterator[StreamEvent]:
            for event in first:
                yield event
            while True:
                yield await queue.get()

        try:
            yield items()
        finally:
            self._streams[topic].discard(queue)

    async def close(self) -> None:
        return None


def view(profile: LaunchProfile) -> ProfileView:
    """A profile as it is shown."""
    return ProfileView(
        name=profile.name,
        command=profile.command,
        runtime=profile.runtime,
        cwd=profile.cwd,
        env_names=tuple(profile.env),
        mode=profile.mode,
        title=profile.title,
        detected=profile.detected,
        demo=profile.demo,
        version=profile.version,
    )


def message(session_id: str, seq: int, text: str = "", *, role: MessageRole = MessageRole.AGENT) -> AgentMessage:
    """An entry of a transcript."""
    return AgentMessage(
        message_id=f"{session_id}/{seq}",
        session_id=session_id,
        role=role,
        content=text or f"Step {seq}: one line, and\n\na second one.",
        timestamp=datetime.now(UTC),
        seq=seq,
    )


def session(native: str, *, status: str = "running", waiting_for: str | None = None, **more: Any) -> AgentSession:
    """A session as the control plane shows it."""
    now = more.pop("spawned_at", datetime.now(UTC))
    return AgentSession(
        session_id=f"internal:{native}",
        provider="internal",
        status=SessionStatus(status),
        waiting_for=WaitingFor(waiting_for) if waiting_for else None,
        spawned_at=now,
        started_at=now,
        run_id=f"run-{native}",
        capabilities=Capabilities(
            inject=(Delivery.STEER, Delivery.QUEUE, Delivery.INTERRUPT),
            pause=PauseKind.SUSPEND,
            terminate=True,
            kill=True,
            approvals=True,
        ),
        evidence=Evidence(last_event_at=more.pop("last_event_at", datetime.now(UTC)), source="agent"),
        **more,
    )


def question(number: int = 1, **more: Any) -> Approval:
    """An open question of session `a`, to be allowed or rejected; who asked first has the lower number."""
    fields: dict[str, Any] = {
        "approval_id": f"q{number}",
        "session_id": "internal:a",
        "provider": "internal",
        "title": f"Question {number}",
        "options": (
            ApprovalOption(option_id="y", kind="allow_once", label="Allow"),
            ApprovalOption(option_id="n", kind="reject_once", label="Reject"),
        ),
        "created_at": datetime(2026, 11, 22, 12, number, tzinfo=UTC),
    }
    return Approval(**{**fields, **more})
