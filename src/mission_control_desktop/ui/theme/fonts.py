"""Fonts and sizes. Lengths are device-independent pixels; no text is smaller than 11."""

from __future__ import annotations

from functools import cache, lru_cache

from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication

from mission_control_desktop.ui.theme.appearance import MINIMUM_PIXELS, appearance

_UI_FAMILIES = ["Inter", "Noto Sans", "Cantarell", "Segoe UI", "SF Pro Text", "DejaVu Sans"]
_MONO_FAMILIES = ["JetBrains Mono", "Noto Sans Mono", "Cascadia Mono", "SF Mono", "DejaVu Sans Mono"]
_PLAIN = 13
"""The size of running text that lengths are given for."""


class Metrics:
    """Distances and sizes in device-independent pixels, for the density and the size of text in effect. Ask whenever
    something is laid out or painted; what is kept is kept through `live`."""

    radius = 4
    icon = 16

    @property
    def compact(self) -> bool:
        return appearance().density == "compact"

    @property
    def gap_small(self) -> int:
        return 2 if self.compact else 4

    @property
    def gap(self) -> int:
        return 5 if self.compact else 8

    @property
    def gap_large(self) -> int:
        return 10 if self.compact else 16

    @property
    def margin(self) -> int:
        return 8 if self.compact else 12

    @property
    def row(self) -> int:
        """Of a list with one line."""
        return self.high(23 if self.compact else 28)

    @property
    def header(self) -> int:
        return self.high(40 if self.compact else 48)

    @property
    def text_small(self) -> int:
        return max(MINIMUM_PIXELS, self.text - 1)

    @property
    def text(self) -> int:
        return appearance().text

    @property
    def text_large(self) -> int:
        return self.text + 2

    @property
    def text_title(self) -> int:
        return self.text + 7

    @staticmethod
    def high(plain: int, lines: int = 1) -> int:
        """What is `plain` high with text of 13 pixels, for the text in effect."""
        return max(plain, plain + round((appearance().text - _PLAIN) * 1.3 * lines))


metrics = Metrics()


def ui_font(pixels: int | None = None, *, bold: bool = False) -> QFont:
    """The window's font; without a size that of running text. Needs a QGuiApplication."""
    return QFont(_ui_font(metrics.text if pixels is None else pixels, bold))


def mono_font(pixels: int | None = None, *, bold: bool = False) -> QFont:
    """For code, commands and ids. Needs a QGuiApplication."""
    return QFont(_mono_font(metrics.text if pixels is None else pixels, bold))


# Looking through the installed families takes about a millisecond, and delegates ask for fonts several times a row:
# each font is made once.
@lru_cache(maxsize=64)
def _ui_font(pixels: int, bold: bool) -> QFont:
    return _made(QFont(QGuiApplication.font()), _UI_FAMILIES, pixels, bold)


@lru_cache(maxsize=64)
def _mono_font(pixels: int, bold: bool) -> QFont:
    return _made(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont), _MONO_FAMILIES, pixels, bold)


@cache
def _installed() -> frozenset[str]:
    return frozenset(QFontDatabase.families())


def _made(font: QFont, families: list[str], pixels: int, bold: bool) -> QFont:
    """Take the first family that is installed, and let the others stand in for glyphs that it lacks."""
    present = [family for family in families if family in _installed()]
    if present:
        font.setFamilies([*present, *[f for f in font.families() if f not in present]])
    font.setPixelSize(max(pixels, MINIMUM_PIXELS))
    font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    return font
