"""Freeze, thaw, end and kill: real process trees that do their worst, and what the keeper says of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.keeper.client import (
    KeeperError,
    KeeperRefused,
    keeper_alive,
)
from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper
from support.keepers import ECHO, PATIENCE, WAYS, Kept, Reader, alive, kept, until

both_ways = pytest.mark.parametrize("cgroup", WAYS)

FAMILY = """
import os, sys, time

def tick(name):
    # Every process appends a byte to a file of its own, 200 times a second.
    with open(name, "ab", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.005)

def child(name, *, session=False, group=False, orphan=False, thread=False):
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        if session: os.setsid()
        if group: os.setpgid(0, 0)
        if orphan and os.fork() != 0: os._exit(0)
        os.write(tell, str(os.getpid()).encode())
        os.close(1)
        if thread:
            import threading
            threading.Thread(target=tick, args=(name,), daemon=True).start()
            time.sleep(3600)
        tick(name)
    found = int(os.read(ready, 20))
    if orphan: os.waitpid(pid, 0)
    return found

pids = [
    child("plain"),
    child("group", group=True),
    child("session", session=True),
    child("daemon", session=True, orphan=True),
    child("thread", thread=True),
]
print(*pids, flush=True)
tick("agent")
"""
NAMES = ("plain", "group", "session", "daemon", "thread", "agent")


async def family(reader: Reader) -> list[int]:
    line = (await reader.until_kind("in")).line
    assert line is not None
    return [int(pid) for pid in line.split()]


def ticks(directory: Path) -> list[int]:
    return [(directory / name).stat().st_size for name in NAMES]


async def ticking(directory: Path, names: Sequence[str] = NAMES) -> None:
    before = {name: (directory / name).stat().st_size for name in names}
    await until(lambda: all((directory / name).stat().st_size > before[name] for name in names))


def data(entry: Entry) -> dict[str, object]:
    assert entry.data is not None
    return entry.data


@both_ways
async def test_freeze_stops_every_descendant_and_thaw_lets_all_go_on(tmp_path: Path, cgroup: bool) -> None:
    async with kept(tmp_path, FAMILY, cgroup=cgroup) as (_, reader):
        pids = await family(reader)
        await until(lambda: all((tmp_path / name).exists() for name in NAMES))
        for turn in range(3):
            await ticking(tmp_path)
            await reader.link.do(f"f{turn}", "freeze")
            did = data(await reader.until_did(f"f{turn}"))
            assert did["ok"] is True
            assert did["left"] == []
            assert set(did["pids"]) == {reader.link.agent_pid, *pids}  # type: ignore[call-overload]
            before = ticks(tmp_path)
            states = {process.pid: process.state for process in await reader.link.processes()}
            assert set(states.values()) == {"T"}
            await asyncio.sleep(0.1)  # not for a state: time in which a running process would tick 20 times
            assert ticks(tmp_path) == before
            await reader.link.do(f"t{turn}", "thaw")
            assert data(await reader.until_did(f"t{turn}"))["ok"] is True
        await ticking(tmp_path)


@both_ways
async def test_what_had_stopped_by_itself_stays_stopped_after_a_thaw(tmp_path: Path, cgroup: bool) -> None:
    async with kept(tmp_path, FAMILY, cgroup=cgroup) as (_, reader):
        pids = await family(reader)
        os.kill(pids[0], signal.SIGSTOP)
        await until(lambda: psutil.Process(pids[0]).status() == psutil.STATUS_STOPPED)
        await reader.link.do("f", "freeze")
        await reader.until_did("f")
        await reader.link.do("t", "thaw")
        await reader.until_did("t")
        assert psutil.Process(pids[0]).status() == psutil.STATUS_STOPPED
        assert psutil.Process(pids[1]).status() != psutil.STATUS_STOPPED


async def test_processes_names_everything_that_a_stop_would_hit(tmp_path: Path) -> None:
    odd = tmp_path / "an (odd) na)me 1"
    odd.symlink_to("/bin/sleep")
    source = f"""
    import subprocess, sys
    child = subprocess.Popen(["{odd}", "600"])
    away = subprocess.Popen(["/bin/sleep", "601"], start_new_session=True)
    print(child.pid, away.pid, flush=True)
    sys.stdin.read()
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (_, reader):
        child, away = await family(reader)
        await until(lambda: b"odd" in Path(f"/proc/{child}/comm").read_bytes())
        found = {process.pid: process for process in await reader.link.processes()}
        agent = reader.link.agent_pid
        assert set(found) == {agent, child, away}
        assert found[child].command == f"{odd} 600"
        assert found[child].ppid == agent
        assert not found[child].escaped
        assert found[away].escaped
        ticks_per_second = os.sysconf("SC_CLK_TCK")
        assert found[child].start_time / ticks_per_second == pytest.approx(
            psutil.Process(child).create_time() - psutil.boot_time(), abs=1.5
        )


@both_ways
async def test_kill_leaves_nothing(tmp_path: Path, cgroup: bool) -> None:
    async with kept(tmp_path, FAMILY, cgroup=cgroup) as (_, reader):
        pids = await family(reader)
        escaped = {process.pid for process in await reader.link.processes() if process.escaped}
        assert {pids[1], pids[2], pids[3]} == escaped
        await reader.link.do("f", "freeze")
        await reader.link.do("k", "kill")
        did = data(await reader.until_did("k"))
        assert did["ok"] is True
        assert did["left"] == []
        assert not any(alive(pid) for pid in pids)
        gone = next((entry for entry in reader.seen if entry.kind == "exit"), None) or await reader.until_kind("exit")
        assert data(gone) == {"code": None, "signal": signal.SIGKILL, "left": []}
        await reader.link.quit()


async def test_a_process_whose_first_thread_has_ended_is_alive_and_so_are_its_children(tmp_path: Path) -> None:
    source = """
import os, sys, time
pid = os.fork()
if pid == 0:
    import ctypes, subprocess, threading
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    threading.Thread(target=time.sleep, args=(3600,)).start()
    print(os.getpid(), child.pid, flush=True)
    ctypes.CDLL(None).pthread_exit(None)
time.sleep(3600)
"""
    async with kept(tmp_path, source) as (_, reader):
        headless, child = await family(reader)
        await until(lambda: Path(f"/proc/{headless}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        assert {headless, child} <= {process.pid for process in await reader.link.processes()}
        await reader.link.do("k", "kill")
        did = data(await reader.until_did("k"))
        assert (did["ok"], did["left"]) == (True, [])
        assert {headless, child} <= set(did["pids"])  # type: ignore[call-overload]
        assert not alive(headless)
        assert not alive(child)
        await reader.link.quit()


@both_ways
async def test_kill_catches_processes_that_fork_and_exit_all_the_time(tmp_path: Path, cgroup: bool) -> None:
    source = """
    import os, time
    print("go", flush=True)
    os.close(1)
    end = time.monotonic() + 90  # of itself, should the test be killed before it has killed them
    for _ in range(8):  # as many as ever live at once
        if os.fork() == 0:
            while time.monotonic() < end:
                time.sleep(0.002)
                if os.fork() != 0:
                    os._exit(0)
                os.setsid()
            os._exit(0)
    time.sleep(600)
    """
    async with kept(tmp_path, textwrap.dedent(source), cgroup=cgroup) as (_, reader):
        await reader.until_line("go")
        # Whoever is seen is gone at once: what counts is how many there have ever been. The kernel tells them in one
        # read; whoever looks at each of them in turn finds none of them living any more on a busy machine.
        seen: set[str] = set()

        def generations() -> bool:
            for thread in Path(f"/proc/{reader.link.pid}/task").iterdir():
                seen.update((thread / "children").read_text().split())
            return len(seen) > 9  # the agent and its eight, and one that came after them

        await until(generations)
        await reader.link.do("k", "kill")
        did = data(await reader.until_did("k"))
        assert did["ok"] is True
        assert psutil.Process(reader.link.pid).children(recursive=True) == []


async def test_an_exit_names_what_it_leaves_and_a_kill_gets_it(tmp_path: Path) -> None:
    source = FAMILY.replace('tick("agent")', "sys.exit(5)")
    async with kept(tmp_path, source) as (_, reader):
        pids = await family(reader)
        gone = data(await reader.until_kind("exit"))
        assert gone["code"] == 5
        assert sorted(gone["left"]) == sorted(pids)  # type: ignore[call-overload]
        with pytest.raises(KeeperRefused) as refused:
            await reader.link.quit()
        assert refused.value.code == "busy"
        assert all(process.escaped for process in await reader.link.processes())
        await reader.link.do("k", "kill")
        await reader.until_did("k")
        assert not any(alive(pid) for pid in pids)


async def test_an_agent_that_ignores_end_of_input_and_sigterm(tmp_path: Path) -> None:
    # os.write: a handler that prints may meet a print that was stopped half-way, and die of the reentrant call.
    source = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"no\\n"))
    print("up", flush=True)
    for line in sys.stdin: pass
    print("no more input", flush=True)
    while True: time.sleep(0.05)
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (_, reader):
        await reader.until_line("up")
        await reader.link.do("e", "eof")
        await reader.until_line("no more input")
        await reader.link.do("f", "freeze")
        await reader.until_did("f")
        await reader.link.do("t", "term")
        assert data(await reader.until_did("t"))["left"] == [reader.link.agent_pid]
        assert any(entry.line == "no" for entry in reader.seen)
        await reader.link.do("k", "kill")
        assert data(await reader.until_did("k"))["ok"] is True


@both_ways
async def test_term_reaches_a_frozen_tree(tmp_path: Path, cgroup: bool) -> None:
    async with kept(tmp_path, FAMILY, cgroup=cgroup) as (_, reader):
        pids = await family(reader)
        await reader.link.do("f", "freeze")
        await reader.link.do("t", "term")
        did = data(await reader.until_did("t"))
        assert did["left"] == []
        assert not any(alive(pid) for pid in pids)
        await reader.until(lambda entry: entry.kind == "exit") if not _exited(reader) else None


def _exited(reader: Reader) -> bool:
    return any(entry.kind == "exit" for entry in reader.seen)


async def test_a_kill_does_not_wait_for_a_slow_term(tmp_path: Path) -> None:
    source = (
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\nwhile True: time.sleep(1)"
    )
    async with kept(tmp_path, source) as (_, reader):
        await reader.until_line("up")
        await reader.link.do("t", "term")
        await reader.link.do("k", "kill")
        await reader.until_did("k")
        assert not any(entry.key == "t" for entry in reader.seen)
        await reader.until_did("t")


async def test_sigterm_to_the_keeper_ends_the_agent_too(tmp_path: Path) -> None:
    async with Kept.python(
        tmp_path, FAMILY.replace("import os", "import signal\nsignal.signal(15, signal.SIG_IGN)\nimport os")
    ) as keeper:
        reader = await keeper.attach()
        pids = await family(reader)
        await until(lambda: all((tmp_path / name).exists() for name in NAMES))
        os.kill(keeper.keeper_pid, signal.SIGTERM)
        await until(lambda: not keeper_alive(tmp_path))
        assert not any(alive(pid) for pid in pids)
        kinds = [(entry.kind, entry.key) for entry in keeper.journal()[2:]]
        assert ("did", "keeper:sigterm") in kinds
        assert ("did", "keeper:sigkill") in kinds
        assert ("exit", None) in kinds


@both_ways
async def test_what_a_killed_keeper_leaves_is_found_and_killed(tmp_path: Path, cgroup: bool) -> None:
    async with kept(tmp_path, FAMILY, cgroup=cgroup) as (keeper, reader):
        pids = await family(reader)
        agent = reader.link.agent_pid
        assert agent is not None
        bystander = await asyncio.create_subprocess_exec("sleep", "600")
        with pytest.raises(KeeperError):
            await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)
        os.kill(keeper.keeper_pid, signal.SIGKILL)
        await until(lambda: not keeper_alive(tmp_path))
        assert any(alive(pid) for pid in pids)
        swept = await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)
        assert {process.pid for process in swept.killed} >= set(pids)
        assert swept.left == ()
        await until(lambda: not any(alive(pid) for pid in [*pids, agent]))
        assert bystander.returncode is None
        bystander.kill()
        await bystander.wait()
        assert (await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)).killed == ()


async def test_a_directory_without_a_keeper_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert not keeper_alive(tmp_path)
    assert (await asyncio.to_thread(kill_tree_of_dead_keeper, tmp_path)).killed == ()


async def test_a_keeper_is_not_a_child_of_who_started_it(tmp_path: Path) -> None:
    """It has a session of its own and goes on when its starter, and everything in that one's group, is killed."""
    source = f"""
    import asyncio, sys
    from pathlib import Path
    from mission_control_desktop.orchestrator.keeper.client import Launch, launch
    asyncio.run(launch(Path(sys.argv[1]), Launch(command=(sys.executable, "-c", {ECHO!r}), cwd="/", env={{}})))
    print("up", flush=True)
    sys.stdin.read()
    """
    keeper = Kept(tmp_path, ())
    starter = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(source),
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert starter.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await starter.stdout.readline() == b"up\n"
    try:
        assert os.getsid(keeper.keeper_pid) == keeper.keeper_pid
        os.killpg(starter.pid, signal.SIGKILL)
        await starter.wait()
        reader = await keeper.attach()
        await reader.link.send("k", "alone")
        await reader.until_line("heard alone")
    finally:
        await keeper.__aexit__(None, None, None)
