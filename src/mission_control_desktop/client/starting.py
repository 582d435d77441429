"""Start the control plane of this computer, as a process that outlives who started it.

Apart from `client.discovery`, and without what it takes to talk to one, so that a window can begin with this: the
control plane starts while the window imports and paints.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mission_control_desktop.client import paths, processes
from mission_control_desktop.client.locks import hold
from mission_control_desktop.domain.errors import Unavailable

IDLE_EXIT_SECONDS = 900


class Begun:
    """A control plane that is starting. The start lock is held until `close`: nobody starts a second one."""

    def __init__(self, process: subprocess.Popen[bytes], lock: int) -> None:
        self.process = process
        self._lock: int | None = lock

    def close(self) -> None:
        """Let go of the lock; the control plane goes on."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def serve_command() -> list[str]:
    """What starts a control plane here, all before `--data-dir`."""
    serve = [sys.executable, "-m", "mission_control_desktop", "serve", "--port", "0"]
    return [*serve, "--exit-when-idle", str(IDLE_EXIT_SECONDS)]


def spawn(data_dir: Path, environ: Mapping[str, str], command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start one, its first line to be read from its `stdout`. Blocking; the start lock is the caller's. Unavailable if
    it cannot be started."""
    clean = {name: value for name, value in environ.items() if name not in (paths.ENV_URL, paths.ENV_TOKEN)}
    descriptor = processes.open_log(data_dir / paths.CONTROL_PLANE_LOG)
    try:
        return processes.Detached(
            [*command, "--data-dir", str(data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=descriptor,
            env=clean,
            cwd=data_dir,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"the control plane cannot be started ({command[0]}): {error}") from error
    finally:
        os.close(descriptor)


def begin(data_dir: Path, environ: Mapping[str, str]) -> Begun | None:
    """Start one if none is named, runs or is being started here. Where there is any doubt, and where it fails, nothing
    is done: `Discovery.find_or_start`, which is to be given the result, looks closer and says what is wrong."""
    if environ.get(paths.ENV_URL) or _may_run(data_dir):
        return None
    try:
        lock = hold(paths.make_private_dir(data_dir) / paths.START_LOCK_FILE)
    except OSError:
        return None
    if lock is None:
        return None
    try:
        if not _may_run(data_dir):  # another one may have been started until the lock was ours
            return Begun(spawn(data_dir, environ, serve_command()), os.dup(lock))
    except (OSError, Unavailable):
        return None
    finally:
        os.close(lock)
    return None


def _may_run(data_dir: Path) -> bool:
    try:
        pid = json.loads((data_dir / paths.CONTROL_PLANE_FILE).read_bytes())["pid"]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return not isinstance(pid, int) or processes.alive(pid)
