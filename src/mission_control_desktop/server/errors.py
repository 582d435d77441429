"""Errors as they go out: one shape, a message for a person, no trace and no secret."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.errors import BadInput, MissionControlError, RateLimited

_AT = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]*)`")
MAX_FIELD_CHARS = 100


class MethodNotAllowed(MissionControlError):
    status, code = 405, "method_not_allowed"


class WrongContentType(MissionControlError):
    status, code = 415, "unsupported_media_type"


class ErrorDetail(Record, frozen=True, kw_only=True):
    code: str
    message: str
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class ErrorBody(Record, frozen=True, kw_only=True):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail


def error_body(error: MissionControlError) -> bytes:
    details = {key: value for key, value in error.details.items() if value is not None}
    return msgspec.json.encode(
        ErrorBody(error=ErrorDetail(code=error.code, message=error.message, details=_plain(details)))
    )


def error_headers(error: MissionControlError) -> list[tuple[bytes, bytes]]:
    """Headers besides the content type."""
    if isinstance(error, RateLimited):
        return [(b"retry-after", str(error.retry_after).encode())]
    if error.status == 401:
        return [(b"www-authenticate", b"Bearer")]
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", str(error.details.get("allow", "")).encode())]
    return []


def internal_error() -> MissionControlError:
    return MissionControlError("Something went wrong in the control plane. Its log says what.")


def bad_input(error: Exception, *, where: str) -> BadInput:
    """A decoding or validation error as a BadInput that names the field. `where` is `body` or `query`."""
    if not isinstance(error, msgspec.ValidationError):
        return BadInput(where, f"The {where} is not valid JSON.")
    text = str(error)
    at = _AT.search(text)
    path = at[1] if at else ""
    message = text[: at.start()] if at else text
    for pattern in (_UNKNOWN, _MISSING):
        named = pattern.search(message)
        if named is not None:
            path = f"{path}.{named[1]}" if path else named[1]
            break
    field = path[:MAX_FIELD_CHARS] or where
    return BadInput(field, f"{field}: {_readable(message)}")


def _readable(message: str) -> str:
    unknown, missing = _UNKNOWN.search(message), _MISSING.search(message)
    if unknown is not None:
        return "there is no such field here."
    if missing is not None:
        return "this is required."
    if message.startswith("Invalid enum value"):
        # The decoder would repeat what was sent, and this goes into the audit log as well.
        return "this is none of the possible values."
    return message[:1].lower() + message[1:300] + "."


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    try:
        msgspec.json.encode(details)
    except (TypeError, ValueError):
        return {key: str(value) for key, value in details.items()}
    return details
