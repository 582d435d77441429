"""The painted pieces of a row: each knows its height at a width, paints itself, and may hold text to select."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QColor,
    QFont,
    QFontMetrics,
    QPainter,
    QPalette,
    QPen,
    QTextDocument,
)

from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.transcript import blocks as b
from mission_control_desktop.ui.transcript import documents
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.markdown import Code
from mission_control_desktop.ui.transcript.shelf import DocumentShelf
from mission_control_desktop.ui.transcript.style import BLOCK_GAP, PAD, RADIUS, Style

OUTPUT_LINES = 14
"""Lines of a tool's output shown at first."""
CODE_LINES = 400
"""Lines of code or change shown at first, and added with each "show more"."""
STEP_CHARS = 32_000
"""Characters that one step shows at most: what can be laid out without a pause."""

_TOOL_WORDS = {
    "read": "read",
    "edit": "edit",
    "delete": "delete",
    "move": "move",
    "search": "search",
    "execute": "run",
    "think": "think",
    "fetch": "fetch",
}
_TOOL_SHAPES = {
    "pending": SessionStatus.SPAWNING,
    "in_progress": SessionStatus.RUNNING,
    "completed": SessionStatus.COMPLETED,
    "failed": SessionStatus.FAILED,
    b.UNFINISHED: SessionStatus.KILLED,
}

Selections = list[QAbstractTextDocumentLayout.Selection]


@dataclass(slots=True)
class Painting:
    """What a segment needs while it is painted; `clip` is in the coordinates of the painter."""

    painter: QPainter
    style: Style
    clip: QRectF
    selections: Selections
    hovered: bool = False


class Segment(ABC):
    """A piece of a row. `y` is set by the row, relative to it."""

    gap = BLOCK_GAP
    """Distance to what is above."""
    action: str | None = None
    """What a click does: "toggle" or "more"."""
    has_text = False
    """Whether there is text to select: then `document` is one."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.x = 0
        self.y = 0
        self.width = 0
        self.height = 0
        self.changed_from = 0
        """Nothing above this offset changed when text was appended last."""
        self.document_at = QPointF(0, 0)
        """Where the document starts, relative to the segment."""

    @property
    def document(self) -> QTextDocument | None:
        """The laid-out text, made if need be; to be held no longer than it is used."""
        return None

    @abstractmethod
    def lay_out(self, width: int) -> None:
        """Set `width` and `height`."""

    @abstractmethod
    def paint(self, painting: Painting) -> None:
        """Paint with the origin at the segment's top left corner."""

    def spoken_action(self) -> str:
        """What a click does, in words."""
        return ""


class TextSegment(Segment):
    """A document, plain or in a box. The shelf may let it go: then its height is known all the same."""

    has_text = True

    def __init__(
        self,
        style: Style,
        shelf: DocumentShelf,
        make: Callable[[], QTextDocument],
        *,
        pad: int = 0,
        background: QColor | None = None,
        bar: QColor | None = None,
        indent: int = 0,
    ) -> None:
        super().__init__(style)
        self._shelf, self._make = shelf, make
        self._document: QTextDocument | None = None
        self._pad, self._background, self._bar, self._indent = pad, background, bar, indent
        self.document_at = QPointF(pad + indent, pad)
        self._quotes: list[tuple[int, int, int]] = []
        self._text_width = 0
        self._grown = False

    @property
    def document(self) -> QTextDocument:
        document = self._document
        if document is None:
            document = self._document = self._make()
            self._quotes = _quote_blocks(document)
            if self._text_width:
                document.setTextWidth(self._text_width)
            self._on_made(document)
        self._shelf.use(self, document.characterCount())
        return document

    def _on_made(self, document: QTextDocument) -> None:
        """The document is new."""

    def release(self) -> None:
        """Keep the height alone."""
        self._document = None

    def lay_out(self, width: int) -> None:
        self.width = width
        text_width = max(40, width - 2 * self._pad - self._indent)
        # What was appended is laid out already; to say the same width again would lay out everything.
        if text_width != self._text_width:
            self._text_width = text_width
            self.changed_from = 0
            if self._document is not None:
                self._document.setTextWidth(text_width)
        elif self._document is None and not self._grown:
            return
        self._grown = False
        self.height = int(self.document.size().height() + 0.999) + 2 * self._pad

    def growing(self, grow: Callable[[QTextDocument], bool], make: Callable[[], QTextDocument]) -> bool:
        """Append to the document (`grow`, False if it cannot): what is above its last line stays as it is drawn.
        `make` makes the longer one from the beginning."""
        document = self.document
        before = documents.last_line(document)
        if not grow(document):
            return False
        self._make, self._grown = make, True
        self._shelf.use(self, document.characterCount())
        self.changed_from = 0
        if before is not None and documents.stands(document, before):
            # A little more: letters may be higher than their line.
            self.changed_from = max(0, int(self.document_at.y() + before.top) - 4)
        return True

    def paint(self, painting: Painting) -> None:
        painter = painting.painter
        if self._background is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._background)
            painter.drawRoundedRect(QRectF(0, 0, self.width, self.height), RADIUS, RADIUS)
        if self._bar is not None:
            painter.fillRect(QRectF(0, 0, 2, self.height), self._bar)
        self.paint_document(painting)

    def paint_document(self, painting: Painting) -> None:
        document = self.document
        painter = painting.painter
        painter.save()
        painter.translate(self.document_at)
        context = QAbstractTextDocumentLayout.PaintContext()
        context.clip = painting.clip.translated(-self.document_at)
        palette = QPalette()
        palette.setColor(QPalette.ColorRole.Text, self.style.theme.text)
        context.palette = palette
        if painting.selections:
            context.selections = painting.selections
        document.documentLayout().draw(painter, context)
        for first, last, level in self._quotes:
            layout = document.documentLayout()
            top = layout.blockBoundingRect(document.findBlockByNumber(first)).top()
            bottom = layout.blockBoundingRect(document.findBlockByNumber(last)).bottom()
            for step in range(level):
                painter.fillRect(
                    QRectF(step * documents.QUOTE_INDENT, top, 2, bottom - top), self.style.theme.border_strong
                )
        painter.restore()


def _quote_blocks(document: QTextDocument) -> list[tuple[int, int, int]]:
    """Runs of quoted paragraphs: first and last block number, and how deep."""
    found: list[tuple[int, int, int]] = []
    for block in documents.blocks_of(document):
        level = block.blockFormat().intProperty(0x1080)  # QTextFormat::BlockQuoteLevel
        if not level:
            continue
        number = block.blockNumber()
        if found and found[-1][1] == number - 1 and found[-1][2] == level:
            found[-1] = (found[-1][0], number, level)
        else:
            found.append((number, number, level))
    return found


def _append(text: str, document: QTextDocument) -> bool:
    documents.append_plain(document, text)
    return True


def _code_maker(shown: str, style: Style) -> Callable[[], QTextDocument]:
    return partial(documents.plain_document, shown, style.mono, style.theme.text, wrap_anywhere=True)


class CodeSegment(TextSegment):
    """Code, with its language in the corner; colours come when the worker has them."""

    def __init__(
        self, style: Style, shelf: DocumentShelf, block: Code | b.Output, lines: int, highlighter: Highlighter
    ) -> None:
        self.shown, self.total_lines = head_of(block.text, lines)
        super().__init__(style, shelf, _code_maker(self.shown, style), pad=PAD, background=style.theme.code_background)
        self.language = block.language
        self._highlighter = highlighter
        self.closed = not isinstance(block, Code) or block.closed
        self.colored = False

    def color(self) -> None:
        """Take the colours if they are there."""
        if self.colored or not self.closed or not self.language or self._document is None:
            return
        spans = self._highlighter.spans(self.shown, self.language)
        if spans is not None:
            self.colored = True
            if spans:
                documents.color_code(self._document, self.shown, spans, self.style)

    def _on_made(self, document: QTextDocument) -> None:
        self.color()

    def release(self) -> None:
        super().release()
        self.colored = False

    def grow(self, text: str, lines: int) -> bool:
        """Continue an open block; False if it has to be built anew."""
        shown, total = head_of(text, lines)
        if not shown.startswith(self.shown):
            return False
        if len(shown) > len(self.shown):
            self.growing(partial(_append, shown[len(self.shown) :]), _code_maker(shown, self.style))
        self.shown, self.total_lines = shown, total
        return True

    def paint(self, painting: Painting) -> None:
        self.color()
        super().paint(painting)
        if self.language and self.width > 240:
            painter = painting.painter
            painter.setFont(self.style.mono_small)
            painter.setPen(self.style.theme.text_muted)
            label = QRectF(0, 3, self.width - PAD, self.style.tag_line)
            painter.drawText(label, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, self.language)


class DiffSegment(TextSegment):
    def __init__(self, style: Style, shelf: DocumentShelf, diff: b.Diff, lines: int) -> None:
        self.total_lines = len(diff.lines)
        self.last = min(lines, self.total_lines)
        super().__init__(
            style,
            shelf,
            partial(documents.diff_document, diff, 0, self.last, style),
            pad=6,
            background=style.theme.code_background,
        )


class PlanSegment(TextSegment):
    """A checklist."""

    gap = 2

    def __init__(self, style: Style, shelf: DocumentShelf, plan: b.Plan) -> None:
        colors = style.theme
        self._items = plan.items
        parts: list[tuple[str, QFont, QColor]] = []
        for item in plan.items:
            if item.status == "completed":
                parts.append((item.text, style.body, colors.text_muted))
            elif item.status == "in_progress":
                parts.append((item.text, style.bold, colors.text))
            else:
                parts.append((item.text, style.body, colors.text))
        make = partial(documents.styled_document, parts, style.body)
        super().__init__(style, shelf, make, pad=4, indent=22)

    def paint(self, painting: Painting) -> None:
        super().paint(painting)
        document = self.document
        layout = document.documentLayout()
        side = 12
        for number, item in enumerate(self._items):
            rect = layout.blockBoundingRect(document.findBlockByNumber(number))
            box = QRectF(6, self.document_at.y() + rect.top() + (self.style.line - side) / 2 + 1, side, side)
            painter = painting.painter
            colors = self.style.theme
            if item.status == "completed":
                theme.paint_status(painter, box, SessionStatus.COMPLETED, color=colors.text_muted)
            elif item.status == "in_progress":
                theme.paint_status(painter, box, SessionStatus.RUNNING, color=colors.accent)
            else:
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(QPen(colors.border_strong, 1.4))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(box.adjusted(1, 1, -1, -1))


class QuestionSegment(TextSegment):
    """A permission question and its answer."""

    def __init__(self, style: Style, shelf: DocumentShelf, question: b.Question) -> None:
        colors = style.theme
        self._question = question
        is_open = question.state == "open"
        parts = [(question.title, style.bold, colors.text if is_open else colors.text_muted)]
        if question.command and question.command != question.title:
            parts.append((question.command, style.mono, colors.text if is_open else colors.text_muted))
        if question.answer:
            color = colors.error if question.positive is False else colors.text_muted
            parts.append((question.answer, style.body, color))
        elif is_open:
            parts.append(("Waiting for an answer — see below the transcript", style.body, colors.attention))
        super().__init__(
            style,
            shelf,
            partial(documents.styled_document, parts, style.body),
            pad=PAD,
            background=colors.attention_background if is_open else colors.surface_raised,
            indent=24,
        )

    def paint(self, painting: Painting) -> None:
        super().paint(painting)
        colors = self.style.theme
        box = QRectF(PAD + 1, PAD + (self.style.line - 14) / 2 + 1, 14, 14)
        painter = painting.painter
        if self._question.state == "open":
            theme.paint_status(painter, box, SessionStatus.WAITING, WaitingFor.APPROVAL)
            painter.setPen(QPen(colors.attention, 1))
        else:
            answered = {True: SessionStatus.COMPLETED, False: SessionStatus.FAILED}
            shape = SessionStatus.SPAWNING
            if self._question.positive is not None:
                shape = answered[self._question.positive]
            color = colors.error if self._question.positive is False else colors.text_muted
            theme.paint_status(painter, box, shape, color=color)
            painter.setPen(QPen(colors.border, 1))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(0.5, 0.5, self.width - 1, self.height - 1), RADIUS, RADIUS)


class NoticeSegment(TextSegment):
    """One quiet line (or a loud one) from the system."""

    def __init__(self, style: Style, shelf: DocumentShelf, notice: b.Notice) -> None:
        colors = {"error": style.theme.error, "warning": style.theme.warning}
        self._color = colors.get(notice.level, style.theme.text_muted)
        self._level = notice.level
        words = {"error": "Error: ", "warning": "Warning: "}
        text = (
            notice.text
            if notice.text.lower().startswith(("error", "warning"))
            else words.get(notice.level, "") + notice.text
        )
        super().__init__(style, shelf, partial(documents.plain_document, text, style.body, self._color))


class Line(Segment):
    """A segment of one line of text."""

    extent = 24

    def lay_out(self, width: int) -> None:
        self.width, self.height = width, theme.metrics.high(self.extent)


class ToolHeadSegment(Line):
    """Kind, title, what is inside, how it stands. A click opens and closes it."""

    action = "toggle"
    extent = 30

    def __init__(self, style: Style, head: b.ToolHead, *, expanded: bool) -> None:
        super().__init__(style)
        self._head, self._expanded = head, expanded

    def paint(self, painting: Painting) -> None:
        painter, style, head = painting.painter, self.style, self._head
        colors = style.theme
        middle = self.height / 2
        paint_chevron(painter, QPointF(PAD + 4, middle), expanded=self._expanded, color=colors.text_muted)
        x = PAD + 16.0
        word = _TOOL_WORDS.get(head.kind, "tool")
        painter.setFont(style.mono_small)
        metrics = QFontMetrics(style.mono_small)
        high = metrics.height() + 4
        chip = QRectF(x, middle - high / 2, metrics.horizontalAdvance(word) + 10, high)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(style.chip)
        painter.drawRoundedRect(chip, 3, 3)
        painter.setPen(colors.text_muted)
        painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, word)
        x = chip.right() + 8
        right = self.width - PAD - 14.0
        failed = head.status == "failed"
        color = colors.error if failed else colors.accent if head.status == "in_progress" else colors.text_muted
        theme.paint_status(
            painter,
            QRectF(right, middle - 7, 14, 14),
            _TOOL_SHAPES.get(head.status, SessionStatus.SPAWNING),
            color=color,
        )
        right -= 8
        detail = "failed" if failed else head.detail if head.status == "completed" else ""
        if head.status == "in_progress":
            detail = "running"
        elif head.status == b.UNFINISHED:
            detail = "did not finish"
        small = QFontMetrics(style.small)
        space = small.horizontalAdvance(detail)
        if detail and right - space - x > 120:
            painter.setFont(style.small)
            painter.setPen(color if failed or head.status == "in_progress" else colors.text_muted)
            box = QRectF(right - space, 0, space, self.height)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, detail)
            right -= space + 10
        painter.setFont(style.body)
        painter.setPen(colors.text)
        title = QFontMetrics(style.body).elidedText(head.title, Qt.TextElideMode.ElideMiddle, int(right - x))
        painter.drawText(QRectF(x, 0, right - x, self.height), Qt.AlignmentFlag.AlignVCenter, title)

    def spoken_action(self) -> str:
        return "Close" if self._expanded else "Open"


class FoldSegment(Line):
    """First line of a thought or a plan."""

    action = "toggle"

    def __init__(self, style: Style, fold: b.Fold, *, expanded: bool, quiet: bool) -> None:
        super().__init__(style)
        self._fold, self._expanded, self._quiet = fold, expanded, quiet

    def paint(self, painting: Painting) -> None:
        painter, style, fold = painting.painter, self.style, self._fold
        colors = style.theme
        middle = self.height / 2
        inset = 0.0 if self._quiet else float(PAD)
        paint_chevron(painter, QPointF(inset + 4, middle), expanded=self._expanded, color=colors.text_muted)
        x = inset + 16
        font = style.italic if self._quiet else style.bold
        painter.setFont(font)
        painter.setPen(colors.thought if self._quiet else colors.text)
        painter.drawText(QRectF(x, 0, self.width - x, self.height), Qt.AlignmentFlag.AlignVCenter, fold.title)
        x += QFontMetrics(font).horizontalAdvance(fold.title) + 10
        space = self.width - x - inset
        if fold.detail and space > 60:
            painter.setFont(style.italic if self._quiet else style.body)
            painter.setPen(colors.text_muted)
            text = QFontMetrics(painter.font()).elidedText(fold.detail, Qt.TextElideMode.ElideRight, int(space))
            painter.drawText(QRectF(x, 0, space, self.height), Qt.AlignmentFlag.AlignVCenter, text)

    def spoken_action(self) -> str:
        return "Close" if self._expanded else "Open"


class LabelSegment(Line):
    extent = 20
    gap = 6

    def __init__(self, style: Style, label: b.Label) -> None:
        super().__init__(style)
        self._label = label

    def paint(self, painting: Painting) -> None:
        painter, style = painting.painter, self.style
        painter.setFont(style.small)
        painter.setPen(style.theme.text_muted)
        metrics = QFontMetrics(style.small)
        detail = metrics.horizontalAdvance(self._label.detail)
        flags = Qt.AlignmentFlag.AlignVCenter
        text = metrics.elidedText(self._label.text, Qt.TextElideMode.ElideMiddle, self.width - detail - 12)
        painter.drawText(QRectF(0, 0, self.width, self.height), flags, text)
        painter.drawText(QRectF(0, 0, self.width, self.height), flags | Qt.AlignmentFlag.AlignRight, self._label.detail)


class MoreSegment(Line):
    """ "Show more" below something that is not shown whole."""

    action = "more"
    gap = 0

    def __init__(self, style: Style, text: str, block: int) -> None:
        super().__init__(style)
        self.text, self.block = text, block

    def paint(self, painting: Painting) -> None:
        painter = painting.painter
        font = QFont(self.style.small)
        font.setUnderline(painting.hovered)
        painter.setFont(font)
        painter.setPen(self.style.theme.accent)
        text = QFontMetrics(font).elidedText(self.text, Qt.TextElideMode.ElideRight, self.width)
        painter.drawText(QRectF(0, 0, self.width, self.height), Qt.AlignmentFlag.AlignVCenter, text)

    def spoken_action(self) -> str:
        return self.text


def paint_chevron(painter: QPainter, center: QPointF, *, expanded: bool, color: QColor) -> None:
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(color, 1.6)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.translate(center)
    if expanded:
        painter.rotate(90)
    painter.drawPolyline([QPointF(-2, -4), QPointF(2, 0), QPointF(-2, 4)])
    painter.restore()


def head_of(text: str, lines: int) -> tuple[str, int]:
    """The first `lines` lines (and so many characters as that many steps allow), and how many lines there are."""
    total = text.count("\n") + 1
    limit = STEP_CHARS * max(1, lines // CODE_LINES)
    position = -1
    if total > lines:
        for _ in range(lines):
            position = text.find("\n", position + 1)
    shown = text if position < 0 else text[:position]
    if len(shown) > limit:
        cut = shown.rfind("\n", 0, limit)
        shown = shown[: cut if cut > limit // 2 else limit]
    return shown, total


SegmentMaker = Callable[[], Segment]
