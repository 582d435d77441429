"""What a transcript keeps: text and forms are bounded, and what was let go comes back as it was."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QPixmapCache, QTextDocument

from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.panel import strip
from mission_control_desktop.ui.panel.strip import ReceiptStrip
from mission_control_desktop.ui.theme.scheme import PICTURES_KIB
from mission_control_desktop.ui.transcript import highlight, row, rows, shelf
from mission_control_desktop.ui.transcript import model as model_module
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.pane import TranscriptPane
from mission_control_desktop.ui.transcript.row import RowLayout, RowState
from mission_control_desktop.ui.transcript.segments import CodeSegment, TextSegment
from mission_control_desktop.ui.transcript.shelf import DocumentShelf
from mission_control_desktop.ui.transcript.style import make_style
from mission_control_desktop.ui.transcript.view import TranscriptView

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PARAGRAPH = "Words that fill a line or two and then some `more()` of it. " * 8 + "\n\n"
LOOKS = row.Looks(grouped=False, unread=False, receipt=None)


def message(number: int, content: str, role: MessageRole = MessageRole.AGENT, **meta: Any) -> AgentMessage:
    return AgentMessage(
        message_id=f"m{number}",
        session_id="internal:s",
        role=role,
        content=content,
        timestamp=START + timedelta(seconds=number),
        seq=number,
        metadata={"kind": "text", "complete": True, **meta},
    )


def put(item: AgentMessage) -> StreamEvent:
    return StreamEvent(event_id=None, type=EventType.MESSAGE, data=item)


def grow(number: int, offset: int, text: str) -> StreamEvent:
    return StreamEvent(
        event_id=None, type=EventType.DELTA, data=Delta(message_id=f"m{number}", offset=offset, text=text)
    )


def documents(view: TranscriptView) -> list[QTextDocument]:
    """All that are laid out."""
    return [
        segment._document
        for layout in view._rows._layouts.values()
        for segment in layout.segments
        if isinstance(segment, TextSegment) and segment._document is not None
    ]


def held(pane: TranscriptPane) -> dict[str, int]:
    """What one panel keeps, counted."""
    entries, kept = pane.model.entries, pane.view._rows
    return {
        "entries": len(entries),
        "characters": sum(entry.length for entry in entries),
        "layouts": kept.kept,
        "segments": sum(len(layout.segments) for layout in kept._layouts.values()),
        "documents": len(documents(pane.view)),
        "laid out": sum(document.characterCount() for document in documents(pane.view)),
        "shelved": len(kept.shelf),
        "indexed": len(pane.model._index) + len(pane.model._injections),
        "heights": len(kept) + len(kept._exact),
        "waiting": len(pane.view._dirty),
    }


def talk(pane: TranscriptPane, first: int, turns: int, *, paragraphs: int = 24) -> None:
    """Turns of an operator's message and an answer that grows paragraph by paragraph."""
    for number in range(first, first + 2 * turns, 2):
        pane.model.apply([put(message(number, "Go on", MessageRole.OPERATOR, injectionId=f"i{number}"))])
        pane.model.apply([put(message(number + 1, "", complete=False))])
        text = ""
        for _ in range(paragraphs):
            pane.model.apply([grow(number + 1, len(text), PARAGRAPH)])
            text += PARAGRAPH
            pane.view.flush()
        pane.model.apply([put(message(number + 1, text))])
        pane.view.flush()
        pane.grab()


def test_what_a_panel_keeps_does_not_grow_with_what_is_said(pane: TranscriptPane, monkeypatch: Any) -> None:
    monkeypatch.setattr(model_module, "WINDOW_CHARS", 80_000)
    monkeypatch.setattr(model_module, "FEWEST", 4)
    talk(pane, 1, 8)
    assert pane.model.has_older, "the bound is reached"
    for part in range(3):
        talk(pane, 101 + 40 * part, 5)
        now = held(pane)
        for what, bound in {
            "entries": 20, "characters": 80_000 + len(PARAGRAPH) * 24, "layouts": 12, "segments": 12 * 24,
            "documents": 120, "laid out": shelf.KEPT_CHARS, "shelved": 120, "indexed": 32, "heights": 40, "waiting": 2,
        }.items():  # fmt: skip
            assert now[what] <= bound, (what, now)
    assert pane.model.has_older
    assert pane.view.following


def test_of_a_message_that_grows_without_end_a_few_screens_are_laid_out(pane: TranscriptPane) -> None:
    pane.model.apply([put(message(1, "", complete=False))])
    text = ""
    for _ in range(40):
        pane.model.apply([grow(1, len(text), PARAGRAPH * 10)])
        text += PARAGRAPH * 10
        pane.view.flush()
    assert len(text) > 4 * shelf.KEPT_CHARS
    assert sum(document.characterCount() for document in documents(pane.view)) <= shelf.KEPT_CHARS
    assert pane.view._rows.shelf.chars <= shelf.KEPT_CHARS
    assert len(documents(pane.view)) == len(pane.view._rows.shelf)
    # To its beginning, and all of it is there.
    pane.view.select_row(0)
    pane.view._go_to(0, 0)
    pane.grab()
    layout = pane.view.layout_of(0)
    assert len(layout.segments) == 400
    assert isinstance(layout.segments[0], TextSegment)
    assert layout.segments[0]._document is not None
    assert len(layout.occurrences("more()")) == 400 * 8
    assert sum(document.characterCount() for document in documents(pane.view)) <= shelf.KEPT_CHARS
    last = layout.last_place()
    assert last is not None
    assert layout.text_between(row.Span(layout.first_place(), last)).count("more()") == 400 * 8


def test_what_is_let_go_is_not_fetched_again_at_once(pane: TranscriptPane) -> None:
    """Rows that are closed are low and heavy: as many stay as the view wants above what it shows."""
    wanted: list[int] = []
    pane.model.older_wanted.connect(wanted.append)
    output = "a line of what a tool printed\n" * 1_000
    for number in range(1, 400):
        pane.model.apply([put(message(number, output, kind="tool_call", title="Run", status="completed"))])
        pane.view.flush()
    assert pane.model.has_older
    assert wanted == []
    assert 40 < len(pane.model.entries) < 100
    assert pane.view.verticalOffset() > 3 * pane.view.viewport().height()


def test_a_reader_keeps_the_place_while_hours_go_by(pane: TranscriptPane, monkeypatch: Any) -> None:
    monkeypatch.setattr(model_module, "READING_CHARS", 60_000)
    pane.model.load([message(number, PARAGRAPH) for number in range(1, 61)], has_older=False)
    pane.view._go_to(30, 7)
    before = (pane.view.layout_of(30).text_between(row.Span(None, None)), pane.view.reading_place())
    for number in range(61, 400):
        pane.model.apply([put(message(number, PARAGRAPH))])
        pane.view.flush()
        assert sum(entry.weight for entry in pane.model.entries) <= 61_000
    assert pane.model.has_newer
    assert pane.view.unread == 339
    assert pane.view._anchor == (30, 7)
    assert (pane.view.layout_of(30).text_between(row.Span(None, None)), pane.view.reading_place()) == before
    # Read on: all of it comes, and what lies behind goes.
    answers: list[int] = []

    def answer(after: int) -> None:
        if after not in answers:
            answers.append(after)
            page = [message(number, PARAGRAPH) for number in range(after + 1, min(400, after + 41))]
            pane.model.add_newer(page, has_newer=after + 41 < 400)

    pane.model.newer_wanted.connect(answer, Qt.ConnectionType.QueuedConnection)
    bar = pane.view.verticalScrollBar()
    for _ in range(2_000):
        if pane.view.following:
            break
        bar.setValue(bar.value() + 400)
        QCoreApplication.processEvents()
    assert pane.view.following
    assert pane.model.entries[-1].seq == 399
    assert pane.model.has_older
    assert sum(entry.weight for entry in pane.model.entries) <= 60_000 + 41 * len(PARAGRAPH)


def test_rows_that_are_let_go_take_their_form_with_them(pane: TranscriptPane) -> None:
    pane.model.load([message(number, PARAGRAPH) for number in range(1, 31)], has_older=False)
    for number in range(30):
        pane.view._go_to(number, 0)
    assert pane.view._rows.kept == 30
    pane.view.follow()
    pane.model._remove(0, 25)
    assert pane.view._rows.kept == 5
    assert len(documents(pane.view)) == len(pane.view._rows.shelf) == 5
    assert pane.view._rows._chars == sum(entry.length for entry in pane.model.entries)


def test_of_long_messages_fewer_rows_are_kept(pane: TranscriptPane, qt: Any) -> None:
    pane.model.load([message(number, PARAGRAPH * 8) for number in range(1, 41)], has_older=False)
    for number in range(40):
        pane.view._go_to(number, 0)
    kept = pane.view._rows
    pane.view.viewport().update()
    qt.waitUntil(lambda: 39 in pane.view.visible_rows() and kept.drawn(39) is not None)
    assert 2 <= kept.kept <= rows.KEPT_CHARS // (8 * len(PARAGRAPH)) + 1


BLOCKS = """# A heading

Plain words that go over more than one line of the panel, so that they are wrapped somewhere.

Some *emphasis*, `code()`, a [link](https://example.org) and 🚀.

- one
- two
  - three

> quoted
> twice

| a | b |
|---|---|
| 1 | 2 |

```python
def f(x: int) -> int:
    return x + 1
```

1. first
2. second
"""


def test_a_document_that_was_let_go_comes_back_as_it_was(qt: Any) -> None:
    highlighter = Highlighter()
    kept = DocumentShelf()
    layout, model = RowLayout(make_style(), 400, highlighter, kept), TranscriptModel()
    model.apply([put(message(1, BLOCKS))])
    layout.update(model.entry(0), RowState(), LOOKS)
    texts = [segment for segment in layout.segments if isinstance(segment, TextSegment)]
    code = next(segment for segment in texts if isinstance(segment, CodeSegment))
    highlighter.wait()

    def colored() -> bool:
        code.color()
        return code.colored

    qt.waitUntil(colored)
    before = [(one.document.toPlainText(), one.document.size(), one.height, one._quotes) for one in texts]
    assert len(texts) == len(kept) >= 8
    height = layout.height
    for one in texts:
        one.release()
    layout.set_width(300)
    layout.set_width(400)
    assert layout.height == height
    for one in texts:
        one.release()
        kept.drop(one)
    assert kept.chars == 0
    after = [(one.document.toPlainText(), one.document.size(), one.height, one._quotes) for one in texts]
    assert after == before
    assert code.colored, "with its colours"


def test_text_goes_on_in_a_document_that_was_let_go(qt: Any) -> None:
    layout, model = RowLayout(make_style(), 400, Highlighter()), TranscriptModel()
    model.apply([put(message(1, "Plain words", complete=False))])
    layout.update(model.entry(0), RowState(), LOOKS)
    [segment] = layout.segments
    assert isinstance(segment, TextSegment)
    text = "Plain words"
    for _ in range(30):
        segment.release()
        model.apply([grow(1, len(text), " that go on and on")])
        text += " that go on and on"
        layout.update(model.entry(0), RowState(), LOOKS)
        assert layout.segments == [segment]
    assert segment.document.toPlainText() == text
    whole = RowLayout(make_style(), 400, Highlighter())
    whole.update(model.entry(0), RowState(), LOOKS)
    assert whole.height == layout.height


def test_the_shelf_lets_go_what_was_not_used_for_long(monkeypatch: Any) -> None:
    monkeypatch.setattr(shelf, "KEPT_CHARS", 1_000)
    monkeypatch.setattr(shelf, "DOCUMENT_CHARS", 0)
    monkeypatch.setattr(shelf, "FEWEST", 2)
    gone: list[int] = []

    class Owner:
        def __init__(self, number: int) -> None:
            self.number = number

        def release(self) -> None:
            gone.append(self.number)

    kept, owners = DocumentShelf(), [Owner(number) for number in range(5)]
    for owner in owners[:4]:
        kept.use(owner, 250)
    assert (gone, kept.chars) == ([], 1_000)
    kept.use(owners[0], 250)
    kept.use(owners[4], 250)
    assert (gone, kept.chars) == ([1], 1_000), "the one used first of all was used again"
    kept.use(owners[0], 900)
    assert (gone, len(kept), kept.chars) == ([1, 2, 3], 2, 1_150), "two stay, however long they are"
    kept.drop(owners[0])
    kept.drop(owners[0])
    assert (len(kept), kept.chars) == (1, 250)
    kept.clear()
    assert (len(kept), kept.chars) == (0, 0)


def test_the_text_of_a_finished_message_is_held_once(pane: TranscriptPane) -> None:
    pane.model.apply([put(message(1, "", complete=False))])
    pane.model.apply([grow(1, 0, PARAGRAPH)])
    whole = message(1, "".join(PARAGRAPH.partition(" ")))
    pane.model.apply([put(whole)])
    entry = pane.model.entry(0)
    assert entry.text is entry.message.content is whole.content


def test_a_hidden_view_notes_nothing_about_messages_that_come_and_go(pane: TranscriptPane) -> None:
    pane.hide()
    for number in range(1, 50):
        pane.model.apply([put(message(number, "a"))])
        pane.model.apply([put(message(number, "ab"))])
    assert not pane.view._dirty
    pane.show()
    pane.grab()
    assert pane.view.visible_rows().stop == 49
    assert pane.view.layout_of(48).text_between(row.Span(None, None)) == "ab"


def test_a_transcript_that_is_hidden_gives_its_layout_back(pane: TranscriptPane, qt: Any) -> None:
    pane.model.load([message(number, BLOCKS) for number in range(1, 6)], has_older=False)
    pane.view.flush()
    pane.grab()
    qt.waitUntil(lambda: not pane.view._highlighter._asked)
    before, height = pane.grab().toImage(), pane.view._rows.heights.total
    assert documents(pane.view)
    timer = pane.view._release_timer
    pane.hide()
    assert timer.isActive()
    pane.show()
    assert not timer.isActive()
    timer.setInterval(0)
    pane.hide()
    qt.waitUntil(lambda: not documents(pane.view))
    assert len(pane.view._rows.shelf) == 0
    pane.show()
    qt.waitExposed(pane)
    qt.waitUntil(lambda: pane.grab().toImage() == before)
    assert documents(pane.view)
    assert pane.view._rows.heights.total == height
    assert pane.view.following


def test_no_document_outlives_its_panel(pane: TranscriptPane) -> None:
    talk(pane, 1, 3)
    pane.model.load([], has_older=False)
    pane.view.flush()
    gc.collect()
    assert documents(pane.view) == []
    assert len(pane.view._rows.shelf) == 0


def test_colours_are_kept_of_so_much_code(qt: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(highlight, "KEPT_CHARS", 1_000)
    highlighter = Highlighter()
    codes = [f"x{number} = '{'y' * 200}'" for number in range(20)]
    for code in codes:
        assert highlighter.spans(code, "python") is None
    qt.waitUntil(lambda: bool(highlighter.spans(codes[-1], "python")))
    assert highlighter._chars == sum(len(code) for code, _ in highlighter._known) <= 1_000
    assert list(highlighter._known)[-1] == (codes[-1], "python")
    long = "z = 1\n" * 400
    assert highlighter.spans(long, "python") is None
    qt.waitUntil(lambda: bool(highlighter.spans(long, "python")))
    assert list(highlighter._known) == [(long, "python")], "the last one is kept however long it is"
    highlighter.wait()


def test_messages_whose_answer_nobody_reports_do_not_pile_up(qt: Any) -> None:
    lines = ReceiptStrip()
    qt.addWidget(lines)
    now = datetime.now(UTC)
    for number in range(strip.KEPT_DELIVERED + 20):
        told = Receipt(injection_id=f"i{number}", session_id="internal:s", state=ReceiptState.DELIVERED, at=now)
        lines.take(told)
    assert list(lines._known) == [f"i{number}" for number in range(20, strip.KEPT_DELIVERED + 20)]
    assert set(lines._lines) <= set(lines._known)


def test_pictures_of_icons_are_kept_within_a_bound(qt: Any) -> None:
    theme.set_scheme("light")
    assert QPixmapCache.cacheLimit() == PICTURES_KIB
