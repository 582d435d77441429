"""What the palette finds, and in which order."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from mission_control_desktop.ui.palette.matching import Finder, cost_of


@dataclass(frozen=True)
class Thing:
    key: str
    text: str


def finder(*texts: str) -> Finder[Thing]:
    made: Finder[Thing] = Finder()
    made.prepare(Thing(text, text) for text in texts)
    return made


def keys(found: list[Thing]) -> list[str]:
    return [thing.key for thing in found]


@pytest.mark.parametrize(
    ("word", "better", "worse"),
    [
        ("kill", "kill all", "show kills"),
        ("all", "kill all", "recall"),
        ("all", "recall all", "install"),
        ("pan", "close the panel", "plan an evening"),
        ("fgt", "fix the gateway tests", "for all the many things of tomorrow"),
    ],
)
def test_the_better_match_comes_first(word: str, better: str, worse: str) -> None:
    assert keys(finder(worse, better).find(word)) == [better, worse]


def test_every_word_must_stand_there() -> None:
    made = finder("fix the gateway", "gateway of others", "fix the roof")
    assert keys(made.find("gate fix")) == ["fix the gateway"]
    assert keys(made.find("GATE  FIX ")) == ["fix the gateway"]
    assert made.find("gate xyz") == []


def test_typing_on_and_going_back_find_the_same_as_asking_at_once() -> None:
    chance = random.Random(7)
    letters = "abcde "
    texts = ["".join(chance.choices(letters, k=chance.randint(1, 14))) for _ in range(300)]
    texts = list(dict.fromkeys(texts))
    walked = finder(*texts)
    query = ""
    for _ in range(200):
        query = query[:-1] if query and chance.random() < 0.3 else query + chance.choice(letters)
        query = query[:6]
        assert keys(walked.find(query)) == keys(finder(*texts).find(query)), query


def test_what_was_used_last_is_preferred() -> None:
    made = finder("deploy one", "deploy two", "deploy three", "else")
    assert keys(made.find("", ["deploy three", "gone", "else"]))[:2] == ["deploy three", "else"]
    assert keys(made.find("deploy", ["deploy three"]))[0] == "deploy three"
    assert keys(made.find("", ["else"], limit=2)) == ["else", "deploy one"]


def test_no_more_than_the_limit_and_nothing_twice() -> None:
    made = finder(*(f"thing {n}" for n in range(500)))
    assert len(made.find("thing")) == 100
    found = keys(made.find("", ["thing 3", "thing 7"]))
    assert len(found) == len(set(found)) == 100


@pytest.mark.parametrize("text", [".*+?[](){}|^$\\-&~#", "[^]]", "a-z"])
def test_signs_are_only_signs(text: str) -> None:
    assert cost_of(text)(f"x{text}y") is not None
    assert cost_of(text)("".join(f"{sign}0" for sign in text)) is not None
    assert cost_of(text)("qqq") is None


def test_a_long_text_takes_time_in_proportion() -> None:
    assert cost_of("a" * 40 + "b")("a" * 20_000) is None
