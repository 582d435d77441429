"""`HttpMissionControl` against servers that break, stall, and talk nonsense: scripted sockets, real HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.errors import (
    Conflict,
    MissionControlError,
    NotAuthenticated,
    RateLimited,
    TooLarge,
    Unreachable,
)
from mission_control_desktop.domain.events import Delta, StreamEvent

ME = b'{"userId":"u","role":"admin","workspaceId":"w"}'
Answer = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


class Request:
    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        self.body = b""


class Server:
    """Answers the n-th request by the n-th script (the last one again and again)."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.url = ""
        self.closed = asyncio.Event()
        """Set when a connection was ended by the client."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = Request(head)
                request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
                self.requests.append(request)
                answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                await answer(request, writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


@asynccontextmanager
async def bench(*answers: Answer, **options: Any) -> AsyncIterator[tuple[Server, HttpMissionControl]]:
    script = Server(*answers)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = HttpMissionControl(script.url, "secret-token", jitter=lambda: 0.0, **options)
    try:
        yield script, client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


def reply(status: int, body: bytes = b"", *headers: str) -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


async def drop(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


def stream(*chunks: bytes, end: bool = False) -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        if end:
            writer.write(b"0\r\n\r\n")
            writer.close()

    return answer


def event(seq: int, text: str = "x") -> bytes:
    data = json.dumps({"messageId": "m", "offset": 0, "text": text})
    return f"id: e-{seq}\nevent: delta\ndata: {data}\n\n".encode()


async def take(events: AsyncIterator[StreamEvent], count: int) -> list[StreamEvent]:
    return [await anext(events) for _ in range(count)]


async def test_a_broken_connection_is_tried_again_with_the_same_key() -> None:
    receipt = b'{"injectionId":"i","sessionId":"internal:a","state":"stored","at":"2026-01-01T00:00:00Z"}'
    async with bench(drop, drop, reply(202, receipt)) as (server, client):
        assert (await client.inject("internal:a", "hello")).injection_id == "i"
        keys = [request.headers["idempotency-key"] for request in server.requests]
        assert len(keys) == 3
        assert len(set(keys)) == 1
        assert {request.target for request in server.requests} == {"/api/mission-control/sessions/internal%3Aa/inject"}
        assert json.loads(server.requests[0].body) == {"content": "hello", "pauseBeforeSend": False}
        await client.inject("internal:a", "again", idempotency_key="mine")
        await client.inject("internal:a", "again")
        mine, new = (request.headers["idempotency-key"] for request in server.requests[3:])
        assert mine == "mine"
        assert new not in ("mine", keys[0])


async def test_it_gives_up_after_some_attempts() -> None:
    async with bench(drop) as (server, client):
        with pytest.raises(Unreachable, match=r"control plane at http://127\.0\.0\.1:\d+ cannot be reached"):
            await client.me()
        assert len(server.requests) == 3


async def test_nobody_there() -> None:
    client = HttpMissionControl("http://127.0.0.1:1", "secret-token", jitter=lambda: 0.0)
    with pytest.raises(Unreachable, match="cannot be reached"):
        await client.me()
    with pytest.raises(Unreachable, match="cannot be reached"):
        async with client.events():
            pass
    await client.close()


async def test_a_late_answer_is_not_asked_for_twice() -> None:
    async def late(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with bench(late, read_seconds=0.1) as (server, client):
        with pytest.raises(Unreachable, match="may still carry the request out"):
            await client.inject("internal:a", "x")
        assert len(server.requests) == 1


async def test_errors_are_those_of_the_domain_and_not_tried_again() -> None:
    body = b'{"error":{"code":"rate_limited","message":"slowly","details":{}}}'
    async with bench(reply(429, body, "Retry-After: 7"), reply(409, b""), reply(401, b"<html>")) as (server, client):
        with pytest.raises(RateLimited) as limited:
            await client.inject("internal:a", "x")
        assert limited.value.retry_after == 7
        with pytest.raises(Conflict):
            await client.resume("internal:a")
        with pytest.raises(NotAuthenticated):
            await client.me()
        assert len(server.requests) == 3


async def test_a_delete_whose_answer_was_lost_is_done() -> None:
    body = b'{"error":{"code":"not_found","message":"gone"}}'
    async with bench(drop, reply(404, body)) as (_, client):
        await client.delete_profile("x")
    async with bench(reply(404, body)) as (_, client):
        with pytest.raises(MissionControlError, match="gone"):
            await client.delete_profile("x")


async def test_redirects_are_not_followed_with_a_token() -> None:
    async with bench(reply(302, b"", "Location: http://127.0.0.1:9/")) as (server, client):
        with pytest.raises(MissionControlError, match="redirect"):
            await client.me()
        assert len(server.requests) == 1


async def test_proxies_of_the_environment_do_not_see_local_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with bench(reply(200, ME)) as (_, client):
        assert (await client.me()).user_id == "u"


async def test_no_log_line_has_the_token(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    async with bench(reply(200, ME), drop) as (server, client):
        await client.me()
        with pytest.raises(Unreachable) as caught:
            await client.me()
        assert server.requests[0].headers["authorization"] == "Bearer secret-token"
    output = capsys.readouterr()
    assert "secret-token" not in caplog.text + str(caught.value) + output.out + output.err


async def test_a_stream_gives_events_in_any_cut() -> None:
    data = event(1, "é€😀") + b": comment\n\n" + event(2)
    async with bench(stream(*[data[i : i + 1] for i in range(len(data))])) as (server, client):
        async with client.stream("internal:a/b", last_event_id="e-0", replay=3) as events:
            first, second = await take(events, 2)
        assert (first.event_id, second.event_id) == ("e-1", "e-2")
        assert isinstance(first.data, Delta)
        assert first.data.text == "é€😀"
        request = server.requests[0]
        assert request.target == "/api/mission-control/sessions/internal%3Aa%2Fb/stream?replay=3"
        assert request.headers["last-event-id"] == "e-0"
        async with asyncio.timeout(10):
            await server.closed.wait()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (stream(event(1), end=True), "closed the stream"),
        (stream(event(1), b"id: e-2\nevent: delta\ndata: {", end=True), "closed the stream"),
        (stream(event(1), b"id: e-2\nevent: delta\ndata: {\n\n"), "does not understand"),
        (stream(event(1), b": waiting\n\n"), "sent nothing for 0.2 s"),
    ],
)
async def test_a_stream_ends_with_an_error_when_its_connection_does(answer: Answer, message: str) -> None:
    async with bench(answer, silence_seconds=0.2) as (_, client), client.events() as events:
        assert (await take(events, 1))[0].event_id == "e-1"
        with pytest.raises(Unreachable, match=message):
            await anext(events)


async def test_comments_keep_a_stream_alive() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await stream()(request, writer)
        for _ in range(8):
            await asyncio.sleep(0.1)
            writer.write(b"3\r\n:\n\n\r\n")
        chunk = event(1)
        writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    async with bench(answer, silence_seconds=0.4) as (_, client), client.events() as events:
        assert (await take(events, 1))[0].event_id == "e-1"


async def test_events_of_another_version_are_skipped() -> None:
    async with (
        bench(stream(b"id: e-1\nevent: hologram\ndata: {}\n\n", event(2))) as (_, client),
        client.events() as events,
    ):
        assert (await take(events, 1))[0].event_id == "e-2"


async def test_an_event_over_the_limit_is_skipped() -> None:
    async with (
        bench(stream(event(1, "x" * 5000), event(2)), max_event_bytes=2000) as (_, client),
        client.events() as events,
    ):
        assert (await take(events, 1))[0].event_id == "e-2"


async def test_a_refused_stream_says_why() -> None:
    body = b'{"error":{"code":"too_large","message":"no room"}}'
    async with bench(reply(413, body)) as (_, client):
        with pytest.raises(TooLarge, match="no room"):
            async with client.events():
                pass
    async with bench(reply(200, b"<html>", "Content-Type: text/html")) as (_, client):
        with pytest.raises(Unreachable, match="text/html"):
            async with client.events():
                pass


async def test_eighty_streams_do_not_keep_a_call_waiting() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await (reply(200, ME) if request.target == "/api/me" else stream(event(1)))(request, writer)

    async with bench(answer) as (_, client), asyncio.timeout(30):
        ready = asyncio.Semaphore(0)
        leave = asyncio.Event()

        async def follow() -> None:
            async with client.stream("internal:a") as events:
                await take(events, 1)
                ready.release()
                await leave.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(80):
                group.create_task(follow())
            for _ in range(80):
                await ready.acquire()
            assert (await client.me()).user_id == "u"
            leave.set()
