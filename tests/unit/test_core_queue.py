"""The queue of messages that wait: changed, put into another order, taken back and handed over, in any order.

The state machine has a model of its own, a list of (id, words); what goes to the agent, what the receipts say and what
the transcript says must be what the model says, live and when the journal is folded anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mission_control_desktop.domain.limits import MAX_INJECT_CHARS
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.orchestrator.core.effects import Answered, Send, Write
from mission_control_desktop.orchestrator.core.inject import digest
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.snapshot import freeze, thaw
from support.playing import Play, Record, spec

WAITS = (ReceiptState.STORED, ReceiptState.QUEUED)


def code(answered: Answered | None) -> str | None:
    assert answered is not None
    return answered.error_code


def edit(play: Play, ref: str, content: str, was: str, **more: Any) -> Answered | None:
    return play.command("edit", injectionId=ref, content=content, was=digest(was), operatorId="bob", **more)


def move(play: Play, ref: str, position: int, **more: Any) -> Answered | None:
    return play.command("move", injectionId=ref, position=position, **more)


def places(record: Record) -> list[str]:
    """The ids of what waits, as the receipts order them."""
    newest = [steps[-1] for steps in record.receipts.values() if steps[-1].state in WAITS]
    return [one.injection_id for one in sorted(newest, key=lambda one: one.position or 0)]


def test_a_message_that_waits_gets_other_words_and_stays_what_it_is() -> None:
    play = Play().open()
    play.inject("i", "one")
    play.inject("j", "two")
    before = next(one for one in play.record.messages.values() if one.metadata.get("injectionId") == "i")
    done = edit(play, "i", "uno", "one")
    assert done is not None
    assert (done.value.injection_id, done.value.state, done.value.position) == ("i", ReceiptState.QUEUED, 1)
    after = play.record.messages[before.message_id]
    assert (after.content, after.timestamp, after.metadata["operatorId"]) == ("uno", before.timestamp, "ann")
    assert after.metadata["editedBy"] == "bob"
    assert code(edit(play, "i", "uno", "one")) is None, "the same edit again is the same"
    assert code(edit(play, "i", "eins", "one")) == "conflict", "written for words that it has no more"
    assert play.record.messages[before.message_id].content == "uno"
    play.end_turn()
    play.end_turn()
    assert play.prompts() == ["Do it", "uno", "two"]


def test_words_are_compared_as_they_are_on_record() -> None:
    play = Play().open()
    play.inject("i", "a\0b\ud800")
    assert code(edit(play, "i", "plain", "a\ufffdb\ufffd")) is None


def test_moving() -> None:
    play = Play().open()
    for ref in "ijkl":
        play.inject(ref, ref)
    for ref, position, order in (
        ("l", 1, "lijk"),
        ("l", 99, "ijkl"),
        ("j", 3, "ikjl"),
        ("j", 3, "ikjl"),
        ("l", 3, "iklj"),
    ):
        answered = move(play, ref, position)
        assert answered is not None
        assert answered.value.position == order.index(ref) + 1
        assert "".join(places(play.record)) == order
    for _ in "ijkl":
        play.end_turn()
    assert play.prompts() == ["Do it", "i", "k", "l", "j"]


def test_what_interrupts_stays_before_what_waits_for_the_turns_end() -> None:
    play = Play().open()
    play.command("pause", level="hold")
    play.inject("q", "q", delivery="queue")
    play.inject("r", "r", delivery="queue")
    play.inject("a", "a", delivery="interrupt")
    play.inject("b", "b", delivery="interrupt")
    assert "".join(places(play.record)) == "abqr"
    for ref, position, order in (("r", 1, "abrq"), ("a", 4, "barq"), ("q", 3, "baqr")):
        move(play, ref, position)
        assert "".join(places(play.record)) == order


def test_the_first_prompt_keeps_its_place() -> None:
    play = Play()
    play.inject("i", "one")
    play.inject("j", "two")
    answered = move(play, "j", 1)
    assert answered is not None
    assert answered.value.position == 2
    play.open()
    play.end_turn()
    play.end_turn()
    assert play.prompts() == ["Do it", "two", "one"]


@pytest.mark.parametrize("state", ["delivered", "handed over", "withdrawn", "offered to the turn", "failed"])
def test_what_does_not_wait_cannot_be_changed(state: str) -> None:
    play = Play().open(steering=state == "offered to the turn")
    if state == "offered to the turn":
        play.inject("i", "one")
    elif state == "withdrawn":
        play.inject("i", "one")
        play.command("withdraw", injectionId="i")
    else:
        play.inject("i", "one")
        play.auto = state != "handed over"
        play.end_turn()
        if state == "failed":
            play.feed("exit", data={"code": 1})
    before = (dict(play.record.messages), play.record.receipts["i"][-1])
    for refused in (edit(play, "i", "uno", "one"), move(play, "i", 1)):
        assert code(refused) == "conflict"
    assert (dict(play.record.messages), play.record.receipts["i"][-1]) == before


@pytest.mark.parametrize(
    ("content", "expected"), [(" \n", "bad_input"), ("x" * (MAX_INJECT_CHARS + 1), "too_large"), ("x", None)]
)
def test_what_an_edit_is_refused_for(content: str, expected: str | None) -> None:
    play = Play().open()
    play.inject("i", "one")
    assert code(edit(play, "i", content, "one")) == expected
    assert code(edit(play, "?", "x", "one")) == code(move(play, "?", 1)) == "not_found"
    assert code(edit(play, "i", "y", "x", expectedRunId="run-0")) == "conflict"
    assert code(move(play, "i", 1, expectedRunId="run-0")) == "conflict"


def test_a_change_after_many_messages_is_still_on_record() -> None:
    """Of what was said, only so much is remembered; of what waits, all."""
    play = Play().open()
    play.command("pause", level="hold")
    play.inject("i", "one")
    for number in range(400):
        play.inject(f"n{number}", "x")
        play.command("withdraw", injectionId=f"n{number}")
    edit(play, "i", "uno", "one")
    assert [one.content for one in play.record.messages.values() if one.metadata.get("injectionId") == "i"] == ["uno"]


@dataclass
class Told:
    """What became of one message, by the model."""

    words: str
    interrupts: bool
    message_id: str = ""
    past: list[str] = field(default_factory=list)


class Queue(RuleBasedStateMachine):
    """An idle turn ends when the machine says so; then the first of the queue is handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play().open()
        self.waiting: list[str] = []
        self.known: dict[str, Told] = {}
        self.prompts = ["Do it"]
        self.gone: set[str] = set()
        self.written = 0
        self.held = False

    def words(self) -> str:
        self.written += 1
        return f"words {self.written}"

    @rule(interrupts=st.booleans())
    def say(self, interrupts: bool) -> None:
        ref, words = f"i{len(self.known)}", self.words()
        # What interrupts cancels the turn, which is another machine's business: on hold it waits like the rest.
        interrupts = interrupts and self.held
        self.play.inject(ref, words, delivery="interrupt" if interrupts else "queue")
        self.known[ref] = Told(words, interrupts)
        (self.known[ref].message_id,) = [
            one.message_id for one in self.play.record.messages.values() if one.metadata.get("injectionId") == ref
        ]
        place = sum(self.known[other].interrupts for other in self.waiting)
        self.waiting.insert(place if interrupts else len(self.waiting), ref)
        self._hand_over()

    @precondition(lambda self: self.known)
    @rule(data=st.data(), stale=st.booleans(), again=st.booleans())
    def edit(self, data: st.DataObject, stale: bool, again: bool) -> None:
        ref = data.draw(st.sampled_from(list(self.known)))
        told = self.known[ref]
        was = data.draw(st.sampled_from(told.past)) if stale and told.past else told.words
        words = self.words()
        answered = edit(self.play, ref, words, was)
        if ref not in self.waiting or was != told.words:
            assert code(answered) == "conflict"
            return
        assert code(answered) is None
        told.past.append(told.words)
        told.words = words
        if again:
            assert code(edit(self.play, ref, words, was)) is None

    @precondition(lambda self: self.known)
    @rule(data=st.data(), position=st.integers(1, 9))
    def move(self, data: st.DataObject, position: int) -> None:
        ref = data.draw(st.sampled_from(list(self.known)))
        answered = move(self.play, ref, position)
        if ref not in self.waiting:
            assert code(answered) == "conflict"
            return
        self.waiting.remove(ref)
        ahead = sum(self.known[other].interrupts for other in self.waiting)
        low, high = (0, ahead) if self.known[ref].interrupts else (ahead, len(self.waiting))
        self.waiting.insert(sorted((low, position - 1, high))[1], ref)
        assert answered is not None
        assert answered.value.position == self.waiting.index(ref) + 1

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(list(self.known)))
        answered = self.play.command("withdraw", injectionId=ref)
        if ref in self.waiting:
            self.waiting.remove(ref)
            self.gone.add(ref)
        assert code(answered) == (None if ref in self.gone else "conflict")

    @rule()
    def hold(self) -> None:
        if not self.held:
            self.play.command("pause", level="hold")
            self.held = True

    @precondition(lambda self: not any(self.known[ref].interrupts for ref in self.waiting))
    @rule()
    def let_go(self) -> None:
        if self.held:
            self.play.command("resume")
            self.held = False
            self._hand_over()

    @rule()
    def end_turn(self) -> None:
        if len(self.prompts) == len(self.play.requests("session/prompt")) and self.running:
            self.play.end_turn()
            self.running = False
            self._hand_over()

    running = True

    def _hand_over(self) -> None:
        if not self.held and not self.running and self.waiting:
            self.prompts.append(self.known[self.waiting.pop(0)].words)
            self.running = True

    @rule()
    def restart(self) -> None:
        """The control plane dies and folds the journal from a snapshot, or anew: it goes on with the same core."""
        core = SessionCore(spec())
        record = Record()
        sent = []
        for entry in self.play.entries:
            for effect in core.feed(entry):
                if isinstance(effect, Write):
                    record.apply(effect)
                elif isinstance(effect, Send):
                    sent.append(effect.key)
        assert record.messages == self.play.record.messages
        assert record.receipts == self.play.record.receipts
        assert sent == [effect.key for effect in self.play.effects if isinstance(effect, Send)]
        self.play.core, _ = thaw(spec(), freeze(core))

    @invariant()
    def as_the_model_says(self) -> None:
        assert self.play.prompts() == self.prompts
        assert places(self.play.record) == self.waiting
        for place, ref in enumerate(self.waiting, 1):
            assert self.play.record.receipts[ref][-1].position == place
        for ref, told in self.known.items():
            message = self.play.record.messages[told.message_id]
            assert message.content == told.words
            assert bool(message.metadata.get("withdrawn")) == (ref in self.gone)
            assert ("editedBy" in message.metadata) == bool(told.past)
        assert self.play.core.faults == 0


Queue.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueue = Queue.TestCase
