"""Updates of a session, as ACP version 1 sends them (and what agents send beyond it), translated into core events.

Sources: the published schema of version 1 with its unstable parts (sub-agents, plan updates), the notices and
compaction of its 2026 additions, version 2's `state_update`, and the earlier dialect of sub-agents
(`subagent_spawned`, `subagent_state_update`, `subagent_finished`), which adapters sent before the final text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from mission_control_desktop.orchestrator.acp.fields import (
    block_text,
    blocks_text,
    bool_of,
    bounded,
    dict_of,
    first_text,
    list_of,
    text_of,
)
from mission_control_desktop.orchestrator.core.events import (
    Chunk,
    CommandsChanged,
    Event,
    ModeChanged,
    Notice,
    PeerMessage,
    PlanUpsert,
    SubAgent,
    TitleChanged,
    ToolUpsert,
    TurnState,
    TurnStateName,
    Unknown,
    UsageChanged,
)

TOOL_KINDS = frozenset({"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "other"})
TOOL_STATUSES = {
    "pending": "pending",
    "in_progress": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
    "canceled": "failed",
    "running": "in_progress",
}
MAX_LISTED = 500
MAX_DIFF_CHARS = 1_000_000
"""Text of all diffs of one tool call that is kept; with more, each is cut to its share."""


def translate(session: str | None, update: dict[str, Any], frame: Any = None) -> list[Event]:
    """The events that one update means; an update of an unknown kind gives one `Unknown`."""
    kind = update.get("sessionUpdate")
    if not isinstance(kind, str):
        return [Unknown(session=session, kind="(no kind)", raw=frame)]
    reader = _READERS.get(kind)
    if reader is None:
        return [Unknown(session=session, kind=kind[:100], raw=frame)]
    return reader(session, update)


def tool_upsert(session: str | None, call: dict[str, Any], *, raw: Any = None) -> ToolUpsert | None:
    """A tool call or an update of one; None without an id."""
    call_id = text_of(call.get("toolCallId"))
    if not call_id:
        return None
    kind, status = text_of(call.get("kind")), text_of(call.get("status"))
    output, diffs, terminals, sessions = _tool_content(call)
    locations = call.get("locations")
    # The output of commands that an agent runs itself goes in `_meta` (Codex), because we offer no terminals.
    meta = dict_of(call.get("_meta"))
    code = dict_of(meta.get("terminal_exit")).get("exit_code")
    return ToolUpsert(
        session=session,
        tool_call_id=call_id,
        title=first_text(call, "title"),
        name=first_text(call, "name"),
        kind=None if kind is None else (kind if kind in TOOL_KINDS else "other"),
        status=None if status is None else TOOL_STATUSES.get(status),
        text=output,
        append=text_of(dict_of(meta.get("terminal_output")).get("data")),
        diffs=diffs,
        terminals=terminals,
        sessions=sessions,
        locations=_locations(locations) if isinstance(locations, list) else None,
        input=bounded(call["rawInput"]) if call.get("rawInput") is not None else None,
        exit_code=code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**31 else None,
        raw=raw,
    )


def _locations(value: list[Any]) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for item in value[:MAX_LISTED]:
        path = text_of(dict_of(item).get("path"))
        if path:
            line = item.get("line")
            known = isinstance(line, int) and not isinstance(line, bool) and 0 <= line < 2**31
            found.append({"path": path, "line": line} if known else {"path": path})
    return tuple(found)


def _tool_content(
    call: dict[str, Any],
) -> tuple[str | None, tuple[dict[str, Any], ...] | None, tuple[str, ...] | None, tuple[str, ...] | None]:
    """Text, diffs, terminals and linked sessions of a tool call; None where nothing was said about them."""
    content = call.get("content")
    if not isinstance(content, list):
        return _raw_output(call.get("rawOutput")), None, None, None
    texts: list[str] = []
    diffs: list[dict[str, Any]] = []
    terminals: list[str] = []
    sessions: list[str] = []
    share = max(2_000, MAX_DIFF_CHARS // max(1, 2 * sum(1 for item in content if dict_of(item).get("type") == "diff")))
    for item in content[:10_000]:
        entry = dict_of(item)
        kind = entry.get("type")
        if kind == "diff":
            new = bounded(text_of(entry.get("newText")) or "", share)
            diff = {"path": (text_of(entry.get("path")) or "")[:4_000], "newText": new}
            old = text_of(entry.get("oldText"))
            if old is not None:
                diff["oldText"] = bounded(old, share)
            if len(diffs) < MAX_LISTED:
                diffs.append(diff)
        elif kind == "terminal":
            terminals.append(text_of(entry.get("terminalId")) or "")
        elif kind == "session":
            sessions.append(text_of(entry.get("sessionId")) or "")
        elif kind == "content":
            texts.append(block_text(entry.get("content")))
        else:
            texts.append(block_text(entry))
    output = "\n".join(filter(None, texts))
    if not output:
        output = _raw_output(call.get("rawOutput")) or ""
    return output, tuple(diffs), tuple(terminals), tuple(filter(None, sessions))


def _raw_output(value: Any) -> str | None:
    """Text of a raw output, for agents that put it nowhere else."""
    if isinstance(value, str):
        return value
    output = dict_of(value)
    return first_text(output, "formatted_output", "aggregated_output", "output", "stdout", "text", "content", "error")


def _chunk(kind: Literal["text", "thought", "user"]) -> Callable[[str | None, dict[str, Any]], list[Event]]:
    def read(session: str | None, update: dict[str, Any]) -> list[Event]:
        text = block_text(update.get("content"))
        if not text:
            return []
        # Qwen marks what it says about its background agents, and for them, as messages of their own.
        whole = dict_of(update.get("_meta")).get("qwenDiscreteMessage") is True
        return [Chunk(session=session, kind=kind, text=text, message_id=text_of(update.get("messageId")), whole=whole)]

    return read


def _tool(session: str | None, update: dict[str, Any]) -> list[Event]:
    event = tool_upsert(session, update)
    return [event] if event is not None else [Unknown(session=session, kind="tool_call without id")]


def _tool_chunk(session: str | None, update: dict[str, Any]) -> list[Event]:
    call_id = text_of(update.get("toolCallId"))
    entry = dict_of(update.get("content"))
    text = block_text(entry.get("content") if entry.get("type") == "content" else entry)
    if not call_id or not text:
        return []
    return [ToolUpsert(session=session, tool_call_id=call_id, append=text)]


def _plan_entries(value: Any) -> tuple[dict[str, Any], ...]:
    entries: list[dict[str, Any]] = []
    for item in list_of(value)[:MAX_LISTED]:
        entry = dict_of(item)
        content = first_text(entry, "content", "title", "text")
        if content is None:
            continue
        known: dict[str, Any] = {
            "content": bounded(content, 4_000),
            "status": text_of(entry.get("status")) or "pending",
        }
        if priority := text_of(entry.get("priority")):
            known["priority"] = priority
        entries.append(known)
    return tuple(entries)


def _plan(session: str | None, update: dict[str, Any]) -> list[Event]:
    return [PlanUpsert(session=session, entries=_plan_entries(update.get("entries")))]


def _plan_update(session: str | None, update: dict[str, Any]) -> list[Event]:
    plan = dict_of(update.get("plan")) or update
    plan_id = text_of(plan.get("planId")) or text_of(plan.get("id"))
    entries = _plan_entries(plan.get("entries"))
    text = first_text(plan, "content", "uri") if not entries else None
    return [PlanUpsert(session=session, plan_id=plan_id, entries=entries, text=text)]


def _plan_removed(session: str | None, update: dict[str, Any]) -> list[Event]:
    plan = dict_of(update.get("plan")) or update
    return [PlanUpsert(session=session, plan_id=text_of(plan.get("planId")), removed=True)]


def _commands(session: str | None, update: dict[str, Any]) -> list[Event]:
    listed = (text_of(dict_of(item).get("name")) for item in list_of(update.get("availableCommands"))[:MAX_LISTED])
    return [CommandsChanged(session=session, names=tuple(name[:200] for name in listed if name))]


def _mode(session: str | None, update: dict[str, Any]) -> list[Event]:
    mode = first_text(update, "currentModeId", "modeId")
    return [ModeChanged(session=session, mode=mode)] if mode else []


def config_mode(options: Any) -> str | None:
    """The mode among a session's configuration options, where agents without `modes` keep it."""
    for item in list_of(options):
        option = dict_of(item)
        if option.get("category") == "mode" or option.get("id") == "mode":
            return text_of(option.get("currentValue"))
    return None


def _config(session: str | None, update: dict[str, Any]) -> list[Event]:
    mode = config_mode(update.get("configOptions"))
    return [ModeChanged(session=session, mode=mode)] if mode else []


def _info(session: str | None, update: dict[str, Any]) -> list[Event]:
    title = first_text(update, "title")
    return [TitleChanged(session=session, title=" ".join(title.split())[:200])] if title else []


def _usage(session: str | None, update: dict[str, Any]) -> list[Event]:
    usage: dict[str, Any] = {}
    for name in ("used", "size"):
        value = update.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
            usage[name] = value
    cost = dict_of(update.get("cost"))
    amount = cost.get("amount")
    if isinstance(amount, int | float) and not isinstance(amount, bool) and abs(amount) < 1e12:
        usage["cost"] = {"amount": amount, "currency": text_of(cost.get("currency")) or "USD"}
    return [UsageChanged(session=session, usage=usage)] if usage else []


def _notice(session: str | None, update: dict[str, Any]) -> list[Event]:
    severity = update.get("severity") or update.get("level")
    parts = (first_text(update, "title", "message", "text"), first_text(update, "description"))
    text = "\n".join(part for part in parts if part)
    if not text:
        return []
    if severity == "error":
        return [Notice(session=session, level="error", text=text)]
    return [Notice(session=session, level="warning" if severity == "warning" else "info", text=text)]


def _compaction(session: str | None, update: dict[str, Any]) -> list[Event]:
    notice_id = f"compaction:{text_of(update.get('compactionId')) or ''}"
    status = text_of(update.get("status"))
    if status == "failed":
        why = first_text(update, "error")
        text = f"Compacting the context failed: {why}" if why else "Compacting the context failed."
        return [Notice(session=session, notice_id=notice_id, level="warning", text=text)]
    if status == "cancelled":
        return [
            Notice(session=session, notice_id=notice_id, level="info", text="Compacting the context was cancelled.")
        ]
    if status == "completed":
        summary = blocks_text(update.get("summary")) if update.get("summary") else ""
        text = f"The context was compacted.\n{summary}" if summary else "The context was compacted."
        return [Notice(session=session, notice_id=notice_id, level="info", text=text)]
    return [
        Notice(
            session=session, notice_id=notice_id, level="info", text="The context is being compacted.", complete=False
        )
    ]


def _compaction_chunk(session: str | None, update: dict[str, Any]) -> list[Event]:
    text = blocks_text(update.get("content") or update.get("summary"))
    if not text:
        return []
    notice_id = f"compaction:{text_of(update.get('compactionId')) or ''}"
    return [Notice(session=session, notice_id=notice_id, level="info", text=text, append=True, complete=False)]


_IDLE_WORDS = frozenset({"idle", "completed", "finished", "done", "failed", "cancelled", "canceled", "disconnected"})


def _state(value: Any) -> tuple[TurnStateName | None, str | None, str | None]:
    """State, stop reason and error text of a state report, in any of the dialects."""
    report = dict_of(value)
    name = text_of(value) or first_text(report, "state", "status", "type")
    stop: Any = report.get("stopReason") or report.get("stop_reason")
    error: str | None = None
    if isinstance(stop, dict):  # the unstable error stop reason is an object
        error = first_text(dict_of(stop.get("error")), "message") or first_text(stop, "message", "error")
        stop = first_text(stop, "type", "reason") or "error"
    reason = text_of(stop)
    if error is None and isinstance(report.get("error"), dict | str):
        error = text_of(report["error"]) or first_text(dict_of(report["error"]), "message")
    if name == "running":
        return "running", None, None
    if name == "requires_action":
        return "requires_action", None, None
    if name in _IDLE_WORDS:
        if reason is None and name not in ("idle", "completed", "finished", "done"):
            reason = "cancelled" if name in ("cancelled", "canceled") else name
        return "idle", reason, error
    return None, None, None


def _state_update(session: str | None, update: dict[str, Any]) -> list[Event]:
    state, reason, error = _state(update)
    if state is None:
        return [Unknown(session=session, kind="state_update of an unknown state")]
    return [TurnState(session=session, state=state, stop_reason=reason, error=error)]


def _subagent(session: str | None, update: dict[str, Any]) -> list[Event]:
    child = first_text(update, "sessionId", "childSessionId", "child_session_id", "subagentSessionId", "subagentId")
    if child is None:
        return [Unknown(session=session, kind="subagent_update without id")]
    kind = update.get("sessionUpdate")
    reported = update.get("state")
    if reported is None:
        reported = update.get("status")
    if reported is None and kind == "subagent_spawned":
        reported = "running"
    if reported is None and kind == "subagent_finished":
        reported = "completed"
    state, reason, error = _state(reported)
    if state == "idle" and reason is None:
        reason = first_text(update, "stopReason", "stop_reason")
    if kind == "subagent_finished" and reason is None:
        reason = "end_turn"
    capabilities = update.get("capabilities")
    can_cancel = None
    if "capabilities" in update:
        can_cancel = bool_of(dict_of(capabilities).get("cancel"))
    parent = first_text(update, "parentSessionId", "parent_session_id") or session
    return [
        SubAgent(
            session=parent,
            child=child,
            title=first_text(update, "title", "name", "subagent_type"),
            description=first_text(update, "description", "task"),
            state=state,
            stop_reason=reason,
            error=error,
            can_cancel=can_cancel,
        )
    ]


def _peer(append: bool) -> Callable[[str | None, dict[str, Any]], list[Event]]:
    def read(session: str | None, update: dict[str, Any]) -> list[Event]:
        message_id = text_of(update.get("messageId"))
        content = update.get("content")
        if not message_id or (content is None and "content" not in update):
            return []
        return [
            PeerMessage(
                session=session,
                message_id=message_id,
                text=blocks_text(content) if content is not None else "",
                append=append,
                sender=text_of(update.get("senderSessionId")),
                recipient=text_of(update.get("recipientSessionId")),
            )
        ]

    return read


def _nothing(session: str | None, update: dict[str, Any]) -> list[Event]:
    return []


_READERS: dict[str, Callable[[str | None, dict[str, Any]], list[Event]]] = {
    "agent_message_chunk": _chunk("text"),
    "agent_thought_chunk": _chunk("thought"),
    "user_message_chunk": _chunk("user"),
    "tool_call": _tool,
    "tool_call_update": _tool,
    "tool_call_content_chunk": _tool_chunk,
    "plan": _plan,
    "plan_update": _plan_update,
    "plan_removed": _plan_removed,
    "available_commands_update": _commands,
    "current_mode_update": _mode,
    "config_option_update": _config,
    "session_info_update": _info,
    "usage_update": _usage,
    "notice": _notice,
    "compaction_update": _compaction,
    "compaction_summary_chunk": _compaction_chunk,
    "state_update": _state_update,
    "subagent_update": _subagent,
    "subagent_spawned": _subagent,
    "subagent_state_update": _subagent,
    "subagent_finished": _subagent,
    "session_message": _peer(append=False),
    "session_message_chunk": _peer(append=True),
    "user_message": _nothing,  # version 2's echo of what was sent
}
SUBAGENT_KINDS = frozenset({"subagent_update", "subagent_spawned", "subagent_state_update", "subagent_finished"})
