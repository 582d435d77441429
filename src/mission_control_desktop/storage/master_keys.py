"""Where master keys come from, and where they are kept.

In this order: the environment (`MISSION_CONTROL_MASTER_KEY`, for servers: several processes on one PostgreSQL database
must share a key, and the other places belong to one computer), the keyring of the operating system, a file.

`master-keys.json` in the data directory (mode 0600) lists the keys of the other two, the current one first: a key that
lies in the keyring with its id alone, one that could not be put there itself. So an installation keeps to the keys that
it has, wherever they are, and a keyring that does not answer today adds a key instead of making the old one forgotten.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import fcntl
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from mission_control_desktop.domain.errors import BadInput, Unavailable
from mission_control_desktop.storage.sealing import KEY_BYTES, MasterKey, Sealer

log = structlog.get_logger(__name__)
T = TypeVar("T")

ENV_KEY = "MISSION_CONTROL_MASTER_KEY"
ENV_PREVIOUS = "MISSION_CONTROL_MASTER_KEY_PREVIOUS"
KEYS_FILE = "master-keys.json"
LOCK_FILE = "master-keys.lock"
SERVICE = "mission-control-desktop"
KEYRING_SECONDS = 10.0
"""A locked keyring may ask its owner for a password; longer than this we do not wait."""


class KeyPlace(StrEnum):
    ENVIRONMENT = "environment"
    KEYRING = "keyring"
    FILE = "file"


class Keyring(Protocol):
    """The part of a keyring backend that is used here (`keyring.backend.KeyringBackend` has it)."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class KeyringFailed(Exception):
    pass


# ---------------------------------------------------------------------------------------------------- environment

_taken: dict[str, str] = {}
"""What was taken out of this process's environment. It is there no more, and a control plane may be opened again."""


def take_from_environment(environ: MutableMapping[str, str] | None = None) -> EnvironmentKeys:
    """The keys of the environment, taken out of it so that no child process inherits them.

    Without `environ` that of this process, for the rest of its life. Raises BadInput for what is no key.
    """
    if environ is not None:
        return EnvironmentKeys({name: environ.pop(name) for name in (ENV_KEY, ENV_PREVIOUS) if name in environ})
    for name in (ENV_KEY, ENV_PREVIOUS):
        if name in os.environ:
            _wipe(name)
            _taken[name] = os.environ.pop(name)
    return EnvironmentKeys(_taken)


def _wipe(name: str) -> None:
    """Overwrite a variable where the kernel put it, which is what /proc/PID/environ goes on to show after it is unset.
    On other systems than Linux there is no such file."""
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    at = library.getenv(name.encode())
    if at:
        ctypes.memset(at, ord("x"), len(ctypes.string_at(at)))


class EnvironmentKeys:
    """`current` is None if `MISSION_CONTROL_MASTER_KEY` is not set; `previous` are those to open with."""

    __slots__ = ("current", "previous")

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.current = _from_text(variables[ENV_KEY].strip(), ENV_KEY) if variables.get(ENV_KEY, "").strip() else None
        listed = variables.get(ENV_PREVIOUS, "").split(",")
        self.previous = tuple(_from_text(text.strip(), ENV_PREVIOUS) for text in listed if text.strip())

    def __repr__(self) -> str:
        return "<EnvironmentKeys>"


def _from_text(text: str, name: str) -> MasterKey:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise BadInput(name, f"{name} is not the base64 form of {KEY_BYTES} bytes. Make one: openssl rand -base64 32")
    return MasterKey(raw)


def _to_text(key: MasterKey) -> str:
    return base64.b64encode(key.reveal()).decode("ascii")


# ------------------------------------------------------------------------------------------------------ data directory


class _Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key of the file; without `key` it lies in the keyring."""

    id: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"<key {self.id}>"


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    keys: tuple[_Entry, ...]


class MasterKeys:
    """All keys of one data directory. Methods block (files; a keyring up to `KEYRING_SECONDS`): call them in a thread.

    `backend=None` is the system's keyring.
    """

    def __init__(self, data_dir: Path, environment: EnvironmentKeys, *, backend: Keyring | None = None) -> None:
        self._dir = data_dir
        self._file = data_dir / KEYS_FILE
        self._environment = environment
        self._backend = backend
        self._noted: tuple[tuple[int, int, int] | None, str | None] = (None, None)
        """The key file as it was when it was read last (inode, time, size), and the current key that it names."""

    def current_id(self) -> str | None:
        """Which key is the current one now; None if that cannot be told. Costs a stat while nothing changes, and never
        asks the keyring: the file names the keys that lie there."""
        if self._environment.current is not None:
            return self._environment.current.id
        try:
            found = self._file.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            noted, named = self._noted
            if seen == noted:
                return named
            entries = self._read()
        except (Unavailable, OSError) as error:
            if self._noted[1] is not None:
                problem = error.message if isinstance(error, Unavailable) else str(error)
                log.error("the file of master keys is gone or damaged; bring it back from a backup", problem=problem)
            self._noted = (None, None)
            return None
        named = entries[0].id if entries else None
        self._noted = (seen, named)
        return named

    @property
    def place(self) -> KeyPlace | None:
        """Where the current key is; None if there is none."""
        if self._environment.current is not None:
            return KeyPlace.ENVIRONMENT
        entries = self._read()
        return None if not entries else KeyPlace.FILE if entries[0].key else KeyPlace.KEYRING

    def load(self) -> tuple[MasterKey, ...]:
        """Every key that can be had now, the current one first. Makes none. Raises Unavailable if the current one is
        not to be had: another must not be taken for it."""
        entries = self._read()
        local = [found for entry in entries if (found := self._fetch(entry)) is not None]
        if (current := self._environment.current) is None:
            if not entries or not local or local[0].id != entries[0].id:
                raise Unavailable("The current master key is not to be had.")
            current = local[0]
        return tuple(dict.fromkeys([current, *local, *self._environment.previous]))

    def ensure(self) -> tuple[MasterKey, ...]:
        """The same; makes a key if the current one is not to be had. Raises Unavailable if it cannot be stored."""
        if self._environment.current is not None:
            return self.load()
        with self._locked():
            entries = self._read(set_aside=True)
            if entries and self._fetch(entries[0]) is not None:
                return self.load()
            if entries:
                log.error(
                    "the master key is in a keyring that does not give it; a new one is used from now on, and what is "
                    "sealed with the old one opens again when the keyring does",
                    key=entries[0].id,
                )
            self._add(MasterKey.generate(), entries)
            return self.load()

    def begin_rotation(self) -> tuple[MasterKey, ...]:
        """Make a new current key and store it durably beside those there are; of the environment, what it says."""
        if self._environment.current is None:
            with self._locked():
                self._add(MasterKey.generate(), self._read())
        return self.load()

    def forget(self, keep: Sequence[str]) -> tuple[str, ...]:
        """Forget every stored key but the current one and those with these ids; which were forgotten. Those of the
        environment are the operator's to remove. Raises Unavailable if the file cannot be written."""
        with self._locked():
            entries = self._read()
            # The first may be another process's, which has made it and sealed nothing with it yet.
            current = entries[0].id if entries and self._environment.current is None else None
            gone = [entry for entry in entries if entry.id not in keep and entry.id != current]
            if not gone:
                return ()
            # The file first: an entry that stays in the keyring by accident is unused, one that is missed is a loss.
            self._write([entry for entry in entries if entry not in gone])
            for entry in gone:
                if entry.key is None:
                    self._remove_from_keyring(entry.id)
            return tuple(entry.id for entry in gone)

    def _fetch(self, entry: _Entry) -> MasterKey | None:
        try:
            text = entry.key or self._in_keyring(lambda ring: ring.get_password(SERVICE, _entry_name(entry.id)))
            key = MasterKey(base64.b64decode(text or "", validate=True))
        except KeyringFailed as error:
            log.warning("a master key cannot be had from the keyring", key=entry.id, reason=str(error))
        except (binascii.Error, ValueError):
            log.warning("a master key is missing or damaged", key=entry.id, place="file" if entry.key else "keyring")
        else:
            if key.id == entry.id:
                return key
            log.warning("a master key is another one than it was", key=entry.id)
        return None

    def _add(self, key: MasterKey, others: Sequence[_Entry]) -> None:
        entry = _Entry(id=key.id)
        try:
            self._in_keyring(lambda ring: ring.set_password(SERVICE, _entry_name(key.id), _to_text(key)))
            if self._fetch(entry) is None:
                raise KeyringFailed("it does not keep what it is given")
        except KeyringFailed as error:
            entry = _Entry(id=key.id, key=_to_text(key))
            log.warning("no keyring: the master key is kept in a file", file=str(self._file), reason=str(error))
        try:
            self._write([entry, *others])
        except Unavailable:
            if entry.key is None:
                self._remove_from_keyring(key.id)
            raise

    def _remove_from_keyring(self, key_id: str) -> None:
        try:
            self._in_keyring(lambda ring: ring.delete_password(SERVICE, _entry_name(key_id)))
        except KeyringFailed as error:
            log.warning("a forgotten master key stays in the keyring", entry=_entry_name(key_id), reason=str(error))

    # -- the file

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; the system lets go however it ends."""
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"{self._dir / LOCK_FILE} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, *, set_aside: bool = False) -> tuple[_Entry, ...]:
        """No file: no keys. One that cannot be understood is never overwritten: with `set_aside` it is renamed, else
        Unavailable is raised."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Content).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Unavailable(f"The master keys in {self._file} cannot be read: {error.strerror}.") from error
        except msgspec.MsgspecError:
            if not set_aside:
                raise Unavailable(
                    f"The master keys in {self._file} cannot be understood. Bring the file back from a backup."
                ) from None
        aside = self._file.with_name(f"{KEYS_FILE}.damaged-{os.urandom(4).hex()}")
        os.rename(self._file, aside)
        log.error("the file of master keys cannot be understood; it is set aside", file=str(aside))
        return ()

    def _write(self, entries: Sequence[_Entry]) -> None:
        """Whole or not at all, and on disk when this returns."""
        beside = self._file.with_name(f".{KEYS_FILE}.{os.getpid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(msgspec.json.encode(_Content(keys=tuple(entries))) + b"\n")
                file.flush()
                os.fsync(descriptor)
            os.replace(beside, self._file)
            directory = os.open(self._dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            with suppress(FileNotFoundError):
                beside.unlink()
            raise Unavailable(f"The master key cannot be stored in {self._file}: {error.strerror}.") from error

    # -- the keyring

    def _in_keyring(self, ask: Callable[[Any], T]) -> T:
        """Ask the keyring in a thread of its own, because it may hang for ever. Raises KeyringFailed."""
        answers: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((ask(self._keyring()), None))
            except Exception as error:  # noqa: BLE001 - backends raise what they like; handed on
                answers.put((None, error))

        threading.Thread(target=run, name="mission-control-keyring", daemon=True).start()
        try:
            answer, error = answers.get(timeout=KEYRING_SECONDS)
        except queue.Empty:
            raise KeyringFailed("it did not answer in time") from None
        if isinstance(error, KeyringFailed):
            raise error
        if error is not None:
            # Not its text: nobody knows what a backend puts there.
            raise KeyringFailed(type(error).__name__) from None
        return answer  # type: ignore[return-value]

    def _keyring(self) -> Keyring:
        if self._backend is not None:
            return self._backend
        import keyring
        import keyring.backends.fail

        found = keyring.get_keyring()
        if isinstance(found, keyring.backends.fail.Keyring):
            raise KeyringFailed("the system has no keyring service")
        return found


def _entry_name(key_id: str) -> str:
    return f"master-key-{key_id}"


def open_sealer(keys: MasterKeys) -> Sealer:
    """A sealer with the keys of this place; one is made if there is none. Blocks. Without keys (a file that cannot be
    read or written) the sealer says why, and everything else can go on."""
    try:
        found = keys.ensure()
    except (Unavailable, OSError) as error:
        problem = error.message if isinstance(error, Unavailable) else str(error)
        log.error("there is no master key: secrets can neither be stored nor used", problem=problem)
        return Sealer(problem=f"There is no master key: {problem}", reload=keys.load, named=keys.current_id)
    log.info("master key", place=keys.place, key=found[0].id, others=len(found) - 1)
    return Sealer(found, reload=keys.load, named=keys.current_id)
