"""Kill-alls of several control planes shown as one: one confirmation, one board, a result for each target of each."""

from __future__ import annotations

import uuid

from PySide6.QtCore import QObject

from mission_control_desktop.client.fleet import EVERYWHERE, plane_of
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.ui import words
from mission_control_desktop.ui.dialogs.kill_scopes import KillPlane
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

    @property
    def frozen(self) -> list[KillAll]:
        """Those that can still be undone."""
        return [part for part in self.parts if part.state is KillState.FROZEN]

    @property
    def watching(self) -> list[KillAll]:
        """Those that hit again what comes back."""
        return [part for part in self.parts if part.watching_until is not None]

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
        for key in self._titles:
            if key not in self._parts:
                targets += self._unanswered(key)
        waiting = len(self._parts) + len(self._refused) < len(self._titles)
        whole = _state({part.state for part in parts}, waiting=waiting)
        ended = [part.finished_at for part in parts if part.finished_at is not None]
        frozen = [part.undo_until for part in parts if part.undo_until and part.state is KillState.FROZEN]
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
            detail="\n".join(f"{title}: {self._receipt(key)}" for key, title in self._titles.items()),
        )

    def _unanswered(self, key: str) -> list[KillTarget]:
        """What is known to live on a control plane that has not taken the order. Of one that refused it and of which
        nothing is known, a line that says just that: nobody may take it for stopped."""
        title, why = self._titles[key], self._refused.get(key)
        if why is None:
            state, detail = TargetState.ASKED, f"The order is on its way to {title}"
        else:
            state, detail = TargetState.UNREACHABLE, f"{title} did not take the order: {why}"
        found = [(session.session_id, session.provider) for session in self._before[key]]
        if why is not None and not found:
            found = [(f"all of {title}", title)]
        return [
            KillTarget(session_id=session_id, provider=provider, state=state, at=self._at, detail=detail)
            for session_id, provider in found
        ]

    def _receipt(self, key: str) -> str:
        """What one control plane made of the order."""
        if key in self._refused:
            why = self._refused[key].rstrip(".")
            return f"did not take the order ({why}). What is not verified dead goes on: give the order there again."
        if key not in self._parts:
            return "has not answered yet."
        part = self._store.kills[self._parts[key]]
        dead = sum(target.state is TargetState.DEAD for target in part.targets)
        said = f"{dead} of {len(part.targets)} verified dead." if part.targets else "nothing was alive."
        match part.state:
            case KillState.FROZEN:
                said = f"{len(part.targets)} frozen."
            case KillState.UNDONE:
                said = "undone."
        return f"{said} {part.detail}" if part.detail else said


def _state(states: set[KillState], *, waiting: bool) -> KillState:
    """Of the whole: under way while any part is, or while a control plane has not answered."""
    for one in _UNDER_WAY:
        if one in states:
            return one
    if waiting:
        return KillState.KILLING
    return KillState.UNDONE if states == {KillState.UNDONE} else KillState.DONE
