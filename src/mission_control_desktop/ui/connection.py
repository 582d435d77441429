"""Which control plane the window is connected to under a name, and how it finds it again when it is gone."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.fleet import HOME
from mission_control_desktop.client.paths import ENV_TOKEN, ENV_URL
from mission_control_desktop.domain.addresses import is_loopback_name
from mission_control_desktop.domain.mission_control import MissionControl

if TYPE_CHECKING:
    from mission_control_desktop.client.discovery import Endpoint
    from mission_control_desktop.client.starting import Begun

log = structlog.get_logger(__name__)

Opener = Callable[[], Coroutine[Any, Any, MissionControl]]

HERE = "this computer"
"""What a person calls the control plane of this computer."""
_HEAVY = ("mission_control_desktop.client.discovery", "mission_control_desktop.client.http")
"""Imported after the first paint, off the GUI thread."""


@dataclass(frozen=True)
class Reached:
    """Where the window is connected now. `note` is for a person; `started` says that the service was started for us."""

    where: str
    note: str | None = None
    started: bool = False


class Connection:
    """One window's way to one control plane: named by URL, inside this program, or the one of this computer."""

    def __init__(
        self,
        host: EngineHost,
        folder: Path,
        *,
        url: str | None,
        in_process: Opener | None,
        start: bool = True,
        plane: str = HOME,
        begun: Begun | None = None,
    ) -> None:
        """`start`: whether one is started if none runs; `begun`: it is being started already. `plane`: what it is
        called in this window."""
        self._host = host
        self._folder = folder
        self._url = url
        self._in_process = in_process
        self._start = start
        self._plane = plane
        self._begun = begun
        self._endpoint: Endpoint | None = None

    @property
    def url(self) -> str | None:
        """Its address, where that was named: to this program, or for home by the environment."""
        return self._url or (None if self._plane else os.environ.get(ENV_URL)) or None

    @property
    def own(self) -> bool:
        """Whether it is the one that runs over this data folder, and is found or started there."""
        return self.url is None and self._in_process is None

    @property
    def here(self) -> bool:
        """Whether it is home, and on this computer as far as its address tells."""
        return self._plane == HOME and (self.url is None or is_loopback_name(urlsplit(self.url).hostname or ""))

    @property
    def title(self) -> str:
        """What a person calls the control plane."""
        return self._plane or (HERE if self.here else urlsplit(self.url or "").netloc)

    @property
    def can_move(self) -> bool:
        """Whether the control plane may come back at another address: only the one of this computer does."""
        return self._url is None and self._in_process is None

    async def reach(self, progress: Callable[[str], None]) -> Reached:
        """Find, or start, and connect. Raises the tree of `domain.errors`."""
        progress("Looking for the control plane on this computer…")
        loop = asyncio.get_running_loop()
        for name in _HEAVY:
            await loop.run_in_executor(None, importlib.import_module, name)
        self._host.start()
        if self._in_process is not None:
            await self._host.connect(self._in_process, plane=self._plane)
            return Reached("inside this program")
        progress(f"Reaching {self._url}…" if self._url else "Finding or starting the control plane…")
        return await self._connect(await self._find())

    async def find_again(self) -> Reached | None:
        """After the connection was lost: connect to the one that is there now, started if need be. None if it is the
        same one, whose streams come back by themselves. Raises the tree of `domain.errors`."""
        before, endpoint = self._endpoint, await self._find()
        if before is not None and (before.url, before.pid) == (endpoint.url, endpoint.pid):
            return None
        return await self._connect(endpoint)

    async def _find(self) -> Endpoint:
        from mission_control_desktop.client.discovery import Discovery

        # The environment names a home and a token for it: that token is for no other control plane.
        environ = {k: v for k, v in os.environ.items() if not (self._plane and k in (ENV_URL, ENV_TOKEN))}
        begun, self._begun = self._begun, None
        discovery = Discovery(data_dir=self._folder, environ=environ, begun=begun)
        find = discovery.find_or_start if self._start else discovery.find
        return await self._host.run(lambda: find(self._url))

    async def _connect(self, endpoint: Endpoint) -> Reached:
        from mission_control_desktop.client.discovery import How

        async def opened() -> MissionControl:
            return endpoint.open()

        await self._host.connect(opened, plane=self._plane)
        self._endpoint = endpoint
        log.info("connected", url=endpoint.url, how=endpoint.how.value, version=endpoint.version)
        return Reached(endpoint.url, endpoint.note, endpoint.how is How.STARTED)
