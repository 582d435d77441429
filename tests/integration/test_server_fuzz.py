"""Nonsense of every kind, made by hypothesis and sent over raw sockets: to the HTTP door and to a keeper.

Nothing may be answered with a 500, every error has our shape, and who uses the server meanwhile notices nothing.
MISSION_CONTROL_FUZZ=N makes N cases of each kind instead of the few that CI has time for (`make fuzz`).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mission_control_desktop.orchestrator.keeper.client import _connect
from support.keepers import ECHO, Kept
from support.served import Listener, Served, served

EXAMPLES = int(os.environ.get("MISSION_CONTROL_FUZZ", "0")) or 60
FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TYPED = {501, 502, 503}
"""Statuses from 500 on that say something: the provider cannot, does not answer, or not now."""


@dataclass
class Target:
    plane: Served
    session_id: str
    sent: int = 0

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.plane.url)
        return parts.hostname or "", parts.port or 0

    def raw(self, data: bytes, *, end: bool = True) -> bytes:
        """Everything that comes back for these bytes; a stream is read to its first bytes only."""
        self.sent += 1
        with socket.create_connection(self.address, timeout=20) as connection:
            try:
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
                parts = []
                while part := connection.recv(65_536):
                    parts.append(part)
                    if b"text/event-stream" in part:
                        break
            except OSError:  # it was cut off while we still wrote
                return b""
        return b"".join(parts)

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> int:
        """The status of one request; checks the shape of an error."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"Authorization: Bearer {self.plane.process.token}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        answer = self.raw("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b""), end=False)
        return self.judged(answer)

    @staticmethod
    def judged(answer: bytes) -> int:
        if not answer:
            return 0
        head, _, rest = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert status < 500 or status in TYPED, answer
        if status >= 400:
            assert b"content-type: application/json" in head.lower(), answer
            first, _ = json.JSONDecoder().raw_decode(rest.decode())
            assert set(first["error"]) == {"code", "message", "details"}, answer
        return status


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with served(tmp_path_factory.mktemp("fuzz") / "data") as plane:
        plane.double()
        session_id = plane.spawn("[words 3 1]")
        with Listener(plane.admin, f"/api/mission-control/sessions/{session_id}/stream") as stream:
            made = Target(plane, session_id)
            yield made
            sent = plane.admin.post(
                f"/api/mission-control/sessions/{session_id}/inject", json={"content": "[say still here]"}
            )
            assert sent.status_code == 202, sent.text
            stream.take(lambda event: b"still here" in event.data)
        assert plane.admin.get("/api/health").json()["status"] == "ok"
        assert plane.admin.get("/api/mission-control/audit/verify").json()["valid"]


SEGMENT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="%0123456789abcdefABCDEF/\\.:;\0 ", max_size=40),
    st.sampled_from(
        ["..", ".", "%00", "%2e%2e%2f", "%ff", "%", "%zz", "%ed%a0%80", "a" * 20_000, "internal:", ":", "::"]
    ),
    st.binary(max_size=20).map(lambda raw: "".join(f"%{byte:02x}" for byte in raw)),
)
JSON_TEXT = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"[" * 50_000,
            b'{"a":' * 20_000 + b"1",
            b'{"content": NaN}',
            b'{"content": 1e999}',
            b'{"undoSeconds": -Infinity}',
            b'{"content": "a", "content": "b"}',
            b'{"reason": "\\ud800"}',
            b'{"reason": "\xed\xa0\x80"}',
            b'{"reason": "\\u0000"}',
            b'{"content": "\xff\xfe"}',
            b'{"content": ' + b"9" * 5_000 + b"}",
            b'{"expectedRunId": "' + b"x" * 900_000 + b'"}',
            b"\xef\xbb\xbf{}",
            b'"' + b"x" * 1_200_000 + b'"',
            b"{}{}",
            b"\0",
        ]
    ),
)
WRITES = st.sampled_from(
    [
        ("POST", "/api/mission-control/sessions"),
        ("POST", "/api/mission-control/sessions/{}/inject"),
        ("POST", "/api/mission-control/sessions/{}/pause"),
        ("POST", "/api/mission-control/kill-all"),
        ("POST", "/api/tokens"),
        ("POST", "/agents/spawn"),
        ("PUT", "/agents/profiles/fuzz"),
    ]
)


@FUZZ
@given(SEGMENT, st.sampled_from(["", "/messages", "/stream", "/processes", "/receipts"]), st.booleans())
def test_any_session_id(target: Target, segment: str, rest: str, encoded: bool) -> None:
    for base in ("/api/mission-control/sessions/", "/agents/"):
        shown = quote(segment, safe="") if encoded else segment.encode("utf-8", "surrogatepass").decode("latin-1")
        if any(ord(char) <= 32 or ord(char) == 127 for char in shown):
            shown = quote(shown, safe="%")
        target.request("GET", base + shown + rest)


@FUZZ
@given(st.one_of(st.text(max_size=40), st.from_regex(r"[0-9a-z]{0,12}-[0-9]{0,30}", fullmatch=True)), st.booleans())
def test_any_stream_id(target: Target, text: str, in_header: bool) -> None:
    printable = text.encode("ascii", "replace").decode().replace("\r", "").replace("\n", "").replace("\0", "")
    for path in ("/api/mission-control/events", f"/api/mission-control/sessions/{target.session_id}/stream"):
        if in_header:
            assert target.request("GET", path, headers={"Last-Event-ID": printable}) in (200, 400, 422)
        else:
            assert target.request("GET", f"{path}?lastEventId={quote(text, safe='')}") in (200, 422)


@FUZZ
@given(
    st.sampled_from(["sessions", "audit"]),
    st.sampled_from(["cursor", "limit", "q", "status", "from", "user", "nonsense"]),
    st.text(max_size=80) | st.sampled_from(["W10", "WyJhIiwxXQ", "bnVsbA", "e30", "IiI", "1" * 400]),
)
def test_any_query(target: Target, lists: str, name: str, text: str) -> None:
    path = f"/api/mission-control/{lists}?{name}={quote(text, safe='')}"
    assert target.request("GET", path) in (200, 422)


@FUZZ
@given(WRITES, JSON_TEXT)
def test_any_body(target: Target, write: tuple[str, str], body: bytes) -> None:
    method, path = write
    target.request(method, path.format(target.session_id), body)


@FUZZ
@given(st.dictionaries(st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), st.text(max_size=50), max_size=6))
def test_any_header(target: Target, headers: dict[str, str]) -> None:
    shown = {name: "".join(char for char in value if char not in "\r\n\0") for name, value in headers.items()}
    target.request("GET", "/api/me", headers=shown)


@FUZZ
@given(st.binary(max_size=400))
def test_any_bytes(target: Target, data: bytes) -> None:
    target.judged(target.raw(data))


@pytest.mark.parametrize(
    "data",
    [
        b"GET /api/me HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\n\r\n",
        b"GET  /api/me  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/me HTTP/1.1\nHost: localhost\n\n",
        b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n",
        b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /api/me HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://elsewhere.example/api/me HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda data: str(data[:60]),
)
def test_malformed_http(target: Target, data: bytes) -> None:
    answer = target.raw(data)
    assert target.judged(answer) in (0, 400, 401, 403, 404, 405, 413)


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    head = f"Host: localhost\r\nAuthorization: Bearer {target.plane.process.token}\r\n"
    paths = ["/api/me", "/nothing", "/api/health", "/api/mission-control/sessions?limit=0", "/api/me"]
    data = "".join(f"GET {path} HTTP/1.1\r\n{head}\r\n" for path in paths[:-1])
    data += f"GET {paths[-1]} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    answer = target.raw(data.encode(), end=False)
    found = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert found == [200, 404, 200, 422, 200]


REQUEST = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"[" * 100_000, b'{"op":"attach","after":1e999}', b'{"op":"attach","after":0,"window":1e999}', b"\0"]
    ),
    st.fixed_dictionaries(
        {"op": st.sampled_from(["attach", "ps", "read", "send", "cmd", "do", "quit", "x"]) | st.text(max_size=5)},
        optional={
            name: st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers(), max_size=2)
            for name in ("id", "after", "window", "bytes", "key", "line", "data", "what")
        },
    )
    .filter(lambda request: request["op"] not in ("attach", "quit", "do"))
    .map(lambda request: json.dumps(request).encode()),
)


async def test_a_keeper_lives_on_whatever_its_socket_is_told(tmp_path: Path) -> None:
    """Lines that are no requests, half lines, lines beyond every limit; the agent and the real client go on."""

    @FUZZ
    @given(st.lists(REQUEST, max_size=4), st.booleans())
    def talk(lines: list[bytes], whole: bool) -> None:
        with _connect(tmp_path / "agent") as connection:
            connection.settimeout(20)
            try:
                connection.sendall(b"\n".join(lines) + (b"\n" if whole else b""))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
            except OSError:  # it was cut off while we still wrote
                return

    async with Kept.python(tmp_path / "agent", ECHO) as keeper:
        pid = keeper.keeper_pid
        await asyncio.to_thread(talk)
        reader = await keeper.attach()
        await reader.link.send("one", "after all that")
        await reader.until_line("after all that")
        assert keeper.keeper_pid == pid
