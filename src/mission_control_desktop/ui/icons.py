"""Our icons: SVGs drawn in `currentColor`, rendered in the theme's colours and kept until the theme changes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton

from mission_control_desktop.ui import theme

_FOLDER = Path(__file__).parent / "resources" / "icons"
_RATIOS = (1.0, 1.5, 2.0)
_icons: dict[tuple[str, str, str], QIcon] = {}


@cache
def _source(name: str) -> str:
    return (_FOLDER / f"{name}.svg").read_text("utf-8")


def names() -> list[str]:
    """All icons there are."""
    return sorted(item.stem for item in _FOLDER.glob("*.svg"))


def icon(name: str, color: QColor | None = None) -> QIcon:
    """An icon in the colour of text (or `color`); its disabled state is muted."""
    ink = (color or theme.current().text).name()
    muted = theme.current().text_muted.name()
    key = (name, ink, muted)
    if (known := _icons.get(key)) is not None:
        return known
    result = QIcon()
    side = theme.metrics.icon
    for ratio in _RATIOS:
        result.addPixmap(pixmap(name, side, QColor(ink), ratio=ratio), QIcon.Mode.Normal)
        result.addPixmap(pixmap(name, side, QColor(muted), ratio=ratio), QIcon.Mode.Disabled)
    _icons[key] = result
    return result


def pixmap(name: str, side: int, color: QColor | None = None, *, ratio: float = 1.0) -> QPixmap:
    """One rendering, `side` device-independent pixels wide."""
    ink = color or theme.current().text
    image = QPixmap(round(side * ratio), round(side * ratio))
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    renderer = QSvgRenderer(QByteArray(_source(name).replace("currentColor", ink.name()).encode()))
    renderer.render(painter, QRectF(0, 0, image.width(), image.height()))
    painter.end()
    image.setDevicePixelRatio(ratio)
    return image


class _Bound(QObject):
    """Keeps a button's icon in the theme's colours; lives as long as the button."""

    def __init__(self, button: QAbstractButton, name: str) -> None:
        super().__init__(button)
        self._button, self._name = button, name
        theme.signals.theme_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        primary = self._button.property("kind") == "primary"
        self._button.setIcon(icon(self._name, theme.current().on_accent if primary else None))


def bind(button: QAbstractButton, name: str) -> None:
    """Give a button an icon that follows the theme. Set the button's `kind` before."""
    _Bound(button, name)


@cache
def app_icon() -> QIcon:
    """The program's icon, which has colours of its own."""
    result = QIcon()
    for side in (16, 24, 32, 48, 64, 128, 256):
        result.addPixmap(pixmap("app", side))
    return result
