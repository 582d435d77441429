"""Turns and what goes into them: one prompt at a time, steering into a running one, and withheld replies.

Never a second prompt while one runs, whatever the agent would do with it. Everything is sent from `pump`, which the
core calls at the end of each step; so a hold needs to be asked about in one place only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Delivery
from mission_control_desktop.orchestrator.core.approvals import Approvals
from mission_control_desktop.orchestrator.core.events import SteerResult, TurnState
from mission_control_desktop.orchestrator.core.inject import InjectQueue, Item, Phase
from mission_control_desktop.orchestrator.core.lifecycle import Cell
from mission_control_desktop.orchestrator.core.runtime import Runtime
from mission_control_desktop.orchestrator.core.step import Step

CANCEL_SECONDS = 10.0
"""How long an interruption waits for the end of the turn before it says so (it goes on waiting)."""
STEER_SECONDS = 10.0
"""How long after the end of a turn the answer to a steering request may still come."""
QUIET_SECONDS = 20.0
"""A turn that the agent began by itself, and whose end it does not report, counts as over after so much silence."""
UNCERTAIN = (
    "uncertain: it was handed to the agent, whose process was lost before it answered. It may have been acted on, and "
    "was not sent again"
)

DISREGARD = (
    "(From Mission Control: your process was lost before you had answered the message before this one. Disregard that "
    "message and do not carry it out. Act only on what follows.)"
)
"""Put before the next message to an agent that would carry out an unanswered order again."""

_STOPPED = {
    "cancelled": ("info", "The turn was cancelled."),
    "max_tokens": ("warning", "The turn ended: the model reached its limit of tokens."),
    "max_turn_requests": ("warning", "The turn ended: the agent reached its limit of requests in one turn."),
    "refusal": ("warning", "The turn ended: the model refused to go on."),
}


@dataclass(slots=True)
class Turn:
    """`item` is what began it; None for a turn that the agent began by itself."""

    ref: str
    item: Item | None
    number: int
    cancelled: bool = False
    last_output_t: float = 0.0


@dataclass(frozen=True, slots=True)
class LostTurn:
    """What the loss of the process did: whether a turn ran, and how many messages may or may not have been acted on."""

    turn: bool
    uncertain: int
    disregard: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    token: str
    option_id: str | None
    withdrawn: bool = False


class Turns:
    """The running turn, the queue, and messages and replies on their way."""

    def __init__(self, root: Cell, runtime: Runtime, queue: InjectQueue, approvals: Approvals) -> None:
        self._root = root
        self._runtime = runtime
        self._queue = queue
        self._approvals = approvals
        self.turn: Turn | None = None
        self.count = 0
        self.last_error: str | None = None
        self._steering: dict[str, Item] = {}
        self._on_out: dict[str, list[Item]] = {}
        self._unanswered: list[Item] = []
        self._replies: list[_Reply] = []
        self._cancel_timer: str | None = None
        self._steer_timer: str | None = None
        self._quiet_timer: str | None = None
        self._disregard = False

    @property
    def idle(self) -> bool:
        """No turn runs and nothing waits to be sent."""
        return self.turn is None and not self._steering and len(self._queue) == 0

    @property
    def withheld(self) -> bool:
        return bool(self._replies)

    # ------------------------------------------------------------------ sending

    def pump(self, step: Step, *, held: bool, ready: bool, ending: bool) -> None:
        """Send what may be sent now."""
        if not held:
            self._send_replies(step)
        if ready and not held and not ending:
            if self.turn is None:
                if not self._steering:
                    self._next_prompt(step)
            else:
                self._into_turn(step, self.turn)
        self._queue.renumber(step)

    def _send_replies(self, step: Step) -> None:
        replies, self._replies = self._replies, []
        for reply in replies:
            if reply.withdrawn:
                step.send(self._runtime.withdrawn(reply.token))
                continue
            ask = self._approvals.by_token(reply.token)
            if ask is not None:
                self._approvals.replied(ask)
            step.send(self._runtime.answer(reply.token, reply.option_id))

    def _next_prompt(self, step: Step) -> None:
        item = next(iter(self._queue), None)
        if item is None:
            return
        self._queue.take(item, Phase.SENT)
        self.count += 1
        self.turn = Turn(ref=item.ref, item=item, number=self.count, last_output_t=step.t)
        self.last_error = None
        self._root.set("stopReason", None)
        self._root.set("lastError", None)
        self._root.transcript.turn_began(step)
        content = item.content
        if self._disregard:
            self._disregard = False
            content = f"{DISREGARD}\n\n{content}"
            self._root.transcript.notice(step, "info", f"Put before this message: {DISREGARD}")
        self._root.transcript.expect_echo(content)
        key = step.send(self._runtime.prompt(item.ref, content))
        if key is not None:
            self._on_out[key] = [item]

    def _into_turn(self, step: Step, turn: Turn) -> None:
        if turn.cancelled:
            return
        if any(item.delivery is Delivery.INTERRUPT for item in self._queue):
            self.cancel(step)
            self._send_replies(step)
            self._cancel_timer = step.set_timer("cancel", CANCEL_SECONDS)
            return
        if self._runtime.facts.steering != "request":
            return
        for item in self._queue:
            if item.delivery is Delivery.STEER or (item.delivery is None and item.receipt is not None):
                self._queue.take(item, Phase.STEERING)
                self._steering[item.ref] = item
                self._root.transcript.expect_echo(item.content)
                step.send(self._runtime.steer(item.ref, item.content))

    def cancel(self, step: Step) -> None:
        """Cancel the running turn, once. Its open questions are void, and the agent is told so."""
        if self.turn is None or self.turn.cancelled:
            return
        self.turn.cancelled = True
        step.send(self._runtime.cancel())
        for ask in self._approvals.pending():
            self._approvals.expire(step, ask, "the turn was cancelled")
            self.reply(ask.token, None)
        if self._runtime.facts.cancel_leaves_tools:
            self._root.transcript.notice(
                step, "info", "The turn is cancelled; this agent may leave a running command behind until it ends."
            )

    def reply(self, token: str, option_id: str | None) -> None:
        """Have a question answered as soon as nothing holds replies back; None: its turn was cancelled."""
        self._replies = [reply for reply in self._replies if reply.token != token]
        self._replies.append(_Reply(token, option_id))

    def drop_reply(self, token: str) -> None:
        """The agent took a question back."""
        self._replies = [reply for reply in self._replies if reply.token != token]
        self._replies.append(_Reply(token, None, withdrawn=True))

    def pulled(self, step: Step, token: str, *, held: bool) -> None:
        """The agent asks for messages to put into its turn: it gets those that are meant to steer."""
        items: list[Item] = []
        if not held and self.turn is not None and not self.turn.cancelled:
            items = [
                item for item in self._queue if item.receipt is not None and item.delivery in (None, Delivery.STEER)
            ]
        for item in items:
            self._queue.take(item, Phase.SENT)
            self._root.transcript.expect_echo(item.content)
        if items:
            # What the model says from here on is said after the messages: it belongs below them.
            self._root.transcript.close_text(step)
        key = step.send(self._runtime.pulled(token, [item.content for item in items]))
        if key is not None and items:
            self._on_out[key] = items

    # ------------------------------------------------------------------ what came of it

    def written(self, step: Step, key: str) -> None:
        """A line of ours was written to the agent."""
        for item in self._on_out.pop(key, ()):
            self._delivered(step, item)

    def _delivered(self, step: Step, item: Item, detail: str | None = None) -> None:
        self._queue.advance(step, item, ReceiptState.DELIVERED, detail=detail)
        if item.phase is not Phase.DONE and item.receipt is not None and item not in self._unanswered:
            self._unanswered.append(item)

    def _settle_sent(self, step: Step, wanted: Item) -> None:
        """The agent answered a prompt, so it has it, even if the journal did not say that it was written."""
        for key, items in list(self._on_out.items()):
            if wanted in items:
                self.written(step, key)

    def output(self, step: Step) -> None:
        """The model said or did something: what was delivered before counts as answered."""
        if self.turn is not None:
            self.turn.last_output_t = step.t
        if self._unanswered:
            items, self._unanswered = self._unanswered, []
            for item in items:
                self._queue.finish(step, item, ReceiptState.ANSWERED)

    def steered(self, step: Step, event: SteerResult) -> None:
        item = self._steering.pop(event.ref, None)
        if item is None:
            return
        if not self._steering:
            step.stop_timer(self._steer_timer)
            self._steer_timer = None
        if event.outcome == "prompt_required":
            self._queue.put_back(step, item, event.detail or "the turn was over; it is the next prompt")
        elif event.outcome == "failed":
            why = event.detail or "the agent did not take it"
            self._queue.put_back(step, item, f"could not be put into the turn ({why}); sent when it ends")
        else:
            item.phase = Phase.SENT
            # What the model says from here on is said after the message: it belongs below it.
            self._root.transcript.close_text(step)
            if event.outcome == "new_turn":
                self._own_turn(step)
            self._delivered(step, item, event.detail)

    def _own_turn(self, step: Step) -> None:
        """The agent works without a prompt of ours."""
        if self.turn is not None:
            return
        self.count += 1
        self.turn = Turn(ref="", item=None, number=self.count, last_output_t=step.t)
        self._root.transcript.turn_began(step)
        self._quiet_timer = step.set_timer("quiet", QUIET_SECONDS)

    def state(self, step: Step, event: TurnState) -> bool:
        """Take a report on the root's turn; whether it ended the running one."""
        turn = self.turn
        if event.state != "idle":
            if turn is None and event.ref is None and event.state == "running":
                self._own_turn(step)
            return False
        if turn is None:
            return False
        if turn.item is not None and event.ref != turn.ref:
            return False
        if turn.item is None and event.ref is not None:
            return False
        self._end(step, turn, event.stop_reason, event.error)
        return True

    def _end(self, step: Step, turn: Turn, stop_reason: str | None, error: str | None) -> None:
        self.turn = None
        for timer in (self._cancel_timer, self._quiet_timer):
            step.stop_timer(timer)
        self._cancel_timer = self._quiet_timer = None
        transcript = self._root.transcript
        transcript.turn_ended(step, cancelled=stop_reason == "cancelled" or turn.cancelled)
        if turn.item is not None:
            self._settle_sent(step, turn.item)
        if error is not None:
            self.last_error = error
            self._root.set("lastError", error)
            level: Literal["info", "error"] = "info" if turn.cancelled else "error"
            transcript.notice(step, level, f"The turn ended with an error: {error}")
            if turn.item is not None and turn.item in self._unanswered:
                self._unanswered.remove(turn.item)
                self._queue.finish(step, turn.item, ReceiptState.FAILED, detail=error)
        else:
            self._root.set("stopReason", stop_reason or "end_turn")
            if stop_reason not in (None, "end_turn"):
                known = _STOPPED.get(stop_reason or "", ("warning", f"The turn ended: {stop_reason}."))
                transcript.notice(step, known[0], known[1], stopReason=stop_reason)
        if turn.item is not None:
            # A turn without any output: the message was delivered, and nothing more will come of it.
            if turn.item in self._unanswered:
                self._unanswered.remove(turn.item)
            self._queue.take(turn.item, Phase.DONE)
            turn.item.content = ""
        if self._steering:
            step.stop_timer(self._steer_timer)
            self._steer_timer = step.set_timer("steer", STEER_SECONDS)

    def timer(self, step: Step, name: str) -> bool:
        """Whether the timer was ours."""
        if name == self._cancel_timer:
            self._cancel_timer = None
            text = f"The agent has not ended its turn {CANCEL_SECONDS:g} s after the cancel; the message waits for it."
            self._root.transcript.notice(step, "warning", text)
            for place, item in enumerate(self._queue, 1):
                if item.delivery is Delivery.INTERRUPT:
                    detail = "waits for the cancelled turn to end"
                    self._queue.advance(step, item, ReceiptState.QUEUED, position=place, detail=detail)
            return True
        if name == self._steer_timer:
            self._steer_timer = None
            for item in list(self._steering.values()):
                # It may have been taken: sending it once more could carry an order out twice.
                detail = "the agent did not say whether it took the message; it was not sent again"
                self._queue.finish(step, item, ReceiptState.FAILED, detail=detail)
            self._steering.clear()
            return True
        if name == self._quiet_timer:
            self._quiet_timer = None
            turn = self.turn
            if turn is not None and turn.item is None:
                quiet = step.t - turn.last_output_t
                if 0 <= quiet < QUIET_SECONDS:
                    self._quiet_timer = step.set_timer("quiet", max(1.0, QUIET_SECONDS - quiet))
                else:
                    self._end(step, turn, None, None)
            return True
        return False

    def lost(self, step: Step) -> LostTurn:
        """The process is gone, and another will take its place. What waits goes on waiting; what was handed over and
        not answered is never sent again, and its receipt says so."""
        turn = self.turn
        self._close_turn(step)
        uncertain = 0
        for item in self._queue.unfinished():
            if item.phase is Phase.WAITING:
                continue
            receipt = item.receipt
            if turn is None and receipt is not None and receipt.state is ReceiptState.DELIVERED:
                self._queue.take(item, Phase.DONE)
                continue
            uncertain += 1
            self._queue.finish(step, item, ReceiptState.FAILED, detail=UNCERTAIN)
        prompted = turn is not None and turn.item is not None
        if turn is not None and turn.item is not None and turn.item.receipt is None:
            uncertain += 1
            self._queue.take(turn.item, Phase.DONE)
        if turn is not None:
            self.last_error = "The running turn was lost with the agent's process."
            self._root.set("lastError", self.last_error)
        self._disregard = self._disregard or (prompted and self._runtime.facts.resume_repeats)
        return LostTurn(turn=turn is not None, uncertain=uncertain, disregard=self._disregard)

    def _close_turn(self, step: Step) -> None:
        turn, self.turn = self.turn, None
        self._root.transcript.turn_ended(step, cancelled=turn is not None)
        for timer in (self._cancel_timer, self._steer_timer, self._quiet_timer):
            step.stop_timer(timer)
        self._cancel_timer = self._steer_timer = self._quiet_timer = None
        self._steering.clear()
        self._on_out.clear()
        self._unanswered.clear()
        self._replies.clear()

    def ended(self, step: Step, why: str, *, failed: bool) -> None:
        """The session is over: nothing that was accepted stays without an outcome. What was delivered stays so, unless
        the session `failed` (or was killed) before it was answered."""
        cancelled = self.turn is not None
        self._close_turn(step)
        self._root.transcript.end(step, cancelled=cancelled)
        for item in self._queue.unfinished():
            if not failed and item.receipt is not None and item.receipt.state is ReceiptState.DELIVERED:
                self._queue.take(item, Phase.DONE)
            else:
                self._queue.finish(step, item, ReceiptState.FAILED, detail=f"not answered: {why}")
        for item in self._queue:
            self._queue.take(item, Phase.DONE)
