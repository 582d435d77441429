"""A service that brings its own control plane along, for a window without a background service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.domain.people import Principal


class EmbeddedMissionControl(MissionControlService):
    """The same service; `close()` closes the control plane behind it, once. Agents live on."""

    def __init__(self, plane: ControlPlane, who: Principal, shut: Callable[[], Awaitable[None]]) -> None:
        super().__init__(plane, who)
        self._shut: Callable[[], Awaitable[None]] | None = shut

    async def close(self) -> None:
        shut, self._shut = self._shut, None
        if shut is not None:
            await shut()
