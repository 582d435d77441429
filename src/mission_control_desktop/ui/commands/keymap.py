"""Which keys each command has: those of the table, or what a person has chosen instead.

No key belongs to two commands. What a person has chosen wins over a default, also over one of a command that a later
version brings; that command is then without this key, and the list of keys shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from PySide6.QtCore import QKeyCombination, Qt
from PySide6.QtGui import QKeySequence

from mission_control_desktop.ui.commands.table import BY_ID, COMMANDS, Menu

MAX_KEYS = 3
"""Keys of one command."""

_MODIFIERS = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
_EDITING = {
    f"Ctrl+{key}": what
    for key, what in (
        ("A", "selects all"),
        ("C", "copies"),
        ("V", "pastes"),
        ("X", "cuts"),
        ("Z", "takes back what was typed"),
        ("Y", "types it again"),
        ("Shift+Z", "types it again"),
        ("Return", "belongs to the message input"),
        ("Enter", "belongs to the message input"),
        ("Left", "moves in a text"),
        ("Right", "moves in a text"),
        ("Home", "moves in a text"),
        ("End", "moves in a text"),
        ("Backspace", "deletes in a text"),
        ("Del", "deletes in a text"),
    )
}
"""Keys that text inputs take before any command does."""
_ACCESS = {
    f"Alt+{menu.value.split('&', 1)[1][0].upper()}": menu.value.replace("&", "") for menu in Menu if "&" in menu.value
}
"""Keys that open a menu."""


def title_of(command_id: str) -> str:
    """What a command is called."""
    return BY_ID[command_id].title.replace("&", "")


def refusal(key: str) -> str:
    """Why a key can be no command's; empty: it can. `key` is portable text, e.g. `Ctrl+Shift+K`."""
    sequence = QKeySequence(key)
    if sequence.count() != 1 or sequence.toString() != key:
        return "This is not one key."
    combination: QKeyCombination = sequence[0]  # type: ignore[index]
    pressed, modifiers = combination.key(), combination.keyboardModifiers()
    if pressed in (Qt.Key.Key_Control, Qt.Key.Key_Shift, Qt.Key.Key_Alt, Qt.Key.Key_Meta, Qt.Key.Key_unknown):
        return "A modifier alone is no key."
    if key in _EDITING:
        return (
            f"{key} {_EDITING[key]}."
            if " input" in _EDITING[key]
            else f"{key} {_EDITING[key]} wherever text is written."
        )
    if key in _ACCESS:
        return f"{key} opens the menu {_ACCESS[key]}."
    function = Qt.Key.Key_F1 <= pressed <= Qt.Key.Key_F35
    if not function and not modifiers & _MODIFIERS:
        return f"{key} alone is used to write, to move or to answer. Use it with Ctrl or Alt, or use a function key."
    return ""


class Keymap:
    """Keys by command id, as portable text."""

    def __init__(self, chosen: Mapping[str, Any] | None = None) -> None:
        self._chosen: dict[str, tuple[str, ...]] = {}
        for command_id, keys in (chosen or {}).items():
            if command_id in BY_ID and isinstance(keys, list):
                # What an older version allowed, or somebody wrote into the file, may not be possible.
                free = [key for key in keys if isinstance(key, str) and self._allowed(command_id, key)]
                self._chosen[command_id] = tuple(dict.fromkeys(free))[:MAX_KEYS]

    def _allowed(self, command_id: str, key: str) -> bool:
        if key in BY_ID[command_id].keys:
            return True
        return not refusal(key) and not any(key in keys for i, keys in self._chosen.items() if i != command_id)

    def chosen(self) -> dict[str, list[str]]:
        """What differs from the table, to be kept."""
        return {command_id: list(keys) for command_id, keys in self._chosen.items()}

    def keys(self, command_id: str) -> tuple[str, ...]:
        """The keys of a command; the first one is shown."""
        if command_id in self._chosen:
            return self._chosen[command_id]
        taken = {key for keys in self._chosen.values() for key in keys}
        return tuple(key for key in BY_ID[command_id].keys if key not in taken)

    def is_default(self, command_id: str) -> bool:
        """Whether a command has exactly the keys of the table."""
        return self.keys(command_id) == BY_ID[command_id].keys

    def owner(self, key: str) -> str:
        """Id of the command whose key this is; empty: nobody's."""
        return next((command.id for command in COMMANDS if key in self.keys(command.id)), "")

    def set(self, command_id: str, keys: Iterable[str]) -> None:
        """Give a command these keys and no others; whoever had one of them is without it. ValueError for a key that can
        be no command's."""
        wanted = tuple(dict.fromkeys(keys))[:MAX_KEYS]
        for key in wanted:
            if key not in BY_ID[command_id].keys and (why := refusal(key)):
                raise ValueError(why)
        for key in wanted:
            owner = self.owner(key)
            if owner and owner != command_id:
                self._put(owner, tuple(kept for kept in self.keys(owner) if kept != key))
        self._put(command_id, wanted)

    def _put(self, command_id: str, keys: tuple[str, ...]) -> None:
        if keys == BY_ID[command_id].keys:
            self._chosen.pop(command_id, None)
        else:
            self._chosen[command_id] = keys

    def in_the_way_of_reset(self, command_id: str) -> list[str]:
        """Ids of commands that have now what was this one's by default."""
        owners = (self.owner(key) for key in BY_ID[command_id].keys)
        return list(dict.fromkeys(owner for owner in owners if owner and owner != command_id))

    def reset(self, command_id: str) -> None:
        """The keys of the table again; who has one of them now is without it."""
        self.set(command_id, BY_ID[command_id].keys)

    def reset_all(self) -> None:
        """All as in the table."""
        self._chosen.clear()
