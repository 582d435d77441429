"""`mission-control serve`: arguments, signals, the `ready` line, the exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import structlog

from mission_control_desktop.domain.errors import BadInput, MissionControlError
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.server import logs
from mission_control_desktop.server.running import ROLES, Options, Running, running

log = structlog.get_logger(__name__)

ENV_VALKEY_URL = "MISSION_CONTROL_VALKEY_URL"
FROM_ENVIRONMENT = {
    "MISSION_CONTROL_DATA_DIR": "data_dir",
    "MISSION_CONTROL_TLS_CERTIFICATE": "tls_certificate",
    "MISSION_CONTROL_TLS_KEY": "tls_key",
    ENV_VALKEY_URL: "valkey_url",
}
DEFAULT_PORT = 7317
IDLE_STEP_SECONDS = 1.0
STOP_SECONDS = 12.0
"""A stop that takes longer than this is cut off: agents and what is committed are safe whatever happens."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="mission-control serve", description="Run the control plane.")
    made.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    made.add_argument("--port", type=int, help=f"port to listen on; 0 picks a free one (default {DEFAULT_PORT})")
    made.add_argument("--data-dir", type=Path, help="where everything is kept (default: the user's data directory)")
    made.add_argument("--database-url", help="postgresql://... instead of SQLite in the data directory")
    made.add_argument("--valkey-url", help=f"valkey://..., where servers share rate limits (or in {ENV_VALKEY_URL})")
    made.add_argument("--role", choices=ROLES, help="what this process does (default all)")
    made.add_argument("--config", type=Path, metavar="FILE", help="TOML file with the same options")
    made.add_argument(
        "--tls-certificate", type=Path, metavar="FILE", help="PEM certificate with its chain: serve HTTPS"
    )
    made.add_argument("--tls-key", type=Path, metavar="FILE", help="its PEM key, readable by this account alone")
    made.add_argument(
        "--allow-insecure", action="store_true", default=None, help="listen on other than loopback without TLS"
    )
    made.add_argument(
        "--allow-host",
        action="append",
        metavar="NAME",
        help="a name that a proxy on this computer keeps in requests (repeatable)",
    )
    made.add_argument(
        "--exit-when-idle", type=float, metavar="SECONDS", help="end when no client came and nothing ran for so long"
    )
    made.add_argument(
        "--no-cgroups",
        action="store_true",
        default=None,
        help="hold agents' processes by their keepers alone, also where a cgroup v2 of their own could hold them",
    )
    made.add_argument("--log-level", choices=logs.LEVELS, help="how much is logged (default info)")
    return made


def read_options(argv: Sequence[str], environ: Mapping[str, str], default_data_dir: Path) -> tuple[Options, str]:
    """Options and log level: arguments before environment before the file. Raises BadInput; exits with 2 on usage."""
    given = {key: value for key, value in vars(parser().parse_args(list(argv))).items() if value is not None}
    config = given.pop("config", None)
    merged = {**(_read_config(config) if config is not None else {})}
    for name, key in FROM_ENVIRONMENT.items():
        if environ.get(name):
            merged[key] = environ[name]
    merged |= given
    level = merged.pop("log_level", "info")
    if level not in logs.LEVELS:
        raise BadInput("log-level", f"The log level is one of {', '.join(logs.LEVELS)}.")
    merged.setdefault("port", DEFAULT_PORT)
    merged.setdefault("data_dir", default_data_dir)
    for key in ("data_dir", "tls_certificate", "tls_key"):
        if key in merged:
            merged[key] = Path(merged[key])
    merged["allow_host"] = tuple(name.rstrip(".").lower() for name in merged.get("allow_host", ()))
    options = Options(**merged)
    if not 0 <= options.port <= 65535:
        raise BadInput("port", "A port is 0 to 65535.")
    if options.exit_when_idle is not None and options.exit_when_idle <= 0:
        raise BadInput("exit-when-idle", "Give a time in seconds.")
    return options, level


def _read_config(path: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput("config", f"{path} cannot be read: {error}.") from error
    kinds: dict[str, type | tuple[type, ...]] = {field.name: str for field in fields(Options)}
    kinds |= {
        "port": int,
        "allow_insecure": bool,
        "no_cgroups": bool,
        "allow_host": list,
        "exit_when_idle": (int, float),
        "log_level": str,
    }
    found: dict[str, Any] = {}
    for name, value in read.items():
        key = name.replace("-", "_")
        if key not in kinds:
            raise BadInput("config", f"{path}: there is no option {name!r}.")
        wanted = kinds[key]
        wrong = not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)
        if wrong or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            raise BadInput("config", f"{path}: the value of {name!r} has the wrong type.")
        found[key] = value
    return found


def main(argv: Sequence[str], *, default_data_dir: Path) -> int:
    """Run until a signal, or until nobody needs it. 0: ended as told; 1: could not run; 2: usage."""
    try:
        options, level = read_options(argv, os.environ, default_data_dir)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except BadInput as error:
        sys.stderr.write(f"mission-control serve: {error.message}\n")
        return 2
    logs.configure(level)
    try:
        return asyncio.run(_run(options))
    except MissionControlError as error:
        sys.stderr.write(f"mission-control serve: {error.message}\n")
        return 2 if isinstance(error, BadInput) else 1


async def _run(options: Options) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    tasks = Tasks(lambda name, error: log.error("task failed", task=name, exc_info=error))
    now_running: list[Running] = []

    def told(name: str) -> None:
        log.info("asked to stop", signal=name)
        if stop.is_set() and now_running:
            now_running[0].hurry()
        if not stop.is_set():
            # If closing hangs, whatever hangs must not keep the process: the journals and the record are consistent.
            loop.call_later(STOP_SECONDS, _cut_off)
        stop.set()

    def reload() -> None:
        for one in now_running:
            one.reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number.name)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        async with running(options) as served:
            now_running.append(served)
            if not stop.is_set():
                sys.stdout.write(f"ready {served.url}\n")
                sys.stdout.flush()
            if options.exit_when_idle is not None:
                tasks.start(_exit_when_idle(served, options.exit_when_idle, stop), name="idle watch")
            tasks.start(_end_with(served, stop), name="server watch")
            await stop.wait()
            log.info("stopping; agents live on")
    finally:
        await tasks.close()
    log.info("stopped")
    return 0


async def _end_with(served: Running, stop: asyncio.Event) -> None:
    await served.ended.wait()
    if not stop.is_set():
        log.error("the server ended by itself")
        stop.set()


async def _exit_when_idle(served: Running, seconds: float, stop: asyncio.Event) -> None:
    while True:
        await asyncio.sleep(min(IDLE_STEP_SECONDS, seconds / 4))
        if served.idle_for() >= seconds and not await served.needed() and served.idle_for() >= seconds:
            log.info("nobody needs this control plane any more", idle_seconds=round(served.idle_for()))
            stop.set()
            return


def _cut_off() -> None:
    log.error("stopping took too long; cut off", seconds=STOP_SECONDS)
    os._exit(0)
