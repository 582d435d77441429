"""A shown panel over a port that answers when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.panel.port import MemoryDrafts
from mission_control_desktop.ui.transcript.highlight import Highlighter
from support.panels import Call, HeldPort, eventually

Run = Callable[[Coroutine[Any, Any, None]], None]
"""The fixture `run`: runs a scenario on the loop that the application uses."""


class PanelStage:
    """What is said to be asked of the control plane is in `port`; `tell` is what comes from it."""

    def __init__(self, qt: Any, session: AgentSession, **more: Any) -> None:
        self.port, self.drafts = HeldPort(), MemoryDrafts()
        self.highlighter = Highlighter()
        self.panel = OrchestratorPanel(session, self.port, self.drafts, highlighter=self.highlighter, **more)
        qt.addWidget(self.panel)
        self.panel.resize(420, 600)
        self.panel.show()
        qt.waitExposed(self.panel)

    def tell(self, kind: EventType, data: Any) -> None:
        self.panel.apply([StreamEvent(event_id=None, type=kind, data=data)])

    async def call(self, name: str, count: int = 1) -> Call:
        """The n-th call of a name, once it was made."""
        await eventually(lambda: len(self.port.named(name)) >= count)
        return self.port.named(name)[count - 1]

    async def settled(self, action: str = "") -> None:
        """Until an action is over; all of them, if none is named."""
        presenter = self.panel.presenter
        await eventually(lambda: not presenter.busy(action) if action else presenter.at_rest)
