"""The open windows of a data directory: how another program learns of them, and asks one to come to the front.

Each window holds a file of its own under DATA_DIR/window; one that nobody holds is left over. Who wants a window in
front makes the file `raise` there, and a window that is well takes it away.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from mission_control_desktop.client import paths
from mission_control_desktop.client.locks import hold, try_lock

RAISE = "raise"
MAX_SESSION_ID = 1_000
_SUFFIX = ".open"


def folder(data_dir: Path) -> Path:
    return data_dir / paths.WINDOWS_DIR


class OpenWindow:
    """That a window is open, until `close` or the end of the process. OSError if it cannot be said."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = paths.make_private_dir(folder(data_dir))
        name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        fresh = self.folder / f".{name}"
        descriptor = hold(fresh)
        if descriptor is None:
            raise AssertionError("a name of our own")
        # Under its name only once it is held: whoever looks meanwhile would take it for left over.
        self._path = fresh.rename(self.folder / f"{name}{_SUFFIX}")
        self._descriptor = descriptor

    def take_request(self) -> str | None:
        """Whether somebody wants a window in front, and with which session (empty: none in particular); None if
        nobody does. Only one window is told."""
        wish = self.folder / RAISE
        try:
            session_id = wish.read_text(encoding="utf-8", errors="replace")[:MAX_SESSION_ID]
            wish.unlink()
        except FileNotFoundError:
            return None
        return session_id

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def any_open(data_dir: Path) -> bool:
    """Whether a window is open (it may hang). Blocking, short."""
    for path in folder(data_dir).glob(f"*{_SUFFIX}"):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if not try_lock(descriptor):
                return True
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return False


def ask_to_front(data_dir: Path, session_id: str = "") -> None:
    """Ask an open window to come to the front, with a session if one is named. Blocking, short; OSError if it cannot be
    asked."""
    here = paths.make_private_dir(folder(data_dir))
    # Under its name only once it is whole: a window may look at any moment.
    fresh = here / f".{RAISE}-{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, session_id.encode())
    finally:
        os.close(descriptor)
    fresh.rename(here / RAISE)


def was_taken(data_dir: Path) -> bool:
    """Whether the request was taken by a window."""
    return not (folder(data_dir) / RAISE).exists()


def withdraw(data_dir: Path) -> None:
    """Nobody took it: ask no more."""
    with contextlib.suppress(FileNotFoundError):
        (folder(data_dir) / RAISE).unlink()
