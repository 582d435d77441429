"""The transcript's model: order, growth, levelling, and a bounded window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester

from mission_control_desktop.domain.events import Delta, EventType, Reset, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui.transcript import entry as held
from mission_control_desktop.ui.transcript import model as module
from mission_control_desktop.ui.transcript.blocks import Content, Notice
from mission_control_desktop.ui.transcript.export import message_markdown
from mission_control_desktop.ui.transcript.model import TranscriptModel

SESSION = "internal:s"
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def message(number: int, content: str = "", **metadata: Any) -> AgentMessage:
    return AgentMessage(
        message_id=f"m{number}",
        session_id=SESSION,
        role=MessageRole.AGENT,
        content=content or f"message {number}",
        timestamp=START + timedelta(seconds=number),
        seq=number,
        metadata={"kind": "text", "complete": True, **metadata},
    )


def put(item: AgentMessage) -> StreamEvent:
    return StreamEvent(event_id=None, type=EventType.MESSAGE, data=item)


def delta(number: int, offset: int, text: str) -> StreamEvent:
    return StreamEvent(
        event_id=None, type=EventType.DELTA, data=Delta(message_id=f"m{number}", offset=offset, text=text)
    )


@pytest.fixture
def model(qt: Any) -> Iterator[TranscriptModel]:
    transcript = TranscriptModel(window=20)
    tester = QAbstractItemModelTester(transcript, QAbstractItemModelTester.FailureReportingMode.Fatal)
    yield transcript
    tester.deleteLater()


def ids(model: TranscriptModel) -> list[str]:
    return [entry.message.message_id for entry in model.entries]


def texts(model: TranscriptModel) -> list[str]:
    return [entry.text for entry in model.entries]


def test_messages_stand_in_the_order_of_their_place(model: TranscriptModel) -> None:
    model.apply([put(message(1)), put(message(4)), put(message(2)), put(message(3)), put(message(9))])
    assert ids(model) == ["m1", "m2", "m3", "m4", "m9"]
    assert [model.row_of(key) for key in ids(model)] == [0, 1, 2, 3, 4]


def test_a_message_again_replaces_it_in_its_place(model: TranscriptModel) -> None:
    model.apply([put(message(1)), put(message(2)), put(message(1, "new words"))])
    assert texts(model) == ["new words", "message 2"]


def test_of_a_message_that_never_ends_a_bound_is_held_and_the_row_says_so(
    model: TranscriptModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MOST_CHARS", 1_000)
    level: list[str] = []
    model.level_wanted.connect(level.append)
    model.apply([put(message(1, "0" * 10, complete=False))])
    content = Content()
    for number in range(1, 500):
        model.apply([delta(1, number * 10, str(number % 10) * 10)])
    entry = model.entry(0)
    assert not level, "what is not held is no gap"
    assert len(entry.text) == entry.length == 1_000
    assert entry.text == "".join(str(number % 10) * 10 for number in range(100))
    assert entry.came == 5_000
    assert entry.weight < 1_100
    said = content.update(entry, expanded=False)[-1]
    assert said == Notice(
        "cut", "Cut here, after 1,000 characters: this window shows no more of one message. The rest is on record."
    )
    assert said.text in message_markdown(entry), "a copy says so, too"
    # What comes twice or not in its place is seen as before.
    model.apply([delta(1, 4_990, "9" * 10), delta(1, 4_995, "9" * 5 + "x" * 5)])
    assert entry.came == 5_005
    assert not level
    model.apply([delta(1, 6_000, "y")])
    assert len(level) == 1
    # The whole message: as much of it is held, and how much there is in all is said.
    model.apply([put(message(1, "z" * 7_000))])
    assert (len(entry.text), entry.came) == (1_000, 7_000)
    assert len(entry.message.content) == 1_000
    assert "after 1,000 characters of 7,000: this window" in entry.cut()
    model.apply([put(message(1, "short"))])
    assert entry.cut() == ""
    assert not isinstance(content.update(entry, expanded=False)[-1], Notice)


def test_what_the_record_has_cut_is_said(model: TranscriptModel) -> None:
    model.apply([put(message(1, "z" * 900, complete=False, truncatedFrom=901))])
    assert model.entry(0).cut() == "Cut here, after 900 characters: the record keeps no more of one message."
    model.apply([put(message(1, "z" * 900, truncatedFrom=52_000_000))])
    assert "after 900 characters of 52,000,000: the record keeps no more" in model.entry(0).cut()
    tool = message(2, "z" * 900, kind="tool_call", truncatedFrom=1_000)
    model.apply([put(tool)])
    assert not any(isinstance(block, Notice) for block in Content().update(model.entry(1), expanded=False))
    assert isinstance(Content().update(model.entry(1), expanded=True)[-1], Notice)


def test_deltas_append_at_their_offset_and_doubles_are_dropped(model: TranscriptModel) -> None:
    model.apply([put(message(1, "ab", complete=False)), delta(1, 2, "cd"), delta(1, 2, "cd"), delta(1, 3, "def")])
    assert texts(model) == ["abcdef"]


def test_a_gap_asks_once_for_the_page_and_what_waited_is_put_in(model: TranscriptModel, qt: Any) -> None:
    model.apply([put(message(1, "ab", complete=False))])
    with qt.waitSignal(model.level_wanted):
        model.apply([delta(1, 6, "gh")])
    with qt.assertNotEmitted(model.level_wanted):
        model.apply([delta(1, 8, "ij")])
    assert texts(model) == ["ab"]
    model.load([message(1, "abcdef", complete=False)], has_older=False)
    assert texts(model) == ["abcdefghij"]
    model.apply([delta(1, 10, "kl")])
    assert texts(model) == ["abcdefghijkl"]


def test_a_page_that_is_older_than_the_stream_takes_nothing_back(model: TranscriptModel) -> None:
    model.apply([put(message(1, "ab", complete=False)), delta(1, 2, "cdef")])
    model.load([message(1, "abcd", complete=False)], has_older=False)
    assert texts(model) == ["abcdef"]


def test_a_failed_levelling_is_tried_again_with_the_next_misfit(model: TranscriptModel, qt: Any) -> None:
    model.apply([put(message(1, "ab", complete=False)), delta(1, 6, "gh")])
    model.level_failed()
    with qt.waitSignal(model.level_wanted):
        model.apply([delta(1, 8, "ij")])


def test_reset_asks_for_the_page_and_keeps_what_is_shown_until_it_comes(model: TranscriptModel, qt: Any) -> None:
    model.apply([put(message(1)), put(message(2))])
    with qt.waitSignal(model.level_wanted):
        model.apply([StreamEvent(event_id=None, type=EventType.RESET, data=Reset(reason="epoch"))])
    assert len(model.entries) == 2
    model.load([message(7), message(8)], has_older=True)
    assert ids(model) == ["m7", "m8"]


def test_a_delta_for_an_unknown_message_asks_for_the_page(model: TranscriptModel, qt: Any) -> None:
    model.apply([put(message(1))])
    with qt.waitSignal(model.level_wanted):
        model.apply([delta(5, 3, "x")])


def test_older_pages_come_in_front_and_doubles_are_left_out(model: TranscriptModel, qt: Any) -> None:
    model.load([message(5), message(6)], has_older=True)
    with qt.waitSignal(model.older_wanted) as wanted:
        model.fetch_older()
    assert wanted.args == [5]
    with qt.assertNotEmitted(model.older_wanted):
        model.fetch_older()
    model.add_older([message(3), message(4), message(5)], has_older=False)
    assert ids(model) == ["m3", "m4", "m5", "m6"]
    assert [model.row_of(key) for key in ids(model)] == [0, 1, 2, 3]
    model.fetch_older()
    assert not model.loading_older


def test_old_entries_are_let_go_while_the_end_is_followed(model: TranscriptModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "SLACK", 5)
    for number in range(1, 60):
        model.apply([put(message(number))])
    assert 20 <= len(model.entries) <= 26
    assert ids(model)[-1] == "m59"
    assert model.has_older
    assert model.row_of("m1") is None
    assert model.row_of("m59") == len(model.entries) - 1
    model.apply([put(message(2, "changed long after"))])
    assert "m2" not in ids(model)


def test_of_long_messages_fewer_are_kept(qt: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "FEWEST", 10)
    model = TranscriptModel(window=1_000)
    most = 0
    for number in range(1, 2_000):
        model.apply([put(message(number, "x" * 5_000))])
        most = max(most, sum(entry.length for entry in model.entries))
    assert most <= module.WINDOW_CHARS + 5_000
    assert model.has_older
    assert ids(model)[-1] == "m1999"
    assert ids(model) == [f"m{number}" for number in range(2_000 - len(model.entries), 2_000)]
    model.apply([put(message(number, "x" * module.WINDOW_CHARS)) for number in range(2_000, 2_030)])
    assert len(model.entries) == 10, "some stay, however long they are"


def test_nothing_is_let_go_under_a_reader(model: TranscriptModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "SLACK", 5)
    model.following = False
    model.apply([put(message(number)) for number in range(1, 60)])
    assert len(model.entries) == 59


def test_a_reader_far_back_lets_the_newest_go_until_they_are_wanted(model: TranscriptModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "READING_MAX", 40)
    monkeypatch.setattr(module, "WINDOW", 10)
    model.following = False
    model.load([message(number) for number in range(100, 130)], has_older=True)
    model.add_older([message(number) for number in range(80, 100)], has_older=True)
    assert ids(model)[-1] == "m109"
    assert model.has_newer
    model.apply([put(message(130))])
    assert ids(model)[-1] == "m109"
    model.add_newer([message(number) for number in range(110, 131)], has_newer=False)
    assert ids(model)[-1] == "m130"
    model.apply([put(message(131))])
    assert ids(model)[-1] == "m131"


def test_what_is_said_while_somebody_reads_is_bounded(model: TranscriptModel, monkeypatch: Any, qt: Any) -> None:
    monkeypatch.setattr(module, "READING_CHARS", 100_000)
    came: list[int] = []
    model.came_beyond.connect(came.append)
    model.load([message(1), message(2)], has_older=False)
    model.following = False
    model.room_wanted.connect(lambda: setattr(model, "near", range(40)))
    for number in range(3, 300):
        model.apply([put(message(number, "x" * 2_000))])
    assert ids(model) == [f"m{number}" for number in range(1, 41)], "what the reader is near to stays"
    assert model.has_newer
    assert model.newest_seq == 299
    # The 51st was one too many; it and those that were shown until then are no news.
    assert sum(came) == 299 - 51
    # On the way down what is far above goes, and comes again on the way up.
    model.room_wanted.connect(lambda: setattr(model, "near", range(len(model.entries) - 25, len(model.entries))))
    for first in range(41, 300, 20):
        model.add_newer([message(n, "x" * 2_000) for n in range(first, min(300, first + 20))], has_newer=first < 280)
        assert sum(entry.weight for entry in model.entries) <= 100_000 + 20 * 2_100
    assert ids(model)[-1] == "m299"
    assert model.has_older
    model.room_wanted.connect(lambda: setattr(model, "near", range(45)))
    oldest = model.entries[0].seq
    model.add_older([message(n, "x" * 2_000) for n in range(oldest - 20, oldest)], has_older=True)
    assert ids(model)[0] == f"m{oldest - 20}"
    assert ids(model) == [f"m{oldest - 20 + place}" for place in range(len(model.entries))]


def test_what_a_tool_was_given_and_changed_counts(model: TranscriptModel) -> None:
    change = {"path": "a.py", "oldText": "x" * 20_000, "newText": "y" * 20_000}
    for number in range(1, 60):
        model.apply([put(message(number, "", kind="tool_call", diffs=[change]))])
        assert len(model.entries) <= module.FEWEST + 1
    assert model.has_older
    entry = model.entries[-1]
    assert entry.weight > 40_000 + entry.length
    model.apply([put(message(59, "", kind="tool_call"))])
    assert entry.weight < 1_000


def test_what_comes_while_the_newest_are_let_go_is_told_and_not_shown(model: TranscriptModel, qt: Any) -> None:
    model.load([message(100), message(101)], has_older=True)
    model.show_window([message(10), message(11)], has_older=True, has_newer=True)
    assert model.newest_seq == 101
    with qt.assertNotEmitted(model.came_beyond):
        model.apply([put(message(101, "again"))])
    with qt.waitSignal(model.came_beyond):
        model.apply([put(message(102))])
    assert ids(model) == ["m10", "m11"]


def test_a_page_beyond_a_gap_does_not_take_the_readers_place(model: TranscriptModel, qt: Any) -> None:
    model.load([message(1), message(2)], has_older=False)
    model.following = False
    model.load([message(50), message(51)], has_older=True)
    assert ids(model) == ["m1", "m2"]
    assert model.has_newer
    with qt.waitSignal(model.level_wanted):
        model.apply([StreamEvent(event_id=None, type=EventType.RESET, data=Reset(reason="rebuilt"))])
    model.load([message(1, "of another record")], has_older=False)
    assert texts(model) == ["of another record"]
    assert not model.has_newer


def test_reading_forwards_lets_the_oldest_go(model: TranscriptModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "READING_MAX", 40)
    monkeypatch.setattr(module, "WINDOW", 10)
    model.show_window([message(n) for n in range(30)], has_older=False, has_newer=True)
    model.add_newer([message(n) for n in range(30, 60)], has_newer=True)
    assert ids(model)[0] == "m30"
    assert model.has_older


def test_receipts_are_found_at_their_message(model: TranscriptModel, qt: Any) -> None:
    model.apply([put(message(1, injectionId="i1"))])
    receipt = Receipt(injection_id="i1", session_id=SESSION, state=ReceiptState.QUEUED, at=START, position=2)
    with qt.waitSignal(model.dataChanged):
        model.apply([StreamEvent(event_id=None, type=EventType.RECEIPT, data=receipt)])
    assert model.receipt_for(model.entry(0)) == receipt


def test_receipts_of_messages_that_are_let_go_are_few(model: TranscriptModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "SLACK", 5)
    for number in range(1, 400):
        model.apply([put(message(number, injectionId=f"i{number}"))])
        receipt = Receipt(injection_id=f"i{number}", session_id=SESSION, state=ReceiptState.QUEUED, at=START)
        model.set_receipts([receipt])
        assert len(model._receipts) <= len(model.entries) + module.LOOSE_RECEIPTS
    assert model.has_older
    for entry in model.entries:
        assert model.receipt_for(entry) is not None


def test_a_batch_is_announced_once_a_row(model: TranscriptModel) -> None:
    model.apply([put(message(1, "a", complete=False)), put(message(2))])
    seen: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda top, bottom: seen.append((top.row(), bottom.row())))
    model.apply([delta(1, 1 + n, "x") for n in range(50)])
    assert seen == [(0, 0)]


def test_screen_readers_get_who_when_and_what(model: TranscriptModel) -> None:
    model.apply([put(message(1, "words", kind="tool_call", title="ls", status="completed"))])
    text = model.data(model.index(0), Qt.ItemDataRole.AccessibleTextRole)
    assert text.startswith("agent at ")
    assert "ls" in text
    assert "completed" in text
    assert text.endswith("words")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text("aé🚀 \n", min_size=1, max_size=4), min_size=1, max_size=12),
    st.lists(st.integers(0, 11), max_size=12),
    st.integers(1, 5),
)
def test_doubled_and_merged_deltas_give_the_text_on_record(
    qt: Any, pieces: list[str], doubled: list[int], batch: int
) -> None:
    """At least once, in order, merged at will: the text is the one on record."""
    model = TranscriptModel()
    model.apply([put(message(1, "x", complete=False))])
    events: list[StreamEvent] = []
    offset = 1
    for number, piece in enumerate(pieces):
        events.append(delta(1, offset, piece))
        if number in doubled:
            events.append(delta(1, offset, piece))
        offset += len(piece)
    for start in range(0, len(events), batch):
        model.apply(events[start : start + batch])
    assert texts(model) == ["x" + "".join(pieces)]
