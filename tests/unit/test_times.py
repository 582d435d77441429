"""Times are shown by one rule, in the zone that a person chose."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import mission_control_desktop.ui
from mission_control_desktop.ui import theme, times

MOMENT = datetime(2026, 11, 22, 23, 30, 7, 120_000, tzinfo=UTC)
UI = Path(str(mission_control_desktop.ui.__file__)).parent


@pytest.fixture
def eastwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This computer stands three hours east of Greenwich."""
    monkeypatch.setenv("TZ", "XXX-3")
    time.tzset()
    yield
    theme.set_appearance(theme.Appearance())
    monkeypatch.undo()
    time.tzset()


def in_utc() -> None:
    theme.set_appearance(replace(theme.appearance(), utc=True))


def test_times_follow_the_choice(eastwards: None) -> None:
    assert times.clock(MOMENT) == "02:30:07"
    assert times.day(MOMENT) == "2026-11-23"
    assert times.short_clock(MOMENT) == "02:30"
    assert times.exact(MOMENT) == "2026-11-23 02:30:07.120+03:00"
    in_utc()
    assert times.clock(MOMENT) == "23:30:07Z", "a time that is not the reader's own says so"
    assert times.short_clock(MOMENT) == "23:30Z"
    assert times.day(MOMENT) == "2026-11-22"
    assert times.exact(MOMENT, "seconds") == "2026-11-22 23:30:07+00:00"


def test_the_date_is_told_when_it_is_another_day_where_times_are_shown(eastwards: None) -> None:
    evening = datetime(2026, 11, 22, 20, 59, tzinfo=UTC)
    assert times.wall(MOMENT, now=evening) == "2026-11-23 02:30:07"
    assert times.wall(MOMENT, now=MOMENT) == "02:30:07"
    in_utc()
    assert times.wall(MOMENT, now=evening) == "23:30:07Z"


def test_nothing_else_in_the_window_turns_moments_into_words() -> None:
    told = re.compile(r"\.astimezone\(|\.strftime\(|\.isoformat\(sep|:%H|date\.today\(")
    found = [
        f"{path.relative_to(UI)}:{number}"
        for path in sorted(UI.rglob("*.py"))
        if path != UI / "times.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if told.search(line) and "time.strftime" not in line
    ]
    assert found == []


def test_what_is_stored_comes_back_and_what_is_not_readable_is_as_delivered() -> None:
    chosen = theme.Appearance(scheme="contrast", density="compact", text=17, still=True, utc=True)
    assert theme.Appearance.of(chosen.stored()) == chosen
    unreadable: list[object] = [
        None,
        7,
        "dark",
        [],
        {"scheme": "pink", "text": 5, "density": None, "utc": "no", "still": 1},
    ]
    for bad in unreadable:
        assert theme.Appearance.of(bad) == theme.Appearance()
    assert theme.Appearance.of({"scheme": "dark", "text": 900}) == theme.Appearance(scheme="dark")
