"""Where a cgroup v2 is looked for, and what happens where there is none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mission_control_desktop.orchestrator.keeper.cgroup import Cgroup, Unusable, create, own_cgroup, recorded
from mission_control_desktop.orchestrator.keeper.spawn import spawn

V2 = "25 20 0:22 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"


def proc(folder: Path, cgroup: str, mounts: str) -> str:
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mounts)
    return str(folder)


@pytest.mark.parametrize(
    ("inside", "root", "point", "found"),
    [
        ("/", "/", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"),
        ("/user.slice/a.scope", "/", "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a.scope"),
        ("/docker/1/app", "/docker/1", "/sys/fs/cgroup", "/sys/fs/cgroup/app"),
        ("/docker/1", "/docker/1", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("/a", "/", "/odd\\040place", "/odd place/a"),
    ],
)
def test_the_own_cgroup_is_found_in_any_mount(tmp_path: Path, inside: str, root: str, point: str, found: str) -> None:
    lines = f"5:freezer:/x\n1:name=systemd:/y\n0::{inside}\n"
    assert own_cgroup(proc(tmp_path, lines, V1 + V2.format(root=root, point=point))) == found


@pytest.mark.parametrize(
    ("lines", "mounts"),
    [
        ("4:cpu:/\n", V1),
        ("0::/\n", V1),
        ("4:cpu:/\n", V2.format(root="/", point="/sys/fs/cgroup")),
        ("0::/../other\n", V2.format(root="/", point="/sys/fs/cgroup")),
        ("0::/other/1\n", V2.format(root="/docker/1", point="/sys/fs/cgroup")),
        ("0::/docker/12\n", V2.format(root="/docker/1", point="/sys/fs/cgroup")),
    ],
)
def test_where_none_shows_this_process_none_is_used(tmp_path: Path, lines: str, mounts: str) -> None:
    with pytest.raises(Unusable, match="no cgroup v2"):
        own_cgroup(proc(tmp_path, lines, mounts))


def test_nothing_is_made_in_a_directory_that_is_not_the_own_cgroup(tmp_path: Path) -> None:
    place = tmp_path / "mount"
    place.mkdir()
    (place / "cgroup.procs").write_text("1\n")
    with pytest.raises(Unusable, match="is not the cgroup of this process"):
        create(str(tmp_path), "1" * 32, proc=proc(tmp_path, "0::/\n", V2.format(root="/", point=place)))
    assert [path.name for path in place.iterdir()] == ["cgroup.procs"]


def test_one_that_is_gone_is_empty_and_refuses_everything(tmp_path: Path) -> None:
    gone = Cgroup(str(tmp_path / "gone"))
    assert (gone.exists, gone.populated, gone.frozen, gone.pids()) == (False, False, False, [])
    assert not gone.kill()
    assert not gone.freeze(True)
    assert gone.remove()
    assert recorded(str(tmp_path), gone.path, "1" * 32) is None
    assert recorded(str(tmp_path), None, "1" * 32) is None


def test_an_agent_that_cannot_join_runs_all_the_same_and_it_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", "print('runs')"]
    process, (stdin, stdout, stderr), outside = spawn(command, "/", {}, 0o077, str(tmp_path / "none"))
    try:
        assert outside == f"{tmp_path / 'none'} cannot be joined: No such file or directory"
        os.waitpid(process.pid, 0)
        assert os.read(stdout, 100) == b"runs\n"
    finally:
        for fd in (stdin, stdout, stderr):
            os.close(fd)


def test_an_agent_that_can_neither_join_nor_start_says_why_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="command /nowhere/agent: No such file"):
        spawn(["/nowhere/agent"], "/", {}, 0o077, str(tmp_path / "none"))
