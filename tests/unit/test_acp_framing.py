"""Lines and frames: nothing that an agent prints raises, and what we write comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.orchestrator.acp import framing
from mission_control_desktop.orchestrator.acp.framing import Junk, Notification, Request, Response, decode

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary())
def test_any_bytes_are_a_frame(data: bytes) -> None:
    assert decode(data.decode("utf-8", "replace")) is not None
    assert decode(data.decode("latin-1")) is not None


@given(JSON)
def test_any_json_is_a_frame(value: Any) -> None:
    decode(json.dumps(value))


@given(
    st.fixed_dictionaries(
        {}, optional={"id": JSON, "method": JSON, "params": JSON, "result": JSON, "error": JSON, "jsonrpc": JSON}
    )
)
def test_any_message_is_a_frame(value: dict[str, Any]) -> None:
    frame = decode(json.dumps(value))
    if isinstance(frame, Request):
        assert frame.id == value["id"]


@given(st.integers(0, 2**53), st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=4))
@settings(max_examples=200)
def test_round_trip(rpc_id: int, method: str, params: dict[str, Any]) -> None:
    line = framing.request(rpc_id, method, params)
    assert "\n" not in line
    assert "\r" not in line
    frame = decode(line)
    assert isinstance(frame, Request)
    assert (frame.id, frame.method, frame.params) == (rpc_id, method, params)
    told = decode(framing.notification(method, params))
    assert isinstance(told, Notification)
    assert (told.method, told.params) == (method, params)


@given(st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False), JSON)
def test_answers_echo_the_id(rpc_id: Any, value: Any) -> None:
    sent = json.loads(framing.result(rpc_id, value))
    assert sent["id"] == rpc_id
    assert type(sent["id"]) is type(rpc_id)
    refused = decode(framing.error(rpc_id, -32601, "no"))
    if isinstance(rpc_id, int) and abs(rpc_id) < 2**63:
        assert isinstance(refused, Response)
        assert refused.error is not None
        assert (refused.id, refused.error.code) == (rpc_id, -32601)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("", Junk),
        ("Debugger listening on ws://…", Junk),
        ("[]", Junk),
        ('[{"method":"a"}]', Junk),
        ("{}", Junk),
        ('{"jsonrpc":"2.0"}', Junk),
        ('{"id":1}', Junk),
        ('{"id":[1],"method":"a"}', Junk),
        ('{"method":1}', Junk),
        ('{"method":"a"}', Notification),
        ('{"id":null,"method":"a"}', Notification),
        ('{"id":1,"method":"a","params":[1]}', Request),
        ('{"id":1,"result":null}', Response),
        ('{"id":1,"error":"broken"}', Response),
        ('{"id":1,"error":null}', Response),
        ("[" * 100_000, Junk),
        ('{"id":1,"result":' + "[" * 100_000, Junk),
    ],
)
def test_kinds(line: str, kind: type) -> None:
    assert isinstance(decode(line), kind)


def test_half_of_a_surrogate_pair_loses_one_character_only() -> None:
    frame = decode(r'{"method":"session/update","params":{"text":"cut \ud83d"}}')
    assert isinstance(frame, Notification)
    assert frame.params == {"text": "cut \ufffd"}


def test_numbers_that_json_does_not_have_are_taken() -> None:
    frame = decode('{"id":1,"result":{"cost":NaN}}')
    assert isinstance(frame, Response)
