"""Verifications of the audit log: one at a time per workspace, for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from mission_control_desktop.domain.audit import ChainReport
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[ChainReport | Exception]
    waiting: int = 0


class Verifications:
    """Runs `verify` (by workspace) in tasks of its own; one that nobody waits for any more is cancelled."""

    def __init__(self, verify: Callable[[str], Awaitable[ChainReport]]) -> None:
        self._verify = verify
        self._running: dict[str, _Running] = {}
        self._tasks = Tasks(lambda name, error: log.error("verification failed", task=name, error=repr(error)))

    async def report(self, workspace_id: str) -> ChainReport:
        """The result of the verification that runs, or of a new one. Raises what it raises."""
        running = self._running.get(workspace_id)
        if running is None:
            task = self._tasks.start(self._caught(workspace_id), name=f"verification of {workspace_id}")
            running = self._running[workspace_id] = _Running(task)
            task.add_done_callback(lambda _: self._over(workspace_id, running))
        running.waiting += 1
        try:
            await asyncio.wait({running.task})
        finally:
            running.waiting -= 1
            if not running.waiting and not running.task.done():
                running.task.cancel()
                self._over(workspace_id, running)
        if running.task.cancelled():
            raise Unavailable("The control plane is shutting down.")
        outcome = running.task.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _over(self, workspace_id: str, running: _Running) -> None:
        if self._running.get(workspace_id) is running:
            del self._running[workspace_id]

    async def _caught(self, workspace_id: str) -> ChainReport | Exception:
        try:
            return await self._verify(workspace_id)
        except Exception as error:  # noqa: BLE001 - handed to all who wait, as a value
            return error

    async def close(self) -> None:
        await self._tasks.close()
