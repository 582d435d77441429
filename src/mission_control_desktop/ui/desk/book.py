"""All desks of one person at one workstation, as they are kept on disk."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import structlog

from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound
from mission_control_desktop.ui.desk.arrangement import MAX_PANELS, Arrangement, Key, Name, Pixels, Place, problem_of
from mission_control_desktop.ui.local_state import LocalState

log = structlog.get_logger(__name__)

INDEX_KEY = "desks"
DESK_PREFIX = "desk:"
VERSION = 1
MAX_DESKS = 32
MAX_STANDS = 12
"""Sets of monitors for which one desk is remembered; of more, those used last."""
MAX_DESK_NAME = 60
FIRST_NAME = "Main"

DeskName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_DESK_NAME)]


class PanelRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A panel of a desk: the session that it shows, and how that was called when it was last seen."""

    session_id: Name
    title: Annotated[str, msgspec.Meta(max_length=1_000)] = ""


class Stand(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a desk stands on one set of monitors."""

    arrangement: Arrangement
    window: Place | None = None
    roster: bool = True
    splitter: Annotated[tuple[Pixels, ...], msgspec.Meta(max_length=2)] = ()
    following: bool = False
    """A panel follows the focus, or one will be opened that does."""
    monitors: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    """The monitors in words."""


class Desk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A named arrangement of panels, for each set of monitors on which it stood; the one used last comes last."""

    name: DeskName
    panels: Annotated[tuple[PanelRef, ...], msgspec.Meta(max_length=MAX_PANELS)] = ()
    stands: Annotated[dict[Key, Stand], msgspec.Meta(max_length=MAX_STANDS)] = msgspec.field(default_factory=dict)

    def titles(self) -> dict[str, str]:
        """Title by session id."""
        return {panel.session_id: panel.title for panel in self.panels}

    def stand(self, monitors: str) -> Stand | None:
        """How it stands on a set of monitors; on one that it never stood on, as it did on the set used last."""
        known = self.stands.get(monitors)
        return known if known is not None else next(reversed(self.stands.values()), None)


class _Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    version: int
    order: tuple[str, ...]
    current: str
    last: dict[str, str]
    """Desk by set of monitors: the one used last there."""


def check_desk(desk: Desk) -> None:
    """Raises BadInput (naming the field) if what the types allow makes no sense."""
    for monitors, stand in desk.stands.items():
        if problem := problem_of(stand.arrangement):
            raise BadInput(f"desks[{desk.name}].stands[{monitors}]", f"The desk “{desk.name}” is not sound: {problem}.")


def clean_name(name: str) -> str:
    """The name of a desk, trimmed. Raises BadInput if none is left or it is too long."""
    name = " ".join(name.split())
    if not name:
        raise BadInput("name", "A desk needs a name.")
    if len(name) > MAX_DESK_NAME:
        raise BadInput("name", f"The name of a desk has at most {MAX_DESK_NAME} characters.")
    return name


class DeskBook:
    """The desks in their order, by id. What is changed here is on disk a moment later, all of one change at once."""

    def __init__(self, state: LocalState, *, new_id: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self._state, self._new_id = state, new_id
        self._desks: dict[str, Desk] = {}
        self._current = ""
        self._last: dict[str, str] = {}
        self.damaged = 0
        """Desks that could not be read; they were set aside."""
        self._load()

    def _load(self) -> None:
        index = self._index()
        found = {key.removeprefix(DESK_PREFIX) for key in self._state.keys(DESK_PREFIX)}
        found = {desk_id for desk_id in found if not desk_id.endswith(".damaged")}
        order = [i for i in index.order if i in found] if index is not None else []
        for desk_id in [*order, *sorted(found - set(order))]:
            desk = self._read(desk_id)
            if desk is not None:
                self._desks[desk_id] = desk
        if index is not None:
            self._last = {monitors: i for monitors, i in index.last.items() if i in self._desks}
            self._current = index.current
        if not self._desks:
            self._desks[self._new_id()] = Desk(name=FIRST_NAME)
        if self._current not in self._desks:
            self._current = next(iter(self._desks))

    def _index(self) -> _Index | None:
        raw = self._state.get(INDEX_KEY)
        if raw is None:
            return None
        try:
            index = msgspec.convert(raw, _Index)
            if index.version != VERSION:
                raise ValueError(f"version {index.version}")
        except (msgspec.ValidationError, ValueError) as error:
            log.warning("the list of desks was damaged", error=str(error))
            self._state.set_aside(INDEX_KEY)
            self.damaged += 1
            return None
        return index

    def _read(self, desk_id: str) -> Desk | None:
        try:
            desk = msgspec.convert(self._state.get(DESK_PREFIX + desk_id), Desk)
            check_desk(desk)
        except (msgspec.ValidationError, BadInput) as error:
            log.warning("a desk was damaged", desk=desk_id, error=str(error))
            self._state.set_aside(DESK_PREFIX + desk_id)
            self.damaged += 1
            return None
        return desk

    # -- reading

    def ids(self) -> list[str]:
        """All desks, in order."""
        return list(self._desks)

    def desk(self, desk_id: str) -> Desk:
        """Raises NotFound."""
        if desk_id not in self._desks:
            raise NotFound("There is no such desk.")
        return self._desks[desk_id]

    @property
    def current_id(self) -> str:
        return self._current

    @property
    def current(self) -> Desk:
        return self._desks[self._current]

    def last_on(self, monitors: str) -> str:
        """The desk used last on a set of monitors, or empty."""
        return self._last.get(monitors, "")

    # -- changing

    def record(self, monitors: str, stand: Stand, titles: dict[str, str]) -> None:
        """The current desk as it stands now."""
        desk = self.current
        stands = {key: old for key, old in desk.stands.items() if key != monitors}
        for key in list(stands)[: max(0, len(stands) + 1 - MAX_STANDS)]:
            del stands[key]
        panels = tuple(PanelRef(session_id=i, title=title[:1_000]) for i, title in titles.items())[:MAX_PANELS]
        self._put(self._current, Desk(name=desk.name, panels=panels, stands={**stands, monitors: stand}))
        if self._last.get(monitors) != self._current:
            self._last = {key: i for key, i in self._last.items() if key != monitors}
            self._last[monitors] = self._current
        self._write_index()

    def select(self, desk_id: str) -> Desk:
        """Make a desk the current one. Raises NotFound."""
        desk = self.desk(desk_id)
        self._current = desk_id
        self._write_index()
        return desk

    def add(self, name: str, *, copy_of: str = "") -> str:
        """A new desk after all others; empty, or as another one is now. Raises BadInput, Conflict."""
        name = self._free(name)
        self._check_room(1)
        old = self._desks.get(copy_of)
        desk = Desk(name=name) if old is None else msgspec.structs.replace(old, name=name)
        desk_id = self._new_id()
        self._put(desk_id, desk)
        self._write_index()
        return desk_id

    def rename(self, desk_id: str, name: str) -> None:
        """Raises BadInput, Conflict (another desk has the name), NotFound."""
        desk = self.desk(desk_id)
        self._put(desk_id, msgspec.structs.replace(desk, name=self._free(name, apart_from=desk_id)))

    def remove(self, desk_id: str) -> None:
        """Raises NotFound, and Conflict for the last one."""
        self.desk(desk_id)
        if len(self._desks) == 1:
            raise Conflict("The last desk stays: there is always one.")
        del self._desks[desk_id]
        self._state.put(DESK_PREFIX + desk_id, None)
        self._last = {monitors: i for monitors, i in self._last.items() if i != desk_id}
        if self._current == desk_id:
            self._current = next(iter(self._desks))
        self._write_index()

    def take_in(self, desks: tuple[Desk, ...]) -> list[str]:
        """Add desks that came from outside, under names that are free; their ids. Raises BadInput, Conflict."""
        self._check_room(len(desks))
        for desk in desks:
            check_desk(desk)
        added = []
        for desk in desks:
            desk_id = self._new_id()
            self._put(desk_id, msgspec.structs.replace(desk, name=self._near(clean_name(desk.name))))
            added.append(desk_id)
        self._write_index()
        return added

    def _check_room(self, more: int) -> None:
        if len(self._desks) + more > MAX_DESKS:
            raise Conflict(f"There are at most {MAX_DESKS} desks; {len(self._desks)} are there. Remove some first.")

    def _names(self, apart_from: str = "") -> set[str]:
        return {desk.name.casefold() for desk_id, desk in self._desks.items() if desk_id != apart_from}

    def _free(self, name: str, *, apart_from: str = "") -> str:
        name = clean_name(name)
        if name.casefold() in self._names(apart_from):
            raise Conflict(f"There is a desk “{name}” already.")
        return name

    def _near(self, name: str) -> str:
        taken, number, free = self._names(), 1, name
        while free.casefold() in taken:
            number += 1
            tail = f" ({number})"
            free = name[: MAX_DESK_NAME - len(tail)] + tail
        return free

    def _put(self, desk_id: str, desk: Desk) -> None:
        self._desks[desk_id] = desk
        self._state.put(DESK_PREFIX + desk_id, _plain(desk))

    def _write_index(self) -> None:
        index = _Index(version=VERSION, order=tuple(self._desks), current=self._current, last=self._last)
        self._state.put(INDEX_KEY, _plain(index))


def _plain(struct: msgspec.Struct) -> Any:
    return msgspec.to_builtins(struct)
