"""Every time that is shown goes through here: in the zone of this computer or, where a person wants that, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from mission_control_desktop.ui import theme

Precision = Literal["seconds", "milliseconds"]


def shown(moment: datetime) -> datetime:
    """The moment in the zone that times are shown in."""
    return moment.astimezone(UTC) if theme.appearance().utc else moment.astimezone()


def local(moment: datetime) -> datetime:
    """The moment where this computer stands, whatever is shown: for hours of the day that a person lives by."""
    return moment.astimezone()


def clock(moment: datetime) -> str:
    """The time of day: `14:02:07`, in UTC `14:02:07Z`."""
    return f"{shown(moment):%H:%M:%S}{_mark()}"


def short_clock(moment: datetime) -> str:
    """The time of day without seconds: `14:02`, in UTC `14:02Z`."""
    return f"{shown(moment):%H:%M}{_mark()}"


def day(moment: datetime) -> str:
    """The date: `2026-11-22`."""
    return f"{shown(moment):%Y-%m-%d}"


def wall(moment: datetime, now: datetime | None = None) -> str:
    """The time of day; with the date when it is not today."""
    today = shown(now or datetime.now(UTC)).date()
    return clock(moment) if shown(moment).date() == today else f"{day(moment)} {clock(moment)}"


def exact(moment: datetime, precision: Precision = "milliseconds") -> str:
    """Everything, with the zone: `2026-11-22 14:02:07.120+01:00`."""
    return shown(moment).isoformat(sep=" ", timespec=precision)


def file_stamp(moment: datetime) -> str:
    """For the name of a file: `2026-11-22-140207`."""
    return f"{shown(moment):%Y-%m-%d-%H%M%S}"


def _mark() -> str:
    return "Z" if theme.appearance().utc else ""
