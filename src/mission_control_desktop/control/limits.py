"""How often: limits behind an interface, so that several server processes can share one store later."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime, timedelta
from typing import Protocol

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import RateLimited

BARGE_IN_PER_MINUTE = 10


class RateLimiter(Protocol):
    async def hit(self, key: str) -> float | None:
        """Count one attempt. None if it is within the limit, else the seconds until the next one is."""
        ...


class MemoryRateLimiter:
    """At most `limit` hits in any `window` seconds per key, in this process."""

    def __init__(self, clock: Clock, *, limit: int, window: float) -> None:
        self._clock = clock
        self._limit = limit
        self._window = timedelta(seconds=window)
        self._hits: dict[str, deque[datetime]] = {}

    async def hit(self, key: str) -> float | None:
        now = self._clock.now()
        hits = self._hits.get(key)
        if hits is None:
            self._forget(now)
            hits = self._hits[key] = deque(maxlen=self._limit)
        while hits and now - hits[0] >= self._window:
            hits.popleft()
        if len(hits) >= self._limit:
            return (hits[0] + self._window - now).total_seconds()
        hits.append(now)
        return None

    def _forget(self, now: datetime) -> None:
        for key in [key for key, hits in self._hits.items() if not hits or now - hits[-1] >= self._window]:
            del self._hits[key]


async def barge_in_allowed(limiter: RateLimiter, *, user_id: str, session_id: str) -> None:
    """At most 10 a minute per operator per session. Raises RateLimited with the whole seconds to wait."""
    wait = await limiter.hit(f"barge-in|{user_id}|{session_id}")
    if wait is not None:
        seconds = max(1, math.ceil(wait))
        raise RateLimited(
            f"At most {BARGE_IN_PER_MINUTE} messages a minute to one session; the next is possible in {seconds} s.",
            retry_after=seconds,
        )
