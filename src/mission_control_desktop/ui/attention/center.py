"""The queue of one process: fed from its store, remembered in the local file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from PySide6.QtCore import QObject, Qt, QTimer, Signal

from mission_control_desktop.ui import words
from mission_control_desktop.ui.attention import causes
from mission_control_desktop.ui.attention.queue import AttentionQueue, Cause, Need, Shelf, rank
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.sessions import SessionStore

log = structlog.get_logger(__name__)

PREFIX = "attention."
_ACKNOWLEDGED, _SHELVED = f"{PREFIX}acknowledged.", f"{PREFIX}shelved."
SETTLE_MS = 50
"""News within so long is counted once."""
SHARE = 20
"""Where counting takes long, it waits so many times as long: at most a twentieth of the time goes into it."""
LOOK_MS = 5_000
"""How often is looked for what comes about by time alone: a stall, the end of a shelf."""


class Attention(QObject):
    """Says what needs a person, in order, and takes what a person decides. Decisions are kept with `state`; without it
    they hold for this process alone."""

    changed = Signal()

    def __init__(
        self,
        store: SessionStore,
        state: LocalState | None = None,
        parent: QObject | None = None,
        *,
        now: Callable[[], datetime] = words.utc_now,
    ) -> None:
        super().__init__(parent)
        self._store, self._state, self._now = store, state, now
        self._queue = AttentionQueue()
        self._own: dict[str, Need] = {}
        self._shown: list[Need] = []
        self._touched: set[str] = set(store.sessions)
        self._all = self._dirty = True
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SETTLE_MS)
        self._soon.timeout.connect(self._refresh)
        self._look = QTimer(self)
        self._look.setInterval(LOOK_MS)
        self._look.setTimerType(Qt.TimerType.VeryCoarseTimer)
        self._look.timeout.connect(self.look)
        self._look.start()
        store.sessions_changed.connect(self._on_sessions)
        store.sessions_removed.connect(self._on_sessions)
        store.approvals_changed.connect(self._on_news)
        store.provider_changed.connect(self._on_provider)
        if state is not None:
            self.merge({key: state.get(key) for key in state.keys(PREFIX)})
        self._refresh()

    # -- asking

    def items(self) -> list[Need]:
        """What needs a person now, by rank."""
        if self._dirty:
            self._refresh()
        return list(self._shown)

    @property
    def count(self) -> int:
        """How many things need a person, as of the last `changed`; what came since then counts with the next one."""
        return len(self._shown)

    def sessions(self) -> list[str]:
        """Ids of the sessions that need a person, by the rank of their first need."""
        return list(dict.fromkeys(need.session_id for need in self.items() if need.session_id is not None))

    # -- deciding

    def acknowledge(self, keys: Iterable[str]) -> None:
        """A person knows of it; the same occurrence does not come back."""
        for key in keys:
            self._queue.acknowledge(key)
            self._put(_ACKNOWLEDGED + key, self._now().isoformat())
            self._put(_SHELVED + key, None)
        self._refresh()

    def shelve(self, keys: Iterable[str], duration: timedelta | None) -> None:
        """Put away for a time, or (None) until something about it changes."""
        until = None if duration is None else self._now() + duration
        for key in keys:
            self._queue.shelve(key, until)
            if (shelf := self._queue.shelved.get(key)) is not None:
                self._put(_SHELVED + key, {"until": until.isoformat() if until else None, "mark": shelf.mark})
        self._refresh()

    def seen(self, session_id: str) -> None:
        """A person looks at the session: its failure needs no one else."""
        keys = [n.key for n in self.items() if n.session_id == session_id and n.cause is Cause.FAILED]
        if keys:
            self.acknowledge(keys)

    def merge(self, stored: Mapping[str, Any]) -> None:
        """Take what the local file holds, also from another process. What it does not hold stays decided here."""
        for key, value in stored.items():
            if key.startswith(_ACKNOWLEDGED):
                self._queue.acknowledge(key.removeprefix(_ACKNOWLEDGED))
            elif key.startswith(_SHELVED) and (name := key.removeprefix(_SHELVED)) not in self._queue.acknowledged:
                try:
                    until = None if value["until"] is None else datetime.fromisoformat(value["until"])
                    self._queue.shelved[name] = Shelf(until, str(value["mark"]))
                except (KeyError, TypeError, ValueError):
                    log.warning("unreadable shelf ignored", key=key)
        self._on_news()

    def _put(self, key: str, value: Any) -> None:
        if self._state is not None:
            self._state.put(key, value)

    # -- following

    def look(self) -> None:
        """See what time alone has changed."""
        self._all = True
        for key in self._queue.forget(self._now()):
            self._put(_ACKNOWLEDGED + key, None)
            self._put(_SHELVED + key, None)
        self._refresh()

    def _on_sessions(self, session_ids: list[str]) -> None:
        self._touched.update(session_ids)
        self._on_news()

    def _on_provider(self, _name: str) -> None:
        self._all = True
        self._on_news()

    def _on_news(self) -> None:
        self._dirty = True
        if not self._soon.isActive():
            self._soon.start()

    def _refresh(self) -> None:
        began = time.thread_time()
        self._count()
        took = round((time.thread_time() - began) * 1_000)
        self._soon.setInterval(max(SETTLE_MS, took * SHARE))

    def _count(self) -> None:
        now, store = self._now(), self._store
        touched = set(self._touched)
        if self._all:  # what has ended changes with neither time nor its provider
            touched.update((session.session_id for session in store.live()), self._own)
        self._touched.clear()
        self._all = self._dirty = False
        for session_id in touched:
            session = store.sessions.get(session_id)
            away = session is not None and causes.is_away(store.health.get(session.provider))
            need = None if session is None else causes.of_session(session, now, provider_away=away)
            if need is None:
                self._own.pop(session_id, None)
            else:
                self._own[session_id] = need
        providers = (causes.of_provider(health, now) for health in store.health.values())
        found = [
            *self._own.values(),
            *(causes.of_approval(a, store.sessions.get(a.session_id)) for a in store.approvals.values()),
            *(need for need in providers if need is not None),
        ]
        self._queue.replace(found)
        waiting = (replace(need, blocked=causes.blocked_with(store, need)) for need in self._queue.open(now))
        shown = sorted(waiting, key=rank)
        if shown != self._shown:
            self._shown = shown
            self.changed.emit()
