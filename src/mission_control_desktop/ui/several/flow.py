"""Carries out what is asked for several sessions: bounded at a time, each with an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from shiboken6 import isValid

from mission_control_desktop.domain.errors import Forbidden, MissionControlError, NotAuthenticated, RateLimited
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.control import GatewayPort
from mission_control_desktop.ui.panel.wording import error_words, resuming_possible, uncertain
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.several.broadcast import BroadcastDialog, Letter
from mission_control_desktop.ui.several.ending import EndSeveralDialog
from mission_control_desktop.ui.several.pending import PendingLetters

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

DRAFT = "broadcast.text"
AT_A_TIME = 8
"""Calls under way at once; the others wait their turn."""
CALL_SECONDS = 30.0
"""An action without an answer for so long is given up; whether it took effect is then said to be unknown."""
_NAMED = 6
_BEFORE = (NotAuthenticated, Forbidden, RateLimited)
"""Refused before the key was looked at: says nothing of the request that was sent under it earlier."""


class SeveralFlow(QObject):
    """Carries out the window's `several_requested`: session ids and what is to be done."""

    def __init__(self, window: MainWindow, gateway: Gateway, tasks: Tasks, parent: QObject) -> None:
        super().__init__(parent)
        self._window, self._tasks = window, tasks
        self._store, self._state = window.store, window.state
        self._port = GatewayPort(gateway)
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._pending = PendingLetters(window.state)
        self._unsure: set[str] = set()
        """Keys of letters that may have arrived although no answer says so."""
        self._in_flight: set[str] = set()
        """Keys of letters that are being sent."""
        self._at_hand: set[str] = set()
        """Keys of letters that an open dialog shows."""
        self._offered: frozenset[str] = frozenset()
        """Keys of letters that somebody was told of."""

    def act(self, session_ids: list[str], action: str) -> None:
        """`panels`, `message`, `pause`, `resume`, `pause_resume`, `terminate` or `kill`."""
        sessions = [s for i in session_ids if (s := self._store.sessions.get(i)) is not None]
        if action in ("pause", "resume", "pause_resume"):
            sessions = [s for s in sessions if not self._window.why_not(s.session_id)]
        if not sessions:
            return
        match action:
            case "panels":
                self._window.opening.open_sessions(session_ids)
            case "message":
                self.ask_message(session_ids)
            case "terminate" | "kill":
                self.ask_end(session_ids, kill=action == "kill")
            case "pause_resume":
                self._pause_or_resume(sessions, pause=any(map(_pausable, sessions)))
            case "pause" | "resume":
                self._pause_or_resume(sessions, pause=action == "pause")

    # -- pausing

    def _pause_or_resume(self, sessions: Sequence[AgentSession], *, pause: bool) -> None:
        chosen = [s for s in sessions if (_pausable(s) if pause else resuming_possible(s).can)]
        left_out = {
            words.name(s): s.capabilities.reasons.get("pause", "its provider cannot pause it")
            for s in sessions
            if pause and s.capabilities.pause is None and not s.status.final
        }
        self._tasks.start(self._pause_all(chosen, left_out, pause=pause), name="pause several")

    async def _pause_all(self, sessions: Sequence[AgentSession], failed: dict[str, str], *, pause: bool) -> None:
        async def one(session: AgentSession) -> None:
            session_id, run = session.session_id, session.run_id
            call = (
                self._port.pause(session_id, level=None, expected_run_id=run)
                if pause
                else self._port.resume(session_id, expected_run_id=run)
            )
            try:
                known = self._store.sessions.get(session_id)
                self._store.put_answer(known, await self._in_turn(call))
            except (MissionControlError, TimeoutError) as error:
                failed[words.name(session)] = error_words(error)

        wrong = len(failed)
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(one(session))
        done = len(sessions) - (len(failed) - wrong)
        word = "paused" if pause else "resumed"
        if not failed:
            self._window.statusBar().showMessage(f"{words.plural(done, 'session')} {word}.", 5000)
            return
        named = "; ".join(f"{name}: {why}" for name, why in list(failed.items())[:_NAMED])
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        self._window.notices.show_notice(
            f"{done} of {words.plural(len(sessions) + wrong, 'session')} {word}. Not {word}: {named}{more}",
            error=True,
            key="pause several",
        )

    async def _in_turn(self, call: Awaitable[AgentSession]) -> AgentSession:
        async with self._turn:
            return await asyncio.wait_for(call, CALL_SECONDS)

    # -- ending

    def ask_end(self, session_ids: Sequence[str], *, kill: bool) -> EndSeveralDialog:
        """Open the dialog."""
        dialog = EndSeveralDialog(
            self._store, session_ids, kill=kill, parent=self._window, why_not=self._window.why_not
        )
        dialog.confirmed.connect(
            lambda ids, reason: self._tasks.start(
                self._end_all(dialog, ids, reason, kill=kill), name="end several sessions"
            )
        )
        dialog.open()
        return dialog

    async def _end_all(self, dialog: EndSeveralDialog, session_ids: list[str], reason: str, *, kill: bool) -> None:
        async def one(session_id: str) -> None:
            session = self._store.sessions.get(session_id)
            run = session.run_id if session is not None else None
            call = (
                self._port.kill(session_id, reason=reason, expected_run_id=run)
                if kill
                else self._port.terminate(session_id, reason=reason or None, expected_run_id=run)
            )
            try:
                ended = await self._in_turn(call)
            except (MissionControlError, TimeoutError) as error:
                self._tell(dialog, partial(dialog.failed, session_id), words_of=session, why=error_words(error))
                return
            self._store.put_answer(session, ended)
            if isValid(dialog):
                dialog.answered(ended)

        async with asyncio.TaskGroup() as group:
            for session_id in session_ids:
                group.create_task(one(session_id))

    def _tell(
        self, dialog: EndSeveralDialog, tell: Callable[[str], None], *, words_of: AgentSession | None, why: str
    ) -> None:
        if isValid(dialog):
            tell(why)
        else:
            name = words.name(words_of) if words_of is not None else "A session"
            self._window.notices.show_notice(f"{name} was not ended: {why}", error=True, key=f"end {name}")

    # -- a message

    def ask_message(self, session_ids: Sequence[str]) -> BroadcastDialog:
        """Open the dialog."""
        draft = str(self._state.get(DRAFT, ""))
        dialog = BroadcastDialog(self._store, session_ids, draft, self._window, why_not=self._window.why_not)
        dialog.text_changed.connect(lambda text: self._state.put(DRAFT, text or None))
        dialog.send_requested.connect(lambda letters: self._start_sending(dialog, letters))
        dialog.finished.connect(self._on_closed)
        dialog.open()
        return dialog

    def offer_unfinished(self) -> None:
        """Say, once, what was begun to be sent and had no answer, here or in an earlier window."""
        letters = self._unfinished()
        keys = frozenset(letter.key for letter in letters)
        if keys == self._offered:
            return
        self._offered = keys
        if not letters:
            self._window.notices.dismiss("unfinished")
            return
        count = words.plural(len(letters), "session")
        self._window.notices.show_notice(
            f"A message to several is not finished. For {count} no answer was seen; it can be finished, and arrives "
            "once whatever happened.",
            action="Finish…",
            key="unfinished",
        ).acted.connect(self.finish_unfinished)

    def _unfinished(self) -> list[Letter]:
        """What can be finished now: nobody is at it, its session is here, and the person may write to it."""
        busy = self._in_flight | self._at_hand
        return [
            letter
            for letter in self._pending.left()
            if letter.key not in busy
            and letter.session_id in self._store.sessions
            and not self._window.why_not(letter.session_id)
        ]

    def finish_unfinished(self) -> BroadcastDialog | None:
        """Open the dialog on it: one text at a time."""
        self._window.notices.dismiss("unfinished")
        left = self._unfinished()
        letters = [letter for letter in left if letter.text == left[0].text]
        if not letters:
            return None
        self._unsure.update(letter.key for letter in letters)
        self._at_hand.update(letter.key for letter in letters)
        dialog = BroadcastDialog(
            self._store, [one.session_id for one in letters], "", self._window, why_not=self._window.why_not
        )
        dialog.finish(letters)
        dialog.dropped.connect(self._pending.settle)
        dialog.send_requested.connect(lambda again: self._start_sending(dialog, again))
        dialog.finished.connect(self._on_closed)
        dialog.open()
        return dialog

    def _on_closed(self) -> None:
        """Nobody looks at it any more: what is still open is offered."""
        self._at_hand.clear()
        self._offered = frozenset()
        self.offer_unfinished()

    def _start_sending(self, dialog: BroadcastDialog, letters: list[Letter]) -> None:
        keys = {letter.key for letter in letters}
        self._at_hand |= keys
        self._in_flight |= keys
        self._tasks.start(self._send_all(dialog, letters), name="message to several")

    async def _send_all(self, dialog: BroadcastDialog, letters: list[Letter]) -> None:
        try:
            await self._pending.keep(letters)
            async with asyncio.TaskGroup() as group:
                for letter in letters:
                    group.create_task(self._send(dialog, letter))
        finally:
            self._in_flight.difference_update(letter.key for letter in letters)
        self.offer_unfinished()

    async def _send(self, dialog: BroadcastDialog, letter: Letter) -> None:
        try:
            async with self._turn:
                receipt = await asyncio.wait_for(
                    self._port.inject(
                        letter.session_id,
                        letter.text,
                        delivery=letter.delivery,
                        pause_before_send=False,
                        expected_run_id=letter.run_id,
                        idempotency_key=letter.key,
                    ),
                    CALL_SECONDS,
                )
        except (MissionControlError, TimeoutError) as error:
            why = error_words(error)
            unsure = uncertain(error) or (letter.key in self._unsure and isinstance(error, _BEFORE))
            if unsure:
                self._unsure.add(letter.key)
            else:
                self._settle(letter)
            if isValid(dialog):
                dialog.refused(letter, why, unsure)
            elif not unsure:  # what nobody knows of is offered to be finished
                session = self._store.sessions.get(letter.session_id)
                name = words.name(session) if session is not None else letter.session_id
                self._window.notices.show_notice(f"The message to {name} failed: {why}", error=True, key=letter.key)
            return
        self._settle(letter)
        if isValid(dialog):
            dialog.stored(letter, receipt)

    def _settle(self, letter: Letter) -> None:
        self._unsure.discard(letter.key)
        self._pending.settle([letter])


def _pausable(session: AgentSession) -> bool:
    paused = session.status is SessionStatus.PAUSED or session.metadata.get("pausing")
    return session.capabilities.pause is not None and not session.status.final and not paused
