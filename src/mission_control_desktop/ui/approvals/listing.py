"""Opens the list of approvals, reads what was asked before, and carries answers to the control plane."""

from __future__ import annotations

import asyncio
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
from mission_control_desktop.ui.planes import Plane, Planes

if TYPE_CHECKING:
    # Here alone: what paints questions takes longer to import than the first paint.
    from mission_control_desktop.ui.approvals.dialog import ApprovalsDialog
    from mission_control_desktop.ui.approvals.rows import Row
    from mission_control_desktop.ui.main_window.window import MainWindow

SETTLE_MS = 200
"""News within so long is listed once."""
ANSWERS = 400
"""Rows read from the audit log, of each kind: an answer is two of them, what was intended and what was done."""


async def _asked(mission_control: MissionControl, *, state: ApprovalState) -> Page[Approval]:
    return await mission_control.approvals(state=state)


async def _answers(mission_control: MissionControl, *, action: AuditAction) -> Page[AuditEntry]:
    return await mission_control.audit(AuditFilter(action=action.value), limit=ANSWERS)


class ApprovalsFlow(QObject):
    """At most one dialog at a time."""

    def __init__(self, window: MainWindow, planes: Planes, port: GatewayPort, tasks: Tasks, parent: QObject) -> None:
        super().__init__(parent)
        self._window, self._planes, self._port, self._tasks = window, planes, port, tasks
        self._dialog: ApprovalsDialog | None = None
        self._history: list[Row] = []
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
        self._dialog, self._history, self._seen, self._problem = dialog, [], {}, ""
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
        return words.name(session) if session is not None else session_id

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

    async def _read(self) -> None:
        found: list[Row] = []
        problems = []
        for plane in self._planes:
            try:
                found += await self._of(plane)
            except MissionControlError as error:
                problems.append(f"Earlier questions of {plane.title} cannot be read: {error.message}")
        self._reading = False
        self._history = sorted(found, key=lambda row: row.answered or row.asked or words.utc_now(), reverse=True)
        self._problem = " ".join(problems)
        self._show()

    async def _of(self, plane: Plane) -> list[Row]:
        from mission_control_desktop.ui.approvals.rows import history_rows

        call = plane.gateway.call
        answered, expired, allowed, denied = await asyncio.gather(
            call(partial(_asked, state=ApprovalState.ANSWERED)),
            call(partial(_asked, state=ApprovalState.EXPIRED)),
            call(partial(_answers, action=AuditAction.APPROVE)),
            call(partial(_answers, action=AuditAction.DENY)),
        )
        entries = [*allowed.items, *denied.items]
        named = [entry.metadata.get("approvalId") for entry in entries]
        ids = {name: qualified(plane.key, name) for name in named if isinstance(name, str)}
        rows = history_rows([*answered.items, *expired.items], entries, ids)
        # What the audit log alone knows names its session as its own control plane does.
        return [
            replace(row, session_id=qualified(plane.key, row.session_id))
            if row.approval is None and row.session_id
            else row
            for row in rows
        ]

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
            )
        self._dialog.show_rows(rows, f"{note} {self._problem}".strip())

    # -- answering

    def _on_answer(self, approval_id: str, option_id: str) -> None:
        self._tasks.start(self._answer(approval_id, option_id), name="answer")

    async def _answer(self, approval_id: str, option_id: str) -> None:
        try:
            approval = await self._port.answer(approval_id, option_id)
        except MissionControlError as error:
            if self._dialog is not None:
                by = error.details.get("answeredBy")
                self._dialog.failed(approval_id, f"Already answered by {by}" if by else error.message)
            self._on_news()
        else:
            self._seen[approval_id] = approval
            self._window.store.put([approval])
