"""Moves of messages that wait: what was asked for is shown at once, and ordered one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 20
"""Moves that may wait for the one that is under way. Whoever asks for more is told to wait."""


@dataclass(slots=True)
class Wish:
    """A message, and the place that it is to have among all that wait, from 0."""

    key: str
    place: int


class Moves:
    """The wishes in the order in which they were made. The first may be under way; the places of the later ones are
    those in the order that the earlier ones make."""

    def __init__(self) -> None:
        self._wishes: list[Wish] = []
        self._under_way = ""
        """The message whose move was ordered and is not answered."""

    def __contains__(self, key: str) -> bool:
        return any(wish.key == key for wish in self._wishes)

    def ask(self, key: str, place: int) -> bool:
        """Note a wish; False, and nothing noted, where too many wait. Two for one message are one."""
        waiting = self._wishes[bool(self._under_way) :]
        if waiting and waiting[-1].key == key:
            waiting[-1].place = place
            return True
        if len(waiting) >= MOST:
            return False
        self._wishes.append(Wish(key, place))
        return True

    def order(self, order: Sequence[str]) -> list[str]:
        """What waits, in the order that the wishes make of it."""
        made = list(order)
        for wish in self._wishes:
            if wish.key in made:
                made.remove(wish.key)
                made.insert(wish.place, wish.key)
        return made

    def next(self, order: Sequence[str]) -> Wish | None:
        """The wish that is to be ordered now, if there is one and none is under way. `order` is that of the record."""
        while self._wishes and not self._under_way:
            wish = self._wishes[0]
            if wish.key in order and order.index(wish.key) != wish.place and wish.place < len(order):
                self._under_way = wish.key
                return wish
            del self._wishes[0]  # It is there already, or it went out.
        return None

    def answered(self, key: str) -> None:
        """The order that was under way for this message is over, well or not."""
        if key == self._under_way:
            self._under_way = ""
            del self._wishes[0]

    def left(self, place: int) -> None:
        """The message at this place went out or was taken back: those behind it moved up."""
        for wish in self._wishes:
            if wish.place > place:
                wish.place -= 1

    def give_up(self) -> int:
        """Forget what is not under way; how many moves that are."""
        kept = int(bool(self._under_way))
        forgotten = len(self._wishes) - kept
        del self._wishes[kept:]
        return forgotten
