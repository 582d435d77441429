"""Where it listens and who gets in: TLS, loopback decided by addresses, web pages, clients that dawdle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.errors import BadInput, Unreachable
from mission_control_desktop.server import connections, doors
from support.certificates import Authority
from support.served import Served, environment_without_ours, served, wait_for

LOOPBACK = ("127.0.0.1", 0)
OUTSIDE = ("192.0.2.7", 0)


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Served]:
    """Reachable from everywhere, so over TLS."""
    certificate, key = authority.issue("localhost", stem="served")
    data_dir = tmp_path_factory.mktemp("tls") / "data"
    arguments = ("--host", "0.0.0.0", "--tls-certificate", str(certificate), "--tls-key", str(key))
    made = Served(data_dir)
    try:
        yield made.start(*arguments)
    finally:
        made.end()
    assert "Traceback" not in made.log


def port_of(made: Served) -> int:
    return urlsplit(made.url).port or 0


async def test_clients_verify_and_programs_of_this_computer_have_a_door_of_their_own(
    encrypted: Served, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encrypted.url.startswith("https://0.0.0.0:")
    note = json.loads((encrypted.data_dir / "control-plane.json").read_text())
    assert urlsplit(note["url"]).hostname == "127.0.0.1"
    assert urlsplit(note["url"]).scheme == "http"
    token = encrypted.process.token
    url = f"https://localhost:{port_of(encrypted)}"
    for name in ("MISSION_CONTROL_CA_FILE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority.ca_file))
        client = HttpMissionControl(url, token)
        assert (await client.me()).role.value == "admin"
        async with client.events() as events:
            made = await client.create_token(user="x", role=(await client.me()).role)
            assert await anext(events)
        await client.revoke_token(made.id)
        await client.close()
        monkeypatch.delenv(name)
    stranger = HttpMissionControl(url, token)
    with pytest.raises(Unreachable, match="MISSION_CONTROL_CA_FILE"):
        await stranger.me()
    with pytest.raises(Unreachable, match="certificate"):
        async with stranger.events():
            pass
    await stranger.close()
    monkeypatch.setenv("MISSION_CONTROL_CA_FILE", str(authority.ca_file))
    misnamed = HttpMissionControl(f"https://127.0.0.1:{port_of(encrypted)}", token)
    with pytest.raises(Unreachable, match="certificate"):
        await misnamed.me()
    await misnamed.close()


def test_the_command_line_over_tls(encrypted: Served, authority: Authority) -> None:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mission_control_desktop", "sessions", "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **environment_without_ours(),
                "MISSION_CONTROL_URL": f"https://localhost:{port_of(encrypted)}",
                "MISSION_CONTROL_TOKEN": encrypted.process.token,
                "MISSION_CONTROL_DATA_DIR": str(encrypted.data_dir.parent / "nobody"),
                **environment,
            },
            check=False,
        )

    good = run(MISSION_CONTROL_CA_FILE=str(authority.ca_file))
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["items"] == []
    bad = run()
    assert bad.returncode == 1
    assert "certificate" in bad.stderr
    unreadable = run(MISSION_CONTROL_CA_FILE="/does/not/exist")
    assert unreadable.returncode == 1
    assert "MISSION_CONTROL_CA_FILE" in unreadable.stderr
    assert encrypted.process.token not in good.stdout + good.stderr + bad.stderr + unreadable.stderr


def test_what_is_not_encrypted_gets_nothing_through_the_tls_door(encrypted: Served) -> None:
    with socket.create_connection(("127.0.0.1", port_of(encrypted)), timeout=10) as raw:
        raw.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in raw.recv(4096)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", port_of(encrypted)), timeout=10) as raw, old.wrap_socket(raw) as tls:
        assert tls.version() == "TLSv1.2"


def test_a_hangup_takes_the_certificate_again_and_survives_a_bad_one(encrypted: Served, authority: Authority) -> None:
    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", port_of(encrypted)))

    before = shown()
    certificate, key = authority.issue("localhost", stem="served")
    assert certificate.read_text() != before
    os.kill(encrypted.process.pid, signal.SIGHUP)
    wait_for(lambda: shown() == certificate.read_text(), "the new certificate")
    good = key.read_bytes()
    key.write_bytes(b"nonsense")
    os.kill(encrypted.process.pid, signal.SIGHUP)
    wait_for(lambda: "stays as it was" in encrypted.log, "the bad key to be noticed")
    assert shown() == certificate.read_text()
    key.write_bytes(good)
    assert encrypted.admin.base_url.scheme == "https"


@pytest.mark.parametrize("fault", ["open to others", "encrypted", "of another", "no certificate", "alone"])
def test_keys_that_cannot_be_used(authority: Authority, tmp_path: Path, fault: str) -> None:
    other = Authority(tmp_path)
    certificate, key = other.issue("localhost", stem="a", password=b"secret" if fault == "encrypted" else None)
    chosen: Path | None = key
    words = {
        "open to others": "chmod 600",
        "encrypted": "encrypted",
        "of another": "together",
        "no certificate": "cannot be read",
        "alone": "together",
    }[fault]
    match fault:
        case "open to others":
            key.chmod(0o640)
        case "of another":
            chosen = other.issue("localhost", stem="b")[1]
        case "no certificate":
            certificate.unlink()
        case "alone":
            chosen = None
    with pytest.raises(BadInput, match=words) as caught:
        doors.open_doors("127.0.0.1", 0, certificate=certificate, key=chosen, allow_insecure=False)
    assert caught.value.field.startswith("tls-")


# --- loopback


@pytest.mark.parametrize(
    ("addresses", "free"),
    [
        ([LOOPBACK], True),
        ([("::1", 0, 0, 0), LOOPBACK], True),
        ([("::ffff:127.0.0.1", 0, 0, 0)], True),
        ([LOOPBACK, OUTSIDE], False),
        ([OUTSIDE, LOOPBACK], False),
        ([("::ffff:192.0.2.7", 0, 0, 0)], False),
        ([("0.0.0.0", 0)], False),
        ([("::", 0, 0, 0)], False),
        ([("fe80::1%lo", 0, 0, 1)], False),
    ],
)
def test_loopback_is_decided_by_all_addresses_of_a_name(
    monkeypatch: pytest.MonkeyPatch, addresses: list[Any], free: bool
) -> None:
    def answer(name: str, port: int, **more: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if len(one) == 4 else socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in addresses
        ]

    bound: list[Any] = []

    def bind(family: int, address: Any) -> socket.socket:
        bound.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(doors, "_bind", bind)
    if not free:
        with pytest.raises(BadInput, match="--tls-certificate"):
            doors.open_doors("some.name", 0, certificate=None, key=None, allow_insecure=False)
        assert bound == []
    doors.open_doors("some.name", 0, certificate=None, key=None, allow_insecure=True).close()
    assert bound[0] == addresses[0]


# --- web pages and names


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("doors") / "data", "--allow-host", "Plane.Example.") as made:
        yield made


@pytest.mark.parametrize("path", ["/api/health", "/api/me", "/api/mission-control/events", "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:7317"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Host": "attacker.example"},
        {"Host": "attacker.example:7317"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "localhost.attacker.example"},
        {"Host": "attacker.example@127.0.0.1"[:16]},
        {"Host": "0.0.0.0"},
        {"Host": "[::1"},
        {"Host": ""},
    ],
    ids=str,
)
def test_a_web_page_gets_nothing(plane: Served, headers: dict[str, str], path: str) -> None:
    answer = plane.admin.get(path, headers=headers)
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["code"] == "forbidden"
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "set-cookie" not in answer.headers


def test_a_page_cannot_ask_whether_it_may(plane: Served) -> None:
    asked = {"Origin": "https://attacker.example", "Access-Control-Request-Method": "POST"}
    answer = plane.admin.options("/api/mission-control/kill-all", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "plane.example"])
def test_names_of_this_computer_are_good(plane: Served, host: str) -> None:
    assert plane.admin.get("/api/me", headers={"Host": host, "Sec-Fetch-Site": "none"}).status_code == 200


def test_a_stranger_learns_status_and_version_alone(plane: Served) -> None:
    told = plane.caller(None).get("/api/health").json()
    assert {key: value for key, value in told.items() if value} == {"status": "ok", "version": told["version"]}
    known = plane.admin.get("/api/health").json()
    assert known["pid"] == plane.process.pid
    assert known["epoch"]


# --- clients that dawdle or talk nonsense


@asynccontextmanager
async def serving(head_seconds: float) -> AsyncIterator[int]:
    """A port behind our connections, with an application that answers 204 once it has read the body."""

    class Hasty(connections.Connection):
        pass

    Hasty.head_seconds = head_seconds

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(application, http=Hasty, ws="none", lifespan="off", loop="none", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    bound = socket.create_server(LOOPBACK)
    await server.startup(sockets=[bound])
    try:
        yield bound.getsockname()[1]
    finally:
        for one in list(server.server_state.connections):
            one.shutdown()
        for listening in server.servers:
            listening.close()
            await listening.wait_closed()
        bound.close()


async def everything(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost",
    ],
)
async def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    async with serving(0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        told = await everything(reader)
        assert told.count(b"HTTP/1.1 408") == 1, told
        assert told.count(b"HTTP/1.1 204") == sent.count(b"\r\n\r\n")
        assert b'"too_slow"' in told
        writer.close()


async def test_a_head_that_drips_is_no_excuse() -> None:
    async with serving(0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")

        async def drip() -> None:
            while not reader.at_eof():
                writer.write(b"X-Drip: 1\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.get_running_loop().create_task(drip())
        assert b" 408 " in await everything(reader)
        dripping.cancel()
        writer.close()


async def test_an_idle_connection_between_requests_is_no_slow_one() -> None:
    async with serving(0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
            await asyncio.sleep(0.4)  # longer than a head may take: a body has a time of its own, silence too
            writer.write(b"{}")
            async with asyncio.timeout(20):
                assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.4)
        writer.close()
