"""A relay in front of a real gateway: it can be cut, and says what it saw; the gateway takes what it adds for ours."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException

OURS = "relay-"
"""Requests with such ids are the relay's own; their replies go no further."""


class Relay:
    """Stands at one address for its whole life. `events` are those that the gateway told the clients, in order."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: Server | None = None
        self._port = 0
        self._pairs: dict[ServerConnection, ClientConnection] = {}
        self._greeted: list[ClientConnection] = []
        self._ids = itertools.count(1)
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    async def listen(self) -> None:
        self._server = await serve(self._pass_on, "127.0.0.1", self._port, max_size=None, compression=None)
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def shut(self) -> None:
        """Nobody is connected, and nobody gets in."""
        server, self._server = self._server, None
        if server is not None:
            server.close(close_connections=False)
            await self.cut()
            await server.wait_closed()

    async def cut(self) -> None:
        for pair in list(self._pairs.items()):
            for one in pair:
                one.transport.abort()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask over the newest connection that the gateway let in. Raises AssertionError if it refuses."""
        request_id = f"{OURS}{next(self._ids)}"
        reply = self._replies[request_id] = asyncio.get_running_loop().create_future()
        frame = {"type": "req", "id": request_id, "method": method, "params": params}
        await self._greeted[-1].send(json.dumps(frame))
        async with asyncio.timeout(60):
            answer = await reply
        assert answer["ok"], (method, answer.get("error"))
        return dict(answer.get("payload") or {})

    async def _pass_on(self, client: ServerConnection) -> None:
        try:
            gateway = await connect(self._target, max_size=None, proxy=None, compression=None)
        except (OSError, WebSocketException):
            return
        self._pairs[client] = gateway
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(client, gateway))
                group.create_task(self._copy(gateway, client, heard=gateway))
        finally:
            del self._pairs[client]
            if gateway in self._greeted:
                self._greeted.remove(gateway)
            await gateway.close()

    async def _copy(
        self,
        source: ClientConnection | ServerConnection,
        sink: ClientConnection | ServerConnection,
        *,
        heard: ClientConnection | None = None,
    ) -> None:
        try:
            async for raw in source:
                if heard is None or not self._is_ours(json.loads(raw), heard):
                    await sink.send(raw)
        except ConnectionClosed:
            pass
        finally:
            code, reason = (source.close_code, source.close_reason or "")
            await sink.close(1000 if code in (None, 1005, 1006) else code, reason)

    def _is_ours(self, frame: dict[str, Any], gateway: ClientConnection) -> bool:
        if frame["type"] == "event":
            if frame["event"].startswith("exec.approval."):
                self.events.append((frame["event"], frame.get("payload") or {}))
            return False
        payload = frame.get("payload")
        if frame.get("ok") and isinstance(payload, dict) and payload.get("type") == "hello-ok":
            self._greeted.append(gateway)
        reply = self._replies.pop(frame["id"], None)
        if reply is not None and not reply.done():
            reply.set_result(frame)
        return str(frame["id"]).startswith(OURS)
