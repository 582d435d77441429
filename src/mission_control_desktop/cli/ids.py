"""Short ids: what tables show, and what commands take for a session or an approval.

Ids begin with the time they were made, so those of one minute begin alike; what tells them apart is their end. Tables
therefore show the end of an id, and commands take any beginning or end that only one id has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mission_control_desktop.domain.errors import BadInput, NotFound
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, split_id

MIN_CHARS = 4
_SHORT = 8
_NATIVE = re.compile(r"[0-9a-f]{32}(\.[\w-]+)*")


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """The shortest form for each id that is unique among them: for internal ids their end, for others all of it."""
    known = list(dict.fromkeys(ids))
    for length in range(_SHORT, 33, 4):
        forms = {full: _short(full, length) for full in known}
        if len(set(forms.values())) == len(forms):
            return forms
    return {full: full for full in known}


def _short(full: str, length: int) -> str:
    provider, native = split_id(full)
    if provider != INTERNAL_PROVIDER or _NATIVE.fullmatch(native) is None:
        return full
    root, dot, rest = native.partition(".")
    return root[-length:] + dot + rest


def match(given: str, ids: Iterable[str], *, what: str) -> str:
    """The one id that the text names. NotFound if none, BadInput if several do."""
    known = list(dict.fromkeys(ids))
    text = given.strip()
    for full in (text, f"{INTERNAL_PROVIDER}:{text}"):
        if full in known:
            return full
    if len(text) < MIN_CHARS:
        raise BadInput("id", f"{given!r} is too short: give at least {MIN_CHARS} characters of the {what}'s id")
    found = [
        full
        for full in known
        if any(part.startswith(text) or part.endswith(text) for part in (full, split_id(full)[1]))
    ]
    if len(found) > 1:
        # The beginning of a session is also that of its sub-sessions: then the session itself is meant.
        roots = [full for full in found if all(other == full or other.startswith(f"{full}.") for other in found)]
        found = roots or found
    if not found:
        raise NotFound(f"there is no {what} {given!r}")
    if len(found) > 1:
        shown = ", ".join(short_ids(found).values())
        raise BadInput("id", f"{given!r} could be any of {shown}: give more of the {what}'s id")
    return found[0]


async def session_id(mission_control: MissionControl, given: str) -> str:
    """The control-plane id of the session that the text names."""
    text = given.strip()
    provider, native = split_id(text)
    if not native:
        raise BadInput("id", "give a session's id")
    whole = f"{provider}:{native}"
    if ":" in text or _NATIVE.fullmatch(native):
        try:
            return (await mission_control.session(whole)).session_id
        except NotFound:
            if _NATIVE.fullmatch(native):
                raise
    return match(given, await all_session_ids(mission_control), what="session")


async def all_session_ids(mission_control: MissionControl) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await mission_control.sessions(limit=500, cursor=cursor)
        ids.extend(session.session_id for session in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return ids
