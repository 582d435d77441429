"""`SessionCore`: the state of one agent process and its sub-agents as a pure fold over its journal.

No clock (an entry's `t` is the time), no I/O, no randomness: the live path, replay after a crash and the tests run the
same code on the same entries and get the same effects. Nothing that an agent says, however malformed, makes it raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.limits import MAX_LINE_BYTES
from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor, global_id
from mission_control_desktop.orchestrator.core import commands as cmd
from mission_control_desktop.orchestrator.core import gap
from mission_control_desktop.orchestrator.core.approvals import Approvals
from mission_control_desktop.orchestrator.core.control import Control
from mission_control_desktop.orchestrator.core.effects import Effect
from mission_control_desktop.orchestrator.core.ending import Ending
from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.core.inject import InjectQueue
from mission_control_desktop.orchestrator.core.lifecycle import Cell, initial_session
from mission_control_desktop.orchestrator.core.listening import Listening, root_capabilities
from mission_control_desktop.orchestrator.core.parts import Parts
from mission_control_desktop.orchestrator.core.pausing import FROZEN_WARNING_SECONDS, Pausing, Want
from mission_control_desktop.orchestrator.core.reported import SubAgents
from mission_control_desktop.orchestrator.core.reviving import Reviving
from mission_control_desktop.orchestrator.core.runtime import create_runtime
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.orchestrator.core.turns import Turns

log = structlog.get_logger(__name__)

OPENING_SECONDS = 60.0
"""How long each step of the opening (initialize, session/new, set_mode) may take."""
TITLE_CHARS = 80


class SessionCore:
    """Feed it the journal, in order and from the start; do the effects that it returns.

    `faults` counts entries on which the core itself failed (a bug; it is logged, said in the transcript, and the fold
    goes on).
    """

    def __init__(self, spec: SessionSpec) -> None:
        """Raises BadInput if the spec names a runtime that does not exist."""
        self.spec = spec
        self.faults = 0
        self._step = Step(0, 0.0)
        runtime = create_runtime(spec, self.next_request)
        root = Cell(_initial(spec, root_capabilities(runtime.facts, opened=False)), native=spec.session_id)
        queue, approvals = InjectQueue(root.session_id), Approvals()
        turns = Turns(root, runtime, queue, approvals)
        children = SubAgents(spec, root, runtime, approvals, turns)
        self._parts = Parts(spec, root, runtime, queue, approvals, turns, Pausing(), children)
        self._ending = Ending(self._parts)
        self._control = Control(self._parts, self._ending)
        self._listening = Listening(self._parts, self._ending)
        self._reviving = Reviving(self._parts, self._ending)
        self._last = 0
        self._facts = runtime.facts
        self._opening: tuple[str, str] | None = None
        """The step of the opening that is waited for, and its timer."""

    # ------------------------------------------------------------------ what is known

    @property
    def sessions(self) -> Mapping[str, AgentSession]:
        """The root session and every reported sub-agent as on record, by native id."""
        return {self.spec.session_id: self._parts.root.record, **self._parts.children.records()}

    @property
    def finished(self) -> bool:
        """The session has ended and no process of it is left."""
        return self._parts.root.final and self._ending.gone

    @property
    def last(self) -> int:
        """The number of the newest entry that was folded."""
        return self._last

    def knows_approval(self, approval_id: str) -> bool:
        return self._parts.approvals.get(approval_id) is not None

    def next_request(self) -> int:
        """An id for a request of the entry that is being folded."""
        return self._step.next_request()

    # ------------------------------------------------------------------ between two entries

    def state(self) -> tuple[Any, ...]:
        """Everything that the next entries depend on, for `snapshot`."""
        return (
            self._parts,
            self._ending,
            self._control,
            self._reviving,
            self._opening,
            self._last,
            self.faults,
        )

    def take_state(self, state: tuple[Any, ...]) -> None:
        """Go on from what another core's `state` gave."""
        self._parts, self._ending, self._control, self._reviving, self._opening, self._last, self.faults = state
        self._listening = Listening(self._parts, self._ending)
        self._facts = self._parts.runtime.facts

    # ------------------------------------------------------------------ the fold

    def feed(self, entry: Entry) -> list[Effect]:
        """Fold one entry. An entry that was folded already (by its number) gives no effects."""
        if entry.n <= self._last:
            return []
        first, self._last = self._last == 0, entry.n
        step = self._step = Step(entry.n, entry.t)
        try:
            if first:
                self._spawned(step)
            self._take(step, entry)
        except Exception as error:  # noqa: BLE001
            # A bug of ours must not take the agent's session down: what the entry has brought about so far stands.
            self._fault(step, entry, error)
        self._settle(step)
        return step.effects()

    def _fault(self, step: Step, entry: Entry, error: Exception) -> None:
        self.faults += 1
        log.exception("entry could not be folded", session=self.spec.session_id, entry=entry.n, kind=entry.kind)
        text = f"Mission Control could not understand entry {entry.n} of the journal ({type(error).__name__})."
        self._parts.root.transcript.notice(step, "error", text)

    def _spawned(self, step: Step) -> None:
        spec, root = self.spec, self._parts.root
        if spec.prompt:
            origin = {"from": global_id(spec.provider, spec.parent_session_id)} if spec.parent_session_id else {}
            root.transcript.say(step, MessageRole.USER, spec.prompt, **origin)
            self._parts.queue.add_first_prompt(spec.prompt)

    def _take(self, step: Step, entry: Entry) -> None:
        data = entry.data if isinstance(entry.data, dict) else {}
        if entry.kind == "in":
            self._line(step, entry.line or "")
        elif entry.kind == "out":
            self._parts.root.seen(step, "keeper")
            if entry.key is not None:
                self._parts.turns.written(step, entry.key)
        elif entry.kind == "err":
            self._stderr(step, entry.line, data)
        elif entry.kind == "cmd":
            self._command(step, data)
        elif entry.kind == "did":
            self._did(step, entry.key, data)
        elif entry.kind == "start":
            self._start(step, data)
        elif entry.kind == "exit":
            self._parts.root.seen(step, "keeper")
            self._exit(step, data)
        elif entry.kind == "lost":
            self._parts.root.seen(step, "orchestrator")
            self._reviving.lost(step, data)
        elif entry.kind == "oversize":
            self._oversize(step, data)
        elif entry.kind == "stop":
            self._parts.root.seen(step, "keeper")
            self._ending.stop_file(step, data)
        elif entry.kind == "void":
            self._reviving.gap()
            gap.close(step, self._parts, self._ending, data)

    def _settle(self, step: Step) -> None:
        """The end of every step: send what may be sent, bring the statuses to the facts, write what changed."""
        parts, ending = self._parts, self._ending
        if not ending.dying and not parts.root.final:
            parts.turns.pump(
                step,
                held=parts.pausing.held,
                ready=parts.opened and ending.outcome is None,
                ending=ending.sequence.begun,
            )
            self._end_if_idle(step)
        self._watch_opening(step)
        if parts.runtime.facts is not self._facts:
            self._facts = parts.runtime.facts
            if not parts.root.final:
                parts.root.capabilities = root_capabilities(self._facts, opened=parts.opened)
                parts.root.dirty = True
        self._aim_root(step)
        if parts.children:
            parts.children.aim(step, frozen=parts.pausing.frozen)
        parts.root.flush(step)
        if parts.children:
            parts.children.flush(step)

    # ------------------------------------------------------------------ entries

    def _line(self, step: Step, line: str) -> None:
        self._parts.root.seen(step, "agent")
        received = self._parts.runtime.receive(line)
        for event in received.events:
            self._listening.take(step, event)
        if received.out and not self._ending.dying:
            step.send(received.out)

    def _start(self, step: Step, data: dict[str, Any]) -> None:
        parts, ending = self._parts, self._ending
        if ending.started or parts.root.final:
            return
        error = data.get("error")
        program = self.spec.command[0] if self.spec.command else "(no command)"
        if error:
            ending.could_not_start(step, f"Could not start {program}: {str(error)[:2_000]}")
            return
        ending.started = True
        parts.root.seen(step, "keeper")
        parts.root.started(step)
        process = {key: data[key] for key in ("pid", "startTime") if isinstance(data.get(key), int)}
        parts.root.set("process", process or None)
        held = {name: text[:500] for name in ("heldBy", "noCgroup") if isinstance(text := data.get(name), str)}
        for name in ("heldBy", "noCgroup"):
            parts.root.set(name, held.get(name))
        pid = f" (process {process['pid']})" if "pid" in process else ""
        parts.root.transcript.notice(step, "info", f"Started {program}{pid}.")
        if ending.outcome is None:
            step.send(parts.runtime.open())

    def _exit(self, step: Step, data: dict[str, Any]) -> None:
        if data.get("keeperEnding") and self._ending.outcome is None and not self._ending.exited:
            self._reviving.lost(step, {"cause": "ended", "left": data.get("left")})
        else:
            self._ending.exit(step, data)

    def _stderr(self, step: Step, line: str | None, data: dict[str, Any]) -> None:
        self._parts.root.seen(step, "agent")
        if line:
            self._ending.stderr(line)
        dropped = data.get("dropped")
        if isinstance(dropped, int) and not isinstance(dropped, bool) and dropped > 0:
            self._ending.stderr(f"({dropped} lines were not kept)")
            before = self._parts.root.metadata.get("stderrDropped", 0)
            self._parts.root.metadata["stderrDropped"] = before + dropped

    def _oversize(self, step: Step, data: dict[str, Any]) -> None:
        size, head = data.get("bytes"), data.get("head")
        how_long = f"{size / 2**20:.1f} MiB" if isinstance(size, int) else "unknown length"
        text = (
            f"The agent printed a line of {how_long} on {str(data.get('stream') or 'its output')[:20]}; the limit is "
            f"{MAX_LINE_BYTES // 2**20} MiB, so it was skipped."
        )
        if isinstance(head, str) and head:
            text = f"{text} It begins: {head[:200]}"
        self._parts.root.transcript.notice(step, "warning", text)

    def _did(self, step: Step, key: str | None, data: dict[str, Any]) -> None:
        self._parts.root.seen(step, "keeper")
        given = data.get("key", key)
        if not isinstance(given, str):
            return
        if self._ending.did(step, given, data):
            return
        if self._control.did(step, given, data) and not self._parts.pausing.stopped:
            self._ending.sequence.thawed(step, self._ending)

    def _command(self, step: Step, data: dict[str, Any]) -> None:
        try:
            command = msgspec.convert(data, cmd.AnyCommand)
        except msgspec.ValidationError as error:
            if isinstance(data.get("id"), str):
                step.refuse(data["id"], BadInput("command", f"Not a command: {error}"))
            return
        if isinstance(command, cmd.Timer):
            self._timer(step, command.name)
        elif isinstance(command, cmd.Children):
            if self._parts.cell(command.session_id) is not None:
                self._parts.spawned_alive[command.session_id or self.spec.session_id] = max(0, command.alive)
        else:
            self._control.handle(step, command)

    def _timer(self, step: Step, name: str) -> None:
        if self._opening is not None and name == self._opening[1]:
            stage, self._opening = self._opening[0], None
            last = f" Its last words: {self._ending.last_words}" if self._ending.last_words else ""
            program = self.spec.command[0] if self.spec.command else "The agent"
            text = f"{program} did not answer {stage} within {OPENING_SECONDS:g} s.{last}"
            hint = (
                "" if last else " Is it an agent that speaks the Agent Client Protocol over standard input and output?"
            )
            self._ending.fail(step, text + hint)
        elif self._parts.pausing.timer(name):
            if self._parts.turns.turn is not None:
                text = (
                    f"Frozen for {FROZEN_WARNING_SECONDS:g} s in mid-turn: a model provider may give up the open "
                    "answer after some minutes, and the agent may then ask again."
                )
                self._parts.root.transcript.notice(step, "warning", text)
        elif not self._ending.timer(step, name) and not self._parts.turns.timer(step, name):
            self._parts.children.timer(step, name)

    # ------------------------------------------------------------------ the end of a step

    def _watch_opening(self, step: Step) -> None:
        """Keep a timer on the step of the opening that is waited for."""
        stage = self._parts.runtime.stage
        waits = self._ending.started and self._ending.outcome is None and stage not in ("ready", "failed")
        wanted = stage if waits else None
        current = self._opening[0] if self._opening is not None else None
        if wanted == current:
            return
        if self._opening is not None:
            step.stop_timer(self._opening[1])
            self._opening = None
        if wanted is not None:
            self._opening = (wanted, step.set_timer("opening", OPENING_SECONDS))

    def _end_if_idle(self, step: Step) -> None:
        parts = self._parts
        if (
            self.spec.end_when_idle
            and parts.opened
            and self._ending.outcome is None
            and parts.turns.count > 0
            and parts.turns.idle
            and not parts.pausing.held
            and parts.children_alive == 0
        ):
            self._ending.terminate(step, "idle")

    def _aim_root(self, step: Step) -> None:
        parts, root = self._parts, self._parts.root
        if root.final:
            return
        pausing, turn = parts.pausing, parts.turns.turn
        if pausing.held:
            at_gate = parts.approvals.any_pending(root.native) or parts.turns.withheld
            if not pausing.reached and pausing.want is Want.HOLD and (turn is None or at_gate):
                pausing.reached = True
                root.transcript.notice(step, "info", "Paused (hold): no prompt goes out and replies are withheld.")
            if pausing.reached:
                root.set("pausing", None)
                root.set("pauseLevel", "freeze" if pausing.frozen else "hold")
                root.aim(step, SessionStatus.PAUSED, None)
                return
            root.set("pausing", True)
        else:
            root.set("pausing", None)
        root.set("pauseLevel", None)
        if not parts.opened:
            if root.status is not SessionStatus.SPAWNING:
                root.aim(step, SessionStatus.WAITING, WaitingFor.PROVIDER)
        elif parts.approvals.any_open(root.native):
            root.aim(step, SessionStatus.WAITING, WaitingFor.APPROVAL)
        elif turn is not None:
            root.aim(step, SessionStatus.RUNNING, None)
        else:
            root.aim(step, SessionStatus.WAITING, WaitingFor.CHILDREN if parts.children_alive else WaitingFor.OPERATOR)


def _initial(spec: SessionSpec, capabilities: Any) -> AgentSession:
    title = spec.title
    if title is None and spec.prompt and spec.prompt.strip():
        line = spec.prompt.strip().split("\n", 1)[0]
        title = line if len(line) <= TITLE_CHARS else f"{line[: TITLE_CHARS - 1]}…"
    metadata: dict[str, Any] = {"profile": spec.profile, "runtime": spec.runtime, "cwd": spec.cwd}
    if spec.demo:
        metadata["demo"] = True
    return initial_session(
        provider=spec.provider,
        native=spec.session_id,
        parent_native=spec.parent_session_id,
        spawned_at=spec.spawned_at,
        run_id=spec.run_id,
        capabilities=capabilities,
        mission_id=spec.mission_id,
        task_id=spec.task_id,
        task_source=spec.task_source,
        agent_type=spec.agent_type,
        title=title,
        metadata=metadata,
    )
