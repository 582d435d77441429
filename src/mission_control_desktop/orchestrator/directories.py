"""Where the files of the internal provider's sessions are, and how they are read and written.

DATA_DIR/agents/NATIVE_ID/: spec.json (`SessionSpec`), launch.json, journal.jsonl, keeper.sock, keeper.json, keeper.log,
mcp-token; and `ended` once the session is final on record, its keeper is gone and nothing of it runs any more.
Directories are 0700, files 0600. They are kept after the end, for as long as the session's messages are. Only
launch.json is removed then: it holds the agent's environment, which is needed for as long as the agent may have to be
started again.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.files import make_private_dir, write_private
from mission_control_desktop.orchestrator.keeper.client import read_journal
from mission_control_desktop.orchestrator.keeper.place import LAUNCH

NATIVE_ID = re.compile(r"[0-9a-f]{32}")
SPEC, ENDED, JOURNAL = "spec.json", "ended", "journal.jsonl"
GOING = ".going-"


class SessionDirectory:
    """One session's directory. Methods block: call those that read much in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def session_id(self) -> str:
        return self.path.name

    def create(self, spec: SessionSpec) -> None:
        """OSError if it cannot be written."""
        make_private_dir(self.path)
        write_private(self.path / SPEC, msgspec.json.encode(spec))

    def spec(self) -> SessionSpec:
        """OSError or msgspec.MsgspecError if it cannot be read."""
        return msgspec.json.decode((self.path / SPEC).read_bytes(), type=SessionSpec)

    @property
    def ended(self) -> bool:
        return (self.path / ENDED).exists()

    def forget_launch(self) -> None:
        """Remove the agent's environment: no new process will need it. OSError as it comes."""
        (self.path / LAUNCH).unlink(missing_ok=True)

    def mark_ended(self, last: int) -> None:
        self.forget_launch()
        write_private(self.path / ENDED, msgspec.json.encode({"lastEntry": last}))

    def ended_at(self) -> datetime | None:
        """When everything about the session was done; None while it is not."""
        try:
            return datetime.fromtimestamp((self.path / ENDED).stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """All files of a session that is over. Under another name first: what a crash leaves of them is not taken for
        a session, and goes with the next `remove_leftovers`. OSError if they cannot be removed."""
        going = self.path.with_name(f"{GOING}{self.path.name}")
        self.path.rename(going)
        shutil.rmtree(going)

    def sync_journal(self) -> None:
        """What stands in the journal survives a power cut from now on. OSError if that cannot be had. Blocking."""
        descriptor = os.open(self.path / JOURNAL, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append_after_keeper(
        self, entries: list[dict[str, Any]], *, after: int = 0, known: dict[str, Any] | None = None
    ) -> None:
        """Add entries ({kind, line?, key?, data?}) to the journal of a session that has no keeper (any more).

        For what only the control plane can know then: that the agent was never started, or that its keeper is gone.
        Takes the keeper's lock; BlockingIOError if a keeper holds it after all. A last line that was written in part
        is cut off. They are numbered from `after` + 1 at least: what an agent says is not synced to the disk, so after
        a power cut the journal may end before what the record has of it; what is missing becomes `void`, and one more
        of them holds what is `known`.
        """
        number = 0
        for entry in read_journal(self.path):
            number = entry.n
        descriptor = os.open(self.path / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raw_end = _end_of_whole_lines(file.fileno())
            file.truncate(raw_end)
            file.seek(raw_end)
            missing: list[dict[str, Any]] = [{"kind": "void"}] * (after - number)
            if missing and known is not None:
                missing.append({"kind": "void", "data": known})
            for fields in missing + entries:
                number += 1
                body = {"n": number, "t": round(time.time(), 6), **fields}
                file.write(msgspec.json.encode(body) + b"\n")
            file.flush()
            os.fsync(descriptor)


def remove_leftovers(agents: Path) -> None:
    """What an earlier `SessionDirectory.remove` did not come to. OSError if it cannot be removed."""
    for path in agents.glob(f"{GOING}*"):
        shutil.rmtree(path)


def _end_of_whole_lines(descriptor: int) -> int:
    """The position after the last line break of a file."""
    position = os.fstat(descriptor).st_size
    while position > 0:
        start = max(0, position - 65536)
        found = os.pread(descriptor, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def session_directories(agents: Path) -> Iterator[SessionDirectory]:
    """All of them, the oldest session first (ids sort by time)."""
    try:
        names = sorted(os.listdir(agents))
    except FileNotFoundError:
        return
    for name in names:
        if NATIVE_ID.fullmatch(name):
            yield SessionDirectory(agents / name)
