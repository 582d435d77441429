"""Looks at what needs a person, asks the rules, and hands notes to whatever shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from mission_control_desktop.client.fleet import EVERYWHERE
from mission_control_desktop.domain.kill import KillAll, KillState, TargetState
from mission_control_desktop.ui import times, words
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.notifications.rules import Announcer, News, NewsCause, Rules
from mission_control_desktop.ui.sessions import SessionStore

NOTIFICATIONS = "notifications"
"""Preference: a person's `Rules`."""
LOOK_MS = 1_000
AWAY_AFTER = timedelta(seconds=15)
"""A control plane that is away for less is nobody's business yet."""


class Teller(QObject):
    """One process's notifications. `start` it when what was there at the start is known."""

    note_ready = Signal(object)
    """A `Note` to be shown now."""

    def __init__(
        self,
        store: SessionStore,
        attention: Attention,
        parent: QObject | None = None,
        *,
        seen: Callable[[], Iterable[str]] = tuple,
        now: Callable[[], datetime] = words.utc_now,
    ) -> None:
        super().__init__(parent)
        self._store, self._attention, self._seen, self._now = store, attention, seen, now
        self._announcer = Announcer()
        self._away: dict[str, datetime] = {}
        self.rules = Rules()
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.setTimerType(Qt.TimerType.CoarseTimer)
        self._timer.timeout.connect(self.look)

    def start(self) -> None:
        """Begin; what needs a person now is known already."""
        if not self._timer.isActive():
            self.look()
            self._timer.start()

    def stop(self) -> None:
        """Tell no more."""
        self._timer.stop()

    def note_link(self, name: str, *, connected: bool) -> None:
        """Whether a control plane answers."""
        if connected:
            self._away.pop(name, None)
        else:
            self._away.setdefault(name, self._now())

    def look(self) -> None:
        """Tell what is new."""
        now = self._now()
        notes = self._announcer.look(self._news(now), now, times.local(now), self.rules, seen=self._seen())
        for note in notes:
            self.note_ready.emit(note)

    def _news(self, now: datetime) -> list[News]:
        found = [
            News(need.key, NewsCause(need.cause.value), need.name, need.session_id, detail=need.detail)
            for need in self._attention.items()
        ]
        # Of one order to all control planes, each tells its own end.
        kills = (kill for kill in self._store.kills.values() if kill.scope != EVERYWHERE)
        found += [_ended(kill) for kill in kills if kill.state is KillState.DONE]
        found += [
            News(f"away:{name}:{since.isoformat()}", NewsCause.AWAY, name, plain="Its agents go on without it.")
            for name, since in self._away.items()
            if now - since >= AWAY_AFTER
        ]
        return found


def _ended(kill: KillAll) -> News:
    dead = sum(target.state is TargetState.DEAD for target in kill.targets)
    return News(
        f"stopped:{kill.kill_id}",
        NewsCause.STOPPED,
        f"{dead} of {words.plural(len(kill.targets), 'agent is', 'agents are')} verified dead",
        plain="" if dead == len(kill.targets) else "Open the window to see which are left.",
    )
