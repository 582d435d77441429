"""One function per entry of the route table: from typed input to a service call to a reply. No decisions here."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import UnsetType

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.audit import AuditEntry, ChainReport
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import BadInput, NotFound
from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.kill import CONFIRM_WORDS, KillAll
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import AuditFilter, Health, Page, TreeNode
from mission_control_desktop.domain.people import Me, Member, NewToken, TokenInfo
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.providers import (
    CheckReport,
    ProviderChange,
    ProviderDraft,
    ProviderPage,
    ProviderView,
)
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, AgentSession, ProcessInfo, global_id, split_id
from mission_control_desktop.record.encoded import Encoded
from mission_control_desktop.server import bodies
from mission_control_desktop.server.calls import Call
from mission_control_desktop.server.sse import Frames
from mission_control_desktop.storage.written import WrittenSession

_ZONED = Annotated[datetime, msgspec.Meta(tz=True)]

if TYPE_CHECKING:
    from mission_control_desktop.record.streams import EventStream

T = TypeVar("T")

# --- the control plane itself


async def health(call: Call) -> Health:
    if call.who is None:
        return await call.plane.health(detailed_for=None)
    return await call.service.health()


async def openapi(call: Call) -> dict[str, Any]:
    return call.contract()


async def me(call: Call) -> Me:
    return await call.service.me()


async def workspace(call: Call) -> Workspace:
    return await call.service.workspace()


async def change_workspace(call: Call) -> Workspace:
    return await call.service.set_message_retention(call.body(bodies.WorkspaceBody).message_retention_days)


async def key_status(call: Call) -> KeyStatus:
    return await call.service.key_status()


async def rotate_keys(call: Call) -> KeyRotation:
    return await call.service.rotate_keys()


async def tokens(call: Call) -> Page[TokenInfo]:
    return Page(items=await call.service.tokens())


async def create_token(call: Call) -> NewToken:
    body = call.body(bodies.TokenBody)
    return await call.service.create_token(
        user=body.user,
        role=body.role,
        workspace=body.workspace,
        expires_in=body.expires_in,
    )


async def revoke_token(call: Call) -> None:
    await call.service.revoke_token(call.path["id"])


async def members(call: Call) -> Page[Member]:
    return Page(items=await call.service.members())


async def set_member(call: Call) -> Member:
    return await call.service.set_member(call.path["user"], call.body(bodies.MemberBody).role)


async def remove_member(call: Call) -> None:
    await call.service.remove_member(call.path["user"])


async def providers(call: Call) -> ProviderPage:
    return ProviderPage(items=await call.service.providers(), kinds=await call.service.provider_kinds())


async def create_provider(call: Call) -> ProviderView:
    body = call.body(bodies.ProviderBody)
    draft = ProviderDraft(
        name=body.name,
        provider=body.provider,
        gateway_url=body.gateway_url,
        credentials=Credentials() if body.credentials is None else Credentials.of(body.credentials),
        is_active=body.is_active,
        allow_insecure=body.allow_insecure,
    )
    return await call.service.create_provider(draft, seed=call.seed)


async def update_provider(call: Call) -> ProviderView:
    body = call.body(bodies.ProviderChangeBody)
    credentials: Credentials | None = None
    if body.credentials is None:
        credentials = Credentials()
    elif not isinstance(body.credentials, UnsetType):
        credentials = Credentials.of(body.credentials)
    change = ProviderChange(
        name=_given(body.name),
        provider=_given(body.provider),
        gateway_url=_given(body.gateway_url),
        credentials=credentials,
        is_active=_given(body.is_active),
        allow_insecure=_given(body.allow_insecure),
    )
    return await call.service.update_provider(call.path["id"], change)


async def delete_provider(call: Call) -> None:
    await call.service.delete_provider(call.path["id"])


async def check_provider(call: Call) -> CheckReport:
    return await call.service.check_provider(call.path["id"])


# --- sessions of all providers


async def sessions(call: Call) -> Page[WrittenSession]:
    query = call.query(bodies.SessionsQuery)
    return await call.service.written_sessions(
        provider=query.provider, status=query.status, q=query.q, limit=query.limit, cursor=query.cursor
    )


async def spawn(call: Call) -> AgentSession:
    body = call.body(bodies.SpawnBody)
    return await call.service.spawn(_spawn_request(body), provider=body.provider, seed=call.seed)


async def tree(call: Call) -> Page[TreeNode]:
    return Page(items=await call.service.tree())


async def session(call: Call) -> AgentSession:
    return await call.service.session(call.path["id"])


async def messages(call: Call) -> Page[AgentMessage]:
    return await _messages(call, call.path["id"])


async def stream(call: Call) -> Frames:
    return await _stream(call, call.path["id"])


async def receipts(call: Call) -> Page[Receipt]:
    return Page(items=await call.service.receipts(call.path["id"]))


async def processes(call: Call) -> tuple[ProcessInfo, ...]:
    return await call.service.processes(call.path["id"])


async def inject(call: Call) -> Receipt:
    return await _inject(call, call.path["id"])


async def withdraw(call: Call) -> Receipt:
    expected = call.body(bodies.WithdrawBody).expected_run_id
    return await call.service.withdraw(call.path["id"], call.path["injectionId"], expected_run_id=expected)


async def edit_message(call: Call) -> Receipt:
    body = call.body(bodies.EditMessageBody)
    return await call.service.edit_message(
        call.path["id"],
        call.path["injectionId"],
        content=body.content,
        was=body.was,
        expected_run_id=body.expected_run_id,
    )


async def move_message(call: Call) -> Receipt:
    body = call.body(bodies.MoveMessageBody)
    return await call.service.move_message(
        call.path["id"], call.path["injectionId"], position=body.position, expected_run_id=body.expected_run_id
    )


async def pause(call: Call) -> AgentSession:
    return await _pause(call, call.path["id"])


async def resume(call: Call) -> AgentSession:
    return await _resume(call, call.path["id"])


async def cancel(call: Call) -> AgentSession:
    return await _cancel(call, call.path["id"])


async def hold_commands(call: Call) -> AgentSession:
    body = call.body(bodies.ActBody)
    return await call.service.hold_commands(call.path["id"], reason=body.reason, expected_run_id=body.expected_run_id)


async def release_commands(call: Call) -> AgentSession:
    body = call.body(bodies.ActBody)
    return await call.service.release_commands(
        call.path["id"], reason=body.reason, expected_run_id=body.expected_run_id
    )


async def terminate(call: Call) -> AgentSession:
    return await _terminate(call, call.path["id"])


async def kill(call: Call) -> AgentSession:
    return await _kill(call, call.path["id"])


# --- kill-all, approvals, audit, events


async def kill_all(call: Call) -> KillAll:
    body = call.body(bodies.KillAllBody)
    return await call.service.kill_all(
        scope=body.scope,
        confirm=body.confirm,
        reason=body.reason,
        undo_seconds=body.undo_seconds,
        watch_seconds=body.watch_seconds,
    )


async def kill_state(call: Call) -> KillAll:
    return await call.service.kill_state(call.path["killId"])


async def close_kill_all(call: Call) -> KillAll:
    return await call.service.kill_close(call.path["killId"])


async def undo_kill_all(call: Call) -> KillAll:
    return await call.service.kill_undo(call.path["killId"])


async def approvals(call: Call) -> Page[Approval]:
    query = call.query(bodies.ApprovalsQuery)
    return await call.service.approvals(
        state=query.state, limit=query.limit, cursor=query.cursor, newest_first=query.order == "newest"
    )


async def answer(call: Call) -> Approval:
    body = call.body(bodies.AnswerBody)
    return await call.service.answer(call.path["id"], body.option_id, expected_run_id=body.expected_run_id)


async def audit(call: Call) -> Page[AuditEntry]:
    query = call.query(bodies.AuditQuery)
    filters = AuditFilter(
        user=query.user,
        session=query.session,
        provider=query.provider,
        action=query.action,
        outcome=query.outcome,
        from_=_time("from", query.from_),
        to=_time("to", query.to),
    )
    return await call.service.audit(
        filters, limit=query.limit, cursor=query.cursor, oldest_first=query.order == "oldest"
    )


async def audit_verify(call: Call) -> ChainReport:
    return await call.service.audit_verify(head=call.query(bodies.VerifyQuery).head)


async def events(call: Call) -> Frames:
    return Frames(await _events(call))


# --- the orchestrator: the built-in provider under its own ids


async def agents(call: Call) -> Page[AgentSession]:
    query = call.query(bodies.AgentsQuery)
    page = await call.service.sessions(
        provider=INTERNAL_PROVIDER, status=query.status, q=query.q, limit=query.limit, cursor=query.cursor
    )
    return Page(items=tuple(map(_native_session, page.items)), next_cursor=page.next_cursor)


async def agents_spawn(call: Call) -> AgentSession:
    request = _spawn_request(call.body(bodies.AgentSpawnBody))
    started = await call.service.spawn(request, seed=call.seed)
    return _native_session(started)


async def agents_tree(call: Call) -> Page[TreeNode]:
    nodes = await call.service.tree()
    return Page(items=tuple(_native_node(node) for node in nodes if node.session.provider == INTERNAL_PROVIDER))


async def agents_kill_all(call: Call) -> KillAll:
    started = await call.service.kill_all(
        scope=INTERNAL_PROVIDER, confirm=CONFIRM_WORDS, reason=call.body(bodies.AgentsKillAllBody).reason
    )
    targets = tuple(msgspec.structs.replace(one, session_id=split_id(one.session_id)[1]) for one in started.targets)
    return msgspec.structs.replace(started, targets=targets)


async def agents_events(call: Call) -> Frames:
    def lifecycle(event: Encoded) -> bytes | None:
        data = event.payload.data
        wanted = event.type is EventType.RESET or (
            isinstance(data, AgentSession) and data.provider == INTERNAL_PROVIDER
        )
        return event.sse_native if wanted else None

    return Frames(await _events(call), frame=lifecycle)


async def profiles(call: Call) -> Page[ProfileView]:
    return Page(items=await call.service.profiles())


async def put_profile(call: Call) -> ProfileView:
    body = call.body(bodies.ProfileBody)
    return await call.service.put_profile(
        LaunchProfile(
            name=call.path["name"],
            command=body.command,
            runtime=body.runtime,
            cwd=body.cwd,
            env=body.env,
            mode=body.mode,
            title=body.title,
        )
    )


async def delete_profile(call: Call) -> None:
    await call.service.delete_profile(call.path["name"])


async def agent(call: Call) -> AgentSession:
    return _native_session(await call.service.session(_agent_id(call)))


async def agent_messages(call: Call) -> Page[AgentMessage]:
    page = await _messages(call, _agent_id(call))
    native = tuple(msgspec.structs.replace(one, session_id=call.path["id"]) for one in page.items)
    return Page(items=native, next_cursor=page.next_cursor)


async def agent_stream(call: Call) -> Frames:
    frames = await _stream(call, _agent_id(call))
    return Frames(frames.subscription, frame=lambda event: event.sse_native)


async def agent_inject(call: Call) -> Receipt:
    chosen = call.body(bodies.AgentInjectBody).injection_id
    return msgspec.structs.replace(await _inject(call, _agent_id(call), chosen), session_id=call.path["id"])


async def agent_pause(call: Call) -> AgentSession:
    return _native_session(await _pause(call, _agent_id(call)))


async def agent_resume(call: Call) -> AgentSession:
    return _native_session(await _resume(call, _agent_id(call)))


async def agent_cancel(call: Call) -> AgentSession:
    return _native_session(await _cancel(call, _agent_id(call)))


async def agent_terminate(call: Call) -> AgentSession:
    return _native_session(await _terminate(call, _agent_id(call)))


async def agent_kill(call: Call) -> AgentSession:
    return _native_session(await _kill(call, _agent_id(call)))


# --- shared


def _given(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _time(field: str, text: str | None) -> datetime | None:
    """A time with its zone (RFC 3339); not a number, which a lax decoder takes for seconds."""
    try:
        return None if text is None else msgspec.convert(text, _ZONED)
    except msgspec.ValidationError:
        raise BadInput(field, f"{field}: give a time with its zone, like 2026-01-31T12:00:00Z.") from None


def _spawn_request(body: bodies.AgentSpawnBody) -> SpawnRequest:
    return SpawnRequest(
        profile=body.profile,
        prompt=body.prompt,
        cwd=body.cwd,
        parent_agent_id=body.parent_agent_id,
        mission_id=body.mission_id,
        task_id=body.task_id,
        task_source=None if body.task_source is None else body.task_source.value,
        agent_type=body.agent_type,
        title=body.title,
        end_when_idle=body.end_when_idle,
        session_id=body.session_id,
    )


async def _messages(call: Call, session_id: str) -> Page[AgentMessage]:
    query = call.query(bodies.MessagesQuery)
    return await call.service.messages(session_id, limit=query.limit, before=query.before, after=query.after)


async def _stream(call: Call, session_id: str) -> Frames:
    query = call.query(bodies.StreamQuery)
    return Frames(
        await call.service.open_stream(
            session_id, last_event_id=_last(call.last_event_id, query.last_event_id), replay=query.replay
        )
    )


def _last(header: str | None, query: str | None) -> str | None:
    """The header counts first; browsers' event sources send an empty one for none."""
    return header or query


async def _events(call: Call) -> AbstractAsyncContextManager[EventStream]:
    return await call.service.open_events(
        last_event_id=_last(call.last_event_id, call.query(bodies.EventsQuery).last_event_id)
    )


async def _inject(call: Call, session_id: str, chosen: str | None = None) -> Receipt:
    body = call.body(bodies.InjectBody)
    return await call.service.inject(
        session_id,
        body.content,
        delivery=body.delivery,
        pause_before_send=body.pause_before_send,
        expected_run_id=body.expected_run_id,
        injection_id=chosen,
        seed=call.seed,
    )


async def _pause(call: Call, session_id: str) -> AgentSession:
    body = call.body(bodies.PauseBody)
    return await call.service.pause(
        session_id, level=body.level, reason=body.reason, expected_run_id=body.expected_run_id
    )


async def _resume(call: Call, session_id: str) -> AgentSession:
    body = call.body(bodies.ActBody)
    return await call.service.resume(session_id, reason=body.reason, expected_run_id=body.expected_run_id)


async def _cancel(call: Call, session_id: str) -> AgentSession:
    body = call.body(bodies.ActBody)
    return await call.service.cancel(session_id, reason=body.reason, expected_run_id=body.expected_run_id)


async def _terminate(call: Call, session_id: str) -> AgentSession:
    body = call.body(bodies.ActBody)
    return await call.service.terminate(session_id, reason=body.reason, expected_run_id=body.expected_run_id)


async def _kill(call: Call, session_id: str) -> AgentSession:
    body = call.body(bodies.KillBody)
    return await call.service.kill(session_id, reason=body.reason, expected_run_id=body.expected_run_id)


def _agent_id(call: Call) -> str:
    native = call.path["id"]
    if ":" in native:
        raise NotFound("There is no such agent. These endpoints take an agent's own id, without a provider's name.")
    return global_id(INTERNAL_PROVIDER, native)


def _native_session(session: AgentSession) -> AgentSession:
    parent = session.parent_session_id
    return msgspec.structs.replace(
        session,
        session_id=split_id(session.session_id)[1],
        parent_session_id=None if parent is None else split_id(parent)[1],
    )


def _native_node(node: TreeNode) -> TreeNode:
    return TreeNode(session=_native_session(node.session), children=tuple(map(_native_node, node.children)))
