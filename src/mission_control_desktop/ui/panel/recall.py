"""Earlier messages, brought back into the input with the arrow keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def _none() -> Sequence[str]:
    return ()


class Recall:
    """Walks back from what is being written, and forth to it again. Nothing that was written is lost by walking."""

    def __init__(self, messages: Callable[[], Sequence[str]] = _none) -> None:
        self.messages = messages
        """What was sent, oldest first."""
        self._walked: list[str] = []
        self._place = 0

    @property
    def walking(self) -> bool:
        """Whether an earlier message stands in the input, unchanged."""
        return bool(self._walked)

    def earlier(self, written: str) -> str | None:
        """The message before; None: there is none."""
        if not self._walked:
            found = [text for text in dict.fromkeys(reversed(self.messages())) if text.strip() and text != written]
            if not found:
                return None
            self._walked, self._place = [written, *found], 0
        if self._place + 1 >= len(self._walked):
            return None
        self._place += 1
        return self._walked[self._place]

    def later(self) -> str | None:
        """The message after, at last what was written before; None: this is it."""
        if not self._walked:
            return None
        self._place -= 1
        text = self._walked[self._place]
        if self._place == 0:
            self.end()
        return text

    def end(self) -> None:
        """What stands in the input is what is being written."""
        self._walked, self._place = [], 0
