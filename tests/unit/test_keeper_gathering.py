"""How a keeper reads its agent: first words at once, many small pieces together, floods without a pause."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.orchestrator.keeper.agent import GATHER_SECONDS, Agent
from mission_control_desktop.orchestrator.keeper.journal import READ_BYTES, Journal
from mission_control_desktop.orchestrator.keeper.place import Limits
from mission_control_desktop.orchestrator.keeper.processes import read_process


class Bench:
    """An agent whose pipes are in the test's hands, on a clock of its own. `turn` is one turn of the keeper's loop."""

    def __init__(self, folder: Path) -> None:
        self.time = 100.0
        self.path = folder / "journal.jsonl"
        self.poll = select.epoll()
        self.journal_fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.journal = Journal(self.journal_fd, lambda: self.time)
        self.agent = Agent(self.poll, self.journal, Limits({}), lambda: self.time)
        self.input, stdin = os.pipe()
        stdout, self.output = os.pipe()
        stderr, self.errors = os.pipe()
        for fd in (stdin, stdout, stderr, self.output):
            os.set_blocking(fd, False)
        process = read_process(os.getpid())
        assert process is not None
        self.agent.adopt(process, (stdin, stdout, stderr))

    def say(self, text: str) -> None:
        os.write(self.output, text.encode())

    def turn(self, passed: float) -> int:
        """How many descriptors the poll woke us for."""
        self.time += passed
        ready = self.poll.poll(0)
        for fd, _ in ready:
            self.agent.handle(fd)
        self.agent.regulate(self.time)
        return len(ready)

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def lines(self) -> list[str]:
        return [entry["line"] for entry in self.entries() if entry["kind"] == "in"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.agent.close_stdin()
    for fd in (bench.input, bench.errors, bench.journal_fd):
        os.close(fd)
    bench.poll.close()


def test_what_comes_now_and_then_is_read_at_once(bench: Bench) -> None:
    for number in range(20):
        bench.say(f"{number}\n")
        assert bench.turn(2 * GATHER_SECONDS) == 1
        assert bench.lines()[-1] == str(number)
        assert bench.agent.gather_until is None


def test_many_small_pieces_are_read_together_and_none_waits_longer_than_said(bench: Bench) -> None:
    bench.say("0\n")
    bench.turn(1.0)
    woken, said = 0, 1
    for _ in range(600):
        bench.say(f"{said}\n")
        said += 1
        woken += bench.turn(GATHER_SECONDS / 8)
        assert len(bench.lines()) >= said - 8
    assert woken == 1  # the second word; after that the pipe is looked at when it is time, and wakes nobody
    bench.turn(GATHER_SECONDS)
    assert bench.lines() == [str(number) for number in range(said)]
    bench.turn(GATHER_SECONDS)
    assert bench.agent.gather_until is None  # silence: the next word is read at once
    bench.say("last\n")
    assert bench.turn(1.0) == 1
    assert bench.lines()[-1] == "last"


def test_a_flood_is_read_without_a_pause(bench: Bench) -> None:
    line = "x" * 1023 + "\n"
    bench.say("0\n")
    bench.turn(1.0)
    for _ in range(50):
        bench.say(line * (READ_BYTES // len(line) // 2))
        bench.turn(GATHER_SECONDS / 8)
        assert bench.agent.gather_until is None
    assert len(bench.lines()) == 1 + 50 * (READ_BYTES // len(line) // 2)


def test_a_pause_is_shorter_where_much_comes(bench: Bench) -> None:
    bench.say("0\n")
    bench.turn(1.0)
    bench.say("x" * 16_000 + "\n")
    bench.turn(GATHER_SECONDS / 2)
    until = bench.agent.gather_until
    assert until is not None
    assert until - bench.time == pytest.approx(GATHER_SECONDS / 2, rel=0.1)


def test_what_has_gathered_stands_before_what_is_asked_then(bench: Bench) -> None:
    for word in ("one\n", "two\n"):
        bench.say(word)
        bench.turn(GATHER_SECONDS / 4)
    bench.say("three\n")
    bench.agent.read_gathered()
    bench.agent.send("k", "stop")
    assert [(entry["kind"], entry["line"]) for entry in bench.entries()] == [
        ("in", "one"),
        ("in", "two"),
        ("in", "three"),
        ("out", "stop"),
    ]


def test_the_end_is_seen_while_something_gathers(bench: Bench) -> None:
    for word in ("one\n", "two\n", "three"):
        bench.say(word)
        bench.turn(GATHER_SECONDS / 4)
    os.close(bench.output)
    bench.turn(GATHER_SECONDS)  # reads what is left
    bench.turn(GATHER_SECONDS)
    assert bench.lines() == ["one", "two", "three"]
    assert bench.agent.gather_until is None
    assert bench.turn(1.0) == 0


def test_a_journal_that_takes_nothing_stops_the_reading_and_does_not_spin(bench: Bench) -> None:
    for word in ("one\n", "two\n", "three\n"):
        bench.say(word)
        bench.turn(GATHER_SECONDS / 4)
    bench.journal.error = "disk full"
    bench.journal.pending_bytes = 5 << 20
    assert bench.turn(GATHER_SECONDS) == 0
    assert bench.agent.gather_until is None
    assert bench.lines() == ["one", "two"]
    bench.journal.error, bench.journal.pending_bytes = None, 0
    bench.turn(0.0)
    bench.turn(0.0)
    assert bench.lines() == ["one", "two", "three"]
