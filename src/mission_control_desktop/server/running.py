"""A control plane that runs: its directory held, its record open, its door on a socket, its note written."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn

from mission_control_desktop import __version__
from mission_control_desktop.control.assembly import open_plane
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.policy import Operation
from mission_control_desktop.domain.errors import BadInput, MissionControlError, Unavailable
from mission_control_desktop.domain.limits import MAX_HEADER_BYTES
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.server import place
from mission_control_desktop.server.app import Application
from mission_control_desktop.server.connections import Connection
from mission_control_desktop.server.doors import Door, Doors, open_doors
from mission_control_desktop.server.local_token import ensure_local_token
from mission_control_desktop.server.table import ROUTES, Route

log = structlog.get_logger(__name__)

GRACE_SECONDS = 3
"""How long answers that are under way may take once the server is told to stop."""
ROLES = ("all", "api", "orchestrator")
WANTED_FILES = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `serve` is told. `port` 0 picks a free one; `exit_when_idle` is in seconds; `allow_host` are names under
    which a proxy on this computer addresses it."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    database_url: str | None = field(default=None, repr=False)
    valkey_url: str | None = field(default=None, repr=False)
    role: str = "all"
    allow_insecure: bool = False
    allow_host: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    exit_when_idle: float | None = None
    no_cgroups: bool = False


def routes_of(role: str) -> Sequence[Route]:
    """What a process of this role serves."""
    if role != "orchestrator":
        return ROUTES
    shared = ("/api/health", "/api/me", "/api/openapi.json", "/api/tokens", "/api/members")
    # What a control plane that has this orchestrator as a provider needs, and `/agents` does not have.
    acts = (
        Operation.ANSWER,
        Operation.APPROVALS,
        Operation.RECEIPTS,
        Operation.WITHDRAW,
        Operation.EDIT_MESSAGE,
        Operation.MOVE_MESSAGE,
        Operation.PROCESSES,
    )
    return [route for route in ROUTES if route.path.startswith(("/agents", *shared)) or route.operation in acts]


class _Server(uvicorn.Server):
    """Signals are ours to handle, and it says when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.accepting.set()


class Running:
    """What is there while it runs."""

    def __init__(self, doors: Doors, plane: ControlPlane, application: Application, servers: Sequence[_Server]) -> None:
        self.url = doors.main.url
        self.plane = plane
        self._doors = doors
        self._application = application
        self._servers = servers
        self.ended = asyncio.Event()
        """Set when the server has ended, asked or not."""

    def hurry(self) -> None:
        """Do not wait for answers that are under way."""
        for server in self._servers:
            server.force_exit = True

    def reload(self) -> None:
        """Take certificate and key from their files again, for new connections; what cannot be used is logged."""
        certificate = self._doors.main.certificate
        if certificate is None:
            return
        try:
            certificate.reload()
        except MissionControlError as error:
            log.error("the TLS certificate stays as it was", reason=error.message)
        else:
            log.info("the TLS certificate was read again")

    async def needed(self) -> bool:
        """Whether a client is there, or a session lives."""
        return self._application.activity.idle_for() == 0 or await self.plane.any_live_session()

    def idle_for(self) -> float:
        """Seconds without a request or stream."""
        return self._application.activity.idle_for()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """Run a control plane on this event loop. At the end: streams ended, answers given, agents left alone.

    Raises BadInput for options that cannot be, Unavailable if the directory, the port or the record cannot be used.
    """
    if options.role not in ROLES:
        raise BadInput("role", f"The role is one of {', '.join(ROLES)}.")
    data_dir = await asyncio.to_thread(place.prepare, options.data_dir)
    with place.exclusive(data_dir):
        doors = open_doors(
            options.host,
            options.port,
            certificate=options.tls_certificate,
            key=options.tls_key,
            allow_insecure=options.allow_insecure,
        )
        try:
            _raise_file_limit()
            async with open_plane(
                data_dir,
                database_url=options.database_url,
                valkey_url=options.valkey_url,
                orchestrator=options.role != "api",
                cgroups=not options.no_cgroups,
            ) as plane:
                await ensure_local_token(plane.tokens, data_dir)
                async with _serving(options, plane, doors, data_dir) as served:
                    yield served
        finally:
            doors.close()


@asynccontextmanager
async def _serving(options: Options, plane: ControlPlane, doors: Doors, data_dir: Path) -> AsyncIterator[Running]:
    application = Application(plane, routes=routes_of(options.role), names=(options.host, *options.allow_host))
    servers = [_server(application, door) for door in doors.all()]
    tasks = Tasks(lambda name, error: log.error("task failed", task=name, exc_info=error))
    serving = {
        tasks.start(server.serve(sockets=[door.socket]), name=f"server {door.url}")
        for server, door in zip(servers, doors.all(), strict=True)
    }
    accepting = tasks.start(_all_accepting(servers), name="accepting")
    try:
        await asyncio.wait({*serving, accepting}, return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            raise Unavailable("The server could not be started; its log says why.")
        note = place.Note(url=doors.local.url, pid=os.getpid(), version=__version__, started_at=datetime.now(UTC))
        await asyncio.to_thread(place.write_note, data_dir, note)
        urls = [door.url for door in doors.all()]
        log.info("accepting requests", urls=urls, role=options.role, data_dir=str(data_dir))
        served = Running(doors, plane, application, servers)
        for one in serving:
            one.add_done_callback(lambda _: served.ended.set())
        yield served
    finally:
        await asyncio.to_thread(place.remove_note, data_dir)
        application.streams.end_all()
        for server in servers:
            server.should_exit = True
        await asyncio.wait(serving, timeout=GRACE_SECONDS + 2)
        await tasks.close()


async def _all_accepting(servers: Sequence[_Server]) -> None:
    for server in servers:
        await server.accepting.wait()


def _server(application: Application, door: Door) -> _Server:
    config = uvicorn.Config(
        application,
        loop="none",
        http=Connection,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=1024,
    )
    config.load()
    config.ssl = None if door.certificate is None else door.certificate.context
    return _Server(config)


def _raise_file_limit() -> None:
    """Sixty agents and their streams need more open files than many systems allow at first."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("the limit of open files stays low", soft=soft, error=str(error))
