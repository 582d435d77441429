"""Tokens: in the keyring if there is one, else in a private file, never in a repr."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import keyring.errors
import pytest

from mission_control_desktop.client import tokens as module
from mission_control_desktop.client.discovery import Endpoint, How
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.tokens import TokenPlace, TokenStore
from mission_control_desktop.domain.addresses import is_loopback_name
from mission_control_desktop.domain.errors import BadInput, Unavailable

URL = "https://plane.example:8443"


class Ring:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not found")


class NoRing(Ring):
    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.NoKeyringError("none here")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.NoKeyringError("none here")


class StuckRing(Ring):
    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.release.wait()
        return None


async def test_the_keyring_is_used(tmp_path: Path) -> None:
    ring = Ring()
    store = TokenStore(tmp_path, ring)
    assert await store.load(URL) is None
    assert await store.save(URL, "secret") is TokenPlace.KEYRING
    assert await store.load(URL) == "secret"
    assert ring.kept == {("mission-control-desktop", URL): "secret"}
    assert not store.file.exists()
    await store.forget(URL)
    await store.forget(URL)
    assert await store.load(URL) is None


async def test_without_one_a_private_file_is(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "new", NoRing())
    assert await store.save(URL, "secret") is TokenPlace.FILE
    assert await store.load(URL) == "secret"
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700
    assert [path.name for path in store.file.parent.iterdir()] == [store.file.name]
    await store.forget(URL)
    assert await store.load(URL) is None


async def test_a_keyring_that_comes_later_takes_the_token_out_of_the_file(tmp_path: Path) -> None:
    await TokenStore(tmp_path, NoRing()).save(URL, "old")
    store = TokenStore(tmp_path, Ring())
    assert await store.save(URL, "new") is TokenPlace.KEYRING
    assert b"old" not in store.file.read_bytes()
    assert await store.load(URL) == "new"


async def test_a_keyring_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYRING_SECONDS", 0.05)
    ring = StuckRing()
    assert await TokenStore(tmp_path, ring).load(URL) is None
    ring.release.set()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = TokenStore(tmp_path, NoRing())
    store.file.write_text("{")
    with pytest.raises(Unavailable, match=r"tokens\.json cannot be read"):
        await store.load(URL)
    assert store.file.read_text() == "{"


async def test_nothing_shows_a_token() -> None:
    client = HttpMissionControl(URL, "very-secret")
    assert "very-secret" not in repr(client)
    assert "very-secret" not in repr(Endpoint(url=URL, token="very-secret", version="1", pid=1, how=How.FOUND))
    await client.close()


@pytest.mark.parametrize(
    "url", ["http://plane.example:80", "http://10.0.0.3:80", "http://127.0.0.1.example", "http://[fe80::1]:3"]
)
def test_a_token_is_not_sent_in_the_clear_to_another_host(url: str) -> None:
    with pytest.raises(BadInput, match="unencrypted"):
        HttpMissionControl(url, "t")


@pytest.mark.parametrize(
    "url", ["", "plane:80", "ftp://x", "http://", "http://u:p@127.0.0.1:1", "http://127.0.0.1:99999", "http://[::1"]
)
def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    with pytest.raises(BadInput):
        HttpMissionControl(url, "t")


@pytest.mark.parametrize("token", ["", " t", "t\n", "t\r\nX: y", "é"])
def test_what_is_no_token_is_said_to_be_none(token: str) -> None:
    with pytest.raises(BadInput) as caught:
        HttpMissionControl("http://127.0.0.1:1", token)
    assert caught.value.field == "token"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("a.localhost", False),
        ("localhost.", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("[::1%lo]", True),
        ("0.0.0.0", False),
        ("localhost.example", False),
        ("example", False),
        ("1270.0.0.1", False),
        ("::2", False),
    ],
)
def test_loopback(host: str, here: bool) -> None:
    assert is_loopback_name(host) is here
