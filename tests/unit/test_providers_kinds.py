"""Credentials show themselves nowhere; kinds of adapters are found, and a broken one hides none."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import structlog

from mission_control_desktop.domain.credentials import MAX_TOTAL_CHARS, MAX_VALUE_CHARS, SCRUBBED, Credentials
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.providers import CredentialField, StageName, StageState
from mission_control_desktop.providers import kinds
from mission_control_desktop.providers.kinds import CheckLog, installed_adapters

SECRET = 'canary "x"/÷ value'


def test_credentials_show_themselves_nowhere() -> None:
    secret = Credentials.of({"token": SECRET, "user": "ann"})
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", repr(ValueError(secret))):
        assert "canary" not in shown
    assert not hasattr(secret, "__dict__")
    refused: tuple[Callable[[Any], Any], ...] = (pickle.dumps, copy.copy, copy.deepcopy)
    for way in refused:
        with pytest.raises(TypeError):
            way(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert (secret.names, secret.token, bool(secret), bool(Credentials())) == (("token", "user"), SECRET, True, False)
    assert secret.reveal() == {"token": SECRET, "user": "ann"}
    assert Credentials.of("abc") == Credentials.of({"token": "abc"})


def test_what_a_peer_says_is_scrubbed_of_them() -> None:
    secret = Credentials.of({"token": SECRET, "pin": "abc"})
    forms = (
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
    )
    for form in forms:
        assert secret.scrub(f"token {form} is wrong") == f"token {SCRUBBED} is wrong"
    assert secret.scrub("abc is too short to be looked for") == "abc is too short to be looked for"


@pytest.mark.parametrize(
    "given",
    [
        "",
        {},
        {"token": ""},
        {"token": "a\0b"},
        {"token": "\ud800"},
        {"": "x"},
        {"a b": "x"},
        {"1a": "x"},
        {"n" * 65: "x"},
        {"token": "x" * (MAX_VALUE_CHARS + 1)},
        {f"n{i}": "x" for i in range(17)},
        {f"n{i}": "x" * (MAX_TOTAL_CHARS // 4) for i in range(5)},
    ],
)
def test_credentials_that_cannot_be_are_refused_without_being_repeated(given: Any) -> None:
    with pytest.raises(BadInput) as error:
        Credentials.of(given)
    assert error.value.field == "credentials"
    assert "xx" not in error.value.message


@dataclass(frozen=True)
class Kind:
    kind: str = "good"
    title: str = "A good kind"
    schemes: tuple[str, ...] = ("https",)
    credentials: tuple[Any, ...] = (CredentialField(name="token", title="Token"),)

    def open(self, *_: Any) -> None: ...
    def check(self, *_: Any) -> None: ...


GOOD = Kind()
OTHER_NAME = Kind(kind="other")
BAD_SCHEME = Kind(kind="bad-scheme", schemes=("ftp",))
NO_FIELDS = Kind(kind="no-fields", credentials=("token",))
NO_KIND = object()


def test_a_kind_that_is_broken_hides_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name, f"{__name__}:{attribute}", kinds.ENTRY_POINT_GROUP)
        for name, attribute in (
            ("absent", "ABSENT"),
            ("elsewhere", "OTHER_NAME"),
            ("bad-scheme", "BAD_SCHEME"),
            ("no-fields", "NO_FIELDS"),
            ("no-kind", "NO_KIND"),
            ("good", "GOOD"),
        )
    ]
    monkeypatch.setattr(kinds, "entry_points", lambda group: points if group == kinds.ENTRY_POINT_GROUP else [])
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.attr])
    with structlog.testing.capture_logs() as logged:
        found = installed_adapters()
    assert list(found) == ["good"]
    assert found["good"].title == GOOD.title
    assert {line["adapter"] for line in logged} == {"absent", "elsewhere", "bad-scheme", "no-fields", "no-kind"}


def test_a_check_tells_its_stages_in_order_and_why_the_rest_was_not_tried() -> None:
    log = CheckLog(Credentials.of(SECRET))
    assert str(log.under_way) == "reachable"
    log.ok(StageName.REACHABLE, "answers in 3 ms")
    log.failed(StageName.PROTOCOL, f"it says {SECRET}")
    assert not log.goes_on
    unreached = log.under_way
    assert unreached is None
    stages = log.stages()
    assert [one.stage for one in stages] == list(StageName)
    assert [one.state for one in stages] == [StageState.OK, StageState.FAILED] + [StageState.SKIPPED] * 3
    assert stages[1].detail == f"it says {SCRUBBED}"
    assert "protocol" in stages[4].detail
