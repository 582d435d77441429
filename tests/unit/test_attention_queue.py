"""The queue of what needs a person: its order, and that decisions hold exactly as long as they should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.ui.attention.queue import MAX_DECIDED, AttentionQueue, Cause, Need, rank

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

needs = st.builds(
    Need,
    key=st.sampled_from([f"k{n}" for n in range(12)]),
    cause=st.sampled_from(Cause),
    provider=st.just("internal"),
    session_id=st.just("internal:a"),
    name=st.just("a"),
    since=st.integers(0, 3).map(lambda n: NOW - timedelta(minutes=n)),
    blocked=st.integers(0, 2),
    mark=st.sampled_from(["", "x", "y"]),
)
several = st.lists(needs, max_size=12, unique_by=lambda need: need.key)


@given(several, st.randoms(use_true_random=False))
def test_the_order_is_total_and_does_not_depend_on_arrival(found: list[Need], random: object) -> None:
    queue, other = AttentionQueue(), AttentionQueue()
    queue.replace(found)
    mixed = list(found)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    other.replace(mixed)
    ordered = queue.open(NOW)
    assert ordered == other.open(NOW)
    assert len({rank(need) for need in ordered}) == len(found)
    for first, second in pairwise(ordered):
        assert list(Cause).index(first.cause) <= list(Cause).index(second.cause)
        if first.cause is second.cause:
            assert first.blocked >= second.blocked
            if first.blocked == second.blocked:
                assert first.since <= second.since


@given(st.lists(several, min_size=1, max_size=6), st.sampled_from([f"k{n}" for n in range(12)]), st.integers(0, 400))
def test_what_is_acknowledged_comes_back_with_a_new_key_alone(news: list[list[Need]], key: str, minutes: int) -> None:
    queue = AttentionQueue()
    queue.replace(news[0])
    queue.acknowledge(key)
    for number, found in enumerate(news):
        now = NOW + timedelta(minutes=minutes * number)
        queue.replace(found)
        queue.forget(now)
        assert {need.key for need in queue.open(now)} == {need.key for need in found} - {key}


@given(several.filter(bool), st.integers(1, 100), st.integers(0, 200))
def test_what_is_shelved_comes_back_at_its_time(found: list[Need], minutes: int, later: int) -> None:
    queue = AttentionQueue()
    queue.replace(found)
    key = found[0].key
    queue.shelve(key, NOW + timedelta(minutes=minutes))
    now = NOW + timedelta(minutes=later)
    assert (key in {need.key for need in queue.open(now)}) is (later >= minutes)
    queue.forget(now)
    assert (key in {need.key for need in queue.open(now)}) is (later >= minutes)


@given(needs, needs, st.integers(0, 10_000))
def test_what_is_shelved_until_something_changes_comes_back_then(one: Need, other: Need, minutes: int) -> None:
    queue = AttentionQueue()
    queue.replace([one])
    queue.shelve(one.key, None)
    later = NOW + timedelta(minutes=minutes)
    queue.forget(later)
    assert queue.open(later) == []
    queue.replace([other])
    assert bool(queue.open(later)) is (other.key != one.key or other.mark != one.mark)


def test_decisions_are_bounded_and_never_at_the_cost_of_what_is_there() -> None:
    queue = AttentionQueue()
    here = Need(key="here", cause=Cause.FAILED, provider="p", session_id="p:a", name="a", since=NOW)
    queue.replace([here])
    for key in ["here", *(f"old{n}" for n in range(MAX_DECIDED + 3))]:
        queue.acknowledge(key)
    assert queue.forget(NOW) == ["old0", "old1", "old2"]
    assert queue.open(NOW) == []
