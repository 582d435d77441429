"""What the command line prints: aligned tables for people, JSON for programs.

Text from agents is untrusted: control characters (which could move a terminal's cursor or worse) are shown, not sent.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from mission_control_desktop.domain.base import to_json

# C0 (without tab and line feed), DEL, C1, and the marks that turn the direction of text around.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """Text that a terminal only shows: control characters as their code, line ends as they are."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(safe(text).split())


class Output:
    """Standard output and error of one command. `json` says which of the two forms it prints."""

    def __init__(self, *, json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json = json
        self._out = stdout or sys.stdout
        self._err = stderr or sys.stderr

    def line(self, text: str = "") -> None:
        self._out.write(text + "\n")

    def text(self, text: str) -> None:
        """Without a line end, at once."""
        self._out.write(text)
        self._out.flush()

    def flush(self) -> None:
        self._out.flush()

    def note(self, text: str) -> None:
        """For the person, beside the result."""
        self._err.write(text + "\n")

    def document(self, value: object) -> None:
        """One JSON document on one line."""
        self._out.write(to_json(value).decode() + "\n")
        self._out.flush()

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
        """Columns as wide as need be; on a terminal the last one is cut to fit."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        if not cells:
            self.note(empty)
            return
        widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers) - 1)]
        room = None
        if self._out.isatty():
            room = max(16, shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths))
        for row in [list(headers), *cells]:
            last = row[-1]
            if room is not None and len(last) > room:
                last = last[: room - 1] + "…"
            start = "".join(cell.ljust(width) + "  " for cell, width in zip(row[:-1], widths, strict=True))
            self.line((start + last).rstrip())


def when(time: datetime | None) -> str:
    """Local time, to the second."""
    return "-" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def elapsed(start: datetime, end: datetime | None = None) -> str:
    seconds = int(((end or datetime.now(UTC)) - start).total_seconds())
    if seconds < 0:
        return "0s"
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02}h"
