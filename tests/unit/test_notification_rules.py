"""Who is told what, and when: bursts are one notification, quiet hours are quiet, content stays where it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.ui.notifications.rules import (
    SETTLE,
    SILENCE,
    Announcer,
    News,
    NewsCause,
    Note,
    Rules,
    note,
)

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def news(name: str, cause: NewsCause = NewsCause.APPROVAL, **more: str) -> News:
    return News(key=f"{cause}:{name}", cause=cause, name=name, session_id=f"internal:{name}", **more)


class Person:
    """Looks every second; `open` is what is open."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.announcer = Announcer()
        self.open: dict[str, News] = {}
        self.now = START
        self.told: list[Note] = []
        self.seen: tuple[str, ...] = ()

    def comes(self, *those: News) -> None:
        self.open |= {one.key: one for one in those}

    def goes(self, *those: News) -> None:
        for one in those:
            del self.open[one.key]

    def waits(self, duration: timedelta) -> list[Note]:
        """What is told meanwhile."""
        before, end = len(self.told), self.now + duration
        while self.now < end:
            self.now += SECOND
            self.told += self.announcer.look(list(self.open.values()), self.now, self.now, self.rules, seen=self.seen)
        return self.told[before:]


def test_one_thing_is_told_once_with_where_to_go() -> None:
    person = Person()
    person.waits(SECOND)
    person.comes(news("a", detail="rm -rf build"))
    (told,) = person.waits(SETTLE * 2)
    assert (told.title, told.body, told.session_id) == ("An agent needs your approval", "a", "internal:a")
    assert person.waits(SILENCE * 4) == []


def test_what_was_open_at_the_start_is_known() -> None:
    person = Person()
    person.comes(news("a"), news("b", NewsCause.FAILED))
    assert person.waits(SILENCE * 2) == []


def test_a_burst_is_one_notification_and_so_is_what_follows_it() -> None:
    person = Person()
    person.waits(SECOND)
    person.comes(*(news(f"agent {n}") for n in range(5)))
    (first,) = person.waits(SETTLE * 2)
    assert first.title == "5 approvals wait for you"
    assert first.body == "agent 0, agent 1, agent 2 and 2 more"
    assert first.session_id is None, "of several, a click leads to the window"
    for n in range(5, 9):
        person.comes(news(f"agent {n}"))
        assert person.waits(SECOND * 3) == []
    (second,) = person.waits(SILENCE)
    assert second.title == "4 approvals wait for you"


def test_each_kind_is_told_by_itself() -> None:
    person = Person()
    person.waits(SECOND)
    person.comes(news("a"), news("b", NewsCause.FAILED))
    assert {one.cause for one in person.waits(SETTLE * 2)} == {NewsCause.APPROVAL, NewsCause.FAILED}


def test_what_is_settled_before_it_is_told_is_not_told() -> None:
    person = Person()
    person.waits(SECOND)
    quick = news("a")
    person.comes(quick)
    person.waits(SECOND)
    person.goes(quick)
    assert person.waits(SILENCE) == []


def test_what_a_person_looks_at_is_not_told() -> None:
    person = Person()
    person.waits(SECOND)
    person.seen = ("internal:a",)
    person.comes(news("a"), news("b"))
    (told,) = person.waits(SETTLE * 2)
    assert told.body == "b"


def test_what_comes_back_is_told_again() -> None:
    person = Person()
    person.waits(SECOND)
    shelved = news("a")
    person.comes(shelved)
    person.waits(SILENCE * 2)
    person.goes(shelved)
    person.waits(SECOND)
    person.comes(shelved)
    assert len(person.waits(SILENCE)) == 1


@pytest.mark.parametrize("cause", list(NewsCause))
def test_a_cause_that_is_switched_off_is_silent_and_stays_so_when_it_is_switched_on(cause: NewsCause) -> None:
    person = Person(Rules(causes=frozenset(NewsCause) - {cause}))
    person.waits(SECOND)
    person.comes(news("a", cause))
    assert person.waits(SILENCE) == []
    person.rules = Rules()
    assert person.waits(SILENCE) == [], "what is old does not come in a flood"
    person.comes(news("b", cause))
    assert len(person.waits(SILENCE)) == 1
    person.rules = Rules(on=False)
    person.comes(news("c", cause))
    assert person.waits(SILENCE) == []


def test_quiet_hours_over_midnight() -> None:
    night = Rules(quiet=True, quiet_from=22 * 60, quiet_to=7 * 60)
    for hour, minute, quiet in ((21, 59, False), (22, 0, True), (2, 0, True), (6, 59, True), (7, 0, False)):
        assert night.is_quiet(START.replace(hour=hour, minute=minute)) is quiet
    day = Rules(quiet=True, quiet_from=9 * 60, quiet_to=10 * 60)
    assert [day.is_quiet(START.replace(hour=h)) for h in (8, 9, 10)] == [False, True, False]
    assert not Rules(quiet=True, quiet_from=60, quiet_to=60).is_quiet(START.replace(hour=1))
    assert not replace(night, quiet=False).is_quiet(START.replace(hour=23))


def test_after_quiet_hours_what_is_still_open_is_told_together() -> None:
    person = Person(Rules(quiet=True, quiet_from=12 * 60, quiet_to=12 * 60 + 5))
    person.waits(SECOND)
    gone = news("gone")
    person.comes(gone, news("a"), news("b"))
    person.waits(timedelta(minutes=2))
    person.goes(gone)
    assert person.told == []
    (told,) = person.waits(timedelta(minutes=4))
    assert told.title == "2 approvals wait for you"
    assert told.body == "a, b"


def test_what_an_agent_said_is_shown_only_where_it_is_wanted() -> None:
    told = [news("a", detail="the secret plan", plain="since a minute")]
    assert note(told, Rules()).body == "a\nsince a minute"
    assert note(told, Rules(content=True)).body == "a\nsince a minute\nthe secret plan"
    several = [*told, news("b", detail="another plan")]
    assert "plan" not in note(several, Rules()).body
    assert "plan" not in note(several, Rules(content=True)).body


def test_several_things_of_one_session_lead_to_it() -> None:
    both = [News("1", NewsCause.APPROVAL, "a", "internal:a"), News("2", NewsCause.APPROVAL, "a", "internal:a")]
    assert note(both, Rules()) == Note(NewsCause.APPROVAL, "2 approvals wait for you", "a", "internal:a")


def test_what_is_stored_comes_back_and_what_is_not_readable_is_as_delivered() -> None:
    chosen = Rules(False, frozenset({NewsCause.FAILED}), True, 60, 120, True)
    assert Rules.of(chosen.stored()) == chosen
    for unreadable in (
        None,
        3,
        "x",
        {"off": "all", "from": -1, "to": 99_999, "quiet": "yes", "content": 1, "on": None},
    ):
        assert Rules.of(unreadable) == Rules()


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(list(NewsCause)), st.integers(0, 40)), max_size=30))
def test_nothing_is_told_twice_and_no_kind_more_often_than_allowed(comings: list[tuple[int, NewsCause, int]]) -> None:
    person = Person()
    person.waits(SECOND)
    last: dict[NewsCause, datetime] = {}
    told = 0
    for name, cause, seconds in comings:
        person.comes(news(str(name), cause))
        for _ in range(seconds):
            for one in person.waits(SECOND):
                assert one.cause not in last or person.now - last[one.cause] >= SILENCE
                last[one.cause] = person.now
                told += 1
    person.waits(SILENCE * 2)
    assert len(person.told) <= len(person.open), "each at most once"
