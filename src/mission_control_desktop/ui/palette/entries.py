"""What can be reached from the palette: collected from the store, the grid, the commands and the desks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from mission_control_desktop.domain.sessions import AgentSession, split_id
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.commands import BY_ID, COMMANDS

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

_ELSEWHERE = ("panel.go_", "desk.go_", "view.palette")
"""Commands that stand here as what they lead to."""


class Kind(Enum):
    """What an entry is; the value is the word beside it."""

    PANEL = "panel"
    COMMAND = "command"
    DESK = "desk"
    SESSION = "session"


PREFIXES = {">": Kind.COMMAND, "#": Kind.PANEL, "/": Kind.DESK, "@": Kind.SESSION}
"""A first character that leaves only one kind."""


@dataclass(frozen=True)
class Entry:
    """One line. `why_not` says why it cannot be chosen now; empty: it can."""

    kind: Kind
    key: str
    title: str
    text: str
    act: Callable[[], object]
    note: str = ""
    keys: str = ""
    why_not: str = ""
    session: AgentSession | None = None


class Entries(QObject):
    """Keeps the sessions' entries at hand, so that opening the palette over ten thousand does not build them all."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._sessions: dict[str, Entry] = {}
        self._stale: set[str] = set(window.store.sessions)
        window.store.sessions_changed.connect(self._stale.update)
        window.store.sessions_removed.connect(self._stale.update)

    def all(self) -> list[Entry]:
        """Everything, panels and commands first."""
        self._renew()
        opened = self._window.panels.titles()
        panels = [self._panel(session_id, title) for session_id, title in opened.items()]
        sessions = (entry for session_id, entry in self._sessions.items() if session_id not in opened)
        return [*panels, *self._commands(), *self._desks(), *sessions]

    def _renew(self) -> None:
        for session_id in self._stale:
            session = self._window.store.sessions.get(session_id)
            if session is None:
                self._sessions.pop(session_id, None)
            else:
                self._sessions[session_id] = self._session(session)
        self._stale.clear()

    def _session(self, session: AgentSession) -> Entry:
        name, native = words.name(session), split_id(session.session_id)[1]
        return Entry(
            kind=Kind.SESSION,
            key=f"session {session.session_id}",
            title=name,
            text=f"{name} {session.provider} {session.status.value} {session.task_id or ''} {native}".casefold(),
            act=partial(self._window.open_session, session.session_id),
            note=f"{theme.status_text(session, short=True)} · {session.provider}",
            session=session,
        )

    def _panel(self, session_id: str, title: str) -> Entry:
        session = self._window.store.sessions.get(session_id)
        title = title or session_id
        return Entry(
            kind=Kind.PANEL,
            key=f"session {session_id}",
            title=title,
            text=f"{title} {session.provider if session else ''} panel {session_id}".casefold(),
            act=partial(self._go_to_panel, session_id),
            note="" if session is None else f"{theme.status_text(session, short=True)} · {session.provider}",
            session=session,
        )

    def _go_to_panel(self, session_id: str) -> None:
        self._window.show_panels()
        self._window.panels.activate(session_id)

    def _commands(self) -> list[Entry]:
        actions = self._window.commands
        return [
            Entry(
                kind=Kind.COMMAND,
                key=f"command {command.id}",
                title=(title := actions[command.id].text().replace("&", "")),
                text=f"{title} {command.menu.value.replace('&', '')}".casefold(),
                act=actions[command.id].trigger,
                note=BY_ID[command.id].menu.value.replace("&", ""),
                keys=actions.keys_text(command.id),
                why_not=actions.why_not(command.id),
            )
            for command in COMMANDS
            if not command.id.startswith(_ELSEWHERE)
        ]

    def _desks(self) -> list[Entry]:
        desks, book = self._window.desks, self._window.desks.book
        return [
            Entry(
                kind=Kind.DESK,
                key=f"desk {desk_id}",
                title=f"Desk “{(name := book.desk(desk_id).name)}”",
                text=f"{name} desk".casefold(),
                act=partial(desks.switch, desk_id),
                note="you are here" if desk_id == book.current_id else "",
                keys=self._window.commands.keys_text(f"desk.go_{number}") if number < 10 else "",
            )
            for number, desk_id in enumerate(book.ids(), start=1)
        ]
