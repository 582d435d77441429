"""Between HTTP answers and the domain: typed decoding, and errors by their code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from mission_control_desktop.domain.errors import (
    BadInput,
    MissionControlError,
    RateLimited,
    Unavailable,
    Unreachable,
    by_code,
)

T = TypeVar("T")


class _ErrorDetail(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""
    details: dict[str, Any] | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _ErrorDetail


@lru_cache(maxsize=128)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(raw: bytes, kind: type[T], *, what: str) -> T:
    """Decode an answer straight from its bytes. Unreachable if it is not what the contract says: then the peer is
    something else, or of a version that we do not know."""
    try:
        return cast("T", _decoder(cast("Any", kind)).decode(raw))
    except msgspec.MsgspecError as error:
        raise Unreachable(
            f"{what} gave an answer that this version does not understand ({error}). "
            "Check that it is a Mission Control of the same version.",
        ) from error


def decode_items(raw: bytes, kind: type[T], *, what: str) -> tuple[T, ...]:
    """A list that comes as a bare array, or as `items` of a page."""
    if raw.lstrip()[:1] == b"[":
        return cast("tuple[T, ...]", decode(raw, tuple[kind, ...], what=what))  # type: ignore[valid-type]
    return cast("tuple[T, ...]", decode(raw, _items_of(cast("Any", kind)), what=what).items)


@lru_cache(maxsize=32)
def _items_of(kind: Any) -> Any:
    return msgspec.defstruct("Items", [("items", tuple[kind, ...])], frozen=True)


@lru_cache(maxsize=1)
def _classes() -> dict[str, type[MissionControlError]]:
    return by_code()


def _by_status(status: int) -> type[MissionControlError]:
    cls: type[MissionControlError]
    for cls in MissionControlError.__subclasses__():
        if cls.status == status:
            return cls
    return Unreachable if status in (502, 504) else MissionControlError


def error_from(status: int, headers: Mapping[str, str], raw: bytes, *, what: str) -> MissionControlError:
    """The exception that an error answer stands for; by its code, else by its status (a proxy in between)."""
    if 300 <= status < 400:
        return Unreachable(
            f"{what} answered with a redirect to {headers.get('Location', 'nowhere')[:200]!r}. Redirects are not "
            "followed, because the token would go with them: give the final URL."
        )
    try:
        body = cast("_ErrorBody", _decoder(_ErrorBody).decode(raw)).error
    except msgspec.MsgspecError:
        body = _ErrorDetail()
    cls = _classes().get(body.code) or _by_status(status)
    message = body.message or f"{what} answered HTTP {status} without saying why"
    details = {key: value for key, value in (body.details or {}).items() if key.isidentifier()}
    for taken in ("message", "self"):
        details.pop(taken, None)
    if issubclass(cls, BadInput):
        return cls(str(details.pop("field", "")), message, **details)
    if issubclass(cls, RateLimited):
        fallback = details.pop("retryAfter", None)
        details.pop("retry_after", None)
        return cls(message, retry_after=_seconds(headers.get("Retry-After"), fallback), **details)
    if cls is MissionControlError and status == Unavailable.status:
        cls = Unavailable
    return cls(message, **details)


def _seconds(header: str | None, fallback: object) -> int:
    for value in (header, fallback):
        if isinstance(value, int):
            return max(0, value)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
    return 1


def compact(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not given."""
    return {key: value for key, value in values.items() if value is not None}
