"""Where a program logs to, and how lines for people look: losing a line of a log must never stop what it tells of."""

from __future__ import annotations

from typing import TextIO

import structlog


def words_for_people(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    """Lines as a person reads them. Of an exception they show the stack and not, as the library does by itself where
    rich is installed, each frame's local variables: tokens and messages are among them."""
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


class LogStream:
    """A text stream whose `write` and `flush` never raise for a full disk or a reader that went away (OSError). Lines
    that the stream cannot hold back are lost; how many is said as soon as it takes lines again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost:
                self._stream.write(f'{{"event": "lines of the log were lost", "lines": {self._lost}}}\n')
                self._lost = 0
            self._stream.write(text)
        except OSError:
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return  # it stays in the stream's buffer; what does not fit there is counted
