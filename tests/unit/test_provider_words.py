"""How a provider is doing, in few words: quiet while all is well, with its age when not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.ui.provider_words import SETTLING, abnormal, provider_look, summary

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def health(name: str, state: str = "ok", seconds: float = 125, detail: str | None = None) -> ProviderHealth:
    return ProviderHealth(provider=name, state=state, detail=detail, since=NOW - timedelta(seconds=seconds))


def said(*ones: ProviderHealth) -> tuple[str, str] | None:
    look = summary({one.provider: one for one in ones}, NOW)
    return None if look is None else (look.level, look.text)


def test_what_is_abnormal_is_told_with_its_age() -> None:
    look = provider_look(health("lab", "degraded", detail="It restarts."), NOW)
    assert (look.level, look.text, look.detail) == ("warning", "degraded, 2m 05s", "It restarts.")
    assert provider_look(health("lab", "unreachable", 7), NOW).text == "unreachable, 7s"
    assert provider_look(health("lab", "unreachable", -3), NOW).text == "unreachable, 0s", "another computer's clock"
    assert provider_look(ProviderHealth(provider="lab", state="unreachable"), NOW).text == "unreachable"
    assert provider_look(health("lab", "disabled"), NOW).text == "switched off"
    states = ("ok", "disabled", "degraded", "unreachable")
    assert [abnormal(health("lab", state)) for state in states] == [False, False, True, True]
    assert not abnormal(None)


def test_the_header_says_nothing_without_need() -> None:
    assert said() is None
    assert said(health("internal")) is None
    assert said(health("internal"), health("lab"), health("off", "disabled")) == ("ok", "3 providers")


def test_the_header_tells_what_is_wrong() -> None:
    assert said(health("internal", "degraded")) == ("warning", "internal degraded, 2m 05s")
    assert said(health("internal"), health("lab", "unreachable")) == ("error", "lab unreachable, 2m 05s")
    wrong = (health("a", "degraded"), health("b", "unreachable"), health("internal"))
    assert said(*wrong) == ("error", "2 of 3 providers abnormal")
    look = summary({one.provider: one for one in wrong}, NOW)
    assert look is not None
    assert look.detail.splitlines() == ["a: degraded, 2m 05s", "b: unreachable, 2m 05s", "internal: ok"]


def test_what_was_just_registered_is_given_a_moment() -> None:
    new = health("lab", "unreachable", SETTLING.total_seconds() - 1)
    assert said(health("internal"), new) == ("ok", "2 providers")
    assert said(health("internal"), health("lab", "unreachable", SETTLING.total_seconds())) is not None
