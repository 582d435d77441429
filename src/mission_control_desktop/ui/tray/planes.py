"""The control planes that the tray follows: home, and each that the windows of this workstation are on as well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.fleet import HOME
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.connection import Connection
from mission_control_desktop.ui.plane_book import SavedPlane
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.tray.following import Following


class TrayPlanes(QObject):
    """All of them, home first; each is looked for by itself, and none waits for another."""

    changed = Signal()
    """One came or went, or how the way to one is."""
    link_changed = Signal(object)
    """A `Following` whose connection came or went."""
    left = Signal(object)
    """A `Following` that is no more."""

    def __init__(
        self, folder: Path, home: Connection, host: EngineHost, bridge: Bridge, store: SessionStore, tasks: Tasks
    ) -> None:
        super().__init__()
        self._folder, self._host, self._bridge, self._store, self._tasks = folder, host, bridge, store, tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        self._all: dict[str, Following] = {}
        self.home = self._add(HOME, home)

    def __iter__(self) -> Iterator[Following]:
        return iter(tuple(self._all.values()))

    def start(self) -> None:
        """Begin to look for home."""
        self._run(self.home)

    async def keep(self, saved: Sequence[SavedPlane]) -> None:
        """Follow these besides home: what is new is begun, what is not among them is let go of."""
        wanted = {one.name: one.url for one in saved}
        for one in self:
            if one.key != HOME and wanted.get(one.key) != one.connection.url:
                await self._leave(one)
        for name, url in wanted.items():
            if name not in self._all:
                way = Connection(self._host, self._folder, url=url, in_process=None, start=False, plane=name)
                self._run(self._add(name, way))

    def _add(self, key: str, connection: Connection) -> Following:
        made = Following(key, connection, self._host, self._bridge, self._store, self)
        self._all[key] = made
        made.changed.connect(self.changed)
        made.changed.connect(lambda: self.link_changed.emit(made))
        self.changed.emit()
        return made

    def _run(self, one: Following) -> None:
        self._running[one.key] = self._tasks.start(one.run(), name=f"follow {one.title}")

    async def _leave(self, one: Following) -> None:
        running = self._running.pop(one.key)
        running.cancel()
        await asyncio.wait([running])
        del self._all[one.key]
        await one.leave()
        self.left.emit(one)
        one.deleteLater()
        self.changed.emit()
