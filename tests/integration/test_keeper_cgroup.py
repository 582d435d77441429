"""A tree that a cgroup holds: what it holds beyond the sub-reaper, what becomes of it when the keeper is killed, and
that nothing of it stays behind. Each with real processes; what needs no cgroup is tried without one as well."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mission_control_desktop.orchestrator.keeper.cgroup import Cgroup, create, name_of, own_cgroup
from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity
from mission_control_desktop.orchestrator.keeper.processes import all_processes
from mission_control_desktop.orchestrator.sweep import (
    cgroup_of,
    kill_tree_of_dead_keeper,
    marker_of,
    remove_leftover_cgroups,
)
from support.keepers import ECHO, WAYS, Kept, Reader, alive, kept, until, with_cgroup

STORM = """
import os, time
end = time.monotonic() + 12  # of itself, whatever becomes of the test
for _ in range(8):  # as many as ever live at once
    if os.fork() == 0:
        os.close(1)
        beat = os.open("beat", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while time.monotonic() < end:
            os.write(beat, b".")
            time.sleep(0.002)
            if os.fork() != 0:
                os._exit(0)
            os.setsid()
        os._exit(0)
print("go", flush=True)
time.sleep(12)
"""
# A daemon that forked twice, left the session and its environment: only the cgroup knows whose it is then.
DAEMON = """
import os, sys, time
ready, tell = os.pipe()
os.set_inheritable(tell, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    source = "import os, time; os.write(%d, str(os.getpid()).encode()); os.close(%d); time.sleep(60)" % (tell, tell)
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", source], {})
os.wait()
print(int(os.read(ready, 20)), flush=True)
time.sleep(60)
"""


def group_of(kept_: Kept) -> Cgroup:
    group = cgroup_of(kept_.directory, read_identity(kept_.directory))
    assert group is not None
    return group


async def kill_keeper(kept_: Kept) -> None:
    os.kill(kept_.keeper_pid, signal.SIGKILL)
    await until(lambda: not keeper_alive(kept_.directory))


async def first_line(reader: Reader) -> str:
    line = (await reader.until_kind("in")).line
    assert line is not None
    return line


@with_cgroup
async def test_the_agent_is_in_a_cgroup_before_it_runs_and_the_keeper_stays_where_it_was(tmp_path: Path) -> None:
    source = "print(open('/proc/self/cgroup').read().split('0::')[1].split()[0], flush=True)\n" + ECHO
    async with kept(tmp_path, source) as (keeper, reader):
        start = await reader.until_kind("start")
        assert start.data is not None
        assert start.data["heldBy"] == "cgroup"
        assert "noCgroup" not in start.data
        group = group_of(keeper)
        assert group.path.endswith(await first_line(reader))
        assert os.path.dirname(group.path) == own_cgroup(f"/proc/{keeper.keeper_pid}")
        assert group.pids() == [reader.link.agent_pid]
    assert not group.exists


async def test_without_one_the_evidence_says_so(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO, cgroup=False) as (keeper, reader):
        start = await reader.until_kind("start")
        assert start.data is not None
        assert (start.data["heldBy"], start.data["noCgroup"]) == ("sub-reaper", "switched off")
        identity = read_identity(keeper.directory)
        assert identity is not None
        assert identity.cgroup is None
        await reader.link.do("k", "kill")
        did = (await reader.until_did("k")).data
        assert did is not None
        assert (did["by"], did["ok"]) == ("sub-reaper", True)


@with_cgroup
async def test_what_is_frozen_cannot_be_woken_lives_and_is_killed_where_it_stands(tmp_path: Path) -> None:
    source = """
    import os, time
    pid = os.fork()
    if pid == 0: os.setsid()
    else: print(pid, flush=True)
    with open(str(os.getpid()), "ab", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.002)
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (keeper, reader):
        child, agent = int(await first_line(reader)), reader.link.agent_pid
        assert agent is not None
        files = [tmp_path / str(pid) for pid in (child, agent)]
        await until(lambda: all(file.exists() and file.stat().st_size for file in files))
        group = group_of(keeper)
        for turn in range(2):
            await reader.link.do(f"f{turn}", "freeze")
            did = (await reader.until_did(f"f{turn}")).data
            assert did is not None
            assert (did["by"], did["left"], set(did["pids"])) == ("cgroup", [], {child, agent})
            assert group.frozen
            os.kill(child, signal.SIGCONT)
            sizes = [file.stat().st_size for file in files]
            await asyncio.sleep(0.1)  # not for a state: time in which a running process would write 50 times
            assert [file.stat().st_size for file in files] == sizes
            assert {process.pid for process in await reader.link.processes()} == {child, agent}
            if turn == 0:
                await reader.link.do("t", "thaw")
                await reader.until_did("t")
                total = sum(sizes)
                await until(lambda: sum(file.stat().st_size for file in files) > total)  # noqa: B023 - awaited here
        await reader.link.do("k", "kill")
        did = (await reader.until_did("k")).data
        assert did is not None
        assert (did["ok"], did["by"], did["escaped"], set(did["pids"])) == (True, "cgroup", 1, {child, agent})
        assert not group.populated
        assert not alive(child)


@with_cgroup
async def test_members_count_wherever_they_come_from_and_whatever_groups_they_make(tmp_path: Path) -> None:
    """A process that was moved in, and one that the agent put into a cgroup below its own."""
    async with kept(tmp_path, ECHO) as (keeper, reader):
        group = group_of(keeper)
        below = Path(group.path, "deeper")
        below.mkdir()
        guests = [await asyncio.create_subprocess_exec("sleep", "60") for _ in range(2)]
        for guest, place in zip(guests, (Path(group.path), below), strict=True):
            Path(place, "cgroup.procs").write_text(str(guest.pid))
        pids = {guest.pid for guest in guests}
        assert pids < {process.pid for process in await reader.link.processes()}
        await reader.link.do("k", "kill")
        did = (await reader.until_did("k")).data
        assert did is not None
        assert did["ok"] is True
        assert pids < set(did["pids"])
        assert [await guest.wait() for guest in guests] == [-signal.SIGKILL] * 2
    assert not group.exists


@with_cgroup
async def test_who_left_the_cgroup_is_still_below_the_keeper(tmp_path: Path) -> None:
    source = """
    import os, time
    pid = os.fork()
    if pid != 0: print(pid, flush=True)
    time.sleep(60)
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (keeper, reader):
        child = int(await first_line(reader))
        group = group_of(keeper)
        Path(os.path.dirname(group.path), "cgroup.procs").write_text(str(child))
        assert child not in group.pids()
        await reader.link.do("f", "freeze")
        did = (await reader.until_did("f")).data
        assert did is not None
        assert (did["left"], set(did["pids"])) == ([], {child, reader.link.agent_pid})
        assert {process.state for process in await reader.link.processes()} == {"T"}
        await reader.link.do("k", "kill")
        did = (await reader.until_did("k")).data
        assert did is not None
        assert (did["ok"], set(did["pids"])) == (True, {child, reader.link.agent_pid})
        assert not alive(child)


@pytest.mark.parametrize("cgroup", WAYS)
async def test_a_storm_of_forks_stands_still_and_goes_on(tmp_path: Path, cgroup: bool) -> None:
    async with kept(tmp_path, STORM, cgroup=cgroup) as (_, reader):
        await reader.until_line("go")
        beat = tmp_path / "beat"
        await until(lambda: beat.exists() and beat.stat().st_size > 100)
        await reader.link.do("f", "freeze")
        did = (await reader.until_did("f")).data
        assert did is not None
        assert did["ok"] is True
        assert len(did["pids"]) > 8, "the storm was not seen"
        beats = beat.stat().st_size
        await asyncio.sleep(0.3)  # not for a state: time in which a running one would write 150 times
        assert beat.stat().st_size == beats
        await reader.link.do("t", "thaw")
        await until(lambda: beat.stat().st_size > beats)
        await reader.link.do("k", "kill")
        did = (await reader.until_did("k")).data
        assert did is not None
        assert (did["ok"], did["left"]) == (True, [])
        beats = beat.stat().st_size
        await asyncio.sleep(0.3)
        assert beat.stat().st_size == beats


@pytest.mark.parametrize("cgroup", WAYS)
async def test_a_storm_of_forks_that_a_killed_keeper_left_is_ended(tmp_path: Path, cgroup: bool) -> None:
    began = time.monotonic()
    async with kept(tmp_path, STORM, cgroup=cgroup) as (keeper, reader):
        await reader.until_line("go")
        beat = tmp_path / "beat"
        await until(lambda: beat.exists() and beat.stat().st_size > 100)
        await kill_keeper(keeper)
        identity = read_identity(tmp_path)
        assert identity is not None
        swept = await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)
        beats = beat.stat().st_size
        in_time = time.monotonic() - began < 10  # else the storm may have ended itself
        assert swept.left == ()
        assert swept.held_by == ("cgroup" if cgroup else "sub-reaper")
        assert swept.killed or not in_time
        await asyncio.sleep(0.3)  # not for a state: time in which one that lived on would write 150 times
        assert beat.stat().st_size == beats
        assert not [process for process in all_processes() if marker_of(process.pid) == identity.marker]
        assert not cgroup or not os.path.exists(identity.cgroup or "/")


@with_cgroup
@pytest.mark.parametrize("at_one_blow", [True, False], ids=["cgroup.kill", "one by one"])
async def test_a_daemon_without_parent_session_and_environment_does_not_outlive_the_sweep(
    tmp_path: Path, at_one_blow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_one_blow:
        monkeypatch.setattr(Cgroup, "kill", lambda _: False)  # as before Linux 5.14
    async with kept(tmp_path, DAEMON) as (keeper, reader):
        daemon = int(await first_line(reader))
        await until(lambda: marker_of(daemon) is None)
        group = group_of(keeper)
        await reader.link.do("f", "freeze")
        await reader.until_did("f")
        await kill_keeper(keeper)
        assert alive(daemon)
        swept = await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)
        assert {process.pid for process in swept.killed} == {daemon, reader.link.agent_pid}
        assert swept.left == ()
        assert not alive(daemon)
        assert not group.exists


HEADLESS = """
import ctypes, os, threading, time
pid = os.fork()
if pid == 0:
    threading.Thread(target=time.sleep, args=(60,)).start()
    ctypes.CDLL(None).pthread_exit(None)
print(pid, flush=True)
time.sleep(60)
"""


@with_cgroup
async def test_a_process_whose_first_thread_has_ended_does_not_outlive_the_sweep(tmp_path: Path) -> None:
    """The kernel's kill of a cgroup passes it by."""
    async with kept(tmp_path, HEADLESS) as (keeper, reader):
        headless = int(await first_line(reader))
        await until(lambda: Path(f"/proc/{headless}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        await kill_keeper(keeper)
        assert alive(headless)
        swept = await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)
        assert (headless in {process.pid for process in swept.killed}, swept.left) == (True, ())
        assert not alive(headless)


@with_cgroup
async def test_who_sweeps_from_within_lives_on(tmp_path: Path) -> None:
    """A control plane that an agent had started is in the agent's cgroup."""
    async with kept(tmp_path, DAEMON) as (keeper, reader):
        daemon = int(await first_line(reader))
        group = group_of(keeper)
        await kill_keeper(keeper)
        source = f"""
        from pathlib import Path
        from mission_control_desktop.orchestrator.keeper.cgroup import join
        from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper
        join({group.path!r})
        swept = kill_tree_of_dead_keeper(Path({str(tmp_path)!r}), seconds=3)
        print(sorted(process.pid for process in swept.killed))
        """
        run = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.splitlines()[-1] == str(sorted((daemon, reader.link.agent_pid or 0)))
        await until(lambda: not alive(daemon))


@with_cgroup
async def test_what_crashes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ours, others = tmp_path / "agents", tmp_path / "others"
    for folder in (ours, others):
        (folder / "gone").mkdir(parents=True)
    empty = create(str(ours / "gone"), "1" * 32)
    haunted = create(str(ours / "forgotten"), "2" * 32)
    foreign = create(str(others / "gone"), "3" * 32)
    ghost = await asyncio.create_subprocess_exec("sleep", "60")
    Path(haunted.path, "cgroup.procs").write_text(str(ghost.pid))
    try:
        async with Kept.python(ours / "living", ECHO) as keeper:
            reader = await keeper.attach()
            kept_one = create(str(ours / "dead"), "4" * 32)  # its session's driver sees to it
            guest = await asyncio.create_subprocess_exec("sleep", "60")
            Path(kept_one.path, "cgroup.procs").write_text(str(guest.pid))
            await asyncio.to_thread(remove_leftover_cgroups, ours, [ours / "living", ours / "dead"])
            assert not empty.exists
            assert not haunted.exists
            assert await ghost.wait() == -signal.SIGKILL
            assert foreign.exists
            assert kept_one.pids() == [guest.pid]
            assert group_of(keeper).pids() == [reader.link.agent_pid]
            guest.kill()
            await guest.wait()
    finally:
        foreign.remove()
        await until(kept_one.remove)


@with_cgroup
def test_a_name_that_is_not_the_keepers_is_not_believed(tmp_path: Path) -> None:
    """keeper.json lies in a directory that an agent of the same user can write."""
    group = create(str(tmp_path), "5" * 32)
    try:
        for named in (own_cgroup(), "/", str(tmp_path), f"{group.path}x"):
            text = f'{{"pid":1,"startTime":0,"marker":"{"5" * 32}","cgroup":"{named}"}}'
            (tmp_path / "keeper.json").write_text(text)
            assert cgroup_of(tmp_path, read_identity(tmp_path)) is None
        assert name_of(str(tmp_path), "5" * 32) == os.path.basename(group.path)
    finally:
        group.remove()
