"""A control plane that runs: its directory held, its record open, its door on a socket, its note written."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn

from mission_control_desktop import __version__
from mission_control_desktop.control.assembly import open_plane
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.domain.errors import BadInput, Unavailable
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.server import place
from mission_control_desktop.server.app import Application
from mission_control_desktop.server.local_token import ensure_local_token
from mission_control_desktop.server.table import ROUTES, Route

log = structlog.get_logger(__name__)

GRACE_SECONDS = 3
"""How long answers that are under way may take once the server is told to stop."""
ROLES = ("all", "api", "orchestrator")
WANTED_FILES = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `serve` is told. `port` 0 picks a free one; `exit_when_idle` is in seconds."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    database_url: str | None = None
    role: str = "all"
    allow_insecure: bool = False
    exit_when_idle: float | None = None


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bind(options: Options) -> socket.socket:
    """A bound socket that does not listen yet. Raises BadInput for a host that may not or cannot be used."""
    host = options.host.strip("[]")
    if not is_loopback(host) and not options.allow_insecure:
        raise BadInput(
            "host",
            f"{host} can be reached from other computers, and this server does not encrypt. Use 127.0.0.1 behind a "
            "TLS proxy or a tunnel; to do it all the same, add --allow-insecure.",
        )
    try:
        found = socket.getaddrinfo(host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadInput("host", f"There is no address {host!r} on this computer: {error.strerror}.") from error
    try:
        if os.name == "posix":
            # A port of a control plane that has just ended can be taken at once.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Unavailable(f"Port {options.port} of {host} cannot be used: {error.strerror}.") from error
    return bound


def url_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


def routes_of(role: str) -> Sequence[Route]:
    """What a process of this role serves."""
    if role != "orchestrator":
        return ROUTES
    shared = ("/api/health", "/api/me", "/api/openapi.json", "/api/tokens")
    return [route for route in ROUTES if route.path.startswith(("/agents", *shared))]


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

    def __init__(self, url: str, plane: ControlPlane, application: Application, server: _Server) -> None:
        self.url = url
        self.plane = plane
        self._application = application
        self._server = server
        self.ended = asyncio.Event()
        """Set when the server has ended, asked or not."""

    def hurry(self) -> None:
        """Do not wait for answers that are under way."""
        self._server.force_exit = True

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
        bound = bind(options)
        try:
            _raise_file_limit()
            async with open_plane(
                data_dir, database_url=options.database_url, orchestrator=options.role != "api"
            ) as plane:
                await ensure_local_token(plane.tokens, data_dir)
                async with _serving(options, plane, bound, data_dir) as served:
                    yield served
        finally:
            bound.close()


@asynccontextmanager
async def _serving(
    options: Options, plane: ControlPlane, bound: socket.socket, data_dir: Path
) -> AsyncIterator[Running]:
    application = Application(plane, routes=routes_of(options.role))
    server = _Server(
        uvicorn.Config(
            application,
            loop="none",
            http="h11",
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
    )
    url = url_of(bound)
    tasks = Tasks(lambda name, error: log.error("task failed", task=name, exc_info=error))
    serving = tasks.start(server.serve(sockets=[bound]), name="server")
    accepting = tasks.start(server.accepting.wait(), name="accepting")
    try:
        await asyncio.wait({serving, accepting}, return_when=asyncio.FIRST_COMPLETED)
        if not server.accepting.is_set():
            raise Unavailable("The server could not be started; its log says why.")
        note = place.Note(url=url, pid=os.getpid(), version=__version__, started_at=datetime.now(UTC))
        await asyncio.to_thread(place.write_note, data_dir, note)
        log.info("accepting requests", url=url, role=options.role, data_dir=str(data_dir))
        served = Running(url, plane, application, server)
        serving.add_done_callback(lambda _: served.ended.set())
        yield served
    finally:
        await asyncio.to_thread(place.remove_note, data_dir)
        application.streams.end_all()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=GRACE_SECONDS + 2)
        await tasks.close()


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
