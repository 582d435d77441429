"""Text of blocks as QTextDocuments that can never load anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from PySide6.QtCore import QUrl
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetricsF,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFrameFormat,
    QTextLayout,
    QTextLength,
    QTextLine,
    QTextOption,
    QTextTable,
)

from mission_control_desktop.ui.transcript.blocks import Diff
from mission_control_desktop.ui.transcript.highlight import Spans, code_color
from mission_control_desktop.ui.transcript.markdown import Prose
from mission_control_desktop.ui.transcript.style import Style

LINE_SPACING = 122.0
"""Per cent of the font's own line height."""
LIST_INDENT = 22.0
QUOTE_INDENT = 14.0
_HEADING_SCALE = (1.35, 1.2, 1.08, 1.0, 1.0, 1.0)
_FEATURES = QTextDocument.MarkdownFeature(
    QTextDocument.MarkdownFeature.MarkdownDialectGitHub.value | QTextDocument.MarkdownFeature.MarkdownNoHTML.value
)


class InertDocument(QTextDocument):
    """Shows text and nothing from outside: no image, no style sheet, no file is ever read for it."""

    def __init__(self, font: QFont) -> None:
        super().__init__()
        self.setUndoRedoEnabled(False)
        self.setDocumentMargin(0)
        self.setDefaultFont(font)

    def loadResource(self, kind: int, name: QUrl | str) -> Any:
        return None


def prose_document(block: Prose, style: Style, color: QColor) -> QTextDocument:
    """A Markdown block, laid out in our type."""
    document = InertDocument(style.body)
    document.setIndentWidth(LIST_INDENT)
    source = f"{block.text}\n\n{block.definitions}\n" if block.definitions else block.text
    document.setMarkdown(source, _FEATURES)
    _dress(document, style, color)
    return document


_SIMPLE = re.compile(r"[^\W\d_](?:[^\W_]|[ ,.;:()'\"!?%+=/-])*")
_LINKS = ("//", "www.", "  ")


def simple(text: str) -> bool:
    """Whether a Markdown block is one line of plain words, that is without anything to interpret."""
    return _SIMPLE.fullmatch(text) is not None and not any(mark in text.lower() for mark in _LINKS)


def continue_prose(document: QTextDocument, before: Prose, now: Prose) -> bool:
    """Append to the document of a paragraph of plain words. False where it has to be made anew."""
    # The beginning of what is simple is simple, too.
    if not before.text or not now.text.startswith(before.text) or now.definitions or not simple(now.text):
        return False
    append_plain(document, now.text.rstrip()[len(before.text.rstrip()) :])
    return True


def plain_document(text: str, font: QFont, color: QColor, *, wrap_anywhere: bool = False) -> QTextDocument:
    """Text as it is."""
    document = InertDocument(font)
    option = QTextOption()
    if wrap_anywhere:
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        option.setTabStopDistance(4 * QFontMetricsF(font).horizontalAdvance(" "))
    else:
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    document.setDefaultTextOption(option)
    document.setPlainText(text)
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    cursor.select(QTextCursor.SelectionType.Document)
    spaced = QTextBlockFormat()
    spaced.setLineHeight(118.0, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    cursor.mergeBlockFormat(spaced)
    ink = QTextCharFormat()
    ink.setForeground(QBrush(color))
    cursor.mergeCharFormat(ink)
    cursor.endEditBlock()
    return document


def append_plain(document: QTextDocument, text: str) -> None:
    """Continue a plain document."""
    cursor = QTextCursor(document)
    # As one edit: outside of one, to move a cursor lays out the text a second time, to know its place on the line.
    cursor.beginEditBlock()
    cursor.setPosition(document.characterCount() - 1)
    cursor.insertText(text)
    cursor.endEditBlock()


class LastLine(NamedTuple):
    """Where the last line of a document begins: in its text (UTF-16 units), and how far from the top."""

    position: int
    top: float


def last_line(document: QTextDocument) -> LastLine | None:
    """None while nothing is laid out."""
    block = document.lastBlock()
    layout = block.layout()
    if (count := layout.lineCount()) == 0:
        return None
    line = layout.lineAt(count - 1)
    return LastLine(block.position() + line.textStart(), _line_top(document, block, line))


def stands(document: QTextDocument, line: LastLine) -> bool:
    """Whether a line still begins where it did: then all that is above it looks as it did."""
    block = document.findBlock(line.position)
    now = block.layout().lineForTextPosition(line.position - block.position())
    return (
        now.isValid()
        and block.position() + now.textStart() == line.position
        and _line_top(document, block, now) == line.top
    )


def _line_top(document: QTextDocument, block: QTextBlock, line: QTextLine) -> float:
    return document.documentLayout().blockBoundingRect(block).top() + line.y()


def color_code(document: QTextDocument, code: str, spans: Spans, style: Style) -> None:
    """Put code colours on a document of this code; the text stays as it is."""
    formats: dict[str, QTextCharFormat] = {}
    ranges: dict[int, list[QTextLayout.FormatRange]] = {}
    units = _utf16(code)
    for start, length, name in spans:
        if name not in formats:
            formats[name] = QTextCharFormat()
            formats[name].setForeground(QBrush(code_color(style.theme, name)))
        position, end = (start, start + length) if units is None else (units[start], units[start + length])
        block = document.findBlock(position)
        while block.isValid() and position < end:
            stop = min(end, block.position() + block.length())
            piece = QTextLayout.FormatRange()
            piece.start = position - block.position()
            piece.length = stop - position
            piece.format = formats[name]
            ranges.setdefault(block.blockNumber(), []).append(piece)
            position, block = stop, block.next()
    for number, pieces in ranges.items():
        block = document.findBlockByNumber(number)
        block.layout().setFormats(pieces)
        document.markContentsDirty(block.position(), block.length())


def diff_document(diff: Diff, first: int, last: int, style: Style) -> QTextDocument:
    """Lines `first` to `last` - 1 of a change; sign and background say what happened to each."""
    document = InertDocument(style.mono)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    option.setTabStopDistance(4 * QFontMetricsF(style.mono).horizontalAdvance(" "))
    document.setDefaultTextOption(option)
    cursor = QTextCursor(document)
    backgrounds = {"+": QBrush(style.theme.diff_added), "-": QBrush(style.theme.diff_removed)}
    hanging = 2 * QFontMetricsF(style.mono).horizontalAdvance(" ")
    text = QTextCharFormat()
    text.setForeground(QBrush(style.theme.text))
    quiet = QTextCharFormat()
    quiet.setForeground(QBrush(style.theme.text_muted))
    cursor.beginEditBlock()
    for number, line in enumerate(diff.lines[first:last]):
        shape = QTextBlockFormat()
        shape.setLeftMargin(hanging)
        shape.setTextIndent(-hanging)
        shape.setLineHeight(118.0, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        if (background := backgrounds.get(line.sign)) is not None:
            shape.setBackground(background)
        if number:
            cursor.insertBlock(shape)
        else:
            cursor.setBlockFormat(shape)
        sign = " " if line.sign == "@" else {"-": "−"}.get(line.sign, line.sign)
        cursor.insertText(f"{sign} {line.text}", quiet if line.sign == "@" else text)
    cursor.endEditBlock()
    return document


def styled_document(parts: list[tuple[str, QFont, QColor]], font: QFont) -> QTextDocument:
    """Paragraphs, each in its own font and colour."""
    document = InertDocument(font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    document.setDefaultTextOption(option)
    cursor = QTextCursor(document)
    for number, (text, part_font, color) in enumerate(parts):
        shape = QTextBlockFormat()
        shape.setLineHeight(118.0, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        look = QTextCharFormat()
        look.setFont(part_font)
        look.setForeground(QBrush(color))
        if number:
            shape.setTopMargin(4)
            cursor.insertBlock(shape, look)
        else:
            cursor.setBlockFormat(shape)
        cursor.insertText(text, look)
    return document


def blocks_of(document: QTextDocument) -> Iterator[QTextBlock]:
    block = document.begin()
    while block.isValid():
        yield block
        block = block.next()


# -- Markdown's looks ------------------------------------------------------------------------------------------------


def _dress(document: QTextDocument, style: Style, color: QColor) -> None:
    """Sizes, distances and colours: Qt's Markdown import leaves those of a printed page."""
    everything = QTextCursor(document)
    # One edit: otherwise Qt lays the text out for each cursor that is placed after each change.
    everything.beginEditBlock()
    try:
        _dress_all(document, everything, style, color)
    finally:
        everything.endEditBlock()


def _dress_all(document: QTextDocument, everything: QTextCursor, style: Style, color: QColor) -> None:
    everything.select(QTextCursor.SelectionType.Document)
    ink = QTextCharFormat()
    ink.setForeground(QBrush(color))
    everything.mergeCharFormat(ink)
    if _has_images(document):
        _name_images(document, style)
    first, last = document.begin(), document.lastBlock()
    for block in blocks_of(document):
        _dress_block(block, style, first=block == first, last=block == last)
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            _dress_table(frame, style)


def _dress_block(block: QTextBlock, style: Style, *, first: bool, last: bool) -> None:
    shape = QTextBlockFormat()
    old = block.blockFormat()
    in_list = block.textList() is not None
    code = old.hasProperty(QTextFormat.Property.BlockCodeFence) or old.hasProperty(
        QTextFormat.Property.BlockCodeLanguage
    )
    shape.setLineHeight(118.0 if code else LINE_SPACING, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    shape.setTopMargin(0 if first else (3 if in_list or code else 6))
    shape.setBottomMargin(0 if last else (3 if in_list or code else 6))
    quote = old.intProperty(QTextFormat.Property.BlockQuoteLevel)
    if quote:
        shape.setLeftMargin(QUOTE_INDENT * quote)
        shape.setRightMargin(0)
    if code:
        shape.setBackground(QBrush(style.theme.code_background))
        shape.setNonBreakableLines(False)
    cursor = QTextCursor(block)
    cursor.mergeBlockFormat(shape)
    heading = old.headingLevel()
    if heading:
        cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
        look = QTextCharFormat()
        font = QFont(style.bold)
        font.setPixelSize(round(style.body.pixelSize() * _HEADING_SCALE[min(heading, 6) - 1]))
        look.setFont(font, QTextCharFormat.FontPropertiesInheritanceBehavior.FontPropertiesSpecifiedOnly)
        look.setProperty(QTextFormat.Property.FontSizeAdjustment, 0)
        cursor.mergeCharFormat(look)
    _dress_fragments(block, style, code=code, quoted=bool(quote))


def _dress_fragments(block: QTextBlock, style: Style, *, code: bool, quoted: bool) -> None:
    pieces: list[tuple[int, int, QTextCharFormat]] = []
    iterator = block.begin()
    while not iterator.atEnd():
        fragment = iterator.fragment()
        look = fragment.charFormat()
        change = QTextCharFormat()
        if look.isAnchor():
            change.setForeground(QBrush(style.theme.accent))
            change.setFontUnderline(True)
        if look.fontFixedPitch() or code:
            change.setFontFamilies(style.mono.families())
            change.setProperty(QTextFormat.Property.FontPixelSize, style.mono.pixelSize())
            if not code:
                change.setBackground(QBrush(style.chip))
        elif quoted and not look.isAnchor():
            change.setForeground(QBrush(style.theme.text_muted))
        if change.propertyCount():
            pieces.append((fragment.position(), fragment.length(), change))
        iterator += 1
    for position, length, change in pieces:
        cursor = QTextCursor(block)
        cursor.setPosition(position)
        cursor.setPosition(position + length, QTextCursor.MoveMode.KeepAnchor)
        cursor.mergeCharFormat(change)


def _dress_table(table: QTextTable, style: Style) -> None:
    shape = table.format()
    shape.setBorder(1)
    shape.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    shape.setBorderBrush(QBrush(style.theme.border))
    shape.setBorderCollapse(True)
    shape.setCellPadding(5)
    shape.setCellSpacing(0)
    shape.setTopMargin(2)
    shape.setBottomMargin(2)
    shape.setWidth(QTextLength(QTextLength.Type.VariableLength, 0))
    table.setFormat(shape)
    for column in range(table.columns()):
        cell = table.cellAt(0, column)
        look = cell.format()
        look.setBackground(QBrush(style.chip))
        cell.setFormat(look)
        for row in range(table.rows()):
            cursor = table.cellAt(row, column).firstCursorPosition()
            tight = QTextBlockFormat()
            tight.setTopMargin(0)
            tight.setBottomMargin(0)
            cursor.mergeBlockFormat(tight)


def _has_images(document: QTextDocument) -> bool:
    return not document.find("\N{OBJECT REPLACEMENT CHARACTER}").isNull()


def _name_images(document: QTextDocument, style: Style) -> None:
    """Images are not shown: their description is, as a link to where they are."""
    cursor = document.find("\N{OBJECT REPLACEMENT CHARACTER}")
    while not cursor.isNull():
        look = cursor.charFormat()
        if look.isImageFormat():
            image = look.toImageFormat()
            name = image.property(QTextFormat.Property.ImageAltText) or image.name()
            link = QTextCharFormat()
            link.setAnchor(True)
            link.setAnchorHref(image.name())
            link.setForeground(QBrush(style.theme.accent))
            cursor.insertText(f"image: {name}", link)
        document_position = cursor.position()
        cursor = document.find("\N{OBJECT REPLACEMENT CHARACTER}", document_position)


def _utf16(text: str) -> list[int] | None:
    """Offset in UTF-16 units of each code point (and the end), or None where they are the same."""
    if text.isascii() or max(text, default="") <= "\uffff":
        return None
    offsets = [0]
    for character in text:
        offsets.append(offsets[-1] + (2 if character > "\uffff" else 1))
    return offsets
