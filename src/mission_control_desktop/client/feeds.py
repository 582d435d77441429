"""Streams that stay alive: one feed per topic, from a control plane into an inbox.

A feed opens its stream, puts every event into the inbox, and when the connection ends opens it again after the last
event that it put: 0.2 s later at first, then up to 5 s, with jitter so that many feeds do not come back at once. A
refusal (not allowed, not known) ends the feed, and the inbox says so.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import structlog

from mission_control_desktop.client.clock import SystemClock
from mission_control_desktop.client.fleet import HOME, topic_plane, workspace_topic
from mission_control_desktop.client.inbox import Inbox, Link, LinkState
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    Forbidden,
    MissionControlError,
    NotAuthenticated,
    NotFound,
    RateLimited,
    Unsupported,
)
from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)

BACKOFF_MIN_SECONDS = 0.2
BACKOFF_MAX_SECONDS = 5.0
STEADY_SECONDS = 5.0
"""A connection that held so long was a good one: the next failure starts again with the shortest delay."""
REPLAY = 200

_REFUSALS = (NotAuthenticated, Forbidden, NotFound, BadInput, Unsupported, Conflict)

Opener = Callable[[str | None], AbstractAsyncContextManager[AsyncIterator[StreamEvent]]]


def backoff_seconds(failures: int, jitter: Callable[[], float]) -> float:
    """Delay before the next attempt after so many failures in a row (from 1)."""
    base = min(BACKOFF_MAX_SECONDS, BACKOFF_MIN_SECONDS * 2.0 ** min(failures - 1, 16))
    return base * (1 + 0.25 * jitter())


class _Feed(NamedTuple):
    opener: Opener
    task: asyncio.Task[None]


class Feeds:
    """All feeds of one window's control planes. Lives on the engine's loop; every method is called there."""

    def __init__(
        self,
        mission_control: MissionControl,
        inbox: Inbox,
        tasks: Tasks,
        *,
        jitter: Callable[[], float] = random.random,
        clock: Clock | None = None,
    ) -> None:
        self._mission_control = mission_control
        self._inbox = inbox
        self._tasks = tasks
        self._jitter = jitter
        self._clock = clock or SystemClock()
        self._loop = asyncio.get_running_loop()
        self._feeds: dict[str, _Feed] = {}
        inbox.on_relevel(self._on_relevel)

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(self._feeds)

    def open_workspace(self, plane: str = HOME, mission_control: MissionControl | None = None) -> None:
        """Follow the events of a control plane's workspace. Nothing if they are followed already."""
        source = mission_control or self._mission_control
        self._open(workspace_topic(plane), lambda last: source.events(last_event_id=last))

    def open_session(self, session_id: str, replay: int = REPLAY) -> None:
        """Follow a session, beginning with its last `replay` messages. Nothing if it is followed already."""

        def opener(last: str | None) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
            return self._mission_control.stream(session_id, last_event_id=last, replay=replay if last is None else None)

        self._open(session_id, opener)

    async def close_session(self, session_id: str) -> None:
        """Stop following; when this returns, nothing of the session is in the inbox or comes into it any more."""
        feed = self._feeds.pop(session_id, None)
        if feed is not None:
            feed.task.cancel()
            await asyncio.wait([feed.task])
        self._inbox.forget(session_id)

    async def close_plane(self, plane: str) -> None:
        """Stop following everything of one control plane."""
        for topic in [topic for topic in self._feeds if topic_plane(topic) == plane]:
            await self.close_session(topic)

    async def close(self) -> None:
        self._inbox.on_relevel(None)
        for topic in list(self._feeds):
            await self.close_session(topic)

    def _open(self, topic: str, opener: Opener) -> None:
        if topic in self._feeds:
            return
        self._inbox.forget(topic)
        self._say(topic, LinkState.CONNECTING)
        self._start(topic, opener, None)

    def _start(self, topic: str, opener: Opener, last: str | None, *, after: asyncio.Task[None] | None = None) -> None:
        task = self._tasks.start(self._guarded(topic, opener, last, after), name=f"feed {topic}")
        self._feeds[topic] = _Feed(opener, task)
        task.add_done_callback(lambda done: self._ended(topic, done))

    def _ended(self, topic: str, task: asyncio.Task[None]) -> None:
        feed = self._feeds.get(topic)
        if feed is not None and feed.task is task:
            del self._feeds[topic]

    async def _guarded(self, topic: str, opener: Opener, last: str | None, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait([after])
            self._inbox.resume(topic)
        try:
            await self._run(topic, opener, last)
        except Exception as error:
            # A fault of ours: the window must not go on showing "connected". The task's owner reports it.
            self._say(topic, LinkState.REFUSED, error=error)
            raise

    async def _run(self, topic: str, opener: Opener, last: str | None) -> None:
        failures = 0
        while True:
            opened_at = self._loop.time()
            problem: MissionControlError | None = None
            stalled = False
            try:
                async with opener(last) as events:
                    self._say(topic, LinkState.CONNECTED)
                    async for event in events:
                        if not self._inbox.put(topic, event):
                            stalled = True
                            break
                        if event.type is EventType.RESET:
                            last = None
                            break
                        last = event.event_id or last
            except _REFUSALS as error:
                self._say(topic, LinkState.REFUSED, error=error)
                return
            except MissionControlError as error:
                problem = error
            if stalled:
                # `_level` replaces this task once the window takes events again.
                self._inbox.nudge(topic)
                await self._loop.create_future()
            failures = failures + 1 if self._loop.time() - opened_at < STEADY_SECONDS else 1
            if problem is None and failures == 1:
                continue  # a reset: read again at once, but do not spin if it comes again and again
            log.info("stream interrupted", topic=topic, failures=failures, reason=str(problem or "reset"))
            self._say(topic, LinkState.RECONNECTING, attempt=failures, error=problem)
            delay = backoff_seconds(failures, self._jitter)
            if isinstance(problem, RateLimited):
                delay = max(delay, float(problem.retry_after))
            await asyncio.sleep(delay)

    def _on_relevel(self, topic: str, last_event_id: str | None) -> None:
        self._loop.call_soon_threadsafe(self._level, topic, last_event_id)

    def _level(self, topic: str, last_event_id: str | None) -> None:
        """The window takes events again: begin anew after what it was given."""
        feed = self._feeds.get(topic)
        if feed is None:
            return
        log.info("window was behind: bringing it level", topic=topic, after=last_event_id)
        feed.task.cancel()
        self._start(topic, feed.opener, last_event_id, after=feed.task)

    def _say(self, topic: str, state: LinkState, *, attempt: int = 0, error: BaseException | None = None) -> None:
        code = None if error is None else error.code if isinstance(error, MissionControlError) else "internal"
        text = None if error is None else str(error) or type(error).__name__
        link = Link(state=state, since=self._clock.now(), attempt=attempt, error_code=code, error=text)
        self._inbox.put(topic, link)
