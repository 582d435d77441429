"""Paints roster rows and answers clicks on their pause and kill buttons."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QToolTip

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, AgentSession, Freshness, SessionStatus
from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.provider_words import UNREACHABLE, abnormal, provider_look
from mission_control_desktop.ui.roster.filter import needs_person
from mission_control_desktop.ui.roster.model import BELOW_ROLE, SESSION_ROLE, Column

Index = QModelIndex | QPersistentModelIndex
BUTTON = 24
ACTIONS_WIDTH = 2 * BUTTON + 24
_NARROW_ROW = 42


class RosterDelegate(QStyledItemDelegate):
    """In a narrow roster a row has two lines and stands for the hidden columns too."""

    pause_clicked = Signal(str)
    kill_clicked = Signal(str)

    def __init__(self, health: Mapping[str, ProviderHealth], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._health = health
        self.narrow = True
        self._hovered: tuple[str, str] | None = None
        self._now = words.utc_now

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(
            80,
            theme.metrics.high(36 if theme.metrics.compact else _NARROW_ROW, 2) if self.narrow else theme.metrics.row,
        )

    # -- painting

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        session = index.data(SESSION_ROLE)
        if not isinstance(session, AgentSession):
            return
        look = theme.current()
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, look.selection)
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, look.hover)
        match index.column():
            case Column.SESSION:
                self._paint_session(painter, rect, session, int(index.data(BELOW_ROLE) or 0), state)
            case Column.ACTIONS:
                self._paint_actions(painter, rect, session, state)
            case Column.STATUS:
                color = self._status_color(session)
                self._text(painter, rect.adjusted(6, 0, -4, 0), theme.status_text(session, short=True), color)
            case Column.PROVIDER:
                self._provider(painter, rect.adjusted(6, 0, -4, 0), session)
            case Column.ELAPSED:
                right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                self._text(painter, rect.adjusted(2, 0, -6, 0), str(index.data()), look.text_muted, align=right)
            case Column.SEEN:
                self._text(painter, rect.adjusted(6, 0, -4, 0), str(index.data()), self._age_color(session))
        painter.restore()

    def _paint_session(
        self, painter: QPainter, rect: QRect, session: AgentSession, below: int, state: QStyle.StateFlag
    ) -> None:
        look = theme.current()
        top = 2 if theme.metrics.compact else 4
        line = rect.adjusted(2, top if self.narrow else 0, -4, 0)
        if self.narrow:
            line.setHeight(theme.metrics.high(18))
        color = self._status_color(session)
        shape = QRectF(line.left(), line.center().y() - 6, 13, 13)
        theme.paint_status(painter, shape, session.status, session.waiting_for, color)
        text = line.adjusted(19, 0, 0, 0)
        if below:
            text.setRight(text.right() - self._count(painter, text, below) - 6)
        strong = needs_person(session) or bool(state & QStyle.StateFlag.State_HasFocus)
        title = look.text_muted if session.status.final and not strong else look.text
        self._text(painter, text, words.name(session), title, bold=session.parent_session_id is None)
        if self.narrow:
            self._paint_second(
                painter,
                QRect(rect.left() + 21, line.bottom() + 1, rect.width() - 25, theme.metrics.high(16)),
                session,
                color,
            )
        if state & QStyle.StateFlag.State_HasFocus and state & QStyle.StateFlag.State_Active:
            painter.setPen(QPen(look.focus, 2))
            painter.drawLine(rect.left() + 1, rect.top() + 3, rect.left() + 1, rect.bottom() - 3)

    def _paint_second(self, painter: QPainter, line: QRect, session: AgentSession, color: QColor) -> None:
        """Status in words, for how long, what kind of session, and how old the newest sign of life is."""
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
        if away or not age or line.width() < 40:
            return
        stale = self._stale(session)
        text = age if stale else f"seen {age} ago"
        fits = QFontMetrics(theme.ui_font(theme.metrics.text_small)).horizontalAdvance(text) <= line.width()
        if fits or stale:
            self._text(painter, line, text, self._age_color(session), small=True)

    def _paint_actions(self, painter: QPainter, rect: QRect, session: AgentSession, state: QStyle.StateFlag) -> None:
        look = theme.current()
        near = bool(state & (QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_Selected))
        for which, box in self.buttons(rect).items():
            if not self._offers(session, which):
                continue
            hovered = self._hovered == (session.session_id, which)
            if hovered:
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(QPen(look.error if which == "kill" else look.border_strong, 1))
                painter.setBrush(look.error_background if which == "kill" else look.surface_raised)
                painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
            ink = look.error if which == "kill" and hovered else look.text if near else look.border_strong
            name = which
            if which == "pause":
                name = "resume" if session.status is SessionStatus.PAUSED else "pause"
            icons.icon(name, ink).paint(painter, box.adjusted(4, 4, -4, -4))

    def _stale(self, session: AgentSession) -> bool:
        health = self._health.get(session.provider)
        if health is not None and health.state == UNREACHABLE and not session.status.final:
            return True
        return words.is_stale(session, session.evidence.last_event_at, self._now())

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
        font = theme.ui_font(theme.metrics.text_small if small else theme.metrics.text, bold=bold)
        metrics = QFontMetrics(font)
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(0, rect.width()))
        painter.setFont(font)
        painter.setPen(color)
        painter.drawText(rect, int(align | Qt.TextFlag.TextSingleLine), shown)
        return metrics.horizontalAdvance(shown)

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
            metrics = QFontMetrics(theme.ui_font(theme.metrics.text_small - 1))
            full, short = f"{text} {said.text}", f"{text}, {said.age}" if said.age else text
            text = full if metrics.horizontalAdvance(full) <= rect.width() - 28 else short
        return 16 + self._badge(painter, rect.adjusted(16, 0, 0, 0), text, color)

    @staticmethod
    def _badge(painter: QPainter, rect: QRect, text: str, color: QColor) -> int:
        font = theme.ui_font(theme.metrics.text_small - 1, bold=text == "DEMO")
        metrics = QFontMetrics(font)
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

    @staticmethod
    def _count(painter: QPainter, rect: QRect, below: int) -> int:
        """Number of agents below, right-aligned; returns its width."""
        look = theme.current()
        font = theme.ui_font(theme.metrics.text_small)
        text = str(below)
        width = QFontMetrics(font).horizontalAdvance(text) + 12
        box = QRectF(rect.right() - width, rect.center().y() - 7.5, width, 16)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.hover)
        painter.drawRoundedRect(box, 8, 8)
        painter.setPen(look.text)
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

    @staticmethod
    def _offers(session: AgentSession, which: str) -> bool:
        if session.status.final:
            return False
        return session.capabilities.kill if which == "kill" else session.capabilities.pause is not None

    def _button_at(self, rect: QRect, session: AgentSession, event: QMouseEvent | QHelpEvent) -> str | None:
        spot = event.position().toPoint() if isinstance(event, QMouseEvent) else event.pos()
        for which, box in self.buttons(rect).items():
            if box.contains(spot) and self._offers(session, which):
                return which
        return None

    def hover(self, found: tuple[str, str] | None) -> bool:
        """Note which button the pointer is on; returns whether that changed."""
        changed, self._hovered = found != self._hovered, found
        return changed

    def button_under(self, rect: QRect, session: AgentSession, event: QMouseEvent) -> tuple[str, str] | None:
        """Session id and name of the button under the pointer."""
        which = self._button_at(rect, session, event)
        return (session.session_id, which) if which else None

    def editorEvent(self, event: QEvent, model: QAbstractItemModel, option: QStyleOptionViewItem, index: Index) -> bool:
        if index.column() != Column.ACTIONS or not isinstance(event, QMouseEvent):
            return False
        session = index.data(SESSION_ROLE)
        if not isinstance(session, AgentSession) or event.button() is not Qt.MouseButton.LeftButton:
            return False
        which = self._button_at(option.rect, session, event)
        if which and event.type() is QEvent.Type.MouseButtonRelease:
            (self.kill_clicked if which == "kill" else self.pause_clicked).emit(session.session_id)
        return which is not None

    def helpEvent(self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: Index) -> bool:
        session = index.data(SESSION_ROLE) if index.isValid() else None
        if index.isValid() and index.column() == Column.ACTIONS and isinstance(session, AgentSession):
            which = self._button_at(option.rect, session, event)
            if which == "kill":
                QToolTip.showText(
                    event.globalPos(), "Kill this session and everything below it… (asks for a reason)", view
                )
            elif which == "pause":
                paused = session.status is SessionStatus.PAUSED
                QToolTip.showText(event.globalPos(), "Resume" if paused else pause_hint(session), view)
            return True
        return super().helpEvent(event, view, option, index)


def pause_hint(session: AgentSession) -> str:
    """What a pause of this session really does."""
    kind = session.capabilities.pause
    return {
        None: "Cannot pause: " + session.capabilities.reasons.get("pause", "the provider does not offer it"),
        "suspend": "Pause: stops the agent's processes at once",
        "boundary": "Pause: holds at the next boundary",
        "dispatch": "Pause: only withholds new prompts",
    }[kind]
