"""Opens the list of approvals, reads what was asked before, and carries answers to the control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer
from shiboken6 import isValid

from mission_control_desktop.client.fleet import qualified
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditEntry
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.mission_control import AuditFilter, MissionControl, Page
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.control import GatewayPort
from mission_control_desktop.ui.error_words import told, unread
from mission_control_desktop.ui.planes import Plane, Planes

if TYPE_CHECKING:
    # Here alone: what paints questions takes longer to import than the first paint.
    from mission_control_desktop.ui.approvals.dialog import ApprovalsDialog
    from mission_control_desktop.ui.approvals.rows import Row
    from mission_control_desktop.ui.main_window.window import MainWindow

SETTLE_MS = 200
"""News within so long is listed once."""
PAGE = 100
"""Questions read at a time, the newest first, of each state; of the audit log twice as many rows, because an answer is
two of them: what was intended, and what was done."""
_STATES = (ApprovalState.ANSWERED, ApprovalState.EXPIRED)
_ACTIONS = (AuditAction.APPROVE, AuditAction.DENY)


async def _asked(mission_control: MissionControl, *, state: ApprovalState, cursor: str | None) -> Page[Approval]:
    return await mission_control.approvals(state=state, limit=PAGE, cursor=cursor, newest_first=True)


async def _answers(mission_control: MissionControl, *, action: AuditAction, cursor: str | None) -> Page[AuditEntry]:
    return await mission_control.audit(AuditFilter(action=action.value), limit=2 * PAGE, cursor=cursor)


class Past:
    """What was asked on one control plane before, as far back as it was read."""

    def __init__(self) -> None:
        self._approvals: dict[str, Approval] = {}
        self._entries: dict[str, AuditEntry] = {}
        self._next: dict[ApprovalState | AuditAction, str | None] = {}
        """The cursor of what is older, where there is more; by what is read."""

    @property
    def more(self) -> bool:
        """Whether there is anything older."""
        return any(self._next.values())

    async def read(self, plane: Plane, *, older: bool) -> None:
        """The newest, or a page more of what is older. Raises the tree of `domain.errors`."""
        call = plane.gateway.call
        async with asyncio.TaskGroup() as group:
            for state in _STATES:
                if not older or self._next.get(state):
                    work = partial(_asked, state=state, cursor=self._next[state] if older else None)
                    group.create_task(self._take_approvals(state, call(work), older=older))
            for action in _ACTIONS:
                if not older or self._next.get(action):
                    look = partial(_answers, action=action, cursor=self._next[action] if older else None)
                    group.create_task(self._take_entries(action, call(look), older=older))

    async def _take_approvals(self, what: ApprovalState, work: Awaitable[Page[Approval]], *, older: bool) -> None:
        page = await work
        known = any(one.approval_id in self._approvals for one in page.items)
        self._approvals |= {one.approval_id: one for one in page.items}
        self._note(what, page.next_cursor, anew=older or not known)

    async def _take_entries(self, what: AuditAction, work: Awaitable[Page[AuditEntry]], *, older: bool) -> None:
        page = await work
        known = any(one.id in self._entries for one in page.items)
        self._entries |= {one.id: one for one in page.items}
        self._note(what, page.next_cursor, anew=older or not known)

    def _note(self, what: ApprovalState | AuditAction, cursor: str | None, *, anew: bool) -> None:
        # The newest page again: it joins what was read further back, unless more than a page came between.
        if anew or what not in self._next:
            self._next[what] = cursor

    def rows(self, plane: str) -> list[Row]:
        """All that was read, the newest first."""
        from mission_control_desktop.ui.approvals.rows import history_rows

        entries = list(self._entries.values())
        named = [entry.metadata.get("approvalId") for entry in entries]
        ids = {name: qualified(plane, name) for name in named if isinstance(name, str)}
        # What the audit log alone knows names its session as its own control plane does.
        return [
            replace(row, session_id=qualified(plane, row.session_id))
            if row.approval is None and row.session_id
            else row
            for row in history_rows(self._approvals.values(), entries, ids)
        ]


class ApprovalsFlow(QObject):
    """At most one dialog at a time."""

    def __init__(self, window: MainWindow, planes: Planes, port: GatewayPort, tasks: Tasks, parent: QObject) -> None:
        super().__init__(parent)
        self._window, self._planes, self._port, self._tasks = window, planes, port, tasks
        self._dialog: ApprovalsDialog | None = None
        self._history: list[Row] = []
        self._past: dict[str, Past] = {}
        self._seen: dict[str, Approval] = {}
        self._problem = ""
        self._reading = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SETTLE_MS)
        self._soon.timeout.connect(self._read_soon)
        window.store.approvals_changed.connect(self._on_news)
        window.store.audit_arrived.connect(self._on_audit)
        window.store.sessions_changed.connect(self._on_sessions)
        planes.ready.connect(self._on_news)
        planes.came_or_went.connect(self._on_news)

    def open(self) -> ApprovalsDialog:
        """Open the list, or bring it to the front."""
        from mission_control_desktop.ui.approvals.dialog import ApprovalsDialog

        if self._dialog is not None and isValid(self._dialog):
            self._dialog.raise_()
            self._dialog.activateWindow()
            return self._dialog
        dialog = ApprovalsDialog(self._name_of, self._window, refusal=self._planes.refusal)
        dialog.answer_wanted.connect(self._on_answer)
        dialog.session_wanted.connect(self._window.open_session)
        dialog.finished.connect(self._on_closed)
        dialog.older_wanted.connect(self._read_older)
        self._dialog, self._history, self._seen, self._problem = dialog, [], {}, ""
        self._past = {}
        self._reading = True
        self._show()
        dialog.show()
        dialog.activateWindow()
        dialog.table.setFocus()
        self._tasks.start(self._read(), name="read approvals")
        return dialog

    def _on_closed(self) -> None:
        self._dialog = None

    def _name_of(self, session_id: str) -> str:
        session = self._window.store.sessions.get(session_id)
        name = words.name(session) if session is not None else session_id
        plane = self._planes.of(session_id)
        return f"{name} on {plane.name}" if plane is not None and plane.name else name

    # -- reading

    def _on_news(self) -> None:
        if self._dialog is not None:
            self._soon.start()

    def _on_audit(self, entries: list[AuditEntry]) -> None:
        if any(entry.action in (AuditAction.APPROVE, AuditAction.DENY) for entry in entries):
            self._on_news()

    def _on_sessions(self, session_ids: list[str]) -> None:
        if self._dialog is not None and not {a.session_id for a in self._window.store.approvals.values()}.isdisjoint(
            session_ids
        ):
            self._show()

    def _read_soon(self) -> None:
        self._show()
        self._tasks.start(self._read(), name="read approvals")

    def _read_older(self) -> None:
        self._reading = True
        self._show()
        self._tasks.start(self._read(older=True), name="read older approvals")

    async def _read(self, *, older: bool = False) -> None:
        found: list[Row] = []
        problems: list[str] = []
        past = self._past
        for plane in self._planes:
            one = past.setdefault(plane.key, Past())
            try:
                await one.read(plane, older=older)
            except* MissionControlError as group:
                what = f"Earlier questions{f' of {plane.name}' if plane.name else ''} cannot be read"
                found_wrong = (one for one in group.exceptions if isinstance(one, MissionControlError))
                problems += dict.fromkeys(unread(what, one) for one in found_wrong)
            found += one.rows(plane.key)
        if past is not self._past:
            return  # the list was closed and opened meanwhile
        self._reading = False
        self._history = sorted(found, key=lambda row: row.answered or row.asked or words.utc_now(), reverse=True)
        self._problem = " ".join(problems)
        self._show()

    def _show(self) -> None:
        if self._dialog is None:
            return
        from mission_control_desktop.ui.approvals.rows import gone_row, open_row

        store = self._window.store
        waiting = sorted(store.approvals.values(), key=lambda approval: approval.created_at)
        rows = [open_row(approval, store.sessions.get(approval.session_id)) for approval in waiting]
        rows.sort(key=lambda row: bool(row.stale))
        self._seen |= {approval.approval_id: approval for approval in waiting}
        known = {row.key for row in (*rows, *self._history)}
        # Nothing leaves the list while it is looked at: another question in its place would be answered by mistake.
        rows += [gone_row(approval) for key, approval in self._seen.items() if key not in known]
        rows += [row for row in self._history if row.key not in store.approvals]
        if self._reading:
            note = "Reading what was asked before…"
        elif not rows:
            note = "No agent has asked anything yet. Questions appear here, and in the panel of their session."
        else:
            note = (
                f"{words.plural(len(waiting), 'question waits', 'questions wait')}. Number keys answer the chosen one."
                if waiting
                else "No question waits."
            )
        self._dialog.show_rows(rows, f"{note} {self._problem}".strip())
        more = any(past.more for key, past in self._past.items() if self._planes.get(key) is not None)
        self._dialog.show_older(more, busy=self._reading)

    # -- answering

    def _on_answer(self, approval_id: str, option_id: str) -> None:
        self._tasks.start(self._answer(approval_id, option_id), name="answer")

    async def _answer(self, approval_id: str, option_id: str) -> None:
        try:
            approval = await self._port.answer(approval_id, option_id)
        except MissionControlError as error:
            if self._dialog is not None:
                by = error.details.get("answeredBy")
                self._dialog.failed(approval_id, f"Already answered by {by}" if by else told("Not answered", error))
            self._on_news()
        else:
            self._seen[approval_id] = approval
            self._window.store.put([approval])
