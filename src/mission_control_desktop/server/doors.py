"""The sockets that a control plane listens on, and who may come in through which without encryption.

A loopback address needs none. Any other is served over TLS, or, if told so explicitly, without. Programs of this
computer (the window, the CLI, the agents' tools) always have a loopback door: if the main one is not plain loopback, a
second one on a free port is opened for them, so that none of them needs a certificate for its own computer.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from mission_control_desktop.domain.addresses import is_loopback_address
from mission_control_desktop.domain.errors import BadInput, Unavailable

log = structlog.get_logger(__name__)

LOCAL_HOST = "127.0.0.1"


class Certificate:
    """Certificate and key of a server, from PEM files; `reload()` takes them again for connections to come."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.reload()

    def reload(self) -> None:
        """Raises BadInput, with the old ones still in use, if the files cannot be used or the key is not private."""
        try:
            mode = stat.S_IMODE(self._key.stat().st_mode)
        except OSError as error:
            raise BadInput("tls-key", f"{self._key} cannot be read: {error.strerror}.") from error
        if mode & 0o077:
            raise BadInput(
                "tls-key", f"{self._key} can be read by others (mode {mode:04o}). Mend it: chmod 600 {self._key}"
            )
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a pair that does not match must not damage the one in use
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except ssl.SSLError as error:
            raise BadInput(
                "tls-certificate",
                f"{self._certificate} and {self._key} cannot be used together: {error.reason or error}. "
                "Give a PEM certificate (with its chain) and its unencrypted PEM key.",
            ) from error
        except OSError as error:
            raise BadInput("tls-certificate", f"{self._certificate} cannot be read: {error.strerror}.") from error


def _no_password() -> str:
    raise BadInput("tls-key", "The TLS key is encrypted; a server that starts by itself needs one that is not.")


@dataclass(frozen=True, slots=True)
class Door:
    """A bound socket that does not listen yet, and how it is spoken to."""

    socket: socket.socket
    certificate: Certificate | None = None

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()[:2]
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if self.socket.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"

    @property
    def for_this_computer(self) -> bool:
        """Whether a program here can use it without further ado."""
        return self.certificate is None and is_loopback_address(str(self.socket.getsockname()[0]))


@dataclass(frozen=True, slots=True)
class Doors:
    """`main` is what was asked for; `local` is the one for programs of this computer, which may be the same."""

    main: Door
    local: Door

    def all(self) -> list[Door]:
        return [self.main] if self.local is self.main else [self.main, self.local]

    def close(self) -> None:
        for door in self.all():
            door.socket.close()


def open_doors(host: str, port: int, *, certificate: Path | None, key: Path | None, allow_insecure: bool) -> Doors:
    """Bind. Raises BadInput for what may not or cannot be listened on, Unavailable if a port is taken."""
    if (certificate is None) != (key is None):
        raise BadInput("tls-certificate", "--tls-certificate and --tls-key belong together: give both.")
    loaded = None if certificate is None or key is None else Certificate(certificate, key)
    found = _resolve(host, port)
    # A name may have several addresses: it is loopback if none of them can be reached from elsewhere.
    outside = [address for _, address in found if not is_loopback_address(str(address[0]))]
    if outside and loaded is None:
        if not allow_insecure:
            raise BadInput(
                "host",
                f"{host} can be reached from other computers. Give --tls-certificate FILE and --tls-key FILE, or use "
                "127.0.0.1 behind a TLS proxy or a tunnel; to do it without encryption all the same, add "
                "--allow-insecure.",
            )
        log.warning("served without encryption: whoever sees the traffic can take the tokens", host=host)
    with ExitStack() as opened:
        main = Door(_bind(*found[0]), loaded)
        opened.callback(main.socket.close)
        local = main if main.for_this_computer else Door(_bind(*_resolve(LOCAL_HOST, 0)[0]))
        opened.pop_all()
    return Doors(main, local)


def _resolve(host: str, port: int) -> list[tuple[int, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]]:
    name = host.strip("[]")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no name looks like that"
        raise BadInput("host", f"There is no address {name!r} on this computer: {reason}.") from error
    return [(family, address) for family, _, _, _, address in found]


def _bind(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A port of a control plane that has just ended can be taken at once.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Unavailable(f"Port {address[1]!r} of {address[0]!r} cannot be used: {error.strerror}.") from error
    return bound
