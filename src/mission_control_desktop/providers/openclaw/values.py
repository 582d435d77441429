"""Reading what a gateway sends: any field may be missing, null or of another type, and none of it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_LABEL_CHARS = 200


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[dict[str, Any]]:
    return [one for one in items(value) if isinstance(one, dict)]


def text(source: Mapping[str, Any], name: str) -> str | None:
    """A string that says something."""
    value = source.get(name)
    return value if isinstance(value, str) and value else None


def label(source: Mapping[str, Any], *names: str) -> str | None:
    """The first of the fields that has words, on one line and not longer than a label may be."""
    for name in names:
        value = " ".join((text(source, name) or "").split())
        if value:
            return value if len(value) <= MAX_LABEL_CHARS else value[: MAX_LABEL_CHARS - 1] + "…"
    return None


def number(source: Mapping[str, Any], name: str) -> float | int | None:
    value = source.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def whole(source: Mapping[str, Any], name: str) -> int | None:
    value = number(source, name)
    return int(value) if value is not None and abs(value) < 2**53 else None


def moment(source: Mapping[str, Any], *names: str) -> datetime | None:
    """The first of the fields that is a time in milliseconds."""
    for name in names:
        value = number(source, name)
        if value is not None and 0 < value < 4_102_444_800_000:
            return datetime.fromtimestamp(value / 1000, UTC)
    return None
