"""Comparing program versions, as far as discovery needs it (PEP 440 release numbers and pre-releases)."""

from __future__ import annotations

import re

_PATTERN = re.compile(r"v?(\d+(?:\.\d+)*)(?:[.-]?(a|b|rc|dev)[.-]?(\d+))?", re.IGNORECASE)
_STAGE = {"dev": 0, "a": 1, "b": 2, "rc": 3}


def version_key(text: str) -> tuple[tuple[int, ...], int, int] | None:
    """A key that sorts versions, or None if the text does not begin with a version."""
    match = _PATTERN.match(text.strip())
    if match is None:
        return None
    numbers = [int(part) for part in match.group(1).split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    stage = _STAGE[match.group(2).lower()] if match.group(2) else 9
    return tuple(numbers), stage, int(match.group(3) or 0)


def is_older(theirs: str, ours: str) -> bool:
    """Whether their version is older than ours. A version that cannot be read is not older: it is left alone."""
    left, right = version_key(theirs), version_key(ours)
    return left is not None and right is not None and left < right
