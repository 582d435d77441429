"""Short ids and what they may stand for."""

from __future__ import annotations

import pytest

from mission_control_desktop.cli.ids import match, short_ids
from mission_control_desktop.domain.errors import BadInput, NotFound

A = "internal:0199aaaaaaaa7000800000000000aaaa"
B = "internal:0199aaaaaaaa7000800000000000bbbb"
SUB = A + ".17"
FOREIGN = "openclaw-prod:main/session 1"


def test_short_forms_are_ends_and_unique() -> None:
    short = short_ids([A, B, SUB, FOREIGN])
    assert short[A] == "0000aaaa"
    assert short[SUB] == "0000aaaa.17"
    assert short[FOREIGN] == FOREIGN
    assert len(set(short.values())) == 4


def test_short_forms_grow_until_they_differ() -> None:
    one, two = "internal:" + "1" * 20 + "c" * 12, "internal:" + "2" * 20 + "c" * 12
    assert short_ids([one, two]) == {one: "1111" + "c" * 12, two: "2222" + "c" * 12}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (A, A),
        (A.removeprefix("internal:"), A),
        ("aaaa", A),
        ("0000aaaa", A),
        ("0000aaaa.17", SUB),
        (SUB, SUB),
        ("bbbb", B),
        (" bbbb\n", B),
        ("internal:0199aaaaaaaa7000800000000000b", B),
        ("openclaw", FOREIGN),
        ("main/s", FOREIGN),
    ],
)
def test_any_beginning_or_end_will_do(given: str, found: str) -> None:
    assert match(given, [A, B, SUB, FOREIGN], what="session") == found


def test_a_beginning_of_a_session_is_not_its_sub_session() -> None:
    assert match("0199aaaaaaaa7000800000000000a", [SUB, A, B], what="session") == A


def test_several_are_named() -> None:
    with pytest.raises(BadInput, match=r"0000aaaa, 0000bbbb"):
        match("0199", [A, B], what="session")


def test_none_and_too_short() -> None:
    with pytest.raises(NotFound, match="no session 'cccc'"):
        match("cccc", [A, B], what="session")
    with pytest.raises(BadInput, match="too short"):
        match("aaa", [A], what="session")
