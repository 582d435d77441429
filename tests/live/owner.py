"""Somebody else at the real gateway: its owner, with all scopes, on a bare WebSocket and nothing of ours."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SCOPES = ["read", "write", "admin", "approvals", "questions", "pairing"]


class Owner:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.on_event: Callable[[str, Any], None] = lambda event, payload: None

    async def call(self, method: str, **params: Any) -> Any:
        """Raises AssertionError with the gateway's words for a refusal."""
        request_id = str(next(self._ids))
        reply = self._replies[request_id] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"type": "req", "id": request_id, "method": method, "params": params}))
        async with asyncio.timeout(60):
            answer = await reply
        assert answer["ok"], (method, answer.get("error"))
        return answer.get("payload")

    async def read(self) -> None:
        try:
            await self._read()
        except ConnectionClosed as error:
            for reply in self._replies.values():
                reply.set_exception(error)

    async def _read(self) -> None:
        async for raw in self._socket:
            frame = json.loads(raw)
            if frame["type"] == "event":
                self.on_event(frame["event"], frame.get("payload"))
            elif (reply := self._replies.pop(frame["id"], None)) is not None and not reply.done():
                reply.set_result(frame)  # not for a call that was cancelled meanwhile

    async def greet(self, token: str, caps: Sequence[str]) -> None:
        challenge = json.loads(await self._socket.recv())
        assert challenge["event"] == "connect.challenge"
        client = {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"}
        params = {"minProtocol": 4, "maxProtocol": 4, "client": client, "role": "operator", "auth": {"token": token}}
        params |= {"scopes": [f"operator.{one}" for one in SCOPES], "caps": list(caps)}
        await self._socket.send(json.dumps({"type": "req", "id": "0", "method": "connect", "params": params}))
        hello = json.loads(await self._socket.recv())
        assert hello["ok"], hello


@asynccontextmanager
async def owner_of(url: str, token: str, *, caps: Sequence[str] = ()) -> AsyncIterator[Owner]:
    async with connect(url, max_size=None, proxy=None) as socket:
        owner = Owner(socket)
        await owner.greet(token, caps)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(owner.read())
            try:
                yield owner
            finally:
                reading.cancel()
