"""Fonts and sizes. Lengths are device-independent pixels; no text is smaller than 11."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication

MINIMUM_PIXELS = 11

_UI_FAMILIES = ["Inter", "Noto Sans", "Cantarell", "Segoe UI", "SF Pro Text", "DejaVu Sans"]
_MONO_FAMILIES = ["JetBrains Mono", "Noto Sans Mono", "Cascadia Mono", "SF Mono", "DejaVu Sans Mono"]


@dataclass(frozen=True)
class Metrics:
    """Distances and sizes in device-independent pixels."""

    gap_small: int = 4
    gap: int = 8
    gap_large: int = 16
    margin: int = 12
    radius: int = 4
    row: int = 28
    control: int = 28
    header: int = 48
    icon: int = 16
    text_small: int = 12
    text: int = 13
    text_large: int = 15
    text_title: int = 20


metrics = Metrics()


def ui_font(pixels: int = metrics.text, *, bold: bool = False) -> QFont:
    """The window's font. Needs a QGuiApplication."""
    return QFont(_ui_font(pixels, bold))


def mono_font(pixels: int = metrics.text, *, bold: bool = False) -> QFont:
    """For code, commands and ids. Needs a QGuiApplication."""
    return QFont(_mono_font(pixels, bold))


# Looking through the installed families takes about a millisecond, and delegates ask for fonts several times a row:
# each font is made once.
@lru_cache(maxsize=64)
def _ui_font(pixels: int, bold: bool) -> QFont:
    return _made(QFont(QGuiApplication.font()), _UI_FAMILIES, pixels, bold)


@lru_cache(maxsize=64)
def _mono_font(pixels: int, bold: bool) -> QFont:
    return _made(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont), _MONO_FAMILIES, pixels, bold)


def _made(font: QFont, families: list[str], pixels: int, bold: bool) -> QFont:
    """Take the first family that is installed, and let the others stand in for glyphs that it lacks."""
    installed = set(QFontDatabase.families())
    present = [family for family in families if family in installed]
    if present:
        font.setFamilies([*present, *[f for f in font.families() if f not in present]])
    font.setPixelSize(max(pixels, MINIMUM_PIXELS))
    font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    return font
