"""Every limit of a request, over a real socket: refused with a status that says it, and in words that say how much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mission_control_desktop.domain import limits
from mission_control_desktop.domain.people import Role
from mission_control_desktop.server.app import too_deep
from mission_control_desktop.server.running import Options, Running, running
from mission_control_desktop.server.table import ROUTES

SESSIONS = "/api/mission-control/sessions"
NOBODY = f"{SESSIONS}/internal:{'0' * 32}"
INJECT = f"{NOBODY}/inject"


@dataclass
class Server:
    running: Running
    token: str

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=self.running.url, headers=headers, timeout=30, trust_env=False)

    async def raw(self, *parts: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to these very bytes."""
        place = urlsplit(self.running.url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                return int(head.split()[1]), json.loads(await reader.readexactly(length))
        finally:
            writer.close()

    def head(self, line: str, *headers: str) -> bytes:
        return "\r\n".join(
            [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.token}", *headers, "", ""]
        ).encode()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(Options(data_dir=tmp_path / "data")) as served:
        yield Server(served, (await served.plane.tokens.create(user_id="ann", role=Role.ADMIN)).token)


DEEP = b'{"a":' * (limits.MAX_JSON_DEPTH + 1) + b"1" + b"}" * (limits.MAX_JSON_DEPTH + 1)
TABLE: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", f"{SESSIONS}?limit={limits.PAGE_MAX + 1}", {}, 422, "limit"),
    ("GET", f"{SESSIONS}?limit=0", {}, 422, "limit"),
    ("GET", f"/api/mission-control/audit?limit={limits.PAGE_MAX + 1}", {}, 422, "limit"),
    ("GET", f"{NOBODY}/messages?limit={limits.PAGE_MAX + 1}", {}, 422, "limit"),
    ("GET", f"{NOBODY}/stream?replay={limits.REPLAY_MAX + 1}", {}, 422, "replay"),
    ("GET", f"{SESSIONS}?q={'x' * (limits.MAX_SEARCH_CHARS + 1)}", {}, 422, "q"),
    ("GET", f"{SESSIONS}?cursor={'x' * (limits.MAX_CURSOR_CHARS + 1)}", {}, 422, "cursor"),
    ("GET", f"{SESSIONS}?q={'x' * limits.MAX_QUERY_BYTES}", {}, 413, str(limits.MAX_QUERY_BYTES)),
    ("GET", f"{SESSIONS}?{'&'.join(['q=x'] * (limits.MAX_QUERY_FIELDS + 1))}", {}, 422, "query"),
    ("POST", INJECT, {"json": {"content": "x" * (limits.MAX_INJECT_CHARS + 1)}}, 422, "content"),
    ("POST", INJECT, {"json": {"content": ""}}, 422, "content"),
    ("POST", INJECT, {"content": b'"' + b"x" * limits.MAX_BODY_BYTES + b'"'}, 413, str(limits.MAX_BODY_BYTES)),
    ("POST", INJECT, {"content": DEEP}, 422, "body"),
    ("POST", f"{NOBODY}/kill", {"json": {"reason": "x" * (limits.MAX_REASON_CHARS + 1)}}, 422, "reason"),
    ("POST", "/api/tokens", {"json": {"user": "x" * (limits.MAX_NAME_CHARS + 1), "role": "observer"}}, 422, "user"),
    ("PUT", "/agents/profiles/p", {"json": {"command": ["x"] * (limits.MAX_COMMAND_PARTS + 1)}}, 422, "command"),
    (
        "PUT",
        "/agents/profiles/p",
        {"json": {"command": ["x"], "env": {f"E{n}": "" for n in range(limits.MAX_ENVIRONMENT + 1)}}},
        422,
        "env",
    ),
    (
        "POST",
        f"{NOBODY}/pause",
        {"json": {}, "headers": {"Idempotency-Key": "k" * (limits.MAX_KEY_CHARS + 1)}},
        422,
        "Idempotency-Key",
    ),
    ("POST", f"{NOBODY}/pause", {"json": {}, "headers": {"Idempotency-Key": ""}}, 422, "Idempotency-Key"),
    ("POST", f"{NOBODY}/pause", {"json": {}, "headers": {"Idempotency-Key": b"\xe9"}}, 422, "Idempotency-Key"),
    (
        "GET",
        f"{NOBODY}/stream",
        {"headers": {"Last-Event-ID": "x" * (limits.MAX_EVENT_ID_CHARS + 1)}},
        422,
        "Last-Event-ID",
    ),
    (
        "PATCH",
        "/api/workspace",
        {"json": {"messageRetentionDays": limits.RETENTION_DAYS_MAX + 1}},
        422,
        "messageRetentionDays",
    ),
    ("PATCH", "/api/workspace", {"json": {"messageRetentionDays": 0}}, 422, "messageRetentionDays"),
    ("PATCH", "/api/workspace", {"json": {}}, 422, "messageRetentionDays"),
]


async def test_each_limit_is_refused_by_name(server: Server) -> None:
    async with server.client() as client:
        for method, path, more, status, named in TABLE:
            answer = await client.request(method, path, **more)
            assert answer.status_code == status, (method, path[:80], named, answer.text[:300])
            error = answer.json()["error"]
            assert named in (error["details"].get("field"), str(error["details"].get("limit"))), (path[:80], error)
        assert (await client.get("/api/me")).status_code == 200


async def test_bodies_and_heads_that_lie(server: Server) -> None:
    too_large = str(limits.MAX_BODY_BYTES + 1)
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    json_ = "Content-Type: application/json"
    status, body = await server.raw(
        server.head(f"POST {INJECT}", json_, "Transfer-Encoding: chunked"), *[chunk] * 17, b"0\r\n\r\n"
    )
    assert (status, body["error"]["details"]["limit"]) == (413, limits.MAX_BODY_BYTES)
    status, body = await server.raw(
        server.head(f"POST {INJECT}", json_, f"Content-Length: {too_large}"), b"x" * int(too_large)
    )
    assert status == 413
    # Less was announced than is sent: what is over is no part of the request.
    status, body = await server.raw(server.head(f"POST {INJECT}", json_, "Content-Length: 2"), b'{}{"content": "x"}')
    assert (status, body["error"]["details"]["field"]) == (422, "content")
    status, body = await server.raw(server.head("GET /api/me", "X-Long: " + "x" * limits.MAX_HEADER_BYTES))
    assert status in (400, 413), "before it is whole the connection refuses it, whole the application"
    assert body["error"]["message"]


async def test_streams_are_counted_per_token_and_in_all(server: Server) -> None:
    streams: Any = server.running._application.streams
    assert (streams._limit, streams._total) == (limits.MAX_STREAMS_PER_TOKEN, limits.MAX_STREAMS)
    streams._limit, streams._total = 2, 3
    other = (await server.running.plane.tokens.create(user_id="bob", role=Role.OBSERVER)).token
    path = "/api/mission-control/events"
    async with server.client() as client, AsyncExitStack() as stack:
        for token, words in ((server.token, "per token"), (other, "This server")):
            headers = {"Authorization": f"Bearer {token}"}
            for _ in range(2 if token == server.token else 1):
                opened = await stack.enter_async_context(client.stream("GET", path, headers=headers))
                assert opened.status_code == 200
            refused = await client.get(path, headers=headers, timeout=5)
            assert refused.status_code == 429
            assert words in refused.json()["error"]["message"]
            assert int(refused.headers["Retry-After"]) >= 1


async def test_what_grows_is_counted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOKENS", 4)
    monkeypatch.setattr(limits, "MAX_PROFILES", 1)
    async with server.client() as client:
        made = [await client.post("/api/tokens", json={"user": "x", "role": "observer"}) for _ in range(3)]
        assert [one.status_code for one in made] == [201, 201, 409]
        assert (await client.delete(f"/api/tokens/{made[0].json()['id']}")).status_code == 204
        assert (await client.post("/api/tokens", json={"user": "x", "role": "observer"})).status_code == 201
        for name, status in (("a", 200), ("b", 409), ("a", 200)):
            put = await client.put(f"/agents/profiles/{name}", json={"command": ["true"]})
            assert put.status_code == status, put.text


async def test_the_contract_names_them(server: Server) -> None:
    async with server.client() as client:
        contract = (await client.get("/api/openapi.json")).json()
    for route in ROUTES:
        operation = contract["paths"][route.path][route.method.lower()]
        found = {one["name"]: one["schema"] for one in operation["parameters"]}
        if route.method == "POST":
            assert found["Idempotency-Key"]["maxLength"] == limits.MAX_KEY_CHARS
            assert found["Idempotency-Key"]["pattern"] == limits.KEY_PATTERN
        if route.stream:
            assert found["Last-Event-ID"]["maxLength"] == limits.MAX_EVENT_ID_CHARS
            assert "429" in operation["responses"]
        assert "413" in operation["responses"]
    content = contract["components"]["schemas"]["InjectBody"]["properties"]["content"]
    assert (content["minLength"], content["maxLength"]) == (1, limits.MAX_INJECT_CHARS)


@pytest.mark.parametrize(
    ("raw", "deep"),
    [
        (b"[" * limits.MAX_JSON_DEPTH + b"]" * limits.MAX_JSON_DEPTH, False),
        (b"[" * (limits.MAX_JSON_DEPTH + 1), True),
        (b'{"a": "' + b"[{" * 500 + b'"}', False),
        (b'{"a": "\\"' + b"[{" * 500 + b'"}', False),
        (b"[" + b"[]," * 500 + b"1]", False),
        (b'{"a":"\\\\"' + b",".join([b""] + [b'"b":['] * 40) + b"}", True),
    ],
)
def test_depth_counts_levels_and_no_words(raw: bytes, deep: bool) -> None:
    assert too_deep(raw) is deep


async def test_a_key_is_forgotten_when_its_time_is_over(tmp_path: Path) -> None:
    from support.clocks import MovedClock
    from support.planes import ANN, ScriptedProvider, plane

    clock, provider = MovedClock(), ScriptedProvider()
    async with plane(tmp_path, provider, clock=clock) as built:
        session_id = await provider.add("s")
        first = await built.bind(ANN).inject(session_id, "hello", idempotency_key="k")
        clock.later = timedelta(hours=limits.KEY_HOURS - 1)
        assert await built.bind(ANN).inject(session_id, "hello", idempotency_key="k") == first
        clock.later = timedelta(hours=limits.KEY_HOURS + 1)
        assert (await built.bind(ANN).inject(session_id, "other words", idempotency_key="k")) != first
