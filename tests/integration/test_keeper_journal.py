"""The journal and its clients: real keepers, real agents, nothing lost, nothing doubled, whatever breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mission_control_desktop.orchestrator.keeper.client import (
    KeeperGone,
    KeeperNotStarted,
    KeeperRefused,
    KeeperReplaced,
    _connect,
    attach,
    keeper_alive,
    launch,
)
from support.keepers import ECHO, PATIENCE, Kept, kept, until

COUNTER = """
import sys
for number in range({count}):
    print("line", number)
sys.stdout.flush()
sys.stdin.read()
"""


async def test_what_goes_in_and_out_is_journaled_in_order(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO) as (keeper, reader):
        await reader.link.send("k1", "first")
        await reader.until_line("heard first")
        number = await reader.link.command({"command": "pause", "id": "c1"})
        entry = await reader.until_kind("cmd")
        assert (entry.n, entry.data) == (number, {"command": "pause", "id": "c1"})
        await reader.link.do("e1", "eof")
        await reader.until_did("e1")
        gone = await reader.until_kind("exit")
        assert gone.data == {"code": 0, "signal": None, "left": []}
        assert [entry.kind for entry in reader.seen] == ["start", "out", "in", "cmd", "did", "exit"]
        assert reader.seen[1].key == "k1"
        assert keeper.journal() == reader.seen
        start = reader.seen[0].data
        assert start is not None
        assert start["keeperPid"] == reader.link.pid == keeper.keeper_pid


async def test_a_key_is_written_once(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO) as (keeper, reader):
        for line in ("one", "two", "three"):
            await reader.link.send("same", line)
        await reader.link.send("other", "end")
        await reader.until_line("heard end")
        again = await keeper.attach(reader.seen[-1].n)
        await again.link.send("same", "four")
        await again.link.send("last", "last")
        await again.until_line("heard last")
        said = [entry.line for entry in keeper.journal() if entry.kind == "in"]
        assert said == ["heard one", "heard end", "heard last"]


async def test_replay_runs_into_the_live_stream_without_gap_or_double(tmp_path: Path) -> None:
    source = """
    import sys, time
    for number in range(60000):
        print("line", number)
        if number % 500 == 0:
            sys.stdout.flush(); time.sleep(0.002)
    sys.stdout.flush()
    sys.stdin.read()
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (keeper, reader):
        await reader.until_line("line 1000")
        after = 0
        for stop in (5000, 5001, 23456, 40000):
            reader = await keeper.attach(after)
            entry = await reader.until_number(stop)
            assert [seen.n for seen in reader.seen] == list(range(after + 1, entry.n + 1))
            after = entry.n
        reader = await keeper.attach(after)
        await reader.until_line("line 59999")
        assert [seen.n for seen in reader.seen] == list(range(after + 1, 60002))
        assert [entry.line for entry in keeper.journal()[1:]] == [f"line {number}" for number in range(60000)]


async def test_attach_far_back_in_a_long_journal(tmp_path: Path) -> None:
    async with kept(tmp_path, COUNTER.format(count=100_000)) as (keeper, reader):
        await reader.until_line("line 99999")
        for after in (0, 1, 2, 255, 256, 50_000, 99_999, 100_000):
            late = await keeper.attach(after)
            assert late.link.last == 100_001
            first = await late.until(lambda _: True)
            assert first.n == after + 1
            assert first.line == (f"line {after - 1}" if after else None)
        late = await keeper.attach(100_001)
        await late.link.command({"command": "mark", "id": "c"})
        assert (await late.until(lambda _: True)).n == 100_002


async def test_a_newer_client_replaces_the_older(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO) as (keeper, reader):
        newer = await keeper.attach()
        with pytest.raises(KeeperReplaced):
            await reader.until_line("never")
        with pytest.raises(KeeperGone):
            await reader.link.send("k", "from the old one")
        await newer.link.send("k", "from the new one")
        await newer.until_line("heard from the new one")


async def test_a_client_that_is_killed_in_mid_stream_costs_nothing(tmp_path: Path) -> None:
    source = """
    import sys, time
    for number in range(20000):
        print("line", number, flush=number % 100 == 0)
    sys.stdout.flush()
    sys.stdin.read()
    """
    client = """
    import asyncio, sys
    from pathlib import Path
    from mission_control_desktop.orchestrator.keeper.client import attach
    async def main():
        link = await attach(Path(sys.argv[1]), 0)
        async for entry in link.entries():
            print(entry.n, flush=True)
    asyncio.run(main())
    """
    async with Kept.python(tmp_path, textwrap.dedent(source)) as keeper:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(client), str(tmp_path), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while int(await process.stdout.readline()) < 300:
                pass
        process.kill()
        await process.communicate()
        reader = await keeper.attach(300)
        await reader.until_line("line 19999")
        assert [entry.n for entry in reader.seen] == list(range(301, 20002))


async def test_a_stuck_client_neither_stops_the_agent_nor_fills_memory(tmp_path: Path) -> None:
    filler = "x" * 1000
    source = f"for number in range(60000): print(number, '{filler}')\nimport sys; sys.stdout.flush(); sys.stdin.read()"
    async with Kept.python(tmp_path, source) as keeper:
        # Attached without a window and never reading: the socket's buffer fills, the journal grows on.
        stuck = await asyncio.to_thread(_raw_attach, tmp_path)
        await until(lambda: (tmp_path / "journal.jsonl").stat().st_size > 60_000_000)
        assert _anonymous_kib(keeper.keeper_pid) < 12_000
        stuck.close()
        reader = await keeper.attach(59_000)
        await reader.until_line("59999 ")


def _raw_attach(directory: Path) -> socket.socket:
    sock = _connect(directory)
    sock.send(b'{"op":"attach","after":0}\n')
    return sock


def _anonymous_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Pss_Anon:")[1].split()[0])


def _peak_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


async def test_requests_are_answered_while_the_consumer_is_busy(tmp_path: Path) -> None:
    """A handler that sends from within the entry loop must not wait for itself."""
    async with Kept.python(tmp_path, COUNTER.format(count=50_000)) as keeper:
        reader = await keeper.attach(window=65536)
        await until(lambda: (tmp_path / "journal.jsonl").stat().st_size > 1_000_000)
        count = 0
        async with asyncio.timeout(PATIENCE):
            async for entry in reader.link.entries():
                count += 1
                assert entry.n == count
                if count % 5000 == 1:
                    await reader.link.processes()
                if count == 50_001:
                    break


async def test_a_line_of_fifty_mebibytes_is_skipped(tmp_path: Path) -> None:
    source = """
    import sys
    print("before")
    for _ in range(50): sys.stdout.write("x" * 1048576)
    sys.stdout.write("\\nafter\\n"); sys.stdout.flush()
    sys.stdin.read()
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (keeper, reader):
        await reader.until_line("after")
        assert [entry.kind for entry in reader.seen] == ["start", "in", "oversize", "in"]
        data = reader.seen[2].data
        assert data is not None
        assert data == {"stream": "stdout", "bytes": 50 << 20, "head": "x" * 1024}
        assert _peak_kib(keeper.keeper_pid) < (32 << 10) + 40_000


async def test_a_line_just_within_the_limit_is_kept_whole(tmp_path: Path) -> None:
    source = """
    import sys
    sys.stdout.write("é\\"\\x01" * 7_000_000 + "\\r\\n" + "end\\n"); sys.stdout.flush()
    sys.stdin.read()
    """
    async with kept(tmp_path, textwrap.dedent(source), env={"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}) as (
        keeper,
        reader,
    ):
        await reader.until_line("end")
        assert reader.seen[1].line == 'é"\x01' * 7_000_000
        assert keeper.journal() == reader.seen


async def test_invalid_utf8_odd_breaks_and_a_last_line_without_one(tmp_path: Path) -> None:
    source = r"""
    import os
    os.write(1, b'bad \xff\xfe bytes\r\n\n\xe4\xbd\nnul \x00 \xe2\x80\xa8 separator\nlast \xf0\x9f\x98\x80 \xc3')
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (keeper, reader):
        await reader.until_kind("exit")
        assert [entry.line for entry in reader.seen if entry.kind == "in"] == [
            "bad \ufffd\ufffd bytes",
            "",
            "\ufffd",
            "nul \x00 \u2028 separator",
            "last 😀 \ufffd",
        ]
        assert keeper.journal() == reader.seen


async def test_a_small_limit_holds_for_lines_that_come_together(tmp_path: Path) -> None:
    source = "import os; os.write(1, b'short\\n' + b'y' * 3000 + b'\\nshort\\n' + b'z' * 3000)"
    async with kept(tmp_path, source, max_line_bytes=2000) as (_, reader):
        await reader.until_kind("exit")
        assert [entry.kind for entry in reader.seen] == ["start", "in", "oversize", "in", "oversize", "exit"]


async def test_a_flood_of_standard_error_is_drained_and_summed_up(tmp_path: Path) -> None:
    source = """
    import sys
    for number in range(400000): sys.stderr.write("complaint %d\\n" % number)
    sys.stderr.write("w" * 100000 + "\\n")
    sys.stderr.write("the reason\\n")
    print("done", flush=True)
    sys.exit(3)
    """
    async with kept(tmp_path, textwrap.dedent(source)) as (_, reader):
        gone = await reader.until_kind("exit")
        assert gone.data is not None
        assert gone.data["code"] == 3
        errors = [entry for entry in reader.seen if entry.kind == "err"]
        lines = [entry.line for entry in errors if entry.line is not None]
        dropped = sum(entry.data["dropped"] for entry in errors if entry.data)
        assert len(lines) + dropped == 400_002
        assert lines[0] == "complaint 0"
        assert lines[-1] == "the reason"
        assert all(len(line) <= 8192 for line in lines)
        assert (tmp_path / "journal.jsonl").stat().st_size < 1_500_000
        assert any(entry.line == "done" for entry in reader.seen)


async def test_the_agent_that_does_not_read_blocks_nobody(tmp_path: Path) -> None:
    source = "import time\nprint('up', flush=True)\nwhile True: time.sleep(1)"
    async with kept(tmp_path, source, stdin_bytes=1 << 20) as (keeper, reader):
        await reader.until_line("up")
        for number in range(20):
            await reader.link.send(f"k{number}", "x" * 50_000)
        with pytest.raises(KeeperRefused) as refused:
            await reader.link.send("more", "x" * 100_000)
        assert refused.value.code == "full"
        assert await reader.link.processes()
        await reader.link.do("bye", "kill")
        await reader.until_kind("exit")
        assert len([entry for entry in keeper.journal() if entry.kind == "out"]) <= 2
        with pytest.raises(KeeperRefused) as refused:
            await reader.link.send("late", "line")
        assert refused.value.code == "gone"


async def test_an_agent_that_closes_its_input_is_reported(tmp_path: Path) -> None:
    source = "import os, time\nos.close(0)\nprint('closed', flush=True)\ntime.sleep(600)"
    async with kept(tmp_path, source) as (_, reader):
        await reader.until_line("closed")
        await reader.link.send("k", "anyone?")
        entry = await reader.until_kind("did")
        assert entry.data is not None
        assert entry.data["what"] == "eof"
        assert entry.data["dropped"] == 1
        with pytest.raises(KeeperRefused):
            await reader.link.send("k2", "anyone?")


@pytest.mark.parametrize(
    ("command", "cwd", "words"),
    [
        (("no-such-agent-anywhere",), None, "No such file"),
        (("./not-executable",), None, "Permission denied"),
        ((sys.executable,), "/no/such/place", "working directory /no/such/place"),
    ],
)
async def test_a_command_that_cannot_start(
    tmp_path: Path, command: tuple[str, ...], cwd: str | None, words: str
) -> None:
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    async with Kept(tmp_path / "keeper", command, cwd=cwd or str(tmp_path)) as keeper:
        reader = await keeper.attach()
        start = await reader.until_kind("start")
        assert start.data is not None
        assert words in start.data["error"]
        assert command[0] in start.data["error"]
        assert reader.link.agent_pid is None
        with pytest.raises(KeeperRefused):
            await reader.link.send("k", "hello?")
        await reader.link.quit()
        await until(lambda: not keeper_alive(keeper.directory))
        assert not (keeper.directory / "keeper.sock").exists()


async def test_a_full_disk_loses_nothing_and_stops_nothing(tmp_path: Path) -> None:
    """The journal's file may not grow (as on a full disk: writes fail or are cut short), then it may again."""
    source = """
    import sys
    for line in sys.stdin:
        for number in range(int(line)):
            print("line", number, "x" * 100)
        print("done", line.strip(), flush=True)
    """
    async with kept(tmp_path, textwrap.dedent(source), pending_bytes=200_000) as (keeper, reader):
        await reader.link.send("k1", "10")
        await reader.until_line("done 10")
        size = (tmp_path / "journal.jsonl").stat().st_size
        _, hard = resource.prlimit(keeper.keeper_pid, resource.RLIMIT_FSIZE)
        resource.prlimit(keeper.keeper_pid, resource.RLIMIT_FSIZE, (size + 5000, hard))
        await reader.link.send("k2", "500")
        await reader.until_line("done 500")  # served from memory
        assert await reader.link.journal_error()
        await reader.link.command({"command": "inject", "id": "c1"})
        await reader.link.do("f", "freeze")
        await reader.until_did("f")
        await reader.link.do("t", "thaw")
        before = keeper.journal()  # what is in the file is whole
        assert before == reader.seen[: len(before)]
        assert len(before) < len(reader.seen)

        await reader.link.send("k3", "20000")  # some 3 MB: more than may wait in memory
        again = await keeper.attach(len(before) - 3)
        await again.until_line("line 500")
        assert _anonymous_kib(keeper.keeper_pid) < 12_000
        resource.prlimit(keeper.keeper_pid, resource.RLIMIT_FSIZE, (hard, hard))
        await again.until_line("done 20000")
        assert [entry.n for entry in again.seen] == list(range(len(before) - 2, again.seen[-1].n + 1))
        assert await again.link.journal_error() is None
        journal = keeper.journal()
        assert [entry.kind for entry in journal if entry.kind in ("cmd", "did")] == ["cmd", "did", "did"]
        assert [entry.line for entry in journal if entry.line and entry.line.startswith("done")] == [
            "done 10",
            "done 500",
            "done 20000",
        ]
        assert len([entry for entry in journal if entry.kind == "in"]) == 10 + 500 + 20_000 + 3


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system; the case above covers the rest without")
async def test_a_really_full_file_system(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if await _run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)) != 0:
        pytest.skip("may not mount here")
    try:
        filler = disk / "filler"
        async with kept(disk / "agent", ECHO) as (keeper, reader):
            await reader.link.send("k0", "before")
            await reader.until_line("heard before")
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            for number in range(200):
                await reader.link.send(f"k{number + 1}", f"{number} " + "y" * 200)
            await reader.until_line("heard 199 ")
            assert await reader.link.journal_error() == "No space left on device"
            filler.unlink()
            await reader.link.send("end", "after")
            await reader.until_line("heard after")
            async with asyncio.timeout(PATIENCE):
                while await reader.link.journal_error():
                    await asyncio.sleep(0.02)
            assert keeper.journal() == reader.seen
    finally:
        assert await _run("umount", str(disk)) == 0


async def _run(*command: str) -> int:
    return await (await asyncio.create_subprocess_exec(*command)).wait()


async def test_files_are_private_and_the_path_may_be_long(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120) / ("e" * 120)
    async with kept(directory, "import os; print(oct(os.umask(0)), flush=True); input()") as (_, reader):
        await reader.until_line(oct(os.umask(os.umask(0o22) or 0o22)))
        for name in ("journal.jsonl", "keeper.sock", "keeper.json", "launch.json", "keeper.log"):
            assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, name


async def test_one_keeper_per_directory(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO) as (keeper, reader):
        with pytest.raises(KeeperNotStarted, match="another keeper"):
            await launch(tmp_path, keeper.launch)
        (tmp_path / "keeper.log").write_text("")
        await reader.link.send("k", "still here")
        await reader.until_line("heard still here")


async def test_a_directory_that_cannot_hold_a_keeper(tmp_path: Path) -> None:
    keeper = Kept.python(tmp_path, ECHO)
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(KeeperNotStarted, match="Is a directory"):
        await launch(tmp_path, keeper.launch)
    assert not keeper_alive(tmp_path)
    with pytest.raises(KeeperGone):
        await attach(tmp_path)


async def test_a_second_run_continues_the_numbers_and_repairs_a_torn_end(tmp_path: Path) -> None:
    async with kept(tmp_path, "print('first run')") as (keeper, reader):
        await reader.until_kind("exit")
    whole = keeper.journal()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"n":4,"t":1.0,"kind":"in","li')
    assert keeper.journal() == whole
    async with kept(tmp_path, "print('second run')") as (keeper, reader):
        await reader.until(lambda entry: entry.kind == "exit" and entry.n > len(whole))
        kinds = [entry.kind for entry in keeper.journal() if entry.kind != "did"]
        assert kinds == ["start", "in", "exit"] * 2


async def test_bad_requests_are_refused_and_harm_nothing(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO) as (_, reader):
        for request in ({"op": "nothing"}, {"op": "do", "key": "k", "what": "dance"}, {"op": "send", "key": "k"}):
            with pytest.raises(KeeperRefused) as refused:
                await reader.link._request(request)
            assert refused.value.code == "bad"
        with pytest.raises(KeeperRefused):
            await reader.link.send("k", "two\nlines")
        other_reader, writer = await asyncio.open_connection(sock=await asyncio.to_thread(_connect, tmp_path))
        for line in (b"garbage", b"[]", b'{"op":"send","key":"x","line":"y"}', b'{"op":"attach","after":-1}', b"\xff"):
            writer.write(line + b"\n")
            answer = json.loads(await other_reader.readline())
            assert answer["op"] == "error"
        writer.close()
        await writer.wait_closed()
        await reader.link.send("k", "still well")
        await reader.until_line("heard still well")


async def test_a_keeper_whose_agent_is_gone_leaves_when_nobody_comes(tmp_path: Path) -> None:
    async with Kept.python(tmp_path, "print('bye')", linger_seconds=0.3) as keeper:
        reader = await keeper.attach()
        await reader.until_kind("exit")
        assert keeper_alive(tmp_path)
        await reader.close()
        await until(lambda: not keeper_alive(tmp_path))
        assert [entry.kind for entry in keeper.journal()] == ["start", "in", "exit"]
        with pytest.raises(KeeperGone):
            await keeper.attach()


async def test_the_keeper_outlives_hang_up_and_interrupt(tmp_path: Path) -> None:
    async with kept(tmp_path, ECHO) as (keeper, reader):
        os.kill(keeper.keeper_pid, signal.SIGHUP)
        os.kill(keeper.keeper_pid, signal.SIGINT)
        await reader.link.send("k", "still here")
        await reader.until_line("heard still here")
