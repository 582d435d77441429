"""Secrets at rest: encrypted and authenticated under a master key that is not in the database.

A sealed value is: version (1 byte), the master key's id (8 bytes), nonce (12 random bytes, fresh each time), ciphertext
with its tag (AES-256-GCM, NIST SP 800-38D). The place where it stands is associated data, as is the header: a value
that was moved to another row, column or key does not open.

A master key itself encrypts nothing: the encryption key, the keys of authentication codes (one per purpose) and the
key's id are derived from it (HKDF-SHA256, RFC 5869).
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mission_control_desktop.domain.errors import Unavailable

log = structlog.get_logger(__name__)

KEY_BYTES = 32
VERSION = 1
ID_BYTES, NONCE_BYTES, TAG_BYTES = 8, 12, 16
HEADER_BYTES = 1 + ID_BYTES + NONCE_BYTES
RELOAD_SECONDS = 1.0
RELOAD_REST = 60
"""A key that is not known is looked for at its source at most so often, and after a slow look (a keyring that does not
answer) not before so many times as long."""

_WAY_OUT = (
    "Give the control plane the master key that this was sealed with (MISSION_CONTROL_MASTER_KEY_PREVIOUS, or the key "
    "file of the data directory from a backup) and start it again; or enter the secret anew."
)


class MasterKey:
    """One master key. Nothing of it is shown, copied or stored by accident; `reveal()` is the one way to its bytes."""

    __slots__ = ("_cipher", "_mac_keys", "_raw", "id")

    def __init__(self, raw: bytes) -> None:
        """`raw`: 32 random bytes. Raises ValueError for another length."""
        if len(raw) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes")
        self._raw = bytes(raw)
        self._cipher = AESGCM(self._derived("seal"))
        self._mac_keys: dict[str, bytes] = {}
        self.id = self._derived("id")[:ID_BYTES].hex()
        """16 hex digits that name the key and tell nothing of it."""

    @classmethod
    def generate(cls) -> MasterKey:
        return cls(os.urandom(KEY_BYTES))

    def reveal(self) -> bytes:
        """The key itself: only for where it is kept."""
        return self._raw

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256 with a key for this purpose alone. Purposes are names in the code, so they are few: their keys
        are kept, because deriving one costs more than the code itself."""
        key = self._mac_keys.get(purpose)
        if key is None:
            key = self._mac_keys[purpose] = self._derived(f"mac/{purpose}")
        return hmac.digest(key, data, "sha256")

    def seal(self, plain: bytes, place: str) -> bytes:
        header = bytes([VERSION]) + bytes.fromhex(self.id) + os.urandom(NONCE_BYTES)
        return header + self._cipher.encrypt(header[-NONCE_BYTES:], plain, header + place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Raises cryptography's InvalidTag if it is not what was sealed for this place."""
        header, body = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
        return self._cipher.decrypt(header[-NONCE_BYTES:], body, header + place.encode())

    def _derived(self, purpose: str) -> bytes:
        info = f"mission-control/v{VERSION}/{purpose}".encode()
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MasterKey) and hmac.compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<MasterKey {self.id}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a master key is not copied or stored as it is")


def key_id_of(sealed: bytes) -> str | None:
    """Which master key sealed this; None for what is no sealed value of this version."""
    if len(sealed) < HEADER_BYTES + TAG_BYTES or sealed[0] != VERSION:
        return None
    return sealed[1 : 1 + ID_BYTES].hex()


class Sealer:
    """Seals with the current master key, opens with every known one. Safe to use from any thread.

    `keys`: the current one first. Another process may change them: `named` says which key their source names as the
    current one now (its id; None: the source cannot say), and is asked before anything is sealed or authenticated;
    `reload` reads them from there again (it may raise Unavailable) when that is another one, or when a key is asked for
    that is not known. That blocks for as long as the source takes: use it in a database thread or with
    `asyncio.to_thread`. `problem` says what to do when there is no key at all.
    """

    __slots__ = ("_keys", "_lock", "_missed", "_named", "_problem", "_reload", "_reload_after")

    def __init__(
        self,
        keys: Sequence[MasterKey] = (),
        *,
        reload: Callable[[], Sequence[MasterKey]] | None = None,
        named: Callable[[], str | None] | None = None,
        problem: str = "This program was started without a master key, so secrets can neither be stored nor used.",
    ) -> None:
        self._keys = tuple(keys)
        self._reload = reload
        self._named = named
        self._problem = problem
        self._lock = threading.Lock()
        self._reload_after = float("-inf")
        self._missed: str | None = None
        """The current key that could not be had when it was looked for."""

    @property
    def key_id(self) -> str | None:
        """The current master key's id; None if there is none."""
        return self._keys[0].id if self._keys else None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """All known ones, the current one first."""
        return tuple(key.id for key in self._keys)

    def use(self, keys: Sequence[MasterKey]) -> None:
        """From now on these, the current one first."""
        self._keys = tuple(keys)

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """Encrypt for this place (`TABLE/ROW/COLUMN`). Call it within the transaction that writes it: a rotation
        then comes before or after, never between. Raises Unavailable if there is no master key, or if another process
        made a new one that is not to be had here: what the old one seals now might never be opened again."""
        return self._current().seal(plain, place)

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """What was sealed for this place. Raises Unavailable, with what to do, if the key is not known, or if it was
        changed, cut off or made for another place; `details["sealed"]` is `noKey`, `unknownKey` or `damaged`."""
        key_id = key_id_of(sealed)
        if key_id is None:
            raise self._damaged(place)
        key = self._key(key_id, place)
        try:
            return key.open(sealed, place)
        except InvalidTag:
            raise self._damaged(place) from None

    def renew(self, sealed: bytes, *, place: str) -> bytes:
        """The same under the current key: itself if it is already. Raises Unavailable as `open` and `seal`."""
        if key_id_of(sealed) == self._current().id:
            return sealed
        return self.seal(self.open(sealed, place=place), place=place)

    def mac(self, purpose: str, data: bytes) -> tuple[str, bytes]:
        """The current key's id and the authentication code (32 bytes). Raises Unavailable as `seal`."""
        key = self._current()
        return key.id, key.mac(purpose, data)

    def check_mac(self, purpose: str, data: bytes, key_id: str, mac: bytes) -> bool:
        """Whether `mac` made this code for these data. Raises Unavailable if the key is not known: then nobody can
        tell."""
        return hmac.compare_digest(self._key(key_id, purpose).mac(purpose, data), mac)

    def follow(self) -> None:
        """Take the current key from its source if that names another one. Raises Unavailable if it is not to be had."""
        named = self._named() if self._named is not None else None
        if named is None or named == self.key_id or self._reload is None:
            return
        with self._lock:
            if named == self.key_id:
                return
            if self._missed != named or time.monotonic() >= self._reload_after:
                self._missed = None if self._load(self._reload) else named
            if self._missed is None:
                return
        raise Unavailable(
            f"The master key was changed: {named} is the current one, and it is not to be had here. Unlock the keyring "
            "or bring the key file back from a backup; nothing is sealed with the old key any more.",
            sealed="noKey",
            keyId=named,
        )

    def _current(self) -> MasterKey:
        self.follow()
        if not self._keys:
            raise Unavailable(self._problem, sealed="noKey")
        return self._keys[0]

    def _key(self, key_id: str, what: str) -> MasterKey:
        found = self._known(key_id)
        if found is None and self._reload is not None:
            self._look_again(self._reload)
            found = self._known(key_id)
        if found is None:
            if not self._keys:
                raise Unavailable(self._problem, sealed="noKey")
            raise Unavailable(
                f"{what} was sealed with the master key {key_id}, which is not known here. {_WAY_OUT}",
                sealed="unknownKey",
                keyId=key_id,
            )
        return found

    def _look_again(self, reload: Callable[[], Sequence[MasterKey]]) -> None:
        with self._lock:
            if time.monotonic() >= self._reload_after:
                self._load(reload)

    def _load(self, reload: Callable[[], Sequence[MasterKey]]) -> bool:
        """Whether the keys could be read. Holding the lock."""
        began = time.monotonic()
        try:
            self.use(reload())
        except Unavailable as error:
            log.warning("the master keys cannot be read again", problem=error.message)
            return False
        finally:
            ended = time.monotonic()
            self._reload_after = ended + max(RELOAD_SECONDS, RELOAD_REST * (ended - began))
        return True

    def _known(self, key_id: str) -> MasterKey | None:
        return next((key for key in self._keys if key.id == key_id), None)

    @staticmethod
    def _damaged(place: str) -> Unavailable:
        return Unavailable(
            f"{place} is not what was stored there: it was changed, cut off or moved. Enter the secret anew, or bring "
            "the database back from a backup.",
            sealed="damaged",
        )

    def __repr__(self) -> str:
        return f"<Sealer {self.key_id or 'without a key'}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a sealer is not copied or stored")
