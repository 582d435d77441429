"""Makes QActions of the command table: one action per command, shared by menus, shortcuts and buttons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenuBar, QWidget

from mission_control_desktop.ui.commands.keymap import Keymap
from mission_control_desktop.ui.commands.table import BY_ID, COMMANDS, Command, Menu, When


class CommandActions(QObject):
    """The window's actions. A command without a handler stays disabled, so that a menu never lies."""

    keys_changed = Signal()
    """Commands have other keys."""

    def __init__(self, window: QWidget, keymap: Keymap | None = None) -> None:
        super().__init__(window)
        self.keymap = keymap or Keymap()
        self._actions: dict[str, QAction] = {}
        self._handled: set[str] = set()
        self._conditions: set[When] = {When.ALWAYS}
        self._said: tuple[set[When], dict[When, str], int] | None = None
        for command in COMMANDS:
            self._actions[command.id] = self._make(command, window)

    def _make(self, command: Command, window: QWidget) -> QAction:
        action = QAction(command.title, self)
        action.setObjectName(command.id)
        action.setShortcuts([QKeySequence(keys) for keys in self.keymap.keys(command.id)])
        # Floating panels are windows of their own; the keys must work there too.
        action.setShortcutContext(Qt.ShortcutContext.ApplicationShortcut)
        # One press is one order: what a held key meets next may be another session.
        action.setAutoRepeat(command.menu is not Menu.SESSION)
        action.setCheckable(command.checkable)
        action.setMenuRole(QAction.MenuRole.NoRole)
        if command.hint:
            action.setToolTip(command.hint)
            action.setStatusTip(command.hint)
        action.setEnabled(False)
        window.addAction(action)
        return action

    def __getitem__(self, command_id: str) -> QAction:
        return self._actions[command_id]

    def handle(self, command_id: str, handler: Callable[[], None]) -> None:
        """Let `handler` carry out a command."""
        action = self._actions[command_id]
        action.triggered.connect(lambda _checked=False: handler())
        self._handled.add(command_id)
        action.setEnabled(BY_ID[command_id].when in self._conditions)

    def set_conditions(self, conditions: set[When], why_not: Mapping[When, str] = MappingProxyType({})) -> None:
        """Say what is so now; commands whose condition does not hold are disabled, and where there is a reason for that
        in `why_not` they say it."""
        said = (conditions | {When.ALWAYS}, dict(why_not), len(self._handled))
        if said == self._said:
            return
        self._said = said
        self._conditions = said[0]
        for command_id in self._handled:
            action, command = self._actions[command_id], BY_ID[command_id]
            on = command.when in self._conditions
            action.setEnabled(on)
            words = "" if on else why_not.get(command.when, "")
            action.setProperty("why_not", words)
            action.setToolTip(words or command.hint)
            action.setStatusTip(words or command.hint)

    def take_keys(self) -> None:
        """Put the keys of the keymap into effect, in every window."""
        for command_id, action in self._actions.items():
            action.setShortcuts([QKeySequence(keys) for keys in self.keymap.keys(command_id)])
        self.keys_changed.emit()

    def key_text(self, command_id: str) -> str:
        """The first key of a command, as this system writes it; empty: it has none."""
        keys = self.keymap.keys(command_id)
        return QKeySequence(keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if keys else ""

    def keys_text(self, command_id: str) -> str:
        """All keys of a command, as this system writes them."""
        native = QKeySequence.SequenceFormat.NativeText
        return " or ".join(QKeySequence(key).toString(native) for key in self.keymap.keys(command_id))

    def tip(self, command_id: str, text: str) -> str:
        """A text with the command's key behind it, if it has one."""
        key = self.key_text(command_id)
        return f"{text} ({key})" if key else text

    def why_not(self, command_id: str) -> str:
        """Why a command cannot be used now; empty: it can."""
        if self._actions[command_id].isEnabled():
            return ""
        if said := self._actions[command_id].property("why_not"):
            return str(said)
        when = BY_ID[command_id].when
        return f"only when {when.value}" if when not in self._conditions else "nothing to do here"

    def in_effect(self, command_id: str) -> bool:
        """Whether the command can be used now."""
        return self._actions[command_id].isEnabled()

    def fill(self, bar: QMenuBar) -> None:
        """Build the menus."""
        for menu in Menu:
            built = bar.addMenu(menu.value)
            built.setToolTipsVisible(True)
            group: int | None = None
            for command in (c for c in COMMANDS if c.menu is menu):
                if group is not None and command.group != group:
                    built.addSeparator()
                group = command.group
                built.addAction(self._actions[command.id])
