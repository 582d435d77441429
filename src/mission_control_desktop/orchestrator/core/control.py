"""Commands of the control plane: each is carried out at most once and answered once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    TooLarge,
    Unsupported,
)
from mission_control_desktop.domain.limits import MAX_INJECT_CHARS
from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.orchestrator.core import commands as cmd
from mission_control_desktop.orchestrator.core.approvals import Ask
from mission_control_desktop.orchestrator.core.ending import Ending
from mission_control_desktop.orchestrator.core.inject import MAX_WAITING, Item, Phase, digest
from mission_control_desktop.orchestrator.core.lifecycle import Cell
from mission_control_desktop.orchestrator.core.parts import Parts
from mission_control_desktop.orchestrator.core.pausing import Did, Want
from mission_control_desktop.orchestrator.core.step import Step

MAX_REMEMBERED = 1_000
"""Commands whose repetition is recognised; injections are recognised for ever."""


@dataclass(frozen=True, slots=True)
class _Refused:
    code: str
    message: str


_Again = Item | Cell | Ask | _Refused
"""How a repeated command is answered: with the receipt, session or question as it is then, or refused as before."""


def _value_of(subject: Item | Cell | Ask) -> Callable[[], Any]:
    if isinstance(subject, Item):
        return lambda: subject.receipt
    if isinstance(subject, Cell):
        return lambda: subject.record
    return lambda: subject.approval


def _check_words(content: str) -> None:
    if not content.strip():
        raise BadInput("content", "The message is empty.")
    if len(content) > MAX_INJECT_CHARS:
        raise TooLarge(f"The message has {len(content)} characters; {MAX_INJECT_CHARS} is the most.")


def _way(receipt: Receipt) -> str:
    """How far a message is that does not wait any more."""
    on_its_way = receipt.state in (ReceiptState.STORED, ReceiptState.QUEUED)
    return "on its way to the agent" if on_its_way else receipt.state.value


class Control:
    def __init__(self, parts: Parts, ending: Ending) -> None:
        self._parts = parts
        self._ending = ending
        self._seen: OrderedDict[str, _Again | None] = OrderedDict()
        self._hold_for_send = False

    def handle(self, step: Step, command: cmd.AnyCommand) -> None:
        """Carry out a command; what is wrong with it becomes its answer."""
        if command.id in self._seen:
            self._again(step, command)
            return
        try:
            again = self._carry_out(step, command)
        except MissionControlError as error:
            step.refuse(command.id, error)
            again = _Refused(error.code, error.message)
        self._seen[command.id] = again
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)

    def _again(self, step: Step, command: cmd.AnyCommand) -> None:
        """The same decision came once more (a client that asks again): the same answer, and nothing is done."""
        earlier = self._seen[command.id]
        if isinstance(earlier, _Refused):
            step.refuse_as(command.id, earlier.code, earlier.message)
        elif earlier is not None:
            step.answer(command.id, _value_of(earlier))
        elif command.id not in self._parts.pausing.waiting and command.id not in self._ending.kill_waiters:
            cell = self._parts.cell(command.session_id) or self._parts.root
            step.answer(command.id, lambda: cell.record)

    def _carry_out(self, step: Step, command: cmd.AnyCommand) -> _Again | None:
        """Do it, and answer it now if the outcome is known now. Returns how to answer it again."""
        if isinstance(command, cmd.Inject):
            item = self._parts.queue.get(command.id)
            if item is None:
                item = self._inject(step, command)
            return self._answer(step, command, item)
        cell = self._parts.cell(command.session_id)
        if isinstance(command, cmd.Answer):
            return self._answer_question(step, command)
        if cell is None:
            raise NotFound("There is no such session.")
        if command.expected_run_id is not None and command.expected_run_id != cell.run_id:
            raise Conflict("This is another run of the session by now.")
        if isinstance(command, cmd.Withdraw):
            return self._withdraw(step, command)
        if isinstance(command, cmd.Edit):
            return self._edit(step, command, cell)
        if isinstance(command, cmd.Move):
            return self._move(step, command, cell)
        if isinstance(command, cmd.Pause):
            return self._pause(step, command, cell)
        if isinstance(command, cmd.Resume):
            return self._resume(step, command, cell)
        if isinstance(command, cmd.Cancel):
            return self._cancel(step, command, cell)
        if isinstance(command, cmd.Terminate):
            return self._terminate(step, command, cell)
        if isinstance(command, cmd.Kill):
            return self._kill(step, command, cell)
        raise BadInput("command", "There is no such command.")

    def _answer(self, step: Step, command: cmd.AnyCommand, subject: Item | Cell | Ask) -> _Again:
        step.answer(command.id, _value_of(subject))
        return subject

    def _must_live(self, cell: Cell) -> None:
        if cell.final:
            raise Conflict(f"The session has ended already: it is {cell.status.value}.")
        if cell is self._parts.root and self._ending.outcome is not None:
            raise Conflict("The session is being ended.")

    # ------------------------------------------------------------------ messages

    def _inject(self, step: Step, command: cmd.Inject) -> Item:
        parts = self._parts
        cell = parts.cell(command.session_id)
        if cell is None:
            raise NotFound("There is no such session.")
        if cell.final:
            raise Conflict(f"The session has ended: it is {cell.status.value} and takes no message.")
        if command.expected_run_id is not None and command.expected_run_id != cell.run_id:
            raise Conflict("This is another run of the session by now.")
        if cell is not parts.root:
            raise parts.children.refusal(cell, "inject")
        self._must_live(cell)
        _check_words(command.content)
        if parts.queue.full:
            raise Conflict(f"{MAX_WAITING} messages wait in this session already.")
        if parts.opened and command.delivery is not None and command.delivery not in cell.capabilities.inject:
            why = cell.capabilities.reasons.get(command.delivery.value, "This agent cannot do that.")
            raise Unsupported(why)
        metadata = {"injectionId": command.id, "operatorId": command.operator_id}
        if command.delivery is not None:
            metadata["delivery"] = command.delivery.value
        said = cell.transcript.say(step, MessageRole.OPERATOR, command.content, **metadata)
        item = parts.queue.accept(step, command.id, command.content, command.delivery, said)
        if command.pause_before_send:
            self._hold_for_send = True
            if not parts.pausing.held:
                self._begin_pause(step, None)
        return item

    def _withdraw(self, step: Step, command: cmd.Withdraw) -> _Again:
        item = self._parts.queue.get(command.injection_id)
        if item is None or item.receipt is None:
            raise NotFound("There is no such message.")
        if item.phase is Phase.WAITING:
            if item.said is not None:
                self._parts.root.transcript.amend(step, item.said, withdrawn=True)
            self._parts.queue.finish(step, item, ReceiptState.WITHDRAWN)
        elif item.receipt.state is not ReceiptState.WITHDRAWN:
            raise Conflict(f"The message cannot be withdrawn: it is {_way(item.receipt)} already.")
        return self._answer(step, command, item)

    def _waiting(self, cell: Cell, injection_id: str, what: str) -> Item:
        """A message that can still be changed. Raises NotFound, Conflict (`what` it cannot be), and Unsupported for a
        sub-agent."""
        if cell is not self._parts.root:
            raise self._parts.children.refusal(cell, "inject")
        item = self._parts.queue.get(injection_id)
        if item is None or item.receipt is None:
            raise NotFound("There is no such message.")
        if item.phase is not Phase.WAITING:
            raise Conflict(f"The message cannot be {what}: it is {_way(item.receipt)} already.")
        return item

    def _edit(self, step: Step, command: cmd.Edit, cell: Cell) -> _Again:
        """Its id, its place and its message in the transcript stay. Nothing is to do where it has these words."""
        item = self._waiting(cell, command.injection_id, "changed")
        _check_words(command.content)
        if item.content != command.content:
            if digest(item.content) != command.was:
                raise Conflict("The message was changed by somebody else meanwhile. Look at its words again.")
            item.content = command.content
            if item.said is not None:
                edited = {"editedBy": command.operator_id, "editedAt": step.at.isoformat()}
                cell.transcript.amend(step, item.said, command.content, **edited)
        return self._answer(step, command, item)

    def _move(self, step: Step, command: cmd.Move, cell: Cell) -> _Again:
        item = self._waiting(cell, command.injection_id, "moved")
        self._parts.queue.move(item, command.position)
        return self._answer(step, command, item)

    def _answer_question(self, step: Step, command: cmd.Answer) -> _Again:
        approvals = self._parts.approvals
        ask = approvals.answer(step, command.approval_id, command.option_id, command.user_id)
        self._parts.turns.reply(ask.token, command.option_id)
        self._parts.children.answered(ask.owner)
        return self._answer(step, command, ask)

    # ------------------------------------------------------------------ pausing

    def _pause(self, step: Step, command: cmd.Pause, cell: Cell) -> _Again | None:
        self._must_live(cell)
        if cell is not self._parts.root:
            raise self._parts.children.refusal(cell, "pause")
        if command.level not in (None, "hold", "freeze"):
            raise BadInput("level", "The level is hold or freeze.")
        pausing = self._parts.pausing
        if command.level != "hold" and self._ending.started:
            if pausing.want is Want.FREEZE and pausing.frozen:
                return self._answer(step, command, cell)
            pausing.waiting.append(command.id)
            if not (pausing.want is Want.FREEZE and pausing.freezing):
                pausing.freeze(step)
            return None
        self._begin_pause(step, "hold")
        return self._answer(step, command, cell)

    def _begin_pause(self, step: Step, level: str | None) -> None:
        if level is None and self._ending.started:
            self._parts.pausing.freeze(step)
        else:
            self._parts.pausing.hold()

    def _resume(self, step: Step, command: cmd.Resume, cell: Cell) -> _Again | None:
        self._must_live(cell)
        if cell is not self._parts.root:
            raise self._parts.children.refusal(cell, "pause")
        pausing = self._parts.pausing
        if not pausing.held:
            raise Conflict("The session is not paused.")
        self._hold_for_send = False
        if pausing.stopped:
            pausing.waiting.append(command.id)
            if pausing.want is not Want.NOTHING or not pausing.thawing:
                pausing.thaw(step)
            return None
        pausing.release()
        cell.transcript.notice(step, "info", "Resumed.")
        return self._answer(step, command, cell)

    def _cancel(self, step: Step, command: cmd.Cancel, cell: Cell) -> _Again:
        """A frozen agent finds the cancel as soon as it is thawed, before it can go on with its turn."""
        self._must_live(cell)
        if cell is not self._parts.root:
            raise Unsupported("What a sub-agent does is cancelled by ending it: terminate it.")
        if self._parts.turns.turn is None:
            raise Conflict("No turn is running, so there is nothing to cancel.")
        self._parts.turns.cancel(step)
        return self._answer(step, command, cell)

    def did(self, step: Step, key: str, data: dict[str, Any]) -> bool:
        """Whether the keeper's report was on a freeze or a thaw of ours."""
        pausing, root = self._parts.pausing, self._parts.root
        outcome = pausing.did(step, key, data)
        if outcome is Did.NOT_OURS:
            return False
        if outcome is Did.FROZEN:
            pids = data.get("pids")
            count = f"{len(pids)} processes are" if isinstance(pids, list) and len(pids) != 1 else "its process is"
            root.transcript.notice(step, "info", f"Paused (freeze): {count} stopped; no prompt or reply goes out.")
            self._answer_waiting(step)
        elif outcome is Did.THAWED:
            if not self._ending.sequence.begun:
                root.transcript.notice(step, "info", "Resumed.")
            self._answer_waiting(step)
        elif outcome is Did.NOTHING:
            pass
        else:
            self._failed(step, outcome, data)
        return True

    def _answer_waiting(self, step: Step) -> None:
        pausing, root = self._parts.pausing, self._parts.root
        waiting, pausing.waiting = pausing.waiting, []
        for command_id in waiting:
            step.answer(command_id, lambda: root.record)

    def _failed(self, step: Step, outcome: Did, data: dict[str, Any]) -> None:
        pausing, root = self._parts.pausing, self._parts.root
        if self._ending.outcome is not None:
            pausing.release()  # the way to the end goes on; a thaw is under way or a signal follows
            return
        left = data.get("left")
        which = f" ({', '.join(str(pid) for pid in left[:10])})" if isinstance(left, list) and left else ""
        given = data.get("error")
        why = f": {given[:500]}" if isinstance(given, str) and given else "."
        if outcome is Did.FREEZE_FAILED:
            text = f"The session could not be frozen: not every process{which} stopped{why}"
            pausing.freeze_failed(step, keep_hold=self._hold_for_send)
            if pausing.want is Want.HOLD:
                text = f"{text} It is on hold instead."
        else:
            text = f"The session could not go on: not every process{which} was woken{why}"
        root.transcript.notice(step, "error", text)
        waiting, pausing.waiting = pausing.waiting, []
        for command_id in waiting:
            step.refuse(command_id, Conflict(text))

    # ------------------------------------------------------------------ ends

    def _terminate(self, step: Step, command: cmd.Terminate, cell: Cell) -> _Again | None:
        if cell is not self._parts.root:
            self._parts.children.stop(step, cell.native, command.id, kill=False)
            return cell
        if cell.final:
            raise Conflict(f"The session has ended already: it is {cell.status.value}.")
        self._refuse_waiting(step)
        self._ending.terminate(step, "terminate")
        return self._answer(step, command, cell)

    def _kill(self, step: Step, command: cmd.Kill, cell: Cell) -> _Again | None:
        if cell is not self._parts.root:
            self._parts.children.stop(step, cell.native, command.id, kill=True)
            return None
        if cell.final:
            raise Conflict(f"The session has ended already: it is {cell.status.value}.")
        self._ending.kill(step, command.id)
        return None

    def _refuse_waiting(self, step: Step) -> None:
        waiting, self._parts.pausing.waiting = self._parts.pausing.waiting, []
        for command_id in waiting:
            step.refuse(command_id, Conflict("The session was told to end meanwhile."))
