"""What a runtime reports: one vocabulary for every kind of agent, after the event model of ACP version 2.

A session works in turns (running, requires_action, idle with a stop reason); everything that has an id is inserted or
changed by that id. A field that is None was not said and stays as it was.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TurnStateName = Literal["running", "requires_action", "idle"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`session` is the runtime's own id of the session that this is about; None is the root. `raw` is the frame."""

    session: str | None = None
    raw: Any = None


class Ready(Event, frozen=True, kw_only=True):
    """The agent takes prompts now. `modes` are [{id, name}]; `warnings` are things that a person should know."""

    agent_name: str | None = None
    agent_title: str | None = None
    agent_version: str | None = None
    protocol: str = ""
    mode: str | None = None
    modes: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    again: Literal["resumed", "fresh"] | None = None
    """It is not the session's first process: it took the session up, or began a new one."""
    replayed: int = 0
    """Updates by which it repeated the past; they were left out."""


class Failed(Event, frozen=True, kw_only=True):
    """The agent cannot be used; the message says why and what to do."""

    message: str


class TurnState(Event, frozen=True, kw_only=True):
    """A turn began, waits for a person, or ended. `ref` names the prompt whose turn it is, if it was ours."""

    state: TurnStateName
    ref: str | None = None
    stop_reason: str | None = None
    error: str | None = None
    tokens: dict[str, Any] | None = None


class Chunk(Event, frozen=True, kw_only=True):
    """A piece of a message. `whole`: it is all of its message, and nothing before or after it belongs to it."""

    kind: Literal["text", "thought", "user"]
    text: str
    message_id: str | None = None
    whole: bool = False


class ToolUpsert(Event, frozen=True, kw_only=True):
    """A tool call, inserted or changed by `tool_call_id`. `text` replaces the output, `append` adds to it. `name` is
    the tool's; it stands in for a title until there is one."""

    tool_call_id: str
    title: str | None = None
    name: str | None = None
    kind: str | None = None
    status: str | None = None
    text: str | None = None
    append: str | None = None
    diffs: tuple[dict[str, Any], ...] | None = None
    terminals: tuple[str, ...] | None = None
    sessions: tuple[str, ...] | None = None
    locations: tuple[dict[str, Any], ...] | None = None
    input: Any = None
    exit_code: int | None = None


class PlanUpsert(Event, frozen=True, kw_only=True):
    """A plan, replaced as a whole: entries [{content, priority?, status}] or a text. `removed` takes it away."""

    plan_id: str | None = None
    entries: tuple[dict[str, Any], ...] = ()
    text: str | None = None
    removed: bool = False


class PermissionAsked(Event, frozen=True, kw_only=True):
    """The agent waits for an answer. `token` names the question towards the runtime."""

    token: str
    tool: ToolUpsert | None
    options: tuple[dict[str, str], ...]
    """[{optionId, kind, name}]"""


class PermissionWithdrawn(Event, frozen=True, kw_only=True):
    token: str


class UsageChanged(Event, frozen=True, kw_only=True):
    usage: dict[str, Any]


class ModeChanged(Event, frozen=True, kw_only=True):
    mode: str


class TitleChanged(Event, frozen=True, kw_only=True):
    title: str


class CommandsChanged(Event, frozen=True, kw_only=True):
    names: tuple[str, ...]


class SubAgent(Event, frozen=True, kw_only=True):
    """`session` announced the sub-agent `child`, or says something new about it."""

    child: str
    title: str | None = None
    description: str | None = None
    state: TurnStateName | None = None
    stop_reason: str | None = None
    error: str | None = None
    can_cancel: bool | None = None


class PeerMessage(Event, frozen=True, kw_only=True):
    """A message between two sessions, as it stands in the transcript of `session`."""

    message_id: str
    text: str
    append: bool
    sender: str | None = None
    recipient: str | None = None


class Notice(Event, frozen=True, kw_only=True):
    """Something a person should see that is not part of the conversation; with `notice_id` it is an upsert."""

    level: Literal["info", "warning", "error"]
    text: str
    notice_id: str | None = None
    append: bool = False
    complete: bool = True


class SteerResult(Event, frozen=True, kw_only=True):
    """What became of a message that was put into a running turn."""

    ref: str
    outcome: Literal["injected", "new_turn", "prompt_required", "failed"]
    detail: str | None = None


class Pull(Event, frozen=True, kw_only=True):
    """The agent asks for messages that wait to be put into its turn; answered with `Runtime.pulled`."""

    token: str


class Closed(Event, frozen=True, kw_only=True):
    """The agent answered our request to close the session."""


class Unknown(Event, frozen=True, kw_only=True):
    """Something of a kind that we do not know; counted, otherwise ignored."""

    kind: str


class Garbage(Event, frozen=True, kw_only=True):
    """A line that is no message of the protocol."""

    text: str
