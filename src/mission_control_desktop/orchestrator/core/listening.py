"""What the agent says, taken into the session's state: transcript, turns, questions, sub-agents, facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.sessions import Capabilities, Delivery, PauseKind
from mission_control_desktop.orchestrator.core import events as ev
from mission_control_desktop.orchestrator.core.ending import Ending
from mission_control_desktop.orchestrator.core.lifecycle import Cell
from mission_control_desktop.orchestrator.core.parts import Parts
from mission_control_desktop.orchestrator.core.runtime import Facts
from mission_control_desktop.orchestrator.core.step import Step


def root_capabilities(facts: Facts, *, opened: bool) -> Capabilities:
    """What can be done to a session whose agent lives. Before it is ready, messages wait for it."""
    inject: tuple[Delivery, ...] = (Delivery.QUEUE,)
    reasons: dict[str, str] = {}
    if not opened:
        reasons["steer"] = reasons["interrupt"] = "The agent is not ready yet; messages wait for it."
    elif facts.steering is None:
        inject = (Delivery.QUEUE, Delivery.INTERRUPT)
        reasons["steer"] = f"{facts.agent} takes no message in the middle of a turn."
    else:
        inject = (Delivery.STEER, Delivery.QUEUE, Delivery.INTERRUPT)
    return Capabilities(
        inject=inject,
        edit_queue=True,
        pause=PauseKind.SUSPEND,
        terminate=True,
        kill=True,
        approvals=True,
        reasons=reasons,
    )


MAX_ARGUMENTS_CHARS = 20_000


def _arguments(text: Any) -> dict[str, Any] | None:
    """The arguments of a tool call, if that is what its text was until now."""
    if not isinstance(text, str) or not text.startswith("{") or len(text) > MAX_ARGUMENTS_CHARS:
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Listening:
    def __init__(self, parts: Parts, ending: Ending) -> None:
        self._parts = parts
        self._ending = ending
        self._handlers: dict[type[ev.Event], Callable[[Step, Any], None]] = {
            ev.Ready: self._ready,
            ev.Failed: self._failed,
            ev.TurnState: self._turn_state,
            ev.Chunk: self._chunk,
            ev.ToolUpsert: self._tool,
            ev.PlanUpsert: self._plan,
            ev.PermissionAsked: self._asked,
            ev.PermissionWithdrawn: self._withdrawn,
            ev.UsageChanged: self._usage,
            ev.ModeChanged: self._mode,
            ev.TitleChanged: self._title,
            ev.CommandsChanged: self._commands,
            ev.SubAgent: self._subagent,
            ev.PeerMessage: self._peer,
            ev.Notice: self._notice,
            ev.SteerResult: self._steered,
            ev.Pull: self._pull,
            ev.Closed: self._closed,
            ev.Unknown: self._unknown,
            ev.Garbage: self._garbage,
        }

    def take(self, step: Step, event: ev.Event) -> None:
        """Take one event. What comes after the end may still add to the transcript, and changes nothing else."""
        if self._parts.root.final and not isinstance(event, ev.Chunk | ev.ToolUpsert | ev.PeerMessage | ev.Notice):
            return
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(step, event)

    def _cell(self, step: Step, event: ev.Event) -> Cell | None:
        if event.session is None:
            return self._parts.root
        if self._parts.root.final:
            session_id = self._parts.children.session_id(event.session)
            return next((c for c in self._parts.children.cells() if c.session_id == session_id), None)
        cell = self._parts.children.find(step, event.session)
        if cell is not None:
            cell.seen(step, "agent")
        return cell

    # ------------------------------------------------------------------ the opening

    def _ready(self, step: Step, event: ev.Ready) -> None:
        root = self._parts.root
        agent = {"name": event.agent_name, "title": event.agent_title, "version": event.agent_version}
        root.set("agent", {key: value for key, value in agent.items() if value is not None})
        root.set("protocol", event.protocol)
        root.set("mode", event.mode)
        root.set("modes", list(event.modes) or None)
        if root.agent_type is None:
            root.agent_type = event.agent_name
        root.capabilities = root_capabilities(self._parts.runtime.facts, opened=True)
        root.dirty = True
        if event.again is None:
            for warning in event.warnings:
                root.transcript.notice(step, "warning", warning)
        elif event.again == "fresh":
            root.transcript.notice(step, "info", "The agent is ready in its new process.")
        else:
            text = "The agent has resumed the session in its new process."
            if event.replayed:
                text += f" What it repeated of the past ({event.replayed} updates) is left out."
            root.transcript.notice(step, "info", text)

    def _failed(self, step: Step, event: ev.Failed) -> None:
        self._ending.fail(step, event.message)

    # ------------------------------------------------------------------ turns

    def _turn_state(self, step: Step, event: ev.TurnState) -> None:
        if event.session is not None:
            self._cell(step, event)
            self._parts.children.state(step, event.session, event.state, event.stop_reason, event.error)
            return
        if event.tokens:
            self._parts.root.set_usage({"tokens": event.tokens})
        if self._parts.turns.state(step, event):
            self._parts.children.turn_ended(step)
            self._ending.sequence.turn_ended(step, self._ending)

    def _steered(self, step: Step, event: ev.SteerResult) -> None:
        self._parts.turns.steered(step, event)

    def _pull(self, step: Step, event: ev.Pull) -> None:
        if self._ending.dying:
            return
        held = self._parts.pausing.held or self._ending.outcome is not None
        self._parts.turns.pulled(step, event.token, held=held)

    def _closed(self, step: Step, event: ev.Closed) -> None:
        self._ending.sequence.closed(step, self._ending)

    # ------------------------------------------------------------------ the transcript

    def _output(self, step: Step, cell: Cell) -> None:
        if cell is self._parts.root:
            self._parts.turns.output(step)

    def _chunk(self, step: Step, event: ev.Chunk) -> None:
        cell = self._cell(step, event)
        if cell is not None:
            if event.kind != "user":
                self._output(step, cell)
            cell.transcript.chunk(step, event)

    def _tool(self, step: Step, event: ev.ToolUpsert) -> None:
        cell = self._cell(step, event)
        if cell is None:
            return
        self._output(step, cell)
        linked = [found for found in map(self._parts.children.session_id, event.sessions or ()) if found is not None]
        if linked:
            cell.transcript.tool(step, event, sessions=linked)
        else:
            cell.transcript.tool(step, event)

    def _plan(self, step: Step, event: ev.PlanUpsert) -> None:
        cell = self._cell(step, event)
        if cell is not None:
            self._output(step, cell)
            cell.transcript.plan(step, event)

    def _peer(self, step: Step, event: ev.PeerMessage) -> None:
        cell = self._cell(step, event)
        if cell is None:
            return
        sender = self._name(event.sender)
        if event.sender is None or sender == cell.session_id:
            recipient = self._name(event.recipient)
            cell.transcript.peer(step, event, MessageRole.AGENT, **({"to": recipient} if recipient else {}))
        else:
            cell.transcript.peer(step, event, MessageRole.USER, **{"from": sender or event.sender[:200]})

    def _name(self, runtime_id: str | None) -> str | None:
        """The control-plane id of a session that the agent names; the root's is the only one not announced."""
        if runtime_id is None:
            return None
        return self._parts.children.session_id(runtime_id) or self._parts.root.session_id

    def _notice(self, step: Step, event: ev.Notice) -> None:
        cell = self._cell(step, event)
        if cell is None:
            return
        if event.notice_id is None:
            cell.transcript.notice(step, event.level, event.text, source="agent")
            return
        cell.transcript.upsert_notice(
            step, event.notice_id, event.level, event.text, append=event.append, complete=event.complete
        )

    def _garbage(self, step: Step, event: ev.Garbage) -> None:
        self._parts.root.transcript.junk(step, event.text)

    # ------------------------------------------------------------------ questions

    def _asked(self, step: Step, event: ev.PermissionAsked) -> None:
        cell = self._cell(step, event)
        if cell is None or self._ending.dying:
            return
        parts = self._parts
        self._output(step, cell)
        parts.children.asks(step, cell.native)
        tool: dict[str, Any] = {}
        if event.tool is not None:
            earlier = cell.transcript.tool_metadata(event.tool.tool_call_id).get("text")
            cell.transcript.tool(step, event.tool)
            tool = cell.transcript.tool_metadata(event.tool.tool_call_id)
            if tool.get("input") is None:
                # Kimi prints the whole arguments first, and cuts a long command in its question.
                tool["input"] = _arguments(earlier)
        else:
            cell.transcript.close_text(step)
        ask = parts.approvals.ask(
            step, event, owner=cell.native, session_id=cell.session_id, provider=parts.spec.provider, tool=tool
        )
        turn = parts.turns.turn
        if cell is parts.root and turn is not None and turn.cancelled:
            parts.approvals.expire(step, ask, "the turn was cancelled")
            parts.turns.reply(ask.token, None)

    def _withdrawn(self, step: Step, event: ev.PermissionWithdrawn) -> None:
        ask = self._parts.approvals.by_token(event.token)
        if ask is not None:
            self._parts.approvals.expire(step, ask, "the agent took the question back")
        self._parts.turns.drop_reply(event.token)

    # ------------------------------------------------------------------ facts

    def _usage(self, step: Step, event: ev.UsageChanged) -> None:
        cell = self._cell(step, event)
        if cell is not None:
            cell.set_usage(event.usage)

    def _mode(self, step: Step, event: ev.ModeChanged) -> None:
        cell = self._cell(step, event)
        if cell is not None:
            cell.set("mode", event.mode[:200])

    def _title(self, step: Step, event: ev.TitleChanged) -> None:
        cell = self._cell(step, event)
        if cell is None:
            return
        if cell is self._parts.root and self._parts.spec.title is not None:
            cell.set("agentTitle", event.title)  # the title that a person gave stays
        else:
            cell.set_title(event.title)

    def _commands(self, step: Step, event: ev.CommandsChanged) -> None:
        cell = self._cell(step, event)
        if cell is not None:
            cell.set("commands", list(event.names))

    def _unknown(self, step: Step, event: ev.Unknown) -> None:
        self._parts.root.count("unknownUpdates", event.kind)

    def _subagent(self, step: Step, event: ev.SubAgent) -> None:
        cell = self._parts.children.report(step, event)
        if cell is not None:
            cell.seen(step, "agent")
