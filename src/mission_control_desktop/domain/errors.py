"""Every error that a caller can meet, with the status it has on the wire.

MissionControlError
├── BadInput                 422  a field is wrong; `field` names it
├── NotAuthenticated         401
├── Forbidden                403  the role is too low
├── NotFound                 404
├── Conflict                 409  illegal in this state, another run, another answer came first
│   ├── IdempotencyMismatch  409  the same key with another body
│   └── StopUnderWay         409  a kill-all is under way in this scope
├── TooLarge                 413
├── RateLimited              429  `retry_after` seconds
├── Unsupported              501  the provider cannot do this; the message is the capability's reason
├── Unreachable              502  the provider does not answer
└── Unavailable              503  we cannot do it now (the record cannot be written, shutting down)
"""

from __future__ import annotations

from typing import Any, ClassVar


class MissionControlError(Exception):
    """A message a person can act on, and a stable code."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details


class BadInput(MissionControlError):
    status, code = 422, "bad_input"

    def __init__(self, field: str, message: str, **details: Any) -> None:
        super().__init__(message, field=field, **details)
        self.field = field


class NotAuthenticated(MissionControlError):
    status, code = 401, "not_authenticated"


class Forbidden(MissionControlError):
    status, code = 403, "forbidden"


class NotFound(MissionControlError):
    status, code = 404, "not_found"


class Conflict(MissionControlError):
    status, code = 409, "conflict"


class IdempotencyMismatch(Conflict):
    code = "idempotency_mismatch"


class StopUnderWay(Conflict):
    code = "stop_under_way"


class TooLarge(MissionControlError):
    status, code = 413, "too_large"


class RateLimited(MissionControlError):
    status, code = 429, "rate_limited"

    def __init__(self, message: str, *, retry_after: int, **details: Any) -> None:
        super().__init__(message, retryAfter=retry_after, **details)
        self.retry_after = retry_after


class Unsupported(MissionControlError):
    status, code = 501, "unsupported"


class Unreachable(MissionControlError):
    status, code = 502, "unreachable"


class Unavailable(MissionControlError):
    status, code = 503, "unavailable"


def by_code() -> dict[str, type[MissionControlError]]:
    """Every class of the tree by its wire code, for clients that raise what a server answered."""
    found: dict[str, type[MissionControlError]] = {}
    todo: list[type[MissionControlError]] = [MissionControlError]
    while todo:
        cls = todo.pop()
        # A class of an adapter that has no code of its own is on the wire what it is derived from.
        found.setdefault(cls.code, cls)
        todo.extend(cls.__subclasses__())
    return found
