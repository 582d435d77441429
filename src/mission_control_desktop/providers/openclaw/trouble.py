"""What a gateway refuses, in words that lead to the mend; and whether trying again can help."""

from __future__ import annotations

import re
from typing import Any

from mission_control_desktop.domain.errors import (
    Conflict,
    MissionControlError,
    NotFound,
    Unavailable,
    Unreachable,
    Unsupported,
)
from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.openclaw.frames import ErrorBody

PROTOCOL = 4
MAX_RETRY_AFTER = 300.0
"""Seconds; a gateway that asks for more is asked again after this."""
_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")


class Later(Unavailable):
    """The gateway takes nothing now. `retry_after`: seconds after which it wants to be asked again."""

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class GatewayError(Exception):
    """The gateway answered a request with a refusal."""

    def __init__(self, method: str, body: ErrorBody) -> None:
        super().__init__(f"{method}: {body.code}: {body.message}")
        self.method = method
        self.code = body.code
        self.said = " ".join(body.message.split())[:300]
        self.retryable = body.retryable
        self.details: dict[str, Any] = body.details if isinstance(body.details, dict) else {}
        after = body.retry_after_ms if body.retry_after_ms is not None else self.details.get("retryAfterMs")
        self.retry_after = seconds(after)

    @property
    def reason(self) -> str:
        return _word(self.details.get("reason"))

    @property
    def detail_code(self) -> str:
        return _word(self.details.get("code"))

    @property
    def later(self) -> bool:
        """Whether the gateway may do it when it is asked again."""
        return self.code == "UNAVAILABLE" or self.retryable

    @property
    def request_id(self) -> str | None:
        """Of a pairing or scope request; None if it is no id that can be shown in a command."""
        value = self.details.get("requestId")
        return value if isinstance(value, str) and _ID.match(value) else None

    def in_the_tree(self) -> MissionControlError:
        """The same for a caller of ours."""
        about = f"The gateway refused: {self.said or self.code}."
        if self.code == "FORBIDDEN" or self.detail_code == "MISSING_SCOPE":
            needed = ", ".join(map(str, self.details.get("requiredScopes") or ())) or "a scope"
            return Unsupported(f"The gateway does not let Mission Control do this: its device lacks {needed}.")
        if self.said.lower() == "unauthorized":
            return Unsupported(
                "The gateway lets only the device that began this run, or an admin, do this. Approve Mission Control's "
                "device with operator.admin on the gateway (`openclaw devices list`), then try again."
            )
        if "not found" in self.said.lower() or self.code.endswith("NOT_FOUND"):
            return NotFound(about)
        if self.later:
            words = f"The gateway cannot do it now: {self.said or self.reason or self.code}. Try again."
            return Later(words, retry_after=self.retry_after)
        return Conflict(about)


class Refused(Exception):
    """There is no connection. `stage` is how far it came; `by_person`: trying again cannot help before somebody has
    done something; `retry_after`: seconds the gateway asked for; `forget_token`: the device token opens nothing any
    more."""

    def __init__(
        self,
        stage: StageName,
        words: str,
        *,
        by_person: bool = False,
        retry_after: float | None = None,
        request_id: str | None = None,
        forget_token: bool = False,
    ) -> None:
        super().__init__(words)
        self.stage = stage
        self.words = words
        self.by_person = by_person
        self.retry_after = retry_after
        self.request_id = request_id
        self.forget_token = forget_token


class Lost(Unreachable):
    """The connection ended, or a reply did not come. What was asked may have been done."""


def refused_connect(error: GatewayError, *, with_device_token: bool) -> Refused:
    """What to make of a `connect` that the gateway turned down."""
    code = error.detail_code or error.code
    request = error.request_id
    if code in ("PAIRING_REQUIRED", "NOT_PAIRED") or error.code == "NOT_PAIRED":
        return Refused(
            StageName.SCOPES if "scope" in error.reason else StageName.AUTHENTICATED,
            _pairing(error.reason, request),
            by_person=True,
            request_id=request,
        )
    stage, words, forget = _CONNECT.get(code, (None, "", False))
    if stage is not None:
        return Refused(stage, words, by_person=True, forget_token=forget and with_device_token, request_id=request)
    if code.startswith(("AUTH_", "DEVICE_")) and not error.retryable:
        words = f"The gateway does not accept these credentials ({code}). Check the token, and the computer's clock."
        return Refused(StageName.AUTHENTICATED, words, by_person=True, forget_token=with_device_token)
    why = f"{error.said or code}{f' ({error.reason})' if error.reason else ''}"
    by_person = error.code in ("INVALID_REQUEST", "FORBIDDEN") and not error.retryable
    return Refused(
        StageName.PROTOCOL,
        f"The gateway does not accept the connection: {why}.",
        by_person=by_person,
        retry_after=error.retry_after,
    )


def _pairing(reason: str, request: str | None) -> str:
    approve = (
        f"run `openclaw devices approve {request}` on its computer (request {request}), "
        if request
        else "run `openclaw devices list` on its computer and approve the newest request, "
    )
    if "scope" in reason:
        what = (
            "The gateway knows Mission Control, but its owner has not granted all that it asks for: to read, to send "
            "and stop, to answer approvals and questions."
        )
    elif "revoked" in reason or "reject" in reason:
        what = "The gateway's owner has turned this device down."
    else:
        what = "The gateway does not know Mission Control yet: its owner has to let it in once, as a device (pairing)."
    return f"{what} On the gateway, {approve}then check the connection here again."


_CONNECT: dict[str, tuple[StageName, str, bool]] = {
    "AUTH_TOKEN_MISMATCH": (
        StageName.AUTHENTICATED,
        "The token is wrong. Copy it again from the gateway (`gateway.auth.token` in its configuration).",
        False,
    ),
    "AUTH_TOKEN_MISSING": (StageName.AUTHENTICATED, "The gateway wants a token. Give it in the credentials.", False),
    "AUTH_PASSWORD_MISMATCH": (
        StageName.AUTHENTICATED,
        "The gateway is set up with a password, and this is not it. Give the password as the token.",
        False,
    ),
    "AUTH_DEVICE_TOKEN_MISMATCH": (
        StageName.AUTHENTICATED,
        "The gateway has taken back this device's access. Give the gateway's token again, or approve the device there.",
        True,
    ),
    "AUTH_SCOPE_MISMATCH": (
        StageName.SCOPES,
        "This device's access does not cover what Mission Control asks for. Give the gateway's token again, and "
        "approve the wider access there.",
        True,
    ),
    "DEVICE_IDENTITY_REQUIRED": (
        StageName.AUTHENTICATED,
        "The gateway wants a token. Give it in the credentials.",
        False,
    ),
    "DEVICE_AUTH_SIGNATURE_INVALID": (
        StageName.AUTHENTICATED,
        "The gateway cannot verify this device. Check that the clocks of both computers are right.",
        False,
    ),
    "DEVICE_AUTH_SIGNATURE_EXPIRED": (
        StageName.AUTHENTICATED,
        "The gateway takes this device's proof for too old. Check that the clocks of both computers are right.",
        False,
    ),
    "PROTOCOL_MISMATCH": (
        StageName.PROTOCOL,
        f"The gateway speaks another protocol version than {PROTOCOL}. Use versions of both that fit together.",
        False,
    ),
    "CONTROL_UI_ORIGIN_NOT_ALLOWED": (
        StageName.PROTOCOL,
        "Something between here and the gateway adds an Origin header, which the gateway does not allow. "
        "Connect to it directly, or allow the origin in `gateway.controlUi.allowedOrigins`.",
        False,
    ),
}


def seconds(milliseconds: object) -> float | None:
    """A time that the gateway asks for, in seconds and bounded; None if it is none."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)) or not milliseconds >= 0:
        return None
    return min(float(milliseconds) / 1000, MAX_RETRY_AFTER)


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
