"""The docks of the grid: what each is made with, its tab, and what stands in it while no panel does."""

from __future__ import annotations

from typing import Any

import PySide6QtAds as QtAds
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QLabel, QVBoxLayout, QWidget

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import icons, theme, words

FOLLOWER_MARK = "→ "
"""Before the title of the panel that follows the focus."""


class Placeholder(QWidget):
    """Stands in a panel's place while it is not on screen, its session not known, or shown elsewhere."""

    def __init__(self, text: str, *, away: bool = False) -> None:
        super().__init__()
        self.away = away
        """The panel itself is shown elsewhere: none is to be made here."""
        label = QLabel(text, self)
        label.setProperty("tone", "muted")
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        self.label = label
        layout = QVBoxLayout(self)
        layout.addWidget(label)


def make_dock(manager: Any, session_id: str, title: str) -> Any:
    """A dock for a session, with a placeholder in it."""
    dock = QtAds.CDockWidget(manager, title)
    dock.setObjectName(session_id)
    feature = QtAds.CDockWidget.DockWidgetFeature
    dock.setFeature(feature.DockWidgetDeleteOnClose, True)
    dock.setFeature(feature.DockWidgetFocusable, True)
    dock.setFeature(feature.DockWidgetPinnable, False)
    dock.setMinimumSizeHintMode(QtAds.CDockWidget.eMinimumSizeHintMode.MinimumSizeHintFromDockWidget)
    put(dock, Placeholder(f"{title}\n\nWaiting for the control plane…"))
    dock.setAccessibleName(f"Panel of {title}")
    dress(dock)
    return dock


def put(dock: Any, content: QWidget) -> QWidget | None:
    """Put a widget into a dock; what was there before, hidden and without a parent."""
    old: QWidget | None = dock.takeWidget()
    if old is not None:
        # Its layout may be about to show it, which would now be as a window of its own.
        old.hide()
    dock.setWidget(content, QtAds.CDockWidget.eInsertMode.ForceNoScrollArea)
    # At once, and not with the next turn of the event loop: what is not visible cannot take the focus.
    content.show()
    return old


def name_dock(dock: Any, title: str, *, follows: bool) -> None:
    """The title on the tab and, of a window of its own, on that."""
    shown = f"{FOLLOWER_MARK}{title}" if follows else title
    if dock.windowTitle() != shown:
        dock.setWindowTitle(shown)
        dock.setAccessibleName(f"Panel of {title}")


def show_state(dock: Any, session: AgentSession, *, follows: bool) -> None:
    """The session's status on the tab: its shape, and words in the tip."""
    title = words.name(session)
    name_dock(dock, title, follows=follows)
    dock.setIcon(theme.status_icon(session.status, session.waiting_for))
    tip = f"{title}\n{theme.status_text(session)}\n{session.session_id}"
    dock.setTabToolTip(f"{tip}\nFollows what is chosen in the roster; pin it to keep it." if follows else tip)


def dress(dock: Any) -> None:
    """Our own cross on the tab, and words on it: closing a panel ends nothing."""
    close = dock.tabWidget().findChild(QAbstractButton, "tabCloseButton")
    if close is not None:
        close.setIcon(icons.icon("close", theme.current().text_muted))
        close.setToolTip("Close the panel (ends nothing)")
        close.setAccessibleName("Close the panel")
