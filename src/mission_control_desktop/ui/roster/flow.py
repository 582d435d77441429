"""Between the roster and the control planes: how much of them it shows, and looking for what it does not have."""

from __future__ import annotations

from PySide6.QtCore import QObject

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.error_words import unread
from mission_control_desktop.ui.planes import Planes
from mission_control_desktop.ui.roster.pane import RosterPane


class RosterFlow(QObject):
    """Follows the control planes for one roster."""

    def __init__(self, roster: RosterPane, planes: Planes, tasks: Tasks) -> None:
        super().__init__(roster)
        self._roster, self._planes, self._tasks = roster, planes, tasks
        planes.extent_changed.connect(self._show)
        planes.came_or_went.connect(self._show)
        roster.reach.older_wanted.connect(lambda words: tasks.start(self._find(words), name="find older sessions"))
        self._show()

    def _show(self) -> None:
        self._roster.options.set_planes(len(self._planes))
        self._roster.show_extent(self._planes.extent)

    async def _find(self, words: str) -> None:
        try:
            said = await self._planes.find_older(words)
        except MissionControlError as error:
            said = unread("Older sessions could not be looked for", error)
        self._roster.reach.show_said(said)
