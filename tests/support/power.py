"""A disk whose power can be cut: an ext4 file system in a file. What was written and not synced is lost at a cut.

The file system's own writing back is held off (`commit=`), so that only what programs sync reaches the file that stands
for the disk. A cut stops the processes, takes that file as it is, kills them and mounts what was taken in its place.
Programs that relied on luck lose data here as they would on a real machine. Only root can mount.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

MIB = 48
PATIENCE = 30.0


class Disk:
    """`path` is where it is mounted."""

    def __init__(self, place: Path) -> None:
        self.path = place / "disk"
        self.path.mkdir()
        self._image = place / "disk.img"
        with self._image.open("wb") as file:
            file.truncate(MIB << 20)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))

    def mount(self) -> None:
        _run("mount", "-o", "loop,commit=600", str(self._image), str(self.path))

    def unmount(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(["umount", str(self.path)], capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < deadline, f"{self.path} stays busy"
            time.sleep(0.05)

    def cut(self, running: Callable[[], Iterable[int]]) -> None:
        """Power off, and on again: these processes and all that use the disk are gone, and so is what was not synced.
        Asked again until nobody new is found: who is being started meanwhile loses its power too."""
        stopped: set[int] = set()
        while found := {*running(), *self._users()} - stopped:
            for pid in found:
                _signal(pid, signal.SIGSTOP)
            stopped |= found
        taken = self._image.with_suffix(".cut")
        for _ in range(10):  # until nothing was on its way to the disk while it was taken
            shutil.copyfile(self._image, taken)
            if _hash(taken) == _hash(self._image):
                break
        else:
            raise AssertionError("the disk is written to although nobody runs")
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        self.unmount()
        os.replace(taken, self._image)
        self.mount()

    def _users(self) -> set[int]:
        """Who has a file or a working directory on it."""
        return {pid for pid in psutil.pids() if pid != os.getpid() and any(map(self._is_on_it, _places(pid)))}

    def _is_on_it(self, place: str) -> bool:
        return place == str(self.path) or place.startswith(f"{self.path}/")


@contextmanager
def disk(place: Path) -> Iterator[Disk]:
    """A mounted disk; skips where there can be none."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root with mkfs.ext4 can make the disk that this needs")
    made = Disk(place)
    try:
        made.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a file cannot be mounted as a disk here: {error.stderr}")
    try:
        yield made
    finally:
        made.unmount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _places(pid: int) -> Iterator[str]:
    directory = Path("/proc") / str(pid)
    try:
        for one in (directory / "cwd", *(directory / "fd").iterdir()):
            with suppress(FileNotFoundError):  # closed in this moment
                yield os.readlink(one)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended, or not one of ours
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
