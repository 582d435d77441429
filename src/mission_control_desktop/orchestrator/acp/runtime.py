"""ACP version 1 as a pure state machine: the opening, prompts, steering, permissions and closing of one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from mission_control_desktop.orchestrator.acp import framing
from mission_control_desktop.orchestrator.acp.fields import bool_of, bounded, dict_of, first_text, list_of, text_of
from mission_control_desktop.orchestrator.acp.framing import Junk, Notification, Request, Response, RpcError, RpcId
from mission_control_desktop.orchestrator.acp.known import CAREFUL, Quirks, quirks_of
from mission_control_desktop.orchestrator.acp.updates import SUBAGENT_KINDS, config_mode, tool_upsert, translate
from mission_control_desktop.orchestrator.core.events import (
    Closed,
    CommandsChanged,
    Event,
    Failed,
    Garbage,
    ModeChanged,
    PermissionAsked,
    PermissionWithdrawn,
    Pull,
    Ready,
    SteerResult,
    TitleChanged,
    TurnState,
    Unknown,
    UsageChanged,
)
from mission_control_desktop.orchestrator.core.runtime import Facts, NextId, Outgoing, Received, Steering
from mission_control_desktop.orchestrator.core.spec import SessionSpec

PROTOCOL_VERSION = 1
PERMISSION = "session/request_permission"
STEERING = "_session/steering"
PULL = "craft/drainMidTurnQueue"
RESUME, LOAD = "session/resume", "session/load"

_STANDING = (UsageChanged, ModeChanged, TitleChanged, CommandsChanged)

# Neither files nor terminals are offered: agents work on the disk themselves, and version 2 drops both.
CLIENT_CAPABILITIES: dict[str, Any] = {
    "fs": {"readTextFile": False, "writeTextFile": False},
    "terminal": False,
    "session": {"notices": {}, "compaction": {}},
    "subagents": {},
}


class _Call(msgspec.Struct, frozen=True):
    method: str
    ref: str = ""


class _Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What `initialize` told."""

    name: str | None = None
    title: str | None = None
    version: str | None = None
    steering: bool = False
    can_close: bool = False
    can_resume: bool = False
    can_load: bool = False
    http: bool = False
    sse: bool = False
    logins: tuple[str, ...] = ()
    quirks: Quirks = CAREFUL


class AcpRuntime:
    """See `core.runtime.Runtime`. Request ids are whole numbers, which every agent echoes faithfully."""

    def __init__(self, spec: SessionSpec, next_id: NextId) -> None:
        self._spec = spec
        self._next_id = next_id
        self._calls: dict[int, _Call] = {}
        self._asked: dict[str, RpcId] = {}
        self._asks = 0
        self._stage = "initialize"
        self._root: str | None = None
        self._again: Literal["resumed", "fresh"] | None = None
        self._replayed = 0
        self._probed = _Probed()
        self._no_steering = False
        self._pulls = False
        self._mode: str | None = None
        self._modes: tuple[dict[str, Any], ...] = ()
        self._warnings: list[str] = []
        self._facts = self._make_facts()

    # ------------------------------------------------------------------ what is known

    @property
    def facts(self) -> Facts:
        return self._facts

    @property
    def stage(self) -> str:
        return self._stage

    def _make_facts(self) -> Facts:
        probed = self._probed
        steering: Steering | None = None
        if probed.steering and not self._no_steering:
            steering = "request"
        elif probed.quirks.pulls_steering or self._pulls:
            steering = "pull"
        return Facts(
            agent=probed.title or probed.name or "The agent",
            steering=steering,
            can_close=probed.can_close,
            ignores_eof=probed.quirks.ignores_eof,
            cancel_leaves_tools=probed.quirks.cancel_leaves_tools,
            no_resume=self._no_resume(),
            resume_repeats=probed.quirks.resume_repeats,
            notes=probed.quirks.notes,
        )

    def _no_resume(self) -> str | None:
        probed = self._probed
        agent = probed.title or probed.name or "the agent"
        if probed.can_resume:
            return None
        if not probed.can_load:
            return f"{agent} does not offer to resume or load a session"
        if probed.quirks.load_fails:
            return f"{agent} offers to load a session, but is known to fail at it"
        return None

    # ------------------------------------------------------------------ intents

    def _request(self, name: str, method: str, params: dict[str, Any], ref: str = "") -> list[Outgoing]:
        rpc_id = self._next_id()
        self._calls[rpc_id] = _Call(method, ref)
        return [Outgoing(name=name, line=framing.request(rpc_id, method, params))]

    def open(self) -> Sequence[Outgoing]:
        info = {
            "name": "mission-control-desktop",
            "title": "Mission Control Desktop",
            "version": self._spec.client_version,
        }
        params = {
            "protocolVersion": PROTOCOL_VERSION,
            "clientInfo": info,
            "clientCapabilities": CLIENT_CAPABILITIES,
        }
        return self._request("initialize", "initialize", params)

    def lost(self, *, fresh: bool) -> None:
        self._calls.clear()
        self._asked.clear()
        self._stage = "initialize"
        self._again = "fresh" if fresh else "resumed"
        self._replayed = 0
        self._no_steering = self._pulls = False
        if fresh:
            self._root = None
        self._facts = self._make_facts()

    def prompt(self, ref: str, text: str) -> Sequence[Outgoing]:
        params = {"sessionId": self._root, "prompt": [{"type": "text", "text": text}]}
        return self._request("prompt", "session/prompt", params, ref)

    def steer(self, ref: str, text: str) -> Sequence[Outgoing]:
        params = {
            "sessionId": self._root,
            "prompt": [{"type": "text", "text": text}],
            "_meta": {"steering": {"idleBehavior": "promptRequired"}},
        }
        return self._request("steer", STEERING, params, ref)

    def cancel(self, session: str | None = None) -> Sequence[Outgoing]:
        target = session or self._root
        if target is None:
            return []
        return [Outgoing(name="cancel", line=framing.notification("session/cancel", {"sessionId": target}))]

    def answer(self, token: str, option_id: str | None) -> Sequence[Outgoing]:
        if token not in self._asked:
            return []
        outcome = {"outcome": "cancelled"} if option_id is None else {"outcome": "selected", "optionId": option_id}
        return self._reply(token, "answer", {"outcome": outcome})

    def withdrawn(self, token: str) -> Sequence[Outgoing]:
        if token not in self._asked:
            return []
        line = framing.error(self._asked.pop(token), framing.REQUEST_CANCELLED, "Request cancelled")
        return [Outgoing(name=f"withdrawn:{token}", line=line)]

    def pulled(self, token: str, messages: Sequence[str]) -> Sequence[Outgoing]:
        if token not in self._asked:
            return []
        # No "items" member: its presence, even empty, hides the messages from the agent.
        return self._reply(token, "pulled", {"messages": list(messages), "hasQueuedPrompt": False})

    def close(self) -> Sequence[Outgoing]:
        return self._request("close", "session/close", {"sessionId": self._root})

    def _reply(self, token: str, name: str, value: Any) -> list[Outgoing]:
        return [Outgoing(name=f"{name}:{token}", line=framing.result(self._asked.pop(token), value))]

    # ------------------------------------------------------------------ lines

    def receive(self, line: str) -> Received:
        frame = framing.decode(line)
        if isinstance(frame, Notification):
            return Received(events=tuple(self._on_notification(frame)))
        if isinstance(frame, Response):
            return self._on_response(frame)
        if isinstance(frame, Request):
            return self._on_request(frame)
        return self._on_junk(frame)

    @staticmethod
    def _on_junk(frame: Junk) -> Received:
        return Received(events=(Garbage(text=frame.text),) if frame.text.strip() else ())

    def _session(self, value: Any) -> str | None:
        """The runtime's id of a session: None for the root, which it also is while its id is not known yet."""
        session = text_of(value)
        return None if not session or self._root is None or session == self._root else session

    def _on_notification(self, frame: Notification) -> Sequence[Event]:
        params = frame.params
        update = dict_of(params.get("update"))
        if frame.method == "session/update" or update.get("sessionUpdate") in SUBAGENT_KINDS:
            events = [
                self._rooted(event) for event in translate(self._session(params.get("sessionId")), update, params)
            ]
            if self._stage not in (LOAD, RESUME):
                return events
            # The past, said again: it stands in the transcript already. How things stand now is news all the same.
            kept = [event for event in events if isinstance(event, _STANDING)]
            self._replayed += len(events) - len(kept)
            return kept
        if frame.method == "$/cancel_request":
            wanted = params.get("requestId", params.get("id"))
            for token, rpc_id in self._asked.items():
                if rpc_id == wanted and type(rpc_id) is type(wanted):
                    return [PermissionWithdrawn(token=token)]
            return []
        return [Unknown(kind=f"notification {frame.method[:100]}", raw=params)]

    def _rooted(self, event: Event) -> Event:
        """An event whose session was named inside the update (the older dialect) and may be the root."""
        if event.session is not None and event.session == self._root:
            return msgspec.structs.replace(event, session=None)
        return event

    def _on_request(self, frame: Request) -> Received:
        if frame.method == PERMISSION:
            return self._on_permission(frame)
        if frame.method in (PULL, f"_{PULL}"):
            token = self._remember(frame.id)
            if not self._pulls:
                self._pulls = True
                self._facts = self._make_facts()
            return Received(events=(Pull(session=self._session(frame.params.get("sessionId")), token=token),))
        # What was not offered is refused at once, so that no agent waits for us.
        line = framing.error(frame.id, framing.METHOD_NOT_FOUND, f"{frame.method[:200]} is not offered")
        return Received(
            events=(Unknown(kind=f"request {frame.method[:100]}", raw=frame.params),),
            out=(Outgoing(name=f"refused:{self._token()}", line=line),),
        )

    def _token(self) -> str:
        self._asks += 1
        return f"q{self._asks}"

    def _remember(self, rpc_id: RpcId) -> str:
        token = self._token()
        self._asked[token] = rpc_id
        return token

    def _on_permission(self, frame: Request) -> Received:
        params = frame.params
        session = self._session(params.get("sessionId"))
        options: list[dict[str, str]] = []
        for item in list_of(params.get("options"))[:50]:
            option = dict_of(item)
            option_id = text_of(option.get("optionId"))
            if option_id:
                name = first_text(option, "name", "label") or option_id
                options.append({"optionId": option_id, "kind": text_of(option.get("kind")) or "", "name": name[:500]})
        if not options:
            line = framing.error(frame.id, framing.INVALID_PARAMS, "A permission request needs options")
            return Received(
                events=(Unknown(session=session, kind="permission request without options", raw=params),),
                out=(Outgoing(name=f"refused:{self._token()}", line=line),),
            )
        events: list[Event] = []
        for token, rpc_id in list(self._asked.items()):
            if rpc_id == frame.id and type(rpc_id) is type(frame.id):
                # The same id again before it was answered: only the newer question can still be answered.
                del self._asked[token]
                events.append(PermissionWithdrawn(token=token))
        token = self._remember(frame.id)
        tool = tool_upsert(session, dict_of(params.get("toolCall")))
        events.append(
            PermissionAsked(
                session=session, token=token, tool=tool, options=tuple(options), raw=bounded(params, 20_000)
            )
        )
        return Received(events=tuple(events))

    # ------------------------------------------------------------------ answers to our requests

    def _on_response(self, frame: Response) -> Received:
        call = self._calls.pop(_number(frame.id), None)
        if call is None:
            return Received(events=(Unknown(kind="response to nothing", raw=None),))
        if call.method == "session/prompt":
            return Received(events=(self._turn_end(call, frame),))
        if call.method == STEERING:
            return Received(events=(self._steered(call, frame),))
        if call.method == "session/close":
            return Received(events=(Closed(),))
        if call.method == "initialize":
            return self._initialized(frame)
        if call.method == "session/new":
            return self._opened(frame)
        if call.method in (LOAD, RESUME):
            return self._resumed(frame, call.method)
        return self._mode_set(frame)

    def _turn_end(self, call: _Call, frame: Response) -> TurnState:
        if frame.error is not None:
            return TurnState(state="idle", ref=call.ref, error=self._why(frame.error))
        result = dict_of(frame.result)
        meta = dict_of(result.get("_meta"))
        tokens: dict[str, Any] = {}
        for name, value in dict_of(result.get("usage")).items():
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 and len(tokens) < 20:
                tokens[name[:50]] = value
        if not tokens and isinstance(meta.get("quota"), dict):
            tokens = {"quota": bounded(meta["quota"], 2_000)}
        reason = text_of(result.get("stopReason")) or "end_turn"
        return TurnState(state="idle", ref=call.ref, stop_reason=reason[:100], tokens=tokens or None)

    def _steered(self, call: _Call, frame: Response) -> SteerResult:
        if frame.error is not None:
            if frame.error.code == framing.METHOD_NOT_FOUND:
                self._no_steering = True
                self._facts = self._make_facts()
            return SteerResult(ref=call.ref, outcome="failed", detail=self._why(frame.error))
        result = dict_of(frame.result)
        outcome = text_of(result.get("outcome"))
        detail = first_text(result, "message", "reason", "detail")
        if outcome == "promptRequired":
            return SteerResult(ref=call.ref, outcome="prompt_required", detail=detail)
        if outcome == "startedNewTurn":
            return SteerResult(ref=call.ref, outcome="new_turn", detail=detail)
        if outcome in ("failed", "rejected", "error"):
            return SteerResult(ref=call.ref, outcome="failed", detail=detail or "the agent did not take the message")
        # A success that we do not know counts as taken: sending it once more could carry an order out twice.
        return SteerResult(ref=call.ref, outcome="injected", detail=detail)

    # ------------------------------------------------------------------ the opening

    def _failed(self, message: str) -> Received:
        self._stage = "failed"
        return Received(events=(Failed(message=message),))

    def _why(self, error: RpcError) -> str:
        message = error.message[:2_000]
        data = error.data
        detail = text_of(data) or first_text(dict_of(data), "message", "details", "detail", "error", "code")
        if error.code == framing.AUTH_REQUIRED:
            logins = "; ".join(self._probed.logins)
            how = f" It offers: {logins}." if logins else ""
            return (
                f"{self._facts.agent} asks for a login ({message}). Start it once in a terminal and log in with its "
                f"own command, then start the session again.{how}"
            )
        return f"{message}: {detail[:2_000]}" if detail and detail not in message else message

    def _initialized(self, frame: Response) -> Received:
        if frame.error is not None:
            return self._failed(f"The agent refused to start a connection: {self._why(frame.error)}")
        result = dict_of(frame.result)
        version = result.get("protocolVersion", PROTOCOL_VERSION)
        if version != PROTOCOL_VERSION:
            return self._failed(
                f"The agent speaks version {bounded(version, 20)} of the Agent Client Protocol; version 1 is needed. "
                "Install a version of the agent that speaks it."
            )
        info = dict_of(result.get("agentInfo"))
        capabilities = dict_of(result.get("agentCapabilities"))
        mcp = dict_of(capabilities.get("mcpCapabilities"))
        sessions = dict_of(capabilities.get("sessionCapabilities"))
        name, agent_version = text_of(info.get("name")), text_of(info.get("version"))
        steering = any(
            bool_of(steering) and dict_of(steering).get("supported", True) is True
            for steering in (
                dict_of(result.get("_meta")).get("steering"),
                dict_of(capabilities.get("_meta")).get("steering"),
            )
        )
        self._probed = _Probed(
            name=name[:200] if name else None,
            title=(first_text(info, "title") or "")[:200] or None,
            version=agent_version[:100] if agent_version else None,
            steering=steering,
            can_close=bool_of(sessions.get("close")),
            can_resume=bool_of(sessions.get("resume")),
            can_load=capabilities.get("loadSession") is True,
            http=bool_of(mcp.get("http")),
            sse=bool_of(mcp.get("sse")),
            logins=tuple(
                filter(None, (_login(dict_of(item)) for item in list_of(result.get("authMethods"))[:10])),
            ),
            quirks=quirks_of(name, agent_version),
        )
        self._facts = self._make_facts()
        self._warnings.clear()
        if self._again == "resumed":
            if self._facts.no_resume is not None:
                return self._failed(f"The session cannot go on in a new process: {self._facts.no_resume}.")
            return self._resume(RESUME if self._probed.can_resume else LOAD)
        self._stage = "session/new"
        params = {"cwd": self._spec.cwd, "mcpServers": self._mcp_servers()}
        return Received(out=tuple(self._request("session-new", "session/new", params)))

    def _mcp_servers(self) -> list[dict[str, Any]]:
        """The servers that this agent can reach; what it cannot is said, because it then cannot spawn sub-agents."""
        usable: list[dict[str, Any]] = []
        for server in self._spec.mcp_servers:
            kind = server.get("type")
            if (kind == "http" and not self._probed.http) or (kind == "sse" and not self._probed.sse):
                self._warnings.append(
                    f"{self._facts.agent} takes no MCP server over {str(kind).upper()}: "
                    f"the tools of {server.get('name', 'one server')!s} are not available to it."
                )
            else:
                usable.append(server)
        return usable

    def _opened(self, frame: Response) -> Received:
        if frame.error is not None:
            reason = self._why(frame.error)
            if frame.error.code == framing.AUTH_REQUIRED:
                return self._failed(reason)
            return self._failed(f"The agent could not open a session: {reason}")
        result = dict_of(frame.result)
        root = text_of(result.get("sessionId"))
        if not root:
            return self._failed("The agent opened a session without giving its id.")
        self._root = root
        return self._with_modes(result)

    def _resume(self, method: str) -> Received:
        """Take the session of the lost process up again: without its history where that is offered, for the journal
        has it."""
        self._stage = method
        params = {"sessionId": self._root, "cwd": self._spec.cwd, "mcpServers": self._mcp_servers()}
        return Received(out=tuple(self._request(method.replace("/", "-"), method, params)))

    def _resumed(self, frame: Response, method: str) -> Received:
        if frame.error is None:
            return self._with_modes(dict_of(frame.result))
        if method == RESUME and self._probed.can_load and not self._probed.quirks.load_fails:
            return self._resume(LOAD)
        return self._failed(
            f"The session could not go on in a new process ({method}): {self._why(frame.error).rstrip('.')}."
        )

    def _with_modes(self, result: dict[str, Any]) -> Received:
        """The session is open: bring it to the mode of the profile."""
        root = self._root
        modes = dict_of(result.get("modes"))
        earlier, earlier_modes = self._mode, self._modes
        self._mode = text_of(modes.get("currentModeId"))
        self._modes = tuple(
            {"id": mode["id"][:200], "name": (text_of(mode.get("name")) or mode["id"])[:200]}
            for mode in (dict_of(item) for item in list_of(modes.get("availableModes"))[:100])
            if text_of(mode.get("id"))
        )
        options = result.get("configOptions")
        if self._mode is None:
            self._mode = config_mode(options)
        if self._again == "resumed" and not self._modes:
            self._modes = earlier_modes
            if self._mode is None and self._spec.mode is None:
                self._mode = earlier
        if self._spec.mode is None or self._spec.mode == self._mode:
            return self._ready()
        self._stage = "session/set_mode"
        option = None if modes else _mode_option(options)
        if option is not None:
            params = {"sessionId": root, "configId": option, "value": self._spec.mode}
            return Received(out=tuple(self._request("set-mode", "session/set_config_option", params)))
        params = {"sessionId": root, "modeId": self._spec.mode}
        return Received(out=tuple(self._request("set-mode", "session/set_mode", params)))

    def _mode_set(self, frame: Response) -> Received:
        if frame.error is not None:
            # Going on in another mode could mean that nobody is asked before commands run.
            offered = ", ".join(mode["id"] for mode in self._modes)
            hint = f" It offers: {offered}." if offered else ""
            why = self._why(frame.error)
            return self._failed(f"The agent did not accept the mode {self._spec.mode!r} of the profile: {why}.{hint}")
        self._mode = self._spec.mode
        return self._ready()

    def _ready(self) -> Received:
        self._stage = "ready"
        probed = self._probed
        return Received(
            events=(
                Ready(
                    agent_name=probed.name,
                    agent_title=probed.title,
                    agent_version=probed.version,
                    protocol="acp/1",
                    mode=self._mode,
                    modes=self._modes,
                    again=self._again,
                    replayed=self._replayed,
                    warnings=(*self._warnings, *self._facts.notes),
                ),
            )
        )


def _number(value: RpcId | None) -> int:
    """The id of one of our requests, as it may come back; -1 for anything else."""
    if isinstance(value, bool) or value is None:
        return -1
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else -1
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else -1


def _login(method: dict[str, Any]) -> str | None:
    name = first_text(method, "name", "id")
    if name is None:
        return None
    description = first_text(method, "description")
    return f"{name[:100]} ({description[:200]})" if description and description != name else name[:100]


def _mode_option(options: Any) -> str | None:
    """The id of the configuration option that holds the mode."""
    for item in list_of(options):
        option = dict_of(item)
        if option.get("category") == "mode" or option.get("id") == "mode":
            return text_of(option.get("id"))
    return None
