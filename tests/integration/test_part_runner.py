"""What runs the parts of the test suites: a part that leaves something behind, hangs or fails does not pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.keepers import alive

PART = Path(__file__).parent.parent.parent / "scripts" / "part.py"

# As far from its parent as a process can get: a session of its own, no environment, its parent gone.
DAEMON = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
os.wait()
sys.exit(int(sys.argv[1]))
"""


def part(costs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PART), "--costs", str(costs), "--grace", "0.2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_it_exits_as_the_command_does_and_says_what_it_cost(tmp_path: Path) -> None:
    work = "import sys, time\nwhile time.process_time() < 0.6: pass\nsys.exit(int(sys.argv[1]))"
    assert part(tmp_path / "costs", "good", sys.executable, "-c", work, "0").returncode == 0
    assert part(tmp_path / "costs", "bad", sys.executable, "-c", work, "3").returncode == 3
    good, bad = [line.split("\t") for line in (tmp_path / "costs").read_text().splitlines()]
    assert (good[:2], bad[:2]) == (["good", "0"], ["bad", "3"])
    assert int(good[3]) >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux")
@pytest.mark.parametrize("code", ["0", "5"])
def test_what_is_left_behind_is_named_and_killed_and_fails_the_part(tmp_path: Path, code: str) -> None:
    done = part(tmp_path / "costs", "leaky", sys.executable, "-c", DAEMON, code)
    assert done.returncode == (int(code) or 1)
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("sleep 600")]
    assert "leaky: left behind 1 processes" in done.stdout
    assert not alive(int(line.split()[0]))


def test_what_hangs_is_named_and_killed_when_the_time_is_up(tmp_path: Path) -> None:
    hang = "import subprocess; subprocess.run(['sleep', '700'])"
    done = part(tmp_path / "costs", "--seconds", "1", "slow", sys.executable, "-c", hang)
    assert done.returncode == 124
    assert "slow: not done after 1 s" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.endswith(": sleep 700")]
    assert not alive(int(line.split()[0]))
