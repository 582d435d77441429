"""When the keeper is gone and the agent with it: the session goes on in a new process where it can, else it has failed.

Never revived is what was told to end, what has ended, what left processes that would not die, what an order forbids
(`denied`), and what was lost too often in a short time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from mission_control_desktop.orchestrator.core.ending import Ending, count_of, pids_of
from mission_control_desktop.orchestrator.core.listening import root_capabilities
from mission_control_desktop.orchestrator.core.parts import Parts
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.orchestrator.core.turns import LostTurn

MAX_REVIVALS = 3
REVIVAL_SECONDS = 600.0
"""So many new processes in so much time (of the journal); one more loss, and the session has failed."""

_CAUSES = {
    "killed": "The keeper of the agent's process was killed",
    "restart": "The computer was restarted",
    "ended": "The keeper of the agent's process was told to end, as when the computer is shut down",
}


class Reviving:
    def __init__(self, parts: Parts, ending: Ending) -> None:
        self._parts = parts
        self._ending = ending
        self._times: deque[float] = deque(maxlen=MAX_REVIVALS)
        self._count = 0
        self._gap = False

    def gap(self) -> None:
        """The journal lacks entries: what was said to the agent is not known."""
        self._gap = True

    def lost(self, step: Step, data: dict[str, Any]) -> None:
        """Take the loss of the process: `data` is that of a `lost` entry, or of an `exit` by an ending keeper."""
        ending = self._ending
        cause = _CAUSES.get(str(data.get("cause")), _CAUSES["killed"])
        if ending.outcome is not None or self._parts.root.final:
            ending.lost(step, data, cause)
            return
        why_not = self._why_not(step, data)
        if why_not is not None:
            ending.lost(step, data, f"{cause}. It was not resumed in a new process: {why_not}")
            return
        self._revive(step, cause, data)

    def _why_not(self, step: Step, data: dict[str, Any]) -> str | None:
        parts = self._parts
        left = pids_of(data.get("left"))
        if left:
            return f"{count_of(left)} of it could not be ended"
        denied = data.get("denied")
        if isinstance(denied, str) and denied:
            return denied[:500]
        if len(self._times) == MAX_REVIVALS and 0 <= step.t - self._times[0] < REVIVAL_SECONDS:
            return f"that was done {MAX_REVIVALS} times within {REVIVAL_SECONDS / 60:g} minutes already"
        if parts.spec.end_when_idle and parts.turns.turn is not None and not len(parts.queue):
            return "it had one task, and that was under way"
        return None if self._fresh else parts.runtime.facts.no_resume

    @property
    def _fresh(self) -> bool:
        """Nothing was said to the agent yet, so that there is nothing to resume."""
        return self._parts.turns.count == 0 and not self._gap

    def _revive(self, step: Step, cause: str, data: dict[str, Any]) -> None:
        parts, root = self._parts, self._parts.root
        fresh = self._fresh
        self._times.append(step.t)
        self._count += 1
        for ask in parts.approvals.pending():
            parts.approvals.expire(step, ask, "the agent's process was lost")
        turn = parts.turns.lost(step)
        root.transcript.forget_process()
        parts.children.lost(step)
        self._ending.revived(step)
        parts.pausing.lost(step)
        parts.runtime.lost(fresh=fresh)
        root.capabilities = root_capabilities(parts.runtime.facts, opened=False)
        root.set("process", None)
        root.set("revivals", self._count)
        root.dirty = True
        text = self._words(cause, data, turn, fresh)
        root.transcript.notice(step, "warning", text, revival=self._count)
        step.relaunch()

    def _words(self, cause: str, data: dict[str, Any], turn: LostTurn, fresh: bool) -> str:
        killed = data.get("killed")
        words = [f"{cause}, and the agent ended with it."]
        if isinstance(killed, int) and not isinstance(killed, bool) and killed > 0:
            words.append(f"{killed} processes that it left were ended." if killed > 1 else "What it left was ended.")
        if turn.turn:
            words.append("The turn that was running is lost; what the agent said at the very last may be missing.")
        if turn.uncertain:
            which = "the message" if turn.uncertain == 1 else f"{turn.uncertain} messages"
            words.append(f"Whether {which} that it had not answered was acted on is uncertain; nothing is sent twice.")
        if turn.disregard:
            words.append("This agent would carry out that order again: with the next message it is told not to.")
        waiting = len(self._parts.queue)
        if waiting:
            words.append(f"{waiting} waiting {'messages go' if waiting > 1 else 'message goes'} out when it is ready.")
        words.append("A new process is started." if fresh else "The session is being resumed in a new process.")
        return " ".join(words)
