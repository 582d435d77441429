"""The keeper's journal and pipe decoders on their own: any input, cut anywhere, any write that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.keeper import journal as program
from mission_control_desktop.orchestrator.keeper import processes
from mission_control_desktop.orchestrator.keeper.client import JournalDamaged, read_journal

pieces = st.lists(
    st.binary(max_size=60) | st.sampled_from([b"\n", b"\r\n", b"\xf0\x9f", b"\x98\x80", b'"\\']), max_size=30
)


def journal_in(directory: Path) -> program.Journal:
    fd = os.open(directory / "journal.jsonl", os.O_RDWR | os.O_CREAT, 0o600)
    return program.Journal(fd, lambda: 0.0)


def expected_lines(raw: bytes, limit: int) -> list[str | int]:
    lines = raw.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [len(line) if len(line) > limit else line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]


def lines_of(entries: Iterator[Entry]) -> list[str | int | None]:
    return [entry.data["bytes"] if entry.kind == "oversize" and entry.data else entry.line for entry in entries]


@settings(deadline=None)
@given(pieces=pieces, limit=st.integers(min_value=1, max_value=80))
def test_lines_come_out_as_they_went_in_however_they_are_cut(pieces: list[bytes], limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        journal = journal_in(directory)
        output = program.Output(journal, limit)
        for piece in pieces:
            if piece:
                output.feed(piece)
        output.end()
        entries = list(read_journal(directory))
        assert [entry.n for entry in entries] == list(range(1, len(entries) + 1))
        assert lines_of(iter(entries)) == expected_lines(b"".join(pieces), limit)
        os.close(journal.fd)


@settings(deadline=None)
@given(text=st.text(max_size=300), cut=st.integers(min_value=1, max_value=7))
def test_a_big_line_is_converted_in_pieces_like_a_small_one(text: str, cut: int) -> None:
    text = text.replace("\n", "")
    with tempfile.TemporaryDirectory() as name, mock.patch.object(program, "READ_BYTES", cut):
        journal = journal_in(Path(name))
        journal.big_line(bytearray(text.encode()), "1.0")
        assert [entry.line for entry in read_journal(Path(name))] == [text]
        os.close(journal.fd)


@settings(deadline=None)
@given(
    lines=st.lists(st.text(alphabet="aé\n\\😀", max_size=20).map(lambda text: text.replace("\n", "")), max_size=40),
    room=st.lists(st.integers(min_value=0, max_value=120), max_size=60),
)
def test_writes_that_fail_or_are_cut_short_lose_nothing(lines: list[str], room: list[int]) -> None:
    """Each write finds so much room, then none; in the end there is room for all."""
    real = os.pwrite
    left = iter(room)

    def cramped(fd: int, block: bytes, at: int) -> int:
        space = next(left, None)
        if space is None:
            return real(fd, block, at)
        if space == 0:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(block)[:space], at)

    with tempfile.TemporaryDirectory() as name, mock.patch.object(os, "pwrite", cramped):
        directory = Path(name)
        journal = journal_in(directory)
        for line in lines:
            journal.lines([line, line + "!"], "1.0")
            seen = b"".join(journal.read(position, 1) for position in range(journal.length))
            assert seen.count(b"\n") == journal.number  # what clients are served: everything, written or not
            on_disk = [entry.line for entry in read_journal(directory)]
            assert on_disk == [text for line in lines for text in (line, line + "!")][: len(on_disk)]
        while journal.pending:
            journal.flush()
        assert journal.error is None
        assert [entry.line for entry in read_journal(directory)] == [t for line in lines for t in (line, line + "!")]
        os.close(journal.fd)


@settings(deadline=None)
@given(count=st.integers(min_value=0, max_value=60), data=st.data())
def test_every_number_is_found_again_and_torn_ends_are_cut(count: int, data: st.DataObject) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.object(program, "INDEX_BYTES", 300),
        mock.patch("time.time", return_value=1.0),
        mock.patch.object(program, "READ_BYTES", data.draw(st.integers(min_value=1, max_value=200))),
    ):
        directory = Path(name)
        journal = journal_in(directory)
        for number in range(count):
            journal.entry("cmd", data={"x": "y" * (number % 17)})
        content = (directory / "journal.jsonl").read_bytes()
        ends = [0, *(at + 1 for at, byte in enumerate(content) if byte == 10)]
        assert [journal.position_after(number) for number in range(count + 1)] == ends
        os.close(journal.fd)

        kept = data.draw(st.integers(min_value=0, max_value=len(content)))
        (directory / "journal.jsonl").write_bytes(content[:kept] + data.draw(st.sampled_from([b"", b"\0\0", b"{}\n"])))
        whole = sum(end <= kept for end in ends[1:])
        assert len(list(read_journal(directory))) == whole
        again = journal_in(directory)
        assert (again.number, again.end) == (whole, ends[whole])
        assert (directory / "journal.jsonl").read_bytes() == content[: ends[whole]]
        os.close(again.fd)


def test_damage_within_the_journal_is_not_taken_for_its_end(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for _ in range(3):
        journal.entry("cmd", data={})
    os.close(journal.fd)
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(lines[0] + b"garbage\n" + lines[2])
    with pytest.raises(JournalDamaged) as damage:
        list(read_journal(tmp_path))
    assert damage.value.after == 1
    (tmp_path / "journal.jsonl").write_bytes(lines[0] + lines[2])
    with pytest.raises(JournalDamaged):
        list(read_journal(tmp_path))


def test_an_endless_flood_of_standard_error_is_bounded_in_bytes_per_second(tmp_path: Path) -> None:
    clock = [0.0]
    journal = journal_in(tmp_path)
    errors = program.Errors(journal, 8192, lambda: clock[0], 1 << 20)
    lines = 0
    for _ in range(10_000):  # 100 s, 1 MB/s
        clock[0] += 0.01
        errors.feed(b"oh no, again!\n" * 700)
        lines += 700
    errors.end()
    entries = list(read_journal(tmp_path))
    assert (
        sum((entry.data or {}).get("dropped", 0) for entry in entries) + sum(bool(entry.line) for entry in entries)
        == lines
    )
    assert journal.length < 2 * 262_144 + 100 * 2 * 4096
    os.close(journal.fd)


def test_a_lone_surrogate_cannot_break_the_journal(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.entry("cmd", data={"text": "a\ud800b"})
    journal.entry("out", line="c\udfffd", key="k")
    assert [entry.data or entry.line for entry in read_journal(tmp_path)] == [{"text": "a?b"}, "c?d"]
    os.close(journal.fd)


def test_a_process_name_may_hold_anything(tmp_path: Path) -> None:
    fields = b" ".join([b"S", b"7", b"8", b"9", *[b"0"] * 15, b"4711", b"0"])
    process = processes.Process(12, b"12 (we (ird) na)me 3 R) " + fields)
    assert (process.comm, process.state, process.ppid, process.group, process.session, process.start) == (
        "we (ird) na)me 3 R",
        "S",
        7,
        8,
        9,
        4711,
    )


def test_a_keeper_loads_nothing_but_the_standard_library_and_its_own_files() -> None:
    """It runs on while everything around it is replaced, and there is one per agent."""
    source = """
import sys
sys.path.append(sys.argv[1])
import mission_control_desktop.orchestrator.keeper.keeper
ours = {name for name in sys.modules if name.startswith("mission_control_desktop.orchestrator.keeper.")}
others = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names - {"__main__"}
print(*sorted(name.rpartition(".")[2] for name in ours), *others)
print(*(sys.modules.keys() & {"asyncio", "subprocess", "threading", "logging", "dataclasses", "typing"}))
"""
    root = Path(program.__file__).parents[3]
    said = subprocess.run([sys.executable, "-I", "-S", "-c", source, root], capture_output=True, text=True, check=True)
    assert (
        said.stdout
        == "acting agent cgroup journal keeper place processes serving spawn stopfile tree mission_control_desktop\n\n"
    )
