"""A notice says what happened, what it means and what to do, for every error that there is."""

from __future__ import annotations

import pytest

from mission_control_desktop.domain import errors
from mission_control_desktop.ui.error_words import refused, told, unread


def made(kind: type[errors.MissionControlError]) -> errors.MissionControlError:
    if issubclass(kind, errors.BadInput):
        return kind("days", "It is too short")
    if issubclass(kind, errors.RateLimited):
        return kind("Too many calls", retry_after=7)
    return kind("It did not work")


@pytest.mark.parametrize("code", sorted(errors.by_code()))
def test_every_error_is_told_whole(code: str) -> None:
    error = made(errors.by_code()[code])
    text = told("Ada was not paused", error)
    assert text.startswith(f"Ada was not paused: {error.message}. ")
    assert text.endswith(".")
    assert "Nothing was changed" in text or "may have been carried out" in text


@pytest.mark.parametrize("code", sorted(errors.by_code()))
def test_what_cannot_be_read_is_told_whole(code: str) -> None:
    error = made(errors.by_code()[code])
    text = unread("The profiles cannot be read", error)
    start = f"The profiles cannot be read: {error.message}. "
    assert text.startswith(start)
    assert len(text) > len(start) + 10
    assert text.endswith(".")
    assert "changed" not in text, "nothing was to be changed"


def test_the_way_out_fits_the_error() -> None:
    assert "Try again in 7 s" in told("x", made(errors.RateLimited))
    assert "Settings, Connections" in told("x", errors.NotAuthenticated("The token is not known."))
    assert "may have been carried out" in told("x", errors.Unavailable("No answer in time."))
    assert "not foreseen (internal)" in told("x", errors.MissionControlError("Oops"))
    assert told("x", errors.Conflict("It has ended.")).count("..") == 0


def test_what_names_a_field_is_said_there_and_everything_else_whole() -> None:
    assert refused("x", made(errors.BadInput)) == ("days", "It is too short")
    assert refused("x", errors.Conflict("The name is taken", field="name")) == ("name", "The name is taken")
    assert refused("x", made(errors.Forbidden)) == (None, told("x", made(errors.Forbidden)))
