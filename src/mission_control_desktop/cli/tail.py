"""`tail`: a session's transcript as text, followed while it grows."""

from __future__ import annotations

import asyncio

import structlog

from mission_control_desktop.cli.ids import short_ids
from mission_control_desktop.cli.output import Output, one_line, safe, when
from mission_control_desktop.client.feeds import Feeds
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.inbox import Inbox, Link, LinkState
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.base import to_builtins
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import Delta, EventType, Reset, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageKind
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 1.0
"""How long to read on after a session has ended: its last words are on record, but may still be on their way."""
MAX_TOOL_LINES = 20


class Printer:
    """Writes a transcript from whole messages and deltas: streaming text as it comes, each word once."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._texts: dict[str, str] = {}
        self._shown: dict[str, tuple[str, ...]] = {}
        self._open: str | None = None
        self._status: str | None = None
        self.final = False

    def show(self, event: StreamEvent) -> None:
        if self._output.json:
            self._output.document({"id": event.event_id, "type": event.type.value, "data": to_builtins(event.data)})
            if isinstance(event.data, AgentSession):
                self.final = event.data.status.final
            return
        match event.data:
            case AgentMessage() as message:
                self._message(message)
            case Delta() as delta:
                self._delta(delta)
            case AgentSession() as session:
                self._session(session)
            case Receipt() as receipt:
                at = "" if receipt.position is None else f" (position {receipt.position})"
                detail = f": {receipt.detail}" if receipt.detail else ""
                self._line(f"-- message {receipt.injection_id[-8:]} {receipt.state.value}{at}{detail}")
            case Approval() as approval:
                self._approval(approval)
            case Reset():
                self._texts.clear()
                self._shown.clear()
                self._line("-- the record was rebuilt; from its beginning:")
        self._output.flush()

    def end(self) -> None:
        if self._open is not None:
            self._output.line()
            self._open = None
        self._output.flush()

    def _line(self, text: str) -> None:
        self.end()
        self._output.line(one_line(text))

    def _head(self, message: AgentMessage, more: str = "") -> None:
        self.end()
        kind = "" if message.kind is MessageKind.TEXT else f" {message.kind.value.replace('_', ' ')}"
        self._output.line(f"[{when(message.timestamp)}] [{message.role.value.upper()}]{kind}{more}")

    def _message(self, message: AgentMessage) -> None:
        if message.kind in (MessageKind.TEXT, MessageKind.THOUGHT, MessageKind.NOTICE):
            have = self._texts.get(message.message_id)
            if have is None:
                self._head(message)
            elif not message.content.startswith(have):
                self._head(message, " (changed)")
                have = None
            self._grow(message.message_id, (have or ""), message.content)
            return
        state = self._state(message)
        if self._shown.get(message.message_id) == state:
            return
        self._shown[message.message_id] = state
        self._head(message, f": {one_line(' '.join(state))}")
        if message.kind is MessageKind.TOOL_CALL and message.metadata.get("status") in ("completed", "failed"):
            lines = safe(message.content).splitlines()
            for line in lines[:MAX_TOOL_LINES]:
                self._output.line(f"    {line}")
            if len(lines) > MAX_TOOL_LINES:
                self._output.line(f"    ... {len(lines) - MAX_TOOL_LINES} more lines")
        if message.kind is MessageKind.PLAN:
            for entry in message.metadata.get("entries") or ():
                if isinstance(entry, dict):
                    self._output.line(
                        f"    {one_line(str(entry.get('status', '')))}: {one_line(str(entry.get('content', '')))}"
                    )

    @staticmethod
    def _state(message: AgentMessage) -> tuple[str, ...]:
        """What of an entry is worth a line; the same again is not."""
        metadata = message.metadata
        if message.kind is MessageKind.PLAN:
            entries = [entry for entry in metadata.get("entries") or () if isinstance(entry, dict)]
            done = sum(entry.get("status") == "completed" for entry in entries)
            return (f"{done} of {len(entries)} done", "" if metadata.get("complete", True) else "(so far)")
        parts = (metadata.get("title"), metadata.get("status"), metadata.get("state"), metadata.get("answer"))
        return tuple(str(part) for part in parts if part)

    def _delta(self, delta: Delta) -> None:
        have = self._texts.get(delta.message_id)
        if have is None or delta.offset > len(have):
            return  # an entry whose text is shown when it is complete
        whole = have[: delta.offset] + delta.text
        if len(whole) > len(have):
            self._grow(delta.message_id, have, whole)

    def _grow(self, message_id: str, have: str, whole: str) -> None:
        self._texts[message_id] = whole
        more = whole[len(have) :]
        if not more:
            return
        if self._open not in (None, message_id):
            self.end()
            self._output.line("  (goes on)")
        self._open = message_id
        self._output.text(safe(more))
        if whole.endswith("\n"):
            self._open = None

    def _session(self, session: AgentSession) -> None:
        self.final = session.status.final
        waiting = "" if session.waiting_for is None else f" for {session.waiting_for.value}"
        status = f"{session.status.value}{waiting}"
        if session.error:
            status += f": {session.error}"
        if status != self._status:
            self._status = status
            self._line(f"-- {status}")

    def _approval(self, approval: Approval) -> None:
        if approval.state is ApprovalState.OPEN:
            short = short_ids([approval.approval_id])[approval.approval_id]
            self._line(f"-- asks: {approval.title} (mission-control approvals allow|deny {short})")
        else:
            who = "" if approval.answered_by is None else f" by {approval.answered_by}"
            self._line(f"-- question {approval.state.value}{who}: {approval.title}")


async def tail(
    mission_control: HttpMissionControl, session_id: str, output: Output, *, count: int, follow: bool
) -> None:
    """Print the last `count` messages, then what comes, until the session has ended. Raises what refuses the stream."""
    printer = Printer(output)
    session = await mission_control.session(session_id)
    if not follow or session.status.final:
        printer.show(StreamEvent(event_id=None, type=EventType.SESSION, data=session))
        for message in await _last(mission_control, session_id, count):
            printer.show(StreamEvent(event_id=None, type=EventType.MESSAGE, data=message))
        printer.end()
        return
    woken = asyncio.Event()
    inbox = Inbox(woken.set)
    tasks = Tasks(lambda name, error: log.error("stream failed", task=name, exc_info=error))
    feeds = Feeds(mission_control, inbox, tasks)
    feeds.open_session(session_id, replay=count)
    try:
        while True:
            try:
                async with asyncio.timeout(SETTLE_SECONDS if printer.final else None):
                    await woken.wait()
            except TimeoutError:
                return
            woken.clear()
            for item in inbox.drain():
                if isinstance(item.event, Link):
                    _say(item.event, output)
                else:
                    printer.show(item.event)
    finally:
        printer.end()
        await feeds.close()
        await tasks.close()


async def _last(mission_control: HttpMissionControl, session_id: str, count: int) -> list[AgentMessage]:
    found: list[AgentMessage] = []
    before: int | None = None
    while len(found) < count:
        page = await mission_control.messages(session_id, limit=min(500, count - len(found)), before=before)
        found[:0] = page.items
        if page.next_cursor is None or not page.items:
            break
        before = int(page.next_cursor)
    return found


def _say(link: Link, output: Output) -> None:
    if link.state is LinkState.REFUSED:
        raise MissionControlError(link.error or "the stream was refused")
    if link.state is LinkState.RECONNECTING and link.attempt == 1:
        output.note(f"-- connection lost ({link.error}); trying again")
