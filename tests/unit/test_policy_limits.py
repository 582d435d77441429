"""How often an operator may write into one session."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.control.limits import MovingWindow, barge_in_allowed
from mission_control_desktop.domain.errors import BadInput, RateLimited


class Watch:
    """The computer's clock, which the library reads, as a test sets it."""

    def __init__(self) -> None:
        self.time = 1_767_225_600.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    with patch("time.time", made):
        yield made


async def attempt(
    limiter: MovingWindow, *, workspace: str = "w", actor: str = "person:ann", session: str = "internal:s"
) -> None:
    await barge_in_allowed(limiter, workspace_id=workspace, actor=actor, session_id=session)


async def test_ten_a_minute_then_the_seconds_to_wait(watch: Watch) -> None:
    limiter = MovingWindow(limit=10, seconds=60)
    for _ in range(10):
        await attempt(limiter)
        watch.time += 1
    with pytest.raises(RateLimited) as refused:
        await attempt(limiter)
    # At second 60 the first one still counts; the next whole second lets through.
    assert refused.value.retry_after == 51
    await attempt(limiter, actor="person:bob")
    await attempt(limiter, actor="agent:ann")
    await attempt(limiter, session="internal:t")
    await attempt(limiter, workspace="v")
    watch.time += refused.value.retry_after - 1
    with pytest.raises(RateLimited) as refused:
        await attempt(limiter)
    assert refused.value.retry_after == 1
    watch.time += 1
    await attempt(limiter)


async def test_keys_do_not_run_into_each_other(watch: Watch) -> None:
    limiter = MovingWindow(limit=1, seconds=60)
    assert await limiter.hit("a/b", "c") is None
    assert await limiter.hit("a", "b/c") is None
    assert await limiter.hit("a", "b", "c") is None
    assert await limiter.hit("a/b", "c") == 60


async def test_forgets_who_has_not_written_for_a_while(watch: Watch) -> None:
    limiter = MovingWindow(limit=10, seconds=60)
    for number in range(300):
        await limiter.hit(f"key{number}")
        watch.time += 1
    storage: Any = limiter._own.storage
    timer = storage.timer
    assert timer is not None
    await timer
    assert len(storage.events) <= 62


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=30), max_size=60))
async def test_never_more_than_ten_in_any_minute_and_never_told_to_wait_too_long(gaps: list[float]) -> None:
    made = Watch()
    with patch("time.time", made):
        limiter = MovingWindow(limit=10, seconds=60)
        passed: list[float] = []
        for gap in gaps:
            made.time += gap
            wait = await limiter.hit("k")
            if wait is None:
                passed.append(made.time)
                continue
            assert 0 <= wait <= 60
            then = made.time + math.floor(wait) + 1
            assert sum(1 for at in passed if at >= then - 60) < 10, "whoever waits as told is let through"
    for start in passed:
        assert sum(1 for at in passed if start <= at < start + 60) <= 10


@pytest.mark.parametrize(
    "url", ["localhost:6379", "memcached://localhost", "valkey://", "valkey://host:many", "unix://", "valkey://:pw@"]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        MovingWindow(limit=10, seconds=60, shared=url)
    assert refused.value.field == "valkey-url"
    assert "pw" not in str(refused.value)
