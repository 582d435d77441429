"""A log that cannot be written stops nothing."""

from __future__ import annotations

import io

from mission_control_desktop.domain.log_stream import LogStream


class Disk(io.StringIO):
    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


def test_lines_are_lost_counted_and_told() -> None:
    disk = Disk()
    stream = LogStream(disk)
    stream.write("one\n")
    disk.full = True
    for line in ("two\n", "three\n"):
        assert stream.write(line) == len(line)
        stream.flush()
    disk.full = False
    stream.write("four\n")
    stream.flush()
    stream.write("five\n")
    assert disk.getvalue().splitlines() == [
        "one",
        '{"event": "lines of the log were lost", "lines": 2}',
        "four",
        "five",
    ]
