"""Access tokens of a person on this computer: in the keyring of the operating system, else, said openly, in a file.

The keyring's service is `mission-control-desktop`, the key is the control plane's URL.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import msgspec
import structlog

from mission_control_desktop.client.paths import APP_NAME, TOKENS_FILE, make_private_dir
from mission_control_desktop.domain.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

KEYRING_SECONDS = 10.0
"""A locked keyring may ask its owner for a password; longer than this we do not wait."""


class Keyring(Protocol):
    """The part of a keyring backend that is used here (`keyring.backend.KeyringBackend` has it)."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class _NoKeyring(Exception):
    """The keyring cannot be used now, and why."""


class TokenPlace(StrEnum):
    KEYRING = "keyring"
    FILE = "file"


class TokenStore:
    """Blocking work happens in threads of its own. `backend=None` is the system's keyring."""

    def __init__(self, data_dir: Path, backend: Keyring | None = None) -> None:
        self._path = data_dir / TOKENS_FILE
        self._backend = backend
        self._lock = threading.Lock()

    @property
    def file(self) -> Path:
        """Where tokens lie (mode 0600) if there is no keyring."""
        return self._path

    async def load(self, url: str) -> str | None:
        """The token for a control plane's URL, or None. Unavailable if the file cannot be read."""
        try:
            found = await self._ask(lambda keyring: keyring.get_password(APP_NAME, url))
        except _NoKeyring as error:
            log.debug("no keyring", reason=str(error))
            found = None
        if found:
            return found
        return (await in_thread(self._read)).get(url)

    async def save(self, url: str, token: str) -> TokenPlace:
        """Keep a token; says where it went, so that the person can be told."""
        try:
            await self._ask(lambda keyring: keyring.set_password(APP_NAME, url, token))
        except _NoKeyring as error:
            log.warning("no keyring: the token is kept in a file", path=str(self._path), reason=str(error))
            await in_thread(lambda: self._write(url, token))
            return TokenPlace.FILE
        await in_thread(lambda: self._write(url, None))
        return TokenPlace.KEYRING

    async def forget(self, url: str) -> None:
        try:
            await self._ask(lambda keyring: keyring.delete_password(APP_NAME, url))
        except _NoKeyring as error:
            log.debug("nothing removed from the keyring", reason=str(error))
        await in_thread(lambda: self._write(url, None))

    async def describe(self) -> str:
        """Which keyring is used, or why none is: for `doctor` and the settings."""
        try:
            name = await self._ask(lambda keyring: getattr(keyring, "name", type(keyring).__name__))
        except _NoKeyring as error:
            return f"no keyring ({error}); tokens are kept in {self._path} (mode 0600)"
        return f"keyring: {name}"

    async def _ask(self, question: Callable[[Keyring], T]) -> T:
        """Ask the keyring in a thread. Raises _NoKeyring."""

        def asked() -> T:
            # Here, and not above: importing it takes as long as a bare window does to its first paint.
            import keyring
            import keyring.backends.fail
            import keyring.errors

            try:
                backend = self._backend if self._backend is not None else keyring.get_keyring()
                if isinstance(backend, keyring.backends.fail.Keyring):
                    raise _NoKeyring("the system has no keyring service")
                return question(backend)
            except keyring.errors.KeyringError as error:
                raise _NoKeyring(_reason(error)) from error

        try:
            return await in_thread(asked, timeout=KEYRING_SECONDS)
        except TimeoutError as error:
            raise _NoKeyring(_reason(error)) from error

    def _read(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(
                f"the tokens in {self._path} cannot be read ({error}): mend or remove the file"
            ) from error

    def _write(self, url: str, token: str | None) -> None:
        with self._lock:
            known = self._read()
            if known.get(url) == token:
                return
            if token is None:
                known.pop(url, None)
            else:
                known[url] = token
            make_private_dir(self._path.parent)
            write_private(self._path, msgspec.json.encode(known))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once (never half written), readable by its owner only."""
    with private_file(path) as stream:
        stream.write(content)


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, readable by its owner only, that takes the place of `path` when it is whole; else it is gone."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


async def in_thread(work: Callable[[], T], *, timeout: float | None = None) -> T:
    """Run blocking work in a daemon thread: one that hangs (a keyring's dialog nobody answers) keeps neither the loop
    nor the program from ending. TimeoutError after so many seconds."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(value: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: T | None = None
        problem: BaseException | None = None
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            problem = error
        try:
            loop.call_soon_threadsafe(deliver, value, problem)
        except RuntimeError:
            log.debug("nobody waits for the result any more")

    threading.Thread(target=run, name="mission-control-blocking", daemon=True).start()
    return await asyncio.wait_for(future, timeout)


def _reason(error: BaseException) -> str:
    return "it did not answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
