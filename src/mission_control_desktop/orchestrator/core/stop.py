"""How a session is told to end: step by step, each step said, and force only when nothing else helped.

thaw → cancel the turn → close the session → close the input → SIGTERM → SIGKILL. The process may end at any of them.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, Protocol

from mission_control_desktop.orchestrator.core.step import Step

CANCEL_SECONDS = 5.0
CLOSE_SECONDS = 3.0
EOF_SECONDS = 3.0
DEAF_EOF_SECONDS = 0.5
"""For agents that are known to ignore the end of their input."""
TERM_SECONDS = 3.0
THAW_SECONDS = 3.0


class Stage(Enum):
    NOT_BEGUN = "not begun"
    THAW = "thaw"
    CANCEL = "cancel"
    CLOSE = "close"
    EOF = "eof"
    TERM = "term"
    KILL = "kill"


class StopHost(Protocol):
    """What the sequence needs of the session."""

    @property
    def frozen(self) -> bool: ...
    @property
    def turn_running(self) -> bool: ...
    @property
    def closable(self) -> bool: ...
    @property
    def ignores_eof(self) -> bool: ...
    def stop_thaw(self, step: Step) -> None: ...
    def stop_cancel(self, step: Step) -> None: ...
    def stop_close(self, step: Step) -> None: ...
    def stop_do(self, step: Step, what: Literal["eof", "term", "kill"]) -> None: ...
    def stop_says(self, step: Step, text: str) -> None: ...


class StopSequence:
    """`forced` says that SIGKILL was needed."""

    def __init__(self) -> None:
        self.stage = Stage.NOT_BEGUN
        self.forced = False
        self._timer: str | None = None

    @property
    def begun(self) -> bool:
        return self.stage is not Stage.NOT_BEGUN

    def begin(self, step: Step, host: StopHost) -> None:
        if self.begun:
            return
        if host.frozen:
            self._enter(step, Stage.THAW, THAW_SECONDS)
            host.stop_says(step, "Told to end: the processes go on first, so that they can end.")
            host.stop_thaw(step)
        else:
            self._after_thaw(step, host)

    def thawed(self, step: Step, host: StopHost) -> None:
        if self.stage is Stage.THAW:
            self._after_thaw(step, host)

    def turn_ended(self, step: Step, host: StopHost) -> None:
        if self.stage is Stage.CANCEL:
            self._after_cancel(step, host)

    def closed(self, step: Step, host: StopHost) -> None:
        if self.stage is Stage.CLOSE:
            self._eof(step, host, "The agent closed its session; its input is closed.")

    def kill(self, step: Step) -> None:
        """Someone kills the session now: the sequence is over."""
        self.done(step)
        self.stage = Stage.KILL

    def done(self, step: Step) -> None:
        step.stop_timer(self._timer)
        self._timer = None

    def timer(self, step: Step, name: str, host: StopHost) -> bool:
        """Whether the timer was the sequence's own."""
        if name != self._timer:
            return False
        self._timer = None
        if self.stage is Stage.THAW:
            self._after_thaw(step, host)
        elif self.stage is Stage.CANCEL:
            host.stop_says(step, f"The turn did not end within {CANCEL_SECONDS:g} s of the cancel.")
            self._after_cancel(step, host)
        elif self.stage is Stage.CLOSE:
            self._eof(step, host, f"No answer to the closing within {CLOSE_SECONDS:g} s; the agent's input is closed.")
        elif self.stage is Stage.EOF:
            self._enter(step, Stage.TERM, TERM_SECONDS)
            host.stop_says(step, "The agent did not end when its input was closed: SIGTERM to all its processes.")
            host.stop_do(step, "term")
        elif self.stage is Stage.TERM:
            self.forced = True
            self.stage = Stage.KILL
            host.stop_says(step, f"Still running {TERM_SECONDS:g} s after SIGTERM: SIGKILL to all its processes.")
            host.stop_do(step, "kill")
        return True

    def _enter(self, step: Step, stage: Stage, seconds: float) -> None:
        step.stop_timer(self._timer)
        self.stage = stage
        self._timer = step.set_timer(f"stop-{stage.value}", seconds)

    def _after_thaw(self, step: Step, host: StopHost) -> None:
        if host.turn_running:
            self._enter(step, Stage.CANCEL, CANCEL_SECONDS)
            host.stop_says(step, "Told to end: the running turn is cancelled.")
            host.stop_cancel(step)
        else:
            self._after_cancel(step, host)

    def _after_cancel(self, step: Step, host: StopHost) -> None:
        if host.closable:
            self._enter(step, Stage.CLOSE, CLOSE_SECONDS)
            host.stop_says(step, "Told to end: the agent is asked to close its session.")
            host.stop_close(step)
        else:
            self._eof(step, host, "Told to end: the agent's input is closed.")

    def _eof(self, step: Step, host: StopHost, text: str) -> None:
        self._enter(step, Stage.EOF, DEAF_EOF_SECONDS if host.ignores_eof else EOF_SECONDS)
        host.stop_says(step, text)
        host.stop_do(step, "eof")
