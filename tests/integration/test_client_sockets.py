"""Streams from this computer go over sockets of our own below httpx: who reads them sees what httpx's would show."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from mission_control_desktop.client.sockets import LocalStreams

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(answer: Peer) -> AsyncIterator[str]:
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.gather(*(task for task in serving if task is not None))


async def whole(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"6\r\none, t\r\n" + b"2\r\nwo\r\n0\r\n\r\n")


async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"6\r\none")


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await reader.read()


async def seen(transport: httpx.AsyncBaseTransport, url: str) -> object:
    """The text of the stream, or the kind of error that ends it."""
    timeout = httpx.Timeout(0.3, connect=10, write=10, pool=10)
    async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:
        try:
            async with client.stream("GET", url) as answer:
                return "".join([piece async for piece in answer.aiter_text()])
        except httpx.TransportError as error:
            return type(error)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (whole, "one, two"),
        (cut, httpx.RemoteProtocolError),
        (reset, httpx.ReadError),
        (silent, httpx.ReadTimeout),
    ],
)
async def test_what_comes_and_what_goes_wrong_is_told_as_by_httpx(answer: Peer, shown: object) -> None:
    async with peer(answer) as url:
        assert await seen(LocalStreams(4), url) == shown
        assert await seen(httpx.AsyncHTTPTransport(), url) == shown


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert await seen(LocalStreams(4), url) is httpx.ConnectError


async def test_it_is_these_sockets_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[object, ...]] = []
    real = asyncio.open_connection

    async def noted(*where: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made.append(where)
        return await real(*where)  # type: ignore[arg-type]

    async with peer(whole) as url:
        monkeypatch.setattr(asyncio, "open_connection", noted)
        assert await seen(LocalStreams(4), url) == "one, two"
    assert len(made) == 1, "httpx took the pool that it was given"
