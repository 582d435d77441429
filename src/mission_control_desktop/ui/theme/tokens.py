"""Colours of the window, by meaning. Grey is normal; colour is kept for what is abnormal or needs a person.

The idea is that of process control rooms (ISA-101): a calm, grey display on which what matters stands out.
Every colour that carries text has a contrast of at least 4.5:1 on `window`, `surface` and `surface_raised`
(WCAG 2.2, 1.4.3), every shape and border that carries meaning at least 3:1 (1.4.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from PySide6.QtGui import QColor

from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor


def _colors(**values: str) -> Mapping[str, QColor]:
    return MappingProxyType({name: QColor(value) for name, value in values.items()})


@dataclass(frozen=True)
class Theme:
    """One scheme's colours. `status` is keyed by `SessionStatus` value, `role` by `MessageRole` value."""

    name: str
    dark: bool
    window: QColor
    """Behind everything."""
    surface: QColor
    """Of a panel, a list, a drawer."""
    surface_raised: QColor
    """Of what lies on a surface: inputs, cards, messages."""
    text: QColor
    text_muted: QColor
    disabled: QColor
    """Text of what cannot be used now; its outline is dashed as well."""
    border: QColor
    """A quiet line between things."""
    border_strong: QColor
    """The outline of something that can be used (3:1)."""
    hover: QColor
    selection: QColor
    """Behind selected text and rows; `text` keeps its contrast on it."""
    accent: QColor
    on_accent: QColor
    focus: QColor
    attention: QColor
    """A person is needed."""
    attention_background: QColor
    warning: QColor
    error: QColor
    error_background: QColor
    danger: QColor
    """Fill of the button that kills."""
    on_danger: QColor
    thought: QColor
    code_background: QColor
    diff_added: QColor
    """Behind an added line; `text` is readable on it."""
    diff_removed: QColor
    """Behind a removed line; `text` is readable on it."""
    status: Mapping[str, QColor] = field(default_factory=dict)
    role: Mapping[str, QColor] = field(default_factory=dict)

    def status_color(self, status: SessionStatus, waiting_for: WaitingFor | None = None) -> QColor:
        """Colour of a status; waiting is coloured only where a person is what it waits for."""
        if status is SessionStatus.WAITING:
            if waiting_for is WaitingFor.APPROVAL:
                return self.attention
            if waiting_for in (WaitingFor.CHILDREN, WaitingFor.PROVIDER):
                return self.text_muted
        return self.status[status.value]


LIGHT = Theme(
    name="light",
    dark=False,
    window=QColor("#e7e9ec"),
    surface=QColor("#f3f4f6"),
    surface_raised=QColor("#fdfdfe"),
    text=QColor("#1b1f24"),
    text_muted=QColor("#535b66"),
    disabled=QColor("#626973"),
    border=QColor("#cbd0d6"),
    border_strong=QColor("#7b838e"),
    hover=QColor("#dde1e6"),
    selection=QColor("#c9dbf2"),
    accent=QColor("#1c5aa3"),
    on_accent=QColor("#ffffff"),
    focus=QColor("#1c5aa3"),
    attention=QColor("#8a4b00"),
    attention_background=QColor("#fbe8cf"),
    warning=QColor("#7d5200"),
    error=QColor("#b0201a"),
    error_background=QColor("#fbe0dd"),
    danger=QColor("#b0201a"),
    on_danger=QColor("#ffffff"),
    thought=QColor("#5b5570"),
    code_background=QColor("#e9ebee"),
    diff_added=QColor("#d6ecd9"),
    diff_removed=QColor("#f6d9d7"),
    status=_colors(
        spawning="#535b66",
        running="#33403a",
        waiting="#1c5aa3",
        paused="#5a3f99",
        completed="#535b66",
        failed="#b0201a",
        killed="#7c3050",
    ),
    role=_colors(agent="#1b1f24", user="#1c5aa3", operator="#8a4b00", system="#535b66"),
)

DARK = Theme(
    name="dark",
    dark=True,
    window=QColor("#15171a"),
    surface=QColor("#1c1f23"),
    surface_raised=QColor("#25292e"),
    text=QColor("#e2e5e9"),
    text_muted=QColor("#a0a8b3"),
    disabled=QColor("#8a929c"),
    border=QColor("#363b42"),
    border_strong=QColor("#78818d"),
    hover=QColor("#2c3137"),
    selection=QColor("#243c5a"),
    accent=QColor("#86b6f0"),
    on_accent=QColor("#0e1726"),
    focus=QColor("#86b6f0"),
    attention=QColor("#f0b35e"),
    attention_background=QColor("#3d2e17"),
    warning=QColor("#e3bd6f"),
    error=QColor("#f58f86"),
    error_background=QColor("#45201e"),
    danger=QColor("#b3332c"),
    on_danger=QColor("#ffffff"),
    thought=QColor("#b3acc9"),
    code_background=QColor("#1a1d21"),
    diff_added=QColor("#1e3a26"),
    diff_removed=QColor("#46211f"),
    status=_colors(
        spawning="#a0a8b3",
        running="#c3cfc8",
        waiting="#86b6f0",
        paused="#bda9f2",
        completed="#a0a8b3",
        failed="#f58f86",
        killed="#dc9ab8",
    ),
    role=_colors(agent="#e2e5e9", user="#86b6f0", operator="#f0b35e", system="#a0a8b3"),
)

CONTRAST = Theme(
    name="contrast",
    dark=True,
    window=QColor("#000000"),
    surface=QColor("#000000"),
    surface_raised=QColor("#101010"),
    text=QColor("#ffffff"),
    text_muted=QColor("#d8d8d8"),
    disabled=QColor("#9c9c9c"),
    border=QColor("#8c8c8c"),
    border_strong=QColor("#ffffff"),
    hover=QColor("#2e2e2e"),
    selection=QColor("#00408a"),
    accent=QColor("#6fc3ff"),
    on_accent=QColor("#000000"),
    focus=QColor("#ffe14d"),
    attention=QColor("#ffc042"),
    attention_background=QColor("#2b1d00"),
    warning=QColor("#ffd75e"),
    error=QColor("#ffb0a8"),
    error_background=QColor("#380503"),
    danger=QColor("#c21712"),
    on_danger=QColor("#ffffff"),
    thought=QColor("#d9cfff"),
    code_background=QColor("#141414"),
    diff_added=QColor("#00381a"),
    diff_removed=QColor("#4a0a08"),
    status=_colors(
        spawning="#d8d8d8",
        running="#ffffff",
        waiting="#6fc3ff",
        paused="#d3bfff",
        completed="#d8d8d8",
        failed="#ffb0a8",
        killed="#ffb0d2",
    ),
    role=_colors(agent="#ffffff", user="#6fc3ff", operator="#ffc042", system="#d8d8d8"),
)

THEMES = (LIGHT, DARK, CONTRAST)


def contrast(a: QColor, b: QColor) -> float:
    """Contrast ratio of two opaque colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: QColor) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF())
