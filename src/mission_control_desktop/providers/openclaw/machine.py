"""The way to a connection, as pure state: what to say to what the gateway says, and how long to wait afterwards."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.openclaw.frames import (
    BadFrame,
    Challenge,
    Event,
    Frame,
    Hello,
    Reply,
    encode_request,
    read,
)
from mission_control_desktop.providers.openclaw.identity import (
    CLIENT_ID,
    CLIENT_MODE,
    DISPLAY_NAME,
    READ,
    ROLE,
    SCOPES,
    Device,
    base64url,
)
from mission_control_desktop.providers.openclaw.trouble import PROTOCOL, GatewayError, Refused, refused_connect

CONNECT_ID = "connect"
CAPS = ("tool-events", "approvals", "session-scoped-events")
NEEDED_METHODS = frozenset({"sessions.list", "sessions.subscribe", "chat.history"})
BACKOFF_FIRST, BACKOFF_MAX = 1.0, 30.0
RESTART_GRACE = 60.0
"""Seconds after a `shutdown` in which a gateway that cannot be reached is still taken to be starting again."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What opens the door: the token of the credentials, or the one that the gateway gave to this device."""

    value: str = field(default="", repr=False)
    of_device: bool = False

    def auth(self) -> dict[str, str]:
        if not self.value:
            return {}
        return {"deviceToken": self.value} if self.of_device else {"token": self.value}


@dataclass(slots=True)
class Handshake:
    """Challenge, connect, hello. `receive` tells what to send next, or the hello once it is complete."""

    device: Device
    secret: Secret
    version: str
    challenged: bool = False

    def receive(self, frame: Frame) -> bytes | Hello | None:
        """None: this frame changes nothing. Raises Refused."""
        if isinstance(frame, Event):
            if frame.event != "connect.challenge" or self.challenged:
                return None
            try:
                challenge = read(frame.payload, Challenge)
            except BadFrame as error:
                raise _not_openclaw(str(error)) from error
            self.challenged = True
            return encode_request(CONNECT_ID, "connect", self._params(challenge))
        if not self.challenged or frame.id != CONNECT_ID:
            raise _not_openclaw("it answered what was not asked")
        return self._accept(frame)

    def _accept(self, reply: Reply) -> Hello:
        if not reply.ok:
            if reply.error is None:
                raise _not_openclaw("it refused without a reason")
            error = GatewayError("connect", reply.error)
            raise refused_connect(error, with_device_token=self.secret.of_device)
        try:
            hello = read(reply.payload, Hello)
        except BadFrame as error:
            raise _not_openclaw(str(error)) from error
        if hello.protocol != PROTOCOL:
            words = f"The gateway speaks protocol {hello.protocol}; this version of Mission Control speaks {PROTOCOL}."
            raise Refused(StageName.PROTOCOL, words, by_person=True)
        missing = NEEDED_METHODS - set(hello.features.methods)
        if missing:
            words = f"The gateway (version {hello.server.version}) lacks {', '.join(sorted(missing))}. Update it."
            raise Refused(StageName.PROTOCOL, words, by_person=True)
        if READ not in hello.auth.scopes:
            words = (
                "The gateway let Mission Control in, but not to read anything: the scope operator.read is "
                "missing. Approve the device with it on the gateway (`openclaw devices list`), then check again."
            )
            raise Refused(StageName.SCOPES, words, by_person=True)
        return hello

    def _params(self, challenge: Challenge) -> dict[str, Any]:
        system = platform.system().lower()
        signature = self.device.prove(
            scopes=SCOPES, at_ms=challenge.ts, token=self.secret.value, nonce=challenge.nonce, platform=system
        )
        return {
            "minProtocol": PROTOCOL,
            "maxProtocol": PROTOCOL,
            "client": {
                "id": CLIENT_ID,
                "displayName": DISPLAY_NAME,
                "version": self.version,
                "platform": system,
                "mode": CLIENT_MODE,
            },
            "role": ROLE,
            "scopes": list(SCOPES),
            "caps": list(CAPS),
            "auth": self.secret.auth(),
            "device": {
                "id": self.device.id,
                "publicKey": base64url(self.device.public),
                "signature": signature,
                "signedAt": challenge.ts,
                "nonce": challenge.nonce,
            },
        }


def _not_openclaw(what: str) -> Refused:
    words = f"What answers there does not speak the OpenClaw gateway's protocol: {what}. Check the address."
    return Refused(StageName.PROTOCOL, words, by_person=False)


class Patience:
    """How long to wait before the next attempt: 1 to 30 s, doubling, with jitter, and what the gateway asks for.

    `random` gives a number from 0 (included) to 1 (excluded).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self._graced_until: float | None = None

    def connected(self) -> None:
        self._failures = 0
        self._graced_until = None

    def shutting_down(self, now: float, expected: float | None) -> None:
        """The gateway said that it goes. `expected`: seconds until it wants to be back, which it rarely keeps."""
        self._graced_until = now + RESTART_GRACE + (expected or 0.0)

    def restarting(self, now: float) -> bool:
        """Whether it is still taken to be on its way back."""
        return self._graced_until is not None and now < self._graced_until

    def next(self, now: float, *, by_person: bool = False, retry_after: float | None = None) -> float | None:
        """Seconds to wait; None: until a person has done something."""
        if by_person:
            return None
        limit = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._failures, 10))
        self._failures += 1
        if self.restarting(now):
            limit = min(limit, 2 * BACKOFF_FIRST)
        wait = BACKOFF_FIRST / 2 + (limit - BACKOFF_FIRST / 2) * self._random()
        wait = max(BACKOFF_FIRST, wait)
        return wait if retry_after is None else max(retry_after, BACKOFF_FIRST * self._random())
