"""The timers that a session's fold asks for. Due times count from the journal's clock, so a restart changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.orchestrator.core.commands import Command, Timer
from mission_control_desktop.orchestrator.core.effects import SetTimer
from mission_control_desktop.orchestrator.core.entries import Entry


class _Pending(msgspec.Struct, frozen=True, kw_only=True):
    due: float
    """Seconds since the epoch."""
    command: Timer


class Timers:
    """Due timers are journaled as commands through `post`, once they are armed; until then they are only known."""

    def __init__(self, clock: Clock, post: Callable[[Command], None]) -> None:
        self._clock = clock
        self._post = post
        self._pending: dict[str, _Pending] = {}
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._armed = False

    def set(self, effect: SetTimer, entry: Entry) -> None:
        """Set, replace or cancel a timer, as the entry's fold wants it."""
        self._drop(effect.name)
        if effect.seconds is not None:
            # The id says which setting it is: one that fired before a crash is not taken for a newer one.
            command = Timer(id=f"timer-{effect.name}-{entry.n}", name=effect.name)
            self._pending[effect.name] = _Pending(due=entry.t + effect.seconds, command=command)
            if self._armed:
                self._arm(effect.name)

    def state(self) -> list[tuple[str, float, str]]:
        """Name, due time and command id of what is pending, for `take_state`."""
        return [(name, pending.due, pending.command.id) for name, pending in self._pending.items()]

    def take_state(self, state: list[tuple[str, float, str]]) -> None:
        for name, due, command_id in state:
            self._pending[name] = _Pending(due=due, command=Timer(id=command_id, name=name))

    def fired(self, command_id: str) -> None:
        """The timer's command stands in the journal."""
        for name, pending in self._pending.items():
            if pending.command.id == command_id:
                self._drop(name)
                return

    def arm(self) -> None:
        """Let them run; what is overdue is posted on the next turn of the loop."""
        self._armed = True
        for name in self._pending:
            self._arm(name)

    def disarm(self) -> None:
        """Stop the clocks, forget nothing."""
        self._armed = False
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _arm(self, name: str) -> None:
        pending = self._pending[name]
        delay = max(0.0, pending.due - self._clock.now().timestamp())
        if (handle := self._handles.pop(name, None)) is not None:
            handle.cancel()
        self._handles[name] = asyncio.get_running_loop().call_later(delay, self._post, pending.command)

    def _drop(self, name: str) -> None:
        self._pending.pop(name, None)
        if (handle := self._handles.pop(name, None)) is not None:
            handle.cancel()
