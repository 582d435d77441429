"""Holding an agent's commands, offered where a provider has no pause but this: with what it does said first."""

from __future__ import annotations

from PySide6.QtWidgets import QMenu

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.panel.notice import NoticeBar
from mission_control_desktop.ui.panel.presenter import PanelPresenter
from mission_control_desktop.ui.panel.wording import commands_held, holding_possible

ASKS, HELD = "hold?", "held"
HELD_WORDS = "Commands are held: each waits for your approval. Releasing aborts the one that waits."


class Holding:
    """The entry in a panel's menu, and the notices that go with it."""

    def __init__(self, notice: NoticeBar, presenter: PanelPresenter) -> None:
        self._notice = notice
        self._presenter = presenter
        self._held = False
        self._effects = ""

    def add_to(self, menu: QMenu, session: AgentSession, *, why_not: str) -> None:
        """`why_not`: why the person may not; empty where they may."""
        possible = holding_possible(session)
        if possible is None and not commands_held(session):
            return
        menu.setToolTipsVisible(True)
        if commands_held(session):
            action = menu.addAction("Release commands", self._presenter.release_commands)
            action.setToolTip(why_not or HELD_WORDS)
            action.setEnabled(not why_not)
        elif possible is not None:
            self._effects = possible.words
            action = menu.addAction("Hold commands…", self._ask)
            action.setToolTip(why_not or possible.words)
            action.setEnabled(possible.can and not why_not)
        menu.addSeparator()

    def follow(self, session: AgentSession, *, may_act: bool) -> None:
        """The session is now like this."""
        held = commands_held(session)
        if held == self._held:
            return
        self._held = held
        self._notice.clear(ASKS)
        if held:
            offer = ("Release", self._presenter.release_commands) if may_act else None
            self._notice.show_text(HELD, HELD_WORDS, dismissable=True, offer=offer)
        else:
            self._notice.clear(HELD)

    def _ask(self) -> None:
        offer = ("Hold commands", self._presenter.hold_commands)
        self._notice.show_text(ASKS, self._effects, dismissable=True, offer=offer)
