"""Writing and clearing the stop file: the order to end everything here that needs no control plane."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
from pathlib import Path

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.kill import STOP_FILE


def write_stop_file(data_dir: Path, *, scope: str, reason: str, actor: str) -> Path:
    """Have every keeper of this data directory kill its agent. Whole or not at all, mode 0600. Blocking. Unavailable if
    it cannot be written."""
    path = data_dir / STOP_FILE
    beside = data_dir / f".{STOP_FILE}.{os.getpid()}.new"
    content = json.dumps({"scope": scope, "reason": reason, "actor": actor}, ensure_ascii=False).encode()
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise Unavailable(f"The stop file {path} cannot be written: {error.strerror}.") from error
    return path


def clear_stop_file(data_dir: Path) -> bool:
    """Let agents be started again; whether there was one. Blocking. Unavailable if it cannot be removed."""
    try:
        (data_dir / STOP_FILE).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(f"The stop file cannot be removed: {error.strerror}.") from error
    return True


def local_user() -> str:
    """The account that this program runs under, as it stands in a stop file and so in the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this uid
        return f"uid {os.getuid()}"
