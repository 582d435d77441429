"""The inbox: what the window ends up with is the record, whatever it merges or drops."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.client.inbox import WORKSPACE, Inbox, InboxItem, Link, LinkState
from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TOPIC = "internal:a"


def message(seq: int, message_id: str, content: str, topic: str = TOPIC) -> StreamEvent:
    data = AgentMessage(message_id=message_id, session_id=topic, role=MessageRole.AGENT, content=content, timestamp=NOW)
    return StreamEvent(event_id=f"e-{seq}", type=EventType.MESSAGE, data=data)


def delta(seq: int, message_id: str, offset: int, text: str) -> StreamEvent:
    return StreamEvent(
        event_id=f"e-{seq}", type=EventType.DELTA, data=Delta(message_id=message_id, offset=offset, text=text)
    )


def link(state: LinkState = LinkState.CONNECTED) -> Link:
    return Link(state=state, since=NOW)


class Transcript:
    """What a window does with a session's events. A delta that does not fit is a fault."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def show(self, items: list[InboxItem]) -> None:
        for item in items:
            assert isinstance(item.event, StreamEvent)
            data = item.event.data
            if isinstance(data, AgentMessage):
                self.texts[data.message_id] = data.content
            elif isinstance(data, Delta):
                have = self.texts[data.message_id]
                assert data.offset <= len(have), "a gap"
                if data.offset + len(data.text) > len(have):
                    self.texts[data.message_id] = have[: data.offset] + data.text


def test_following_deltas_of_a_message_become_one() -> None:
    inbox = Inbox()
    inbox.put(TOPIC, message(1, "m", ""))
    for number, text in enumerate(["ab", "c", "def"]):
        inbox.put(TOPIC, delta(2 + number, "m", len("abcdef"[: [0, 2, 3][number]]), text))
    first, second = inbox.drain()
    assert isinstance(second.event, StreamEvent)
    assert second.event.data == Delta(message_id="m", offset=0, text="abcdef")
    assert second.event.event_id == "e-4"
    assert (first.merged, second.merged) == (1, 3)
    assert inbox.stats().merged == 2


def test_a_whole_message_replaces_what_waits_of_it() -> None:
    inbox = Inbox()
    inbox.put(TOPIC, message(1, "m", "a"))
    inbox.put(TOPIC, message(2, "m", "ab"))
    inbox.put(TOPIC, delta(3, "n", 0, "x"))
    items = inbox.drain()
    assert [item.event for item in items] == [message(2, "m", "ab"), delta(3, "n", 0, "x")]


def test_a_delta_that_does_not_follow_is_kept_apart() -> None:
    inbox = Inbox()
    inbox.put(TOPIC, delta(1, "m", 0, "ab"))
    inbox.put(TOPIC, delta(2, "m", 5, "x"))
    assert len(inbox.drain()) == 2


def test_wakes_once_between_drains_and_again_if_something_is_left() -> None:
    calls: list[int] = []
    inbox = Inbox(lambda: calls.append(1))
    for number in range(10):
        inbox.put(TOPIC, message(number, f"m{number}", ""))
    assert len(calls) == 1
    assert len(inbox.drain(4)) == 4
    assert len(calls) == 2
    assert len(inbox.drain(100)) == 6
    assert len(calls) == 2
    assert inbox.drain() == []
    inbox.put(TOPIC, link())
    assert len(calls) == 3


def test_late_wake_up_call_hears_of_what_waits() -> None:
    calls: list[int] = []
    inbox = Inbox()
    inbox.put(TOPIC, link())
    inbox.on_wake(lambda: calls.append(1))
    assert calls == [1]


def test_a_loud_topic_does_not_delay_a_quiet_one() -> None:
    inbox = Inbox()
    for number in range(1000):
        inbox.put("internal:loud", message(number, f"m{number}", ""))
    inbox.put("internal:quiet", message(1, "q", "hello", "internal:quiet"))
    assert any(item.topic == "internal:quiet" for item in inbox.drain(64))


def test_over_the_bound_the_backlog_goes_but_for_its_beginning_and_the_feed_is_told_where_to_go_on() -> None:
    asked: list[tuple[str, str | None]] = []
    inbox = Inbox(max_topic_events=10)
    inbox.on_relevel(lambda topic, last: asked.append((topic, last)))
    inbox.put(TOPIC, message(1, "m1", ""))
    inbox.drain()
    taken = [inbox.put(TOPIC, message(2 + number, f"n{number}", "")) for number in range(11)]
    assert taken == [True] * 10 + [False]
    assert inbox.put(TOPIC, message(20, "late", "")) is False
    assert inbox.put(TOPIC, link()) is False
    assert asked == []
    assert [item.event for item in inbox.drain(1)] == [message(2, "n0", "")]
    assert asked == []
    assert [item.event for item in inbox.drain()] == [link()]
    assert asked == [(TOPIC, "e-2")]
    inbox.drain()
    assert len(asked) == 1
    inbox.nudge(TOPIC)
    inbox.drain()
    assert len(asked) == 2
    inbox.resume(TOPIC)
    assert inbox.put(TOPIC, message(3, "n1", "")) is True
    stats = inbox.stats()
    assert (stats.relevelled, stats.dropped, stats.pending) == (1, 11, 1)


def test_a_stalled_topic_wakes_its_reader() -> None:
    calls: list[int] = []
    inbox = Inbox(lambda: calls.append(1), max_topic_events=2)
    for number in range(3):
        inbox.put(TOPIC, message(number, f"m{number}", ""))
    assert len(calls) == 1
    inbox.drain()
    inbox.nudge(TOPIC)
    assert len(calls) == 2


def test_the_total_is_bounded_by_dropping_the_largest() -> None:
    asked: list[str] = []
    inbox = Inbox(max_total_chars=100_000)
    inbox.on_relevel(lambda topic, last: asked.append(topic))
    inbox.put("internal:big", message(1, "b", "x" * 45_000, "internal:big"))
    inbox.put("internal:big", message(2, "c", "x" * 45_000, "internal:big"))
    assert inbox.put("internal:small", message(1, "s", "x" * 20_000, "internal:small")) is True
    assert [item.topic for item in inbox.drain()] == ["internal:big", "internal:small"]
    assert asked == ["internal:big"]
    assert inbox.stats().pending_chars == 0


def test_metadata_counts_too() -> None:
    inbox = Inbox(max_topic_chars=50_000)
    data = AgentMessage(
        message_id="m",
        session_id=TOPIC,
        role=MessageRole.AGENT,
        content="",
        timestamp=NOW,
        metadata={"diffs": [{"newText": "x" * 60_000}]},
    )
    assert inbox.put(TOPIC, StreamEvent(event_id="e-1", type=EventType.MESSAGE, data=data)) is False
    assert len(inbox.drain()) == 1


def test_forgotten_and_closed() -> None:
    inbox = Inbox()
    inbox.put(TOPIC, message(1, "m", ""))
    inbox.put(WORKSPACE, link())
    inbox.forget(TOPIC)
    assert [item.topic for item in inbox.drain()] == [WORKSPACE]
    inbox.close()
    assert inbox.put(TOPIC, message(1, "m", "")) is False
    assert inbox.drain() == []


def test_lag_is_measured() -> None:
    now = [10.0]
    inbox = Inbox(monotonic=lambda: now[0])
    inbox.put(TOPIC, link())
    now[0] = 10.25
    inbox.drain()
    assert inbox.stats().lag_ms == pytest.approx(250)


WORDS = st.lists(st.tuples(st.integers(0, 3), st.text(alphabet="abé", min_size=1, max_size=4)), max_size=60)


@given(WORDS, st.lists(st.integers(0, 5), max_size=60), st.integers(2, 8))
@settings(deadline=None)
def test_a_slow_reader_ends_up_with_the_record(words: list[tuple[int, str]], drains: list[int], bound: int) -> None:
    """A record, a feed that obeys the inbox, and a reader that drains at odd times: equal in the end."""
    record: dict[str, str] = {}
    changed: dict[str, int] = {}
    inbox = Inbox(max_topic_events=bound)
    transcript = Transcript()
    reading = True
    restart: list[str | None] = []
    inbox.on_relevel(lambda topic, last: restart.append(last))

    def take(count: int) -> None:
        nonlocal reading
        transcript.show(inbox.drain(count))
        while restart:
            last = restart.pop()
            inbox.resume(TOPIC)
            reading = True
            since = 0 if last is None else int(last.split("-")[1])
            for name, at in sorted(changed.items(), key=lambda item: item[1]):
                if at > since and reading:
                    reading = inbox.put(TOPIC, message(at, name, record[name]))

    for seq, (which, text) in enumerate(words, start=1):
        name = f"m{which}"
        if name in record:
            event = delta(seq, name, len(record[name]), text)
            record[name] += text
        else:
            record[name] = text
            event = message(seq, name, text)
        changed[name] = seq
        if reading:
            reading = inbox.put(TOPIC, event)
        if seq <= len(drains) and drains[seq - 1]:
            take(drains[seq - 1])
    for _ in range(200):
        take(5)
    assert transcript.texts == record


def test_put_and_drain_from_two_threads() -> None:
    woken = threading.Event()
    inbox = Inbox(woken.set)
    transcript = Transcript()
    total = 5_000

    def write() -> None:
        inbox.put(TOPIC, message(1, "m", ""))
        for number in range(total):
            inbox.put(TOPIC, delta(2 + number, "m", number, "x"))

    writer = threading.Thread(target=write)
    writer.start()
    while len(transcript.texts.get("m", "")) < total:
        assert woken.wait(10)
        woken.clear()
        transcript.show(inbox.drain(16))
    writer.join()
    assert transcript.texts == {"m": "x" * total}
