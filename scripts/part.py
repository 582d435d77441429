"""Run one part of the tests in a time box, say what it cost, and fail if a process of it outlives it.

    part.py [--seconds N] [--costs FILE] [--grace N] NAME COMMAND...

Exits as the command does; with 1 if processes were left behind (they are named, and killed), with 124 if the time was
up (every process is named, pytest's say where they stand, and all are killed). Appends a line
to FILE: name, exit code, seconds, seconds of CPU of all processes, tab-separated.

On Linux every process that loses its parent falls to this one, whatever it did to its session and its environment:
nothing that a part started can hide, and its CPU is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
KILL_SECONDS = 10.0
REPORT_SECONDS = 20.0
ABORT_SECONDS = 3.0
"""Until xdist has noticed which of its processes are gone."""


class TimeUp(Exception):
    pass


class Told(Exception):
    """A signal to stop."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--costs", type=Path)
    parser.add_argument("--grace", type=float, default=10.0, help="seconds for what is ending already")
    parser.add_argument("name")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    wanted = parser.parse_args()
    adopt_orphans()
    began = time.monotonic()
    code = run(wanted.name, wanted.command, wanted.seconds, wanted.grace)
    if wanted.costs is not None:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        with wanted.costs.open("a") as file:
            took, cpu = time.monotonic() - began, spent.ru_utime + spent.ru_stime
            file.write(f"{wanted.name}\t{code}\t{took:.0f}\t{cpu:.0f}\n")
    return code


def adopt_orphans() -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run(name: str, command: list[str], seconds: int, grace: float) -> int:
    def time_up(_number: int, _frame: object) -> None:
        raise TimeUp

    def told(number: int, _frame: object) -> None:
        raise Told(signal.Signals(number).name)

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # in the background a shell has it ignored
    pid = os.posix_spawnp(command[0], command, os.environ)
    signal.signal(signal.SIGALRM, time_up)
    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    try:
        signal.alarm(seconds)
        code = wait(pid)
        signal.alarm(0)
    except TimeUp:
        say(f"{name}: not done after {seconds} s; this is running:")
        ask_where_it_stands(pid)
        end(living())
        return 124
    except Told as signal_name:
        say(f"{name}: stopped by {signal_name}")
        end(living())
        return 130
    return (code or 1) if left_behind(name, grace) else code


def wait(pid: int) -> int:
    """Collect whatever ends until `pid` does; its exit code, or 128 and its signal as a shell has it."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def living() -> list[psutil.Process]:
    """Every process below this one that still runs; collects those that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return [one for one in psutil.Process().children(recursive=True) if runs(one)]


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def left_behind(name: str, grace: float) -> bool:
    deadline = time.monotonic() + grace
    while left := living():
        if time.monotonic() > deadline:
            say(f"{name}: left behind {len(left)} processes:")
            for one in left:
                say(f"  {describe(one)}")
            end(left)
            return True
        time.sleep(0.05)
    return False


def ask_where_it_stands(pid: int) -> None:
    """pytest's processes print the stack of every thread when they are aborted; one that runs others (xdist) says which
    test they were at, and an interrupted one what has failed so far."""
    found = living()
    for one in found:
        say(f"  {describe(one)}")
    below = [one for one in found if one.pid != pid and parent(one) == pid]
    for one in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGABRT)
    time.sleep(ABORT_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + REPORT_SECONDS
    while pid in {one.pid for one in living()} and time.monotonic() < deadline:
        time.sleep(0.1)


def parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def end(found: list[psutil.Process]) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    while found and time.monotonic() < deadline:
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        time.sleep(0.05)
        found = living()


def describe(process: psutil.Process) -> str:
    try:
        age = time.time() - process.create_time()
        return f"{process.pid} of {process.ppid()}, {age:.0f} s old: {' '.join(process.cmdline())[:300]}"
    except psutil.NoSuchProcess:
        return f"{process.pid}: has just ended"


def say(words: str) -> None:
    sys.stdout.flush()
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
