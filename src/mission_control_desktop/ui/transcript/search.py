"""What is looked for in a transcript, on screen and in the part of the record that is not loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.images import without_images


@dataclass(frozen=True, slots=True)
class Search:
    """A search through the record, from the edge of what is loaded on."""

    wanted: Callable[[Entry], bool]
    forwards: bool
    what: str
    """In words, for when there is none ("error", "“needle”")."""


def nothing_text(what: str, *, forwards: bool) -> str:
    """That there is none."""
    return f"No {what} {'below' if forwards else 'above'}"


def contains(entry: Entry, needle: str) -> bool:
    """Whether a reader who opens the entry can find the text in it; `needle` is in lower case."""
    if needle in without_images(entry.text).lower():
        return True
    meta = entry.message.metadata
    if any(needle in text.lower() for text in (*_words(meta.get("title")), *_words(meta.get("input")))):
        return True
    if any(needle in text.lower() for item in _dicts(meta.get("entries")) for text in _words(item.get("content"))):
        return True
    return any(_changed(item, needle) for item in _dicts(meta.get("diffs")))


def _changed(diff: dict[str, Any], needle: str) -> bool:
    """Whether a change is about the text: what it leaves as it was is mostly not shown."""
    old, new, path = (diff.get(key) or "" for key in ("oldText", "newText", "path"))
    if not all(isinstance(text, str) for text in (old, new, path)):
        return False
    return needle in path.lower() or new.lower().count(needle) != old.lower().count(needle)


def _dicts(value: object) -> Iterable[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list | tuple) else ()


def _words(value: object) -> Iterable[str]:
    """All text in a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _words(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)
