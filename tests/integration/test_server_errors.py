"""Bad input of every kind: one shape, a field that is named, a message for a person, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from support.served import Served, served

SESSIONS = "/api/mission-control/sessions"
NOBODY = f"{SESSIONS}/internal:{'0' * 32}"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("errors") / "data") as made:
        yield made


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    assert error["message"][-1] in ".:!" or error["details"]
    assert "Traceback" not in answer.text
    assert "mission_control_desktop" not in answer.text
    return error


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"{NOBODY}/inject", {"content": "x", "contents": "y"}, "contents"),
        (f"{NOBODY}/inject", {"content": "x", "expectedRunID": "y"}, "expectedRunID"),
        (f"{NOBODY}/inject", {}, "content"),
        (f"{NOBODY}/inject", {"content": ""}, "content"),
        (f"{NOBODY}/inject", {"content": 1}, "content"),
        (f"{NOBODY}/inject", {"content": "x" * 120_001}, "content"),
        (f"{NOBODY}/inject", {"content": "x", "delivery": "shout"}, "delivery"),
        (f"{NOBODY}/inject", {"content": "x", "pauseBeforeSend": "yes"}, "pauseBeforeSend"),
        (f"{NOBODY}/kill", {}, "reason"),
        (f"{NOBODY}/kill", {"reason": ""}, "reason"),
        (f"{NOBODY}/kill", {"reason": "x" * 2001}, "reason"),
        (f"{NOBODY}/pause", {"level": "deep"}, "level"),
        (SESSIONS, {"profile": "demo", "provider": "Not A Name"}, "provider"),
        (SESSIONS, {"provider": "internal"}, "profile"),
        (SESSIONS, {"profile": "demo", "taskSource": "elsewhere"}, "taskSource"),
        (SESSIONS, {"profile": "demo", "cwd": "/does/not/exist"}, "cwd"),
        ("/agents/spawn", {"profile": "demo", "provider": "internal"}, "provider"),
        ("/api/mission-control/kill-all", {"scope": "all", "confirm": "kill all", "reason": "x"}, "confirm"),
        ("/api/mission-control/kill-all", {"scope": "all", "reason": "x"}, "confirm"),
        ("/api/mission-control/kill-all", {"scope": "mars", "confirm": "KILL ALL", "reason": "x"}, "scope"),
        (
            "/api/mission-control/kill-all",
            {"scope": "all", "confirm": "KILL ALL", "reason": "x", "undoSeconds": 61},
            "undoSeconds",
        ),
        ("/api/tokens", {"user": "x", "role": "king"}, "role"),
        ("/api/tokens", {"user": "x", "role": "admin", "expiresIn": "soon"}, "expiresIn"),
        ("/api/tokens", {"user": "x", "role": "admin", "expiresIn": -1}, "expiresIn"),
        ("/api/tokens", {"user": "", "role": "admin"}, "user"),
    ],
)
def test_a_wrong_field_is_named(plane: Served, path: str, body: dict[str, Any], field: str) -> None:
    error = error_of(plane.admin.post(path, json=body), 422)
    assert error["code"] == "bad_input"
    assert error["details"]["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("status=asleep", "status"),
        ("provider=Not%20One", "provider"),
        ("sesion=x", "sesion"),
        ("cursor=nonsense", "cursor"),
        ("q=%ff", "query"),
    ],
)
def test_a_wrong_query_is_named(plane: Served, query: str, field: str) -> None:
    assert error_of(plane.admin.get(f"{SESSIONS}?{query}"), 422)["details"]["field"] == field


@pytest.mark.parametrize("query", ["from=yesterday", "from=2026-01-01T00:00:00", "to=noon"])
def test_times_need_a_zone(plane: Served, query: str) -> None:
    error = error_of(plane.admin.get(f"/api/mission-control/audit?{query}"), 422)
    assert error["details"]["field"] in ("from", "to")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 422),
        (b"[]", {}, 422),
        (b"null", {}, 422),
        (b'{"content": "\xff"}', {}, 422),
        (b'{"content": "\\ud800"}', {}, 422),
        (b"[" * 100_000, {}, 422),
        (b'{"content": "x"}', {"Content-Type": "text/plain"}, 415),
        (b"content=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"content": "' + b"x" * 1_100_000 + b'"}', {}, 413),
    ],
)
def test_a_wrong_body(plane: Served, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = plane.admin.post(
        f"{NOBODY}/inject", content=content, headers={"Content-Type": "application/json", **headers}
    )
    error_of(answer, status)
    assert plane.admin.get("/api/me").status_code == 200


def test_a_huge_body_is_cut_off_without_being_kept(plane: Served) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 1_048_576

    try:
        answer = plane.admin.post(f"{NOBODY}/inject", content=parts(), headers={"Content-Type": "application/json"})
    except httpx.TransportError:
        pass  # cut off while it was still sending
    else:
        error_of(answer, 413)
    assert plane.admin.get("/api/me").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api", 404),
        ("GET", "/api/me/", 404),
        ("GET", "/agents/", 404),
        ("GET", "/api/mission-control/sessions/a/b/c", 404),
        ("POST", "/api/health", 405),
        ("PATCH", "/agents/spawn", 405),
        ("DELETE", "/api/mission-control/audit", 405),
        ("PUT", "/api/mission-control/audit", 405),
        ("GET", f"{NOBODY}", 404),
        ("GET", f"{NOBODY}/messages", 404),
        ("GET", f"{NOBODY}/stream", 404),
        ("GET", f"{NOBODY}/processes", 404),
        ("GET", f"{SESSIONS}/nowhere%3Ax", 404),
        ("GET", f"{SESSIONS}/internal%3A..%2F..%2Fetc%2Fpasswd", 404),
        ("GET", f"{SESSIONS}/%ff", 404),
        ("GET", "/agents/internal%3Ax", 404),
        ("GET", "/api/mission-control/kill-all/x", 404),
        ("DELETE", "/api/tokens/x", 404),
        ("DELETE", "/agents/profiles/x", 404),
        ("DELETE", "/agents/profiles/demo", 409),
    ],
)
def test_what_is_not_there(plane: Served, method: str, path: str, status: int) -> None:
    answer = plane.admin.request(method, path)
    error_of(answer, status)
    if status == 405:
        assert answer.headers["allow"]


def test_an_unexpected_fault_says_nothing_of_the_inside(tmp_path: Any) -> None:
    """Through the application alone: a handler that breaks."""
    import asyncio

    from mission_control_desktop.control.policy import Operation
    from mission_control_desktop.server.app import Application
    from mission_control_desktop.server.calls import Call
    from mission_control_desktop.server.table import Route
    from support.planes import plane as in_process

    async def broken(call: Call) -> None:
        raise RuntimeError("password=hunter2")

    async def main() -> None:
        async with in_process(tmp_path) as built:
            from mission_control_desktop.domain.people import Role

            made = await built.tokens.create(user_id="ann", role=Role.ADMIN)
            app = Application(built, routes=[Route("GET", "/broken", Operation.ME, broken, "It breaks")])
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                answer = await client.get("/broken", headers={"Authorization": f"Bearer {made.token}"})
            error = error_of(answer, 500)
            assert error["code"] == "internal"
            assert "hunter2" not in answer.text

    asyncio.run(main())


def test_raw_nonsense_does_not_bring_it_down(plane: Served) -> None:
    parts = urlsplit(plane.url)
    for raw in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"",
    ):
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as raw_socket:
            raw_socket.sendall(raw)
            raw_socket.shutdown(socket.SHUT_WR)
            while raw_socket.recv(65536):
                pass
    assert plane.admin.get("/api/me").status_code == 200


def test_nothing_secret_is_logged(plane: Served) -> None:
    token = plane.token("operator")["token"]
    caller = plane.caller(token)
    secret_words = "xyzzy-content-of-a-message"
    caller.post(f"{NOBODY}/inject", json={"content": secret_words})
    caller.get(f"{SESSIONS}?q=xyzzy-in-a-query")
    plane.admin.put(
        "/agents/profiles/secret", json={"command": ["true"], "env": {"API_KEY": "xyzzy-in-an-environment"}}
    )
    shown = plane.admin.get("/agents/profiles").text
    assert "API_KEY" in shown
    assert "xyzzy" not in shown
    assert "xyzzy-in-an-environment" not in str(plane.audit())
    caller.get("/nothing/xyzzy-in-a-path")
    log = plane.log
    assert "xyzzy" not in log
    assert token not in log
    assert plane.process.token not in log
    assert '"path": "/api/mission-control/sessions/{id}/inject"' in log
