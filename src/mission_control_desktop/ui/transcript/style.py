"""Fonts, colours and distances of the transcript, taken from the theme once and used by every row."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor, QFont, QFontMetrics

from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.ui import theme

MARGIN = 14
"""Between the panel's edge and text, in device-independent pixels (as all lengths here)."""
BAR = 3
"""Width of the coloured bar beside what people said."""
MAX_COLUMN = 880
"""Widest column of text: longer lines are hard to read."""
GROUP_GAP = 14
"""Above an entry that starts with who speaks."""
ENTRY_GAP = 6
"""Above an entry that goes on."""
BLOCK_GAP = 8
"""Between the blocks of one entry."""
PAD = 10
"""Inside cards and code."""
RADIUS = 5
UNREAD_HEIGHT = 22


def mixed(ink: QColor, paper: QColor, share: float) -> QColor:
    """`share` of the ink on the paper."""
    return QColor.fromRgbF(
        ink.redF() * share + paper.redF() * (1 - share),
        ink.greenF() * share + paper.greenF() * (1 - share),
        ink.blueF() * share + paper.blueF() * (1 - share),
    )


@dataclass(frozen=True)
class Style:
    """Everything a row needs to know to look right; made again when theme or font size change."""

    theme: theme.Theme
    body: QFont
    bold: QFont
    italic: QFont
    small: QFont
    tag: QFont
    mono: QFont
    mono_small: QFont
    line: int
    """Height of a line of body text."""
    tag_line: int
    chip: QColor
    """Behind code in running text."""

    def role_color(self, role: MessageRole) -> QColor:
        return self.theme.role[role.value]

    def tint(self, role: MessageRole) -> QColor | None:
        """Behind what people said, so that it is found when scrolling; None for everybody else."""
        if role in (MessageRole.OPERATOR, MessageRole.USER):
            return mixed(self.role_color(role), self.theme.surface, 0.08)
        return None


def make_style() -> Style:
    """The style of the theme in effect; no text is below 11 pixels."""
    sizes = theme.metrics
    body = theme.ui_font(sizes.text)
    italic = QFont(body)
    italic.setItalic(True)
    small = max(theme.MINIMUM_PIXELS, sizes.text - 2)
    tag = theme.ui_font(small, bold=True)
    tag.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, 0.4)
    current = theme.current()
    return Style(
        theme=current,
        body=body,
        bold=theme.ui_font(sizes.text, bold=True),
        italic=italic,
        small=theme.ui_font(sizes.text_small),
        tag=tag,
        mono=theme.mono_font(sizes.text_small),
        mono_small=theme.mono_font(small),
        line=QFontMetrics(body).height(),
        tag_line=QFontMetrics(tag).height(),
        chip=mixed(current.text, current.surface, 0.08),
    )
