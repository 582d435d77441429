"""Who this control plane is to a gateway: an Ed25519 key, and the token that the gateway gave for it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT_ID = "gateway-client"
CLIENT_MODE = "ui"
DISPLAY_NAME = "Mission Control Desktop"
"""The gateway knows a closed list of ids and modes; the product's name has its own place."""
ROLE = "operator"
READ, WRITE = "operator.read", "operator.write"
APPROVALS, QUESTIONS = "operator.approvals", "operator.questions"
ADMIN = "operator.admin"
SCOPES = (READ, WRITE, APPROVALS, QUESTIONS, ADMIN)
"""What is asked for. READ is needed; without one of the others the capability that needs it is missing. ADMIN is
asked for because a gateway (2026.9.6) aborts a run, and shows its approvals, only for the device that began it or for
an admin: a stop must also reach the runs of others."""

_SEED, _TOKEN, _TOKEN_FOR = "deviceSeed", "deviceToken", "deviceTokenFor"


@dataclass(frozen=True, slots=True)
class Device:
    """A key pair. It has no repr that shows the key."""

    key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def new(cls) -> Device:
        return cls(Ed25519PrivateKey.generate())

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def id(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    def prove(
        self, *, scopes: Sequence[str], at_ms: int, token: str, nonce: str, platform: str, family: str = ""
    ) -> str:
        """The signature, base64url without padding, over everything that the gateway decides by."""
        said = "|".join(
            [
                "v3",
                self.id,
                CLIENT_ID,
                CLIENT_MODE,
                ROLE,
                ",".join(scopes),
                str(at_ms),
                token,
                nonce,
                platform.lower(),
                family.lower(),
            ]
        )
        return base64url(self.key.sign(said.encode()))


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept sealed from one connection to the next. The token is one gateway's, named by its URL."""

    device: Device
    token: str | None = field(default=None, repr=False)
    token_for: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Kept | None:
        """None if nothing that can be used was kept."""
        try:
            seed = base64.b64decode(values.get(_SEED, ""), validate=True)
            device = Device(Ed25519PrivateKey.from_private_bytes(seed))
        except ValueError:
            return None
        return cls(device=device, token=values.get(_TOKEN) or None, token_for=values.get(_TOKEN_FOR) or None)

    def values(self) -> dict[str, str]:
        """To be sealed."""
        found = {_SEED: base64.b64encode(self.device.key.private_bytes_raw()).decode()}
        if self.token is not None and self.token_for is not None:
            found |= {_TOKEN: self.token, _TOKEN_FOR: self.token_for}
        return found

    def token_of(self, url: str) -> str | None:
        """The device token, if it is this gateway's: another one must never be shown it."""
        return self.token if self.token_for == url else None


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
