"""Holding a session's commands: the gateway's `guarded` permission mode, under its own name. It is no pause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mission_control_desktop.domain.errors import Conflict, MissionControlError, Unreachable, Unsupported
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.mail import require_run
from mission_control_desktop.providers.openclaw.rows import GUARDED, Held, Known, mode_of

Call = Callable[..., Awaitable[Any]]


class Holding:
    """The mode from before is on record before the gateway is told, so that another process can give it back."""

    def __init__(self, board: Board, call: Call) -> None:
        self._board = board
        self._call = call

    async def hold(self, key: str, expected_run_id: str | None) -> None:
        """Raises Conflict if it is held already, Unsupported with the reason where it cannot be."""
        known = self._board.need(key)
        require_run(known, expected_run_id)
        if known.held is not None:
            raise Conflict("The commands of this session are held already.")
        capabilities = self._board.session(known).capabilities
        if capabilities.hold_commands is None:
            raise Unsupported(capabilities.reasons["holdCommands"])
        known.held = Held(before=mode_of(known))
        await self._board.put(known, durable=True)
        try:
            await self._set(known, GUARDED)
        except Unreachable:
            raise  # It may be held: the gateway's next word on the session tells.
        except MissionControlError:
            known.held = None
            await self._board.put(known)
            raise

    async def release(self, key: str, expected_run_id: str | None) -> None:
        """Back to the mode from before. Raises Conflict if nothing is held here."""
        known = self._board.need(key)
        require_run(known, expected_run_id)
        held = known.held
        if held is None:
            raise Conflict("The commands of this session are not held.")
        await self._set(known, held.before)
        known.held = None
        await self._board.put(known)

    async def _set(self, known: Known, mode: str | None) -> None:
        await self._call("sessions.patch", {"key": known.key, "permissionMode": mode})
        known.row["permissionMode"] = mode
        if known.held is not None:
            known.held.told = True
