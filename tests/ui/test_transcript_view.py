"""The virtual view: what stays still, what follows, what is painted, and what a reader can do."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QBuffer, QByteArray, QEvent, QIODevice, QPoint, QPointF, Qt
from PySide6.QtGui import (
    QAccessible,
    QColor,
    QDesktopServices,
    QGuiApplication,
    QImage,
    QImageWriter,
    QMouseEvent,
    QTextDocument,
)
from PySide6.QtTest import QTest

from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.transcript import documents, row
from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.highlight import Highlighter, code_color
from mission_control_desktop.ui.transcript.images import Image
from mission_control_desktop.ui.transcript.landmarks import Landmark
from mission_control_desktop.ui.transcript.markdown import Prose
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.pane import TranscriptPane, openable
from mission_control_desktop.ui.transcript.pictures import (
    PictureSegment,
    decoded,
    natural_size,
    shared_pictures,
)
from mission_control_desktop.ui.transcript.row import RowLayout, RowState
from mission_control_desktop.ui.transcript.search import contains
from mission_control_desktop.ui.transcript.segments import CodeSegment, TextSegment, ToolHeadSegment
from mission_control_desktop.ui.transcript.style import make_style
from mission_control_desktop.ui.transcript.view import TranscriptView

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def message(
    number: int, content: str | None = None, role: MessageRole = MessageRole.AGENT, **meta: Any
) -> AgentMessage:
    return AgentMessage(
        message_id=f"m{number}",
        session_id="internal:s",
        role=role,
        content=f"Message {number}.\n\n" + "Some words to fill a line or two. " * (number % 7)
        if content is None
        else content,
        timestamp=START + timedelta(seconds=number),
        seq=number,
        metadata={"kind": "text", "complete": True, **meta},
    )


def put(*items: AgentMessage) -> list[StreamEvent]:
    return [StreamEvent(event_id=None, type=EventType.MESSAGE, data=item) for item in items]


def grow(number: int, offset: int, text: str) -> list[StreamEvent]:
    data = Delta(message_id=f"m{number}", offset=offset, text=text)
    return [StreamEvent(event_id=None, type=EventType.DELTA, data=data)]


def top_of(view: TranscriptView, key: str) -> int:
    """Where the row of a message starts on screen."""
    assert view.transcript is not None
    number = view.transcript.row_of(key)
    assert number is not None
    return view.visualRect(view.transcript.index(number, 0)).top()


def is_following(view: TranscriptView) -> bool:
    return view.following


def end_gap(view: TranscriptView) -> int:
    bar = view.verticalScrollBar()
    return bar.maximum() - bar.value()


@pytest.fixture
def view(pane: TranscriptPane) -> TranscriptView:
    pane.model.load([message(number) for number in range(1000, 1200)], has_older=True)
    pane.model.has_older = False
    pane.view.flush()
    return pane.view


def feed(view: TranscriptView, events: list[StreamEvent]) -> None:
    assert view.transcript is not None
    view.transcript.apply(events)
    view.flush()


def scroll(view: TranscriptView, by: int) -> None:
    bar = view.verticalScrollBar()
    bar.setValue(bar.value() + by)


def test_it_opens_at_the_end_and_lays_out_only_what_is_near(view: TranscriptView) -> None:
    assert is_following(view)
    assert end_gap(view) == 0
    assert view._rows.kept < 30
    assert view.visible_rows().stop == 200


def test_it_follows_what_is_appended_and_what_grows(view: TranscriptView) -> None:
    feed(view, put(message(1200, "", complete=False)))
    for number in range(60):
        feed(view, grow(1200, number * 6, "words "))
        assert end_gap(view) == 0
        assert view.visible_rows().stop == 201


def test_a_reader_who_scrolled_up_is_left_alone(view: TranscriptView, pane: TranscriptPane) -> None:
    scroll(view, -700)
    assert not is_following(view)
    key = view.transcript.entry(view.visible_rows().start + 1).message.message_id  # type: ignore[union-attr]
    before = top_of(view, key)
    feed(view, put(message(1200, "", complete=False)))
    for number in range(30):
        feed(view, grow(1200, number * 12, "words\n\nmore "))
    feed(view, put(message(1201), message(1202)))
    assert top_of(view, key) == before
    assert view.unread == 3
    assert pane.pill_text() == "↓  3 new"
    view.follow()
    assert is_following(view)
    assert end_gap(view) == 0
    assert view.unread == 0
    assert pane.pill_text() == ""


def test_scrolling_back_to_the_end_follows_again(view: TranscriptView) -> None:
    scroll(view, -300)
    assert not is_following(view)
    scroll(view, 10_000)
    assert is_following(view)


def test_the_unread_line_stands_above_the_first_new_message(view: TranscriptView) -> None:
    scroll(view, -700)
    feed(view, put(message(1200), message(1201)))
    view.follow()
    assert view.layout_of(200)._looks.unread
    assert not view.layout_of(201)._looks.unread


def test_new_ones_are_counted_however_they_come(view: TranscriptView, pane: TranscriptPane) -> None:
    model = view.transcript
    assert model is not None
    model.show_window([message(n) for n in range(500, 560)], has_older=True, has_newer=True)
    view.flush()
    assert not is_following(view)
    assert pane.pill_text() == "↓  To the end"
    feed(view, put(message(1200), message(1201)))
    assert pane.pill_text() == "↓  2 new"
    # Read again on the way down: no news, and the line stands above what is.
    model.add_newer([message(n) for n in range(560, 1200)], has_newer=True)
    assert view.unread == 2
    model.add_newer([message(1200), message(1201)], has_newer=False)
    assert view.unread == 2
    feed(view, put(message(1202)))
    assert view.unread == 3
    assert view._rows.unread_id == "m1200"


def test_the_way_to_the_end_reads_the_newest_again(view: TranscriptView, pane: TranscriptPane, qt: Any) -> None:
    model = view.transcript
    assert model is not None
    model.show_window([message(n) for n in range(500, 560)], has_older=True, has_newer=True)
    view.flush()
    with qt.waitSignal(model.level_wanted):
        QTest.mouseClick(pane._pill, Qt.MouseButton.LeftButton)
    model.load([message(n) for n in range(1100, 1200)], has_older=True)
    view.flush()
    assert is_following(view)
    assert end_gap(view) == 0
    assert model.entries[-1].message.message_id == "m1199"


def test_older_pages_in_front_move_nothing(view: TranscriptView) -> None:
    scroll(view, -2000)
    key = view.transcript.entry(view.visible_rows().start).message.message_id  # type: ignore[union-attr]
    before = top_of(view, key)
    view.transcript.add_older([message(n) for n in range(800, 1000)], has_older=False)  # type: ignore[union-attr]
    view.flush()
    assert top_of(view, key) == before


def test_older_pages_in_front_keep_the_end_at_the_end(view: TranscriptView) -> None:
    view.transcript.add_older([message(n) for n in range(800, 1000)], has_older=False)  # type: ignore[union-attr]
    view.flush()
    assert is_following(view)
    assert end_gap(view) == 0


def test_coming_near_the_top_asks_for_older_ones(view: TranscriptView, qt: Any) -> None:
    model = view.transcript
    assert model is not None
    model.has_older = True
    with qt.waitSignal(model.older_wanted) as wanted:
        view.verticalScrollBar().setValue(0)
    assert wanted.args == [1000]


@pytest.mark.parametrize("width", [260, 300, 700])
def test_another_width_keeps_the_row_at_the_top(
    view: TranscriptView, pane: TranscriptPane, width: int, qt: Any
) -> None:
    scroll(view, -3000)
    first = view.visible_rows().start
    pane.resize(width, 500)
    view.flush()
    assert view.visible_rows().start == first
    assert not is_following(view)


def test_a_new_width_is_laid_out_before_it_is_painted(view: TranscriptView, pane: TranscriptPane) -> None:
    pane.resize(777, 500)
    pane.grab()
    assert view._rows.width == view.viewport().width()
    assert view.layout_of(199)._width == view.viewport().width()


def test_another_width_keeps_the_end(view: TranscriptView, pane: TranscriptPane) -> None:
    pane.resize(300, 380)
    view.flush()
    assert is_following(view)
    assert end_gap(view) == 0


def test_scrolling_up_step_by_step_never_jumps(view: TranscriptView) -> None:
    """Rows turn from estimates into measurements on the way; what is visible moves by exactly the step."""
    for _ in range(40):
        rows = view.visible_rows()
        key = view.transcript.entry(rows.start).message.message_id  # type: ignore[union-attr]
        before = top_of(view, key)
        scroll(view, -97)
        assert top_of(view, key) == before + 97


def test_hidden_views_are_not_drawn(view: TranscriptView, pane: TranscriptPane, qt: Any) -> None:
    pane.hide()
    paints = view.paints
    view.transcript.apply(put(*[message(n) for n in range(1200, 1260)]))  # type: ignore[union-attr]
    view.flush()
    assert view.paints == paints
    assert not view._scheduler._queue
    pane.show()
    qt.waitExposed(pane)
    assert is_following(view)
    assert end_gap(view) == 0
    assert view.visible_rows().stop == 260


def test_layouts_are_bounded(view: TranscriptView) -> None:
    for number in range(0, 200, 3):
        view._go_to(number, 0)
    assert view._rows.kept <= 96


def test_growing_text_is_laid_out_from_its_tail(qt: Any) -> None:
    layout = RowLayout(make_style(), 400, Highlighter())
    model = TranscriptModel()
    text = "# Title\n\nfirst paragraph\n\n```py\nx = 1\n```\n\ntail"
    model.apply(put(message(1, text, complete=False)))
    looks = row.Looks(grouped=False, unread=False, receipt=None)
    layout.update(model.entry(0), RowState(), looks)
    old = list(layout.segments)
    model.apply(grow(1, len(text), " grows"))
    layout.update(model.entry(0), RowState(), looks)
    assert layout.segments[:3] == old[:3]
    assert _texts(layout)[3] == "tail grows"
    assert layout.changed_from == layout.segments[3].y


def test_a_word_in_a_very_long_message_touches_its_end_alone(qt: Any, monkeypatch: Any) -> None:
    laid_out: list[TextSegment] = []
    lay_out = TextSegment.lay_out

    def noted(segment: TextSegment, width: int) -> None:
        laid_out.append(segment)
        lay_out(segment, width)

    monkeypatch.setattr(TextSegment, "lay_out", noted)
    layout = RowLayout(make_style(), 400, Highlighter())
    model = TranscriptModel()
    text = "Some words to fill a line or two. `code` too.\n\n" * 1_000
    model.apply(put(message(1, text, complete=False)))
    looks = row.Looks(grouped=False, unread=False, receipt=None)
    layout.update(model.entry(0), RowState(), looks)
    assert len(laid_out) == len(layout.segments) == 1_000
    for piece in ("One ", "word ", "more"):
        model.apply(grow(1, len(text), piece))
        text += piece
        layout.update(model.entry(0), RowState(), looks)
    assert len(laid_out) == 1_003
    assert len(layout.segments) == 1_001
    last = layout.segments[-1]
    assert layout.changed_from == last.y == layout.segments[-2].y + layout.segments[-2].height + last.gap
    whole = RowLayout(make_style(), 400, Highlighter())
    whole.update(model.entry(0), RowState(), looks)
    assert [segment.y for segment in whole.segments] == [segment.y for segment in layout.segments]


def test_an_open_fence_appends_to_its_document(qt: Any) -> None:
    layout = RowLayout(make_style(), 400, Highlighter())
    model = TranscriptModel()
    text = "```py\nx = 1\n"
    model.apply(put(message(1, text, complete=False)))
    looks = row.Looks(grouped=False, unread=False, receipt=None)
    layout.update(model.entry(0), RowState(), looks)
    [segment] = layout.segments
    for number in range(50):
        line = f"y{number} = 2\n"
        model.apply(grow(1, len(text), line))
        text += line
        layout.update(model.entry(0), RowState(), looks)
        assert layout.segments == [segment]
    assert segment.document is not None
    assert segment.document.toPlainText() == text.removeprefix("```py\n").removesuffix("\n")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["word ", "\n", "\n\n", "- a\n", "```\n", "# h\n", "> q\n", "`c` ", "🚀"]), max_size=25)
)
def test_streamed_rows_look_like_whole_ones(qt: Any, pieces: list[str]) -> None:
    """The same documents at the same heights, however the text arrived."""
    style, highlighter = make_style(), Highlighter()
    looks = row.Looks(grouped=False, unread=False, receipt=None)
    streamed, model, length = RowLayout(style, 380, highlighter), TranscriptModel(), 1
    model.apply(put(message(1, "x", complete=False)))
    for piece in pieces:
        streamed.update(model.entry(0), RowState(), looks)
        model.apply(grow(1, length, piece))
        length += len(piece)
    streamed.update(model.entry(0), RowState(), looks)
    whole, other = RowLayout(style, 380, highlighter), TranscriptModel()
    other.apply(put(message(1, "x" + "".join(pieces), complete=False)))
    whole.update(other.entry(0), RowState(), looks)
    assert _texts(streamed) == _texts(whole)
    assert streamed.height == whole.height


def _texts(layout: RowLayout) -> list[str]:
    return [segment.document.toPlainText() for segment in layout.segments if segment.document is not None]


# -- what a reader does ----------------------------------------------------------------------------------------------


def test_arrow_keys_walk_through_messages(view: TranscriptView, qt: Any) -> None:
    view.select_row(199)
    QTest.keyClick(view, Qt.Key.Key_Up)
    assert view.currentIndex().row() == 198
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert view.currentIndex().row() == 199
    QTest.keyClick(view, Qt.Key.Key_Home)
    assert view.currentIndex().row() == 0
    assert view.visible_rows().start == 0
    QTest.keyClick(view, Qt.Key.Key_End)
    assert is_following(view)
    QTest.keyClick(view, Qt.Key.Key_PageUp)
    assert not is_following(view)


def test_enter_opens_and_closes_and_the_first_line_stays(view: TranscriptView) -> None:
    tool = message(1200, "out\n" * 30, kind="tool_call", title="ls", toolKind="execute", status="completed")
    feed(view, put(tool, *[message(n) for n in range(1201, 1206)]))
    view.select_row(200)
    before, height = top_of(view, "m1200"), view.visualRect(view.currentIndex()).height()
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert view.is_expanded(200)
    assert top_of(view, "m1200") == before
    assert view.visualRect(view.currentIndex()).height() > height
    QTest.keyClick(view, Qt.Key.Key_Left)
    assert not view.is_expanded(200)
    assert view.visualRect(view.currentIndex()).height() == height


def test_long_output_is_shown_in_steps(view: TranscriptView) -> None:
    text = "".join(f"line {n}\n" for n in range(1_000))
    feed(view, put(message(1200, text, kind="tool_call", title="cat", toolKind="read", status="failed")))
    layout = view.layout_of(200)
    more = [segment for segment in layout.segments if segment.action == "more"]
    assert more[0].spoken_action() == "Show more (986 of 1,000 lines left, 9 kB in all)"
    small = layout.height
    view.select_row(200)
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert view.layout_of(200).height > small


def test_jumps_to_operators_errors_and_questions(view: TranscriptView, qt: Any) -> None:
    feed(
        view,
        put(
            message(1200, role=MessageRole.OPERATOR),
            message(1201),
            message(1202, "bad", kind="notice", level="error"),
            message(1203, kind="permission", title="May I?", state="open", approvalId="a1"),
            message(1204),
        ),
    )
    view.select_row(100)
    for key, expected in ((Qt.Key.Key_O, 200), (Qt.Key.Key_E, 202), (Qt.Key.Key_A, 203)):
        QTest.keyClick(view, key)
        assert view.currentIndex().row() == expected
    QTest.keyClick(view, Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    assert view.currentIndex().row() == 200
    with qt.waitSignal(view.nothing_found):
        assert not view.jump(Landmark.OPERATOR)


def test_text_is_selected_across_messages_and_copied_with_headings(view: TranscriptView) -> None:
    feed(
        view, put(message(1200, "first *words*", MessageRole.OPERATOR), message(1201, "second"), message(1202, "third"))
    )
    viewport = view.viewport()
    start = QPoint(60, top_of(view, "m1200") + 40)
    end = QPoint(400, top_of(view, "m1202") + view.visualRect(view.transcript.index(202, 0)).height() - 3)  # type: ignore[union-attr]
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    _drag(view, end)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    text = view.selected_text()
    assert "[OPERATOR] 2026-11-2" in text
    assert "[AGENT]" in text
    assert text.rstrip().endswith("third")
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == text


def test_part_of_one_message_is_copied_as_it_reads(view: TranscriptView) -> None:
    feed(view, put(message(1200, "alpha **beta** gamma", MessageRole.OPERATOR)))
    layout = view.layout_of(200)
    segment = layout.segments[0]
    y = top_of(view, "m1200") + segment.y + segment.height // 2
    viewport = view.viewport()
    QTest.mouseDClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(segment.x + 48, y))
    assert view.selected_text() == "beta"


def test_selection_by_keys_takes_whole_messages(view: TranscriptView) -> None:
    view.select_row(199)
    QTest.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    text = view.selected_text()
    assert text.count("[AGENT]") == 3
    assert "Message 1197." in text
    assert "Message 1199." in text
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert not view.has_selection()


def test_everything_is_copied_as_markdown(view: TranscriptView) -> None:
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert view.selected_text().count("[AGENT]") == 200


def _drag(view: TranscriptView, to: QPoint) -> None:
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(to),
        view.viewport().mapToGlobal(QPointF(to)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QGuiApplication.sendEvent(view.viewport(), event)


def test_links_are_shown_before_they_are_opened(pane: TranscriptPane, view: TranscriptView, monkeypatch: Any) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    feed(view, put(message(1200, "[documentation](https://example.org/a)", MessageRole.OPERATOR)))
    segment = view.layout_of(200).segments[0]
    spot = QPoint(segment.x + 10, top_of(view, "m1200") + segment.y + segment.height // 2)
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, spot)
    assert pane.link_bar.isVisible()
    assert opened == []
    QTest.keyClick(pane.link_bar._open, Qt.Key.Key_Return)
    assert opened == ["https://example.org/a"]
    assert not pane.link_bar.isVisible()


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("https://example.org", True),
        ("http://x/y", True),
        ("mailto:a@example.org", True),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("smb://host/share", False),
        ("//host/share", False),
        ("https:", False),
        ("http://[", False),
    ],
)
def test_only_known_kinds_of_links_can_be_opened(target: str, allowed: bool) -> None:
    assert openable(target) is allowed


def test_nothing_is_ever_loaded(qt: Any, tmp_path: Any) -> None:
    asked: list[str] = []

    class Watched(documents.InertDocument):
        def loadResource(self, kind: int, name: Any) -> Any:
            asked.append(str(name))
            return super().loadResource(kind, name)

    picture = tmp_path / "x.png"
    picture.write_bytes(b"not a picture")
    style = make_style()
    document = documents.prose_document(
        Prose(f"![shot](file://{picture}) <img src='{picture}'> <script>x</script>"), style, style.theme.text
    )
    document.setTextWidth(300)
    assert "image: shot" in document.toPlainText()
    assert "<img" in document.toPlainText()
    assert Watched(style.body).loadResource(QTextDocument.ResourceType.ImageResource.value, "x") is None


def picture_of(width: int, height: int, kind: str = "PNG") -> str:
    """A red picture, as base64."""
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(QColor("#d02020"))
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    assert QImageWriter(buffer, QByteArray(kind.encode())).write(image)
    return b64encode(data.data()).decode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_pictures_in_a_message_are_shown(view: TranscriptView, pane: TranscriptPane, qt: Any, kind: str) -> None:
    data = "R0lGODlhAQABAIAAANAgIAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==" if kind == "GIF" else picture_of(40, 20, kind)
    text = f"Before\n\n![A chart](data:image/{kind.lower()};base64,{data})\n\nAfter"
    feed(view, put(message(1200, text, MessageRole.OPERATOR)))
    layout = view.layout_of(200)
    [segment] = [segment for segment in layout.segments if isinstance(segment, PictureSegment)]
    assert segment.words.startswith("A chart (")
    pane.grab()
    with qt.waitSignal(shared_pictures().ready):
        pass
    spot = QPoint(
        segment.x + segment.shown.width() // 2, top_of(view, "m1200") + segment.y + segment.shown.height() // 2
    )
    color = view.viewport().grab().toImage().pixelColor(spot)
    assert color.red() > 150 > 100 > color.green(), color.name()
    assert "image: A chart" in view.transcript.entry(200).spoken()  # type: ignore[union-attr]
    assert _texts(layout) == ["Before", "After"]


def test_large_pictures_are_made_smaller_and_bad_ones_are_words(view: TranscriptView) -> None:
    large = Image("L", "png", picture_of(3_000, 1_500))
    segment = PictureSegment(view._rows.style, large)
    segment.lay_out(400)
    assert (segment.shown.width(), segment.shown.height()) == (400, 200)
    picture = decoded(large, segment.shown)
    assert picture is not None
    assert picture.width() == 400
    for bad in (
        Image("B", "png", b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode()),
        Image("B", "png", picture_of(4, 4, "JPEG")),
        Image("B", "png", "AAAA"),
        Image("B", "png", "A"),
    ):
        assert natural_size(bad) is None
        assert decoded(bad, segment.shown) is None
        segment = PictureSegment(view._rows.style, bad)
        segment.lay_out(400)
        assert segment.shown.isEmpty()
        assert "cannot be shown" in segment.words


def test_a_picture_that_comes_in_pieces_is_said_to_be_coming(view: TranscriptView) -> None:
    text = f"Look: ![plot](data:image/png;base64,{picture_of(30, 30)})"
    feed(view, put(message(1200, text[:60], complete=False)))
    for number in range(60, len(text), 40):
        assert "plot (not whole yet)" in [getattr(s, "words", "") for s in view.layout_of(200).segments]
        feed(view, grow(1200, number, text[number : number + 40]))
    assert view.layout_of(200).segments[-1].shown.width() == 30  # type: ignore[attr-defined]


def test_a_tools_picture_is_open_and_its_output_is_folded_with_its_size(view: TranscriptView) -> None:
    shot = f"![screen](data:image/png;base64,{picture_of(30, 30)})"
    feed(
        view,
        put(
            message(1200, shot, kind="tool_call", title="Screenshot", status="completed"),
            message(1201, "x" * 79 + "\n" + "y" * 4_000, kind="tool_call", title="cat", status="completed"),
        ),
    )
    assert view.is_expanded(200)
    assert any(isinstance(segment, PictureSegment) for segment in view.layout_of(200).segments)
    assert not view.is_expanded(201)
    [head] = view.layout_of(201).segments
    assert isinstance(head, ToolHeadSegment)
    assert head._head.detail == "2 lines, 4 kB"


@pytest.mark.parametrize(
    "text",
    [
        "![x](data:image/svg+xml;base64,PHN2Zy8+)",
        "![x](https://example.org/a.png)",
        "![x](file:///etc/passwd)",
        "![x](//host/share/a.png)",
    ],
)
def test_no_other_picture_is_shown_or_loaded(view: TranscriptView, text: str) -> None:
    feed(view, put(message(1200, text, MessageRole.OPERATOR)))
    layout = view.layout_of(200)
    assert not any(isinstance(segment, PictureSegment) for segment in layout.segments)
    assert _texts(layout) == ["image: x"]


def test_find_goes_from_hit_to_hit_and_opens_what_is_closed(
    pane: TranscriptPane, view: TranscriptView, qt: Any
) -> None:
    feed(view, put(message(1200, "deep in the needle", kind="thought"), *[message(n) for n in range(1201, 1240)]))
    QTest.keyClick(view, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert pane.find_bar.isVisible()
    QTest.keyClicks(pane.find_bar._input, "Needle")
    QTest.keyClick(pane.find_bar._input, Qt.Key.Key_Return)
    assert pane.find_bar.count_text() == "1 of 1"
    assert view.currentIndex().row() == 200
    assert view.is_expanded(200)
    pane.find_bar._input.setText("Message 11")
    qt.waitUntil(lambda: pane.find_bar.count_text() == "100 found")
    QTest.keyClick(pane.find_bar._input, Qt.Key.Key_Escape)
    assert not pane.find_bar.isVisible()


def test_find_walks_through_the_places_in_a_long_message(pane: TranscriptPane, view: TranscriptView) -> None:
    lines = [f"line {n}" for n in range(3_000)]
    lines[1_700] = lines[2_900] = "the Needle is here"
    tool = message(1200, "\n".join(lines), kind="tool_call", title="cat", toolKind="read", status="completed")
    feed(view, put(tool, *[message(n) for n in range(1201, 1210)]))
    bar = pane.find_bar
    bar.open_bar()
    QTest.keyClicks(bar._input, "needle")
    QTest.keyClick(bar._input, Qt.Key.Key_Return)
    assert view.is_expanded(200)
    assert view.selected_text() == "Needle"
    layout = view.layout_of(200)
    [first] = layout.occurrences("needle")
    assert first.start is not None
    top, height = layout.place_extent(first.start)
    seen = top_of(view, "m1200") + top
    assert 0 <= seen <= view.viewport().height() - height
    assert bar.count_text() == "1 of 1"
    feed(view, put(message(1300, "a needle, two needles and\n\n- needle")))
    bar._start()
    bar._finish_slices()
    assert bar.count_text() == "2 found"
    view.follow()
    QTest.keyClick(bar._input, Qt.Key.Key_Return)
    assert bar.count_text() == "2 of 2, 1 of 3 in it"
    QTest.mouseClick(bar._down, Qt.MouseButton.LeftButton)
    assert bar.count_text() == "2 of 2, 2 of 3 in it"
    QTest.mouseClick(bar._up, Qt.MouseButton.LeftButton)
    QTest.mouseClick(bar._up, Qt.MouseButton.LeftButton)
    assert bar.count_text() == "1 of 2"


def test_find_keeps_its_count_when_older_ones_come(pane: TranscriptPane, view: TranscriptView) -> None:
    bar = pane.find_bar
    bar.open_bar()
    bar._input.setText("Message 11")
    QTest.keyClick(bar._input, Qt.Key.Key_Return)
    at = view.currentIndex().row()
    place = bar.count_text()
    pane.model.add_older([message(990, "no"), message(991, "Message 11, of old")], has_older=True)
    view.flush()
    assert view.currentIndex().row() == at + 2
    assert bar.hits == 101
    assert bar.count_text() == f"{int(place.split()[0]) + 1} of 101"
    feed(view, put(message(1200, "Message 11 again")))
    bar._finish_slices()
    assert bar.hits == 102


def test_find_looks_into_inputs_changes_and_plans() -> None:
    diff = {"path": "src/a.py", "oldText": "same\nold", "newText": "same\nnew"}
    meta: dict[str, Any] = {"title": "Edit", "input": {"command": ["make", "Check"]}, "diffs": [diff]}
    tool = Entry(message(1, "", kind="tool_call", **meta), 0)
    for needle, there in (
        ("check", True),
        ("a.py", True),
        ("new", True),
        ("old", True),
        ("same", False),
        ("no", False),
    ):
        assert contains(tool, needle) is there, needle
    plan = Entry(message(1, "", kind="plan", entries=[{"content": "Write it"}]), 0)
    assert contains(plan, "write")


def test_a_new_theme_is_painted_and_nothing_moves(view: TranscriptView, pane: TranscriptPane) -> None:
    scroll(view, -900)
    rows = view.visible_rows()
    light = pane.grab().toImage()
    theme.set_scheme("dark")
    dark = pane.grab().toImage()
    assert view.visible_rows() == rows
    assert light != dark
    assert dark.pixelColor(2, 200) == theme.current().surface


def test_code_is_coloured_when_the_worker_is_done(pane: TranscriptPane, qt: Any) -> None:
    highlighter = pane.view._highlighter
    pane.model.load([message(1, "```python\ndef f():\n    return 1\n```")], has_older=False)
    pane.view.flush()
    [segment] = pane.view.layout_of(0).segments
    assert isinstance(segment, CodeSegment)
    if not segment.colored:
        with qt.waitSignal(highlighter.ready):
            pass
    pane.grab()
    assert segment.colored
    assert segment.document is not None
    formats = segment.document.firstBlock().layout().formats()
    assert formats[0].format.foreground().color() == code_color(theme.current(), "keyword")


@pytest.mark.parametrize("scheme", [theme.LIGHT, theme.DARK])
def test_code_colours_can_be_read(scheme: theme.Theme) -> None:
    for name in ("comment", "keyword", "string", "number", "name", "builtin", "error"):
        assert theme.contrast(code_color(scheme, name), scheme.code_background) >= 4.5, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_role_tags_can_be_read_on_their_tint(qt: Any, scheme: Any) -> None:
    theme.set_scheme(scheme)
    style = make_style()
    for role in MessageRole:
        paper = style.tint(role) or style.theme.surface
        for ink in (style.role_color(role), style.theme.text, style.theme.text_muted):
            assert theme.contrast(ink, paper) >= 4.5, (role, ink.name())
    assert theme.contrast(style.theme.text_muted, style.chip) >= 4.5
    assert theme.contrast(style.theme.text, style.chip) >= 4.5


def test_text_is_never_smaller_than_eleven_pixels(qt: Any) -> None:
    theme.set_appearance(theme.Appearance(scheme="light", text=min(theme.TEXT_SIZES)))
    style = make_style()
    fonts = (style.body, style.bold, style.small, style.tag, style.mono, style.mono_small)
    assert min(font.pixelSize() for font in fonts) >= 11


def test_the_empty_view_says_why(pane: TranscriptPane) -> None:
    blank = pane.grab().toImage()
    pane.view.set_empty_text("Waiting for the agent's first words")
    assert pane.grab().toImage() != blank


def test_screen_readers_find_the_rows(view: TranscriptView) -> None:
    interface = QAccessible.queryAccessibleInterface(view)
    assert interface.childCount() == 200
    last = interface.child(199)
    assert last.role() is QAccessible.Role.ListItem
    assert "Message 1199" in last.text(QAccessible.Text.Name)


def test_everything_in_the_menu_works(view: TranscriptView, pane: TranscriptPane, monkeypatch: Any) -> None:
    feed(
        view,
        put(
            message(1200, "[a](https://example.org)", kind="thought"),
            message(1201, "bad", kind="notice", level="error"),
            message(1202, "worse", kind="notice", level="error"),
        ),
    )
    menu = view.make_menu(200, QPoint(50, 50))
    texts = [action.text() for action in menu.actions() if not action.isSeparator()]
    assert {"Copy message", "Expand", "Collapse all", "Expand all", "Find…", "Next error"} <= set(texts)
    for action in menu.actions():
        if not action.isSeparator() and action.isEnabled():
            action.trigger()
    assert pane.find_bar.isVisible()
    titles: dict[str, Callable[[], None]] = {action.text(): action.trigger for action in menu.actions()}
    view.select_row(150)
    titles["Next error"]()
    assert view.currentIndex().row() == 201
    titles["Next error"]()
    assert view.currentIndex().row() == 202
    titles["Former error"]()
    assert view.currentIndex().row() == 201
    titles["To the end"]()
    assert view.following
    menu.deleteLater()


def test_the_menu_copies_the_message_under_it(view: TranscriptView) -> None:
    menu = view.make_menu(198, QPoint(50, 50))
    titles: dict[str, Callable[[], None]] = {action.text(): action.trigger for action in menu.actions()}
    titles["Copy message"]()
    assert "Message 1198." in QGuiApplication.clipboard().text()
    menu.deleteLater()
