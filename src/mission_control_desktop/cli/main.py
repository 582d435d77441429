"""`mission-control`: arguments in, exit code out (0 done, 1 refused or failed, 2 usage).

No verb here starts a control plane; where none runs they say how to start one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from mission_control_desktop.cli import audit_log, doctor, stopping
from mission_control_desktop.cli.commands import AT_REST, COMMANDS, follow_kill_all
from mission_control_desktop.cli.output import Output, safe
from mission_control_desktop.cli.parser import build_parser
from mission_control_desktop.client.discovery import Discovery
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.paths import ENV_URL
from mission_control_desktop.domain.audit import parse_head
from mission_control_desktop.domain.errors import BadInput, MissionControlError, Unreachable
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.log_stream import words_for_people
from mission_control_desktop.domain.mission_control import MissionControl


class Program(NamedTuple):
    """A verb that is a program of its own (`serve`); `run` gets the arguments after the verb."""

    about: str
    run: Callable[[list[str]], int]


class AtRest(Protocol):
    """Opens the record of a data directory (or at a database's URL) in this process, while no control plane runs; with
    `new` makes it if it is missing."""

    async def __call__(self, data_dir: Path, database_url: str | None, *, new: bool) -> MissionControl: ...


def main(
    argv: Sequence[str] | None = None,
    *,
    programs: Mapping[str, Program] | None = None,
    at_rest: AtRest | None = None,
    living: stopping.Living | None = None,
    sweep: stopping.Sweep | None = None,
) -> int:
    """Run one command; never raises for what a person or a peer did wrong."""
    words = list(sys.argv[1:] if argv is None else argv)
    others = dict(programs or {})
    if words and words[0] in others:
        return others[words[0]].run(words[1:])
    _log_to_stderr()
    parser = build_parser({name: program.about for name, program in others.items()})
    words, command = _split_command(words)
    try:
        args = parser.parse_args(words)
        args.command = command
        _complete(args, parser)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    output = Output(json=bool(getattr(args, "json", False)))
    here = None if living is None else stopping.Here(living=living, sweep=sweep)
    try:
        code = asyncio.run(_run(args, output, at_rest, here))
        output.flush()
    except MissionControlError as error:
        where = f"{error.field}: " if isinstance(error, BadInput) and error.field not in error.message else ""
        output.note(f"mission-control: {safe(where + error.message)}")
        return 1
    except KeyboardInterrupt:
        return 0 if args.verb == "tail" else 130
    except BrokenPipeError:
        # The reader had enough (`| head`). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _split_command(words: list[str]) -> tuple[list[str], list[str]]:
    """`profiles put NAME -- COMMAND...`: what stands behind the dashes is the agent's, options and all."""
    if words[:2] == ["profiles", "put"] and "--" in words:
        at = words.index("--")
        return words[:at], words[at + 1 :]
    return words, []


def _complete(args: Namespace, parser: ArgumentParser) -> None:
    """What argparse cannot check: arguments that belong together."""
    if args.verb == "profiles" and args.what == "put":
        if not args.command:
            parser.error("profiles put: the agent's command is missing: profiles put NAME -- COMMAND [ARGUMENT...]")
        args.environment = _environment(args.env, parser)
    if args.verb == "kill-all" and not args.clear_stop:
        missing = [f"--{name}" for name in ("scope", "confirm", "reason") if getattr(args, name) is None]
        if missing:
            parser.error(f"kill-all: the following arguments are required: {', '.join(missing)}")


def _environment(given: Sequence[str], parser: ArgumentParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            if name not in os.environ:
                parser.error(f"--env {name}: there is no such variable in this environment")
            value = os.environ[name]
        found[name] = value
    return found


async def _run(args: Namespace, output: Output, at_rest: AtRest | None, here: stopping.Here | None) -> int:
    if args.verb == "audit" and args.what == "verify" and args.file is not None:
        head = None if args.head is None else parse_head(args.head)
        return await asyncio.to_thread(audit_log.verify_file, args.file, head, output)
    discovery = Discovery(data_dir=args.data_dir)
    if args.verb == "doctor":
        return doctor.report(await doctor.examine(discovery, os.environ, args.url), output)
    if args.verb == "kill-all":
        if args.clear_stop:
            return await stopping.clear(discovery.data_dir, output)
        return await _kill_all(discovery, args, output, here)
    try:
        endpoint = await discovery.find(args.url)
    except Unreachable:
        if at_rest is None or args.verb not in AT_REST or args.url or os.environ.get(ENV_URL):
            raise
        return await _at_rest(discovery.data_dir, args, output, at_rest)
    if endpoint.note is not None:
        output.note(f"Note: {endpoint.note}")
    mission_control = endpoint.open()
    try:
        return await COMMANDS[args.verb](mission_control, args, output)
    finally:
        await mission_control.close()


async def _at_rest(data_dir: Path, args: Namespace, output: Output, open_record: AtRest) -> int:
    """Whoever may write the directory may do this: the first token of a server is made so."""
    first = args.verb == "token" and args.what == "create"
    mission_control = await open_record(data_dir, args.database_url, new=first)
    try:
        where = "the database" if args.database_url else data_dir
        output.note(f"No control plane runs here; done in {where} itself.")
        return await AT_REST[args.verb](mission_control, args, output)
    finally:
        await mission_control.close()


async def _kill_all(discovery: Discovery, args: Namespace, output: Output, here: stopping.Here | None) -> int:
    """By the control plane; by the stop file where that does not answer soon and agents may run here."""
    opened: list[HttpMissionControl] = []

    async def begin() -> KillAll:
        endpoint = await discovery.find(args.url)
        if endpoint.note is not None:
            output.note(f"Note: {endpoint.note}")
        opened.append(endpoint.open())
        return await opened[0].kill_all(scope=args.scope, confirm=args.confirm, reason=args.reason)

    try:
        try:
            async with asyncio.timeout(stopping.ANSWER_SECONDS):
                state = await begin()
        except (Unreachable, TimeoutError) as error:
            elsewhere = args.url or os.environ.get(ENV_URL)
            if elsewhere or here is None or not discovery.data_dir.is_dir():
                raise Unreachable(str(error) or "The control plane does not answer.") from error
            why = str(error) or f"nothing within {stopping.ANSWER_SECONDS:g} s"
            return await stopping.without_control_plane(discovery.data_dir, args, output, why, here)
        return await follow_kill_all(opened[0], state, output)
    finally:
        for mission_control in opened:
            await mission_control.close()


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            words_for_people(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *args: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
