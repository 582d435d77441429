"""Kill-alls of several control planes shown as one: one confirmation, one board, a result for each target of each."""

from __future__ import annotations

import uuid

from PySide6.QtCore import QObject

from mission_control_desktop.client.fleet import plane_of
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.ui import words
from mission_control_desktop.ui.dialogs.kill_scopes import EVERYWHERE, KillPlane
from mission_control_desktop.ui.sessions import SessionStore

_UNDER_WAY = (KillState.FROZEN, KillState.KILLING)


class ManyKills(QObject):
    """Follows its parts in the store and keeps the whole there, under an id of its own. What a control plane has not
    answered yet is `asked`; what it did not take is `unreachable`, with the reason."""

    def __init__(self, store: SessionStore, planes: tuple[KillPlane, ...], reason: str, parent: QObject) -> None:
        super().__init__(parent)
        self._store, self._reason = store, reason
        self._titles = {plane.key: plane.title for plane in planes}
        self._parts: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._at = words.utc_now()
        self.undo_wanted = False
        """A control plane that takes the order from now on is to undo it at once."""
        self.settled = self.board_closed = False
        """Whether each control plane has answered; whether nobody looks at it any more."""
        self._before = {
            key: [session for session in store.live() if plane_of(session.session_id) == key] for key in self._titles
        }
        self.kill_id = f"all-{uuid.uuid4().hex}"
        store.kill_changed.connect(self._on_part)

    @property
    def taken(self) -> bool:
        """Whether any control plane has taken the order."""
        return bool(self._parts)

    @property
    def problem(self) -> str:
        """Who did not take it, and why."""
        return "; ".join(f"{self._titles[key]}: {why}" for key, why in self._refused.items())

    @property
    def parts(self) -> list[KillAll]:
        """What each control plane says of its own."""
        return [self._store.kills[part] for part in self._parts.values()]

    def take(self, plane: str, kill: KillAll) -> KillAll:
        """A control plane has taken the order; the whole as it is now."""
        self._parts[plane] = kill.kill_id
        self._store.kills.setdefault(kill.kill_id, kill)
        return self._put()

    def refuse(self, plane: str, why: str) -> KillAll:
        """A control plane has not taken it."""
        self._refused[plane] = why
        return self._put()

    def close(self) -> None:
        """Follow nothing any more; what the parts say of themselves stays."""
        self._store.kill_changed.disconnect(self._on_part)
        self._store.kills.pop(self.kill_id, None)
        self.deleteLater()

    def _on_part(self, kill_id: str) -> None:
        if kill_id in self._parts.values():
            self._put()

    def _put(self) -> KillAll:
        whole = self._whole()
        self._store.put([whole])
        return whole

    def _whole(self) -> KillAll:
        parts = self.parts
        targets = [target for part in parts for target in part.targets]
        for key, sessions in self._before.items():
            if key not in self._parts:
                state, detail = TargetState.ASKED, f"The order is on its way to {self._titles[key]}"
                if key in self._refused:
                    state = TargetState.UNREACHABLE
                    detail = f"{self._titles[key]} did not take the order: {self._refused[key]}"
                targets += [
                    KillTarget(session_id=s.session_id, provider=s.provider, state=state, at=self._at, detail=detail)
                    for s in sessions
                ]
        waiting = len(self._parts) + len(self._refused) < len(self._titles)
        whole = _state({part.state for part in parts}, waiting=waiting)
        ended = [part.finished_at for part in parts if part.finished_at is not None]
        frozen = [part.undo_until for part in parts if part.undo_until and part.state is KillState.FROZEN]
        notes = [f"{self._titles[plane_of(part.kill_id)]}: {part.detail}" for part in parts if part.detail]
        if self._refused:
            notes.append(f"Not taken by {self.problem}")
        return KillAll(
            kill_id=self.kill_id,
            state=whole,
            scope=EVERYWHERE,
            started_at=min((part.started_at for part in parts), default=self._at),
            targets=tuple(targets),
            by=", ".join(dict.fromkeys(part.by for part in parts if part.by)),
            reason=self._reason,
            finished_at=None if whole in _UNDER_WAY else max(ended, default=None),
            undo_until=min(frozen, default=None),
            watching_until=max((part.watching_until for part in parts if part.watching_until), default=None),
            detail="\n".join(notes) or None,
        )


def _state(states: set[KillState], *, waiting: bool) -> KillState:
    """Of the whole: under way while any part is, or while a control plane has not answered."""
    for one in _UNDER_WAY:
        if one in states:
            return one
    if waiting:
        return KillState.KILLING
    return KillState.UNDONE if states == {KillState.UNDONE} else KillState.DONE
