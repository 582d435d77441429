"""The further control planes of this workstation: their names and addresses are kept here, their tokens in the
keyring."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from mission_control_desktop.client.fleet import PLANE_NAME_PATTERN
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.people import Me
from mission_control_desktop.ui.connection import Connection
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.planes import Planes

if TYPE_CHECKING:
    from mission_control_desktop.client.tokens import TokenStore

log = structlog.get_logger(__name__)

SAVED = "planes"
CHECK_SECONDS = 15.0


class SavedPlane(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one in the local file."""

    name: str
    url: str


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a token: whom it belongs to there, and where it is kept now."""

    me: Me
    kept: str


class PlaneBook:
    """Adds and removes control planes, now and for the next start. Raises the tree of `domain.errors`."""

    def __init__(self, planes: Planes, state: LocalState, folder: Path) -> None:
        self._planes, self._state, self._folder = planes, state, folder
        self._opened = False

    @property
    def saved(self) -> list[SavedPlane]:
        """Those that are kept; damaged entries are left out."""
        return kept_planes(self._state.get(SAVED))

    def open_saved(self) -> None:
        """Connect to all that are kept, in the background. Nothing the second time."""
        if not self._opened:
            self._opened = True
            for one in self.saved:
                self._open(one)

    async def add(self, name: str, url: str, token: str) -> Entered:
        """One more. The token is tried before anything is kept. BadInput names the field that is wrong."""
        if not re.fullmatch(PLANE_NAME_PATTERN, name):
            raise BadInput("name", "A name has small letters, digits and dashes: team, team-2")
        if self._planes.get(name) is not None:
            raise BadInput("name", f"There is a control plane named {name} here already.")
        address = await self._address(url)
        for one in self.saved:
            if one.url == address:
                raise BadInput("url", f"This is the address of {one.name}.")
        if self._planes.home.where.rstrip("/") == address.rstrip("/"):
            raise BadInput("url", "This is the control plane that the window is on already.")
        entered = await self._enter(address, token)
        made = SavedPlane(name=name, url=address)
        self._keep([*self.saved, made])
        self._open(made)
        return entered

    async def renew(self, name: str, token: str) -> Entered:
        """Another token for one that is kept."""
        entered = await self._enter(self._url(name), token)
        plane = self._planes.get(name)
        if plane is not None:
            plane.keep_trying()
        return entered

    async def remove(self, name: str) -> None:
        """Forget one, and its token. Nothing ends there."""
        url = self._url(name)
        self._keep([one for one in self.saved if one.name != name])
        await self._planes.remove(name)
        await self._planes.host.run(lambda: self._tokens().forget(url))

    # -- how

    def _url(self, name: str) -> str:
        for one in self.saved:
            if one.name == name:
                return one.url
        raise BadInput("name", f"There is no control plane named {name} here.")

    def _keep(self, saved: list[SavedPlane]) -> None:
        self._state.put(SAVED, [msgspec.to_builtins(one) for one in saved] or None)

    def _open(self, one: SavedPlane) -> None:
        connection = Connection(self._planes.host, self._folder, url=one.url, in_process=None, plane=one.name)
        self._planes.add(one.name, connection).keep_trying()

    async def _address(self, url: str) -> str:
        from mission_control_desktop.client.transport import checked_url

        return str(checked_url(url, with_token=True))

    async def _enter(self, address: str, token: str) -> Entered:
        from mission_control_desktop.client.http import HttpMissionControl
        from mission_control_desktop.client.tokens import TokenPlace
        from mission_control_desktop.client.transport import check_token

        check_token(token.strip())

        async def tried() -> Entered:
            client = HttpMissionControl(address, token.strip(), read_seconds=CHECK_SECONDS)
            try:
                me = await client.me()
            finally:
                await client.close()
            tokens = self._tokens()
            place = await tokens.save(address, token.strip())
            kept = "in the keyring" if place is TokenPlace.KEYRING else f"in {tokens.file} (there is no keyring)"
            return Entered(me=me, kept=kept)

        return await self._planes.host.run(tried)

    def _tokens(self) -> TokenStore:
        from mission_control_desktop.client.tokens import TokenStore

        return TokenStore(self._folder)


def kept_planes(values: object) -> list[SavedPlane]:
    """Those that a window has kept under `SAVED`; damaged entries are left out."""
    found = []
    for raw in values if isinstance(values, list) else ():
        try:
            one = msgspec.convert(raw, SavedPlane)
        except msgspec.ValidationError as error:
            log.warning("a kept control plane is damaged", reason=str(error))
            continue
        if re.fullmatch(PLANE_NAME_PATTERN, one.name):
            found.append(one)
    return found
