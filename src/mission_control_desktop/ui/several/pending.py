"""Messages to several that are on their way: kept until each is answered for, so that a window that ends in the middle
can be followed by another one that finishes the same work under the same keys, which cannot double a message."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from mission_control_desktop.domain.limits import KEY_HOURS
from mission_control_desktop.domain.sessions import Delivery
from mission_control_desktop.ui import words
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.several.broadcast import Letter

log = structlog.get_logger(__name__)

LETTER = "broadcast.pending."
TEXT = "broadcast.sent."
REPEATABLE = timedelta(hours=KEY_HOURS - 1)
"""A key that its control plane has forgotten would send the message a second time."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    session_id: str
    text: str
    """The id of the text: it is kept once for all who get it."""
    at: datetime
    delivery: Delivery | None = None
    run_id: str | None = None


class PendingLetters:
    """Over the local file, which only its owner can read."""

    def __init__(self, state: LocalState, now: Callable[[], datetime] = words.utc_now) -> None:
        self._state, self._now = state, now
        self._open = set(state.keys(LETTER))

    async def keep(self, letters: Sequence[Letter]) -> None:
        """Before they are sent. Returns when they are on disk."""
        at = self._now()
        ids: dict[str, str] = {}
        for letter in letters:
            if self._state.get(LETTER + letter.key) is not None:
                continue  # the same letter once more
            if letter.text not in ids:
                ids[letter.text] = uuid.uuid4().hex
                self._state.put(TEXT + ids[letter.text], letter.text)
            kept = _Kept(
                session_id=letter.session_id,
                text=ids[letter.text],
                at=at,
                delivery=letter.delivery,
                run_id=letter.run_id,
            )
            self._put(LETTER + letter.key, kept)
        if not await asyncio.get_running_loop().run_in_executor(None, self._state.flush):
            log.warning("what is being sent is not on disk yet", letters=len(letters))

    def settle(self, letters: Sequence[Letter]) -> None:
        """It is known what became of them, or nobody wants to know any more."""
        for letter in letters:
            self._put(LETTER + letter.key, None)

    def _put(self, key: str, kept: _Kept | None) -> None:
        self._state.put(key, None if kept is None else msgspec.to_builtins(kept))
        (self._open.discard if kept is None else self._open.add)(key)
        if not self._open:
            for text in self._state.keys(TEXT):
                self._state.put(text, None)

    def left(self) -> list[Letter]:
        """Those whose answer nobody has seen. What cannot be repeated safely any more is forgotten."""
        found: list[Letter] = []
        for key in sorted(self._open):
            try:
                kept = msgspec.convert(self._state.get(key), _Kept)
            except msgspec.ValidationError as error:
                log.warning("a kept message is damaged", reason=str(error))
                self._put(key, None)
                continue
            text = self._state.get(TEXT + kept.text)
            if not isinstance(text, str) or self._now() - kept.at > REPEATABLE:
                self._put(key, None)
                continue
            found.append(Letter(kept.session_id, text, kept.delivery, kept.run_id, key.removeprefix(LETTER)))
        return found
