"""The orchestrator's small parts: the tree, the timers, the words after the end, the way to the record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Letter, Receipt
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.orchestrator import recording
from mission_control_desktop.orchestrator.aftermath import last_words
from mission_control_desktop.orchestrator.core.commands import Command
from mission_control_desktop.orchestrator.core.effects import Do, SetTimer
from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.recording import Change, RecordWriter, joined
from mission_control_desktop.orchestrator.sweep import Swept
from mission_control_desktop.orchestrator.timers import Timers
from mission_control_desktop.orchestrator.tree import SessionTree
from mission_control_desktop.record.ops import AppendText, DropLetter, RecordOp


def test_the_tree_knows_who_is_below_whom() -> None:
    tree = SessionTree()
    for session_id, parent in (("a", None), ("b", "a"), ("b.4", "b"), ("c", "b.4"), ("x", None)):
        tree.put(session_id, parent, final=False)
    assert tree.above("c") == ["b.4", "b", "a"]
    assert tree.depth("c") == 3
    assert tree.in_subtree("a", "c")
    assert tree.in_subtree("c", "c")
    assert not tree.in_subtree("x", "c")
    assert not tree.in_subtree("c", "a")
    assert not tree.in_subtree("nobody", "nobody")
    tree.mark_ending("b", True)
    assert tree.ending("c")
    assert not tree.ending("a")
    tree.mark_ending("b", False)
    assert not tree.ending("c")


def test_the_tree_survives_a_circle_and_forgets_the_oldest_ended() -> None:
    tree = SessionTree(max_ended=2)
    tree.put("p", "q", final=True)
    tree.put("q", "p", final=True)
    assert not tree.in_subtree("z", "p")
    tree.put("root", None, final=True)
    tree.put("leaf", "root", final=False)
    for number in range(5):
        tree.put(f"old{number}", None, final=True)
    tree.prune()
    assert tree.in_subtree("root", "leaf")
    assert tree.final("old0") is None
    assert tree.final("old4") is True


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


async def test_timers_count_from_the_journal_and_fire_once() -> None:
    clock, posted = Clock(), []

    def post(command: Command) -> None:
        posted.append(command.id)

    timers = Timers(clock, post)
    timers.set(SetTimer(name="a", seconds=5), Entry(n=3, t=990.0, kind="in"))
    timers.set(SetTimer(name="b", seconds=5), Entry(n=4, t=990.0, kind="in"))
    timers.set(SetTimer(name="c", seconds=500), Entry(n=5, t=990.0, kind="in"))
    timers.set(SetTimer(name="b", seconds=None), Entry(n=6, t=991.0, kind="in"))
    await asyncio.sleep(0)
    assert posted == []  # a replay posts nothing
    timers.arm()
    await asyncio.sleep(0.01)
    assert posted == ["timer-a-3"]
    timers.fired("timer-a-3")
    timers.disarm()
    timers.arm()
    await asyncio.sleep(0.01)
    assert posted == ["timer-a-3"]
    timers.disarm()


def test_last_words_end_every_story() -> None:
    nothing = Swept(killed=(), left=())
    assert last_words(nothing, entries=0, over=False, asked=[], unstarted="no room", denied=None)[0]["data"] == {
        "error": "no room"
    }
    assert last_words(nothing, entries=0, over=False, asked=[], unstarted=None, denied=None)[0]["kind"] == "cmd"
    did = last_words(nothing, entries=9, over=False, asked=[Do(key="9:kill", what="kill")], unstarted=None, denied=None)
    assert did[0]["key"] == did[0]["data"]["key"] == "9:kill"
    assert did[0]["data"]["ok"] is True
    assert last_words(nothing, entries=9, over=False, asked=[], unstarted="x", denied="why")[0]["data"] == {
        "cause": "killed",
        "killed": 0,
        "left": [],
        "by": "sub-reaper",
        "denied": "why",
    }
    assert last_words(nothing, entries=9, over=True, asked=[], unstarted="x", denied=None) == []


class SlowRecord:
    """Keeps what it is given; waits for `open` first."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.texts: list[str] = []
        self.cursors: list[int] = []

    async def apply(
        self, session_id: str, ops: Sequence[RecordOp], *, cursor: int | None = None, durable: bool = False
    ) -> None:
        await self.open.wait()
        self.texts += [op.text for op in ops if isinstance(op, AppendText)]
        self.cursors.append(cursor or 0)

    async def cursor(self, session_id: str) -> int:
        return 0

    async def sessions(self) -> list[AgentSession]:
        return []

    async def session(self, session_id: str) -> AgentSession | None:
        return None

    async def open_approvals(self, session_id: str) -> list[Approval]:
        return []

    async def receipts(self, session_id: str) -> list[Receipt]:
        return []

    async def approval(self, approval_id: str) -> Approval | None:
        return None

    async def receipt(self, injection_id: str) -> Receipt | None:
        return None

    async def letters(self) -> list[tuple[Receipt, Letter]]:
        return []

    async def newest_messages(self, session_id: str) -> list[AgentMessage]:
        return []


def change(n: int, **fields: Any) -> Change:
    return Change(n=n, ops=(AppendText(session_id="s", message_id="m", offset=n, text=f"{n} "),), **fields)


@pytest.mark.parametrize("limit", [1, 10, 10_000])
async def test_the_record_gets_every_change_once_however_slow_it_is(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_WAITING_OPS", limit)
    record = SlowRecord()
    journal = [change(n, durable=n % 7 == 0) for n in range(1, 101)]
    folded = 0

    def refold(after: int, last: int) -> Iterator[Change]:
        yield from (one for one in journal if after < one.n <= last)

    writer = RecordWriter(record, "s", refold)
    writer.begin(5)
    running = asyncio.get_running_loop().create_task(writer.run())
    for one in journal[:80]:
        writer.put(one)
        folded = one.n
        if folded % 30 == 0:
            await asyncio.sleep(0)
    assert writer.behind == (limit < 80)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.committed(7), 0.01)
    record.open.set()
    await asyncio.wait_for(writer.committed(77), 5)
    for one in journal[80:]:
        writer.put(one)
        writer.put(one)  # folded again after a new attachment
        await asyncio.sleep(0)
    await asyncio.wait_for(writer.drained(), 5)
    assert "".join(record.texts) == "".join(f"{n} " for n in range(6, 101))
    assert record.cursors == sorted(record.cursors)
    assert record.cursors[-1] == 100
    assert not writer.behind
    running.cancel()


def test_appends_that_follow_one_another_become_one() -> None:
    def append(message: str, offset: int, text: str) -> AppendText:
        return AppendText(session_id="p:s", message_id=message, offset=offset, text=text)

    said: list[RecordOp] = [
        append("a", 3, "one "),
        append("a", 7, "two "),
        append("a", 11, "three"),
        append("b", 0, "other "),
        append("a", 16, " four"),
        append("a", 16, " four"),  # the same once more is not what follows
        append("a", 30, "a gap"),
        DropLetter(session_id="p:s", injection_id="i"),
        append("a", 35, "!"),
    ]
    assert joined(said) == [
        append("a", 3, "one two three"),
        append("b", 0, "other "),
        append("a", 16, " four"),
        append("a", 16, " four"),
        append("a", 30, "a gap"),
        DropLetter(session_id="p:s", injection_id="i"),
        append("a", 35, "!"),
    ]
    assert joined([]) == []
    assert joined(said[:1]) == said[:1]
    assert joined(said[:2]) == [append("a", 3, "one two ")]
