"""A log that cannot be written stops nothing, and what is written of an exception holds no secret."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

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


TELL = """
import sys, structlog
{configure}
def call(token):
    headers = dict(authorization="Bearer " + token)
    raise RuntimeError("the request failed")
try:
    call("".join(["sec", "ret"] * 3))
except RuntimeError:
    structlog.get_logger().exception("told")
"""


@pytest.mark.parametrize(
    "configure",
    [
        "from mission_control_desktop.ui.process import configure_logs; configure_logs()",
        "from mission_control_desktop.cli.main import _log_to_stderr; _log_to_stderr()",
    ],
)
def test_an_exception_shows_its_stack_and_no_local_variable(configure: str) -> None:
    code = TELL.format(configure=configure)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stderr
    assert "told" in said
    assert "RuntimeError: the request failed" in said
    assert "in call" in said
    assert "secretsecretsecret" not in said
