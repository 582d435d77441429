"""The data directory as a place: private, used by one control plane at a time, with a note of who that is."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from mission_control_desktop.domain.errors import Unavailable

if sys.platform != "win32":
    import fcntl

log = structlog.get_logger(__name__)

LOCK_FILE = "control-plane.lock"
NOTE_FILE = "control-plane.json"


class Note(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the control plane of this directory is reached."""

    url: str
    pid: int
    version: str
    started_at: datetime


def prepare(data_dir: Path) -> Path:
    """The directory, absolute, made private (0700) if it is new. Raises Unavailable if it cannot be used."""
    path = data_dir.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077 and not any(path.iterdir()):
            path.chmod(0o700)
        elif mode & 0o077:
            # Not ours to change: it holds other things already. Our own files in it are private one by one.
            log.warning("the data directory can be entered by others", path=str(path), mode=oct(mode))
        if not os.access(path, os.W_OK | os.X_OK):
            raise Unavailable(f"The data directory {path} cannot be written.")
    except OSError as error:
        raise Unavailable(f"The data directory {path} cannot be used: {error.strerror or error}.") from error
    return path


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the directory for this process; the system lets go of it however the process ends. Raises Unavailable if
    another control plane has it."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"The data directory {data_dir} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = read_note(data_dir)
            who = f" (process {holder.pid}, {holder.url})" if holder is not None else ""
            raise Unavailable(
                f"Another control plane{who} is using the data directory {data_dir}. "
                "Stop it first, or give another --data-dir."
            ) from None
        yield
    finally:
        os.close(descriptor)


def read_note(data_dir: Path) -> Note | None:
    try:
        return msgspec.json.decode((data_dir / NOTE_FILE).read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def write_note(data_dir: Path, note: Note) -> None:
    """Say where we are. Raises Unavailable if it cannot be written."""
    write_private(data_dir / NOTE_FILE, msgspec.json.encode(note) + b"\n")


def remove_note(data_dir: Path) -> None:
    """Remove the note if it is still ours."""
    note = read_note(data_dir)
    if note is None or note.pid != os.getpid():
        return
    try:
        (data_dir / NOTE_FILE).unlink(missing_ok=True)
    except OSError as error:
        log.warning("control-plane.json cannot be removed", error=str(error))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all. Raises Unavailable."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Unavailable(f"{path} cannot be written: {error.strerror}.") from error
