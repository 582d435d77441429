"""Finds entries by a few letters of their words.

Each word of what is looked for must stand in an entry, its letters in order but not side by side: `fgt` finds
"fix the gateway tests". Ten thousand entries are searched between two keystrokes, so that the work of one entry is a
search for the word as it stands, and only where that fails one regular expression.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

MAX_QUERY = 80
"""Characters that are looked at; more are left aside."""
_START, _WORD, _INSIDE, _SPREAD = 0, 100, 200, 400
"""What a match costs: at the start, at the start of a word, within a word, letters apart."""
_BOOST = 60
"""What having been used last takes off; the one before takes off less."""


class Findable(Protocol):
    """What can be found: `text` in small letters, what matters most first."""

    @property
    def key(self) -> str: ...

    @property
    def text(self) -> str: ...


F = TypeVar("F", bound=Findable)


def _spread(word: str) -> re.Pattern[str]:
    # From each letter the nearest next one: no backtracking that grows with the text.
    return re.compile("".join(f"{'' if n == 0 else f'[^{re.escape(c)}]*'}{re.escape(c)}" for n, c in enumerate(word)))


def cost_of(word: str) -> Callable[[str], int | None]:
    """How well one word stands in a text: the less, the better; None: not at all."""
    spread = _spread(word)

    def cost(text: str) -> int | None:
        at = text.find(word)
        if at == 0:
            return _START
        if at > 0:
            if text[at - 1].isalnum():
                later = text.find(f" {word}")
                if later < 0:
                    return _INSIDE + min(at, 99)
                at = later
            return _WORD + min(at, 99)
        found = spread.search(text)
        if found is None:
            return None
        return _SPREAD + min(found.end() - found.start(), 300) + min(found.start(), 99)

    return cost


class Finder(Generic[F]):
    """Entries in a fixed order, narrowed down while a person types on."""

    def __init__(self) -> None:
        self._all: Sequence[F] = ()
        self._query = ""
        self._left: Sequence[F] = ()

    def prepare(self, entries: Iterable[F]) -> None:
        """Take the entries."""
        self._all = tuple(entries)
        self._query, self._left = "", self._all

    def find(self, query: str, recent: Sequence[str] = (), limit: int = 100) -> list[F]:
        """The best first, at most `limit`; what was used last (keys, newest first) is preferred. Without a query: what
        was used last, then the others as they came."""
        words = query.casefold()[:MAX_QUERY].split()
        boost = {key: max(5, _BOOST - 5 * place) for place, key in enumerate(recent)}
        if not words:
            self._query, self._left = "", self._all
            known = {entry.key: entry for entry in self._all} if boost else {}
            first = [known[key] for key in recent if key in known]
            rest = (entry for entry in self._all if entry.key not in boost)
            return [*first, *(entry for entry, _ in zip(rest, range(max(0, limit - len(first))), strict=False))][:limit]
        joined = " ".join(words)
        if not (self._query and joined.startswith(self._query)):
            self._left = self._all
        costs = [cost_of(word) for word in words]
        kept: list[F] = []
        ranked: list[tuple[int, int, int]] = []
        for entry in self._left:
            text, total = entry.text, 0
            for cost in costs:
                one = cost(text)
                if one is None:
                    break
                total += one
            else:
                ranked.append((total - boost.get(entry.key, 0), len(text), len(kept)))
                kept.append(entry)
        self._query, self._left = joined, kept
        return [kept[place] for _, _, place in heapq.nsmallest(limit, ranked)]
