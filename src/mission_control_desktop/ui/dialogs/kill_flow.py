"""Kill All from the press to the board: what the dialog asks for is carried out here, whoever opened it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from mission_control_desktop.client.fleet import EVERYWHERE, HOME, plane_of, qualified
from mission_control_desktop.domain.errors import MissionControlError, Unavailable, Unreachable
from mission_control_desktop.domain.kill import CONFIRM_WORDS, SCOPE_ALL, KillAll
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.kill_many import ManyKills
from mission_control_desktop.ui.dialogs.kill_scopes import ALONE, KillPlane
from mission_control_desktop.ui.error_words import told
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.sessions import SessionStore

UNDO_SECONDS = 10.0
"""How long a Kill All stays frozen and can be undone."""
WATCH_SECONDS = 3600.0
"""How long what comes back is hit again if the board stays open; one that was left open must not hit for ever."""
ANSWER_SECONDS = 5.0
"""How long the control plane may take to say that it is there, where the order can be carried out without it."""

Otherwise = Callable[[str, str, str, Callable[[KillAll], None]], Awaitable[None]]
"""Carries an order out without home's control plane: the scope, the reason, what was wrong, and who hears that it is
begun. Raises the tree of `domain.errors` if it cannot."""


class KillAllFlow(QObject):
    """Opens the dialog on a store and carries out what it asks for.

    `tell` hears, in words for a person, of failures that no open dialog can show. With `otherwise`, the home control
    plane is done without where it does not answer; no other one is.
    """

    def __init__(
        self,
        store: SessionStore,
        gateway: Gateway,
        tasks: Tasks,
        tell: Callable[[str], object],
        parent: QObject | None = None,
        *,
        otherwise: Otherwise | None = None,
        planes: Callable[[], tuple[KillPlane, ...]] = lambda: ALONE,
    ) -> None:
        super().__init__(parent)
        self._planes = planes
        self._store, self._gateway, self._tasks = store, gateway, tasks
        self._tell = tell
        self._otherwise = otherwise
        self._many: dict[str, ManyKills] = {}

    def ask(self, parent: QWidget | None = None) -> KillAllDialog:
        """Open the dialog."""
        dialog = KillAllDialog(self._store, parent, planes=self._planes())
        dialog.confirmed.connect(lambda scope, reason: self._start(dialog, scope, reason))
        dialog.undo_requested.connect(lambda kill_id: self._start_undo(dialog, kill_id))
        dialog.watch_ended.connect(self._start_end_watch)
        dialog.open()
        return dialog

    def _start(self, dialog: KillAllDialog, scope: str, reason: str) -> None:
        self._tasks.start(self._kill_all(dialog, scope, reason, uuid.uuid4().hex), name="kill all")

    async def _kill_all(self, dialog: KillAllDialog, scope: str, reason: str, key: str) -> None:
        try:
            if scope == EVERYWHERE:
                await self._order_everywhere(dialog, reason, key)
                return
            await self._order(scope, reason, key, lambda kill: self._show(dialog, kill))
        except MissionControlError as error:
            if isValid(dialog):
                dialog.failed(told("Kill All was not carried out", error))
            else:
                self._tell(told("Kill All was not carried out", error))

    @staticmethod
    def _show(dialog: KillAllDialog, kill: KillAll) -> None:
        if isValid(dialog):
            dialog.started(kill)

    async def _order(self, scope: str, reason: str, key: str, begun: Callable[[KillAll], None]) -> None:
        """One order to one control plane; `begun` hears once that it was taken. Raises the tree of `domain.errors`."""
        otherwise = self._otherwise if plane_of(scope) == HOME else None
        try:
            if otherwise is not None:
                # The order itself may rightly take long; a control plane that hangs does not even answer this.
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._gateway.call(lambda mc: mc.health())
            kill = await self._kill(scope, reason, key)
        except (Unreachable, Unavailable, TimeoutError) as error:
            if otherwise is None:
                raise
            await otherwise(scope, reason, str(error) or f"nothing within {ANSWER_SECONDS:g} s", begun)
        else:
            begun(kill)

    async def _kill(self, scope: str, reason: str, key: str) -> KillAll:
        return await self._gateway.call(
            lambda mc: mc.kill_all(
                scope=scope,
                confirm=CONFIRM_WORDS,
                reason=reason,
                undo_seconds=UNDO_SECONDS,
                watch_seconds=WATCH_SECONDS,
                idempotency_key=key,
            )
        )

    async def _order_everywhere(self, dialog: KillAllDialog, reason: str, key: str) -> None:
        """To all control planes at once: none waits for another, and one that does not answer holds up nothing."""
        planes = tuple(plane for plane in self._planes() if not plane.refusal)
        many = ManyKills(self._store, planes, reason, self)
        self._many[many.kill_id] = many
        many.board_closed = not isValid(dialog)
        if not many.board_closed:
            dialog.finished.connect(lambda _result: self._on_board_closed(many))

        def begun(plane: str, kill: KillAll) -> None:
            first = not many.taken
            whole = many.take(plane, kill)
            if first:
                self._show(dialog, whole)

        async def order(plane: str) -> None:
            try:
                await self._order(qualified(plane, SCOPE_ALL), reason, key, partial(begun, plane))
            except MissionControlError as error:
                many.refuse(plane, error.message)
            if many.undo_wanted:
                # It was undone on the board before this one answered.
                await self._undo(dialog, [kill.kill_id for kill in many.frozen if plane_of(kill.kill_id) == plane])

        try:
            await asyncio.gather(*(order(plane.key) for plane in planes))
        finally:
            many.settled = True
            self._let_go(many)
        if not many.taken:
            raise Unreachable(f"No control plane took the order. {many.problem}")
        if many.problem and not isValid(dialog):
            self._tell(f"Kill All was not taken everywhere. {many.problem}")

    def _start_undo(self, dialog: KillAllDialog, kill_id: str) -> None:
        if (many := self._many.get(kill_id)) is not None:
            many.undo_wanted = True
        frozen = [kill_id] if many is None else [kill.kill_id for kill in many.frozen]
        self._tasks.start(self._undo(dialog, frozen), name="undo kill")

    async def _undo(self, dialog: KillAllDialog, kill_ids: list[str]) -> None:
        for kill_id in kill_ids:
            try:
                kill = await self._gateway.call(partial(_undone, kill_id=kill_id))
            except MissionControlError as error:
                self._tell(told("Kill All was not undone", error))
                if isValid(dialog):
                    dialog.failed(told("Not undone", error))
                continue
            self._store.put([kill])

    def _start_end_watch(self, kill_id: str) -> None:
        many = self._many.get(kill_id)
        watching = [kill_id] if many is None else [kill.kill_id for kill in many.watching]
        self._tasks.start(self._end_watch(watching), name="end watch")

    async def _end_watch(self, kill_ids: list[str]) -> None:
        for kill_id in kill_ids:
            try:
                kill = await self._gateway.call(partial(_closed, kill_id=kill_id))
            except MissionControlError as error:
                self._tell(told("The watch goes on", error))
                continue
            self._store.put([kill])

    def _on_board_closed(self, many: ManyKills) -> None:
        many.board_closed = True
        self._let_go(many)

    def _let_go(self, many: ManyKills) -> None:
        """Once nobody looks at it and nobody has still to answer."""
        if many.board_closed and many.settled and self._many.pop(many.kill_id, None) is not None:
            many.close()


async def _undone(mission_control: MissionControl, *, kill_id: str) -> KillAll:
    return await mission_control.kill_undo(kill_id)


async def _closed(mission_control: MissionControl, *, kill_id: str) -> KillAll:
    return await mission_control.kill_close(kill_id)
