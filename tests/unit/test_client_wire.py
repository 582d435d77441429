"""Answers and errors between the wire and the domain."""

from __future__ import annotations

import pytest

from mission_control_desktop.client.versions import is_older
from mission_control_desktop.client.wire import decode, decode_items, error_from
from mission_control_desktop.domain import errors
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.people import Me, Role


def body(code: str, **details: object) -> bytes:
    return to_json({"error": {"code": code, "message": "why", "details": details}})


@pytest.mark.parametrize("cls", [c for c in errors.by_code().values() if c is not errors.MissionControlError])
def test_every_code_gives_its_class_again(cls: type[errors.MissionControlError]) -> None:
    error = error_from(cls.status, {}, body(cls.code, field="x", retryAfter=7, more=1), what="It")
    assert type(error) is cls
    assert error.message == "why"
    assert error.details["more"] == 1
    if isinstance(error, errors.RateLimited):
        assert error.retry_after == 7
    if isinstance(error, errors.BadInput):
        assert error.field == "x"


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (401, errors.NotAuthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (422, errors.BadInput),
        (429, errors.RateLimited),
        (500, errors.MissionControlError),
        (501, errors.Unsupported),
        (502, errors.Unreachable),
        (503, errors.Unavailable),
        (504, errors.Unreachable),
        (418, errors.MissionControlError),
    ],
)
@pytest.mark.parametrize("raw", [b"", b"<html>", b"{}", b'{"error": 3}', body("a_code_of_tomorrow")])
def test_an_answer_without_a_known_code_goes_by_its_status(
    status: int, cls: type[errors.MissionControlError], raw: bytes
) -> None:
    assert type(error_from(status, {}, raw, what="It")) is cls


def test_retry_after_header_wins() -> None:
    error = error_from(429, {"Retry-After": "12"}, body("rate_limited", retryAfter=3), what="It")
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 12


def test_odd_details_do_no_harm() -> None:
    odd: dict[str, object] = {"self": 1, "message": "x", "a b": 2, "ok": 3}
    error = error_from(409, {}, body("conflict", **odd), what="It")
    assert error.details == {"ok": 3}


def test_lists_come_bare_or_as_a_page() -> None:
    me = b'{"userId":"u","role":"admin","workspaceId":"w"}'
    expected = (Me(user_id="u", role=Role.ADMIN, workspace_id="w"),)
    assert decode_items(b" [" + me + b"]", Me, what="It") == expected
    assert decode_items(b'{"items":[' + me + b'],"nextCursor":null}', Me, what="It") == expected


def test_an_answer_of_another_program_is_said_to_be_one() -> None:
    with pytest.raises(errors.Unreachable, match="does not understand"):
        decode(b"<html>", Me, what="It")


@pytest.mark.parametrize(
    ("theirs", "ours", "older"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.2.0", True),
        ("0.10.0", "0.9.0", False),
        ("0.9", "0.10", True),
        ("1.0", "1.0.0", False),
        ("1.0rc1", "1.0", True),
        ("1.0.dev3", "1.0rc1", True),
        ("1.0", "1.0rc1", False),
        ("nonsense", "1.0", False),
        ("", "1.0", False),
    ],
)
def test_versions(theirs: str, ours: str, older: bool) -> None:
    assert is_older(theirs, ours) is older
