"""The transcript on screen: a QListView that lays out and paints only what is visible.

What the base class gives is kept (model wiring, focus, accessibility); its layout is replaced, because it measures all
rows again whenever one changes. Here the heights of rows never seen are estimates, a row is measured when it comes
near the viewport, and one thing stays still through all of that: the end, if the view follows it, otherwise the row at
the top and how far it is scrolled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QListView, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.transcript.blocks import collapsible
from mission_control_desktop.ui.transcript.highlight import Highlighter, shared_highlighter
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.pictures import shared_pictures
from mission_control_desktop.ui.transcript.row import Place, RowLayout, Span
from mission_control_desktop.ui.transcript.rows import Rows
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler, shared_scheduler
from mission_control_desktop.ui.transcript.style import make_style

NEAR_PAGES = 3
"""How many pages before the top older entries are asked for."""
END_GAP = 10
"""Below the last entry."""
RELEASE_MS = 10_000
"""So long after it was hidden a transcript gives the memory of its laid-out text back."""
AT_END = 4
"""Pixels from the end that still count as being there."""

_Index = QModelIndex | QPersistentModelIndex


class TranscriptLayout(QListView):
    """Layout, scrolling and painting. What a reader does with mouse and keys is in `view.TranscriptView`."""

    following_changed = Signal(bool)
    unread_changed = Signal(int)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        scheduler: FlushScheduler | None = None,
        highlighter: Highlighter | None = None,
    ) -> None:
        # Every attribute that an override uses is set before Qt can call one: an exception there ends the process.
        self._transcript: TranscriptModel | None = None
        self._dirty: set[str] = set()
        """Messages that changed since the last flush."""
        self._width_stale = True
        self._settling = False
        self._following = True
        self._anchor = (0, 0)
        """Without following: the row at the top of the viewport and how many of its pixels are above."""
        self._shown: tuple[int, int] | None = None
        """A row and where its top is on screen, as it was last drawn: tells by how much to shift the picture."""
        self._unread = 0
        self._read_seq = -1
        """Place of the last entry that counts as read; while the end is followed, all do."""
        self._counted_seq = -1
        """Place of the newest entry that is counted as unread or read."""
        self._empty_text = ("", "")
        self._needle = ""
        self.paints = 0
        """Paint events so far."""
        self._scheduler = scheduler or shared_scheduler()
        self._highlighter = highlighter or shared_highlighter()
        self._rows = Rows(make_style(), self._highlighter)
        super().__init__(parent)
        self._release_timer = QTimer(self)
        self._release_timer.setSingleShot(True)
        self._release_timer.setInterval(RELEASE_MS)
        self._release_timer.timeout.connect(self._rows.shelf.release_all)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there: text must not be laid out anew because a scroll bar came or went.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAutoScroll(False)
        self.setUniformItemSizes(False)
        self.viewport().setMouseTracking(True)
        # It paints all of itself: nothing below has to be painted first.
        self.viewport().setAutoFillBackground(False)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._highlighter.ready.connect(self._on_ready)
        shared_pictures().ready.connect(self._on_ready)
        theme.signals.theme_changed.connect(self._on_theme_changed)

    # -- outside -----------------------------------------------------------------------------------------------------

    def set_transcript(self, model: TranscriptModel) -> None:
        """Show this model's messages."""
        self._transcript = self._rows.model = model
        self.setModel(model)
        model.rowsRemoved.connect(self._on_rows_removed)
        model.came_beyond.connect(self._on_came_beyond)
        model.room_wanted.connect(self._on_room_wanted)

    @property
    def transcript(self) -> TranscriptModel | None:
        return self._transcript

    def require_transcript(self) -> TranscriptModel:
        """Raises LookupError before one is set."""
        return self._rows.require()

    @property
    def following(self) -> bool:
        """Whether the view stays at the end."""
        return self._following

    @property
    def unread(self) -> int:
        """Entries that came at the end since the reader left it."""
        return self._unread

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._set_following(True)
        self._settle_and_draw()

    def set_empty_text(self, title: str, detail: str = "") -> None:
        """What is said while there are no messages."""
        if (title, detail) != self._empty_text:
            self._empty_text = (title, detail)
            self.viewport().update()

    def set_needle(self, needle: str) -> None:
        """Mark this text wherever it is visible."""
        if needle != self._needle:
            self._needle = needle
            self.viewport().update()

    def flush(self) -> None:
        """Lay out what changed since the last time; called by the scheduler, at most so often."""
        if not self.isVisible():
            return
        self._apply_dirty()
        self._settle_and_draw()

    def is_expanded(self, row: int) -> bool:
        """Whether a collapsible entry is open."""
        return self._rows.is_expanded(row)

    def set_expanded(self, row: int, expanded: bool) -> None:
        """Open or close a tool call, a thought or a plan; its first line stays where it is."""
        if collapsible(self._rows.entry(row)):
            state = self._rows.state(row)
            state.expanded = expanded
            if not expanded:
                state.steps.clear()
            self._changed_by_reader(row)

    def show_more(self, row: int, block: int) -> None:
        """Show the next part of something long."""
        state = self._rows.state(row)
        state.steps[block] = state.steps.get(block, 0) + 1
        self._changed_by_reader(row)

    def set_all_expanded(self, expanded: bool) -> None:
        """Open or close everything that opens and closes."""
        if self._transcript is None:
            return
        for row, entry in enumerate(self._transcript.entries):
            if collapsible(entry):
                self._rows.state(row).expanded = expanded
                self._rows.doubt(row)
        if not self._following:
            self._anchor_here()
        self._settle_and_draw(whole=True)

    def visible_rows(self) -> range:
        """Rows of which anything is in the viewport."""
        if not len(self._rows):
            return range(0)
        offset = self.verticalOffset()
        first, _ = self._rows.heights.row_at(offset)
        last, _ = self._rows.heights.row_at(offset + max(0, self.viewport().height() - 1))
        return range(first, last + 1)

    def layout_of(self, row: int) -> RowLayout:
        """The layout of a row, made if need be."""
        return self._rows.layout(row)

    # -- layout ------------------------------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Forget all heights; the anchor stays."""
        self._rows.rebuild(self.viewport().width())
        self._width_stale = False
        self._dirty.clear()
        self._shown = None

    def _reflow(self) -> None:
        """A new width: the row at the top stays there, as far in it as before."""
        rows, (row, inside) = self._rows, self._anchor
        anchored = not self._following and 0 <= row < len(rows)
        share = inside / max(1, rows.heights[row]) if anchored else 0.0
        rows.reflow(self.viewport().width())
        self._width_stale = False
        if anchored:
            rows.measure(row)
            self._anchor = (row, int(share * rows.heights[row]))

    def _apply_dirty(self) -> None:
        for key in self._dirty:
            self._rows.doubt_message(key)
        self._dirty.clear()

    def _settle_and_draw(self, *, whole: bool = False, moved: bool = True) -> None:
        if self._settling:
            return
        self._settling = True
        try:
            if self._width_stale and self.viewport().width() > 0:
                self._reflow()
                whole = True
            changed = self._settle()
        finally:
            self._settling = False
        self._draw(changed, whole=whole)
        if moved:
            self._after_moving()

    def _settle(self) -> list[tuple[int, int]]:
        """Measure what is visible and set the scroll bar. Returns (row, offset in it) from where a row looks new."""
        rows, heights, page = self._rows, self._rows.heights, self.viewport().height()
        count = len(heights)
        changed: list[tuple[int, int]] = []

        def measured(row: int) -> None:
            if not rows.exact(row):
                before = heights[row]
                rows.measure(row)
                layout = rows.drawn(row)
                changed.append((row, min(layout.changed_from if layout is not None else 0, before)))

        if self._following:
            covered, row = END_GAP, count - 1
            while row >= 0 and covered < page:
                measured(row)
                covered += heights[row]
                row -= 1
            rows.on_screen = count - 1 - row
            target = self._furthest()
        else:
            row, inside = min(self._anchor[0], max(0, count - 1)), self._anchor[1]
            if count:
                measured(row)
                inside = max(0, min(inside, heights[row] - 1))
            covered, below = -inside, row
            while below < count and covered < page:
                measured(below)
                covered += heights[below]
                below += 1
            if below >= count:
                covered += END_GAP
            # Not enough below: rows come in from above.
            while covered < page and row > 0 and below >= count:
                inside -= page - covered
                covered = page
                while inside < 0 and row > 0:
                    row -= 1
                    measured(row)
                    inside += heights[row]
                inside = max(0, inside)
            rows.on_screen = below - row
            self._anchor = (row, inside)
            target = (heights.top(row) + inside) if count else 0
            target = min(target, self._furthest())
        bar = self.verticalScrollBar()
        bar.setPageStep(page)
        bar.setSingleStep(3 * self._rows.style.line)
        maximum = self._furthest()
        if bar.maximum() != maximum or bar.minimum() != 0:
            bar.setRange(0, maximum)
        if bar.value() != target:
            bar.setValue(target)
        return changed

    def _furthest(self) -> int:
        """The largest scroll position."""
        if not len(self._rows):
            return 0
        return max(0, self._rows.heights.total + END_GAP - self.viewport().height())

    def _draw(self, changed: list[tuple[int, int]], *, whole: bool) -> None:
        """Shift the picture by as much as the content moved, and paint only what is new."""
        viewport = self.viewport()
        offset, page = self.verticalOffset(), viewport.height()
        shown, self._shown = self._shown, self._top_on_screen()
        if whole or shown is None or shown[0] >= len(self._rows):
            viewport.update()
            return
        shift = self._rows.heights.top(shown[0]) - offset - shown[1]
        ratio = viewport.devicePixelRatioF()
        if shift:
            # A fraction of a device pixel cannot be shifted.
            if abs(shift) >= page or ratio != int(ratio):
                viewport.update()
                return
            viewport.scroll(0, shift)
        top = page
        for row, inside in changed:
            top = min(top, self._rows.heights.top(row) + inside - offset)
        if top < page:
            viewport.update(QRect(0, max(0, top), viewport.width(), page - max(0, top)))

    def _top_on_screen(self) -> tuple[int, int] | None:
        row, top = self._rows.heights.row_at(self.verticalOffset())
        return None if row < 0 else (row, top - self.verticalOffset())

    def _after_moving(self, *, by_reader: bool = False) -> None:
        model = self._transcript
        if model is None:
            return
        if model.has_older and self.verticalOffset() < NEAR_PAGES * max(1, self.viewport().height()):
            model.fetch_older(again=by_reader)
        page = max(1, self.viewport().height())
        if model.has_newer and not self._following and self._furthest() - self.verticalOffset() < NEAR_PAGES * page:
            model.newer_wanted.emit(model.entries[-1].seq if model.entries else 0)

    def _at_end(self) -> bool:
        bar = self.verticalScrollBar()
        return bar.value() >= bar.maximum() - AT_END

    def _set_following(self, following: bool) -> None:
        model = self._transcript
        if following and self._unread:
            self._unread = 0
            self.unread_changed.emit(0)
        if following != self._following:
            self._following = following
            if model is not None:
                model.following = following
            if not following:
                self._anchor_here()
                self._read_seq = self._counted_seq = model.newest_seq if model is not None else -1
            self.following_changed.emit(following)
        if following and model is not None and model.has_newer:
            # What is newest is not here any more: it is read again, and the view follows that.
            model.level_wanted.emit("the end is wanted")

    def _anchor_here(self) -> None:
        row, top = self._rows.heights.row_at(self.verticalOffset())
        self._anchor = (max(0, row), self.verticalOffset() - top)

    def _changed_by_reader(self, row: int) -> None:
        """The reader changed a row's form: its first line stays where it is."""
        top = self._rows.heights.top(row) - self.verticalOffset()
        self._rows.measure(row)
        self._go_to(row, -top if top >= 0 else min(-top, self._rows.heights[row] - 1))

    # -- Qt's layout hooks -------------------------------------------------------------------------------------------

    def doItemsLayout(self) -> None:
        # Qt asks for this whenever it thinks that something may have changed; heights are kept level without it.
        if self._transcript is not None and len(self._rows) != len(self._transcript.entries):
            self._rebuild()
        if self.isVisible():
            self._settle_and_draw()

    def updateGeometries(self) -> None:
        if not self._settling and self.isVisible():
            self._settle_and_draw()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        if not self._settling:
            self._moved_by_reader(-dy)

    def _moved_by_reader(self, down: int) -> None:
        """The scroll bar was moved: walk from the old anchor, measuring on the way, so that nothing jumps."""
        heights = self._rows.heights
        if not len(heights):
            return
        was_at_end = self._at_end()
        if abs(down) > 3 * max(1, self.viewport().height()):
            row, top = heights.row_at(self.verticalOffset())
            inside = self.verticalOffset() - top
        else:
            if self._following:
                row, top = heights.row_at(self.verticalOffset() - down)
                inside = self.verticalOffset() - down - top
            else:
                row, inside = self._anchor
            inside += down
            while inside < 0 and row > 0:
                row -= 1
                if not self._rows.exact(row):
                    self._rows.measure(row)
                inside += heights[row]
            while row < len(heights) - 1 and inside >= heights[row]:
                inside -= heights[row]
                row += 1
                if not self._rows.exact(row):
                    self._rows.measure(row)
        self._anchor = (row, max(0, inside))
        at_end = was_at_end and not (self._transcript is not None and self._transcript.has_newer)
        if at_end != self._following:
            anchor = self._anchor
            self._set_following(at_end)
            self._anchor = anchor
        self._settle_and_draw()
        self._after_moving(by_reader=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self.viewport().width() != self._rows.width:
            self._width_stale = True
            if self._rows.width == 0:
                self._rebuild()
                self._width_stale = False
        if self._width_stale:
            if self.isVisible():
                self._scheduler.urgently(self)
        else:
            self._settle_and_draw(whole=True)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._release_timer.stop()
        self._apply_dirty()
        self._settle_and_draw(whole=True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._release_timer.start()
        self._scheduler.forget(self)

    def _request(self) -> None:
        if self.isVisible():
            self._scheduler.request(self)

    # -- model changes -----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        super().reset()
        model = self._transcript
        self._rows.unread_id = None
        if model is not None and not model.following:
            # Another part of the record, for a reader who is not at the end.
            self._set_following(False)
            self._anchor = (0, 0)
            self._rebuild()
            self._mark_unread(0, len(model.entries))
            if self.isVisible():
                # Where to is said next: nothing around this place is wanted.
                self._settle_and_draw(whole=True, moved=False)
            return
        self._unread = 0
        self.unread_changed.emit(0)
        self._set_following(True)
        self._rebuild()
        if self.isVisible():
            self._settle_and_draw(whole=True)

    def rowsInserted(self, parent: _Index, start: int, end: int) -> None:
        count = end - start + 1
        at_end = start == len(self._rows)
        self._rows.insert(start, end)
        row, inside = self._anchor
        if start <= row and not (at_end and start == 0):
            self._anchor = (row + count, inside)
        if self._shown is not None and start <= self._shown[0]:
            self._shown = (self._shown[0] + count, self._shown[1])
        if at_end and not self._following:
            self._mark_unread(start, end + 1)
            # Entries that had been let go and were read again are no news.
            new = [seq for row in range(start, end + 1) if (seq := self._rows.entry(row).seq) > self._counted_seq]
            if new:
                self._counted_seq = new[-1]
                self._on_came_beyond(len(new))
        self._request()

    def _on_came_beyond(self, count: int) -> None:
        if not self._following and self._transcript is not None:
            self._counted_seq = max(self._counted_seq, self._transcript.newest_seq)
            self._unread += count
            self.unread_changed.emit(self._unread)

    def _mark_unread(self, start: int, end: int) -> None:
        """Draw the line above the first of these rows that was not read, unless it is drawn above an earlier one."""
        rows, marked = self._rows, self._rows.unread_id
        known = self._transcript.find(marked) if marked is not None and self._transcript is not None else None
        if known is not None and known.seq > self._read_seq:
            return
        row = next((row for row in range(start, end) if rows.entry(row).seq > self._read_seq), None)
        if row is None or (row == start == 0):
            return
        if marked is not None:
            rows.doubt_message(marked)
        rows.unread_id = rows.entry(row).message.message_id
        rows.doubt(row)

    def rowsAboutToBeRemoved(self, parent: _Index, start: int, end: int) -> None:
        # Not the base class's: that would lay out everything again.
        self._rows.leave(start, end)

    def _on_room_wanted(self) -> None:
        """What stays: so many pages to both sides that nothing more is fetched because of it."""
        heights, reach = self._rows.heights, (NEAR_PAGES + 2) * max(1, self.viewport().height())
        first = stop = len(heights)
        above = 0
        if not self._following:
            first = stop = min(self._anchor[0], len(heights))
            above, below = self._anchor[1], -self._anchor[1]
            while stop < len(heights) and below < reach:
                below += heights[stop]
                stop += 1
        while first > 0 and above < reach:
            first -= 1
            above += heights[first]
        self.require_transcript().near = range(first, stop)

    def _on_rows_removed(self, parent: QModelIndex, start: int, end: int) -> None:
        count = end - start + 1
        self._rows.remove(start, end)
        row, inside = self._anchor
        if start <= row:
            self._anchor = (row - count, inside) if row > end else (start, 0)
        if self._shown is not None and start <= self._shown[0]:
            self._shown = (self._shown[0] - count, self._shown[1]) if self._shown[0] > end else None
        self._request()

    def dataChanged(self, top_left: _Index, bottom_right: _Index, roles: Sequence[int] = ()) -> None:
        hidden = not self.isVisible()
        for row in range(top_left.row(), bottom_right.row() + 1):
            if hidden:
                self._rows.doubt(row)
            else:
                self._dirty.add(self._rows.entry(row).message.message_id)
        self._request()

    def _on_ready(self) -> None:
        if self.isVisible():
            self.viewport().update()

    def _on_theme_changed(self) -> None:
        self._rows.restyle(make_style())
        self._settle_and_draw(whole=True)

    # -- the item view's contract ------------------------------------------------------------------------------------

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def horizontalOffset(self) -> int:
        return 0

    def visualRect(self, index: _Index) -> QRect:
        if not index.isValid() or index.row() >= len(self._rows):
            return QRect()
        top = self._rows.heights.top(index.row()) - self.verticalOffset()
        return QRect(0, top, self._rows.width, self._rows.heights[index.row()])

    def indexAt(self, point: QPoint) -> QModelIndex:
        y = point.y() + self.verticalOffset()
        if self._transcript is None or not 0 <= y < self._rows.heights.total:
            return QModelIndex()
        row, _ = self._rows.heights.row_at(y)
        return self._transcript.index(row, 0)

    def scrollTo(
        self, index: _Index, hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible
    ) -> None:
        if not index.isValid() or index.row() >= len(self._rows):
            return
        row = index.row()
        self._rows.measure(row)
        top, height, page = self._rows.heights.top(row), self._rows.heights[row], self.viewport().height()
        offset = self.verticalOffset()
        if hint == QAbstractItemView.ScrollHint.EnsureVisible and top >= offset and top + height <= offset + page:
            return
        if hint == QAbstractItemView.ScrollHint.PositionAtCenter:
            self._go_to(row, -max(0, (page - height) // 2))
        elif hint == QAbstractItemView.ScrollHint.EnsureVisible and top >= offset and height < page:
            self._go_to(row, height - page)
        else:
            self._go_to(row, 0)

    def _go_to(self, row: int, inside: int) -> None:
        """Put a row at the top of the viewport (`inside` pixels of it above; negative: below the top)."""
        self._set_following(False)
        while inside < 0 and row > 0:
            row -= 1
            self._rows.measure(row)
            inside += self._rows.heights[row]
        self._anchor = (row, max(0, inside))
        self._settle_and_draw(whole=True)
        if self._at_end() and not (self._transcript is not None and self._transcript.has_newer):
            self._set_following(True)

    def show_place(self, row: int, place: Place) -> None:
        """Bring a position in the text of a row into view; it stays where it is if it can be seen already."""
        self._rows.measure(row)
        top, height = self._rows.layout(row).place_extent(place)
        seen = self._rows.heights.top(row) + top - self.verticalOffset()
        page = self.viewport().height()
        if not 0 <= seen <= page - height:
            self._go_to(row, top - page // 3)

    def viewportSizeHint(self) -> QSize:
        return QSize(320, 240)

    # -- painting ----------------------------------------------------------------------------------------------------

    def _span_of(self, row: int) -> Span | None:
        """Selected text of a row."""
        return None

    def _hovered_segment(self, row: int) -> int | None:
        return None

    def paintEvent(self, event: QPaintEvent) -> None:
        start = time.thread_time()
        self.paints += 1
        painter = QPainter(self.viewport())
        clip = event.rect()
        painter.fillRect(clip, self._rows.style.theme.surface)
        count = len(self._rows)
        if count:
            self._paint_rows(painter, clip)
        else:
            self._paint_empty(painter)
        painter.end()
        self._scheduler.spent(time.thread_time() - start)

    def _paint_rows(self, painter: QPainter, clip: QRect) -> None:
        offset = self.verticalOffset()
        row, top = self._rows.heights.row_at(max(0, clip.top() + offset))
        area = QRectF(clip)
        current = self.currentIndex().row() if self.hasFocus() else -1
        while row < len(self._rows) and top - offset <= clip.bottom():
            layout = self._rows.drawn(row)
            if layout is None:
                # Its layout was let go: the height may be another now.
                if self._rows.measure(row):
                    self._request()
                layout = self._rows.layout(row)
            layout.paint(
                painter,
                top - offset,
                area,
                span=self._span_of(row),
                needle=self._needle,
                current=row == current,
                hovered=self._hovered_segment(row),
            )
            top += self._rows.heights[row]
            row += 1

    def _paint_empty(self, painter: QPainter) -> None:
        title, detail = self._empty_text
        colors, box = self._rows.style.theme, QRectF(self.viewport().rect()).adjusted(24, 0, -24, 0)
        flags = Qt.AlignmentFlag.AlignHCenter.value | Qt.TextFlag.TextWordWrap.value
        painter.setFont(self._rows.style.bold)
        painter.setPen(colors.text_muted)
        painter.drawText(box.adjusted(0, box.height() * 0.38, 0, 0), flags, title)
        painter.setFont(self._rows.style.body)
        painter.drawText(box.adjusted(0, box.height() * 0.38 + 1.6 * self._rows.style.line, 0, 0), flags, detail)
