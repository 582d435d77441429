"""Paints roster rows, and knows where in a row its branch mark and its buttons are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from PySide6.QtCore import (
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QHelpEvent, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QToolTip

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, AgentSession, Freshness, SessionStatus
from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.provider_words import abnormal, provider_look
from mission_control_desktop.ui.roster.index import Group, Node, Row
from mission_control_desktop.ui.roster.model import Column, RosterModel
from mission_control_desktop.ui.roster.severity import Severity, is_stale, mark_of, needs_person
from mission_control_desktop.ui.roster.usage import usage_text

Index = QModelIndex | QPersistentModelIndex
BUTTON = 24
ACTIONS_WIDTH = 2 * BUTTON + 24
OPENS_FROM_BUTTONS = 24
"""Pixels between what opens a row and the first of its buttons' cell."""
_NARROW_ROW = 42
_INDENT = 14
_BRANCH = 16
_MAX_INDENT = 8
"""Deeper levels stand here too, with their number."""


_SINGLE_LINE = Qt.TextFlag.TextSingleLine.value


@lru_cache(maxsize=32)
def _face(pixels: int, bold: bool) -> tuple[QFont, QFontMetrics]:
    """Making both for each of a row's words takes longer than drawing them."""
    font = theme.ui_font(pixels, bold=bold)
    return font, QFontMetrics(font)


class RosterDelegate(QStyledItemDelegate):
    """In a narrow roster a row has two lines and stands for the hidden columns too."""

    pause_clicked = Signal(str)
    kill_clicked = Signal(str)

    def __init__(self, model: RosterModel, health: Mapping[str, ProviderHealth], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model, self._known = model, model.index_of_sessions
        self._health = health
        self.narrow = True
        self.why_not: Callable[[str], str] = lambda _session_id: ""
        """Why nothing can be done to a session; empty if it can."""
        self._hovered: tuple[str, str] | None = None
        self._now = words.utc_now

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        if not self.narrow:
            return QSize(80, theme.metrics.row)
        return QSize(80, theme.metrics.high(36 if theme.metrics.compact else _NARROW_ROW, 2))

    # -- painting

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = self._model.row(index.row())
        if row is None:
            return
        look = theme.current()
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, look.selection)
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, look.hover)
        if isinstance(row, Group):
            if index.column() == Column.SESSION:
                self._paint_group(painter, rect, row, state)
        else:
            self._paint_cell(painter, rect, row, index.column(), state)
        painter.restore()

    def _paint_cell(self, painter: QPainter, rect: QRect, node: Node, column: int, state: QStyle.StateFlag) -> None:
        look, session = theme.current(), node.session
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        match column:
            case Column.SESSION:
                self._paint_session(painter, rect, node, state)
            case Column.ACTIONS:
                self._paint_actions(painter, rect, session, state)
            case Column.STATUS:
                color = self._status_color(session)
                self._text(painter, rect.adjusted(6, 0, -4, 0), theme.status_text(session, short=True), color)
            case Column.PROVIDER:
                self._provider(painter, rect.adjusted(6, 0, -4, 0), session)
            case Column.ELAPSED | Column.USAGE:
                text = self._model.text(session, column)
                self._text(painter, rect.adjusted(2, 0, -6, 0), text, look.text_muted, align=right)
            case Column.SEEN:
                text = self._model.text(session, column)
                self._text(painter, rect.adjusted(6, 0, -4, 0), text, self._age_color(session))
            case _:
                text = self._model.text(session, column)
                self._text(painter, rect.adjusted(6, 0, -4, 0), text, look.text_muted)

    def _paint_group(self, painter: QPainter, rect: QRect, group: Group, state: QStyle.StateFlag) -> None:
        look = theme.current()
        self._paint_branch(painter, rect, group)
        line = rect.adjusted(_BRANCH + 4, 0, -6, 0)
        line.setRight(line.right() - self._chips(painter, line, group.count, _worst(group.tally), group.tally))
        self._text(painter, line, group.title, look.text, bold=True)
        painter.setPen(QPen(look.border, 1))
        painter.drawLine(rect.left(), rect.bottom(), rect.right(), rect.bottom())
        self._paint_focus(painter, rect, state)

    def _paint_session(self, painter: QPainter, rect: QRect, node: Node, state: QStyle.StateFlag) -> None:
        look, session = theme.current(), node.session
        left = self._left(node)
        top = 2 if theme.metrics.compact else 4
        line = rect.adjusted(left, top if self.narrow else 0, -4, 0)
        if self.narrow:
            line.setHeight(theme.metrics.high(18))
        if node.children and self._known.has_branch(node):
            self._paint_branch(painter, rect, node)
        color = self._status_color(session)
        shape = QRectF(line.left(), line.center().y() - 6, 13, 13)
        theme.paint_status(painter, shape, session.status, session.waiting_for, color)
        text = line.adjusted(19, 0, 0, 0)
        if node.below:
            worst = Severity.NORMAL if self._known.is_open(node) else node.worst
            text.setRight(text.right() - self._chips(painter, text, node.below, worst, node.tally) - 6)
        if node.level > _MAX_INDENT:
            deep = f"{node.level + 1}:"
            text.setLeft(text.left() + self._text(painter, text, deep, look.text_muted, small=True) + 4)
        strong = needs_person(session) or bool(state & QStyle.StateFlag.State_HasFocus)
        quiet = not node.matched or (session.status.final and not strong)
        title = look.text_muted if quiet else look.text
        self._text(painter, text, words.name(session), title, bold=session.parent_session_id is None and node.matched)
        if self.narrow:
            high = theme.metrics.high(16)
            second = QRect(rect.left() + left + 19, line.bottom() + 1, rect.width() - left - 23, high)
            self._paint_second(painter, second, session, color)
        self._paint_focus(painter, rect, state)

    @staticmethod
    def _paint_focus(painter: QPainter, rect: QRect, state: QStyle.StateFlag) -> None:
        if state & QStyle.StateFlag.State_HasFocus and state & QStyle.StateFlag.State_Active:
            painter.setPen(QPen(theme.current().focus, 2))
            painter.drawLine(rect.left() + 1, rect.top() + 3, rect.left() + 1, rect.bottom() - 3)

    def _paint_branch(self, painter: QPainter, rect: QRect, row: Row) -> None:
        """A triangle: down where the branch is open, to the right where it is closed."""
        box = self.branch_box(rect, row)
        x, y, size = box.center().x(), box.center().y(), 3.5
        if self._known.is_open(row):
            points = [(x - size, y - size / 2), (x + size, y - size / 2), (x, y + size * 0.8)]
        else:
            points = [(x - size / 2, y - size), (x + size * 0.8, y), (x - size / 2, y + size)]
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.current().text_muted)
        painter.drawPolygon(QPolygonF([QPointF(*point) for point in points]))

    def branch_box(self, rect: QRect, row: Row) -> QRect:
        """Where a press opens or closes the branch, within the first column's cell."""
        left = 2 if isinstance(row, Group) else self._left(row) - _BRANCH
        height = min(rect.height(), theme.metrics.high(26))
        return QRect(rect.left() + left, rect.top(), _BRANCH, height)

    @staticmethod
    def _left(node: Node) -> int:
        return _BRANCH + 2 + min(node.level, _MAX_INDENT) * _INDENT

    def _paint_second(self, painter: QPainter, line: QRect, session: AgentSession, color: QColor) -> None:
        """Status in words, for how long, what kind of session, how old the newest sign of life is, what it used."""
        look = theme.current()
        line.setLeft(line.left() + self._text(painter, line, theme.status_text(session), color, small=True) + 6)
        away = abnormal(self._health.get(session.provider))
        if not away:  # else the room is needed for what is wrong, and for how long
            spent = f"· {words.elapsed(session, self._now())}"
            line.setLeft(line.left() + self._text(painter, line, spent, look.text_muted, small=True) + 8)
        if words.is_demo(session) and session.parent_session_id is None and line.width() > 44:
            line.setLeft(line.left() + self._badge(painter, line, "DEMO", look.attention) + 6)
        if (away or session.provider != INTERNAL_PROVIDER) and line.width() > 44:
            line.setLeft(line.left() + self._provider(painter, line, session, with_age=True) + 6)
        age = words.evidence_age(session, self._now())
        if away or line.width() < 40:
            return
        stale = self._stale(session)
        if age:
            text = age if stale else f"seen {age} ago"
            if self._fits(text, line) or stale:
                line.setLeft(line.left() + self._text(painter, line, text, self._age_color(session), small=True) + 8)
        if (used := usage_text(session)) and self._fits(used, line):
            self._text(painter, line, used, look.text_muted, small=True)

    @staticmethod
    def _fits(text: str, line: QRect) -> bool:
        return _face(theme.metrics.text_small, False)[1].horizontalAdvance(text) <= line.width()

    def _paint_actions(self, painter: QPainter, rect: QRect, session: AgentSession, state: QStyle.StateFlag) -> None:
        look = theme.current()
        near = bool(state & (QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_Selected))
        for which, box in self.buttons(rect).items() if not session.status.final else ():
            offered = self._offers(session, which)
            painter.setOpacity(1.0 if offered else 0.4)
            hovered = self._hovered == (session.session_id, which)
            if hovered:
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(QPen(look.error if which == "kill" else look.border_strong, 1))
                painter.setBrush(look.error_background if which == "kill" else look.surface_raised)
                painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
            ink = look.error if which == "kill" and hovered else look.text if near and offered else look.border_strong
            name = which
            if which == "pause":
                name = "resume" if session.status is SessionStatus.PAUSED else "pause"
            icons.icon(name, ink).paint(painter, box.adjusted(4, 4, -4, -4))

    def _stale(self, session: AgentSession) -> bool:
        return is_stale(session, self._now(), self._health)

    def tells_provider_age(self, session: AgentSession) -> bool:
        """Whether the row says for how long its provider has been away."""
        return abnormal(self._health.get(session.provider))

    def _status_color(self, session: AgentSession) -> QColor:
        """The status's own colour; what may not be true any more is not drawn as if it were."""
        look = theme.current()
        return look.text_muted if self._stale(session) else look.status_color(session.status, session.waiting_for)

    def _age_color(self, session: AgentSession) -> QColor:
        look = theme.current()
        if session.evidence.freshness is Freshness.UNREACHABLE:
            return look.error
        return look.warning if self._stale(session) else look.text_muted

    @staticmethod
    def _text(
        painter: QPainter,
        rect: QRect,
        text: str,
        color: QColor,
        *,
        bold: bool = False,
        small: bool = False,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
    ) -> int:
        """Draw one elided line; returns its width."""
        font, metrics = _face(theme.metrics.text_small if small else theme.metrics.text, bold)
        width = metrics.horizontalAdvance(text)
        if width > rect.width():
            text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(0, rect.width()))
            width = metrics.horizontalAdvance(text)
        painter.setFont(font)
        painter.setPen(color)
        painter.drawText(rect, _SINGLE_LINE | align.value, text)
        return width

    def _provider(self, painter: QPainter, rect: QRect, session: AgentSession, *, with_age: bool = False) -> int:
        """The provider's badge; with its shape where its sessions may not be as they are drawn, and how it is, and for
        how long. Returns its width."""
        health, look = self._health.get(session.provider), theme.current()
        if health is None or not abnormal(health):
            return self._badge(painter, rect, session.provider, look.text_muted)
        said = provider_look(health, self._now())
        theme.paint_level(painter, QRectF(rect.left(), rect.center().y() - 6, 12, 12), said.level)
        color = look.error if said.level == "error" else look.attention
        text = session.provider
        if with_age:
            metrics = _face(theme.metrics.text_small - 1, False)[1]
            full, short = f"{text} {said.text}", f"{text}, {said.age}" if said.age else text
            text = full if metrics.horizontalAdvance(full) <= rect.width() - 28 else short
        return 16 + self._badge(painter, rect.adjusted(16, 0, 0, 0), text, color)

    @staticmethod
    def _badge(painter: QPainter, rect: QRect, text: str, color: QColor) -> int:
        font, metrics = _face(theme.metrics.text_small - 1, text == "DEMO")
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(12, rect.width() - 10))
        width = metrics.horizontalAdvance(shown) + 10
        box = QRectF(rect.left() + 0.5, rect.center().y() - 7.5, width - 1, 15)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, 3, 3)
        painter.setFont(font)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), shown)
        return width

    def _chips(self, painter: QPainter, rect: QRect, below: int, worst: Severity, tally: list[int]) -> int:
        """The number of agents below, right-aligned; left of it the shape and number of the worst, where they are not
        seen. Returns the width."""
        look = theme.current()
        width = self._chip(painter, rect, str(below), look.text, look.hover)
        if worst is Severity.NORMAL:
            return width
        status, waiting_for = mark_of(worst)
        color = look.warning if worst is Severity.STALE else look.status_color(status, waiting_for)
        count = str(tally[worst])
        room = rect.adjusted(0, 0, -width - 6, 0)
        size = _face(theme.metrics.text_small, True)[1].horizontalAdvance(count)
        self._text(painter, room.adjusted(room.width() - size, 0, 0, 0), count, color, bold=True, small=True)
        spot = QRectF(room.right() - size - 17, rect.center().y() - 6, 13, 13)
        if worst is Severity.STALE:  # it may run, or not
            self._text(painter, spot.toRect(), "?", color, bold=True, align=Qt.AlignmentFlag.AlignCenter)
        else:
            theme.paint_status(painter, spot, status, waiting_for, color)
        return width + size + 26

    @staticmethod
    def _chip(painter: QPainter, rect: QRect, text: str, ink: QColor, fill: QColor) -> int:
        font, metrics = _face(theme.metrics.text_small, False)
        width = metrics.horizontalAdvance(text) + 12
        box = QRectF(rect.right() - width, rect.center().y() - 7.5, width, 16)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(box, 8, 8)
        painter.setPen(ink)
        painter.setFont(font)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)
        return width

    # -- buttons

    @staticmethod
    def buttons(rect: QRect) -> dict[str, QRect]:
        """Where pause and kill stand in a row's action cell: apart from each other, kill at the outer edge."""
        top = rect.center().y() - BUTTON // 2
        return {
            "pause": QRect(rect.right() - ACTIONS_WIDTH + 6, top, BUTTON, BUTTON),
            "kill": QRect(rect.right() - BUTTON - 4, top, BUTTON, BUTTON),
        }

    def _offers(self, session: AgentSession, which: str) -> bool:
        if session.status.final or self.why_not(session.session_id):
            return False
        return session.capabilities.kill if which == "kill" else session.capabilities.pause is not None

    def _button_at(self, rect: QRect, session: AgentSession, event: QMouseEvent | QHelpEvent) -> str | None:
        spot = event.position().toPoint() if isinstance(event, QMouseEvent) else event.pos()
        for which, box in self.buttons(rect).items():
            if box.contains(spot) and self._offers(session, which):
                return which
        return None

    def button_hint(self, session: AgentSession, which: str) -> str:
        """What a button of a live session does, or why it does nothing."""
        if why_not := self.why_not(session.session_id):
            return why_not
        if which == "pause":
            return "Resume" if session.status is SessionStatus.PAUSED else pause_hint(session)
        if not session.capabilities.kill:
            return "Cannot kill: " + session.capabilities.reasons.get("kill", "the provider does not offer it")
        return "Kill this session and everything below it… (asks for a reason)"

    def hover(self, found: tuple[str, str] | None) -> bool:
        """Note which button the pointer is on; returns whether that changed."""
        changed, self._hovered = found != self._hovered, found
        return changed

    def button_under(self, rect: QRect, session: AgentSession, event: QMouseEvent) -> tuple[str, str] | None:
        """Session id and name of the button under the pointer."""
        which = self._button_at(rect, session, event)
        return (session.session_id, which) if which else None

    def helpEvent(self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: Index) -> bool:
        session = self._model.session_at(index)
        if session is not None and index.column() == Column.ACTIONS:
            boxes = self.buttons(option.rect)
            which = next((name for name, box in boxes.items() if box.contains(event.pos())), "")
            if which and not session.status.final:
                QToolTip.showText(event.globalPos(), self.button_hint(session, which), view)
            return True
        return super().helpEvent(event, view, option, index)


def _worst(tally: list[int]) -> Severity:
    return Severity(next((kind for kind in range(len(tally) - 1, 0, -1) if tally[kind]), 0))


def pause_hint(session: AgentSession) -> str:
    """What a pause of this session really does."""
    kind = session.capabilities.pause
    return {
        None: "Cannot pause: " + session.capabilities.reasons.get("pause", "the provider does not offer it"),
        "suspend": "Pause: stops the agent's processes at once",
        "boundary": "Pause: holds at the next boundary",
        "dispatch": "Pause: only withholds new prompts",
    }[kind]
