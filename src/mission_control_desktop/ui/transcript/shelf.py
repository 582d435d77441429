"""Which laid-out documents of a transcript are kept: those used last. The others are made again when they are needed.

A character that is laid out takes 90 bytes of memory, one that is only known takes one: so what is laid out is bounded
by its text, however many rows there are and however long each of them is.
"""

from __future__ import annotations

from typing import Protocol

KEPT_CHARS = 48_000
"""Characters that are laid out: some screens full."""
FEWEST = 8
"""Documents that stay however long they are: more than a screen shows of such."""
DOCUMENT_CHARS = 60
"""A document counts as so many characters more than it has."""


class Shelved(Protocol):
    """What holds a document that can be made again."""

    def release(self) -> None:
        """Let the document go."""
        ...


class DocumentShelf:
    """The documents of one transcript, by when they were used. Whoever uses one says so here, before or after."""

    def __init__(self) -> None:
        self._sizes: dict[Shelved, int] = {}
        """The one used last is the last."""
        self.chars = 0
        """What all of them count."""

    def __len__(self) -> int:
        return len(self._sizes)

    def use(self, owner: Shelved, chars: int) -> None:
        """The owner has a document of so many characters and uses it. What was not used for long goes for it."""
        sizes = self._sizes
        self.chars += chars + DOCUMENT_CHARS - sizes.pop(owner, 0)
        sizes[owner] = chars + DOCUMENT_CHARS
        while self.chars > KEPT_CHARS and len(sizes) > FEWEST:
            oldest = next(iter(sizes))
            self.drop(oldest)
            oldest.release()

    def drop(self, owner: Shelved) -> None:
        """The owner is not needed any more."""
        self.chars -= self._sizes.pop(owner, 0)

    def release_all(self) -> None:
        """Nothing of this is looked at now."""
        owners = list(self._sizes)
        self.clear()
        for owner in owners:
            owner.release()

    def clear(self) -> None:
        """None of the owners is needed any more."""
        self._sizes.clear()
        self.chars = 0
