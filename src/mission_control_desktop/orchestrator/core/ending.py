"""How a session ends: by itself, told to, killed, or because it could not go on. Recorded when it is verified."""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from mission_control_desktop.domain.errors import Conflict, Unreachable
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Capabilities, SessionStatus
from mission_control_desktop.orchestrator.core.parts import Parts
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.orchestrator.core.stop import StopSequence

KILL_TRIES = 5
KILL_AGAIN_SECONDS = 0.5
EXIT_SECONDS = 3.0
"""How long after a verified kill the process's exit may take to be reported."""
STDERR_LINES = 20
MAX_STEPS = 20
STDERR_LINE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the session will have ended once that is verified."""

    status: SessionStatus
    error: str | None = None
    ended_by: str | None = None


def ended_capabilities() -> Capabilities:
    why = "The session has ended."
    return Capabilities(reasons=dict.fromkeys(("inject", "pause", "terminate", "kill"), why))


class Ending:
    """`started` and `exited` are about the agent's first process; `left` are pids that outlived a kill."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.outcome: Outcome | None = None
        self.started = False
        self.exited = False
        self.left: tuple[int, ...] = ()
        self.sequence = StopSequence()
        self.kill_waiters: list[str] = []
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._kill_key: str | None = None
        self._kill_timer: str | None = None
        self._exit_timer: str | None = None
        self._tries = 0
        self._verified = False
        self._escaped = 0

    @property
    def gone(self) -> bool:
        """No process of the agent is left."""
        busy = self._kill_key is not None or self._kill_timer is not None
        return (self.exited or not self.started) and not busy and not self.left

    @property
    def dying(self) -> bool:
        """The agent gets nothing any more."""
        return self.exited or self._kill_key is not None or self._kill_timer is not None or self._verified

    # ------------------------------------------------------------------ what the sequence needs (StopHost)

    @property
    def frozen(self) -> bool:
        return self._parts.pausing.stopped

    @property
    def turn_running(self) -> bool:
        return self._parts.turns.turn is not None

    @property
    def closable(self) -> bool:
        return self._parts.opened and self._parts.runtime.facts.can_close

    @property
    def ignores_eof(self) -> bool:
        return self._parts.runtime.facts.ignores_eof

    def stop_thaw(self, step: Step) -> None:
        self._parts.pausing.thaw(step)

    def stop_cancel(self, step: Step) -> None:
        self._parts.turns.cancel(step)

    def stop_close(self, step: Step) -> None:
        step.send(self._parts.runtime.close())

    def stop_do(self, step: Step, what: Literal["eof", "term", "kill"]) -> None:
        if what == "kill":
            self._kill(step)
        else:
            step.do(what)

    def stop_says(self, step: Step, text: str) -> None:
        self._parts.root.transcript.notice(step, "info", text)

    # ------------------------------------------------------------------ orders

    def terminate(self, step: Step, ended_by: Literal["terminate", "idle"]) -> None:
        """Begin to end the session gracefully. Nothing if it is ending already."""
        if self.outcome is not None or self.sequence.begun:
            return
        parts = self._parts
        failed = ended_by == "idle" and parts.turns.last_error is not None
        status = SessionStatus.FAILED if failed else SessionStatus.COMPLETED
        error = parts.turns.last_error if failed else None
        self.outcome = Outcome(status, error=error, ended_by=ended_by)
        parts.root.set("ending", ended_by)
        for item in parts.queue:
            parts.queue.finish(step, item, ReceiptState.FAILED, detail="the session was told to end before it was sent")
        parts.pausing.release()
        self.sequence.begin(step, self)

    def kill(self, step: Step, command_id: str) -> None:
        """End everything now; the command is answered when it is verified that nothing is left."""
        self.kill_waiters.append(command_id)
        if self.outcome is None or self.outcome.status is SessionStatus.COMPLETED:
            self.outcome = Outcome(SessionStatus.KILLED, ended_by="kill")
        self._parts.root.set("ending", "kill")
        self.sequence.kill(step)
        if self._kill_key is None:
            self._tries = 0
            self._kill(step)

    def stop_file(self, step: Step, data: dict[str, Any]) -> None:
        """The keeper kills everything because a stop file says so; its report will come under the key given."""
        parts, key = self._parts, data.get("key")
        if parts.root.final or not isinstance(key, str):
            return
        if self.outcome is None or self.outcome.status is SessionStatus.COMPLETED:
            self.outcome = Outcome(SessionStatus.KILLED, ended_by="stop-file")
        known = {name: data[name] for name in ("id", "scope", "reason", "actor", "owner", "at") if name in data}
        parts.root.set("ending", "kill")
        parts.root.set("stopFile", known)
        actor, reason = str(known.get("actor") or ""), str(known.get("reason") or "")
        by = f" written by {actor[:200]}" if actor else ""
        why = f": {reason[:500]}" if reason else "."
        parts.root.transcript.notice(step, "warning", f"Killed by the stop file{by}{why}")
        self.sequence.kill(step)
        self._nothing_to_kill(step)
        self._tries = 0
        self._kill_key = key

    def fail(self, step: Step, message: str) -> None:
        """The session cannot go on: end what is there."""
        if self.outcome is not None:
            return
        self.outcome = Outcome(SessionStatus.FAILED, error=message)
        self._parts.root.set("ending", "failed")
        if self.started and not self.exited:
            self._kill(step)
        else:
            self._settle(step)

    def _kill(self, step: Step) -> None:
        step.stop_timer(self._kill_timer)
        self._kill_timer = None
        self._kill_key = step.do("kill")

    # ------------------------------------------------------------------ what happens

    def stderr(self, line: str) -> None:
        if line.strip():
            self._stderr.append(line[:STDERR_LINE_CHARS])

    @property
    def last_words(self) -> str:
        return self._stderr[-1].strip() if self._stderr else ""

    def could_not_start(self, step: Step, why: str) -> None:
        if self.outcome is None:
            self.outcome = Outcome(SessionStatus.FAILED, error=why)
        self._nothing_to_kill(step)
        self.left = ()
        self._settle(step)

    def _nothing_to_kill(self, step: Step) -> None:
        """No report on a kill will come: there never was a process, or its keeper is gone."""
        self._kill_key = None
        step.stop_timer(self._kill_timer)
        self._kill_timer = None

    def exit(self, step: Step, data: dict[str, Any]) -> None:
        """The agent's first process ended."""
        if self.exited:
            return
        self.exited = True
        parts = self._parts
        step.stop_timer(self._exit_timer)
        self._exit_timer = None
        self.sequence.done(step)
        self._refuse_pausing(step)
        parts.pausing.ended(step)
        code, number = whole(data.get("code")), whole(data.get("signal"))
        parts.root.set("exit", {"code": code, "signal": number})
        if self.outcome is None:
            self.outcome = self._by_itself(code, number, data)
        left = pids_of(data.get("left"))
        if left and self._kill_key is None:
            text = f"The agent left {count_of(left)} behind; SIGKILL to what is left."
            parts.root.transcript.notice(step, "warning", text)
            self._kill(step)
        self._settle(step)

    def lost(self, step: Step, data: dict[str, Any], why: str) -> None:
        """Keeper and process are gone for good. Nobody can carry out a kill any more; what was left was swept."""
        parts = self._parts
        if self.outcome is None:
            how = "The agent was lost in mid-turn" if parts.turns.turn is not None else "The agent was lost"
            self.outcome = Outcome(SessionStatus.FAILED, error=f"{how}. {why}.")
        elif data.get("killed") and self.outcome.status is SessionStatus.COMPLETED:
            self.outcome = Outcome(SessionStatus.KILLED, ended_by=self.outcome.ended_by)
        self.exited = True
        self._process_gone(step)
        self._refuse_pausing(step)
        parts.pausing.ended(step)
        self.left = pids_of(data.get("left"))
        if self.left:
            text = f"Could not kill everything: still running are {count_of(self.left)}."
            parts.root.transcript.notice(step, "error", text, pids=list(self.left))
            self._refuse_kills(step, text)
            self.outcome = Outcome(
                SessionStatus.FAILED, error=self.outcome.error or text, ended_by=self.outcome.ended_by
            )
        self._finalize(step, self.outcome)

    def revived(self, step: Step) -> None:
        """The process is gone, and another takes its place."""
        self._process_gone(step)
        self._refuse_pausing(step)
        self.started = self.exited = self._verified = False
        self.left = ()
        self._stderr.clear()

    def _process_gone(self, step: Step) -> None:
        self._nothing_to_kill(step)
        step.stop_timer(self._exit_timer)
        self._exit_timer = None
        self.sequence.done(step)

    def _by_itself(self, code: int | None, number: int | None, data: dict[str, Any]) -> Outcome:
        parts = self._parts
        if code == 0 and parts.opened and parts.turns.turn is None:
            return Outcome(SessionStatus.COMPLETED, ended_by="agent")
        how = "in mid-turn" if parts.turns.turn is not None else ("" if parts.opened else "before it was ready")
        given = data.get("reason", data.get("error"))
        if isinstance(given, str) and given:
            cause = given
        elif number is not None and number > 0:
            cause = f"signal {_signal_name(number)}"
        else:
            cause = f"exit code {code if code is not None else 'unknown'}"
        last = f": {self.last_words}" if self.last_words else "."
        return Outcome(SessionStatus.FAILED, error=" ".join(f"The agent ended {how} ({cause})".split()) + last)

    def did(self, step: Step, key: str, data: dict[str, Any]) -> bool:
        """Whether the keeper's report was on a kill of ours."""
        self._note_step(step, data)
        if key != self._kill_key:
            return False
        self._kill_key = None
        left = pids_of(data.get("left"))
        if left or data.get("ok") is False:
            self.left = left
            self._tries += 1
            if self._tries < KILL_TRIES:
                self._kill_timer = step.set_timer("kill-again", KILL_AGAIN_SECONDS)
            else:
                self._give_up(step)
            return True
        self.left = ()
        self._verified = True
        if self.started and not self.exited:
            self._exit_timer = step.set_timer("exit", EXIT_SECONDS)
        self._settle(step)
        return True

    def _note_step(self, step: Step, data: dict[str, Any]) -> None:
        """Keep what each step of an end did, for whoever asks how it was stopped: {step, processes, escaped, left, ms,
        by}.
        A process may meet several steps, so the steps are not added up."""
        what = data.get("what")
        if what not in ("eof", "term", "kill") or self._parts.root.final:
            return
        pids, escaped, ms = pids_of(data.get("pids")), whole(data.get("escaped")) or 0, whole(data.get("ms"))
        left = pids_of(data.get("left"))
        noted: dict[str, Any] = {"step": what, "processes": len(pids), "escaped": escaped, "left": len(left), "ms": ms}
        if isinstance(by := data.get("by"), str) and what != "eof":
            noted["by"] = by[:20]
        steps = self._parts.root.metadata.get("stopSteps", [])
        self._parts.root.set("stopSteps", [*steps[-(MAX_STEPS - 1) :], noted])
        if what == "kill":
            self._escaped = max(self._escaped, escaped)

    def _give_up(self, step: Step) -> None:
        """They cannot be killed: say so. A session that was to be killed is not called so; others have ended anyway."""
        self._tries = 0
        text = f"Could not kill everything: still running are {count_of(self.left)}."
        self._parts.root.transcript.notice(step, "error", text, pids=list(self.left))
        self._refuse_kills(step, text)
        if self.outcome is not None and self._status(self.outcome) is not SessionStatus.KILLED and self.exited:
            self._finalize(step, self.outcome)

    def _escapes(self) -> str:
        if not self._escaped:
            return ""
        which = "One process had" if self._escaped == 1 else f"{self._escaped} processes had"
        return f" {which} left the agent's process group or lost their parent, and were found all the same."

    def _refuse_kills(self, step: Step, text: str) -> None:
        waiters, self.kill_waiters = self.kill_waiters, []
        for command_id in waiters:
            step.refuse(command_id, Unreachable(text))

    def timer(self, step: Step, name: str) -> bool:
        if self.sequence.timer(step, name, self):
            return True
        if name == self._kill_timer:
            self._kill(step)
            return True
        if name == self._exit_timer:
            # The kill was verified: nothing is left, whether or not its exit was reported.
            self._exit_timer = None
            self.exited = True
            self._settle(step)
            return True
        return False

    def _settle(self, step: Step) -> None:
        if self.outcome is not None and self.gone:
            self._finalize(step, self.outcome)

    def _status(self, outcome: Outcome) -> SessionStatus:
        return SessionStatus.KILLED if self.sequence.forced else outcome.status

    def _refuse_pausing(self, step: Step) -> None:
        waiting, self._parts.pausing.waiting = self._parts.pausing.waiting, []
        for command_id in waiting:
            step.refuse(command_id, Conflict("The agent ended meanwhile."))

    def _finalize(self, step: Step, outcome: Outcome) -> None:
        parts = self._parts
        root = parts.root
        if root.final:
            return
        status = self._status(outcome)
        why = outcome.error or f"the session ended ({status.value})"
        for ask in parts.approvals.pending():
            parts.approvals.expire(step, ask, why)
        parts.turns.ended(step, why, failed=status is not SessionStatus.COMPLETED)
        self.sequence.done(step)
        self._refuse_pausing(step)
        parts.pausing.ended(step)
        if status is SessionStatus.FAILED:
            tail = "\n".join(self._stderr)
            text = f"{outcome.error or 'The session failed.'}"
            if tail:
                text = f"{text}\n\nLast lines of its error output:\n{tail}"
            root.transcript.notice(step, "error", text)
        elif status is SessionStatus.KILLED:
            root.transcript.notice(step, "warning", f"Killed; no process is left.{self._escapes()}")
        else:
            root.transcript.notice(step, "info", "The session has ended; no process is left.")
        parts.children.ended(step, status, outcome.error, outcome.ended_by)
        root.capabilities = ended_capabilities()
        root.end(step, status, error=outcome.error, ended_by=outcome.ended_by)
        waiters, self.kill_waiters = self.kill_waiters, []
        for command_id in waiters:
            step.answer(command_id, lambda: root.record)


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31 else None


def pids_of(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    found: list[int] = []
    for item in value:
        pid = whole(item.get("pid") if isinstance(item, dict) else item)
        if pid is not None:
            found.append(pid)
    return tuple(found)


def count_of(pids: tuple[int, ...]) -> str:
    listed = ", ".join(str(pid) for pid in pids[:10]) + (", …" if len(pids) > 10 else "")
    return f"1 process ({listed})" if len(pids) == 1 else f"{len(pids)} processes ({listed})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
