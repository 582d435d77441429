"""The one table of everything that can be requested.

Routes, authentication, the permission that each needs, validation, the OpenAPI description and the permission matrix of
the tests are all made from it; a handler that is not in it cannot be reached.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mission_control_desktop.control.policy import RULES, Operation
from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.audit import AuditEntry, ChainReport
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Health, Page, TreeNode
from mission_control_desktop.domain.people import Me, Member, NewToken, TokenInfo
from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.domain.providers import CheckReport, ProviderPage, ProviderView
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, AgentSession, ProcessInfo
from mission_control_desktop.server import bodies, handlers
from mission_control_desktop.server.calls import Call

Handler = Callable[[Call], Awaitable[Any]]


def always(body: bodies.Input | None) -> bool:
    return True


def never(body: bodies.Input | None) -> bool:
    return False


def known_id(body: bodies.Input | None) -> bool:
    """The built-in provider starts a session under the id that it is told, so never twice; of others that is not
    known."""
    return isinstance(body, bodies.SpawnBody) and body.provider == INTERNAL_PROVIDER


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path. `operation` None: no token is needed.

    `errors` are statuses besides 401, 403, 422 and 500, which every route with a token can answer. `repeatable`: a
    keyed POST with this body, cut short by a restart, may be done again. `secret`: its answer is never stored.
    `while_wanted`: a GET that takes long, and is given up when the client goes.
    """

    method: str
    path: str
    operation: Operation | None
    handler: Handler
    summary: str
    reply: Any = None
    status: int = 200
    query: type[bodies.Input] = bodies.NoQuery
    body: type[bodies.Input] | None = None
    errors: tuple[int, ...] = ()
    stream: bool = False
    repeatable: Callable[[bodies.Input | None], bool] = always
    secret: bool = False
    while_wanted: bool = False


_A = "/agents"
_M = "/api/mission-control"
_S = f"{_M}/sessions"
_ACT = (404, 409, 501, 502, 503)

ROUTES: tuple[Route, ...] = (
    # --- the control plane itself
    Route("GET", "/api/health", None, handlers.health, "Whether it works, and which version it is", Health),
    Route("GET", "/api/openapi.json", Operation.CONTRACT, handlers.openapi, "This contract", dict[str, Any]),
    Route("GET", "/api/me", Operation.ME, handlers.me, "Who the token stands for", Me),
    Route("GET", "/api/workspace", Operation.WORKSPACE, handlers.workspace, "The workspace's settings", Workspace),
    Route(
        "PATCH",
        "/api/workspace",
        Operation.WORKSPACE_CHANGE,
        handlers.change_workspace,
        "Set how long messages are kept",
        Workspace,
        body=bodies.WorkspaceBody,
        errors=(503,),
    ),
    Route("GET", "/api/tokens", Operation.TOKENS, handlers.tokens, "Tokens of the workspace", Page[TokenInfo]),
    Route(
        "POST",
        "/api/tokens",
        Operation.TOKEN_CREATE,
        handlers.create_token,
        "Make a token; it is shown this once",
        NewToken,
        status=201,
        body=bodies.TokenBody,
        errors=(409, 503),
        repeatable=never,
        secret=True,
    ),
    Route(
        "DELETE",
        "/api/tokens/{id}",
        Operation.TOKEN_REVOKE,
        handlers.revoke_token,
        "Revoke a token; its streams end",
        status=204,
        errors=(404, 503),
    ),
    Route("GET", "/api/members", Operation.MEMBERS, handlers.members, "Who is in the workspace", Page[Member]),
    Route(
        "PUT",
        "/api/members/{user}",
        Operation.MEMBER_PUT,
        handlers.set_member,
        "Add a member or change their role; tokens above it are lowered, and their streams end",
        Member,
        body=bodies.MemberBody,
        errors=(409, 503),
    ),
    Route(
        "DELETE",
        "/api/members/{user}",
        Operation.MEMBER_REMOVE,
        handlers.remove_member,
        "Take a member out; all their tokens are revoked",
        status=204,
        errors=(404, 409, 503),
    ),
    Route(
        "GET",
        "/api/keys",
        Operation.KEYS,
        handlers.key_status,
        "Which master keys secrets are sealed with",
        KeyStatus,
        errors=(503,),
    ),
    Route(
        "POST",
        "/api/keys/rotate",
        Operation.KEYS_ROTATE,
        handlers.rotate_keys,
        "Seal every secret with a new master key",
        KeyRotation,
        body=bodies.NoBody,
        errors=(409, 501, 503),
        repeatable=never,
    ),
    Route(
        "GET",
        "/api/agent-providers",
        Operation.PROVIDERS,
        handlers.providers,
        "Providers and how they do",
        ProviderPage,
    ),
    Route(
        "POST",
        "/api/agent-providers",
        Operation.PROVIDER_ADD,
        handlers.create_provider,
        "Register a provider",
        ProviderView,
        status=201,
        body=bodies.ProviderBody,
        errors=(409, 503),
    ),
    Route(
        "PATCH",
        "/api/agent-providers/{id}",
        Operation.PROVIDER_UPDATE,
        handlers.update_provider,
        "Change, switch on or switch off a provider",
        ProviderView,
        body=bodies.ProviderChangeBody,
        errors=(404, 409, 503),
    ),
    Route(
        "DELETE",
        "/api/agent-providers/{id}",
        Operation.PROVIDER_REMOVE,
        handlers.delete_provider,
        "Remove a provider; its sessions stay on record",
        status=204,
        errors=(404, 409, 503),
    ),
    Route(
        "POST",
        "/api/agent-providers/{id}/check",
        Operation.PROVIDER_CHECK,
        handlers.check_provider,
        "Try a provider's connection, stage by stage",
        CheckReport,
        body=bodies.NoBody,
        errors=(404, 409, 503),
    ),
    # --- sessions of all providers
    Route(
        "GET",
        _S,
        Operation.SESSIONS,
        handlers.sessions,
        "Sessions, newest first",
        Page[AgentSession],
        query=bodies.SessionsQuery,
    ),
    Route(
        "POST",
        _S,
        Operation.SPAWN,
        handlers.spawn,
        "Start a session",
        AgentSession,
        status=201,
        body=bodies.SpawnBody,
        errors=_ACT,
        repeatable=known_id,
    ),
    Route("GET", f"{_M}/tree", Operation.TREE, handlers.tree, "Sessions as trees", Page[TreeNode]),
    Route("GET", f"{_S}/{{id}}", Operation.SESSION, handlers.session, "One session", AgentSession, errors=(404,)),
    Route(
        "GET",
        f"{_S}/{{id}}/messages",
        Operation.MESSAGES,
        handlers.messages,
        "Messages of a session",
        Page[AgentMessage],
        query=bodies.MessagesQuery,
        errors=(404,),
    ),
    Route(
        "GET",
        f"{_S}/{{id}}/stream",
        Operation.STREAM,
        handlers.stream,
        "A session as it happens",
        query=bodies.StreamQuery,
        errors=(404, 429),
        stream=True,
    ),
    Route(
        "GET",
        f"{_S}/{{id}}/receipts",
        Operation.RECEIPTS,
        handlers.receipts,
        "What became of the messages sent to a session",
        Page[Receipt],
        errors=(404,),
    ),
    Route(
        "GET",
        f"{_S}/{{id}}/processes",
        Operation.PROCESSES,
        handlers.processes,
        "What a stop would hit",
        list[ProcessInfo],
        errors=(404, 501, 502),
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/inject",
        Operation.INJECT,
        handlers.inject,
        "Send a message into a session",
        Receipt,
        status=202,
        body=bodies.InjectBody,
        errors=(*_ACT, 429),
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/receipts/{{injectionId}}/withdraw",
        Operation.WITHDRAW,
        handlers.withdraw,
        "Take back a message that is not delivered yet",
        Receipt,
        body=bodies.WithdrawBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/receipts/{{injectionId}}/edit",
        Operation.EDIT_MESSAGE,
        handlers.edit_message,
        "Give a message that still waits other words",
        Receipt,
        body=bodies.EditMessageBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/receipts/{{injectionId}}/move",
        Operation.MOVE_MESSAGE,
        handlers.move_message,
        "Put a message that still waits at another place; interruptions stay before the rest",
        Receipt,
        body=bodies.MoveMessageBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/pause",
        Operation.PAUSE,
        handlers.pause,
        "Pause a session",
        AgentSession,
        body=bodies.PauseBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/resume",
        Operation.RESUME,
        handlers.resume,
        "Let a session go on",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/cancel",
        Operation.CANCEL,
        handlers.cancel,
        "Cancel what a session does now; it takes the next message",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/hold-commands",
        Operation.HOLD_COMMANDS,
        handlers.hold_commands,
        "Let each further command of a session wait for approval; its capabilities say what else that does",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/release-commands",
        Operation.RELEASE_COMMANDS,
        handlers.release_commands,
        "Let a session's commands run again as before",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/terminate",
        Operation.TERMINATE,
        handlers.terminate,
        "End a session gracefully",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_S}/{{id}}/kill",
        Operation.KILL,
        handlers.kill,
        "End a session now",
        AgentSession,
        body=bodies.KillBody,
        errors=_ACT,
    ),
    # --- kill-all
    Route(
        "POST",
        f"{_M}/kill-all",
        Operation.KILL_ALL,
        handlers.kill_all,
        "Stop everything in a scope",
        KillAll,
        status=202,
        body=bodies.KillAllBody,
        errors=(409,),
        repeatable=never,
    ),
    Route(
        "GET",
        f"{_M}/kill-all/{{killId}}",
        Operation.KILL_STATE,
        handlers.kill_state,
        "How far a kill-all is",
        KillAll,
        errors=(404,),
    ),
    Route(
        "POST",
        f"{_M}/kill-all/{{killId}}/undo",
        Operation.KILL_ALL_UNDO,
        handlers.undo_kill_all,
        "Let frozen targets go on",
        KillAll,
        body=bodies.NoBody,
        errors=(404, 409, 503),
    ),
    Route(
        "POST",
        f"{_M}/kill-all/{{killId}}/close",
        Operation.KILL_ALL_CLOSE,
        handlers.close_kill_all,
        "End the watch over targets that come back",
        KillAll,
        body=bodies.NoBody,
        errors=(404, 409, 503),
    ),
    # --- approvals, audit, events
    Route(
        "GET",
        f"{_M}/approvals",
        Operation.APPROVALS,
        handlers.approvals,
        "Permission questions",
        Page[Approval],
        query=bodies.ApprovalsQuery,
    ),
    Route(
        "POST",
        f"{_M}/approvals/{{id}}",
        Operation.ANSWER,
        handlers.answer,
        "Answer a permission question",
        Approval,
        body=bodies.AnswerBody,
        errors=_ACT,
    ),
    Route(
        "GET",
        f"{_M}/audit",
        Operation.AUDIT,
        handlers.audit,
        "The audit log, newest first",
        Page[AuditEntry],
        query=bodies.AuditQuery,
    ),
    Route(
        "GET",
        f"{_M}/audit/verify",
        Operation.AUDIT_VERIFY,
        handlers.audit_verify,
        "Check the audit log: every row, and its end",
        ChainReport,
        query=bodies.VerifyQuery,
        errors=(503,),
        while_wanted=True,
    ),
    Route(
        "GET",
        f"{_M}/events",
        Operation.EVENTS,
        handlers.events,
        "The workspace as it happens",
        query=bodies.EventsQuery,
        errors=(429,),
        stream=True,
    ),
    # --- the orchestrator: the built-in provider under its own ids
    Route(
        "GET",
        _A,
        Operation.SESSIONS,
        handlers.agents,
        "Agents, newest first",
        Page[AgentSession],
        query=bodies.AgentsQuery,
    ),
    Route(
        "POST",
        f"{_A}/spawn",
        Operation.SPAWN,
        handlers.agents_spawn,
        "Start an agent",
        AgentSession,
        status=201,
        body=bodies.AgentSpawnBody,
        errors=_ACT,
    ),
    Route("GET", f"{_A}/tree", Operation.TREE, handlers.agents_tree, "Agents as trees", Page[TreeNode]),
    Route(
        "POST",
        f"{_A}/kill-all",
        Operation.KILL_ALL,
        handlers.agents_kill_all,
        "Stop all agents",
        KillAll,
        status=202,
        body=bodies.AgentsKillAllBody,
        errors=(409,),
        repeatable=never,
    ),
    Route(
        "GET",
        f"{_A}/events",
        Operation.EVENTS,
        handlers.agents_events,
        "Agents' lifecycle as it happens",
        query=bodies.EventsQuery,
        errors=(429,),
        stream=True,
    ),
    Route("GET", f"{_A}/profiles", Operation.PROFILES, handlers.profiles, "Launch profiles", Page[ProfileView]),
    Route(
        "PUT",
        f"{_A}/profiles/{{name}}",
        Operation.PROFILE_PUT,
        handlers.put_profile,
        "Store a launch profile",
        ProfileView,
        body=bodies.ProfileBody,
        errors=(404, 409, 503),
    ),
    Route(
        "DELETE",
        f"{_A}/profiles/{{name}}",
        Operation.PROFILE_DELETE,
        handlers.delete_profile,
        "Remove a launch profile",
        status=204,
        errors=(404, 409, 503),
    ),
    Route("GET", f"{_A}/{{id}}", Operation.SESSION, handlers.agent, "One agent", AgentSession, errors=(404,)),
    Route(
        "GET",
        f"{_A}/{{id}}/messages",
        Operation.MESSAGES,
        handlers.agent_messages,
        "Messages of an agent",
        Page[AgentMessage],
        query=bodies.MessagesQuery,
        errors=(404,),
    ),
    Route(
        "GET",
        f"{_A}/{{id}}/messages/stream",
        Operation.STREAM,
        handlers.agent_stream,
        "An agent as it happens",
        query=bodies.StreamQuery,
        errors=(404, 429),
        stream=True,
    ),
    Route(
        "POST",
        f"{_A}/{{id}}/inject",
        Operation.INJECT,
        handlers.agent_inject,
        "Send a message to an agent",
        Receipt,
        status=202,
        body=bodies.AgentInjectBody,
        errors=(*_ACT, 429),
    ),
    Route(
        "POST",
        f"{_A}/{{id}}/pause",
        Operation.PAUSE,
        handlers.agent_pause,
        "Pause an agent",
        AgentSession,
        body=bodies.PauseBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_A}/{{id}}/resume",
        Operation.RESUME,
        handlers.agent_resume,
        "Let an agent go on",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_A}/{{id}}/cancel",
        Operation.CANCEL,
        handlers.agent_cancel,
        "Cancel what an agent does now; it takes the next message",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_A}/{{id}}/terminate",
        Operation.TERMINATE,
        handlers.agent_terminate,
        "End an agent gracefully",
        AgentSession,
        body=bodies.ActBody,
        errors=_ACT,
    ),
    Route(
        "POST",
        f"{_A}/{{id}}/kill",
        Operation.KILL,
        handlers.agent_kill,
        "End an agent now",
        AgentSession,
        body=bodies.KillBody,
        errors=_ACT,
    ),
)

OPEN = frozenset({"/api/health"})
"""What anyone may ask without a token. Everything else has a rule, or it is not served."""

_PARAMETER = re.compile(r"\{(\w+)\}")


def parameters(path: str) -> list[str]:
    """Names of a path's parameters."""
    return _PARAMETER.findall(path)


def by_path(routes: Iterable[Route]) -> dict[str, dict[str, Route]]:
    """Routes by path and method, in the table's order: a fixed path stands before one with a parameter in its place.
    Raises ValueError for what would never be reached or could not be served."""
    found: dict[str, dict[str, Route]] = {}
    for route in routes:
        methods = found.setdefault(route.path, {})
        if route.method in methods:
            raise ValueError(f"{route.method} {route.path} stands twice in the table")
        if route.operation not in RULES and (route.operation is not None or route.path not in OPEN):
            raise ValueError(f"{route.method} {route.path} has no rule that says who may")
        if route.method in ("POST", "PUT", "PATCH") and route.body is None:
            raise ValueError(f"{route.method} {route.path} names no body")
        if route.stream and route.method != "GET":
            raise ValueError(f"{route.path}: a stream is read")
        methods[route.method] = route
    return found
