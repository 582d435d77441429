"""Sub-agents that an agent reports on its own connection: sessions of their own, run inside the parent's process.

They cannot be prompted or paused by themselves; their work can be cancelled where the agent says so. When a report says
that a sub-agent's work is done, its run is completed; if it is given more work later, that is a new run of the session.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mission_control_desktop.domain.errors import Conflict, MissionControlError, Unreachable, Unsupported
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, SessionStatus, WaitingFor
from mission_control_desktop.orchestrator.core.approvals import Approvals
from mission_control_desktop.orchestrator.core.events import SubAgent
from mission_control_desktop.orchestrator.core.lifecycle import Cell, initial_session
from mission_control_desktop.orchestrator.core.runtime import Runtime
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.orchestrator.core.turns import Turns

MAX_CHILDREN = 2_000
CANCEL_SECONDS = 10.0

_LOST = frozenset({"error", "failed", "disconnected"})


@dataclass(slots=True)
class _Child:
    cell: Cell
    runtime_id: str
    state: str | None = None
    can_cancel: bool = False
    worked: bool = False
    """It has run or said something since its current run began."""
    ended_by: str | None = None
    kills: list[str] = field(default_factory=list)
    timer: str | None = None


class SubAgents:
    """The sub-agents of one agent process, by the runtime's ids and by native ids."""

    def __init__(
        self,
        spec: SessionSpec,
        root: Cell,
        runtime: Runtime,
        approvals: Approvals,
        turns: Turns,
    ) -> None:
        self._spec = spec
        self._root = root
        self._runtime = runtime
        self._approvals = approvals
        self._turns = turns
        self._by_runtime: dict[str, _Child] = {}
        self._by_native: dict[str, _Child] = {}
        self._active: dict[str, _Child] = {}
        """Those that can change by themselves or have something to write, so that a long session with many sub-agents
        that ended long ago costs nothing per entry."""

    def __bool__(self) -> bool:
        return bool(self._active)

    def cells(self) -> list[Cell]:
        return [child.cell for child in self._by_native.values()]

    def cell(self, native: str) -> Cell | None:
        child = self._by_native.get(native)
        return child.cell if child is not None else None

    def session_id(self, runtime_id: str) -> str | None:
        """The control-plane id of a session that the runtime names."""
        child = self._by_runtime.get(runtime_id)
        return child.cell.session_id if child is not None else None

    @property
    def alive(self) -> int:
        """How many are at work."""
        return sum(
            1
            for child in self._active.values()
            if not child.cell.final and child.state in ("running", "requires_action")
        )

    # ------------------------------------------------------------------ reports

    def find(self, step: Step, runtime_id: str) -> Cell | None:
        """The session under which a frame arrived; one that was never announced becomes a sub-session too.

        None if there are too many.
        """
        child = self._by_runtime.get(runtime_id)
        if child is None:
            child = self._create(step, runtime_id, self._root, agent_type="unknown")
            if child is None:
                return None
            child.cell.set("announced", False)
            child.state = "running"
            child.cell.started(step)
            child.cell.transcript.turn_began(step)
        child.worked = True
        self._active[child.cell.native] = child
        return child.cell

    def report(self, step: Step, event: SubAgent) -> Cell | None:
        """Take what an agent says about a sub-agent; the sub-agent's session."""
        if event.child == event.session:
            return None
        parent = self._root if event.session is None else self.find(step, event.session)
        child = self._by_runtime.get(event.child)
        if parent is None:
            return None
        if child is None:
            child = self._create(step, event.child, parent, agent_type=self._root.agent_type)
            if child is None:
                return None
        elif child.cell.metadata.get("announced") is False:
            child.cell.set("announced", None)
            child.cell.agent_type = self._root.agent_type
            if not self._above(child.cell, parent):
                child.cell.parent = parent
        self._active[child.cell.native] = child
        if event.title:
            child.cell.set_title(" ".join(event.title.split())[:200])
        elif event.description and child.cell.title is None:
            child.cell.set_title(event.description.strip().split("\n", 1)[0][:80])
        if event.description:
            child.cell.set("description", event.description[:20_000])
        if event.can_cancel is not None and event.can_cancel != child.can_cancel:
            child.can_cancel = event.can_cancel
            if not child.cell.final:
                child.cell.capabilities = self._capabilities(child)
                child.cell.dirty = True
        if event.state is not None:
            self._state(step, child, event.state, event.stop_reason, event.error)
        return child.cell

    @staticmethod
    def _above(cell: Cell, other: Cell | None) -> bool:
        """Whether `cell` is `other` or one of its ancestors."""
        while other is not None:
            if other is cell:
                return True
            other = other.parent
        return False

    def state(self, step: Step, runtime_id: str, state: str, stop_reason: str | None, error: str | None) -> None:
        """Take a state that a sub-agent reports of itself."""
        child = self._by_runtime.get(runtime_id)
        if child is not None:
            self._active[child.cell.native] = child
            self._state(step, child, state, stop_reason, error)

    def asks(self, step: Step, native: str) -> None:
        """A sub-agent asks for something: it is at work, whatever was said of it before."""
        child = self._by_native.get(native)
        if child is not None and child.cell.final:
            self._state(step, child, "running", None, None)

    def answered(self, native: str) -> None:
        """A question of a sub-agent was answered: it goes on, also if it does not say so."""
        child = self._by_native.get(native)
        if child is not None and child.state == "requires_action":
            child.state = "running"

    def turn_ended(self, step: Step) -> None:
        """The root's turn is over. Nothing else will tell the end of a sub-session that was never announced."""
        for child in list(self._active.values()):
            if child.cell.metadata.get("announced") is False:
                self._state(step, child, "idle", "end_turn", None)

    def _create(self, step: Step, runtime_id: str, parent: Cell, agent_type: str | None) -> _Child | None:
        if len(self._by_native) >= MAX_CHILDREN:
            self._root.count("unknownUpdates", "sub-agent beyond the limit")
            return None
        native, place = f"{self._root.native}.{step.n}", 1
        while native in self._by_native:
            native, place = f"{self._root.native}.{step.n}-{place}", place + 1
        session = initial_session(
            provider=self._spec.provider,
            native=native,
            parent_native=parent.native,
            spawned_at=step.at,
            run_id=f"{self._spec.run_id}.{step.n}",
            capabilities=Capabilities(),
            mission_id=self._spec.mission_id,
            task_id=self._spec.task_id,
            task_source=self._spec.task_source,
            agent_type=agent_type,
            metadata={
                "reported": True,
                "agentSessionId": runtime_id[:200],
                **({"demo": True} if self._spec.demo else {}),
            },
        )
        child = _Child(Cell(session, native=native, parent=parent), runtime_id)
        child.cell.capabilities = self._capabilities(child)
        self._by_runtime[runtime_id] = self._by_native[native] = child
        return child

    def _capabilities(self, child: _Child) -> Capabilities:
        agent = self._runtime.facts.agent
        reasons = {
            "inject": f"{agent} runs this sub-agent inside its own process: only its parent can talk to it. "
            "Send the message to the parent.",
            "pause": "A sub-agent runs inside its parent's process: pause the parent.",
        }
        if not child.can_cancel:
            why = f"{agent} does not offer to stop this sub-agent alone: end its parent."
            reasons["terminate"] = reasons["kill"] = why
        return Capabilities(terminate=child.can_cancel, kill=child.can_cancel, approvals=True, reasons=reasons)

    def _state(self, step: Step, child: _Child, state: str, stop_reason: str | None, error: str | None) -> None:
        cell = child.cell
        if state in ("running", "requires_action"):
            if cell.final:
                if self._root.final:
                    return
                child.ended_by = None
                child.worked = False
                cell.capabilities = self._capabilities(child)
                cell.run_again(step, f"{self._spec.run_id}.{step.n}")
            child.state = state
            child.worked = True
            cell.started(step)
            cell.transcript.turn_began(step)
            return
        was, child.state = child.state, "idle"
        if cell.final:
            return
        cell.transcript.turn_ended(step, cancelled=stop_reason == "cancelled")
        for ask in self._approvals.pending(cell.native):
            # The sub-agent works no more, so nobody waits for the answer; it is settled towards the agent all the same.
            self._approvals.expire(step, ask, "the sub-agent's work ended")
            self._turns.reply(ask.token, None)
        if stop_reason is None and error is None and was is None and not child.worked and child.ended_by is None:
            return  # announced, but not at work yet
        if stop_reason is not None:
            cell.set("stopReason", stop_reason)
        if error is not None or stop_reason in _LOST:
            self._end(step, child, SessionStatus.FAILED, error or f"The sub-agent's work ended: {stop_reason}")
        elif child.ended_by == "kill":
            self._end(step, child, SessionStatus.KILLED, None)
        else:
            self._end(step, child, SessionStatus.COMPLETED, None)

    def _end(self, step: Step, child: _Child, status: SessionStatus, error: str | None) -> None:
        child.cell.capabilities = _ended()
        child.cell.end(step, status, error=error, ended_by=child.ended_by)
        step.stop_timer(child.timer)
        child.timer = None
        kills, child.kills = child.kills, []
        for command_id in kills:
            step.answer(command_id, lambda: child.cell.record)

    # ------------------------------------------------------------------ orders

    def refusal(self, cell: Cell, what: str) -> MissionControlError:
        """Why a sub-agent cannot be told this."""
        return Unsupported(cell.capabilities.reasons.get(what, "The session has ended."))

    def stop(self, step: Step, native: str, command_id: str, *, kill: bool) -> None:
        """Cancel a sub-agent's work. Raises Unsupported or Conflict."""
        child = self._by_native[native]
        if child.cell.final:
            raise Conflict(f"The session has ended already: it is {child.cell.status.value}.")
        if not child.can_cancel:
            raise self.refusal(child.cell, "kill" if kill else "terminate")
        child.ended_by = "kill" if kill else (child.ended_by or "terminate")
        child.cell.set("ending", child.ended_by)
        step.send(self._runtime.cancel(child.runtime_id))
        for ask in self._approvals.pending(native):
            self._approvals.expire(step, ask, "the sub-agent was stopped")
            self._turns.reply(ask.token, None)
        step.stop_timer(child.timer)
        child.timer = step.set_timer("sub-agent", CANCEL_SECONDS)
        if kill:
            child.kills.append(command_id)
        else:
            step.answer(command_id, lambda: child.cell.record)

    def timer(self, step: Step, name: str) -> bool:
        """Whether the timer was that of a sub-agent that was told to stop."""
        for child in self._active.values():
            if child.timer != name:
                continue
            child.timer = None
            child.cell.set("ending", None)
            child.ended_by = None
            text = f"The sub-agent was told to stop; after {CANCEL_SECONDS:g} s it has not confirmed that."
            child.cell.transcript.notice(step, "warning", text)
            kills, child.kills = child.kills, []
            for command_id in kills:
                step.refuse(command_id, Unreachable(text))
            return True
        return False

    # ------------------------------------------------------------------ with the parent

    def aim(self, step: Step, *, frozen: bool) -> None:
        """Bring each sub-agent to the status that its facts say."""
        for child in self._active.values():
            cell = child.cell
            if cell.final:
                continue
            if frozen:
                cell.aim(step, SessionStatus.PAUSED, None)
                cell.set("pauseLevel", "freeze")
                continue
            cell.set("pauseLevel", None)
            if self._approvals.any_open(cell.native) or child.state == "requires_action":
                cell.aim(step, SessionStatus.WAITING, WaitingFor.APPROVAL)
            elif child.state == "running" or (child.state is None and (child.worked or cell.status.value == "paused")):
                cell.aim(step, SessionStatus.RUNNING, None)
            elif child.state == "idle":
                cell.aim(step, SessionStatus.WAITING, None)

    def ended(self, step: Step, status: SessionStatus, error: str | None, ended_by: str | None) -> None:
        """The process is gone: what ran inside it ended with it."""
        for child in self._by_native.values():
            child.cell.transcript.end(step, cancelled=not child.cell.final)
            if child.cell.final:
                continue  # but a call that it reported late is over now, too
            child.ended_by = child.ended_by or ended_by
            child.state = "idle"
            why = f"The agent that ran it failed: {error}" if status is SessionStatus.FAILED else None
            self._end(step, child, status, why)

    def lost(self, step: Step) -> None:
        """The process is gone, and another will take its place: there, the same ids may name others."""
        self.ended(step, SessionStatus.FAILED, "its process was lost", None)
        self._by_runtime.clear()

    def flush(self, step: Step) -> None:
        for child in list(self._active.values()):
            child.cell.flush(step)
            if child.cell.final:
                del self._active[child.cell.native]

    def records(self) -> dict[str, AgentSession]:
        return {native: child.cell.record for native, child in self._by_native.items()}


def _ended() -> Capabilities:
    why = "The session has ended."
    return Capabilities(reasons=dict.fromkeys(("inject", "pause", "terminate", "kill"), why))
