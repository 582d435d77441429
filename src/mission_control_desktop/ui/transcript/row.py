"""The layout of one row: who speaks, the blocks of the message, and where each of them is."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import partial

from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QBrush,
    QFontMetrics,
    QPainter,
    QPen,
    QTextCharFormat,
    QTextCursor,
)

from mission_control_desktop.domain.messages import MessageKind
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui import times
from mission_control_desktop.ui.transcript import blocks as b
from mission_control_desktop.ui.transcript import documents
from mission_control_desktop.ui.transcript import segments as s
from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.images import Image
from mission_control_desktop.ui.transcript.markdown import Code, Plain, Prose
from mission_control_desktop.ui.transcript.pictures import PictureSegment
from mission_control_desktop.ui.transcript.shelf import DocumentShelf
from mission_control_desktop.ui.transcript.style import (
    BAR,
    ENTRY_GAP,
    GROUP_GAP,
    MARGIN,
    MAX_COLUMN,
    PAD,
    RADIUS,
    UNREAD_HEIGHT,
    Style,
)

RECEIPT_WORDS = {
    ReceiptState.STORED: "stored",
    ReceiptState.QUEUED: "queued",
    ReceiptState.DELIVERED: "delivered",
    ReceiptState.ANSWERED: "answered",
    ReceiptState.FAILED: "failed",
    ReceiptState.WITHDRAWN: "withdrawn",
}


def receipt_text(receipt: Receipt) -> str:
    """The step that a message's delivery has reached, in words."""
    words = RECEIPT_WORDS[receipt.state]
    if receipt.state is ReceiptState.QUEUED and receipt.position:
        return f"{words} #{receipt.position}"
    if receipt.state in (ReceiptState.FAILED, ReceiptState.DELIVERED) and receipt.detail:
        return f"{words}: {receipt.detail}"
    return words


@dataclass(slots=True)
class RowState:
    """What a reader did to a row; kept while its layout comes and goes."""

    expanded: bool | None = None
    """None: nobody touched it."""
    steps: dict[int, int] = field(default_factory=dict)
    """How often "show more" was used, by block."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the text of a row: which segment, and where in its document (UTF-16 units, as Qt counts)."""

    segment: int
    position: int


@dataclass(frozen=True, slots=True)
class Span:
    """Selected text of a row: from `start` to `end`; None is the row's own begin or end."""

    start: Place | None
    end: Place | None


@dataclass(frozen=True, slots=True)
class Looks:
    """What decides the form of a row besides its message."""

    grouped: bool
    """The entry goes on under the name above it."""
    unread: bool
    """The line between read and unread is above it."""
    receipt: Receipt | None


class RowLayout:
    """One message laid out at one width. Finished blocks are laid out once, only the rest again; the shelf says whose
    documents are kept after that."""

    def __init__(self, style: Style, width: int, highlighter: Highlighter, shelf: DocumentShelf | None = None) -> None:
        self._style, self._width, self._highlighter = style, width, highlighter
        self._shelf = shelf if shelf is not None else DocumentShelf()
        self._content = b.Content()
        self._blocks: list[b.Block] = []
        self._owned: list[list[s.Segment]] = []
        """Segments of each block."""
        self.segments: list[s.Segment] = []
        self.height = 0
        self.changed_from = 0
        """Nothing above this offset changed in the last update."""
        self._entry: Entry | None = None
        self._looks = Looks(False, False, None)
        self._card = False
        self._key: object = None
        self._steps: dict[int, int] = {}
        self._header_y = self._body_y = self._body_end = 0

    # -- layout ------------------------------------------------------------------------------------------------------

    def update(self, entry: Entry, state: RowState, looks: Looks) -> None:
        """Make the layout that of the entry as it is now."""
        expanded = b.open_at_first(entry) if state.expanded is None else state.expanded
        key = (entry.revision, expanded, tuple(state.steps.items()), looks, id(entry))
        if key == self._key:
            return
        same_form = self._key is not None and looks == self._looks
        self._key, self._entry, self._looks = key, entry, looks
        self._card = entry.kind in (MessageKind.TOOL_CALL, MessageKind.PLAN)
        blocks = self._content.update(entry, expanded=expanded)
        steps_changed = self._steps != state.steps
        self._steps = dict(state.steps)
        kept = 0 if steps_changed else _same_at_start(blocks, self._blocks)
        old = self._owned[kept:]
        fresh: list[list[s.Segment]] = []
        for number in range(kept, len(blocks)):
            reused = old[number - kept] if number - kept < len(old) and not steps_changed else None
            before = self._blocks[number] if reused is not None else None
            fresh.append(self._make(number, blocks[number], entry, expanded, state, before, reused))
        self._blocks = blocks
        self._owned[kept:] = fresh
        self._drop(old, but=fresh)
        first = len(self.segments) - sum(len(owned) for owned in old)
        self.segments[first:] = [segment for owned in fresh for segment in owned]
        self._place(first if same_form else 0)
        if not same_form:
            self.changed_from = 0

    def close(self) -> None:
        """It is not needed any more."""
        self._drop(self._owned, but=[])

    def _drop(self, old: list[list[s.Segment]], *, but: list[list[s.Segment]]) -> None:
        going_on = {id(segment) for owned in but for segment in owned}
        for owned in old:
            for segment in owned:
                if isinstance(segment, s.TextSegment) and id(segment) not in going_on:
                    self._shelf.drop(segment)

    def set_width(self, width: int) -> None:
        """Lay out the same documents at another width."""
        if width != self._width:
            self._width = width
            self._place(0)

    def _place(self, first_changed: int) -> None:
        looks, style = self._looks, self._style
        column = min(self._width - 2 * MARGIN - BAR, MAX_COLUMN)
        x = MARGIN + BAR
        y = UNREAD_HEIGHT if looks.unread else 0
        y += ENTRY_GAP if looks.grouped else GROUP_GAP
        self._header_y = y
        inset = PAD if self._card else 0
        notice = self._entry is not None and self._entry.kind is MessageKind.NOTICE
        lead = 0
        if notice:
            lead = QFontMetrics(style.tag).horizontalAdvance(self._tag()) + 8
        elif not looks.grouped:
            y += style.tag_line + 4
        self._body_y = y
        self.changed_from = 0
        if first_changed:
            # What is above stands where it stood: a long message costs no more than a short one when it grows.
            above = self.segments[first_changed - 1]
            y = above.y + above.height
        for number in range(first_changed, len(self.segments)):
            segment = self.segments[number]
            head = segment.action == "toggle"
            own = 0 if head else inset
            segment.lay_out(column - 2 * own - lead)
            if number:
                y += segment.gap
            if number == first_changed:
                self.changed_from = y + segment.changed_from
            segment.x, segment.y = x + own + lead, y
            y += segment.height
        if self._card and len(self.segments) > 1:
            y += PAD
        self._body_end = y
        tinted = self._entry is not None and style.tint(self._entry.message.role) is not None
        self.height = y + (8 if tinted else 2)
        if first_changed >= len(self.segments) and self.segments:
            self.changed_from = self.height

    def _make(
        self,
        number: int,
        block: b.Block,
        entry: Entry,
        expanded: bool,
        state: RowState,
        before: b.Block | None,
        reused: list[s.Segment] | None,
    ) -> list[s.Segment]:
        style, shelf, colors = self._style, self._shelf, self._style.theme
        more = state.steps.get(number, 0)
        color = colors.thought if entry.kind is MessageKind.THOUGHT else colors.text
        match block:
            case Prose():
                make = partial(documents.prose_document, block, style, color)
                if (
                    isinstance(before, Prose)
                    and reused
                    and isinstance(text := reused[0], s.TextSegment)
                    and text.growing(partial(documents.continue_prose, before=before, now=block), make)
                ):
                    return reused
                indent = 14 if entry.kind is MessageKind.THOUGHT else 0
                return [s.TextSegment(style, shelf, make, indent=indent, bar=colors.border if indent else None)]
            case Code():
                lines = s.CODE_LINES * (1 + more)
                if (
                    isinstance(before, Code)
                    and not block.closed
                    and reused
                    and isinstance(segment := reused[0], s.CodeSegment)
                    and segment.language == block.language
                    and segment.grow(block.text, lines)
                ):
                    return [segment, *self._more(segment.shown, block.text, segment.total_lines, number)]
                made = s.CodeSegment(style, shelf, block, lines, self._highlighter)
                return [made, *self._more(made.shown, block.text, made.total_lines, number)]
            case b.Output():
                lines = s.OUTPUT_LINES if not more else s.CODE_LINES * more
                made = s.CodeSegment(style, shelf, block, lines, self._highlighter)
                made.gap = 2
                return [made, *self._more(made.shown, block.text, made.total_lines, number)]
            case b.Diff():
                diff = s.DiffSegment(style, shelf, block, s.CODE_LINES * (1 + more))
                diff.gap = 2
                if diff.last >= diff.total_lines:
                    return [diff]
                rest = diff.total_lines - diff.last
                return [diff, s.MoreSegment(style, f"Show more ({rest:,} of {diff.total_lines:,} lines left)", number)]
            case Plain():
                return [s.TextSegment(style, shelf, partial(documents.plain_document, block.text, style.body, color))]
            case Image():
                return [PictureSegment(style, block)]
            case b.ToolHead():
                return [s.ToolHeadSegment(style, block, expanded=expanded)]
            case b.Fold():
                quiet = entry.kind is MessageKind.THOUGHT
                return [s.FoldSegment(style, block, expanded=expanded, quiet=quiet)]
            case b.Label():
                return [s.LabelSegment(style, block)]
            case b.Plan():
                return [s.PlanSegment(style, shelf, block)]
            case b.Question():
                return [s.QuestionSegment(style, shelf, block)]
            case b.Notice():
                return [s.NoticeSegment(style, shelf, block)]

    def _more(self, shown: str, text: str, lines: int, number: int) -> list[s.Segment]:
        if len(shown) >= len(text):
            return []
        left = lines - shown.count("\n") - 1
        size = b.size_text(len(text.encode()))
        words = f"Show more ({left:,} of {lines:,} lines left, {size} in all)" if left else f"Show more (of {size})"
        return [s.MoreSegment(self._style, words, number)]

    # -- finding -----------------------------------------------------------------------------------------------------

    def segment_at(self, point: QPoint) -> int | None:
        """The segment at a point of the row, or None."""
        number = self._first_below(point.y())
        if number < len(self.segments) and self.segments[number].y <= point.y():
            return number
        return None

    def _first_below(self, y: float) -> int:
        """The first segment that ends below `y`."""
        return bisect_right(self.segments, y, key=lambda segment: segment.y + segment.height)

    def place_at(self, point: QPoint) -> Place | None:
        """The position of the text nearest to a point; None if the row has no text to select."""
        best: tuple[int, int] | None = None
        for number, segment in enumerate(self.segments):
            if segment.has_text:
                distance = max(segment.y - point.y(), point.y() - (segment.y + segment.height), 0)
                if best is None or distance < best[0]:
                    best = (distance, number)
        if best is None or (document := self.segments[best[1]].document) is None:
            return None
        segment = self.segments[best[1]]
        local = QPointF(point) - QPointF(segment.x, segment.y) - segment.document_at
        return Place(best[1], max(0, document.documentLayout().hitTest(local, Qt.HitTestAccuracy.FuzzyHit)))

    def anchor_at(self, point: QPoint) -> str:
        """The address that a link at this point leads to, or an empty text."""
        number = self.segment_at(point)
        if number is None or (document := self.segments[number].document) is None:
            return ""
        segment = self.segments[number]
        local = QPointF(point) - QPointF(segment.x, segment.y) - segment.document_at
        return document.documentLayout().anchorAt(local)

    def first_place(self) -> Place | None:
        return next((Place(n, 0) for n, segment in enumerate(self.segments) if segment.has_text), None)

    def last_place(self) -> Place | None:
        for number in range(len(self.segments) - 1, -1, -1):
            segment = self.segments[number]
            if segment.has_text and (document := segment.document) is not None:
                return Place(number, document.characterCount() - 1)
        return None

    def place_extent(self, place: Place) -> tuple[int, int]:
        """Top of the line of a position, relative to the row, and its height."""
        segment = self.segments[place.segment]
        document = segment.document
        if document is None:
            return segment.y, segment.height
        block = document.findBlock(place.position)
        bounds = document.documentLayout().blockBoundingRect(block)
        line = block.layout().lineForTextPosition(place.position - block.position())
        top = bounds.top() + (line.y() if line.isValid() else 0)
        height = line.height() if line.isValid() else bounds.height()
        return segment.y + int(segment.document_at.y() + top), int(height + 1)

    def occurrences(self, needle: str) -> list[Span]:
        """Where a text is in what is shown of the row, in order; any case."""
        found: list[Span] = []
        for number, segment in enumerate(self.segments):
            document = segment.document
            if document is None:
                continue
            cursor = document.find(needle)
            while not cursor.isNull():
                start, end = Place(number, cursor.selectionStart()), Place(number, cursor.selectionEnd())
                found.append(Span(start, end))
                cursor = document.find(needle, cursor)
        return found

    def steps_to_show(self, needle: str) -> dict[int, int]:
        """How often "show more" has to be used, by block, until the first place of a text (in lower case) is shown."""
        steps: dict[int, int] = {}
        for segment in self.segments:
            if not isinstance(segment, s.MoreSegment):
                continue
            block = self._blocks[segment.block]
            if isinstance(block, b.Diff):
                rows = (number for number, line in enumerate(block.lines) if needle in line.text.lower())
                if (row := next(rows, None)) is not None:
                    steps[segment.block] = row // s.CODE_LINES
            elif isinstance(block, Code | b.Output) and (at := block.text.lower().find(needle)) >= 0:
                end = at + len(needle)
                wanted = max(block.text.count("\n", 0, end) // s.CODE_LINES, end // s.STEP_CHARS) + 1
                steps[segment.block] = wanted if isinstance(block, b.Output) else wanted - 1
        return steps

    def text_between(self, span: Span) -> str:
        """The selected text of the row, segments on lines of their own."""
        parts: list[str] = []
        for number, segment in enumerate(self.segments):
            if (cursor := self._cursor(number, segment, span)) is not None and cursor.hasSelection():
                parts.append(cursor.selection().toPlainText())
        return "\n\n".join(parts)

    def _cursor(self, number: int, segment: s.Segment, span: Span) -> QTextCursor | None:
        outside = (span.start is not None and number < span.start.segment) or (
            span.end is not None and number > span.end.segment
        )
        document = None if outside else segment.document
        if document is None:
            return None
        start, end = 0, document.characterCount() - 1
        if span.start is not None and number == span.start.segment:
            start = min(span.start.position, end)
        if span.end is not None and number == span.end.segment:
            end = min(span.end.position, end)
        cursor = QTextCursor(document)
        cursor.setPosition(start)
        cursor.setPosition(max(start, end), QTextCursor.MoveMode.KeepAnchor)
        return cursor

    # -- painting ----------------------------------------------------------------------------------------------------

    def paint(
        self,
        painter: QPainter,
        y: int,
        clip: QRectF,
        *,
        span: Span | None = None,
        needle: str = "",
        current: bool = False,
        hovered: int | None = None,
    ) -> None:
        """Paint the row whose top is at `y`; `clip` is in the same coordinates."""
        entry = self._entry
        if entry is None:
            return
        style, colors = self._style, self._style.theme
        painter.save()
        painter.translate(0, y)
        clip = clip.translated(0, -y)
        if self._looks.unread and clip.top() < UNREAD_HEIGHT:
            self._paint_unread(painter)
        top = self._header_y - (6 if not self._looks.grouped else 2)
        tint = style.tint(entry.message.role)
        if tint is not None:
            painter.fillRect(QRectF(0, top, self._width, self.height - top), tint)
            painter.fillRect(QRectF(0, top, BAR, self.height - top), style.role_color(entry.message.role))
        if current:
            painter.setPen(QPen(colors.focus, 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.drawRoundedRect(QRectF(4.5, top + 0.5, self._width - 9, self.height - top - 1), 4, 4)
        notice = entry.kind is MessageKind.NOTICE
        if (notice or not self._looks.grouped) and clip.top() < self._header_y + 2 * style.tag_line:
            self._paint_header(painter, entry, inline=notice)
        if self._card:
            x = MARGIN + BAR
            column = min(self._width - 2 * MARGIN - BAR, MAX_COLUMN)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(colors.border, 1))
            painter.setBrush(colors.surface_raised)
            painter.drawRoundedRect(
                QRectF(x + 0.5, self._body_y + 0.5, column - 1, self._body_end - self._body_y - 1), RADIUS, RADIUS
            )
        for number in range(self._first_below(clip.top()), len(self.segments)):
            segment = self.segments[number]
            if segment.y > clip.bottom():
                break
            painter.save()
            painter.translate(segment.x, segment.y)
            local = clip.translated(-segment.x, -segment.y)
            chosen = self._selections(number, segment, span, needle)
            segment.paint(s.Painting(painter, style, local, chosen, hovered == number))
            painter.restore()
        painter.restore()

    def _selections(self, number: int, segment: s.Segment, span: Span | None, needle: str) -> s.Selections:
        found: s.Selections = []
        document = segment.document
        if document is None:
            return found
        colors = self._style.theme
        if needle:
            mark = QTextCharFormat()
            mark.setBackground(QBrush(colors.attention_background))
            mark.setForeground(QBrush(colors.attention))
            cursor = document.find(needle)
            while not cursor.isNull() and len(found) < 200:
                found.append(_selection(cursor, mark))
                cursor = document.find(needle, cursor)
        if span is not None and (cursor_of := self._cursor(number, segment, span)) is not None:
            look = QTextCharFormat()
            look.setBackground(QBrush(colors.selection))
            look.setForeground(QBrush(colors.text))
            found.append(_selection(cursor_of, look))
        return found

    def _tag(self) -> str:
        return f"[{self._entry.message.role.value.upper()}]" if self._entry is not None else ""

    def _paint_header(self, painter: QPainter, entry: Entry, *, inline: bool) -> None:
        style, colors = self._style, self._style.theme
        x = float(MARGIN + BAR)
        height = style.line + 2 if inline else style.tag_line + 2
        painter.setFont(style.tag)
        painter.setPen(style.role_color(entry.message.role))
        tag = self._tag()
        flags = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(x, self._header_y, self._width, height), flags, tag)
        if inline:
            return
        x += QFontMetrics(style.tag).horizontalAdvance(tag) + 8
        painter.setFont(style.mono_small)
        painter.setPen(colors.text_muted)
        words = time_text(entry)
        operator = entry.message.metadata.get("operatorId")
        if isinstance(operator, str) and operator:
            words = f"{operator}  {words}"
        editor = entry.message.metadata.get("editedBy")
        if isinstance(editor, str) and editor:
            words = f"{words}  edited" if editor == operator else f"{words}  edited by {editor}"
        painter.drawText(QRectF(x, self._header_y, self._width - x, height), flags, words)
        receipt = self._looks.receipt
        if receipt is not None:
            used = x + QFontMetrics(style.mono_small).horizontalAdvance(words) + 12
            column = min(self._width - MARGIN, MARGIN + BAR + MAX_COLUMN)
            failed = receipt.state is ReceiptState.FAILED
            painter.setFont(style.small)
            painter.setPen(colors.error if failed else colors.text_muted)
            text = QFontMetrics(style.small).elidedText(
                receipt_text(receipt), Qt.TextElideMode.ElideRight, max(0, int(column - used))
            )
            box = QRectF(used, self._header_y, column - used, height)
            painter.drawText(box, flags | Qt.AlignmentFlag.AlignRight, text)

    def _paint_unread(self, painter: QPainter) -> None:
        colors = self._style.theme
        words = "New"
        painter.setFont(self._style.tag)
        width = QFontMetrics(self._style.tag).horizontalAdvance(words)
        middle = UNREAD_HEIGHT / 2
        painter.setPen(QPen(colors.accent, 1))
        painter.drawLine(QPointF(MARGIN, middle), QPointF(self._width - MARGIN - width - 8, middle))
        box = QRectF(self._width - MARGIN - width, 0, width + 2, UNREAD_HEIGHT)
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, words)


def _same_at_start(blocks: list[b.Block], before: list[b.Block]) -> int:
    """How many blocks are as they were."""
    least = min(len(blocks), len(before))
    # Text grows at its end: all but the last is compared in one go, mostly by identity.
    kept = least - 1 if least and blocks[: least - 1] == before[: least - 1] else 0
    while kept < least and blocks[kept] == before[kept]:
        kept += 1
    return kept


def time_text(entry: Entry) -> str:
    """When an entry was said, with the day if it is not today."""
    return times.wall(entry.message.timestamp)


def _selection(cursor: QTextCursor, look: QTextCharFormat) -> QAbstractTextDocumentLayout.Selection:
    selection = QAbstractTextDocumentLayout.Selection()
    selection.cursor = cursor
    selection.format = look
    return selection
