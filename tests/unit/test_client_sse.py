"""The event-stream parser: any cut of the bytes gives the same events, and memory stays bounded."""

from __future__ import annotations

from itertools import pairwise

from httpx_sse._decoders import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.client.sse import RawEvent, SseParser


def parse(data: bytes, cuts: list[int] | None = None, limit: int = 1 << 20) -> list[RawEvent]:
    parser = SseParser(max_event_bytes=limit)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    return [event for start, end in pairwise(edges) for event in parser.feed(data[start:end])]


def test_fields_comments_and_defaults() -> None:
    data = b"\xef\xbb\xbf: hello\n\nid: e-1\nevent: message\n" + b'data: {"a":1}\n\n'
    data += b"event:x\ndata:1\ndata: 2\n\nevent: empty\n\ndata\n\n"
    assert parse(data) == [
        RawEvent(type="message", data=b'{"a":1}', event_id="e-1"),
        RawEvent(type="x", data=b"1\n2", event_id="e-1"),
        RawEvent(type="message", data=b"", event_id="e-1"),
    ]


def test_an_unfinished_event_is_not_given_out() -> None:
    assert parse(b"id: 1\ndata: half\n") == []


@given(
    st.lists(
        st.sampled_from(
            [b"data: ", b"event: ", b"id: ", b": ", b"\n", b"\r", b"\r\n", b"\n\n", b"a", b"\xc3\xa9", b"data", b":"]
        ),
        max_size=40,
    ),
    st.lists(st.integers(min_value=0, max_value=10_000), max_size=12),
)
def test_any_cut_gives_the_same_events_as_a_reference_decoder(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    decoder = SSEDecoder()
    expected = []
    for line in data.splitlines(keepends=True):
        if line[-1] in b"\r\n":
            event = decoder.decode(line.rstrip(b"\r\n").decode())
            # The reference also gives out events without data; the specification drops those.
            if event is not None:
                expected.append((event.event, event.data, event.id or None))
    found = [(event.type, event.data.decode(), event.event_id) for event in parse(data, cuts)]
    assert [item for item in found if item[1]] == [item for item in expected if item[1]]
    assert parse(data, cuts) == parse(data)


@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=12))
def test_an_event_over_the_limit_is_skipped_and_the_next_one_is_whole(cuts: list[int]) -> None:
    data = b"id: 1\ndata: a\n\nid: 2\ndata: " + b"x" * 3000 + b"\ndata: y\n\nid: 3\ndata: b\n\n"
    assert [(event.data, event.event_id) for event in parse(data, cuts, limit=1000)] == [(b"a", "1"), (b"b", "3")]


def test_many_small_lines_count_against_the_limit_too() -> None:
    parser = SseParser(max_event_bytes=1000)
    assert parser.feed(b"data: 0123456789\n" * 500) == []
    assert parser.oversize == 1
    assert parser.feed(b"\ndata: ok\n\n") == [RawEvent(type="message", data=b"ok", event_id=None)]


def test_an_endless_line_is_not_kept() -> None:
    parser = SseParser(max_event_bytes=1000)
    for _ in range(100):
        parser.feed(b"data: " + b"x" * 500)
    assert parser.oversize == 1
    assert sum(map(len, parser._rest)) + sum(map(len, parser._data)) <= 1000
