"""Who is whose child: the shape of the session tree, without anything else about the sessions."""

from __future__ import annotations

MAX_ENDED = 10_000
"""Ended sessions that are remembered; beyond, those that have nothing living below them are forgotten, oldest first."""
MAX_STEPS = 1_000


class SessionTree:
    """Parents of sessions by native id. An unknown session has no parent and nothing below it."""

    def __init__(self, *, max_ended: int = MAX_ENDED) -> None:
        self._parents: dict[str, str | None] = {}
        self._final: dict[str, bool] = {}
        self._ending: set[str] = set()
        self._max_ended = max_ended

    def put(self, session_id: str, parent: str | None, *, final: bool) -> None:
        """Insert or update. A session never changes its parent."""
        self._parents.setdefault(session_id, parent)
        self._final[session_id] = final

    def final(self, session_id: str) -> bool | None:
        """None for a session that is not known."""
        return self._final.get(session_id)

    def above(self, session_id: str) -> list[str]:
        """The session's ancestors, its parent first."""
        found: list[str] = []
        current = self._parents.get(session_id)
        while current is not None and len(found) < MAX_STEPS and current != session_id:
            found.append(current)
            current = self._parents.get(current)
        return found

    def depth(self, session_id: str) -> int:
        """0 for a session without a parent."""
        return len(self.above(session_id))

    def in_subtree(self, root: str, session_id: str) -> bool:
        """Whether the session is `root` or below it. False if it is not known."""
        return session_id in self._parents and (session_id == root or root in self.above(session_id))

    def mark_ending(self, session_id: str, ending: bool) -> None:
        """While a session is being stopped, nothing may be started below it."""
        if ending:
            self._ending.add(session_id)
        else:
            self._ending.discard(session_id)

    def ending(self, session_id: str) -> bool:
        """Whether the session or one above it is being stopped."""
        return session_id in self._ending or any(above in self._ending for above in self.above(session_id))

    def prune(self) -> None:
        """Forget the oldest ended sessions that have nothing living below them, down to the limit."""
        self._ending = {session_id for session_id in self._ending if self._final.get(session_id) is False}
        surplus = sum(self._final.values()) - self._max_ended
        if surplus <= 0:
            return
        needed: set[str] = set()
        for session_id, final in self._final.items():
            if not final:
                needed.update(self.above(session_id))
        for session_id in [key for key, final in self._final.items() if final and key not in needed][:surplus]:
            del self._final[session_id]
            del self._parents[session_id]
