"""A status is a shape and a word before it is a colour."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor
from mission_control_desktop.ui.theme.scheme import current, signals

ICON_RATIOS = (1.0, 2.0)
"""For screens at 100 % and at 200 %; for what is between them Qt scales the larger one down."""
MOST_ICONS = 128
"""Painted icons that are kept; all that there are now are some forty. A kept one has two pictures of 5 KiB."""
_icons: dict[Hashable, QIcon] = {}
signals.theme_changed.connect(_icons.clear)

_WAITING_TEXT = {
    WaitingFor.OPERATOR: "waiting for you",
    WaitingFor.APPROVAL: "needs approval",
    WaitingFor.CHILDREN: "waiting for sub-agents",
    WaitingFor.PROVIDER: "waiting for provider",
}
_WAITING_SHORT = {
    WaitingFor.OPERATOR: "waiting",
    WaitingFor.APPROVAL: "approval",
    WaitingFor.CHILDREN: "sub-agents",
    WaitingFor.PROVIDER: "provider",
}


def status_text(session: AgentSession, *, short: bool = False) -> str:
    """The words that go with the shape, e.g. "running", "needs approval", "paused (hold)"."""
    if session.status is SessionStatus.WAITING and session.waiting_for is not None:
        return (_WAITING_SHORT if short else _WAITING_TEXT)[session.waiting_for]
    if session.metadata.get("pausing"):
        return "pausing"
    if session.status is SessionStatus.PAUSED and not short and (level := session.metadata.get("pauseLevel")):
        return f"paused ({level})"
    return session.status.value


def paint_status(
    painter: QPainter,
    rect: QRectF,
    status: SessionStatus,
    waiting_for: WaitingFor | None = None,
    color: QColor | None = None,
) -> None:
    """Draw the status's shape into the square in the middle of `rect`."""
    side = min(rect.width(), rect.height())
    box = QRectF(rect.center().x() - side / 2, rect.center().y() - side / 2, side, side)
    box.adjust(side * 0.12, side * 0.12, -side * 0.12, -side * 0.12)
    ink = color or current().status_color(status, waiting_for)
    pen = QPen(ink, max(1.5, side / 8))
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    match status:
        case SessionStatus.RUNNING:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink)
            painter.drawPolygon(QPolygonF([_at(box, 0.12, 0), _at(box, 1, 0.5), _at(box, 0.12, 1)]))
        case SessionStatus.WAITING:
            painter.drawEllipse(box)
            if waiting_for is WaitingFor.APPROVAL:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(ink)
                mark = box.width() * 0.16
                painter.drawRect(
                    QRectF(box.center().x() - mark / 2, box.top() + box.height() * 0.22, mark, box.height() * 0.34)
                )
                painter.drawEllipse(_at(box, 0.5, 0.74), mark * 0.6, mark * 0.6)
        case SessionStatus.PAUSED:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink)
            bar = box.width() * 0.3
            painter.drawRect(QRectF(box.left() + box.width() * 0.1, box.top(), bar, box.height()))
            painter.drawRect(QRectF(box.right() - box.width() * 0.1 - bar, box.top(), bar, box.height()))
        case SessionStatus.COMPLETED:
            path = QPainterPath(_at(box, 0.02, 0.55))
            path.lineTo(_at(box, 0.36, 0.9))
            path.lineTo(_at(box, 0.98, 0.15))
            painter.drawPath(path)
        case SessionStatus.FAILED:
            painter.drawLine(_at(box, 0.08, 0.08), _at(box, 0.92, 0.92))
            painter.drawLine(_at(box, 0.92, 0.08), _at(box, 0.08, 0.92))
        case SessionStatus.KILLED:
            painter.drawRect(box)
            painter.drawLine(_at(box, 0.3, 0.3), _at(box, 0.7, 0.7))
            painter.drawLine(_at(box, 0.7, 0.3), _at(box, 0.3, 0.7))
        case SessionStatus.SPAWNING:
            pen.setDashPattern([0.1, 2.2])
            painter.setPen(pen)
            painter.drawEllipse(box)
    painter.restore()


def paint_level(painter: QPainter, rect: QRectF, level: str) -> None:
    """How a connection or a step of it is, as a shape: check, dotted ring, ring, cross, bars, dash; by level `ok`,
    `busy`, `warning`, `error`, `off`, `none`. Only what is abnormal is coloured."""
    look = current()
    match level:
        case "ok":
            paint_status(painter, rect, SessionStatus.COMPLETED, color=look.text_muted)
        case "busy":
            paint_status(painter, rect, SessionStatus.SPAWNING, color=look.text_muted)
        case "warning":
            paint_status(painter, rect, SessionStatus.WAITING, color=look.attention)
        case "none":
            middle = rect.center()
            painter.setPen(QPen(look.text_muted, 1.5))
            painter.drawLine(QPointF(middle.x() - 3.5, middle.y()), QPointF(middle.x() + 3.5, middle.y()))
        case "off":
            paint_status(painter, rect, SessionStatus.PAUSED, color=look.text_muted)
        case _:
            paint_status(painter, rect, SessionStatus.FAILED, color=look.error)


def level_icon(level: str, *, side: int = 14) -> QIcon:
    """`paint_level` as an icon, in the colours of now."""
    modes = (QIcon.Mode.Normal, QIcon.Mode.Disabled, QIcon.Mode.Selected)
    return painted_icon(("level", level), lambda painter, box: paint_level(painter, box, level), side=side, modes=modes)


def status_icon(status: SessionStatus, waiting_for: WaitingFor | None = None, *, side: int = 16) -> QIcon:
    """The same shape as an icon, for menus and lists."""
    shape = ("status", status, waiting_for)
    return painted_icon(shape, lambda painter, box: paint_status(painter, box, status, waiting_for), side=side)


def painted_icon(
    shape: Hashable,
    paint: Callable[[QPainter, QRectF], None],
    *,
    side: int = 16,
    modes: Sequence[QIcon.Mode] = (QIcon.Mode.Normal,),
) -> QIcon:
    """What `paint` paints into a box, as an icon of `side` device-independent pixels. In modes that are not named Qt
    makes it paler. The same `shape`, which names all that `paint` depends on besides the theme, is painted once."""
    key = (shape, side, tuple(modes), current().name)
    if (known := _icons.get(key)) is None:
        while len(_icons) >= MOST_ICONS:
            del _icons[next(iter(_icons))]
        known = _icons[key] = _painted(paint, side, modes)
    return known


def _painted(paint: Callable[[QPainter, QRectF], None], side: int, modes: Sequence[QIcon.Mode]) -> QIcon:
    icon = QIcon()
    for ratio in ICON_RATIOS:
        pixmap = QPixmap(int(side * ratio), int(side * ratio))
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        paint(painter, QRectF(0, 0, side, side))
        painter.end()
        for mode in modes:
            icon.addPixmap(pixmap, mode)
    return icon


def _at(box: QRectF, x: float, y: float) -> QPointF:
    return QPointF(box.left() + box.width() * x, box.top() + box.height() * y)
