"""A panel is made when its place comes on screen, and let go a while after it has left it.

What a panel costs (documents, rows, a stream) is paid for what is seen. Whoever makes panels remembers where the reader
was, so that the next one of the session begins there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import words
from mission_control_desktop.ui.main_window.dock_widgets import Placeholder, put

RELEASE_SECONDS = 20.0
"""A panel behind another tab is kept for so long: who looks back and forth does not wait."""
CHECK_MS = 1_000

PanelFactory = Callable[[AgentSession], QWidget]


class Filling(QObject):
    """Fills docks, one a turn of the event loop so that sixteen of them do not stop the window."""

    def __init__(self, docks: dict[str, Any], parent: QObject) -> None:
        super().__init__(parent)
        self._docks = docks
        self._sessions: dict[str, AgentSession] = {}
        self._lifted: dict[str, QWidget] = {}
        """Panels out of their docks for a moment, see `lift`."""
        self._hidden: dict[str, float] = {}
        self._asked: set[str] = set()
        """Sessions that were asked for."""
        self._factory: PanelFactory | None = None
        self._may_go: Callable[[str], bool] = lambda _session_id: True
        self.released: Callable[[str], None] = lambda _session_id: None
        """Called with the session of a panel that is no longer shown; its widget has no parent any more."""
        self.unknown_seen: Callable[[str], None] = lambda _session_id: None
        """Called when a place is seen whose session nobody has told us yet."""
        self.release_after = RELEASE_SECONDS
        self._fill_later = QTimer(self)
        self._fill_later.setInterval(0)
        self._fill_later.timeout.connect(self._fill_next)
        self._check = QTimer(self)
        self._check.setInterval(CHECK_MS)
        self._check.timeout.connect(self.release_hidden)

    def set_factory(self, factory: PanelFactory, may_go: Callable[[str], bool] | None = None) -> None:
        """Who makes panels, and who says whether one may be let go now (nothing is under way in it)."""
        self._factory = factory
        if may_go is not None:
            self._may_go = may_go
        self._fill_later.start()

    def watch(self, session_id: str, dock: Any) -> None:
        """Follow whether a new dock is seen."""
        dock.visibilityChanged.connect(partial(self._on_visibility, session_id))

    def take(self, session: AgentSession) -> None:
        """The session as it is now."""
        self._sessions[session.session_id] = session
        dock = self._docks.get(session.session_id)
        if dock is not None and self._empty(session.session_id) and dock.isVisible():
            self._fill_later.start()

    def forget(self, session_id: str) -> None:
        """The session's place is gone."""
        self._sessions.pop(session_id, None)
        self._hidden.pop(session_id, None)
        self._asked.discard(session_id)

    def knows(self, session_id: str) -> bool:
        """Whether the session was told."""
        return session_id in self._sessions

    def session(self, session_id: str) -> AgentSession | None:
        """The session as it was told last."""
        return self._sessions.get(session_id)

    def fill(self, session_id: str) -> None:
        """Make the panel now, if it can be made, or put it back that was lifted."""
        dock, session = self._docks.get(session_id), self._sessions.get(session_id)
        if dock is None or not self._empty(session_id):
            return
        panel = self._lifted.pop(session_id, None)
        if panel is None:
            if session is None or self._factory is None:
                return
            panel = self._factory(session)
        focus = QApplication.focusWidget()
        inside = focus is not None and dock.isAncestorOf(focus)
        old = put(dock, panel)
        if old is not None:
            old.deleteLater()
        if inside:
            panel.setFocus(Qt.FocusReason.OtherFocusReason)
        if not dock.isVisible():
            self._note_hidden(session_id)

    def lift(self) -> None:
        """Take all panels out of their docks, which are about to be moved many times: each move would style a panel
        anew. They go back one by one, those that are seen first. The one that has the focus stays: without a parent
        it would take the focus, and the window's being active, with it."""
        focus = QApplication.focusWidget()
        for session_id, dock in self._docks.items():
            if focus is not None and dock.isAncestorOf(focus):
                continue
            if dock.widget() is not None and not isinstance(dock.widget(), Placeholder):
                # Something has to stand there: the docking library hides a dock that holds nothing.
                content = put(dock, Placeholder(""))
                if content is None:
                    continue
                content.hide()
                self._lifted[session_id] = content
                self._note_hidden(session_id)
        self._fill_later.start()

    def content(self, session_id: str) -> QWidget | None:
        """The panel of a session, in its dock or lifted; None while a placeholder stands there."""
        if session_id in self._lifted:
            return self._lifted[session_id]
        dock = self._docks.get(session_id)
        found = None if dock is None else dock.widget()
        return None if isinstance(found, Placeholder) else found

    def take_out(self, session_id: str, dock: Any) -> QWidget | None:
        """What stands in a dock that goes, without a parent."""
        lifted = self._lifted.pop(session_id, None)
        self.forget(session_id)
        taken: QWidget | None = lifted if lifted is not None else dock.takeWidget()
        return taken

    def release(self, session_id: str) -> None:
        """Let a panel go; its place stays."""
        dock = self._docks.get(session_id)
        self._hidden.pop(session_id, None)
        if dock is None or self.content(session_id) is None:
            return
        session = self._sessions.get(session_id)
        lifted = self._lifted.pop(session_id, None)
        taken = put(dock, Placeholder(words.name(session) if session is not None else dock.windowTitle()))
        content = lifted if lifted is not None else taken
        if lifted is not None and taken is not None:
            taken.deleteLater()
        if content is not None:
            content.hide()
        self.released(session_id)

    def release_hidden(self) -> None:
        """Let go what has been out of sight for long enough."""
        now = time.monotonic()
        for session_id, since in list(self._hidden.items()):
            dock = self._docks.get(session_id)
            if dock is None or dock.isVisible():
                self._hidden.pop(session_id, None)
            elif now - since >= self.release_after and self._may_go(session_id):
                self.release(session_id)
        if not self._hidden:
            self._check.stop()

    def _empty(self, session_id: str) -> bool:
        content = self._docks[session_id].widget()
        return session_id in self._lifted or (isinstance(content, Placeholder) and not content.away)

    def _note_hidden(self, session_id: str) -> None:
        self._hidden.setdefault(session_id, time.monotonic())
        if not self._check.isActive():
            self._check.start()

    def _on_visibility(self, session_id: str, visible: bool) -> None:
        dock = self._docks.get(session_id)
        if dock is None or not isValid(dock):
            return
        if visible:
            self._hidden.pop(session_id, None)
            if self._empty(session_id):
                self._fill_later.start()
        elif self.content(session_id) is not None:
            self._note_hidden(session_id)

    def _fill_next(self) -> None:
        for session_id, dock in list(self._docks.items()):
            if dock.isVisible() and self._empty(session_id):
                if session_id in self._lifted:
                    self.fill(session_id)
                    return
                if session_id not in self._sessions and session_id not in self._asked:
                    self._asked.add(session_id)
                    self.unknown_seen(session_id)
                if session_id not in self._sessions:
                    continue
                if self._factory is not None:
                    self.fill(session_id)
                    return
        self._fill_later.stop()
