"""Asks before several sessions are terminated or killed, lists what is hit, and tells what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.limits import MAX_REASON_CHARS
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.panel.wording import ending_means, ending_possible
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.several.targets import Target, TargetsModel, TargetsTable, target


class EndSeveralDialog(FittingDialog):
    """Kill needs a reason; terminate offers one. The button that acts is never the default one, and Return presses
    nothing. A session below another chosen one ends with it and is not ordered to end by itself."""

    confirmed = Signal(list, str)
    """Session ids, from the top down, and the reason."""

    def __init__(
        self,
        store: SessionStore,
        session_ids: Sequence[str],
        *,
        kill: bool,
        parent: QWidget | None = None,
        why_not: Callable[[str], str] = lambda _session_id: "",
    ) -> None:
        super().__init__(parent)
        self._why_not = why_not
        self._store, self._ids, self._kill = store, list(session_ids), kill
        self._begun = False
        self._verb = "Kill" if kill else "Terminate"
        self.setObjectName("dialog.kill_several" if kill else "dialog.terminate_several")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(680, 400)
        self.resize(860, 480)
        self._title = QLabel()
        self._title.setProperty("tone", "title")
        self._what = QLabel(f"For each of them: {ending_means(kill=kill)}.")
        self._what.setWordWrap(True)
        self.model = TargetsModel(("What will happen", "Result"), self)
        self.table = TargetsTable(self.model, "Sessions to end")
        self.reason = QLineEdit()
        self.reason.setObjectName("reason")
        self.reason.setMaxLength(MAX_REASON_CHARS)
        self.reason.setPlaceholderText("Why? It goes into the audit log.")
        self.reason.setAccessibleName("Reason")
        self._label = QLabel("&Reason" if kill else "&Reason (optional)")
        self._label.setBuddy(self.reason)
        self.cancel = QPushButton("Cancel")
        self.cancel.clicked.connect(self.reject)
        self.act = QPushButton()
        self.act.setObjectName("act")
        if kill:
            self.act.setProperty("kind", "danger")
        self.act.clicked.connect(self._on_act)
        for button in (self.cancel, self.act):
            button.setAutoDefault(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        for widget in (self._title, self._what):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1)
        layout.addWidget(self._label)
        layout.addWidget(self.reason)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        buttons.addWidget(self.act)
        self.reason.textChanged.connect(lambda _text: self._refresh())
        self.model.wanted_changed.connect(self._list)
        store.sessions_changed.connect(self._on_sessions)
        self._list()
        self.reason.setFocus()

    def _list(self) -> None:
        unwanted = {one.session_id for one in self.model.targets if not one.wanted}
        self.model.take(self._target(session_id, unwanted) for session_id in self._ids)
        self._refresh()

    def _target(self, session_id: str, unwanted: set[str]) -> Target:
        session = self._store.sessions.get(session_id)
        if session is None:
            return Target(session_id, session_id, "", "Left out: it is no longer known", can=False)
        above = self._chosen_above(session, unwanted)
        if above is not None and not session.status.final:
            return target(session, can=False, will=f"Ends with {words.name(above)}")
        if why_not := self._why_not(session_id):
            return target(session, can=False, will=f"Left out: {why_not}")
        possible = ending_possible(session, self._verb.lower())
        if not possible.can:
            return target(session, can=False, will=f"Left out: {possible.words}")
        live = sum(not below.status.final for below in self._store.descendants(session_id))
        tail = f", with {words.plural(live, 'agent')} below it" if live else ""
        return target(session, can=True, will=f"{theme.status_text(session)}: ends{tail}")

    def _chosen_above(self, session: AgentSession, unwanted: set[str]) -> AgentSession | None:
        """The nearest ancestor that will be ended, too."""
        passed: set[str] = set()
        above = self._store.sessions.get(session.parent_session_id or "")
        while above is not None and above.session_id not in passed:
            passed.add(above.session_id)
            chosen = above.session_id in self._ids and above.session_id not in unwanted
            if chosen and not self._why_not(above.session_id) and ending_possible(above, self._verb.lower()).can:
                return above
            above = self._store.sessions.get(above.parent_session_id or "")
        return None

    def _refresh(self) -> None:
        chosen = sum(one.included for one in self.model.targets)
        if self._begun:
            return
        self._title.setText(f"{self._verb} {words.plural(chosen, 'session')}")
        self.setWindowTitle(self._title.text())
        self.act.setText(f"{self._verb} {chosen}")
        reason = bool(self.reason.text().strip()) or not self._kill
        self.act.setEnabled(bool(chosen) and reason)
        missing = [what for what, ok in (("a session", chosen), ("a reason", reason)) if not ok]
        self.act.setToolTip(f"Needs {' and '.join(missing)}" if missing else "")

    def _on_act(self) -> None:
        chosen = [one.session_id for one in self.model.targets if one.included]
        self._begun = True
        self.model.fix()
        for session_id in chosen:
            self.model.tell(session_id, "asked…", "busy")
        self.act.hide()
        self._label.hide()
        self.reason.hide()
        self.cancel.setText("Close")
        self.cancel.setFocus()
        self.confirmed.emit(chosen, self.reason.text().strip())

    def answered(self, session: AgentSession) -> None:
        """The control plane has taken the order for one."""
        self._show_session(session)

    def failed(self, session_id: str, why: str) -> None:
        """It has not."""
        self.model.tell(session_id, f"not ended: {why}", "error", why)

    def _on_sessions(self, session_ids: list[str]) -> None:
        concerned = set(self._ids).intersection(session_ids)
        if not self._begun:
            if concerned:
                self._list()
            return
        for session_id in concerned:
            if (session := self._store.sessions.get(session_id)) is not None:
                self._show_session(session)

    def _show_session(self, session: AgentSession) -> None:
        one = self.model.get(session.session_id)
        if one is None or (one.level == "error" and not session.status.final):
            return
        if session.status.final:
            level = "error" if session.status is SessionStatus.FAILED else "ok"
            self.model.tell(session.session_id, session.status.value, level)
        elif one.included:
            self.model.tell(session.session_id, "asked, has not ended yet", "busy")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()
            return
        super().keyPressEvent(event)
