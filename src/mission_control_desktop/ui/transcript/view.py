"""What a reader does with the transcript: select and copy, open and close, walk through it, follow links."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import partial

from PySide6.QtCore import QEvent, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QGuiApplication,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QTextCursor,
)
from PySide6.QtWidgets import QMenu, QToolTip, QWidget

from mission_control_desktop.domain.messages import MessageKind
from mission_control_desktop.ui import times
from mission_control_desktop.ui.transcript import export
from mission_control_desktop.ui.transcript.blocks import collapsible
from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.landmarks import Landmark, is_landmark
from mission_control_desktop.ui.transcript.layout import TranscriptLayout
from mission_control_desktop.ui.transcript.menu import transcript_menu
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.place import ReadingPlace
from mission_control_desktop.ui.transcript.row import Span
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler
from mission_control_desktop.ui.transcript.search import Search, nothing_text
from mission_control_desktop.ui.transcript.segments import MoreSegment
from mission_control_desktop.ui.transcript.selection import End, Selection

DRAG_PIXELS = 4
SCROLL_MS = 30


def _seq(entry: Entry) -> int:
    return entry.seq


class TranscriptView(TranscriptLayout):
    """The transcript with mouse and keys."""

    focus_changed = Signal()
    link_chosen = Signal(str)
    """A link was clicked: its target is to be shown before it is opened."""
    find_wanted = Signal()
    find_next_wanted = Signal(bool)
    """True: backwards."""
    question_chosen = Signal(str)
    """The approval id of a question in the transcript that was clicked."""
    nothing_found = Signal(str)
    searching_changed = Signal(bool)
    """Whether a search goes through the part of the record that is not loaded."""
    search_ended = Signal(object, bool)
    """The `Search`, and whether it found something (the view is there now)."""

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        scheduler: FlushScheduler | None = None,
        highlighter: Highlighter | None = None,
    ) -> None:
        self._selection = Selection()
        self._search: Search | None = None
        self._pressed: QPoint | None = None
        self._dragging = False
        self._hover: tuple[int, int] | None = None
        self._pointer = QPoint()
        super().__init__(parent, scheduler=scheduler, highlighter=highlighter)
        self._drag_timer = QTimer(self)
        self._drag_timer.setInterval(SCROLL_MS)
        self._drag_timer.timeout.connect(self._on_drag_scroll)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Transcript")

    def set_transcript(self, model: TranscriptModel) -> None:
        super().set_transcript(model)
        model.search_ended.connect(self._on_search_ended)

    # -- place -------------------------------------------------------------------------------------------------------

    def reading_place(self) -> ReadingPlace | None:
        """Where the reader is, to come back to; None at the end."""
        if self._following or not len(self._rows):
            return None
        row = min(self._anchor[0], len(self._rows) - 1)
        share = min(1.0, max(0.0, self._anchor[1] / max(1, self._rows.heights[row])))
        return ReadingPlace(seq=self._rows.entry(row).seq, share=share, read_seq=max(0, self._read_seq))

    def resume(self, place: ReadingPlace) -> None:
        """Go back to a place, around which messages were loaded; what came since counts as new."""
        model = self._transcript
        if model is None or not model.entries:
            return
        self._read_seq, self._counted_seq = place.read_seq, model.newest_seq
        self._mark_unread(0, len(model.entries))
        row = min(bisect_left(model.entries, place.seq, key=_seq), len(model.entries) - 1)
        self._rows.measure(row)
        share = place.share if model.entry(row).seq == place.seq else 0.0
        self._go_to(row, int(share * self._rows.heights[row]))
        if not self._following:
            self._unread = len(model.entries) - bisect_right(model.entries, place.read_seq, key=_seq)
            self.unread_changed.emit(self._unread)

    # -- selection ---------------------------------------------------------------------------------------------------

    def has_selection(self) -> bool:
        return not self._selection.empty()

    def select_all(self) -> None:
        model = self._transcript
        if model is not None and model.entries:
            self._selection.begin(End(model.entries[0].message.message_id, None))
            self._selection.extend(End(model.entries[-1].message.message_id, None))
            self.viewport().update()

    def selected_text(self) -> str:
        """The selection: part of one message as it reads; of several, whole ones as Markdown under their headings."""
        model = self._transcript
        ordered = self._selection.ordered(model) if model is not None else None
        if model is None or ordered is None or self._selection.empty():
            return ""
        first, start, last, end = ordered
        if first == last:
            if start is None or end is None or self._covers(first, Span(start, end)):
                return export.message_markdown(model.entry(first))
            return self.layout_of(first).text_between(Span(start, end))
        parts: list[str] = []
        for row in range(first, last + 1):
            span = self._selection.span_of(row, model)
            entry = model.entry(row)
            if span is None or self._covers(row, span):
                parts.append(export.message_markdown(entry))
            elif text := self.layout_of(row).text_between(span):
                parts.append(f"{export.heading(entry)}\n\n{text}\n")
        return "\n".join(parts)

    def copy(self) -> None:
        """Copy the selection, or the current message."""
        text = self.selected_text()
        model = self._transcript
        current = self.currentIndex()
        if not text and current.isValid() and model is not None:
            text = export.message_markdown(model.entry(current.row()))
        if text:
            QGuiApplication.clipboard().setText(text)

    def _covers(self, row: int, span: Span) -> bool:
        if span.start is None and span.end is None:
            return True
        layout = self.layout_of(row)
        return (span.start is None or span.start == layout.first_place()) and (
            span.end is None or span.end == layout.last_place()
        )

    def _span_of(self, row: int) -> Span | None:
        if self._transcript is None or self._selection.empty():
            return None
        return self._selection.span_of(row, self._transcript)

    def _hovered_segment(self, row: int) -> int | None:
        return self._hover[1] if self._hover is not None and self._hover[0] == row else None

    def _end_at(self, point: QPoint) -> End | None:
        row = self._row_near(point)
        if row is None:
            return None
        local = point - QPoint(0, self._rows.heights.top(row) - self.verticalOffset())
        return End(self._rows.entry(row).message.message_id, self.layout_of(row).place_at(local))

    def _row_near(self, point: QPoint) -> int | None:
        if not len(self._rows):
            return None
        row, _ = self._rows.heights.row_at(max(0, point.y() + self.verticalOffset()))
        return row

    # -- mouse -------------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        point = event.position().toPoint()
        row = self._row_near(point)
        if event.button() is not Qt.MouseButton.LeftButton or row is None:
            return
        self._pressed, self._dragging = point, False
        self.setCurrentIndex(self.indexAt(point))
        end = self._end_at(point)
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and end is not None and not self._selection.empty():
            self._selection.extend(end)
            self.viewport().update()
            return
        if self._selection.clear():
            self.viewport().update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        point = event.position().toPoint()
        self._pointer = point
        if self._pressed is None or not event.buttons() & Qt.MouseButton.LeftButton:
            self._hover_at(point)
            return
        if not self._dragging and (point - self._pressed).manhattanLength() >= DRAG_PIXELS:
            self._dragging = True
            if (start := self._end_at(self._pressed)) is not None and self._selection.empty():
                self._selection.begin(start)
        if self._dragging:
            self._extend_to(point)
            outside = not self.viewport().rect().contains(point)
            if outside and not self._drag_timer.isActive():
                self._drag_timer.start()
            elif not outside:
                self._drag_timer.stop()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag_timer.stop()
        pressed, self._pressed = self._pressed, None
        if event.button() is Qt.MouseButton.LeftButton and pressed is not None and not self._dragging:
            self._click(event.position().toPoint())
        self._dragging = False

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Select a word."""
        point = event.position().toPoint()
        row, end = self._row_near(point), self._end_at(point)
        if row is None or end is None or end.place is None or self._action_at(point) is not None:
            self.mousePressEvent(event)
            return
        document = self.layout_of(row).segments[end.place.segment].document
        if document is None:
            return
        cursor = QTextCursor(document)
        cursor.setPosition(end.place.position)
        cursor.select(QTextCursor.SelectionType.WordUnderCursor)
        place = type(end.place)
        self._selection.begin(End(end.message_id, place(end.place.segment, cursor.selectionStart())))
        self._selection.extend(End(end.message_id, place(end.place.segment, cursor.selectionEnd())))
        self.viewport().update()

    def leaveEvent(self, event: QEvent) -> None:
        self._set_hover(None)
        super().leaveEvent(event)

    def _extend_to(self, point: QPoint) -> None:
        if (end := self._end_at(point)) is not None:
            self._selection.extend(end)
            self.viewport().update()

    def _on_drag_scroll(self) -> None:
        """The pointer is held outside: the transcript moves on under it."""
        rect = self.viewport().rect()
        beyond = self._pointer.y() - (rect.bottom() if self._pointer.y() > rect.bottom() else rect.top())
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + max(-60, min(60, beyond)))
        self._extend_to(self._pointer)

    def _click(self, point: QPoint) -> None:
        row = self._row_near(point)
        if row is None:
            return
        local = point - QPoint(0, self._rows.heights.top(row) - self.verticalOffset())
        layout = self.layout_of(row)
        if target := layout.anchor_at(local):
            self.link_chosen.emit(target)
            return
        number = layout.segment_at(local)
        if number is not None and local.x() >= layout.segments[number].x:
            segment = layout.segments[number]
            if segment.action == "toggle":
                self.set_expanded(row, not self.is_expanded(row))
            elif isinstance(segment, MoreSegment):
                self.show_more(row, segment.block)
            elif self._rows.entry(row).kind is MessageKind.PERMISSION:
                approval = self._rows.entry(row).message.metadata.get("approvalId")
                if isinstance(approval, str):
                    self.question_chosen.emit(approval)

    def _action_at(self, point: QPoint) -> tuple[int, int] | None:
        row = self._row_near(point)
        if row is None or point.y() + self.verticalOffset() >= self._rows.heights.total:
            return None
        layout = self.layout_of(row)
        local = point - QPoint(0, self._rows.heights.top(row) - self.verticalOffset())
        number = layout.segment_at(local)
        if number is None or layout.segments[number].action is None or local.x() < layout.segments[number].x:
            return None
        return row, number

    def _hover_at(self, point: QPoint) -> None:
        action = self._action_at(point)
        self._set_hover(action)
        row = self._row_near(point)
        shape = Qt.CursorShape.ArrowCursor
        if action is not None:
            shape = Qt.CursorShape.PointingHandCursor
        elif row is not None and point.y() + self.verticalOffset() < self._rows.heights.total:
            local = point - QPoint(0, self._rows.heights.top(row) - self.verticalOffset())
            layout = self.layout_of(row)
            number = layout.segment_at(local)
            if layout.anchor_at(local):
                shape = Qt.CursorShape.PointingHandCursor
            elif number is not None and layout.segments[number].has_text:
                shape = Qt.CursorShape.IBeamCursor
        if self.viewport().cursor().shape() != shape:
            self.viewport().setCursor(shape)

    def _set_hover(self, hover: tuple[int, int] | None) -> None:
        if hover != self._hover:
            self._hover = hover
            self.viewport().update()

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            self._show_tip(event)
            return True
        return super().viewportEvent(event)

    def _show_tip(self, event: QHelpEvent) -> None:
        """The full time of a message, and where a link leads."""
        row = self._row_near(event.pos())
        if row is None:
            return
        local = event.pos() - QPoint(0, self._rows.heights.top(row) - self.verticalOffset())
        layout = self.layout_of(row)
        target = layout.anchor_at(local)
        title = self._rows.entry(row).message.metadata.get("title")
        if target:
            QToolTip.showText(event.globalPos(), target, self.viewport())
        elif layout.segment_at(local) is None:
            moment = self._rows.entry(row).message.timestamp
            QToolTip.showText(event.globalPos(), times.exact(moment), self.viewport())
        elif self._action_at(event.pos()) is not None and isinstance(title, str):
            QToolTip.showText(event.globalPos(), title, self.viewport())
        else:
            QToolTip.hideText()

    # -- keys --------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self._key(event):
            event.ignore()

    def _key(self, event: QKeyEvent) -> bool:
        """Whether the key means something here."""
        key, shift = event.key(), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if event.modifiers() & (Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier):
            return False
        if control:
            match key:
                case Qt.Key.Key_C:
                    self.copy()
                case Qt.Key.Key_A:
                    self.select_all()
                case Qt.Key.Key_F:
                    self.find_wanted.emit()
                case Qt.Key.Key_Home:
                    self.go_to_beginning()
                case Qt.Key.Key_End:
                    self.follow()
                case _:
                    return False
            return True
        match key:
            case Qt.Key.Key_Up:
                self._step(-1, extend=shift)
            case Qt.Key.Key_Down:
                self._step(1, extend=shift)
            case Qt.Key.Key_PageUp:
                self._page(-1)
            case Qt.Key.Key_PageDown:
                self._page(1)
            case Qt.Key.Key_Home:
                self.select_row(0)
            case Qt.Key.Key_End:
                self.follow()
                self._make_current(len(self._rows) - 1)
            case Qt.Key.Key_Return | Qt.Key.Key_Enter | Qt.Key.Key_Space:
                self._activate()
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                if (row := self.currentIndex().row()) >= 0:
                    self.set_expanded(row, key == Qt.Key.Key_Right)
            case Qt.Key.Key_O:
                self.jump(Landmark.OPERATOR, backwards=shift)
            case Qt.Key.Key_E:
                self.jump(Landmark.ERROR, backwards=shift)
            case Qt.Key.Key_A:
                self.jump(Landmark.APPROVAL, backwards=shift)
            case Qt.Key.Key_F3:
                self.find_next_wanted.emit(shift)
            case Qt.Key.Key_Escape:
                if self._search is not None:
                    self.stop_search()
                    return True
                if not self._selection.clear():
                    return False
                self.viewport().update()
            case _:
                return False
        return True

    def select_row(self, row: int) -> None:
        """Make a message the current one and bring it into view."""
        if 0 <= row < len(self._rows):
            self._make_current(row)
            self.scrollTo(self.currentIndex())

    def jump(self, landmark: Landmark, *, backwards: bool = False) -> bool:
        """To the next (or former) message of a kind, from the current one or from what is visible."""
        model = self._transcript
        if model is None or not model.entries:
            return False
        current = self.currentIndex().row()
        if current < 0:
            rows = self.visible_rows()
            current = rows.stop if backwards else rows.start - 1
        candidates = range(current - 1, -1, -1) if backwards else range(current + 1, len(model.entries))
        for row in candidates:
            if is_landmark(model.entry(row), landmark):
                self.select_row(row)
                return True
        if model.has_older if backwards else model.has_newer:
            self.search(Search(partial(is_landmark, landmark=landmark), not backwards, landmark.value))
        else:
            self.nothing_found.emit(nothing_text(landmark.value, forwards=not backwards))
        return False

    def search(self, search: Search) -> None:
        """Look for it in the part of the record that is not loaded; the view goes to what is found."""
        if self._transcript is not None:
            self._search = search
            self.searching_changed.emit(True)
            self._transcript.search_wanted.emit(search)

    def stop_search(self) -> None:
        """Give up the search that goes through the record."""
        if self._search is not None and self._transcript is not None:
            self._search = None
            self._transcript.search_stopped.emit()
            self.searching_changed.emit(False)

    def _on_search_ended(self, search: Search, message_id: str) -> None:
        if search is not self._search or self._transcript is None:
            return
        self._search = None
        self.searching_changed.emit(False)
        row = self._transcript.row_of(message_id)
        if row is not None:
            self.select_row(row)
        self.search_ended.emit(search, row is not None)

    def go_to_beginning(self) -> None:
        """To the first message on record, read if it is not loaded."""
        model = self._transcript
        if model is not None and model.has_older:
            model.beginning_wanted.emit()
        elif len(self._rows):
            self._go_to(0, 0)

    def reveal(self, row: int, needle: str) -> list[Span]:
        """Open a message as far as it takes to show the first place of a text; all places that can be seen now."""
        entry = self._rows.entry(row)
        if collapsible(entry) and not self.is_expanded(row):
            self.set_expanded(row, True)
        places = self.layout_of(row).occurrences(needle)
        if not places and (steps := self.layout_of(row).steps_to_show(needle.lower())):
            self._rows.state(row).steps.update(steps)
            self._changed_by_reader(row)
            places = self.layout_of(row).occurrences(needle)
        return places

    def select_span(self, row: int, span: Span) -> None:
        """Select text of a message and bring it into view."""
        self._make_current(row)
        message_id = self._rows.entry(row).message.message_id
        if span.start is not None:
            self.show_place(row, span.start)
        self._selection.begin(End(message_id, span.start))
        self._selection.extend(End(message_id, span.end))
        self.viewport().update()

    def _make_current(self, row: int) -> None:
        if self._transcript is not None and 0 <= row < len(self._rows):
            self.setCurrentIndex(self._transcript.index(row, 0))
            self.viewport().update()

    def _step(self, by: int, *, extend: bool) -> None:
        """To the next message; one that is higher than the view is read through first."""
        model = self._transcript
        if model is None or not len(self._rows):
            return
        current = self.currentIndex().row()
        rows = self.visible_rows()
        if not rows.start <= current < rows.stop:
            self.select_row(rows.stop - 1 if by < 0 else rows.start)
            return
        top = self._rows.heights.top(current) - self.verticalOffset()
        bottom, page = top + self._rows.heights[current], self.viewport().height()
        bar = self.verticalScrollBar()
        if not extend and ((by > 0 and bottom > page + 1) or (by < 0 and top < 0)):
            bar.setValue(bar.value() + by * 4 * self._rows.style.line)
            return
        target = max(0, min(len(self._rows) - 1, current + by))
        if extend:
            if self._selection.empty():
                self._selection.begin(End(self._rows.entry(current).message.message_id, None))
            self._selection.extend(End(self._rows.entry(target).message.message_id, None))
        self.select_row(target)

    def _page(self, by: int) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + by * max(1, self.viewport().height() - 2 * self._rows.style.line))
        rows = self.visible_rows()
        if rows:
            self._make_current(rows.start if by < 0 else rows.stop - 1)

    def _activate(self) -> None:
        """Open or close; show the rest; a question goes to its answers."""
        row = self.currentIndex().row()
        if not 0 <= row < len(self._rows):
            return
        entry = self._rows.entry(row)
        if collapsible(entry) and not self.is_expanded(row):
            self.set_expanded(row, True)
            return
        for segment in self.layout_of(row).segments:
            if isinstance(segment, MoreSegment):
                self.show_more(row, segment.block)
                return
        if collapsible(entry):
            self.set_expanded(row, False)
        elif entry.kind is MessageKind.PERMISSION and isinstance(entry.message.metadata.get("approvalId"), str):
            self.question_chosen.emit(entry.message.metadata["approvalId"])

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.viewport().update()
        self.focus_changed.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.viewport().update()
        self.focus_changed.emit()

    # -- menu --------------------------------------------------------------------------------------------------------

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        row = self.currentIndex().row()
        if event.reason() is QContextMenuEvent.Reason.Mouse and (near := self._row_near(event.pos())) is not None:
            row = near
            self._make_current(row)
        menu = self.make_menu(row, event.pos())
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def make_menu(self, row: int, point: QPoint) -> QMenu:
        """The context menu of a message; `point` is in the viewport."""
        return transcript_menu(self, row, self._link_at(row, point) if 0 <= row < len(self._rows) else "")

    def copy_rows(self, rows: range) -> None:
        """Copy messages whole."""
        model = self._transcript
        if model is not None:
            QGuiApplication.clipboard().setText(export.messages_markdown([model.entry(row) for row in rows]))

    def _link_at(self, row: int, point: QPoint) -> str:
        local = point - QPoint(0, self._rows.heights.top(row) - self.verticalOffset())
        return self.layout_of(row).anchor_at(local)
