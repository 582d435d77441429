"""What Enter does in the message input: a choice of the person, the same in every panel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal


class Act(Enum):
    """What one of the keys does; the value is what it is called."""

    SEND = "send"
    OTHER = "send the other way"
    LINE = "new line"


KEYS = ("Enter", "Ctrl+Enter", "Shift+Enter")
PREFERENCE = "enter"


@dataclass(frozen=True)
class EnterKeys:
    """One act for each of `KEYS`, none twice."""

    acts: tuple[Act, ...] = (Act.SEND, Act.OTHER, Act.LINE)

    def act(self, modifiers: Qt.KeyboardModifier) -> Act:
        """What Enter with these modifiers does."""
        if modifiers & Qt.KeyboardModifier.ShiftModifier:
            return self.acts[2]
        return self.acts[1 if modifiers & Qt.KeyboardModifier.ControlModifier else 0]

    def key(self, act: Act) -> str:
        """The key that does it."""
        return KEYS[self.acts.index(act)]

    def with_act(self, key: str, act: Act) -> EnterKeys:
        """This key does that; the key that did it before does what this one did."""
        acts, place, other = list(self.acts), KEYS.index(key), self.acts.index(act)
        acts[place], acts[other] = acts[other], acts[place]
        return EnterKeys(tuple(acts))

    def stored(self) -> list[str]:
        """For the local file."""
        return [act.name.lower() for act in self.acts]

    @classmethod
    def of(cls, stored: Any) -> EnterKeys:
        """What the local file holds; as delivered if that is not one act for each key."""
        names = {act.name.lower(): act for act in Act}
        if isinstance(stored, list) and sorted(str(name) for name in stored) == sorted(names):
            return cls(tuple(names[name] for name in stored))
        return cls()


class _Signals(QObject):
    changed = Signal()


signals = _Signals()
_current = EnterKeys()


def current() -> EnterKeys:
    """What is in effect."""
    return _current


def set_current(keys: EnterKeys) -> None:
    """Put it into effect in every input."""
    global _current
    _current = keys
    signals.changed.emit()
