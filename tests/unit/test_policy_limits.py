"""How often an operator may write into one session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.control.limits import MemoryRateLimiter, barge_in_allowed
from mission_control_desktop.domain.errors import RateLimited


class Watch:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


async def test_ten_a_minute_then_the_seconds_to_wait() -> None:
    watch = Watch()
    limiter = MemoryRateLimiter(watch, limit=10, window=60)
    for _ in range(10):
        await barge_in_allowed(limiter, user_id="ann", session_id="internal:s")
        watch.time += timedelta(seconds=1)
    with pytest.raises(RateLimited) as refused:
        await barge_in_allowed(limiter, user_id="ann", session_id="internal:s")
    assert refused.value.retry_after == 50
    await barge_in_allowed(limiter, user_id="bob", session_id="internal:s")
    await barge_in_allowed(limiter, user_id="ann", session_id="internal:t")
    watch.time += timedelta(seconds=50)
    await barge_in_allowed(limiter, user_id="ann", session_id="internal:s")


async def test_forgets_who_has_not_written_for_a_while() -> None:
    watch = Watch()
    limiter = MemoryRateLimiter(watch, limit=10, window=60)
    for number in range(1000):
        await limiter.hit(f"key{number}")
        watch.time += timedelta(seconds=1)
    assert len(limiter._hits) <= 61


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=80))
async def test_never_more_than_ten_in_any_minute(gaps: list[float]) -> None:
    watch = Watch()
    limiter = MemoryRateLimiter(watch, limit=10, window=60)
    passed: list[datetime] = []
    for gap in gaps:
        watch.time += timedelta(seconds=gap)
        wait = await limiter.hit("k")
        if wait is None:
            passed.append(watch.time)
        else:
            assert 0 < wait <= 60
    for start in passed:
        assert sum(1 for at in passed if start <= at < start + timedelta(seconds=60)) <= 10
