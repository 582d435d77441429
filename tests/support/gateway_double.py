"""A scripted OpenClaw gateway for faults that the real one cannot be made to show.

It verifies the device's signature as the real one does. What a method answers is set in `answers`: a payload, or a
callable of the params that returns one, raises `Refuse`, or never returns.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TOKEN = "the-shared-token"
ALL_SCOPES = ("operator.read", "operator.write", "operator.approvals", "operator.questions", "operator.admin")


class Refuse(Exception):
    def __init__(self, code: str, message: str = "refused", **more: Any) -> None:
        super().__init__(code)
        self.body = {"code": code, "message": message, **more}


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class GatewayDouble:
    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "sessions.subscribe": {"subscribed": True},
            "sessions.messages.subscribe": {},
            "sessions.messages.unsubscribe": {},
            "sessions.list": {"sessions": [], "totalCount": 0, "hasMore": False, "nextOffset": None},
            "exec.approval.list": {"approvals": []},
            "question.list": {"questions": []},
            "tasks.list": {"tasks": []},
        }
        self.refuse_connect: list[Refuse] = []
        """Taken one per connect."""
        self.scopes: tuple[str, ...] = ALL_SCOPES
        self.protocol = 4
        self.boot_id = "boot-1"
        self.policy: dict[str, Any] = {"maxPayload": 1_000_000, "tickIntervalMs": 30_000}
        self.device_tokens: set[str] = set()
        self.issue_tokens = True
        self.silent = False
        """Accept connections and say nothing."""
        self.connects: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.under_way = self.most_under_way = 0
        self.sockets: set[ServerConnection] = set()
        self._seq: dict[ServerConnection, int] = {}
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await serve(self._serve, "127.0.0.1", self.port, max_size=64 * 1024 * 1024, close_timeout=1)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def tell(self, event: str, payload: Any, *, skip: int = 0) -> None:
        """Send an event to everyone who is connected. `skip`: leave so many numbers out before it."""
        for socket in tuple(self._seq):
            self._seq[socket] += 1 + skip
            await socket.send(
                json.dumps({"type": "event", "event": event, "payload": payload, "seq": self._seq[socket]})
            )

    async def drop(self, code: int = 1012, reason: str = "service restart") -> None:
        for socket in tuple(self.sockets):
            await socket.close(code, reason)

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.add(socket)
        try:
            if self.silent:
                await socket.wait_closed()
                return
            await self._talk(socket)
        except ConnectionClosed:
            return
        finally:
            self.sockets.discard(socket)
            self._seq.pop(socket, None)

    async def _talk(self, socket: ServerConnection) -> None:
        challenge = {"nonce": f"nonce-{len(self.connects)}", "ts": 1_795_376_223_509, "capabilities": []}
        await socket.send(json.dumps({"type": "event", "event": "connect.challenge", "payload": challenge}))
        first = json.loads(await socket.recv())
        assert first["type"] == "req"
        assert first["method"] == "connect"
        params = first["params"]
        self.connects.append(params)
        try:
            hello = self._welcome(params, challenge)
        except Refuse as refused:
            await socket.send(json.dumps({"type": "res", "id": first["id"], "ok": False, "error": refused.body}))
            await socket.close(1008, "refused")
            return
        await socket.send(json.dumps({"type": "res", "id": first["id"], "ok": True, "payload": hello}))
        self._seq[socket] = 0
        async with asyncio.TaskGroup() as group:
            replies: set[asyncio.Task[None]] = set()
            with suppress(ConnectionClosed):
                async for raw in socket:
                    task = group.create_task(self._reply(socket, json.loads(raw)))
                    replies.add(task)
                    task.add_done_callback(replies.discard)
            for task in replies:
                task.cancel()  # An answer that never comes does not outlive who asked.

    def _welcome(self, params: dict[str, Any], challenge: dict[str, Any]) -> dict[str, Any]:
        if self.refuse_connect:
            raise self.refuse_connect.pop(0)
        device, auth = params["device"], params["auth"]
        token = auth.get("deviceToken") or auth.get("token") or ""
        client = params["client"]
        who = [device["id"], client["id"], client["mode"], params["role"], ",".join(params["scopes"])]
        said = "|".join(["v3", *who, str(device["signedAt"]), token, challenge["nonce"], client["platform"], ""])
        public = _unbase64(device["publicKey"])
        assert hashlib.sha256(public).hexdigest() == device["id"]
        assert device["nonce"] == challenge["nonce"]
        Ed25519PublicKey.from_public_bytes(public).verify(_unbase64(device["signature"]), said.encode())
        if "deviceToken" in auth:
            if auth["deviceToken"] not in self.device_tokens:
                raise Refuse("INVALID_REQUEST", "revoked", details={"code": "AUTH_DEVICE_TOKEN_MISMATCH"})
        elif auth.get("token") != TOKEN:
            raise Refuse("INVALID_REQUEST", "unauthorized", details={"code": "AUTH_TOKEN_MISMATCH"})
        granted: dict[str, Any] = {"role": "operator", "scopes": list(self.scopes)}
        if self.issue_tokens:
            granted["deviceToken"] = f"device-token-{len(self.connects)}"
            self.device_tokens.add(granted["deviceToken"])
        return {
            "type": "hello-ok",
            "protocol": self.protocol,
            "server": {"version": "2026.9.6", "bootId": self.boot_id, "connId": "c"},
            "features": {"methods": [*self.answers, "chat.history", "chat.send"], "events": []},
            "auth": granted,
            "policy": self.policy,
        }

    async def _reply(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        method, params = request["method"], request["params"]
        self.calls.append((method, params))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.answers[method]
            if callable(answer):
                answer = answer(params)
            if inspect.isawaitable(answer):
                answer = await answer
            reply = {"type": "res", "id": request["id"], "ok": True, "payload": answer}
        except KeyError:
            error = {"code": "INVALID_REQUEST", "message": f"unknown method: {method}"}
            reply = {"type": "res", "id": request["id"], "ok": False, "error": error}
        except Refuse as refused:
            reply = {"type": "res", "id": request["id"], "ok": False, "error": refused.body}
        finally:
            self.under_way -= 1
        with suppress(ConnectionClosed):
            await socket.send(json.dumps(reply))


@asynccontextmanager
async def gateway_double(setup: Callable[[GatewayDouble], None] | None = None) -> AsyncIterator[GatewayDouble]:
    double = GatewayDouble()
    if setup is not None:
        setup(double)
    await double.start()
    try:
        yield double
    finally:
        await double.stop()


class MemoryKeep:
    """`providers.kinds.Keep` in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def load(self) -> dict[str, str]:
        return dict(self.values)

    async def save(self, values: Any) -> None:
        self.values = dict(values)
