"""How a person wants the roster: what is remembered over a start of the window."""

from __future__ import annotations

import msgspec
import structlog

from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.roster.order import GroupBy, SortBy

log = structlog.get_logger(__name__)

KEY = "roster"


class RosterLook(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Columns are named by their number; widths are pixels."""

    hidden: tuple[int, ...] | None = None
    widths: dict[int, int] = {}
    sort: SortBy = SortBy.STARTED
    descending: bool = False
    group: GroupBy = GroupBy.NONE
    live_only: bool = False
    abnormal_only: bool = False


def load_look(state: LocalState | None) -> RosterLook:
    """What was remembered; the usual look where nothing was, or it cannot be read."""
    raw = None if state is None else state.get(KEY)
    if raw is None:
        return RosterLook()
    try:
        return msgspec.convert(raw, RosterLook, strict=False)
    except msgspec.ValidationError as error:
        log.warning("the remembered look of the roster is not used", error=str(error))
        return RosterLook()


def save_look(state: LocalState | None, look: RosterLook) -> None:
    """Remember; on disk a moment later."""
    if state is not None:
        state.put(KEY, msgspec.to_builtins(look, str_keys=True))
