"""One lane per session: its work in order, lanes beside each other. A lane's task lives only while it has work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from mission_control_desktop.domain.tasks import Tasks

Job = Callable[[], Coroutine[Any, Any, None]]
MAX_JOBS = 1_000
"""Jobs that may wait in one lane. A lane that is fuller drops them, and does `overrun` instead."""


class Lanes:
    """`overrun(key)` gives the job that makes good for the dropped ones."""

    def __init__(self, tasks: Tasks, overrun: Callable[[str], Job]) -> None:
        self._tasks = tasks
        self._overrun = overrun
        self._jobs: dict[str, deque[Job]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def put(self, key: str, job: Job) -> None:
        """Never waits."""
        jobs = self._jobs.get(key)
        if jobs is not None:
            if len(jobs) >= MAX_JOBS:
                jobs.clear()
                job = self._overrun(key)
            jobs.append(job)
            return
        self._jobs[key] = deque([job])
        task = self._tasks.start(self._run(key), name=f"lane {key}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, key: str) -> None:
        jobs = self._jobs[key]
        try:
            while jobs:
                await jobs.popleft()()
        finally:
            del self._jobs[key]

    async def clear(self) -> None:
        """Stop what runs, and forget what waits."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
