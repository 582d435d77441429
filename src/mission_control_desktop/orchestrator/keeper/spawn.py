"""Start the agent's first process. Standard library only; `subprocess` would double what a keeper weighs."""

from __future__ import annotations

import fcntl
import os
import signal

from mission_control_desktop.orchestrator.keeper.cgroup import join
from mission_control_desktop.orchestrator.keeper.processes import Process, read_process

NOT_JOINED = b"\0"
"""The report of a process that runs on, but outside its cgroup, begins and ends so."""


def spawn(
    command: list[str], cwd: str | None, environment: dict[str, str], umask: int, cgroup: str | None = None
) -> tuple[Process, tuple[int, int, int], str | None]:
    """Start the agent in a session of its own, with three pipes, and in the cgroup if one is given: from before its
    first instruction, so that nothing it starts can be outside.

    The process, our (not blocking) ends of its standard input, output and error, and why it is not in the cgroup.
    Raises OSError, and ValueError with what the new process itself could not do.
    """
    stdin, self_in = os.pipe()
    self_out, stdout = os.pipe()
    self_err, stderr = os.pipe()
    report, failure = os.pipe()  # closed by a successful exec
    theirs, ours = (stdin, stdout, stderr, failure), (self_in, self_out, self_err)
    pid = os.fork()
    if pid == 0:
        _become(command, cwd, environment, umask, (stdin, stdout, stderr), failure, cgroup)
    for fd in theirs:
        os.close(fd)
    message = b""
    while piece := os.read(report, 4096):
        message += piece
    os.close(report)
    outside = None
    if message.startswith(NOT_JOINED):
        _, outside_bytes, message = message.split(NOT_JOINED, 2)
        outside = outside_bytes.decode("utf-8", "replace")
    if message:
        os.waitpid(pid, 0)
        for fd in ours:
            os.close(fd)
        raise ValueError(message.decode("utf-8", "replace"))
    for fd in ours:
        os.set_blocking(fd, False)
    process = read_process(pid)  # at worst a zombie: nobody else reaps it
    if process is None:
        raise ValueError("it vanished")
    return process, ours, outside


def _become(
    command: list[str],
    cwd: str | None,
    environment: dict[str, str],
    umask: int,
    pipes: tuple[int, int, int],
    failure: int,
    cgroup: str | None,
) -> None:
    """In the child, after the fork: turn into the agent, or tell the keeper why not. Never returns."""
    what = "working directory"
    try:
        if cgroup is not None:
            try:
                join(cgroup)
            except OSError as error:
                os.write(failure, NOT_JOINED + f"{cgroup} cannot be joined: {error.strerror}".encode() + NOT_JOINED)
        os.setsid()
        for number in (
            signal.SIGHUP,
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGPIPE,
            signal.SIGXFSZ,
            signal.SIGCHLD,
        ):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.umask(umask)
        # The pipes may have low numbers themselves: move them out of the way first.
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in pipes]
        failure = fcntl.fcntl(failure, fcntl.F_DUPFD_CLOEXEC, 10)
        for target, fd in enumerate(moved):
            os.dup2(fd, target, inheritable=True)
        if cwd:
            os.chdir(cwd)
        what = "command"
        os.execvpe(command[0], command, environment)  # noqa: S606 - running it is the point
    except BaseException as error:  # noqa: BLE001 - a forked child must not run on as a second keeper
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        named = cwd if what == "working directory" else command[0]
        os.write(failure, f"{what} {named}: {reason}"[:4000].encode("utf-8", "replace"))
    finally:
        os._exit(127)
