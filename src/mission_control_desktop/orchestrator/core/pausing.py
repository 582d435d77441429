"""Pausing: what is wanted (nothing, hold, freeze), what is so, and who waits for it.

Hold: no prompt goes out and permission replies are withheld; it is reached when the agent is idle or at a gate. Freeze:
hold, and the keeper stops every process of the tree and verifies it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from mission_control_desktop.orchestrator.core.step import Step

FROZEN_WARNING_SECONDS = 60.0


class Want(Enum):
    NOTHING = "nothing"
    HOLD = "hold"
    FREEZE = "freeze"


class Did(Enum):
    """What an answer of the keeper meant for the pause."""

    NOT_OURS = "not ours"
    NOTHING = "nothing"
    FROZEN = "frozen"
    FREEZE_FAILED = "freeze failed"
    THAWED = "thawed"
    THAW_FAILED = "thaw failed"


class Pausing:
    """`reached`: a wanted pause was reached; that stays so until the pause ends, whatever the agent reports."""

    def __init__(self) -> None:
        self.want = Want.NOTHING
        self.frozen = False
        self.reached = False
        self.waiting: list[str] = []
        """Commands that are answered when the keeper has frozen or thawed."""
        self._keys: dict[str, str] = {}
        self._before = Want.NOTHING
        self._warning: str | None = None

    @property
    def held(self) -> bool:
        """Nothing that makes the agent go on may be sent."""
        return self.want is not Want.NOTHING or self.frozen

    @property
    def freezing(self) -> bool:
        """A freeze is on its way."""
        return "freeze" in self._keys.values()

    @property
    def stopped(self) -> bool:
        """The processes are stopped, or will be in a moment."""
        return self.frozen or self.freezing

    def hold(self) -> None:
        if self.want is Want.NOTHING:
            self.want = Want.HOLD

    @property
    def thawing(self) -> bool:
        return "thaw" in self._keys.values()

    def freeze(self, step: Step) -> None:
        if self.want is not Want.FREEZE:
            self._before = self.want
        self.want = Want.FREEZE
        self._keys[step.do("freeze")] = "freeze"

    def thaw(self, step: Step) -> None:
        """Let the processes go on; the hold ends when they do."""
        self.want = Want.NOTHING
        self._keys[step.do("thaw")] = "thaw"

    def release(self) -> None:
        """End a hold. Processes that are stopped stay so."""
        self.want = Want.NOTHING
        if not self.frozen:
            self.reached = False

    def freeze_failed(self, step: Step, *, keep_hold: bool) -> None:
        """Some processes could not be stopped: let all go on, and be as before the freeze (or on hold)."""
        before = Want.HOLD if keep_hold else self._before
        self.thaw(step)
        self.want = before

    def did(self, step: Step, key: str, data: dict[str, Any]) -> Did:
        """What the keeper's report on a freeze or thaw means."""
        what = self._keys.pop(key, None)
        if what is None:
            return Did.NOT_OURS
        clean = data.get("ok") is not False and not data.get("left")
        if what == "freeze":
            if not clean:
                return Did.FREEZE_FAILED
            self.frozen = True
            if self.want is not Want.FREEZE:
                return Did.NOTHING  # a thaw is already on its way
            self.reached = True
            self._warning = step.set_timer("frozen", FROZEN_WARNING_SECONDS)
            return Did.FROZEN
        if not clean:
            if self.want is Want.NOTHING:
                self.want = Want.FREEZE
            return Did.THAW_FAILED
        self.frozen = False
        step.stop_timer(self._warning)
        self._warning = None
        if self.want is Want.NOTHING:
            self.reached = False
            return Did.THAWED
        return Did.NOTHING

    def timer(self, name: str) -> bool:
        """Whether the timer says that the freeze has lasted long."""
        if name != self._warning:
            return False
        self._warning = None
        return self.frozen

    def lost(self, step: Step) -> None:
        """The processes are gone, and others will take their place: what was paused stays so, as a hold."""
        if self.held:
            self.want = Want.HOLD
        self.frozen = False
        self._forget(step)

    def ended(self, step: Step) -> None:
        """The processes are gone."""
        self.want = Want.NOTHING
        self.frozen = self.reached = False
        self._forget(step)

    def _forget(self, step: Step) -> None:
        self._keys.clear()
        step.stop_timer(self._warning)
        self._warning = None
