"""The gateway's protocol as pure code: frames, identity, the greeting, the waiting, the words for what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.domain.errors import Conflict, NotFound, Unavailable, Unsupported
from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.openclaw.connection import websocket_url
from mission_control_desktop.providers.openclaw.frames import (
    BadFrame,
    ErrorBody,
    Event,
    Frame,
    Hello,
    Reply,
    decode,
    encode_request,
)
from mission_control_desktop.providers.openclaw.identity import SCOPES, Device, Kept
from mission_control_desktop.providers.openclaw.machine import BACKOFF_MAX, Handshake, Patience, Secret
from mission_control_desktop.providers.openclaw.trouble import GatewayError, Later, Refused, refused_connect

DEVICE = Device.new()
CHALLENGE = Event(event="connect.challenge", payload={"nonce": "n", "ts": 5})
HELLO = {
    "type": "hello-ok",
    "protocol": 4,
    "server": {"version": "2026.9.6", "bootId": "b"},
    "features": {"methods": ["sessions.list", "sessions.subscribe", "chat.history"]},
    "auth": {"role": "operator", "scopes": list(SCOPES), "deviceToken": "secret-of-device"},
    "policy": {"maxPayload": 26214400, "tickIntervalMs": 30000},
}
PATIENT = settings(deadline=None, max_examples=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def handshake(token: str = "t", *, of_device: bool = False) -> Handshake:
    return Handshake(DEVICE, Secret(token, of_device=of_device), "1.0")


def refused(code: str, detail: str = "", **details: Any) -> Refused:
    body = ErrorBody(code=code, message="no", details={"code": detail, **details} if detail or details else None)
    return refused_connect(GatewayError("connect", body), with_device_token=True)


# Frames


@PATIENT
@given(st.binary(max_size=200) | st.text(max_size=200) | JSON.map(lambda value: json.dumps(value)))
def test_whatever_comes_is_a_frame_or_a_bad_one(raw: bytes | str) -> None:
    with suppress(BadFrame):
        assert isinstance(decode(raw), Reply | Event)


@PATIENT
@given(JSON, st.text(max_size=20), st.integers(0, 2**40) | st.none())
def test_events_come_through_as_they_were_sent(payload: Any, name: str, seq: int | None) -> None:
    raw = json.dumps({"type": "event", "event": name, "payload": payload, "seq": seq, "later": {"addition": 1}})
    assert decode(raw) == Event(event=name, payload=payload, seq=seq)


@PATIENT
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_requests_say_what_was_asked(params: dict[str, Any]) -> None:
    sent = json.loads(encode_request("7", "sessions.list", params))
    assert sent == {"type": "req", "id": "7", "method": "sessions.list", "params": params}


# Identity


def test_what_is_kept_makes_the_same_device_again() -> None:
    kept = Kept(device=DEVICE, token="tok", token_for="ws://a")
    again = Kept.of(kept.values())
    assert again is not None
    assert (again.device.id, again.token_of("ws://a"), again.token_of("ws://b")) == (DEVICE.id, "tok", None)


@pytest.mark.parametrize("values", [{}, {"deviceSeed": "AAAA"}, {"deviceSeed": "not base64"}])
def test_a_broken_identity_is_none(values: dict[str, str]) -> None:
    assert Kept.of(values) is None


def test_nothing_secret_shows_in_a_repr() -> None:
    kept = Kept(device=DEVICE, token="very-secret", token_for="ws://a")
    hello = msgspec.convert(HELLO, Hello)
    shown = f"{kept!r} {Secret('very-secret')!r} {handshake('very-secret')!r} {hello!r}"
    assert "very-secret" not in shown
    assert "secret-of-device" not in shown
    assert str(DEVICE.key) not in shown


# The greeting


def test_the_greeting_answers_the_challenge_and_takes_the_hello() -> None:
    machine = handshake("dt", of_device=True)
    assert machine.receive(Event(event="health", payload={})) is None
    sent = machine.receive(CHALLENGE)
    assert isinstance(sent, bytes)
    params = json.loads(sent)["params"]
    assert (params["auth"], params["device"]["signedAt"]) == ({"deviceToken": "dt"}, 5)
    hello = machine.receive(Reply(id="connect", ok=True, payload={**HELLO, "news": 1}))
    assert isinstance(hello, Hello)
    assert hello.server.boot_id == "b"


@pytest.mark.parametrize(
    ("change", "stage", "words"),
    [
        ({"protocol": 5}, StageName.PROTOCOL, "speaks protocol 5"),
        ({"auth": {"scopes": []}}, StageName.SCOPES, "operator.read is missing"),
        ({"features": {"methods": ["health"]}}, StageName.PROTOCOL, "Update it"),
    ],
)
def test_a_hello_that_is_no_use_is_refused(change: dict[str, Any], stage: StageName, words: str) -> None:
    machine = handshake()
    machine.receive(CHALLENGE)
    with pytest.raises(Refused) as caught:
        machine.receive(Reply(id="connect", ok=True, payload={**HELLO, **change}))
    assert caught.value.stage is stage
    assert caught.value.by_person
    assert words in caught.value.words


FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Event, event=st.sampled_from(["connect.challenge", "tick"]), payload=JSON | st.just({"nonce": "x", "ts": 1})
    ),
    st.builds(
        Reply,
        id=st.sampled_from(["connect", "other"]),
        ok=st.booleans(),
        payload=JSON | st.just(HELLO),
        error=st.none()
        | st.builds(ErrorBody, code=st.text(max_size=9), details=JSON, retry_after_ms=st.floats() | st.none()),
    ),
)


@PATIENT
@given(st.lists(FRAMES, max_size=6))
def test_no_gateway_confuses_the_greeting(frames: list[Frame]) -> None:
    """It sends at most one `connect`, never before the challenge, and ends in a hello or in words."""
    machine, sent = handshake(), 0
    for frame in frames:
        try:
            answer = machine.receive(frame)
        except Refused as error:
            sensible = bool(error.words) and (error.retry_after is None or 0 <= error.retry_after <= 300)
            if not sensible:
                raise
            return
        if isinstance(answer, Hello):
            assert sent == 1
            return
        sent += answer is not None
        assert sent <= 1


# Words


@pytest.mark.parametrize(
    ("code", "detail", "stage", "words"),
    [
        ("INVALID_REQUEST", "AUTH_TOKEN_MISMATCH", StageName.AUTHENTICATED, "token is wrong"),
        ("INVALID_REQUEST", "DEVICE_IDENTITY_REQUIRED", StageName.AUTHENTICATED, "wants a token"),
        ("INVALID_REQUEST", "PROTOCOL_MISMATCH", StageName.PROTOCOL, "another protocol version"),
        ("INVALID_REQUEST", "CONTROL_UI_ORIGIN_NOT_ALLOWED", StageName.PROTOCOL, "Origin"),
        ("INVALID_REQUEST", "DEVICE_AUTH_SIGNATURE_INVALID", StageName.AUTHENTICATED, "clocks"),
        ("INVALID_REQUEST", "AUTH_SOMETHING_NEW", StageName.AUTHENTICATED, "AUTH_SOMETHING_NEW"),
    ],
)
def test_what_a_person_must_solve_is_said_and_not_tried_again(
    code: str, detail: str, stage: StageName, words: str
) -> None:
    error = refused(code, detail)
    assert (error.stage, error.by_person) == (stage, True)
    assert words in error.words


def test_pairing_names_the_request_and_the_command() -> None:
    error = refused("NOT_PAIRED", "PAIRING_REQUIRED", reason="not-paired", requestId="req-1")
    assert (error.stage, error.request_id, error.by_person) == (StageName.AUTHENTICATED, "req-1", True)
    assert "openclaw devices approve req-1" in error.words
    wider = refused("NOT_PAIRED", "PAIRING_REQUIRED", reason="scope-upgrade", requestId="req-2")
    assert wider.stage is StageName.SCOPES
    assert "has not granted all" in wider.words


def test_a_request_id_that_is_none_is_not_put_into_a_command() -> None:
    error = refused("NOT_PAIRED", "PAIRING_REQUIRED", reason="not-paired", requestId="x; rm -rf /")
    assert "rm -rf" not in error.words
    assert "openclaw devices list" in error.words


def test_a_revoked_device_token_is_forgotten() -> None:
    assert refused("INVALID_REQUEST", "AUTH_DEVICE_TOKEN_MISMATCH").forget_token
    assert refused("INVALID_REQUEST", "AUTH_SCOPE_MISMATCH").forget_token
    assert not refused("INVALID_REQUEST", "AUTH_TOKEN_MISMATCH").forget_token


def test_a_gateway_that_starts_is_tried_again_when_it_says() -> None:
    body = ErrorBody(
        code="UNAVAILABLE",
        message="starting",
        retryable=True,
        details={"reason": "startup-sidecars"},
        retry_after_ms=500,
    )
    error = refused_connect(GatewayError("connect", body), with_device_token=False)
    assert (error.by_person, error.retry_after) == (False, 0.5)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            ErrorBody(code="FORBIDDEN", details={"code": "MISSING_SCOPE", "requiredScopes": ["operator.admin"]}),
            Unsupported,
        ),
        (ErrorBody(code="INVALID_REQUEST", message="unauthorized"), Unsupported),
        (ErrorBody(code="INVALID_REQUEST", message="session not found"), NotFound),
        (ErrorBody(code="UNAVAILABLE", message="busy", retryable=True), Later),
        (ErrorBody(code="INVALID_REQUEST", message="session is archived"), Conflict),
    ],
)
def test_refusals_have_their_place_in_the_tree(body: ErrorBody, kind: type[Exception]) -> None:
    assert issubclass(Later, Unavailable)
    assert type(GatewayError("x", body).in_the_tree()) is kind


# Waiting


@PATIENT
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_the_wait_grows_and_stays_in_its_bounds(numbers: list[float]) -> None:
    given_ = iter(numbers)
    patience = Patience(lambda: next(given_))
    for _ in numbers:
        wait = patience.next(0.0)
        assert wait is not None
        assert 1.0 <= wait <= BACKOFF_MAX


def test_the_longest_wait_doubles_from_one_second_to_thirty() -> None:
    patience = Patience(lambda: 0.999999)
    waits = [patience.next(0.0) or 0 for _ in range(8)]
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 16, 30, 30, 30]
    patience.connected()
    assert round(patience.next(0.0) or 0) == 1


def test_what_the_gateway_asks_for_is_kept_and_people_are_waited_for() -> None:
    patience = Patience(lambda: 0.0)
    assert patience.next(0.0, retry_after=120.0) == 120.0
    assert patience.next(0.0, by_person=True, retry_after=1.0) is None


def test_a_gateway_that_said_goodbye_is_looked_for_often_for_a_minute() -> None:
    patience = Patience(lambda: 0.999)
    for _ in range(6):
        patience.next(0.0)
    patience.shutting_down(100.0, 1.5)
    assert (patience.next(110.0) or 99) <= 2.0
    assert patience.restarting(160.0)
    assert (patience.next(170.0) or 0) > 20


@pytest.mark.parametrize(
    ("given_url", "wanted"),
    [
        ("http://h:1", "ws://h:1/"),
        ("https://h/p?x=1", "wss://h/p?x=1"),
        ("ws://h:1/", "ws://h:1/"),
        ("wss://h", "wss://h/"),
    ],
)
def test_addresses_lead_to_the_websocket(given_url: str, wanted: str) -> None:
    assert websocket_url(given_url) == wanted
